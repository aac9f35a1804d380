//! Services: what clients ask of them, what must hold of them after every round, and what they must have come to once
//! faults are over. Decides nothing that the system could see.

use crate::asks::{Ask, FAMILIES, SOUND, ask};
use crate::faults::operator;
use crate::fleet::DAEMONS;
use crate::host::{Nature, nature};
use crate::operations::{draw_guards, draw_strategy};
use crate::weather::SETTLE_MS;
use crate::wires::Asker;
use crate::world::World;
use model::change::Change;
use model::health::HealthStatus;
use model::instance::DISCONNECT_GRACE_MS;
use model::service::{Rollout, Service, ServiceStatus};
use model::task::{Desired, StopCode};
use model::{Millis, RevisionId, ServiceDeployment, State, Task, TaskId, TaskStatus};
use node::hands::TaskKey;
use wire::ecs;

/// See `has_proved`.
const DRIFT_MS: Millis = 2;
const NAMES: [&str; 4] = ["front", "back", "mail", "cron"];

impl World {
    /// Creates, changes, shows or deletes one of a few services.
    pub fn draw_service(&mut self) -> Ask {
        let known = self.disk.history.family_named(SOUND).is_some();
        if !known || self.chance.clients.per_mille(50) {
            return ask(sound_definition());
        }
        let sound = self.chance.clients.per_mille(600);
        let family = if sound { SOUND } else { *self.chance.clients.pick(&FAMILIES) }.to_owned();
        let network_configuration = self.network_for(&family);
        let chance = &mut self.chance.clients;
        let name = (*chance.pick(&NAMES)).to_owned();
        let count = chance.below(5) as i32;
        let bounds = *chance.pick(&[(100, 200), (50, 100), (0, 100), (100, 150)]);
        let mut configuration = ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(bounds.0),
            maximum_percent: Some(bounds.1),
            ..Default::default()
        };
        draw_guards(chance, &mut configuration);
        let deployment_configuration = Some(configuration);
        if chance.per_mille(100)
            && let Some(operation) = self.draw_operation()
        {
            return operation;
        }
        let chance = &mut self.chance.clients;
        match chance.below(8) {
            0..3 => ask(ecs::CreateServiceRequest {
                service_name: name,
                task_definition: Some(family),
                desired_count: Some(count),
                // Without an interface a task is for the instances of its cluster.
                launch_type: Some(match network_configuration {
                    Some(_) => ecs::LaunchType::Fargate,
                    None => ecs::LaunchType::Ec2,
                }),
                deployment_configuration: deployment_configuration.filter(|_| chance.per_mille(500)),
                placement_strategy: draw_strategy(chance).filter(|_| network_configuration.is_none()),
                health_check_grace_period_seconds: chance.per_mille(300).then(|| chance.below(60) as i32),
                network_configuration,
                ..Default::default()
            }),
            3..6 => ask(ecs::UpdateServiceRequest {
                service: name,
                desired_count: chance.per_mille(600).then_some(count),
                task_definition: chance.per_mille(400).then_some(family),
                force_new_deployment: chance.per_mille(200).then_some(true),
                deployment_configuration: deployment_configuration.filter(|_| chance.per_mille(200)),
                ..Default::default()
            }),
            6 => ask(ecs::DescribeServicesRequest { services: vec![name], ..Default::default() }),
            _ => ask(ecs::DeleteServiceRequest {
                service: name,
                force: chance.per_mille(700).then_some(true),
                ..Default::default()
            }),
        }
    }

    /// What a round must leave of every service.
    pub fn check_services(&mut self) {
        let Some(control) = &self.plane.control else { return };
        let state = control.state();
        let broken = state.services.values().find_map(|service| {
            let wanted = state.service_tasks(service.id).filter(|task| task.desired == Desired::Running).count();
            let sick = |task: &&Task| control.health().is_sick(task, service);
            let lost = |task: &&Task| state.is_lost(task, self.plane_now());
            let sound = || primary_tasks(state, service).filter(|task| !sick(task) && !lost(task));
            // Of too many only those that are protected stay, and as long as these do not work yet, others.
            let stays = |task: &Task| task.is_protected(self.plane_now()) && !task.is_unhealthy();
            let needed = || sound().any(|task| stays(task) && !self.has_proved(&task.id));
            // Evening out zones takes one more for a while.
            let count = service.desired as usize + usize::from(service.balancing);
            let surplus = sound().count() > count && !sound().all(stays) && !needed();
            let primary = || primary_tasks(state, service).filter(|task| !lost(task));
            let most = service.upper_bound().max(service.desired) as usize;
            let over = primary().count() > most && !primary().all(stays);
            let left = state.service_tasks(service.id).any(|task| task.status != TaskStatus::Stopped);
            match service.status {
                ServiceStatus::Active if surplus => Some(("a service never wants more tasks than its count", service)),
                ServiceStatus::Active if over => Some(("a service replaces sick tasks within its bounds", service)),
                ServiceStatus::Draining | ServiceStatus::Inactive if wanted > 0 => {
                    Some(("a deleted service wants no task", service))
                }
                ServiceStatus::Inactive if left => Some(("an INACTIVE service has nothing left", service)),
                _ => None,
            }
        });
        let broken = broken.map(|(invariant, service)| {
            (invariant, format!("{}, count {}, {:?}", service.name, service.desired, service.status))
        });
        if let Some((invariant, detail)) = broken.or_else(|| self.check_sets()) {
            self.fail(invariant, detail);
        }
    }

    /// What services have decided in a round: a healthy task is stopped only where enough others have truly run for long
    /// enough, and looking at every service finds nothing that was not found by looking at those with news.
    pub fn check_decisions(&mut self, changes: &[Change]) {
        let Some(control) = &self.plane.control else { return };
        let state = control.state();
        let broken = changes.iter().find_map(|change| self.check_stop(state, change));
        let broken = broken.or_else(|| state.services.values().find_map(|service| check_breaker(state, service)));
        let broken = broken.or_else(|| {
            let round_is_over = control.next_wake().is_none_or(|at| at > self.plane_now());
            let forgotten = state.services.values().find(|service| {
                let plan = planner::service::reconcile(state, service.id, control.health());
                // Room that has come up in a poorer zone is found by the next look for it.
                let evens = plan.service.as_ref().unwrap_or(service).balancing && plan.stops.is_empty();
                !evens && (plan.starts > 0 || !plan.stops.is_empty() || plan.service.is_some())
            });
            let forgotten = forgotten.filter(|_| round_is_over)?;
            Some(("every service that has something to do is looked at", forgotten.name.to_string()))
        });
        if let Some((invariant, detail)) = self.check_balance(changes).or(broken) {
            self.fail(invariant, detail);
        }
    }

    fn check_stop(&self, state: &State, change: &Change) -> Option<(&'static str, String)> {
        let Change::TaskStopWanted { id, stop, .. } = change else { return None };
        let task = state.tasks.get(id).filter(|_| stop.code == StopCode::ServiceSchedulerInitiated)?;
        let service = state.services.get(&task.service?.service)?;
        let checks = task.containers.iter().filter(|container| container.essential).filter_map(|c| c.health);
        let passes = checks.clone().all(|health| health == HealthStatus::Healthy);
        // What the control plane has heard of only now is no loss to anybody.
        let heard = checks.count() > 0 || task.times.started + SETTLE_MS <= self.plane_now();
        let healthy = task.times.started > 0 && passes && heard && self.has_proved(id);
        if service.status != ServiceStatus::Active || !healthy {
            return None;
        }
        let least = (u64::from(service.desired) * u64::from(service.minimum_healthy)).div_ceil(100) as usize;
        // A task set is kept as if it were a service of its own; one that is deleted keeps nothing.
        let number = task.service?.deployment;
        let least = if service.external { Self::set_floor(service, number)? } else { least };
        let mine = |task: &&Task| !service.external || task.service.is_some_and(|member| member.deployment == number);
        let wanted = state.live_service_tasks(service.id).filter(|task| task.desired == Desired::Running).filter(mine);
        let proved = wanted.filter(|task| self.counts_as_proved(state, task)).count();
        (proved < least).then(|| {
            let name = self.trace.name(&id.to_string()).to_owned();
            let detail = format!("{} stops {name}: {proved} tasks are left of at least {least}", service.name);
            ("a service stops no task that its lower bound needs", detail)
        })
    }

    /// Whether all that is essential of a task has truly been started on a host, and long enough ago.
    pub fn has_proved(&self, id: &TaskId) -> bool {
        let Some(key) = TaskKey::new(&id.to_string()) else { return false };
        let Some(state) = self.plane.control.as_ref().map(control::Control::state) else { return false };
        let Some(task) = state.tasks.get(id) else { return false };
        let Some(definition) = state.definitions.get(&task.definition) else { return false };
        // Checks prove it without time.
        let checked = task.containers.iter().any(|container| container.essential && container.health.is_some());
        let settle_ms = if checked { 0 } else { SETTLE_MS };
        // Clocks that run at different speeds differ by less than this within such a time.
        let long_ago = |at: Millis| at + settle_ms <= self.now + DRIFT_MS;
        self.agents.iter().filter_map(|agent| agent.host.directories.get(&key)).any(|directory| {
            definition.needs.containers.iter().filter(|container| container.essential).all(|needed| {
                let contained = directory.containers.get(&needed.name);
                contained
                    .is_some_and(|known| known.attempt > 0 || (known.started_at.is_some() && long_ago(known.began)))
            })
        })
    }

    /// The same; and tasks of a host that is away, or has just come back, count as they were last heard of.
    pub fn counts_as_proved(&self, state: &State, task: &Task) -> bool {
        let instance = task.instance.and_then(|id| state.instances.get(&id));
        let news = instance.map_or(0, |instance| instance.connection_at + DISCONNECT_GRACE_MS);
        let heard = task.status == TaskStatus::Running && self.ran.contains(&task.id) && self.plane_now() < news;
        heard || self.has_proved(&task.id)
    }

    /// The operator deletes services whose tasks never last; all of them when `all`.
    pub fn delete_services(&mut self, all: bool) {
        let Some(control) = &self.plane.control else { return };
        let state = control.state();
        let active = state.services.values().filter(|service| service.status == ServiceStatus::Active);
        let doomed = active.filter(|service| all || service.deployments.iter().any(|d| !lasts(state, d.definition)));
        let deletions = doomed.map(|service| ecs::DeleteServiceRequest {
            cluster: Some(state.cluster_name(service.cluster).to_owned()),
            service: service.name.to_string(),
            force: Some(true),
        });
        let deletions: Vec<ecs::DeleteServiceRequest> = deletions.collect();
        for deletion in deletions {
            self.call(Asker::Operator, operator(), &ecs::Request::from(deletion));
        }
    }

    /// The first service that is not as it is wanted.
    pub fn unfinished_service(&self, state: &State) -> Option<String> {
        state.services.values().find_map(|service| {
            let name = &service.name;
            let running = primary_tasks(state, service).filter(|task| task.status == TaskStatus::Running).count();
            let older = state.service_tasks(service.id).filter(|task| task.status != TaskStatus::Stopped).count()
                - primary_tasks(state, service).count();
            // Without room for its tasks, or for a step, a service says so and waits; what was given up, or stopped by a
            // request before it came true, is FAILED and stays as it is.
            let excused = Self::says_why(state, service);
            match service.status {
                ServiceStatus::Draining => Some(format!("service {name} is DRAINING")),
                // What task sets must have come to is said by `unfinished_sets`.
                ServiceStatus::Active if excused || service.external || DAEMONS.contains(&&**name) => None,
                ServiceStatus::Active if running != service.desired as usize || older > 0 => {
                    Some(format!("service {name} wants {}, has {running} and {older} others", service.desired))
                }
                ServiceStatus::Active | ServiceStatus::Inactive => None,
            }
        })
    }
}

pub(crate) fn sound_definition() -> ecs::RegisterTaskDefinitionRequest {
    ecs::RegisterTaskDefinitionRequest {
        family: SOUND.to_owned(),
        network_mode: Some(ecs::NetworkMode::Awsvpc),
        cpu: Some("256".to_owned()),
        memory: Some("512".to_owned()),
        requires_compatibilities: Some(vec![ecs::Compatibility::Fargate]),
        container_definitions: vec![ecs::ContainerDefinition {
            name: Some("main".to_owned()),
            image: Some("steady".to_owned()),
            essential: Some(true),
            stop_timeout: Some(2),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A deployment of which no task has ever run is given up after so many failures, if its service has a breaker.
fn check_breaker(state: &State, service: &Service) -> Option<(&'static str, String)> {
    let primary = service.primary().filter(|primary| primary.rollout == Rollout::InProgress)?;
    service.breaker().filter(|_| service.status == ServiceStatus::Active)?;
    // One that is gone back to begins anew, whatever had failed in it before.
    let going_back = |known: &ServiceDeployment| known.status.is_rollback();
    if state.service_deployments.get(&(service.id, primary.history)).is_some_and(going_back) {
        return None;
    }
    let of_primary = |task: &&Task| task.service.is_some_and(|member| member.deployment == primary.number);
    let tasks = || state.service_tasks(service.id).filter(of_primary);
    let failed_to_start =
        |task: &&Task| task.stop.as_ref().is_some_and(|stop| stop.code == StopCode::TaskFailedToStart);
    let failures = tasks().filter(failed_to_start).count();
    let most = (service.desired.div_ceil(2)).clamp(3, 200) as usize;
    let hopeless = failures > most && tasks().all(|task| task.times.started == 0);
    hopeless.then(|| ("the circuit breaker gives up what never starts", format!("{}: {failures}", service.name)))
}

/// Tasks that are wanted RUNNING for the deployment that counts.
fn primary_tasks<'a>(state: &'a State, service: &Service) -> impl Iterator<Item = &'a Task> + use<'a> {
    let number = service.primary().map(|deployment| deployment.number);
    // A task on a host that drains is to be replaced, like one of an older deployment.
    let drains = |task: &Task| task.instance.is_some_and(|id| state.instances[&id].is_draining());
    let of_primary =
        move |task: &&Task| task.service.map(|membership| membership.deployment) == number && !drains(task);
    state.service_tasks(service.id).filter(of_primary).filter(|task| task.desired == Desired::Running)
}

/// Whether tasks of a revision run until they are told to end.
fn lasts(state: &State, definition: RevisionId) -> bool {
    let document = state.definitions.get(&definition).map(|definition| &*definition.document);
    let definition = document.and_then(|text| <ecs::TaskDefinition as wire::FromJson>::from_json_str(text).ok());
    let containers = definition.and_then(|definition| definition.container_definitions).unwrap_or_default();
    let waits_for_an_end = |on: &ecs::ContainerDependency| {
        matches!(on.condition, ecs::ContainerCondition::Complete | ecs::ContainerCondition::Success)
    };
    let waits = |container: &ecs::ContainerDefinition| container.depends_on.iter().flatten().any(waits_for_an_end);
    // One that waits for the end of what never ends waits until it gives up.
    !containers.iter().any(waits)
        && containers.iter().all(|container| {
            let image = container.image.as_deref().unwrap_or("");
            matches!(nature(image), Nature::Steady | Nature::Deaf | Nature::Phoenix) && !image.starts_with("missing")
        })
}
