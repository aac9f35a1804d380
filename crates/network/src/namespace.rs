//! Network namespaces as files: made on a thread of their own, pinned by a bind mount, entered for a moment. A pinned
//! namespace outlives every process; unpinned, it goes with its last process and takes its links along.

use crate::error::NetworkError;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

const NSFS_MAGIC: u64 = 0x6e73_6673;
const SELF: &str = "/proc/thread-self/ns/net";

/// The calling thread's network namespace.
pub(crate) fn current() -> Result<OwnedFd, NetworkError> {
    open(Path::new(SELF))
}

/// A namespace by its path.
pub(crate) fn open(path: &Path) -> Result<OwnedFd, NetworkError> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(NetworkError::file("cannot open the namespace", path))
}

/// Makes a namespace and does `work` inside it; the descriptor keeps it alive.
#[expect(unsafe_code, reason = "rustix marks unshare unsafe, for flags that are not used here")]
pub(crate) fn make<T: Send>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<(OwnedFd, T), NetworkError> {
    on_a_thread(|| {
        // SAFETY: the flag touches the network namespace only, and only of this thread, which ends with this closure;
        // no descriptor table or address space is unshared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
            .map_err(NetworkError::file("cannot make a network namespace", Path::new(SELF)))?;
        Ok((current()?, work()?))
    })
}

/// Does `work` inside a namespace. Sockets opened there stay there.
pub(crate) fn within<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    on_a_thread(|| {
        enter(namespace)?;
        work()
    })
}

/// Moves the calling thread on into another namespace: only for the work of `make`, whose thread ends with it.
pub(crate) fn enter(namespace: BorrowedFd<'_>) -> Result<(), NetworkError> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
        .map_err(NetworkError::file("cannot enter the namespace", Path::new(SELF)))
}

/// A thread that has changed its namespace must never be used for anything else: so it is born and dies here.
fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T, NetworkError> + Send) -> Result<T, NetworkError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, work);
        let thread = thread.map_err(NetworkError::file("cannot start a thread for", Path::new(SELF)))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Sets a kernel parameter of the calling thread's namespace, `ipv4/ip_forward`.
pub(crate) fn set_parameter(name: &str, value: &str) -> Result<(), NetworkError> {
    let path = Path::new("/proc/sys/net").join(name);
    std::fs::write(&path, value).map_err(NetworkError::file("cannot set", &path))
}

/// As `set_parameter`, where the kernel has such a parameter.
pub(crate) fn set_parameter_if_known(name: &str, value: &str) -> Result<(), NetworkError> {
    match set_parameter(name, value) {
        Err(NetworkError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes `directory` a mount of its own that shares nothing with the host's other mount namespaces.
pub(crate) fn make_private_mount(directory: &Path) -> Result<(), NetworkError> {
    std::fs::create_dir_all(directory).map_err(NetworkError::file("cannot make the directory", directory))?;
    if !is_mount_point(directory)? {
        mount_bind(directory, directory).map_err(NetworkError::file("cannot bind", directory))?;
    }
    mount_change(directory, MountPropagationFlags::PRIVATE)
        .map_err(NetworkError::file("cannot make the mount private", directory))
}

/// Takes such a mount and its directory away, if they are there. The namespaces in it must have gone before.
pub(crate) fn remove_private_mount(directory: &Path) -> Result<(), NetworkError> {
    while directory.exists() && is_mount_point(directory)? {
        unmount(directory, UnmountFlags::DETACH).map_err(NetworkError::file("cannot unmount", directory))?;
    }
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetworkError::file("cannot remove", directory)(error))
        }
        _ => Ok(()),
    }
}

/// Whether something is mounted exactly here (a bind of a directory on itself keeps its device number, so the mount's
/// id must be asked for).
fn is_mount_point(path: &Path) -> Result<bool, NetworkError> {
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
    let status =
        statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).map_err(NetworkError::file("cannot look at", path))?;
    if status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Kernels before 5.8 do not say; the mount table does.
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(NetworkError::file("cannot read", Path::new("/proc/self/mountinfo")))?;
    let wanted = path.to_string_lossy();
    Ok(table.lines().any(|line| line.split(' ').nth(4) == Some(&*wanted)))
}

/// Pins a namespace to `path`.
pub(crate) fn pin(namespace: &OwnedFd, path: &Path) -> Result<(), NetworkError> {
    std::fs::File::create(path).map_err(NetworkError::file("cannot make", path))?;
    let source = format!("/proc/self/fd/{}", namespace.as_fd().as_raw_fd());
    mount_bind(source.as_str(), path).map_err(NetworkError::file("cannot pin the namespace to", path))
}

/// Whether a namespace is pinned to `path`.
pub(crate) fn is_pinned(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type as u64 == NSFS_MAGIC)
}

/// Drops the pin at `path`, if it is there. Unlinking the file makes the kernel detach copies of the mount in all other
/// mount namespaces as well, such as those that containers were born with.
pub(crate) fn unpin(path: &Path) -> Result<(), NetworkError> {
    while is_pinned(path) {
        unmount(path, UnmountFlags::DETACH).map_err(NetworkError::file("cannot unpin the namespace", path))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(NetworkError::file("cannot remove", path)(error)),
        _ => Ok(()),
    }
}
