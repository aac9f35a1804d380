//! Runs a program inside a container that runs, confined like the container's own: its namespaces, cgroups, user,
//! environment, limits, capabilities and filter. The whole of it happens in a process forked for that alone.
//!
//! ```text
//! supervisor ── fork ──> helper: joins the container ── fork ──> program, in the container's process namespace
//!                          └─ waits, kills the program's group when its time is up, ends with its exit code
//! ```

use super::executor::{become_program, find};
use super::host::{CAPABILITIES, LIMITS};
use super::process::{fork, replace};
use crate::cgroup::Cgroups;
use libcontainer::oci_spec::runtime::LinuxSeccomp;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Pid, PidfdFlags, Rlimit, Signal, Uid, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// What a shell answers for a program that cannot be run.
const CANNOT_RUN: i32 = 126;
/// What a shell answers for one that is not there.
const NOT_FOUND: i32 = 127;
/// 128 + SIGKILL: its time was up.
const KILLED: i32 = 137;

/// A program to be run in a container.
pub(super) struct Exec<'a> {
    pub(super) cgroups: &'a Cgroups,
    /// The container's group.
    pub(super) group: &'a str,
    /// The container's first process, not reaped.
    pub(super) container: &'a OwnedFd,
    /// Where its specification is.
    pub(super) bundle: &'a Path,
    pub(super) command: &'a [String],
    pub(super) timeout: Duration,
}

/// The parts of a specification that a further process shares with the first one.
#[derive(Deserialize)]
struct Document {
    process: Process,
    linux: Linux,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    env: Vec<String>,
    cwd: String,
    user: User,
    capabilities: Capabilities,
    rlimits: Vec<Limit>,
    #[serde(default)]
    no_new_privileges: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    uid: u32,
    gid: u32,
    additional_gids: Vec<u32>,
}

#[derive(Deserialize)]
struct Capabilities {
    bounding: BTreeSet<String>,
    effective: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Limit {
    #[serde(rename = "type")]
    kind: String,
    soft: u64,
    hard: u64,
}

#[derive(Deserialize)]
struct Linux {
    seccomp: Option<LinuxSeccomp>,
}

/// The whole life of the forked helper; ends with the program's exit code.
pub(super) fn run(exec: &Exec<'_>) -> i32 {
    match join(exec) {
        Ok(document) => supervise(exec, &document),
        Err(error) => {
            eprintln!("cannot enter the container: {error}");
            CANNOT_RUN
        }
    }
}

fn join(exec: &Exec<'_>) -> io::Result<Document> {
    if !exec.cgroups.is_in(exec.group) {
        exec.cgroups.enter(exec.group, std::process::id()).map_err(io::Error::other)?;
    }
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    let document: Document = serde_json::from_slice(&fs::read(exec.bundle.join("config.json"))?)?;
    // From here on processes of the container may see this one: they must not look into it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::NETWORK;
    rustix::thread::move_into_thread_name_spaces(exec.container.as_fd(), all)?;
    Ok(document)
}

/// Forks the program and waits for it, for as long as it may take.
fn supervise(exec: &Exec<'_>, document: &Document) -> i32 {
    let Ok(program) = fork(|| enter(document, exec.command)) else { return CANNOT_RUN };
    let ended = wait(program, exec.timeout);
    if !ended {
        // It leads a group of its own; before it does, there is only itself.
        let _ = rustix::process::kill_process_group(program, Signal::KILL);
        let _ = rustix::process::kill_process(program, Signal::KILL);
    }
    loop {
        match rustix::process::waitpid(Some(program), WaitOptions::empty()) {
            Ok(Some((_, status))) if ended => {
                return status.exit_status().or(status.terminating_signal().map(|s| 128 + s)).unwrap_or(CANNOT_RUN);
            }
            Err(Errno::INTR) => {}
            _ => return KILLED,
        }
    }
}

fn wait(program: Pid, timeout: Duration) -> bool {
    let Ok(pidfd) = rustix::process::pidfd_open(program, PidfdFlags::empty()) else { return false };
    let timeout = Timespec::try_from(timeout).ok();
    let mut poll = [PollFd::new(&pidfd, PollFlags::IN)];
    matches!(rustix::event::poll(&mut poll, timeout.as_ref()), Ok(ready) if ready > 0)
}

/// The program's process, from its birth to `execve`.
fn enter(document: &Document, command: &[String]) -> i32 {
    let process = &document.process;
    if let Err(error) = confine(document) {
        eprintln!("cannot confine a program in the container: {error}");
        return CANNOT_RUN;
    }
    match find(command, &process.env) {
        Ok(path) => {
            become_program(&path, command, &process.env);
            CANNOT_RUN
        }
        Err(_) => NOT_FOUND,
    }
}

fn confine(document: &Document) -> io::Result<()> {
    let Process { cwd, user, capabilities, rlimits, no_new_privileges, .. } = &document.process;
    rustix::process::setsid()?;
    close_all_but_standard()?;
    // What a check prints is of no use to the supervisor's log.
    let null = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
    replace(2, &null)?;
    rustix::process::chdir(cwd.as_str())?;
    rlimits.iter().try_for_each(limit)?;
    if *no_new_privileges {
        rustix::thread::set_no_new_privs(true)?;
    }
    for (bit, name) in CAPABILITIES.iter().enumerate() {
        if !capabilities.bounding.contains(&format!("CAP_{name}")) {
            match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
                // Of a newer kernel than this one.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    become_user(user)?;
    let held =
        CAPABILITIES.iter().enumerate().filter(|(_, name)| capabilities.effective.contains(&format!("CAP_{name}")));
    let held = CapabilitySet::from_bits_retain(held.fold(0, |all, (bit, _)| all | 1 << bit));
    let sets = CapabilitySets { effective: held, permitted: held, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    if let Some(filter) = &document.linux.seccomp {
        libcontainer::seccomp::initialize_seccomp(filter).map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

/// Marked to be closed by `execve`, should one have been opened without that.
fn close_all_but_standard() -> io::Result<()> {
    const CLOSE_ON_EXEC: libc::c_uint = 4;
    // SAFETY: no descriptor is closed here; they are marked.
    #[allow(unsafe_code)]
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, CLOSE_ON_EXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn limit(limit: &Limit) -> io::Result<()> {
    let name = limit.kind.trim_start_matches("RLIMIT_").to_ascii_lowercase();
    let Some((_, resource)) = LIMITS.iter().find(|(known, _)| *known == name) else { return Ok(()) };
    let value = |number: u64| (number != u64::MAX).then_some(number);
    rustix::process::setrlimit(*resource, Rlimit { current: value(limit.soft), maximum: value(limit.hard) })?;
    Ok(())
}

fn become_user(user: &User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<Gid> = user.additional_gids.iter().map(|gid| Gid::from_raw(*gid)).collect();
    rustix::thread::set_thread_groups(&groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}
