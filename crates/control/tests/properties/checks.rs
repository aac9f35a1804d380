//! What holds after every round, and what rest is. Everything is counted anew from the tasks: no sum of the model's, no
//! judgement of the planner's.

use crate::draws::RACK_A;
use crate::history::SETTLE_MS;
use crate::{sets, zones};
use control::Control;
use model::health::HealthStatus;
use model::instance::{DISCONNECT_GRACE_MS, Instance, InstanceStatus};
use model::placement::Constraint;
use model::service::{Rollout, Service, ServiceStatus};
use model::task::{Desired, LaunchType, Task};
use model::{Millis, ServiceId, State, TaskId, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};

/// Wanted, running, and proved to work.
pub fn healthy(task: &Task, now: Millis) -> bool {
    let mut checks = task.containers.iter().filter(|container| container.essential).filter_map(|c| c.health).peekable();
    let proved = match checks.peek() {
        Some(_) => checks.all(|health| health == HealthStatus::Healthy),
        None => task.times.started + SETTLE_MS <= now,
    };
    task.desired == Desired::Running && task.status == TaskStatus::Running && proved
}

/// The tasks of all services as they were at a moment.
pub struct View {
    services: BTreeMap<ServiceId, Tasks>,
    known: BTreeSet<TaskId>,
    completed: BTreeSet<(ServiceId, u64)>,
}

#[derive(Default)]
pub struct Tasks {
    pub wanted: BTreeSet<TaskId>,
    pub healthy: BTreeSet<TaskId>,
    /// Zones of the service are being evened out.
    pub balancing: bool,
}

impl View {
    pub fn of(state: &State, now: Millis) -> Self {
        let mut services: BTreeMap<ServiceId, Tasks> = BTreeMap::new();
        for task in state.tasks.values().filter(|task| task.desired == Desired::Running) {
            let Some(membership) = task.service else { continue };
            let tasks = services.entry(membership.service).or_default();
            tasks.wanted.insert(task.id);
            if healthy(task, now) {
                tasks.healthy.insert(task.id);
            }
        }
        for service in state.services.values().filter(|service| service.balancing) {
            services.entry(service.id).or_default().balancing = true;
        }
        let primaries = state.services.values().filter_map(|service| Some((service.id, service.primary()?)));
        let completed = primaries.filter(|(_, primary)| primary.rollout == Rollout::Completed);
        let completed = completed.map(|(id, primary)| (id, primary.number)).collect();
        Self { services, known: state.tasks.keys().copied().collect(), completed }
    }
}

/// Checks, and how much they have seen.
#[derive(Default)]
pub struct Checks {
    /// Starts and stops that services decided.
    pub decisions: u64,
}

impl Checks {
    /// The first thing that a round broke.
    pub fn round(&mut self, before: &View, after: &View, control: &Control, now: Millis) -> Option<String> {
        let state = control.state();
        let services = state.services.values().filter(|service| service.status == ServiceStatus::Active);
        let broken = services.clone().find_map(|service| self.service(before, after, (state, now), service));
        let broken = broken.or_else(|| capacity(state));
        let broken = broken.or_else(|| ports(state));
        let broken = broken.or_else(|| places(before, state, now));
        let broken = broken.or_else(|| services.clone().find_map(|s| completion(before, after, state, s)));
        broken.or_else(|| nothing_is_forgotten(control, now))
    }

    fn service(
        &mut self,
        before: &View,
        after: &View,
        (state, now): (&State, Millis),
        service: &Service,
    ) -> Option<String> {
        let none = Tasks::default();
        let (was, is) = (before.services.get(&service.id).unwrap_or(&none), after.services.get(&service.id));
        let is = is.unwrap_or(&none);
        let started = is.wanted.difference(&was.wanted).count();
        let stopped: Vec<&TaskId> = was.wanted.difference(&is.wanted).collect();
        self.decisions += (started + stopped.len()) as u64;
        if service.external {
            return sets::check(was, is, (state, now), service);
        }
        let desired = service.desired;
        let least = (u64::from(desired) * u64::from(service.minimum_healthy)).div_ceil(100) as usize;
        let most = (u64::from(desired) * u64::from(service.maximum) / 100) as usize;
        let name = &service.name;
        if stopped.iter().any(|task| was.healthy.contains(task)) && is.healthy.len() < least {
            let (had, has) = (was.healthy.len(), is.healthy.len());
            return Some(format!("{name} stops healthy tasks below its lower bound {least}: {had}, then {has}"));
        }
        let there = is.wanted.iter().filter(|id| !state.is_lost(&state.tasks[id], now)).count();
        if started > 0 && there > most.max(desired as usize) {
            return Some(format!("{name} starts tasks above its upper bound {most}: {there} wanted"));
        }
        let number = service.primary().map(|deployment| deployment.number);
        let of_primary = |id: &&TaskId| {
            let task = &state.tasks[id];
            task.service.map(|membership| membership.deployment) == number
                && !drains(state, task)
                && !state.is_lost(task, now)
        };
        let sound = || is.wanted.iter().filter(of_primary).filter(|id| !failing(&state.tasks[id]));
        // Of too many only those that are protected stay, and as long as these do not work yet, others.
        let kept = |id: &TaskId| state.tasks[id].protected_until > now;
        let needed = sound().any(|id| kept(id) && !is.healthy.contains(id));
        let (sound, kept) = (sound().count(), sound().all(kept) || needed);
        // Evening out zones takes one more for a while.
        if sound > desired as usize + usize::from(service.balancing) && !kept {
            return Some(format!("{name} wants {desired} and has {sound} of its PRIMARY deployment"));
        }
        zones::check(was, is, (state, now), service)
    }

    /// Why a service that does not rest may be excused: it says a reason that is true.
    pub fn excuse(&self, state: &State, now: Millis) -> Option<String> {
        let service = rests(state, now)?;
        let unhappy = |why: &str| Some(format!("{} does not come to rest: {why}", service.name));
        let set = sets::restless(state, service, now).filter(|_| service.external);
        let Some(primary) = set.or(service.primary()) else { return unhappy("it has no deployment") };
        // What was given up stays as it is; its service deployment says why.
        if primary.rollout == Rollout::Failed {
            let history = state.service_deployments.get(&(service.id, primary.history));
            let says = history.is_some_and(|known| known.status.is_over() && known.reason.is_some());
            return if says { None } else { unhappy("it was given up and says no reason") };
        }
        let Some(trouble) = primary.trouble.as_deref() else {
            return unhappy(&zones::uneven(state, service).unwrap_or_else(|| "and says no reason".to_owned()));
        };
        let bounds = trouble.contains("allow no step");
        let codes = ["RESOURCE:", "AGENT", "INACTIVE", "DistinctInstance", "MemberOf"];
        let resources = codes.iter().any(|code| trouble.starts_with(code));
        if !bounds && !resources {
            return unhappy(trouble);
        }
        let needs = &state.definitions[&primary.definition].needs;
        let has_room = |instance: &&Instance| {
            let revision = state.service_revisions.get(&(service.id, primary.revision));
            let launch_type = revision.map_or(service.launch_type, |revision| revision.launch_type);
            let (cpu, memory) = ceiling(instance, launch_type);
            let (cpu_used, memory_used) = used(state, instance);
            let free_ports = needs.ports.iter().all(|port| {
                let here = tasks_on(state, instance).flat_map(|task| task.ports.iter());
                here.into_iter().all(|taken| taken != port)
            });
            let free = cpu_used + needs.cpu <= cpu && memory_used + needs.memory <= memory && free_ports;
            free && is_allowed(state, service, instance, None)
        };
        let room =
            state.instances.values().filter(|i| i.status == InstanceStatus::Active && i.connected).find(has_room);
        match room.filter(|_| resources) {
            Some(instance) => unhappy(&format!("{trouble}, but {} has room", instance.id)),
            None => None,
        }
    }
}

/// An essential container of it fails its checks.
pub fn failing(task: &Task) -> bool {
    task.containers.iter().any(|c| c.essential && c.health == Some(HealthStatus::Unhealthy))
}

/// Whether the constraints of a service allow one more task on an instance, beside `but`.
pub fn is_allowed(state: &State, service: &Service, instance: &Instance, but: Option<TaskId>) -> bool {
    service.placement.constraints.iter().all(|constraint| match constraint {
        Constraint::MemberOf(expression) => expression.as_str() != RACK_A || instance.attribute("rack") == Some("a"),
        Constraint::DistinctInstance => {
            let of_it = |task: &Task| task.service.is_some_and(|member| member.service == service.id);
            let mut others = tasks_on(state, instance).filter(|task| task.desired == Desired::Running && of_it(task));
            others.all(|task| Some(task.id) == but)
        }
    })
}

/// It is to move elsewhere.
pub fn drains(state: &State, task: &Task) -> bool {
    task.instance.is_some_and(|id| state.instances[&id].status == InstanceStatus::Draining)
}

fn tasks_on<'a>(state: &'a State, instance: &Instance) -> impl Iterator<Item = &'a Task> + use<'a> {
    let id = instance.id;
    state.tasks.values().filter(move |task| task.instance == Some(id) && task.status != TaskStatus::Stopped)
}

pub fn used(state: &State, instance: &Instance) -> (u32, u32) {
    tasks_on(state, instance).fold((0, 0), |(cpu, memory), task| (cpu + task.cpu, memory + task.memory))
}

pub fn ceiling(instance: &Instance, launch_type: LaunchType) -> (u32, u32) {
    match launch_type {
        LaunchType::Fargate => instance.fargate_capacity().unwrap_or((0, 0)),
        LaunchType::Ec2 | LaunchType::External => (instance.cpu, instance.memory),
    }
}

fn capacity(state: &State) -> Option<String> {
    state.instances.values().find_map(|instance| {
        let ((cpu, memory), used) = (ceiling(instance, LaunchType::Ec2), used(state, instance));
        (used.0 > cpu || used.1 > memory).then(|| format!("{} is overcommitted: {used:?}", instance.id))
    })
}

fn ports(state: &State) -> Option<String> {
    let mut given = BTreeMap::new();
    for task in state.tasks.values().filter(|task| task.status != TaskStatus::Stopped) {
        for port in &task.ports {
            if let Some(other) = given.insert((task.instance, *port), task.id) {
                return Some(format!("{port} is given to {other} and {}", task.id));
            }
        }
    }
    None
}

/// What was placed in this round is where it may be.
fn places(before: &View, state: &State, now: Millis) -> Option<String> {
    let fresh = state.tasks.values().filter(|task| !before.known.contains(&task.id) && task.times.created == now);
    fresh.into_iter().find_map(|task| {
        let instance = &state.instances[&task.instance?];
        let there = instance.connected || now < instance.connection_at + DISCONNECT_GRACE_MS;
        let service = task.service.and_then(|member| state.services.get(&member.service));
        if service.is_some_and(|service| !is_allowed(state, service, instance, Some(task.id))) {
            return Some(format!("{} is placed on {} against its constraints", task.id, instance.id));
        }
        (instance.status != InstanceStatus::Active || !there)
            .then(|| format!("{} is placed on {}, which is away", task.id, instance.id))
    })
}

/// A deployment becomes COMPLETED when all its tasks are healthy and nothing of another is left, and not before.
fn completion(before: &View, after: &View, state: &State, service: &Service) -> Option<String> {
    let primary = service.primary()?;
    let key = (service.id, primary.number);
    // One that had come true and was stopped is COMPLETED as it was, and keeps its count from there.
    if !after.completed.contains(&key) || before.completed.contains(&key) || primary.kept {
        return None;
    }
    let left = state.service_tasks(service.id).filter(|task| task.status != TaskStatus::Stopped);
    let older = left.filter(|task| task.service.is_some_and(|m| m.deployment != primary.number)).count();
    // One that is protected stays on a host that drains, and its replacement counts.
    let stays = |id: &&TaskId| !drains(state, &state.tasks[id]);
    let healthy = after.services.get(&service.id).map_or(0, |tasks| tasks.healthy.iter().filter(stays).count());
    (older > 0 || healthy != service.desired as usize || service.deployments.len() != 1).then(|| {
        format!("{} is COMPLETED with {healthy} healthy tasks of {}, {older} older", service.name, service.desired)
    })
}

/// Looking at every service finds nothing to do that looking at those with news has not found.
fn nothing_is_forgotten(control: &Control, now: Millis) -> Option<String> {
    // What is left for the next round is asked for at once.
    if control.next_wake().is_some_and(|at| at <= now) {
        return None;
    }
    control.state().services.values().find_map(|service| {
        let plan = planner::service::reconcile(control.state(), service.id, control.health());
        let altered = plan.service.as_ref().is_some_and(|altered| altered != service);
        // Room that has come up in a poorer zone is found by the next look for it.
        let evens = plan.service.as_ref().unwrap_or(service).balancing && plan.stops.is_empty();
        let idle = evens || (plan.starts == 0 && plan.stops.is_empty() && !altered);
        (!idle).then(|| format!("{} was not looked at: {plan:?}", service.name))
    })
}

/// The first service that is not as it is wanted.
pub fn rests(state: &State, now: Millis) -> Option<&Service> {
    state.services.values().find(|service| {
        let left = || state.service_tasks(service.id).filter(|task| task.status != TaskStatus::Stopped);
        match service.status {
            ServiceStatus::Inactive => left().next().is_some(),
            ServiceStatus::Draining => true,
            ServiceStatus::Active if service.external => {
                let known = |number: u64| service.deployments.iter().any(|set| set.number == number);
                let orphan = |task: &Task| task.service.is_some_and(|member| !known(member.deployment));
                left().any(orphan) || sets::restless(state, service, now).is_some()
            }
            ServiceStatus::Active => {
                let number = service.primary().map(|primary| primary.number);
                let of_primary = |task: &&Task| task.service.map(|membership| membership.deployment) == number;
                let stays = |task: &&Task| healthy(task, now) && !drains(state, task);
                let healthy = left().filter(of_primary).filter(stays).count();
                let completed = service.primary().is_some_and(|primary| primary.rollout == Rollout::Completed);
                left().count() != healthy
                    || healthy != service.desired as usize
                    || !completed
                    || service.deployments.len() != 1
                    || zones::uneven(state, service).is_some()
            }
        }
    })
}
