//! Turns a freshly started process into a spare supervisor: its own session, subreaper, cgroup and mount namespace.
//! Everything here can be done before a task is known, so that a task does not wait for it.

use super::create::{DECOYS, Tools};
use super::host;
use super::maker::Maker;
use super::process::{block_signals, replace};
use super::spec::Host;
use super::{SupervisorError, system};
use crate::cgroup::Cgroups;
use crate::place::{Place, container_group, supervisor_group};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Spares the supervisor where the host permits it.
const OOM_SCORE: &str = "-999";

/// A supervisor that waits for its task.
pub(super) struct Prepared {
    pub(super) place: Place,
    pub(super) signals: OwnedFd,
    /// The private tmpfs: cgroup mounts, container places, libcontainer's state.
    pub(super) private: PathBuf,
    pub(super) cgroups: Cgroups,
    pub(super) host: Host,
    /// The root directory of the mount namespace it came from.
    pub(super) host_root: OwnedFd,
    /// Its group until there is a task.
    pub(super) group: String,
    /// Ready for the first container; version 1 only.
    pub(super) maker: Option<Maker>,
}

impl Prepared {
    /// What containers are made with.
    pub(super) fn tools(&self) -> Tools<'_> {
        Tools {
            state: self.private.join("state"),
            cgroups: &self.cgroups,
            host: &self.host,
            host_root: &self.host_root,
            decoys: self.private.join("decoys"),
        }
    }

    /// The end of a spare: its group goes with it.
    pub(super) fn give_up(mut self) {
        if let Some(maker) = self.maker.take() {
            maker.end();
        }
        leave(&self.place, &self.cgroups, &self.group);
    }
}

/// Prepares the calling process.
pub(super) fn prepare(node_id: &str) -> Result<Prepared, SupervisorError> {
    let place = Place::new(node_id);
    let signals = block_signals().map_err(system("block signals"))?;
    // A process that leads a group already cannot, and need not, begin a session.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).map_err(system("become a subreaper"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::chdir("/").map_err(system("enter /"))?;
    // Lowering the score needs a capability that a host may lack; then it stays as it is.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let cgroups = Cgroups::discover()?;
    let pid = std::process::id();
    let group = place.waiting_cgroup(pid);
    cgroups.enter_tracking(&place.spare_cgroup())?;
    cgroups.create(&supervisor_group(&group))?;
    cgroups.enter(&supervisor_group(&group), pid)?;
    let result = prepare_in(place.clone(), signals, cgroups.clone(), &group);
    if result.is_err() {
        leave(&place, &cgroups, &group);
    }
    result
}

/// The rest, from within its own group.
fn prepare_in(place: Place, signals: OwnedFd, cgroups: Cgroups, group: &str) -> Result<Prepared, SupervisorError> {
    let host_root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(system("open /"))?;
    let private = place.private();
    let unified = cgroups.is_unified();
    let cgroups = own_mounts(&private, &cgroups)?;
    let host = host::read(unified);
    let group = group.to_owned();
    let mut prepared = Prepared { place, signals, private, cgroups, host, host_root, group, maker: None };
    if prepared.cgroups.can_rename() {
        let first = container_group(&prepared.group, 0);
        prepared.cgroups.create(&first)?;
        let maker = Maker::start(&prepared.tools(), &first).map_err(system("fork a maker"))?;
        prepared.maker = Some(maker);
    }
    Ok(prepared)
}

/// Out of a waiting group, which is removed. What cannot be removed now is swept by the node's next start.
fn leave(place: &Place, cgroups: &Cgroups, group: &str) {
    let parking = place.spare_cgroup();
    let moved = cgroups.create(&parking).and_then(|()| cgroups.enter(&parking, std::process::id()));
    if moved.is_ok() {
        let _ = cgroups.remove(group);
    }
}

/// Keeps the socket and puts /dev/null in its place, which containers get as their standard input.
pub(super) fn take_standard_input() -> Result<OwnedFd, SupervisorError> {
    let node = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).map_err(system("keep the node's socket"))?;
    let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(system("open /dev/null"))?;
    for standard in [0, 1] {
        replace(standard, &null).map_err(system("replace a standard descriptor"))?;
    }
    Ok(node)
}

/// A mount namespace in which root file systems appear and with which they vanish.
#[allow(unsafe_code)]
fn own_mounts(private: &Path, cgroups: &Cgroups) -> Result<Cgroups, SupervisorError> {
    // SAFETY: a new mount namespace shares no memory, descriptor or signal state with anybody; this process has one
    // thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(system("make a mount namespace"))?;
    // What the host unmounts must vanish here too; what is mounted here stays here.
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).map_err(system("detach the mounts"))?;
    forget_namespaces();
    rustix::mount::mount("gantry", private, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0700"))
        .map_err(system("mount a private tmpfs"))?;
    for name in ["state", "decoys", "cg"] {
        fs::create_dir(private.join(name)).map_err(system("make a private directory"))?;
    }
    // libcontainer shall find a version 2 host in which it can do no harm and lose no time: its search through a dozen
    // version 1 controllers, and its moves between groups, cost milliseconds a container.
    let moved = private.join("cg");
    rustix::mount::mount_bind_recursive(CGROUP_ROOT, &moved).map_err(system("bind cgroups"))?;
    if !cgroups.is_unified() {
        rustix::mount::mount("cgroup2", CGROUP_ROOT, "cgroup2", MountFlags::empty(), None)
            .map_err(system("mount cgroup2"))?;
    }
    let decoys = Path::new(CGROUP_ROOT).join(DECOYS);
    // Version 1 hosts have no such group in the version 2 hierarchy, unless that one tracks.
    let _ = fs::create_dir(&decoys);
    rustix::mount::mount_bind(private.join("decoys"), &decoys).map_err(system("bind decoys"))?;
    Ok(cgroups.seen_below(Path::new(CGROUP_ROOT), &moved))
}

/// Network namespaces pinned by mounts would live on in our copy of the mount after their owner let go.
fn forget_namespaces() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in mounts.lines().filter(|line| line.contains(" - nsfs ")) {
        if let Some(path) = line.split(' ').nth(4) {
            // Gone already is as good.
            let _ = rustix::mount::unmount(path, UnmountFlags::DETACH);
        }
    }
}
