//! The process around the production control plane: inputs are gathered into rounds, outputs are held back until the batch
//! they saw is durable, and a crash or a failed commit takes everything but the disk. It decides nothing about clusters.

use crate::agenda::Event;
use crate::clocks::Clock;
use crate::sets::number_text;
use crate::wires::Packet;
use crate::world::{START, World};
use crate::zones::{Balancing, balancing};
use control::{Config, Control, Input, Output};
use model::change::Change;
use model::{Ids, Millis};
use std::collections::VecDeque;
use wire::Fault;

/// The control plane's process.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    pub control: Option<Control>,
    pub life: u32,
    inbox: VecDeque<Input>,
    held: VecDeque<(u64, Output)>,
    round_planned: bool,
    wake_at: Option<Millis>,
    /// Its clock, and how much the wall clock of its host is ahead.
    pub clock: Clock,
    pub ahead: i64,
    /// Services whose zones were being evened out after the last round.
    pub balancing: Balancing,
    rounds: u64,
}

impl World {
    /// Starts the process on what is durable.
    pub fn plane_start(&mut self) {
        if self.plane.control.is_some() {
            return;
        }
        let state = match self.disk.load() {
            Ok(state) => state,
            Err(problem) => return self.fail("what was stored can be loaded", problem),
        };
        self.plane.life += 1;
        self.set_plane_clock();
        let ids = Ids::seeded(crate::trace::fnv(self.seed, format!("ids {}", self.plane.life).as_bytes()));
        let config = Config {
            endpoint: "http://127.0.0.1:8580".to_owned(),
            version: "simulated".to_owned(),
            settle_ms: self.planted_settle_ms(),
        };
        self.plane.balancing = balancing(&state);
        self.plane.control = Some(Control::new(self.plane_now(), config, state, self.disk.index, ids));
        self.note(format!("plane starts at batch {}", self.disk.index));
        self.plane_plan_round();
    }

    /// Something has arrived at the process.
    pub fn plane_take(&mut self, input: Input) {
        self.plane.inbox.push_back(input);
        self.plane_plan_round();
    }

    fn plane_plan_round(&mut self) {
        if !self.plane.round_planned && self.plane.control.is_some() {
            self.plane.round_planned = true;
            let at = self.now + self.chance.plane.between((0, 1));
            self.agenda.plan(at, Event::PlaneRound { life: self.plane.life });
        }
    }

    /// It asked to be woken: a round will look at the time.
    pub fn plane_wake(&mut self, life: u32) {
        if life == self.plane.life && self.plane.wake_at == Some(self.now) {
            self.plane.wake_at = None;
            self.plane_plan_round();
        }
    }

    /// One round: everything that has arrived, what is due, one batch.
    pub fn plane_round(&mut self, life: u32) {
        if life != self.plane.life || self.plane.control.is_none() {
            return;
        }
        self.plane.round_planned = false;
        if self.disk.on_their_way() >= self.weather.pipeline {
            // The disk is behind: the round begins when it has caught up, see `plane_commit`.
            return;
        }
        if self.chance.plane.per_mille(self.weather.deaths_in_round) {
            let kept = self.chance.plane.below(self.plane.inbox.len() as u64 + 1) as usize;
            self.plane.inbox.truncate(kept);
            self.plane_handle_inbox();
            self.note("plane dies in the middle of a round".to_owned());
            return self.plane_crash(None);
        }
        self.plane_handle_inbox();
        let now = self.plane_now();
        let Some(control) = self.plane.control.as_mut() else { return };
        let due = control.next_wake().is_some_and(|at| at <= now);
        if due {
            control.handle_time(now);
        }
        let progress = self.plane_end_round();
        let again = self.plane.control.as_ref().and_then(Control::next_wake).is_some_and(|at| at <= now);
        if due && again && !progress {
            self.fail("a wake of the control plane does what is due", format!("life {life}"));
        }
        self.plane_plan_wake();
        self.plane_release();
    }

    fn plane_handle_inbox(&mut self) {
        let now = self.plane_now();
        let Some(control) = self.plane.control.as_mut() else { return };
        for input in self.plane.inbox.drain(..) {
            control.handle(now, input);
        }
    }

    /// Takes batch and outputs of the round; tells whether there were any.
    fn plane_end_round(&mut self) -> bool {
        let Some(control) = self.plane.control.as_mut() else { return false };
        let batch = control.poll_batch();
        let before = self.plane.held.len();
        while let Some(output) = control.poll_output() {
            self.plane.held.push_back(output);
        }
        self.plane.rounds += 1;
        let progress = batch.is_some() || self.plane.held.len() > before;
        if let Some(mut batch) = batch {
            self.planted_batch(&mut batch);
            self.name_new(&batch.changes);
            let what: Vec<String> = batch.changes.iter().map(|change| self.describe(change)).collect();
            self.note(format!("plane decides batch {}: {}", batch.index, what.join(", ")));
            self.check_decisions(&batch.changes);
            self.check_promises(&batch.changes);
            self.planted_belief(&batch.changes);
            if let Err(problem) = self.disk.take(batch) {
                self.fail("batches are numbered without gaps", problem);
            }
            if self.disk.on_their_way() == 1 {
                self.plane_plan_commit();
            }
        }
        self.check_state();
        progress
    }

    fn plane_plan_commit(&mut self) {
        let mut takes = self.chance.disk.between(self.weather.commit_ms);
        if self.chance.disk.per_mille(self.weather.slow_commits) {
            takes += self.chance.disk.below(4000);
        }
        self.agenda.plan(self.now + takes, Event::Commit { life: self.plane.life });
    }

    fn plane_plan_wake(&mut self) {
        let Some(at) = self.plane.control.as_ref().and_then(Control::next_wake) else { return };
        let at = self.plane.clock.when(at).max(self.now + 1);
        if self.plane.wake_at.is_none_or(|known| known > at) {
            self.plane.wake_at = Some(at);
            self.agenda.plan(at, Event::PlaneWake { life: self.plane.life });
        }
    }

    /// The disk has finished with the oldest batch, well or not.
    pub fn plane_commit(&mut self, life: u32) {
        if life != self.plane.life || self.disk.on_their_way() == 0 {
            return;
        }
        let refused = self.chance.disk.per_mille(self.weather.refused_commits);
        let doubtful = self.chance.disk.per_mille(self.weather.doubtful_commits);
        if refused || doubtful {
            if !refused {
                self.keep_oldest();
            }
            self.note(format!("disk fails a commit{}", if refused { "" } else { ", which is there all the same" }));
            return self.plane_commit_failed();
        }
        self.keep_oldest();
        self.note(format!("disk has batch {}", self.disk.index));
        if self.disk.on_their_way() > 0 {
            self.plane_plan_commit();
        }
        self.plane_release();
        let due = self.plane.control.as_ref().and_then(Control::next_wake).is_some_and(|at| at <= self.plane_now());
        if due || !self.plane.inbox.is_empty() {
            self.plane_plan_round();
        }
    }

    fn keep_oldest(&mut self) {
        match self.disk.keep_oldest(self.now) {
            Ok(Some(durable)) => self.check_durable(&durable),
            Ok(None) => {}
            Err(problem) => self.fail("what was stored can be read", problem),
        }
    }

    /// Whoever waited gets ServerException, memory is dropped and read again, exactly as at a start.
    fn plane_commit_failed(&mut self) {
        self.disk.lose_rest();
        for (_, output) in std::mem::take(&mut self.plane.held) {
            match output {
                Output::Reply { ticket, .. } => {
                    let fault = Fault::new("ServerException", 500, "The store did not take the change.");
                    self.call_answered(ticket, Err(fault));
                }
                Output::Connected { ticket, .. } => self.session_close_at_plane(ticket, "a commit failed"),
                // Nobody here asks for logs.
                Output::Frame { .. } | Output::Close { .. } | Output::Logs { .. } => {}
            }
        }
        self.sessions_lost_at_plane();
        self.plane_forget();
        self.plane_start();
    }

    /// What was durable when the process died is decided now: a prefix of what was on its way, of that length if it is
    /// given.
    pub fn plane_crash(&mut self, kept: Option<u64>) {
        if self.plane.control.is_none() {
            return;
        }
        let kept = kept.unwrap_or_else(|| self.chance.disk.below(self.disk.on_their_way() as u64 + 1));
        (0..kept).for_each(|_| self.keep_oldest());
        self.note(format!("plane crashes; {kept} batches on their way are on disk"));
        self.disk.lose_rest();
        self.plane.held.clear();
        self.plane.inbox.clear();
        self.calls_lost_at_plane();
        self.sessions_lost_at_plane();
        self.plane_forget();
    }

    fn plane_forget(&mut self) {
        self.plane.control = None;
        self.plane.round_planned = false;
        self.plane.wake_at = None;
        // Events of this life are void from here.
        self.plane.life += 1;
    }

    /// Lets go what saw nothing but durable batches.
    fn plane_release(&mut self) {
        let haste = self.planted_haste();
        while self.plane.held.front().is_some_and(|(index, _)| haste || *index <= self.disk.index) {
            let Some((_, output)) = self.plane.held.pop_front() else { return };
            match output {
                Output::Reply { ticket, answer } => self.call_answered(ticket, *answer),
                Output::Connected { ticket, answer: Ok(()) } => self.send_to_node(ticket, Packet::Accepted),
                Output::Connected { ticket, answer: Err(refusal) } => {
                    self.send_to_node(ticket, Packet::Refused(refusal));
                    self.session_forget_at_plane(ticket);
                }
                Output::Logs { .. } => {}
                Output::Frame { session, frame } => self.send_frame(session, frame),
                Output::Close { session, code, reason } => {
                    self.send_to_node(session, Packet::Close { code, reason });
                    self.session_forget_at_plane(session);
                }
            }
        }
    }

    /// Short names for what a batch makes, in its order.
    fn name_new(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::TaskAccepted(task) => self.trace.call(task.id.to_string(), "task"),
                Change::InstanceRegistered(instance) => {
                    self.trace.call(instance.id.to_string(), "instance");
                }
                Change::ServiceUpdated(service) if service.external => {
                    for set in &service.deployments {
                        self.trace.call(number_text(set.number), "set");
                    }
                }
                _ => {}
            }
        }
    }

    fn describe(&self, change: &Change) -> String {
        let task = |id: &model::TaskId| self.trace.name(&id.to_string()).to_owned();
        let instance = |id: &model::InstanceId| self.trace.name(&id.to_string()).to_owned();
        match change {
            Change::Opened(_) => "Opened".to_owned(),
            Change::ClusterCreated(cluster) => format!("ClusterCreated {}", cluster.name),
            Change::ClusterUpdated(cluster) => format!("ClusterUpdated {}", cluster.name),
            Change::CapacityProviderPut(provider) => format!("CapacityProviderPut {}", provider.name),
            Change::ClusterDeleted(id) => format!("ClusterDeleted {}", id.0),
            Change::TaskDefinitionRegistered { family, definition } => {
                format!("TaskDefinitionRegistered {family}:{}", definition.id.revision)
            }
            Change::TaskDefinitionDeregistered { id, .. } => {
                format!("TaskDefinitionDeregistered {}:{}", id.family.0, id.revision)
            }
            Change::TaskDefinitionDeleteRequested { id, .. } => {
                format!("TaskDefinitionDeleteRequested {}:{}", id.family.0, id.revision)
            }
            Change::TaskDefinitionForgotten(id) => format!("TaskDefinitionForgotten {}:{}", id.family.0, id.revision),
            Change::DaemonDefinitionPut(new) => format!("DaemonDefinitionPut {}:{}", new.family, new.revision),
            Change::AccountSettingPut(new) => format!("AccountSettingPut {} {}", new.name, new.value),
            Change::AccountSettingDeleted { name, .. } => format!("AccountSettingDeleted {name}"),
            Change::InstanceRegistered(new) => format!("InstanceRegistered {}", instance(&new.id)),
            Change::InstanceConnection { id, connected, .. } => {
                format!("InstanceConnection {} {}", instance(id), if *connected { "connected" } else { "gone" })
            }
            Change::InstanceAttributes { id, .. } => format!("InstanceAttributes {}", instance(id)),
            Change::InstanceStatus { id, status } => format!("InstanceStatus {} {}", instance(id), status.as_str()),
            Change::InstanceDeregistered(id) => format!("InstanceDeregistered {}", instance(id)),
            Change::ServiceCreated(new) => format!("ServiceCreated {}", new.name),
            Change::ServiceUpdated(new) => format!("ServiceUpdated {} {}", new.name, new.status.as_str()),
            Change::ServiceSaid(event) => format!("ServiceSaid {} {}", event.service.0, event.message),
            Change::ServiceRevisionCreated(new) => format!("ServiceRevisionCreated {} {}", new.service.0, new.number),
            Change::ServiceRevisionResolved { service, number, .. } => {
                format!("ServiceRevisionResolved {} {number}", service.0)
            }
            Change::ServiceDeploymentCreated(new) => {
                format!("ServiceDeploymentCreated {} {}", new.service.0, new.number)
            }
            Change::ServiceDeploymentUpdated(new) => {
                format!("ServiceDeploymentUpdated {} {} {}", new.service.0, new.number, new.status.as_str())
            }
            Change::ServiceForgotten(id) => format!("ServiceForgotten {}", id.0),
            Change::TaskAccepted(new) => match &new.instance {
                Some(place) => format!("TaskAccepted {} on {}", task(&new.id), instance(place)),
                None => format!("TaskAccepted {} on no instance", task(&new.id)),
            },
            Change::TaskPlaced { id, instance: place, .. } => format!("TaskPlaced {} on {}", task(id), instance(place)),
            Change::TaskWaits { id, code, .. } => format!("TaskWaits {} {code}", task(id)),
            Change::TaskProtected { id, until } => format!("TaskProtected {} until {until}", task(id)),
            Change::TagsPut { on, .. } => format!("TagsPut {on:?}"),
            Change::TaskStopWanted { id, .. } => format!("TaskStopWanted {}", task(id)),
            Change::TaskReported { id, report, .. } => {
                format!("TaskReported {} {}", task(id), report.status.map_or("-", |status| status.as_str()))
            }
            Change::TaskHealthReported { id, health } => {
                let said: Vec<&str> = health.iter().map(|(_, health)| health.as_str()).collect();
                format!("TaskHealthReported {} {}", task(id), said.join(" "))
            }
            Change::TaskHostLost { id, .. } => format!("TaskHostLost {}", task(id)),
            Change::TaskForgotten(id) => format!("TaskForgotten {}", task(id)),
            Change::LogGroupCreated(group) => format!("LogGroupCreated {}", group.name),
            Change::LogGroupRetention { id, .. } => format!("LogGroupRetention {id}"),
            Change::LogGroupDeleted(id) => format!("LogGroupDeleted {id}"),
            Change::Iam(_) | Change::Parameter(_) | Change::Secret(_) => {
                model::project::history::told(change).kind.to_owned()
            }
            Change::ClientTokenUsed(token) => format!("ClientTokenUsed {}", token.token),
            Change::ClientTokenLapsed { token, .. } => format!("ClientTokenLapsed {token}"),
        }
    }

    /// The time since the world began, for people.
    pub fn elapsed_ms(&self) -> Millis {
        self.now - START
    }
}
