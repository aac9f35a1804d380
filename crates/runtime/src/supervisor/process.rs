//! The few process primitives that rustix leaves out: fork, signal masks, a descriptor for signals. Nothing of Gantry.

use rustix::process::Pid;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Signals that a supervisor takes by descriptor, or not at all: only `End` ends it.
const BLOCKED: [libc::c_int; 4] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// Wider than what the libc crate gives as a constant.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Blocks the signals and gives the descriptor that tells of dead children.
#[allow(unsafe_code)]
pub(super) fn block_signals() -> io::Result<OwnedFd> {
    let fd = with_set(&BLOCKED, |all| {
        // SAFETY: `all` is an initialised signal set.
        if unsafe { libc::sigprocmask(libc::SIG_SETMASK, all, std::ptr::null_mut()) } != 0 {
            return -1;
        }
        with_set(&BLOCKED[..1], |children| {
            // SAFETY: `children` is an initialised signal set; a new descriptor is asked for.
            unsafe { libc::signalfd(-1, children, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) }
        })
    });
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[allow(unsafe_code)]
fn with_set<T>(signals: &[libc::c_int], act: impl FnOnce(&libc::sigset_t) -> T) -> T {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; the signal numbers are valid.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    };
    act(&set)
}

/// Undoes what programs would inherit: the blocked signals, and Rust's ignoring of SIGPIPE.
#[allow(unsafe_code)]
fn reset_signals() {
    with_set(&[], |none| {
        // SAFETY: `none` is an initialised signal set.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, none, std::ptr::null_mut()) }
    });
    // SAFETY: restores the default action; no handler is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Makes the standard descriptor `number` (0 to 2) another name of `fd`.
#[allow(unsafe_code)]
pub(super) fn replace(number: i32, fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: standard descriptors are owned by nobody in Rust's sense; a program may put others in their place.
    if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Runs `child` in a copy of this process, which ends with its answer.
pub(super) fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    begin(child, plain_fork)
}

/// As [`fork`], the copy being born in the version 2 cgroup whose directory is given.
pub(super) fn fork_into(group: &File, child: impl FnOnce() -> i32) -> io::Result<Pid> {
    begin(child, || clone_into(group))
}

#[allow(unsafe_code)]
fn begin(child: impl FnOnce() -> i32, fork: impl FnOnce() -> libc::pid_t) -> io::Result<Pid> {
    match fork() {
        0 => {
            reset_signals();
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the copy without running the exit handlers of the original.
            unsafe { libc::_exit(result.unwrap_or(101)) }
        }
        pid if pid > 0 => Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave no process")),
        _ => Err(io::Error::last_os_error()),
    }
}

#[allow(unsafe_code)]
fn plain_fork() -> libc::pid_t {
    // SAFETY: a supervisor has one thread, so that no lock can be held by a thread that the copy lacks.
    unsafe { libc::fork() }
}

/// The kernel moves no process and waits for no grace period when one is born in its group.
#[allow(unsafe_code)]
fn clone_into(group: &File) -> libc::pid_t {
    // SAFETY: all members are numbers, for which zero is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = group.as_raw_fd() as u64;
    // SAFETY: without CLONE_VM and a stack this is fork(2); a supervisor has one thread, so that no lock can be held by
    // a thread that the copy lacks. The structure and its size are given.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    pid as libc::pid_t
}
