//! A task as its supervisor sees it: the containers, what they print, how they end.
//!
//! ```text
//! container: creating ── Created ──> created ── Started ──> running ── reaped and drained ──> ended
//!                └── Failed ─────────────┴──────────────────────────────────────────────────> ended
//! ```
//!
//! Never decides: a container is started, signalled or ended because the node said so.

use super::checks::Check;
use super::create::{self, Job, Pipes, Progress};
use super::failure::Failure;
use super::prepare::Prepared;
use super::process::{fork, fork_into, replace};
use super::protocol::{Assignment, PROTOCOL, Report, Start};
use super::rootfs::Rootfs;
use super::signal;
use super::{SupervisorError, system};
use crate::directory::{TaskDirectory, file_name, now_ms, runtime_id};
use crate::identity::Identity;
use crate::output::Spool;
use crate::place::{container_group, containers_group, supervisor_group};
use node::hands::{Exit, FoundContainer, Joined, TaskKey};
use rustix::event::epoll;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// More containers than any task definition may have, restarts by the node included.
const CONTAINERS_MAX: usize = 256;
/// Reads of one pipe before others have their turn.
const READS_MAX: usize = 16;
const READ_BYTES: usize = 64 << 10;
/// Descriptors of containers are known to epoll from this number on, three each.
pub(super) const TOKEN_FIRST: u64 = 16;
const TOKENS_EACH: u64 = 3;
const TELL: u64 = 2;

/// The task and what a supervisor holds for it.
pub(super) struct Task {
    pub(super) prepared: Prepared,
    key: TaskKey,
    directory: TaskDirectory,
    /// Held for as long as this process lives.
    _lock: File,
    pub(super) group: String,
    pub(super) containers: Vec<Container>,
    /// Containers made so far: each has a number that no other had.
    made: usize,
    pub(super) checks: Vec<Check>,
    /// Dead children whose container has not told its process number yet.
    unclaimed: BTreeMap<i32, i32>,
    pub(super) reports: Vec<Report>,
    /// This process is in its own group of the task's, in version 2 as well.
    pub(super) settled: bool,
    ending: bool,
}

pub(super) struct Container {
    pub(super) name: String,
    /// What libcontainer calls it.
    pub(super) id: String,
    pub(super) attempt: u32,
    runtime_id: String,
    image_digest: String,
    pub(super) group: String,
    pub(super) place: PathBuf,
    stop_signal: Signal,
    /// A stop that came before there was a process; true for SIGKILL.
    stop: Option<bool>,
    pub(super) pid: Option<Pid>,
    started_at: Option<u64>,
    /// How its first process ended, once reaped.
    status: Option<i32>,
    reason: Option<String>,
    pub(super) exit: Option<Exit>,
    /// Its root is unmounted.
    tidied: bool,
    tell: Option<OwnedFd>,
    told: Vec<u8>,
    /// Output, error.
    pipes: [Option<OwnedFd>; 2],
    spool: Spool,
    /// Its pipes are left alone until the spool has room.
    held_back: bool,
}

impl Task {
    /// Takes a task over: lock, groups with limits, record of who we are.
    pub(super) fn take_over(prepared: Prepared, assignment: &Assignment) -> Result<Self, SupervisorError> {
        let directory = TaskDirectory::at(assignment.directory.clone());
        directory.make().map_err(system("make the task's directory"))?;
        let lock = File::create(directory.lock_file()).map_err(system("open the task's lock"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN) => {
                return Err(SupervisorError::Held { path: directory.path().to_owned() });
            }
            Err(error) => return Err(system("lock the task")(error)),
        }
        // From here on there is a place for words that nobody waits for.
        if let Ok(log) = File::options().create(true).append(true).open(directory.log()) {
            let _ = replace(2, &log.into());
        }
        let group = prepared.place.task_cgroup(&assignment.task);
        prepared.cgroups.rename(&prepared.group, &group)?;
        prepared.cgroups.create(&containers_group(&group))?;
        prepared.cgroups.limit_task(&containers_group(&group), &assignment.limits)?;
        prepared.cgroups.create(&supervisor_group(&group))?;
        let identity = Identity::own(PROTOCOL).map_err(system("read who we are"))?;
        directory.write_identity(&identity).map_err(system("write supervisor.json"))?;
        let settled = prepared.cgroups.can_rename();
        Ok(Self {
            prepared,
            key: assignment.task.clone(),
            directory,
            _lock: lock,
            group,
            containers: Vec::new(),
            made: 0,
            checks: Vec::new(),
            unclaimed: BTreeMap::new(),
            reports: Vec::new(),
            settled,
            ending: false,
        })
    }

    /// All containers as a returning node needs them.
    pub(super) fn state(&self) -> Report {
        Report::State { version: PROTOCOL, containers: self.containers.iter().map(Container::found).collect() }
    }

    /// What has happened since the last call.
    pub(super) fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// Whether there is something to do when nothing happens for a while.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// The descriptor that tells of dead children.
    pub(super) fn signals(&self) -> &OwnedFd {
        &self.prepared.signals
    }

    /// Nothing is left to do after `End`.
    pub(super) fn is_over(&self) -> bool {
        self.ending && self.containers.iter().all(|container| container.exit.is_some())
    }

    /// Creates and starts a container, or tells again what became of it.
    pub(super) fn start(&mut self, start: Start, poll: &OwnedFd) {
        let known = self.containers.iter().find(|c| c.name == start.spec.name);
        if let Some(known) = known.filter(|known| known.exit.is_none() || known.attempt >= start.spec.attempt) {
            self.reports.extend(known.story());
            return;
        }
        let container = start.spec.name.clone();
        if let Err(failure) = self.try_start(start, poll) {
            self.reports.push(Report::Failed { container, exit: failed(failure.to_string()) });
        }
    }

    fn try_start(&mut self, mut start: Start, poll: &OwnedFd) -> Result<(), Failure> {
        if self.ending {
            return Err(Failure::create("the task is ending"));
        }
        let again = self.containers.iter().position(|c| c.name == start.spec.name);
        if again.is_none() && self.containers.len() >= CONTAINERS_MAX {
            return Err(Failure::create(format!("more than {CONTAINERS_MAX} containers")));
        }
        if start.spec.network == Joined::Host {
            let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
            start.spec.host_name.get_or_insert_with(host);
        }
        let slot = again.unwrap_or(self.containers.len());
        let number = self.made;
        self.made += 1;
        let io = |error: std::io::Error| Failure::because("container", &error);
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| io(e.into()));
        let (output, output_write) = pipe()?;
        let (error, error_write) = pipe()?;
        let (tell, tell_write) = pipe()?;
        let job = Job {
            id: format!("{}-{number}", self.key),
            group: container_group(&self.group, number),
            place: self.prepared.private.join(format!("c{number}")),
            writable: self.directory.rootfs().join(file_name(&start.spec.name)),
            start,
        };
        let spec = &job.start.spec;
        let container = Container {
            name: spec.name.clone(),
            id: job.id.clone(),
            attempt: spec.attempt,
            runtime_id: runtime_id(&self.key, &spec.name),
            image_digest: spec.image_digest.clone(),
            group: job.group.clone(),
            place: job.place.clone(),
            stop_signal: signal::stop_signal(&[spec.stop_signal.as_deref(), job.start.image.stop_signal.as_deref()]),
            stop: None,
            pid: None,
            started_at: None,
            status: None,
            reason: None,
            exit: None,
            tidied: false,
            tell: Some(tell),
            told: Vec::new(),
            pipes: [Some(output), Some(error)],
            spool: Spool::open(&self.directory.output(&spec.name), &spec.log, &runtime_id(&self.key, &spec.name))
                .map_err(io)?,
            held_back: false,
        };
        container.register(slot, poll).map_err(io)?;
        let pipes = Pipes { output: output_write, error: error_write, tell: tell_write };
        again.iter().for_each(|slot| self.clear(&self.containers[*slot]));
        self.make(&job, pipes)?;
        match again {
            Some(slot) => self.containers[slot] = container,
            None => self.containers.push(container),
        }
        Ok(())
    }

    /// Has the container made, by the process that waits for the first one or by a new one.
    fn make(&mut self, job: &Job, pipes: Pipes) -> Result<(), Failure> {
        let io = |error: std::io::Error| Failure::because("container", &error);
        if let Some(maker) = self.prepared.maker.take() {
            return maker.give(job, &pipes).map_err(io);
        }
        let cgroups = &self.prepared.cgroups;
        cgroups.create(&job.group).map_err(|error| Failure::because("cgroup", &error))?;
        let tools = self.prepared.tools();
        let make = || create::run(&tools, job, pipes);
        let made = match cgroups.birthplace(&job.group) {
            Some(group) => fork_into(&group, make),
            None => fork(make),
        };
        made.map(|_| ()).map_err(io)
    }

    /// Sends the stop signal or SIGKILL, now or as soon as there is a process.
    pub(super) fn stop(&mut self, name: &str, force: bool) {
        let Some(container) = self.containers.iter_mut().find(|c| c.name == name) else { return };
        container.stop = Some(force || container.stop == Some(true));
        container.signal_if_running();
    }

    /// Kills what runs; the task is over when all is reaped.
    pub(super) fn end(&mut self) {
        self.ending = true;
        for container in &mut self.containers {
            container.stop = Some(true);
            container.signal_if_running();
        }
    }

    /// One of the containers' descriptors can be read.
    pub(super) fn readable(&mut self, token: u64, poll: &OwnedFd) {
        let index = ((token - TOKEN_FIRST) / TOKENS_EACH) as usize;
        let Some(container) = self.containers.get_mut(index) else { return };
        match (token - TOKEN_FIRST) % TOKENS_EACH {
            TELL => {
                for progress in container.read_tell() {
                    self.progress(index, progress);
                }
                self.finish(index);
            }
            stream => {
                container.read_output(stream as usize);
                if container.spool.is_full() {
                    container.hold_back(poll);
                }
            }
        }
    }

    /// A container waits for room in its spool.
    pub(super) fn holds_back(&self) -> bool {
        self.containers.iter().any(|container| container.held_back)
    }

    /// Reads on where there is room again.
    pub(super) fn let_go(&mut self, poll: &OwnedFd) {
        for (number, container) in self.containers.iter_mut().enumerate() {
            if container.held_back && !container.spool.is_full() {
                container.held_back = false;
                let first = TOKEN_FIRST + number as u64 * TOKENS_EACH;
                for (fd, token) in container.pipes.iter().zip(first..) {
                    let Some(fd) = fd else { continue };
                    let _ = epoll::add(poll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN);
                }
            }
        }
    }

    fn progress(&mut self, index: usize, progress: Progress) {
        let container = &mut self.containers[index];
        let name = container.name.clone();
        match progress {
            Progress::Created { pid, at } => {
                container.pid = Pid::from_raw(pid as i32);
                container.status = self.unclaimed.remove(&(pid as i32));
                let runtime_id = container.runtime_id.clone();
                self.reports.push(Report::Created { container: name, runtime_id, at });
            }
            Progress::Started { at } => {
                container.started_at = Some(at);
                container.signal_if_running();
                self.reports.push(Report::Started { container: name, at });
            }
            Progress::Failed { reason } => container.reason = Some(reason),
        }
    }

    /// Collects all dead children.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(code) = exit_code(status) else { continue };
            match self.containers.iter().position(|c| c.pid == Some(pid) && c.status.is_none()) {
                Some(index) => {
                    self.containers[index].status = Some(code);
                    self.finish(index);
                }
                None if self.end_check(pid, code) => {}
                None => {
                    self.unclaimed.insert(pid.as_raw_nonzero().get(), code);
                }
            }
        }
        if self.containers.iter().all(|container| container.tell.is_none()) {
            // Helpers and orphans: nobody will ask for them any more.
            self.unclaimed.clear();
        }
    }

    /// Records the end and tells it, when the container has ended: its maker has gone, and its process is reaped or
    /// never was.
    fn finish(&mut self, index: usize) {
        let container = &mut self.containers[index];
        let over = container.tell.is_none() && (container.status.is_some() || container.pid.is_none());
        if !over || container.exit.is_some() {
            return;
        }
        for stream in 0..2 {
            container.drain(stream);
        }
        let out_of_memory = self.prepared.cgroups.oom_kills(&container.group) > 0;
        let never_ran = container.started_at.is_none();
        let reason =
            container.reason.take().or_else(|| never_ran.then(|| Failure::create(unmade(out_of_memory)).to_string()));
        let code = if never_ran { None } else { container.status };
        let exit = Exit { code, out_of_memory, reason, at: now_ms() };
        container.exit = Some(exit.clone());
        let found = container.found();
        if let Err(error) = self.directory.write_exit(&found) {
            super::note(format_args!("cannot record the exit of {}: {error}", found.name));
        }
        let name = found.name;
        self.reports.push(if never_ran {
            Report::Failed { container: name, exit }
        } else {
            Report::Exited { container: name, exit }
        });
    }

    /// Takes away what ended containers leave; called when nothing more urgent is waiting.
    pub(super) fn tidy(&mut self) {
        if self.containers.iter().any(|container| container.started_at.is_some()) {
            self.settle();
        }
        for container in &mut self.containers {
            if container.exit.is_some() && !container.tidied {
                Rootfs::unmount(&container.place.join("root"));
                // What remains goes with the task.
                let _ = self.prepared.cgroups.remove_now(&container.group);
                container.tidied = true;
            }
        }
    }
}

fn unmade(out_of_memory: bool) -> &'static str {
    if out_of_memory {
        "the memory limit is too low to start the container"
    } else {
        "the process that makes the container died"
    }
}

fn failed(reason: String) -> Exit {
    Exit { code: None, out_of_memory: false, reason: Some(reason), at: now_ms() }
}

fn exit_code(status: WaitStatus) -> Option<i32> {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
}

impl Container {
    fn found(&self) -> FoundContainer {
        FoundContainer {
            name: self.name.clone(),
            runtime_id: self.runtime_id.clone(),
            image_digest: self.image_digest.clone(),
            started_at: self.started_at,
            exit: self.exit.clone(),
            attempt: self.attempt,
        }
    }

    /// Its program runs, as far as is known.
    pub(super) fn runs(&self) -> bool {
        self.started_at.is_some() && self.status.is_none()
    }

    /// Everything that was told of it, to be told again.
    fn story(&self) -> Vec<Report> {
        let container = || self.name.clone();
        let mut story = Vec::new();
        if let Some(at) = self.started_at {
            let runtime_id = self.runtime_id.clone();
            story.push(Report::Created { container: container(), runtime_id, at });
            story.push(Report::Started { container: container(), at });
        }
        match &self.exit {
            Some(exit) if self.started_at.is_none() => {
                story.push(Report::Failed { container: container(), exit: exit.clone() });
            }
            Some(exit) => story.push(Report::Exited { container: container(), exit: exit.clone() }),
            None => {}
        }
        story
    }

    fn register(&self, number: usize, poll: &OwnedFd) -> std::io::Result<()> {
        let first = TOKEN_FIRST + number as u64 * TOKENS_EACH;
        for (offset, fd) in self.pipes.iter().chain([&self.tell]).enumerate() {
            let Some(fd) = fd else { continue };
            rustix::fs::fcntl_setfl(fd, OFlags::NONBLOCK)?;
            let data = epoll::EventData::new_u64(first + offset as u64);
            epoll::add(poll, fd, data, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    /// Taken out of the epoll, which would tell of a closed pipe again and again.
    fn hold_back(&mut self, poll: &OwnedFd) {
        if !std::mem::replace(&mut self.held_back, true) {
            for fd in self.pipes.iter().flatten() {
                let _ = epoll::delete(poll, fd);
            }
        }
    }

    fn signal_if_running(&mut self) {
        // Before `Started` the process is not the program yet: the signal is sent with that report.
        if let (Some(force), Some(pid), true) = (self.stop, self.pid, self.runs()) {
            let signal = if force { Signal::KILL } else { self.stop_signal };
            // As its parent, and not having reaped it, the number is certainly still its own. The first process of a
            // process namespace takes all others with it.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn read_tell(&mut self) -> Vec<Progress> {
        let Some(tell) = &self.tell else { return Vec::new() };
        let mut buffer = [0u8; 4096];
        let ended = loop {
            match rustix::io::read(tell, &mut buffer) {
                Ok(0) => break true,
                Ok(length) => self.told.extend_from_slice(&buffer[..length]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break false,
                Err(_) => break true,
            }
        };
        if ended {
            self.tell = None;
        }
        let whole = self.told.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.told.drain(..whole).collect();
        lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    fn read_output(&mut self, stream: usize) {
        for _ in 0..READS_MAX {
            if self.spool.is_full() || !self.read_once(stream) {
                break;
            }
        }
    }

    /// Everything that is in the pipe; its writers are gone.
    fn drain(&mut self, stream: usize) {
        while self.read_once(stream) {}
        self.close(stream);
    }

    /// Whether there may be more.
    fn read_once(&mut self, stream: usize) -> bool {
        let Some(pipe) = &self.pipes[stream] else { return false };
        let mut buffer = [0u8; READ_BYTES];
        match rustix::io::read(pipe.as_fd(), &mut buffer) {
            Ok(0) => self.close(stream),
            Ok(length) => {
                // A full disk must not stop the container: what cannot be kept is lost.
                let _ = self.spool.take(stream == 1, &buffer[..length]);
                return true;
            }
            Err(Errno::INTR) => return true,
            Err(Errno::AGAIN) => {}
            Err(_) => self.close(stream),
        }
        false
    }

    fn close(&mut self, stream: usize) {
        if self.pipes[stream].take().is_some() {
            let _ = self.spool.end(stream == 1);
        }
    }
}

/// A spare whose node is gone leaves nothing behind but its process.
pub(super) fn remove_socket(path: &std::path::Path) {
    let _ = fs::remove_file(path);
}
