//! The healing phase: faults are over, everything is started, and within a bound everything must be as it is wanted. It
//! only looks; the system has to get there by itself.

use crate::agenda::Event;
use crate::checks::task_id;
use crate::disk::STOPPED_SHOWN_MS;
use crate::faults::operator;
use crate::host::{Contained, Directory, Nature, nature};
use crate::weather::Weather;
use crate::wires::Asker;
use crate::world::World;
use link::acs::id_of;
use model::state::CLIENT_TOKEN_MS;
use model::task::Desired;
use model::{Millis, State, Task, TaskId, TaskStatus};
use node::hands::{HostPort, TaskKey};
use wire::ecs;

/// Virtual time in which everything must have come right.
const BOUND_MS: Millis = 600_000;
/// Between two looks.
const LOOK_MS: Millis = 5_000;
/// Within this a container that has ended runs again.
const BETWEEN_RUNS_MS: Millis = 1_000;
/// Time for all services to go.
const SETTLING_MS: Millis = 120_000;
/// It must stay right for so long.
const STAYS_MS: Millis = 100_000;

impl World {
    /// Ends all faults and demands that everything comes right.
    pub fn heal(&mut self) {
        self.note("healing begins".to_owned());
        self.weather = Weather::calm();
        self.clients.active = false;
        self.keeper.rest();
        let partitioned: Vec<(usize, u64)> = self.wires.partitioned.iter().map(|(a, p)| (*a, *p)).collect();
        partitioned.into_iter().for_each(|(agent, partition)| self.reunite(agent, partition));
        self.agenda.plan(self.now + 1000, Event::PlaneStart);
        for agent in 0..self.agents.len() {
            self.agenda.plan(self.now + 1000, Event::NodeStart { agent });
        }
        let bound = self.now + BOUND_MS;
        loop {
            self.stop_stuck();
            self.delete_services(false);
            self.activate_hosts();
            self.run_until(self.now + LOOK_MS);
            match self.unfinished() {
                _ if self.broken.is_some() => return,
                None => break,
                Some(unfinished) if self.now >= bound => {
                    return self.fail("everything comes right once faults are over", unfinished);
                }
                Some(_) => {}
            }
        }
        self.note("everything has come right".to_owned());
        self.keeper_reads_all();
        self.run_until(self.now + STAYS_MS);
        if let Some(unfinished) = self.unfinished().or_else(|| self.unread()) {
            self.fail("what has come right stays right", unfinished);
        }
        if self.broken.is_none() && self.seed % 3 == 1 && self.agents.len() > 1 {
            self.drain_one();
        }
    }

    /// The operator drains a host, whose services go elsewhere or say why not.
    fn drain_one(&mut self) {
        let arn = self.agents[0].host.arn.clone().unwrap_or_default();
        let request = ecs::UpdateContainerInstancesStateRequest {
            container_instances: vec![arn],
            status: ecs::ContainerInstanceStatus::Draining,
            ..Default::default()
        };
        self.note("operator drains host-0".to_owned());
        self.call(Asker::Operator, operator(), &ecs::Request::from(request));
        let bound = self.now + BOUND_MS;
        loop {
            self.run_until(self.now + LOOK_MS);
            match self.unfinished_drain(0).or_else(|| self.unfinished()) {
                _ if self.broken.is_some() => return,
                None => return,
                Some(unfinished) if self.now >= bound => {
                    return self.fail("a host that drains is left by services", unfinished);
                }
                Some(_) => {}
            }
        }
    }

    /// Lets time pass until stopped tasks and client tokens are forgotten.
    pub fn outlive(&mut self, tokens: bool) {
        // One that waits for room tries every second, which would make a long day.
        self.delete_services(true);
        self.run_until(self.now + SETTLING_MS);
        let span = if tokens { CLIENT_TOKEN_MS } else { STOPPED_SHOWN_MS };
        self.run_until(self.now + span + 60_000);
        let state = self.plane.control.as_ref().map(control::Control::state);
        let stopped = state.and_then(|state| state.tasks.values().find(|task| task.status == TaskStatus::Stopped));
        if let Some(task) = stopped {
            self.fail("a stopped task is forgotten in time", task.id.to_string());
        }
        if tokens && state_next_expiry(self).is_some() {
            self.fail("a client token lapses in time", "one is left".to_owned());
        }
        if let Some(unfinished) = self.unfinished() {
            self.fail("what has come right stays right", unfinished);
        }
    }

    /// Tasks that hang in their start are for the operator to stop.
    fn stop_stuck(&mut self) {
        let Some(control) = &self.plane.control else { return };
        let state = control.state();
        let stuck = |task: &&Task| task.desired == Desired::Running && has_stuck_image(state, task);
        let tasks = state.tasks.values().filter(stuck);
        let stops = tasks.map(|task| ecs::StopTaskRequest {
            task: state.task_arn(task),
            cluster: Some(state.cluster_name(task.cluster).to_owned()),
            reason: None,
        });
        let stops: Vec<ecs::StopTaskRequest> = stops.collect();
        for stop in stops {
            self.call(Asker::Operator, operator(), &ecs::Request::from(stop));
        }
    }

    /// The first thing that is not as it is wanted.
    fn unfinished(&self) -> Option<String> {
        let Some(control) = &self.plane.control else { return Some("the control plane is not up".to_owned()) };
        let state = control.state();
        let sets = self.unfinished_sets(state);
        let tasks = sets.or_else(|| state.tasks.values().find_map(|task| self.unfinished_task(state, task)));
        let wishes = || self.clients.oracle.to_be_stopped().find_map(|arn| not_stopped(state, arn));
        let acknowledged = || self.clients.oracle.tasks().find_map(|arn| self.vanished(state, arn));
        let ledgers = || (0..self.agents.len()).find_map(|agent| self.unfinished_host(state, agent));
        let tasks = tasks.or_else(|| self.will_move(state));
        let tasks = tasks.or_else(|| self.unfinished_service(state)).or_else(|| self.unfinished_daemons(state));
        let tasks = tasks.or_else(|| self.unfinished_zones(state));
        tasks.or_else(ledgers).or_else(wishes).or_else(acknowledged)
    }

    /// Something that a service will do when a time has come: a protection ends, a hook has waited long enough.
    fn will_move(&self, state: &State) -> Option<String> {
        let protected = |task: &&Task| task.status != TaskStatus::Stopped && task.is_protected(self.plane_now());
        let task = state.tasks.values().find(protected);
        let paused = state.service_deployments.values().find(|deployment| deployment.is_paused());
        let task = task.map(|task| format!("{} is protected", task.id));
        task.or_else(|| paused.map(|deployment| format!("{} waits at a hook", deployment.id)))
    }

    fn unfinished_task(&self, state: &State, task: &Task) -> Option<String> {
        let name = self.trace.name(&task.id.to_string()).to_owned();
        if task.is_waiting() {
            return self.unfinished_waiting(state, task);
        }
        let key = TaskKey::new(&task.id.to_string())?;
        let at = |agent: &&crate::agent::Agent| {
            let here = agent.host.arn.as_deref().map(id_of);
            here.is_some() && here == task.instance.map(|instance| instance.to_string()).as_deref()
        };
        let directory = self.agents.iter().find(at).and_then(|agent| agent.host.directories.get(&key));
        match (task.status, task.desired, directory) {
            (TaskStatus::Stopped, _, None) => None,
            (TaskStatus::Stopped, _, Some(_)) => Some(format!("{name} is STOPPED and still has a directory")),
            (status, Desired::Stopped, _) => Some(format!("{name} is to stop and is {}", status.as_str())),
            (status, Desired::Running, None) => Some(format!("{name} is {} and on no host", status.as_str())),
            (TaskStatus::Running, Desired::Running, Some(directory)) if runs(self.now, state, task, directory) => None,
            (status, Desired::Running, Some(directory)) => {
                Some(format!("{name} is {}, its host has {:?}", status.as_str(), directory.containers))
            }
        }
    }

    /// A host holds what is booked there and nothing else.
    fn unfinished_host(&self, state: &State, agent: usize) -> Option<String> {
        let agent = &self.agents[agent];
        if agent.node.is_none() {
            return Some(format!("node-{} is not up", agent.number));
        }
        let here = agent.host.arn.as_deref().map(id_of).unwrap_or("");
        let instance = state.instances.values().find(|instance| instance.id.to_string() == here);
        let Some(instance) = instance.filter(|instance| instance.is_registered() && instance.connected) else {
            return Some(format!("node-{} is not connected", agent.number));
        };
        let mut memory = 0;
        for key in agent.host.directories.keys() {
            let task = state.tasks.get(&task_id(key)).filter(|task| task.status != TaskStatus::Stopped);
            let Some(task) = task.filter(|task| task.instance == Some(instance.id)) else {
                return Some(format!("host-{} has a directory of {}", agent.number, self.trace.name(key.as_str())));
            };
            memory += task.memory;
        }
        let booked = state.instance_counts(instance.id);
        (booked.memory != memory).then(|| format!("host-{} holds {memory} MiB, booked: {booked:?}", agent.number))
    }

    fn vanished(&self, state: &State, arn: &str) -> Option<String> {
        let id = TaskId::parse(id_of(arn))?;
        let there = state.tasks.contains_key(&id) || self.disk.forgotten.contains(&id);
        (!there).then(|| format!("{arn} was acknowledged and is nowhere"))
    }
}

fn state_next_expiry(world: &World) -> Option<Millis> {
    world.plane.control.as_ref().and_then(|control| control.state().next_expiry())
}

fn not_stopped(state: &State, arn: &str) -> Option<String> {
    let task = TaskId::parse(id_of(arn)).and_then(|id| state.tasks.get(&id));
    let task = task.filter(|task| task.status != TaskStatus::Stopped)?;
    Some(format!("{} was to be stopped and is {}", task.id, task.status.as_str()))
}

fn has_stuck_image(state: &State, task: &Task) -> bool {
    let document = state.definitions.get(&task.definition).map(|definition| &*definition.document);
    let definition = document.and_then(|text| <ecs::TaskDefinition as wire::FromJson>::from_json_str(text).ok());
    let containers = definition.and_then(|definition| definition.container_definitions).unwrap_or_default();
    containers.iter().any(|container| nature(container.image.as_deref().unwrap_or("")) == Nature::Stuck)
}

/// It has just ended and is about to be started again, or is being made for that.
fn is_between_runs(now: Millis, contained: &Contained) -> bool {
    let again = nature(&contained.image) == Nature::Phoenix;
    again && contained.exit.as_ref().map_or(contained.attempt > 0, |_| now < contained.ended + BETWEEN_RUNS_MS)
}

/// Every container of the task runs, or has run and is not needed any more; and what is shown of its network is so.
fn runs(now: Millis, state: &State, task: &Task, directory: &Directory) -> bool {
    let needs = state.definitions.get(&task.definition).map(|definition| definition.needs.clone()).unwrap_or_default();
    let bound: Vec<HostPort> = directory.host_ports().collect();
    directory.supervised
        && directory.interface.is_some() == task.eni.is_some()
        && task.host_ports().all(|port| bound.contains(&port))
        && needs.containers.iter().all(|needed| {
            let contained = directory.containers.get(&needed.name);
            let contained = contained.filter(|contained| contained.supervisor == directory.supervisor);
            // One that is not essential may have ended, or never have come to exist.
            contained.map_or(!needed.essential, |contained| {
                let over = contained.exit.is_some() && !needed.essential;
                contained.running || over || is_between_runs(now, contained)
            })
        })
}
