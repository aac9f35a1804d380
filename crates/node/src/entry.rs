//! One task on this node, and what the host's events make of it. `advance` looks at all of it and orders whatever is
//! missing.

use crate::Millis;
use crate::hands::{Attachment, ContainerNetwork, Event, Exit};
use crate::health::Health;
use crate::report::Reports;
use crate::{restart, spec};
use link::acs;
use model::task::Phase;

/// Between tries to write down that a task has ended.
const END_RETRY_MS: Millis = 1_000;
/// What `OutOfMemoryError` says, in ECS's words.
pub(crate) const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// Something asked of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish<T> {
    /// Not asked yet.
    Wanted,
    /// Asked, not answered.
    Asked,
    /// There.
    Ready(T),
}

/// Where a task stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// Its record is being written; nothing else may happen.
    Recording,
    /// Found without a supervisor: what an earlier life may have begun is removed, then the start goes on.
    Undoing,
    /// It is being started, runs, or is being stopped.
    Held,
    /// That it ends is being written down; a later life must not start it again.
    Ending,
    /// What the host holds for it is being removed.
    Releasing,
    /// Nothing but its directory is left, which does not say so yet: written again until it does, and nobody is told
    /// before. A node that dies would start it again.
    Closing,
    /// Nothing but its directory is left.
    Released,
    /// Its directory is being deleted.
    Forgetting,
}

/// Where a container stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not ordered.
    Pending,
    /// Ordered.
    Starting,
    /// Its process runs.
    Running,
    /// Ended, or never to run.
    Stopped(Exit),
}

/// A container of a task.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub name: String,
    pub essential: bool,
    pub image: Wish<String>,
    pub stage: Stage,
    pub runtime_id: Option<String>,
    /// When SIGKILL follows, once it was asked to end; `Some(0)`: it was sent, or is left to the release of the task.
    pub kill_at: Option<Millis>,
    /// When it was last started; zero: never.
    pub started_at: Millis,
    /// How often its policy had it started again.
    pub restarts: u32,
    /// When it has a health check.
    pub health: Option<Health>,
}

impl Held {
    /// It has ended, or hangs and is left to the release of the task.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Stopped(_)) || (self.stage == Stage::Starting && self.kill_at == Some(0))
    }
}

/// A task.
#[derive(Debug)]
pub(crate) struct Entry {
    pub message: acs::Task,
    pub attachment: Option<Attachment>,
    pub life: Life,
    /// Its record is kept.
    pub recorded: bool,
    /// `Life::Undoing` begins.
    pub undo_wanted: bool,
    /// Its record says that it ends.
    pub end_recorded: bool,
    /// When to write that again, after it failed; zero: it did not.
    pub end_retry_at: Millis,
    pub stop_wanted: bool,
    pub network: Wish<Vec<ContainerNetwork>>,
    pub supervisor: Wish<()>,
    pub containers: Vec<Held>,
    /// Why it stopped, when no container tells.
    pub reason: Option<String>,
    pub phases: [Millis; Phase::ALL.len()],
    pub pull_started: Millis,
    pub pull_stopped: Millis,
    pub execution_stopped: Millis,
    pub reports: Reports,
    /// What is known of its containers' health has not been told.
    pub health_news: bool,
}

impl Entry {
    /// A task as it was assigned. A message that cannot be acted on makes a task that is released with the reason.
    pub fn assigned(message: acs::Task) -> Self {
        let containers = message.containers.iter().map(|container| Held {
            name: container.name.clone(),
            essential: container.essential,
            image: Wish::Wanted,
            stage: Stage::Pending,
            runtime_id: None,
            kill_at: None,
            started_at: 0,
            restarts: 0,
            health: Health::of(container),
        });
        let mut entry = Self {
            containers: containers.collect(),
            attachment: None,
            life: Life::Recording,
            recorded: false,
            undo_wanted: false,
            end_recorded: false,
            end_retry_at: 0,
            stop_wanted: message.desired_status == "STOPPED",
            network: Wish::Wanted,
            supervisor: Wish::Wanted,
            reason: None,
            phases: [0; Phase::ALL.len()],
            pull_started: 0,
            pull_stopped: 0,
            execution_stopped: 0,
            reports: Reports::default(),
            health_news: false,
            message,
        };
        if let Some(unable) = entry.message.gantry.as_ref().and_then(|gantry| gantry.unable.clone()) {
            entry.fail(unable);
            return entry;
        }
        match spec::attachment(&entry.message) {
            Ok(attachment) => entry.attachment = Some(attachment),
            Err(problem) if !entry.stop_wanted => entry.fail(format!("Error loading task - {problem}")),
            Err(_) => {}
        }
        entry
    }

    /// It is to stop for a reason that no container has.
    pub fn fail(&mut self, reason: String) {
        self.reason.get_or_insert(reason);
        self.stop_wanted = true;
    }

    pub fn take_recorded(&mut self, now: Millis, error: Option<String>) {
        match self.life {
            Life::Ending | Life::Closing => return self.take_end_recorded(now, error.is_none()),
            Life::Recording => {}
            _ => return,
        }
        self.life = Life::Held;
        self.recorded = error.is_none();
        if let Some(error) = error {
            self.fail(format!("ResourceInitializationError: the task could not be recorded: {error}"));
        }
    }

    fn take_end_recorded(&mut self, now: Millis, kept: bool) {
        self.end_recorded = kept;
        self.end_retry_at = if kept { 0 } else { now + END_RETRY_MS };
        if self.life == Life::Ending {
            // A full disk must not keep what runs from ending.
            self.life = Life::Held;
        } else if kept {
            self.close();
        }
    }

    fn close(&mut self) {
        self.life = Life::Released;
        self.reports.news();
    }

    /// Takes an event of the host. One that comes too late changes nothing.
    pub fn take(&mut self, now: Millis, event: Event) {
        match event {
            Event::NetworkReady { containers, .. } => {
                // Of a task that was told as RUNNING before, the ports may be news.
                if self.has_started() && !containers.is_empty() {
                    self.reports.news();
                }
                self.network = Wish::Ready(containers);
                self.reach(Phase::NetworkReady, now);
            }
            Event::NetworkFailed { message, .. } => {
                self.fail(format!("ResourceInitializationError: failed to set up the network: {message}"));
            }
            Event::ImagePulling { .. } => {
                if self.pull_started == 0 {
                    self.pull_started = now;
                }
                self.reports.news_if_quiet();
            }
            Event::ImageReady { container, digest, .. } => self.image_ready(now, &container, digest),
            Event::ImageFailed { container, failure, .. } => {
                let reason = format!("{}: {}", failure.error, failure.message);
                self.ended(&container, Exit { code: None, out_of_memory: false, reason: Some(reason), at: now });
            }
            Event::Supervised { .. } => self.supervisor = Wish::Ready(()),
            Event::SupervisorLost { message, .. } => self.supervisor_lost(now, &message),
            Event::ContainerCreated { container, runtime_id, at, .. } => self.created(&container, runtime_id, at),
            Event::ContainerStarted { container, at, .. } => self.started(&container, at),
            Event::ContainerFailed { container, exit, .. } | Event::ContainerExited { container, exit, .. } => {
                self.ended(&container, exit);
            }
            Event::HealthChecked { container, code, .. } => {
                let health = self.held(&container).and_then(|held| held.health.as_mut());
                let changed = health.is_some_and(|health| health.take(now, code == 0));
                self.health_news |= changed;
            }
            Event::Released { .. } => self.released(),
            Event::Found { .. } | Event::FoundAll | Event::Recorded { .. } | Event::Forgotten { .. } => {}
        }
    }

    fn released(&mut self) {
        match self.life {
            Life::Undoing => self.life = Life::Held,
            // One that was never on record cannot come back, and is not worth the wait for a disk that is full.
            Life::Releasing if self.end_retry_at != 0 && self.recorded => self.life = Life::Closing,
            Life::Releasing => self.close(),
            _ => {}
        }
    }

    fn reach(&mut self, phase: Phase, at: Millis) {
        let known = &mut self.phases[phase as usize];
        if *known == 0 {
            *known = at;
        }
    }

    fn held(&mut self, name: &str) -> Option<&mut Held> {
        self.containers.iter_mut().find(|container| container.name == name)
    }

    fn image_ready(&mut self, now: Millis, container: &str, digest: String) {
        if let Some(held) = self.held(container) {
            held.image = Wish::Ready(digest);
        }
        if self.containers.iter().all(|held| matches!(held.image, Wish::Ready(_))) {
            self.reach(Phase::ImageReady, now);
            if self.pull_started != 0 && self.pull_stopped == 0 {
                self.pull_stopped = now;
            }
        }
    }

    fn created(&mut self, container: &str, runtime_id: String, at: Millis) {
        if let Some(held) = self.held(container) {
            held.runtime_id = Some(runtime_id);
        }
        if self.containers.iter().all(|held| held.runtime_id.is_some()) {
            self.reach(Phase::Created, at);
        }
    }

    fn started(&mut self, container: &str, at: Millis) {
        if let Some(held) = self.held(container)
            && held.stage == Stage::Starting
        {
            held.stage = Stage::Running;
            held.started_at = at;
            // A stop that came meanwhile begins now, with its whole grace.
            held.kill_at = None;
            let again = held.restarts > 0;
            let changed = held.health.as_mut().is_some_and(|health| health.begin(at, again));
            self.health_news |= changed;
        }
        if self.has_started() {
            self.reach(Phase::Started, at);
            self.reports.news();
        }
    }

    pub fn ended(&mut self, container: &str, mut exit: Exit) {
        if exit.out_of_memory {
            exit.reason = Some(OUT_OF_MEMORY.to_owned());
        }
        let at = exit.at;
        let policy = restart::policy(&self.message, container).filter(|_| !self.stop_wanted).cloned();
        let Some(held) = self.held(container).filter(|held| !matches!(held.stage, Stage::Stopped(_))) else { return };
        if policy.is_some_and(|policy| restart::again(&policy, held.started_at, &exit)) {
            held.restarts += 1;
            held.stage = Stage::Pending;
            return;
        }
        held.stage = Stage::Stopped(exit);
        if held.essential {
            self.execution_stopped = self.execution_stopped.max(at);
            self.stop_wanted = true;
        }
        if self.has_started() {
            self.reach(Phase::Started, at);
        }
        if self.containers.iter().all(|held| matches!(held.stage, Stage::Stopped(_))) {
            self.stop_wanted = true;
        } else {
            // Others go on or must be stopped first: the control plane should not wait for them to hear of this one.
            self.reports.news();
        }
    }

    fn supervisor_lost(&mut self, now: Millis, message: &str) {
        let over = self.containers.iter().all(|held| matches!(held.stage, Stage::Stopped(_)));
        // One that was given up as hanging may have started while the end of its task was written down.
        if self.life > Life::Ending || (self.life == Life::Ending && over) {
            return;
        }
        self.fail(format!("ResourceInitializationError: supervisor lost: {message}"));
        for held in &mut self.containers {
            if !matches!(held.stage, Stage::Stopped(_)) {
                let reason = Some("supervisor lost".to_owned());
                held.stage = Stage::Stopped(Exit { code: None, out_of_memory: false, reason, at: now });
            }
        }
    }

    /// Every container has been started; some may have ended since. One that failed by itself and is not essential is
    /// not waited for.
    pub fn has_started(&self) -> bool {
        self.containers.iter().all(|held| match &held.stage {
            Stage::Running => true,
            Stage::Stopped(exit) => exit.code.is_some() || (!held.essential && exit.reason.is_some()),
            Stage::Pending | Stage::Starting => held.restarts > 0,
        })
    }

    /// Digests of its images.
    pub fn images(&self) -> impl Iterator<Item = &String> {
        self.containers.iter().filter_map(|held| match &held.image {
            Wish::Ready(digest) => Some(digest),
            Wish::Wanted | Wish::Asked => None,
        })
    }

    pub fn is_forgetting(&self) -> bool {
        self.life == Life::Forgetting
    }
}
