//! Waiting for a process's end without polling. Nothing of Gantry.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Becomes readable when the process ends.
#[allow(unsafe_code)]
pub(crate) fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` answers the same open descriptor for as long as it lives, and it moves into the `AsyncFd`,
    // which deregisters it before it is closed.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}
