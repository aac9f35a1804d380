//! The agent as a machine: frames of the control plane and events of the host in; commands to the host, frames and
//! reports out. It decides and never acts: `hands::Hands` acts.
//!
//! ```text
//! assigned -> recorded -> network, supervisor and images at once -> containers -> RUNNING
//!          -> (exit, stop or failure) -> stopping -> end recorded -> released -> STOPPED reported -> forgotten
//! ```
//!
//! What survives it is on the host, one directory for each task, and comes back as `Event::Found` at the next start.
#![forbid(unsafe_code)]

mod advance;
mod channel;
mod entry;
pub mod hands;
mod health;
mod order;
mod recover;
mod report;
mod restart;
mod spec;
mod telemetry;

pub use recover::is_record;
pub use report::Outcome;

use entry::Entry;
use hands::{Command, Event, TaskKey};
use link::report::StateChange;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use telemetry::Telemetry;

/// Milliseconds since the epoch.
pub type Millis = u64;

/// Who this node is to the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The cluster as configured: a name or an ARN.
    pub cluster: String,
    /// What registering answered.
    pub container_instance_arn: String,
}

/// The agent.
#[derive(Debug)]
pub struct Node {
    identity: Identity,
    tasks: BTreeMap<TaskKey, Entry>,
    commands: VecDeque<Command>,
    frames: VecDeque<String>,
    unacknowledged: Vec<Unacknowledged>,
    /// Frames that came before the host had told what is there: what they say of a task would be lost on its finding.
    early: Vec<String>,
    sequence: i64,
    found_all: bool,
    /// Tasks whose end was told and heard, and when.
    over: BTreeMap<TaskKey, Millis>,
    telemetry: Telemetry,
}

/// How long a task is remembered after its end. A payload that was written before the control plane heard of the end
/// may arrive after it, and must not start the task again. Far longer than a session that hears nothing may last.
const OVER_REMEMBERED_MS: Millis = 600_000;

/// A payload whose tasks are not all on record yet.
#[derive(Debug)]
struct Unacknowledged {
    message_id: String,
    waiting: BTreeSet<TaskKey>,
}

impl Node {
    /// A node that knows nothing yet; the host must tell what it finds (`Event::Found` …, `Event::FoundAll`) first.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            tasks: BTreeMap::new(),
            commands: VecDeque::new(),
            frames: VecDeque::new(),
            unacknowledged: Vec::new(),
            early: Vec::new(),
            sequence: 0,
            found_all: false,
            over: BTreeMap::new(),
            telemetry: Telemetry::default(),
        }
    }

    /// After registering anew under another ARN.
    pub fn identify(&mut self, identity: Identity) {
        self.identity = identity;
        self.sequence = 0;
    }

    /// Takes what the host says.
    pub fn handle_event(&mut self, now: Millis, event: Event) {
        let task = match event {
            Event::Found { task, record, supervised, containers, reported } => {
                let found = recover::Found { record, supervised, containers, reported };
                self.tasks.insert(task.clone(), recover::entry(now, found));
                task
            }
            Event::FoundAll => {
                self.found_all = true;
                let all: Vec<TaskKey> = self.tasks.keys().cloned().collect();
                all.iter().for_each(|task| self.advance(now, task));
                std::mem::take(&mut self.early).iter().for_each(|frame| self.handle_frame(now, frame));
                return;
            }
            Event::Recorded { task, error } => {
                self.recorded(now, &task, error);
                task
            }
            Event::Forgotten { task } => {
                if self.tasks.get(&task).is_some_and(Entry::is_forgetting) {
                    self.forgotten(now, &task);
                }
                return;
            }
            other => {
                let Some(task) = other.task().cloned() else { return };
                if let Some(entry) = self.tasks.get_mut(&task) {
                    entry.take(now, other);
                }
                task
            }
        };
        self.advance(now, &task);
    }

    /// Does what is due at `now`.
    pub fn handle_time(&mut self, now: Millis) {
        let due: Vec<TaskKey> = self
            .tasks
            .iter()
            .filter(|(_, entry)| entry.next_wake().is_some_and(|at| at <= now))
            .map(|(task, _)| task.clone())
            .collect();
        due.iter().for_each(|task| self.advance(now, task));
        self.repeat_health(now);
    }

    /// When `handle_time` has something to do.
    pub fn next_wake(&self) -> Option<Millis> {
        self.tasks.values().filter_map(Entry::next_wake).chain(self.next_repeat()).min()
    }

    /// The next order to the host.
    pub fn poll_command(&mut self) -> Option<Command> {
        if self.found_all { self.commands.pop_front() } else { None }
    }

    /// The next frame to the control plane.
    pub fn poll_frame(&mut self) -> Option<String> {
        self.frames.pop_front()
    }

    /// The next report to the control plane; one of a task at a time, until `handle_outcome` tells how it went.
    pub fn poll_report(&mut self, now: Millis) -> Option<(TaskKey, StateChange)> {
        if !self.found_all {
            return None;
        }
        let (task, entry) = self.tasks.iter_mut().find(|(_, entry)| entry.has_report(now))?;
        Some((task.clone(), entry.send_report()))
    }

    /// How a report went.
    pub fn handle_outcome(&mut self, now: Millis, task: &TaskKey, outcome: Outcome) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        if let Some(status) = entry.take_outcome(now, outcome) {
            self.commands.push_back(Command::NoteReported { task: task.clone(), status: status.to_owned() });
        }
        self.advance(now, task);
    }

    /// Tasks this node holds, for tests and displays.
    pub fn task_keys(&self) -> impl Iterator<Item = &TaskKey> {
        self.tasks.keys()
    }

    /// Digests of the images that tasks here were made from.
    pub fn images_in_use(&self) -> BTreeSet<String> {
        self.tasks.values().flat_map(Entry::images).cloned().collect()
    }

    fn advance(&mut self, now: Millis, task: &TaskKey) {
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.advance(now, task, &mut self.commands);
        }
    }

    /// A task that could not be recorded is not acknowledged before its end was told and heard.
    fn recorded(&mut self, now: Millis, task: &TaskKey, error: Option<String>) {
        let kept = error.is_none();
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.take_recorded(now, error);
        }
        if kept {
            self.waits_no_more(task);
        }
    }

    /// The end was heard, so that nobody waits for the task. One whose record could not be read was never ended: it is
    /// not acknowledged, and comes again.
    fn forgotten(&mut self, now: Millis, task: &TaskKey) {
        let Some(entry) = self.tasks.remove(task) else { return };
        if entry.message.arn.is_empty() {
            self.unacknowledged.retain(|payload| !payload.waiting.contains(task));
        } else {
            self.over.retain(|_, at| now < *at + OVER_REMEMBERED_MS);
            self.over.insert(task.clone(), now);
            self.waits_no_more(task);
        }
    }

    fn waits_no_more(&mut self, task: &TaskKey) {
        for payload in &mut self.unacknowledged {
            payload.waiting.remove(task);
        }
        self.acknowledge();
    }
}
