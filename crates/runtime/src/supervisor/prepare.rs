//! Turns a freshly started process into a spare supervisor: its own session, subreaper, cgroup and mount namespace.
//! Everything here can be done before a task is known, so that a task does not wait for it.

use super::host;
use super::process::{block_signals, replace};
use super::spec::Host;
use super::{SupervisorError, system};
use crate::cgroup::Cgroups;
use crate::place::Place;
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
}

/// Prepares the calling process.
pub(super) fn prepare(node_id: &str) -> Result<Prepared, SupervisorError> {
    let place = Place::new(node_id);
    let signals = block_signals().map_err(system("block signals"))?;
    // A process that leads a group already cannot, and need not, begin a session.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
        .map_err(system("become a subreaper"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::chdir("/").map_err(system("enter /"))?;
    // Lowering the score needs a capability that a host may lack; then it stays as it is.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let cgroups = Cgroups::discover()?;
    let group = place.spare_cgroup();
    cgroups.create(&group)?;
    cgroups.enter(&group, std::process::id())?;
    let host_root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(system("open /"))?;
    let private = place.private();
    let unified = cgroups.is_unified();
    let cgroups = own_mounts(&private, cgroups)?;
    Ok(Prepared { place, signals, private, cgroups, host: host::read(unified), host_root })
}

/// Keeps the socket and puts /dev/null in its place, which containers get as their standard input.
pub(super) fn take_standard_input() -> Result<OwnedFd, SupervisorError> {
    let node = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)
        .map_err(system("keep the node's socket"))?;
    let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(system("open /dev/null"))?;
    for standard in [0, 1] {
        replace(standard, &null).map_err(system("replace a standard descriptor"))?;
    }
    Ok(node)
}

/// A mount namespace in which root file systems appear and with which they vanish.
#[allow(unsafe_code)]
fn own_mounts(private: &Path, cgroups: Cgroups) -> Result<Cgroups, SupervisorError> {
    // SAFETY: a new mount namespace shares no memory, descriptor or signal state with anybody; this process has one
    // thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(system("make a mount namespace"))?;
    // What the host unmounts must vanish here too; what is mounted here stays here.
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).map_err(system("detach the mounts"))?;
    forget_namespaces();
    rustix::mount::mount(
        "gantry",
        private,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(c"mode=0700"),
    )
    .map_err(system("mount a private tmpfs"))?;
    fs::create_dir(private.join("state")).map_err(system("make a state directory"))?;
    if cgroups.is_unified() {
        return Ok(cgroups);
    }
    // libcontainer shall see a version 2 host: our groups are made and entered by ourselves in every hierarchy, and its
    // own search through a dozen version 1 controllers costs milliseconds a container.
    let moved = private.join("cg");
    fs::create_dir(&moved).map_err(system("make a cgroup directory"))?;
    rustix::mount::mount_bind_recursive(CGROUP_ROOT, &moved).map_err(system("bind cgroups"))?;
    rustix::mount::mount("cgroup2", CGROUP_ROOT, "cgroup2", MountFlags::empty(), None)
        .map_err(system("mount cgroup2"))?;
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
