//! Supervisors without a task, started ahead: a program's start, its mount namespace and its first cgroup are paid for
//! before anybody waits. A spare ends by itself when its socket closes, so that none outlives the node.

use rustix::process::{Pid, PidfdFlags};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// How many wait.
const SPARES: usize = 4;
/// With no more than this many left, new ones are started as soon as a task is through its start.
const FEW: usize = 1;
/// New ones are started when none was taken for this long: their start would hold up the tasks that took the last.
const QUIET: Duration = Duration::from_millis(100);

/// The pool.
pub(crate) struct Spares {
    inner: Arc<Inner>,
    handle: Handle,
}

struct Inner {
    program: PathBuf,
    arguments: Vec<String>,
    waiting: Mutex<VecDeque<Spare>>,
    /// How many were taken so far.
    taken: AtomicU64,
    filling: Mutex<()>,
    /// The runtime is gone: nobody will take what is started now.
    closed: AtomicBool,
}

/// A started process and our end of its socket.
pub(crate) struct Spare {
    pub(crate) socket: UnixStream,
    pub(crate) pidfd: OwnedFd,
}

impl Spares {
    pub(crate) fn new(program: PathBuf, arguments: Vec<String>, handle: Handle) -> Self {
        let inner = Inner {
            program,
            arguments,
            waiting: Mutex::default(),
            taken: AtomicU64::new(0),
            filling: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner), handle }
    }

    /// Starts what is missing, in the background, once it is quiet.
    pub(crate) fn refill(&self) {
        let (inner, handle) = (self.inner.clone(), self.handle.clone());
        let taken = inner.taken.load(Ordering::Relaxed);
        self.handle.spawn(async move {
            tokio::time::sleep(QUIET).await;
            if inner.taken.load(Ordering::Relaxed) == taken {
                // Whoever took last waits for this; earlier ones have nothing more to do.
                let _ = tokio::task::spawn_blocking(move || inner.fill(&handle)).await;
            }
        });
    }

    /// A task has come through its start; nobody is held up for the moment.
    pub(crate) fn breathe(&self) {
        if self.inner.lock().len() <= FEW {
            let (inner, handle) = (self.inner.clone(), self.handle.clone());
            self.handle.spawn_blocking(move || inner.fill(&handle));
        }
    }

    /// A supervisor: one that waits, else a new one.
    pub(crate) fn take(&self) -> io::Result<Spare> {
        self.inner.taken.fetch_add(1, Ordering::Relaxed);
        let waiting = self.inner.lock().pop_front();
        let spare = match waiting {
            Some(spare) if spare.is_alive() => Ok(spare),
            _ => self.inner.start(&self.handle),
        };
        self.refill();
        spare
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.inner.closed.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Spare>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, handle: &Handle) {
        // One filler at a time; a second finds nothing to do.
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.closed.load(Ordering::Relaxed) && self.lock().len() < SPARES {
            match self.start(handle) {
                Ok(spare) => self.lock().push_back(spare),
                Err(error) => {
                    // Whoever takes next tries again, and gets the error.
                    tracing::warn!(%error, "cannot start a spare supervisor");
                    return;
                }
            }
        }
    }

    fn start(&self, handle: &Handle) -> io::Result<Spare> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            // Nothing of the node's environment, keys above all, is a supervisor's business.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pid = Pid::from_raw(child.id() as i32).ok_or_else(|| io::Error::other("no process"))?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let watched = pidfd.try_clone()?;
        handle.spawn(reap(child, watched));
        Ok(Spare { socket: ours, pidfd })
    }
}

impl Spare {
    fn is_alive(&self) -> bool {
        let mut poll = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(rustix::event::poll(&mut poll, Some(&now)), Ok(0))
    }
}

/// Collects a dead supervisor, so that it does not stay as a zombie.
async fn reap(mut child: Child, pidfd: OwnedFd) {
    if let Ok(pidfd) = crate::pidfd::watch(pidfd) {
        let _ = pidfd.readable().await;
    }
    let _ = child.try_wait();
}
