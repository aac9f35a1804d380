//! What must hold of constraints, daemons, protected tasks, waiting tasks and of what is shown of services. Read from what
//! clients asked and were told, and from what the fake hosts truly run. Decides nothing that the system could see.

use crate::agent::Agent;
use crate::checks::task_id;
use crate::fleet::{DAEMONS, RACK, RULES};
use crate::oracle::Asked;
use crate::world::World;
use link::acs::id_of;
use model::change::Change;
use model::group::Group;
use model::placement::Placement;
use model::service::{Deployment, Rollout, Service, ServiceStatus};
use model::task::{Desired, StopCode};
use model::task_set::TaskSetStatus;
use model::{InstanceId, Millis, ServiceId, State, Task, TaskId, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use wire::ecs;

/// How often a service may say the same in one round.
const SAID_MAX: u32 = 3;

/// What clients know of the protection of a task.
#[derive(Debug, Default)]
pub(crate) struct Protection {
    /// Requests about it that were sent, and how many of them were answered.
    pub sent: u64,
    pub answered: u64,
    /// Some were on their way together, and came in an order that nobody knows.
    pub crossed: bool,
    /// Until when, as the only answer since says.
    pub until: Millis,
}

impl Protection {
    /// Whether nobody can have changed it since it was told.
    fn is_sure(&self) -> bool {
        self.sent == self.answered
    }
}

/// What is asked of the rack of a host, of the rules that are known here.
pub(crate) fn rack_fits(placement: &Placement, rack: Option<&str>) -> bool {
    let holds = |text: &str| RULES.iter().find(|(known, _)| *known == text).is_none_or(|(_, holds)| holds(rack));
    placement.expressions().all(|expression| holds(expression.as_str()))
}

fn placement_of(state: &State, task: &Task) -> Placement {
    let of_service = task.service.and_then(|member| state.services.get(&member.service));
    let own = || task.placement.as_deref().cloned();
    let waiting = || task.waiting.as_ref().map(|waiting| waiting.placement.clone());
    of_service.map(|service| service.placement.clone()).or_else(own).or_else(waiting).unwrap_or_default()
}

fn is_daemon(state: &State, task: &Task) -> bool {
    let service = task.service.and_then(|member| state.services.get(&member.service));
    service.is_some_and(|service| DAEMONS.contains(&&*service.name))
}

impl World {
    fn plane_state(&self) -> Option<&State> {
        self.plane.control.as_ref().map(control::Control::state)
    }

    /// What a round has decided about places, protected tasks and services that are shown.
    pub fn check_promises(&mut self, changes: &[Change]) {
        let Some(control) = &self.plane.control else { return };
        let state = control.state();
        let (mut touched, mut said) = (BTreeSet::new(), BTreeMap::new());
        let mut broken = None;
        for (position, change) in changes.iter().enumerate() {
            let found = match change {
                Change::TaskAccepted(task) => task
                    .instance
                    .and_then(|instance| self.check_place(state, (task.id, instance), &changes[position..])),
                Change::TaskPlaced { id, instance, .. } => {
                    let placed = self.check_place(state, (*id, *instance), &changes[position..]);
                    placed.or_else(|| self.check_queue(state, *id))
                }
                Change::TaskStopWanted { id, stop, .. } if stop.code == StopCode::ServiceSchedulerInitiated => {
                    self.check_protected(state, *id)
                }
                Change::ServiceSaid(event) => {
                    let times = said.entry((event.service, event.message.clone())).or_insert(0u32);
                    *times += 1;
                    // Requests that change a service have it say again what still holds.
                    let again = *times > SAID_MAX;
                    again.then(|| ("a service does not say the same for ever", event.message.to_string()))
                }
                _ => None,
            };
            broken = broken.or(found);
            touched.extend(match change {
                Change::ServiceUpdated(service) => Some(service.id),
                Change::TaskReported { id, .. } => {
                    state.tasks.get(id).and_then(|task| task.service).map(|member| member.service)
                }
                _ => None,
            });
        }
        let mut shown = touched.into_iter().filter_map(|id: ServiceId| state.services.get(&id));
        let broken = broken.or_else(|| shown.find_map(|service| self.check_shown(state, service)));
        let broken = broken.or_else(|| self.check_daemons(state));
        if let Some((invariant, detail)) = broken {
            self.fail(invariant, detail);
        }
    }

    /// A task that has just been placed is where its constraints allow it.
    fn check_place(
        &self,
        state: &State,
        (id, instance): (TaskId, InstanceId),
        later: &[Change],
    ) -> Option<(&'static str, String)> {
        let (task, host) = (state.tasks.get(&id)?, state.instances.get(&instance)?);
        let name = || format!("{} on {}", self.trace.name(&id.to_string()), self.trace.name(&instance.to_string()));
        // What a request of the same round has changed after it is not to be blamed on it.
        let altered = later.iter().any(|change| match change {
            Change::InstanceAttributes { id, .. } | Change::InstanceStatus { id, .. } => *id == instance,
            Change::InstanceDeregistered(id) => *id == instance,
            Change::ServiceUpdated(service) => task.service.is_some_and(|member| member.service == service.id),
            _ => false,
        });
        if altered {
            return None;
        }
        if host.is_draining() {
            return Some(("no task is placed on a host that drains", name()));
        }
        let placement = placement_of(state, task);
        if !rack_fits(&placement, host.attribute(RACK)) {
            return Some(("a task is placed where its constraints hold", format!("{}: {placement:?}", name())));
        }
        // One that came after it minds its own constraints.
        let came_later = |other: &Task| {
            later.iter().any(|change| match change {
                Change::TaskAccepted(task) => task.id == other.id,
                Change::TaskPlaced { id, .. } => *id == other.id,
                _ => false,
            })
        };
        let alike = |other: &&Task| {
            other.desired == Desired::Running && other.status != TaskStatus::Stopped && !came_later(other)
        };
        let same = |other: &Task| other.cluster == task.cluster && Group::of(other) == Group::of(task);
        let mut others = state.instance_tasks(instance).filter(alike).filter(|other| same(other));
        (placement.is_distinct() && others.next().is_some())
            .then(|| ("a task is placed where its constraints hold", format!("{}: distinctInstance", name())))
    }

    /// Of tasks that want the same the one that has waited longest is the first to be placed.
    fn check_queue(&self, state: &State, id: TaskId) -> Option<(&'static str, String)> {
        let placed = state.tasks.get(&id).filter(|task| task.service.is_none())?;
        let wants = |task: &Task| {
            (
                task.definition,
                task.provider.clone(),
                task.cpu,
                task.memory,
                task.group.clone(),
                placement_of(state, task),
            )
        };
        let older = state.waiting_tasks(placed.cluster).find(|task| {
            task.service.is_none() && task.times.created < placed.times.created && wants(task) == wants(placed)
        })?;
        let name = |task: &Task| self.trace.name(&task.id.to_string()).to_owned();
        let detail = format!("{} waits, {} is placed", name(older), name(placed));
        Some(("the task that has waited longest comes first", detail))
    }

    /// What was told to be protected is not stopped by its service.
    fn check_protected(&self, state: &State, id: TaskId) -> Option<(&'static str, String)> {
        let task = state.tasks.get(&id)?;
        let told = self.clients.oracle.protected.get(&state.task_arn(task)).filter(|told| told.is_sure())?;
        let service = state.services.get(&task.service?.service)?;
        let lost = state.is_lost(task, self.plane_now()) || is_daemon(state, task);
        // A task set that is deleted takes its tasks with it.
        let number = task.service?.deployment;
        let mut sets = service.deployments.iter().filter(|known| !known.is_set(TaskSetStatus::Draining));
        let lost = lost || (service.external && !sets.any(|known| known.number == number));
        let spared = service.status == ServiceStatus::Active && !task.is_unhealthy() && !lost;
        (spared && told.until > self.plane_now()).then(|| {
            let detail = format!("{} of {}", self.trace.name(&id.to_string()), service.name);
            ("a service stops no task that is protected", detail)
        })
    }

    /// A service that looks as if it had come to rest has nothing else alive, and what it counts as running has run.
    fn check_shown(&self, state: &State, service: &Service) -> Option<(&'static str, String)> {
        let health = self.plane.control.as_ref()?.health();
        let shown = state.project_service(service, false, health);
        let deployments = shown.deployments.unwrap_or_default();
        let primary = deployments.first()?;
        let (running, desired) = (shown.running_count.unwrap_or(0), shown.desired_count.unwrap_or(0));
        let number = service.primary()?.number;
        let stands = deployments.len() == 1 && running == desired;
        if service.status != ServiceStatus::Active || !stands {
            return None;
        }
        let mine = |task: &Task| task.service.filter(|member| member.service == service.id).map(|m| m.deployment);
        for agent in &self.agents {
            let alive = agent.host.directories.iter().filter(|(_, directory)| directory.is_alive());
            let held = alive.map(|(key, _)| task_id(key)).filter(|id| !self.disk.lost.contains(id));
            let older = held.filter_map(|id| state.tasks.get(&id)).find(|task| {
                let instance = task.instance.and_then(|id| state.instances.get(&id));
                // What runs on a host that was given up is nobody's.
                let kept = instance.is_some_and(model::Instance::is_registered);
                mine(task).is_some_and(|deployment| deployment != number) && kept
            });
            if let Some(task) = older {
                let name = self.trace.name(&task.id.to_string()).to_owned();
                let detail = format!("{} with {name} on host-{}", service.name, agent.number);
                return Some(("no service looks stable while an older task is there", detail));
            }
        }
        let tasks = state.service_tasks(service.id).filter(|task| mine(task) == Some(number));
        let proved = tasks.filter(|task| self.ran.contains(&task.id)).count();
        let completed = primary.rollout_state == Some(ecs::DeploymentRolloutState::Completed);
        let just = completed && service.primary()?.rollout == Rollout::Completed;
        (just && proved < usize::try_from(running).unwrap_or(0)).then(|| {
            let detail = format!("{}: {running} running, {proved} have truly run", service.name);
            ("no service looks stable before its tasks have run", detail)
        })
    }

    /// No host runs two tasks of a service that is on every instance.
    fn check_daemons(&self, state: &State) -> Option<(&'static str, String)> {
        self.agents.iter().find_map(|agent| {
            let mut seen = BTreeMap::new();
            let alive = agent.host.directories.iter().filter(|(_, directory)| directory.is_alive());
            let tasks = alive.map(|(key, _)| task_id(key)).filter(|id| !self.disk.lost.contains(id));
            let daemons = tasks.filter_map(|id| state.tasks.get(&id)).filter(|task| is_daemon(state, task));
            daemons.into_iter().find_map(|task| {
                let twice = seen.insert(task.service.map(|member| member.service), task.id)?;
                let names = [twice, task.id].map(|id| self.trace.name(&id.to_string()).to_owned());
                let detail = format!("{} on host-{}", names.join(" and "), agent.number);
                Some(("no instance has two tasks of one daemon", detail))
            })
        })
    }

    /// Once faults are over every instance that may has its daemon, and one that drains has none when all else is gone.
    pub fn unfinished_daemons(&self, state: &State) -> Option<String> {
        let active = state.services.values().filter(|service| service.status == ServiceStatus::Active);
        let mut daemons = active.filter(|service| DAEMONS.contains(&&*service.name));
        daemons.find_map(|service| self.agents.iter().find_map(|agent| self.unfinished_daemon(state, service, agent)))
    }

    fn unfinished_daemon(&self, state: &State, service: &Service, agent: &Agent) -> Option<String> {
        let primary = service.primary().filter(|primary| primary.rollout != Rollout::Failed)?;
        let here = InstanceId::parse(agent.host.arn.as_deref().map(id_of)?)?;
        let instance = state.instances.get(&here).filter(|instance| instance.cluster == service.cluster)?;
        let tasks = agent.host.directories.iter().filter(|(_, directory)| directory.is_alive());
        let tasks: Vec<&Task> = tasks.filter_map(|(key, _)| state.tasks.get(&task_id(key))).collect();
        let of_it = |task: &&&Task| task.service.is_some_and(|member| member.service == service.id);
        let current = |task: &&&Task| task.service.is_some_and(|member| member.deployment == primary.number);
        let (all, new) = (tasks.iter().filter(of_it).count(), tasks.iter().filter(of_it).filter(current).count());
        let name = format!("{} on host-{}", service.name, agent.number);
        if instance.is_draining() {
            let others = tasks.iter().any(|task| !is_daemon(state, task));
            return (all > 0 && !others).then(|| format!("{name}: a host that drains has {all} tasks of it"));
        }
        let wanted = rack_fits(&service.placement, instance.attribute(RACK));
        let needs = &state.definitions.get(&primary.definition)?.needs;
        // Without room for it nothing can be asked.
        let room = Self::has_room(state, agent, (needs.cpu, needs.memory), 1) || all > 0;
        match (wanted, room) {
            (true, true) if (all, new) != (1, 1) => Some(format!("{name}: {all} tasks, {new} of the newest")),
            (false, _) if all > 0 => Some(format!("{name}: {all} tasks where none may be")),
            _ => None,
        }
    }

    /// Whether a host truly has so many CPU units and MiB that no task on it has. `factor`: how many times its CPU it lends.
    pub fn has_room(state: &State, agent: &Agent, (cpu, memory): (u32, u32), factor: u32) -> bool {
        let held = agent.host.directories.keys().filter_map(|key| state.tasks.get(&task_id(key)));
        let held = held.filter(|task| task.status != TaskStatus::Stopped);
        let (used_cpu, used) = held.fold((0, 0), |(cpu, memory), task| (cpu + task.cpu, memory + task.memory));
        used_cpu + cpu <= agent.cpu * factor && used + memory <= agent.memory
    }

    /// Once faults are over a task waits with a reason, and no host would take it.
    pub fn unfinished_waiting(&self, state: &State, task: &Task) -> Option<String> {
        let name = self.trace.name(&task.id.to_string()).to_owned();
        let Some(waiting) = &task.waiting else { return Some(format!("{name} is on no instance and does not wait")) };
        if waiting.code.is_empty() || waiting.detail.is_empty() {
            return Some(format!("{name} waits and says no reason"));
        }
        let needs = &state.definitions.get(&task.definition)?.needs;
        if !needs.ports.is_empty() || needs.network_mode == "awsvpc" {
            return None;
        }
        let takes = |agent: &&Agent| {
            let here = agent.host.arn.as_deref().and_then(|arn| InstanceId::parse(id_of(arn)));
            let instance = here.and_then(|here| state.instances.get(&here)).filter(|i| i.cluster == task.cluster);
            let provided = agent.provider.is_some() && agent.provider == task.provider.as_deref();
            let Some(instance) = instance.filter(|instance| provided && instance.connected && !instance.is_draining())
            else {
                return false;
            };
            let same = |other: &&Task| other.desired == Desired::Running && Group::of(other) == Group::of(task);
            let free = !waiting.placement.is_distinct() || state.instance_tasks(instance.id).filter(same).count() == 0;
            free && rack_fits(&waiting.placement, instance.attribute(RACK))
                && Self::has_room(state, agent, (task.cpu, task.memory), 1)
        };
        let host = self.agents.iter().find(takes)?;
        Some(format!("{name} waits ({}), and host-{} has room", waiting.detail, host.number))
    }

    /// Once faults are over a host that drains has no task of a service that can be elsewhere.
    pub fn unfinished_drain(&self, agent: usize) -> Option<String> {
        let state = self.plane_state()?;
        let directories = self.agents[agent].host.directories.iter().filter(|(_, directory)| directory.is_alive());
        let mut tasks = directories.filter_map(|(key, _)| state.tasks.get(&task_id(key)));
        tasks.find_map(|task| {
            let service = state.services.get(&task.service?.service)?;
            let excused = is_daemon(state, task) || Self::says_why(state, service);
            let name = self.trace.name(&task.id.to_string()).to_owned();
            (!excused).then(|| format!("{name} of {} stays on host-{agent}, which drains", service.name))
        })
    }

    /// A service that is not as it is wanted, and says why: it is in trouble, was given up, or has tasks that wait for room.
    pub fn says_why(state: &State, service: &Service) -> bool {
        let waits = || state.live_service_tasks(service.id).any(Task::is_waiting);
        let triggered = |deployment: &Deployment| {
            let history = state.service_deployments.get(&(service.id, deployment.history));
            history.is_some_and(|known| known.triggered)
        };
        let given_up = |deployment: &Deployment| {
            let failed = deployment.rollout == Rollout::Failed;
            failed && (deployment.completed_at == 0 || triggered(deployment))
        };
        let sets = || service.deployments.iter().any(|set| set.set.is_some() && set.trouble.is_some());
        service.primary().is_some_and(|primary| primary.trouble.is_some() || given_up(primary)) || sets() || waits()
    }

    /// A request is sent that will change what is known.
    pub fn before_asking(&mut self, request: &ecs::Request) {
        self.before_asking_of_sets(request);
        let ecs::Request::UpdateTaskProtection(request) = request else { return };
        for task in &request.tasks {
            let known = self.clients.oracle.protected.entry(task.clone()).or_default();
            known.crossed |= !known.is_sure();
            known.sent += 1;
        }
    }

    /// Judges answers about the fleet.
    pub fn judge_fleet(&mut self, asked: &Asked, response: ecs::Response) {
        match (&asked.request, response) {
            (ecs::Request::UpdateTaskProtection(request), ecs::Response::UpdateTaskProtection(response)) => {
                self.judge_protection(request, *response);
            }
            (ecs::Request::PutAttributes(request), ecs::Response::PutAttributes(response)) => {
                let told = response.attributes.unwrap_or_default();
                let same = told.len() == request.attributes.len()
                    && told.iter().zip(&request.attributes).all(|(told, asked)| {
                        told.value == asked.value && told.target_id.as_ref().is_some_and(|id| id.starts_with("arn:"))
                    });
                if !same {
                    self.fail("PutAttributes answers what it was given", format!("{told:?}"));
                }
            }
            (ecs::Request::CreateCapacityProvider(request), ecs::Response::CreateCapacityProvider(response)) => {
                let told = response.capacity_provider.unwrap_or_default();
                let active = told.status == Some(ecs::CapacityProviderStatus::Active);
                if told.name.as_deref() != Some(&request.name) || !active {
                    self.fail("a capacity provider that was made is ACTIVE", format!("{told:?}"));
                }
            }
            (ecs::Request::DescribeCapacityProviders(request), ecs::Response::DescribeCapacityProviders(response)) => {
                let asked = request.capacity_providers.as_ref().map_or(0, Vec::len);
                let told = response.capacity_providers.unwrap_or_default().len();
                let missing = response.failures.unwrap_or_default().len();
                if told + missing != asked {
                    self.fail("every provider asked for is described or missing", format!("{told}, {missing}"));
                }
            }
            (ecs::Request::CreateService(request), ecs::Response::CreateService(response)) => {
                let told = response.service.unwrap_or_default();
                if told.service_name.as_deref() != Some(&request.service_name)
                    || told.placement_constraints.as_ref().map_or(0, Vec::len)
                        < request.placement_constraints.as_ref().map_or(0, Vec::len)
                {
                    self.fail("a service is made as it was asked for", request.service_name.clone());
                }
                self.judge_service(request, &told);
            }
            (_, response) => self.judge_sets(asked, response),
        }
    }

    fn judge_protection(
        &mut self,
        request: &ecs::UpdateTaskProtectionRequest,
        response: ecs::UpdateTaskProtectionResponse,
    ) {
        let protected = response.protected_tasks.unwrap_or_default();
        let failures = response.failures.unwrap_or_default();
        for arn in &request.tasks {
            let told = protected.iter().find(|told| told.task_arn.as_ref() == Some(arn));
            let failed = failures.iter().any(|failure| failure.arn.as_ref() == Some(arn));
            if told.is_some() == failed {
                self.fail("every task asked for is protected or a failure", arn.clone());
            }
            let until = told.and_then(|told| told.expiration_date).map(|at| at.millis());
            if told.is_some() && until.is_some() != request.protection_enabled {
                self.fail("protection is as it was asked for", format!("{arn}: {until:?}"));
            }
            let Some(known) = self.clients.oracle.protected.get_mut(arn) else { continue };
            known.answered += 1;
            // A failure leaves what was.
            if known.crossed || told.is_some() {
                known.until = until.filter(|_| !known.crossed).unwrap_or(0);
            }
            known.crossed &= !known.is_sure();
        }
    }

    /// Tasks that were run by one request are where its constraints allow them.
    pub fn judge_places(&mut self, asked: &Asked, request: &ecs::RunTaskRequest, tasks: &[ecs::Task]) {
        let constraints = request.placement_constraints.as_deref().unwrap_or_default();
        let wanted = |task: &&ecs::Task| task.desired_status.as_deref() == Some("RUNNING");
        let mut taken = BTreeSet::new();
        for task in tasks.iter().filter(wanted) {
            let Some(instance) = task.container_instance_arn.as_deref().map(id_of) else { continue };
            let Some(instance) = InstanceId::parse(instance) else { continue };
            let again = !taken.insert(instance);
            for constraint in constraints {
                let rack = self.disk.history.instances.get(&instance).and_then(|instance| instance.attribute(RACK));
                let relabelled = self.disk.relabelled.get(&instance).is_some_and(|at| *at >= asked.at);
                let rule = RULES.iter().find(|(text, _)| constraint.expression.as_deref() == Some(*text));
                let holds = match rule {
                    Some((_, holds)) => relabelled || holds(rack),
                    None => !again,
                };
                if !holds {
                    let name = self.trace.name(task.task_arn.as_deref().unwrap_or("")).to_owned();
                    let detail = format!("{name}: {constraint:?}, rack {rack:?}");
                    return self.fail("a task is run where its constraints hold", detail);
                }
            }
        }
    }
}
