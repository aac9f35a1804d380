//! Makes and starts one container, in a process forked for that alone: libcontainer changes the process that calls it
//! (directory, dumpability) and runs Rust in a clone of it, so the long-lived supervisor stays out of its hands, and
//! several containers of a task are made at once. The container's first process becomes a child of the supervisor.
//!
//! The forked process is in the container's cgroups before libcontainer runs, so that everything born from it is in
//! there from the start. The one for a task's first container waits there since before there was a task (see `maker`).

use super::devices::{self, Devices};
use super::executor::{self, Program};
use super::failure::{Failure, chain};
use super::notes::Notes;
use super::protocol::Start;
use super::rootfs::{self, Pieces, Rootfs};
use super::spec::{self, Host, Setup};
use super::{user, volumes};
use crate::cgroup::{Cgroups, ContainerLimits};
use crate::directory::now_ms;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use node::hands::Joined;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// The directory below /sys/fs/cgroup, in the private mount namespace, that has the decoys.
pub(super) const DECOYS: &str = "gantry";
/// The host's /etc/hosts and /etc/resolv.conf are copied to this size.
const HOST_ETC_BYTES_MAX: u64 = 1 << 20;

/// What the forked process tells the supervisor, one JSON line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// The container exists, its first process waits.
    Created { pid: u32, at: u64 },
    /// Its program runs.
    Started { at: u64 },
    /// Neither, and why.
    Failed { reason: String },
}

/// What makes one container different from another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) start: Start,
    pub(crate) id: String,
    /// The container's group, below the task's.
    pub(crate) group: String,
    /// The container's own directory in the private tmpfs; not made yet.
    pub(crate) place: PathBuf,
    /// Its writable layer, on disk; not made yet.
    pub(crate) writable: PathBuf,
}

/// The container's ends of its pipes, and ours.
pub(crate) struct Pipes {
    pub(crate) output: OwnedFd,
    pub(crate) error: OwnedFd,
    pub(crate) tell: OwnedFd,
}

/// What every container of a supervisor is made with.
pub(crate) struct Tools<'a> {
    /// libcontainer's state, in the private tmpfs.
    pub(crate) state: PathBuf,
    pub(crate) cgroups: &'a Cgroups,
    pub(crate) host: &'a Host,
    /// The host's root directory, as it was before the private mount namespace: new namespaces are pinned there.
    pub(crate) host_root: &'a OwnedFd,
    /// Empty directories that libcontainer takes for version 2 groups.
    pub(crate) decoys: PathBuf,
}

/// The whole life of the forked process.
pub(crate) fn run(tools: &Tools<'_>, job: &Job, pipes: Pipes) -> i32 {
    let Pipes { output, error, tell } = pipes;
    match create(tools, job, output, error, &tell) {
        Ok(()) => 0,
        Err(failure) => {
            say(&tell, &Progress::Failed { reason: failure.to_string() });
            1
        }
    }
}

fn say(tell: &OwnedFd, progress: &Progress) {
    let mut line = serde_json::to_vec(progress).unwrap_or_default();
    line.push(b'\n');
    // Nobody listens when the supervisor is gone, and then nobody needs to.
    let _ = rustix::io::write(tell, &line);
}

fn create(tools: &Tools<'_>, job: &Job, output: OwnedFd, error: OwnedFd, tell: &OwnedFd) -> Result<(), Failure> {
    let Start { spec: wanted, image, .. } = &job.start;
    let devices = devices::resolve(&job.start.edits)?;
    confine(tools, job, &devices)?;
    let network = open_network(tools, job)?;
    let root = Rootfs::mount(&Pieces {
        layers: &job.start.layers,
        writable: &job.writable,
        links: &job.place.join("l"),
        target: &job.place.join("root"),
    })?;
    let user = prepare(tools, job, &root)?;
    volumes::make(&job.start.volumes, &wanted.mounts, &root)?;
    let cgroup_view = if tools.host.unified { None } else { Some(cgroup_view(tools, job)?) };
    let decoy = decoy(tools, job)?;
    let document = spec::build(&Setup {
        spec: wanted,
        image,
        user: &user,
        host: tools.host,
        devices: &devices,
        root: root.path(),
        volumes: &job.start.volumes,
        network: &PathBuf::from(format!("/proc/self/fd/{}", network.as_raw_fd())),
        cgroup: &decoy,
        cgroup_view,
    })?;
    let io = |error: std::io::Error| Failure::because("container bundle", &error);
    fs::write(job.place.join("config.json"), document.to_string()).map_err(io)?;
    let notes = Notes::collect().map_err(io)?;
    let failed = |error: &(dyn std::error::Error + 'static)| explain(&notes, error);
    let mut container = ContainerBuilder::new(job.id.clone(), SyscallType::default())
        .with_executor(Program)
        .with_root_path(&tools.state)
        .map_err(|e| failed(&e))?
        .with_stdout(output)
        .with_stderr(error)
        .as_init(&job.place)
        .with_systemd(false)
        .as_sibling(true)
        .build()
        .map_err(|e| failed(&e))?;
    let pid = container.pid().map_or(0, |pid| pid.as_raw() as u32);
    say(tell, &Progress::Created { pid, at: now_ms() });
    if let Err(error) = container.start() {
        if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        return Err(Failure::start(chain(&error)));
    }
    say(tell, &Progress::Started { at: now_ms() });
    Ok(())
}

/// Into the container's limits, with what is born from here.
fn confine(tools: &Tools<'_>, job: &Job, devices: &Devices<'_>) -> Result<(), Failure> {
    let failed = |error: crate::cgroup::CgroupError| Failure::because("cgroup", &error);
    let limits = ContainerLimits { devices: devices.rules(), ..ContainerLimits::from(&job.start.spec) };
    tools.cgroups.limit_container(&job.group, &limits).map_err(failed)?;
    if !tools.cgroups.is_in(&job.group) {
        tools.cgroups.enter(&job.group, std::process::id()).map_err(failed)?;
    }
    // The supervisor is spared by the kernel's out-of-memory killer, a container is not.
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    Ok(())
}

fn open_network(tools: &Tools<'_>, job: &Job) -> Result<OwnedFd, Failure> {
    let path = job.start.network.strip_prefix("/").unwrap_or(&job.start.network);
    rustix::fs::openat(tools.host_root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|error| {
        let what = format!("network namespace {}", job.start.network.display());
        Failure::because(&what, &std::io::Error::from(error))
    })
}

/// The files that every container gets, its user and its working directory.
fn prepare(tools: &Tools<'_>, job: &Job, root: &Rootfs) -> Result<user::User, Failure> {
    let Start { spec: wanted, image, .. } = &job.start;
    let (passwd, group) = root.accounts();
    let name = wanted.user.as_deref().unwrap_or(&image.user);
    let user = user::resolve(name, &passwd, &group).map_err(|error| Failure::start(error.to_string()))?;
    if wanted.network == Joined::Host {
        for name in ["resolv.conf", "hosts"] {
            root.write_etc(name, &host_etc(tools, name)?)?;
        }
    } else {
        root.write_etc("resolv.conf", &rootfs::resolv_conf(&wanted.dns, &wanted.dns_search))?;
        root.write_etc("hosts", &rootfs::hosts(&wanted.hosts))?;
    }
    let host_name = wanted.host_name.as_deref().unwrap_or("localhost");
    root.write_etc("hostname", &format!("{host_name}\n"))?;
    let directory = spec::working_directory(wanted, image);
    root.make_directory(&directory).map_err(|error| {
        let what = format!("working directory {directory}");
        Failure::because(&what, &std::io::Error::from(error))
    })?;
    Ok(user)
}

/// A file of the host's /etc; one that is not there is empty.
fn host_etc(tools: &Tools<'_>, name: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::because(&format!("the host's /etc/{name}"), &error);
    let path = format!("etc/{name}");
    let file = match rustix::fs::openat(tools.host_root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => fs::File::from(file),
        Err(Errno::NOENT) => return Ok(String::new()),
        Err(error) => return Err(failed(error.into())),
    };
    let mut bytes = Vec::new();
    file.take(HOST_ETC_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Version 1: the container's own groups under the names that programs look for.
fn cgroup_view(tools: &Tools<'_>, job: &Job) -> Result<PathBuf, Failure> {
    let view = job.place.join("cgroup");
    let failed = |error: &std::io::Error| Failure::because("cgroup view", error);
    fs::create_dir_all(&view).map_err(|e| failed(&e))?;
    for (name, group) in tools.cgroups.views(&job.group) {
        let target = view.join(&name);
        fs::create_dir(&target).map_err(|e| failed(&e))?;
        rustix::mount::mount_bind(&group, &target).map_err(|e| failed(&e.into()))?;
        for alias in name.split(',').filter(|alias| *alias != name) {
            std::os::unix::fs::symlink(&name, view.join(alias)).map_err(|e| failed(&e))?;
        }
    }
    Ok(view)
}

/// libcontainer insists on moving its processes into a version 2 group, and on killing what is in there when it fails.
/// Ours are born in the right groups, so it gets a directory that looks like one.
fn decoy(tools: &Tools<'_>, job: &Job) -> Result<String, Failure> {
    let failed = |error: &std::io::Error| Failure::because("cgroup", error);
    let directory = tools.decoys.join(&job.id);
    fs::create_dir(&directory).map_err(|e| failed(&e))?;
    std::os::unix::fs::symlink("/dev/null", directory.join("cgroup.procs")).map_err(|e| failed(&e))?;
    Ok(format!("/{DECOYS}/{}", job.id))
}

/// libcontainer's error with what it logged on the way, and the right name in front.
fn explain(notes: &Notes, error: &(dyn std::error::Error + 'static)) -> Failure {
    // libcontainer cannot remove its decoy of a group, and says so after the cause; nobody needs to know.
    let all = chain(error);
    let all = all.split(". error during cleanup").next().unwrap_or_default();
    if let Some(at) = all.find(executor::PROGRAM) {
        return Failure::start(&all[at..]);
    }
    match notes.first() {
        Some(note) if note.contains(executor::PROGRAM) => {
            let at = note.find(executor::PROGRAM).unwrap_or(0);
            Failure::start(&note[at..])
        }
        Some(note) => Failure::create(note),
        None => Failure::create(all.to_owned()),
    }
}
