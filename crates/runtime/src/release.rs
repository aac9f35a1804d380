//! Takes away what a task holds on the host: processes, cgroups, its socket. Idempotent, and works when the supervisor
//! is long dead or never was. Never removes the task's directory; that is `Forget`.

use crate::cgroup::CgroupError;
use crate::directory::TaskDirectory;
use crate::hands::Shared;
use crate::place::Place;
use node::hands::TaskKey;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A killed supervisor is waited for this long.
const DEATH_TIMEOUT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// Processes that the kernel does not let die are tried this often.
const TRIES: usize = 3;

/// Connects to the task's supervisor, if the one on record is alive.
pub(crate) fn living(place: &Place, task: &TaskKey, directory: &TaskDirectory) -> Option<(UnixStream, OwnedFd)> {
    if let Some(pidfd) = process(directory) {
        let socket = UnixStream::connect(place.socket(task)).ok()?;
        return Some((socket, pidfd));
    }
    if !directory.is_held() || directory.identity().is_some() {
        return None;
    }
    // Somebody has the task, and the record of who it is was lost: the kernel knows who made the socket.
    let socket = UnixStream::connect(place.socket(task)).ok()?;
    let holder = rustix::net::sockopt::socket_peercred(&socket).ok()?;
    let pidfd = rustix::process::pidfd_open(holder.pid, PidfdFlags::empty()).ok()?;
    let file = directory.path().join("supervisor.json");
    tracing::error!(%task, file = %file.display(), "the record of a task's supervisor cannot be read; the supervisor that holds the task is taken");
    Some((socket, pidfd))
}

/// The supervisor on record, if that very process is alive.
fn process(directory: &TaskDirectory) -> Option<OwnedFd> {
    let identity = directory.identity()?;
    let pidfd = rustix::process::pidfd_open(Pid::from_raw(identity.pid as i32)?, PidfdFlags::empty()).ok()?;
    // Looked at after the descriptor was opened: now the number cannot come to mean another process.
    identity.is_alive().then_some(pidfd)
}

/// Blocks until nothing is left but the directory.
pub(crate) fn release(shared: &Shared, task: &TaskKey, directory: &TaskDirectory) {
    if let Some(pidfd) = process(directory) {
        let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
        let mut watched = [PollFd::new(&pidfd, PollFlags::IN)];
        let _ = poll(&mut watched, Some(&DEATH_TIMEOUT));
    }
    let group = shared.place.task_cgroup(task);
    for _ in 0..TRIES {
        match clear(shared, &group) {
            Ok(()) => break,
            Err(error) => tracing::error!(%task, %error, "cannot clear the task's cgroup"),
        }
    }
    if let Some(identity) = directory.identity() {
        // Version 2: a supervisor that ended early had not moved out of the group of its time as a spare.
        let _ = shared.cgroups.remove_now(&shared.place.waiting_cgroup(identity.pid));
    }
    let _ = fs::remove_file(shared.place.socket(task));
}

fn clear(shared: &Shared, group: &str) -> Result<(), CgroupError> {
    if shared.cgroups.remove_now(group).is_ok() {
        return Ok(());
    }
    shared.cgroups.kill(group)?;
    shared.cgroups.remove(group)
}

/// Renames a task's directory out of the way of its deletion; gives the new name.
pub(crate) fn set_aside(tasks: &Path, task: &TaskKey, directory: &TaskDirectory) -> io::Result<PathBuf> {
    let aside = tasks.join(format!(".gone-{task}"));
    match fs::rename(directory.path(), &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(aside),
        // An earlier life of the same task is still being deleted.
        Err(_) if aside.exists() => {
            fs::remove_dir_all(&aside)?;
            fs::rename(directory.path(), &aside).map(|()| aside)
        }
        result => result.map(|()| aside),
    }
}
