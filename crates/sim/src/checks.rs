//! The checkers. They compare what the fake hosts truly run and what is truly on disk with what anybody was told; they
//! are told nothing themselves and change nothing.

use crate::disk::Durable;
use crate::world::World;
use link::acs::{ToAgent, ToControl, id_of};
use model::change::Change;
use model::task::Desired;
use model::{TaskId, TaskStatus};
use node::hands::{Command, TaskKey};
use std::collections::BTreeMap;

/// Rounds between two comparisons of everything.
const FULL_CHECK_ROUNDS: u64 = 24;

/// The task of a directory.
pub(crate) fn task_id(key: &TaskKey) -> TaskId {
    TaskId::parse(key.as_str()).expect("a task key is 32 hex digits")
}

impl World {
    /// Whether the task is nobody's: its host was given up, or it never became durable.
    fn is_nobodys(&self, key: &TaskKey) -> bool {
        let id = task_id(key);
        self.disk.lost.contains(&id) || !self.disk.history.tasks.contains_key(&id)
    }

    /// Whether a task is durable, and as far along as somebody was told.
    pub fn is_durable(&self, id: TaskId, status: TaskStatus, desired: Desired) -> bool {
        let known = self.disk.history.tasks.get(&id);
        let reached = known.is_some_and(|task| task.status >= status && task.desired >= desired);
        reached || self.disk.forgotten.contains(&id)
    }

    /// Which tasks a payload brings, to know what its acknowledgement says. Nothing in it may be news to the disk.
    pub fn remember_payload(&mut self, agent: usize, frame: &str) {
        let Some(ToAgent::PayloadMessage(payload)) = ToAgent::decode(frame) else { return };
        for task in &payload.tasks {
            let desired = if task.desired_status == "STOPPED" { Desired::Stopped } else { Desired::Running };
            let id = TaskId::parse(id_of(&task.arn));
            if !id.is_some_and(|id| self.is_durable(id, TaskStatus::Provisioning, desired)) {
                let detail = format!("node-{agent} hears of {}", self.trace.name(&task.arn));
                self.fail("nothing leaves before it is durable", detail);
            }
        }
        let started = payload.tasks.iter().filter(|task| task.desired_status == "RUNNING");
        let keys = started.filter_map(|task| TaskKey::new(id_of(&task.arn))).collect();
        self.agents[agent].payloads.insert(payload.message_id, keys);
    }

    /// A payload is acknowledged when all it brings is on record, or over.
    pub fn check_acknowledgement(&mut self, agent: usize, frame: &str) {
        let Some(ToControl::AckRequest(ack)) = ToControl::decode(frame) else { return };
        for key in self.agents[agent].payloads.remove(&ack.message_id).unwrap_or_default() {
            let directory = self.agents[agent].host.directories.get(&key);
            let on_record = directory.is_some_and(|directory| directory.record.is_some());
            let task = self.disk.history.tasks.get(&task_id(&key));
            if !on_record && task.is_some_and(|task| task.status != TaskStatus::Stopped) {
                let detail = format!("node-{agent} acknowledges {}", self.trace.name(key.as_str()));
                self.fail("a payload is acknowledged when its tasks are on record", detail);
            }
        }
    }

    /// What a node may order when.
    pub fn check_order(&mut self, agent: usize, command: &Command) {
        let known = &mut self.agents[agent];
        let task = command.task().clone();
        known.told.insert(task.clone());
        let on_record = known.host.directories.get(&task).is_some_and(|directory| directory.record.is_some());
        // A release that is the first order of a life clears away what an earlier life left; the task may go on.
        let first = known.ordered.insert(task.clone());
        let released = match command {
            Command::Release { .. } if first => false,
            Command::Record { .. } => {
                known.released.remove(&task);
                false
            }
            Command::Release { .. } => !known.released.insert(task.clone()),
            Command::NoteReported { .. } | Command::Forget { .. } => false,
            _ => known.released.contains(&task),
        };
        let needs_record = !matches!(
            command,
            Command::Record { .. } | Command::Release { .. } | Command::NoteReported { .. } | Command::Forget { .. }
        );
        let detail = format!("node-{agent}, {}: {command:?}", self.trace.name(task.as_str()));
        if needs_record && !on_record {
            self.fail("nothing is done for a task before it is on record", detail);
        } else if released {
            self.fail("nothing is done for a task after its release", detail);
        } else if matches!(command, Command::Forget { .. }) && !self.may_be_forgotten(agent, &task) {
            self.fail("a directory is kept until the end of its task is known", detail);
        }
    }

    fn may_be_forgotten(&self, agent: usize, task: &TaskKey) -> bool {
        let corrupt = self.agents[agent].host.directories.get(task).is_none_or(|directory| directory.corrupt);
        let known = self.disk.history.tasks.get(&task_id(task));
        corrupt || known.is_none_or(|task| task.status == TaskStatus::Stopped)
    }

    /// A container has just been started on a host.
    pub fn check_start(&mut self, agent: usize, key: &TaskKey, container: &str) {
        let id = task_id(key);
        self.ran.insert(id);
        let detail = format!("{} {container} on host-{agent}", self.trace.name(key.as_str()));
        if self.disk.is_stopped(id) {
            return self.fail("no container starts after its task was STOPPED", detail);
        }
        let Some(task) = self.disk.history.tasks.get(&id).filter(|_| !self.disk.lost.contains(&id)) else { return };
        let here = self.agents[agent].host.arn.as_deref().map(id_of);
        if here.is_some_and(|here| task.instance.is_none_or(|placed| here != placed.to_string())) {
            self.fail("a task runs on the instance that it was placed on", detail);
        }
    }

    /// What holds on all hosts together at any time.
    pub fn check_hosts(&mut self) {
        let mut running = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        let mut broken = None;
        for agent in &self.agents {
            let mut memory = 0;
            let mut ports = BTreeMap::new();
            for (key, directory) in &agent.host.directories {
                let names = directory.containers.iter().filter(|(_, contained)| contained.running);
                for (name, _) in names {
                    if let Some(other) = running.insert((key, name), agent.number) {
                        broken =
                            Some(("no container runs twice", format!("{key} {name} on {other}, {}", agent.number)));
                    }
                }
                if self.is_nobodys(key) {
                    continue;
                }
                let address = directory.interface.as_ref().map(|interface| interface.address);
                if let Some(other) = address.and_then(|address| addresses.insert(address, key)) {
                    broken = Some(("no two interfaces share an address", format!("{key} and {other}")));
                }
                for port in directory.host_ports() {
                    if let Some(other) = ports.insert(port, key).filter(|other| *other != key) {
                        broken = Some(("no port of a host leads to two tasks", format!("{port}: {key} and {other}")));
                    }
                }
                let task = self.disk.history.tasks.get(&task_id(key)).filter(|_| directory.is_alive());
                memory += task.map_or(0, |task| task.memory);
            }
            if memory > agent.memory {
                let detail = format!("host-{}: {memory} MiB of {}", agent.number, agent.memory);
                broken = Some(("no host holds more memory than it has", detail));
            }
        }
        if let Some((invariant, detail)) = broken {
            self.fail(invariant, detail);
        }
    }

    /// The named invariants of the state, after every round; now and then, that the rows are the state.
    pub fn check_state(&mut self) {
        self.check_services();
        let Some(control) = &self.plane.control else { return };
        let broken = model::audit::audit(control.state()).into_iter().next();
        if let Some(violation) = broken {
            return self.fail(violation.invariant, violation.detail);
        }
        self.rounds += 1;
        if !self.rounds.is_multiple_of(FULL_CHECK_ROUNDS) {
            return;
        }
        if let Some(difference) = self.disk.disagreement() {
            return self.fail("rows and history come to the same", difference);
        }
        if self.disk.on_their_way() == 0 && control.state().rows() != self.disk.history.rows() {
            self.fail("memory is what is durable when nothing is on its way", format!("batch {}", self.disk.index));
        }
    }

    /// A batch is durable: from now on anybody may be told what is in it.
    pub fn check_durable(&mut self, durable: &Durable) {
        for change in &durable.changes {
            match change {
                Change::TaskReported { id, .. } if self.disk.is_stopped(*id) => self.check_nothing_left(*id),
                Change::TaskAccepted(task) => self.check_address(task.id),
                _ => {}
            }
        }
    }

    /// Nothing of a STOPPED task is on any host, but for files.
    pub fn check_nothing_left(&mut self, id: TaskId) {
        let Some(key) = TaskKey::new(&id.to_string()) else { return };
        for agent in &self.agents {
            let Some(directory) = agent.host.directories.get(&key) else { continue };
            if directory.is_alive() || directory.interface.is_some() || !directory.ports.is_empty() {
                let detail = format!("{} on host-{}", self.trace.name(key.as_str()), agent.number);
                return self.fail("nothing of a STOPPED task is left", detail);
            }
        }
    }

    /// An address that is given out is on no host.
    fn check_address(&mut self, id: TaskId) {
        let eni = self.disk.history.tasks.get(&id).and_then(|task| task.eni.as_ref());
        let Some(address) = eni.map(|eni| eni.address) else { return };
        for agent in &self.agents {
            let holds = |key: &TaskKey| {
                let interface = agent.host.directories[key].interface.as_ref();
                interface.is_some_and(|interface| interface.address == address)
            };
            let holder = agent.host.directories.keys().find(|key| holds(key) && !self.is_nobodys(key));
            if let Some(holder) = holder.filter(|key| task_id(key) != id) {
                let detail = format!("{address} is {}'s on host-{}", self.trace.name(holder.as_str()), agent.number);
                return self.fail("an address that is given out is free", detail);
            }
        }
    }
}
