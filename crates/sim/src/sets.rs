//! Task sets: what clients ask of services whose deployments somebody else controls, and what must hold of them after
//! every round and once faults are over. Shares are counted anew, tasks are those that the fake hosts have. Decides nothing
//! that the system could see.

use crate::asks::{Ask, FAMILIES, SOUND, ask, refused};
use crate::checks::task_id;
use crate::fleet::{TOOL, tool_definition};
use crate::services::sound_definition;
use crate::world::World;
use model::service::{Deployment, Service, ServiceStatus};
use model::task::{Desired, Task};
use model::task_set::TaskSetStatus;
use model::{State, TaskStatus};
use std::collections::BTreeMap;
use wire::ecs;

/// Services of these names are made of task sets, and no others are.
pub(crate) const EXTERNAL: [&str; 2] = ["outer", "rented"];
/// Shares that clients ask for, in percent.
const SHARES: [f64; 8] = [0.0, 0.0, 10.0, 33.34, 50.0, 66.67, 100.0, 100.0];
const CLUSTER: &str = "default";

const PARAMETER: &[&str] = &["InvalidParameterException"];
const GONE: &[&str] = &["ServiceNotFoundException"];
/// The service may be there or not.
const OF_NO_SET: &[&str] = &["TaskSetNotFoundException", "ServiceNotFoundException", "ServiceNotActiveException"];
const OF_SERVICE: &[&str] = &["InvalidParameterException", "ServiceNotFoundException", "ServiceNotActiveException"];
/// What asks for too much may be refused for the service or the definition first.
const OF_SET: &[&str] = &[
    "ClientException",
    "InvalidParameterException",
    "ServiceNotActiveException",
    "ServiceNotFoundException",
    "UnsupportedFeatureException",
];

/// So many percent of a count, rounded up.
pub(crate) fn share(percent: f64, count: i32) -> i32 {
    // Shares are given in millionths of a percent at the finest.
    (percent * f64::from(count) / 100.0 - 1e-7).ceil() as i32
}

/// The number in a task set's id or ARN, as text.
pub(crate) fn number_of(set: &str) -> String {
    link::acs::id_of(set).to_owned()
}

/// The same of a deployment.
pub(crate) fn number_text(number: u64) -> String {
    format!("{number:019}")
}

/// What a set is to have.
fn wanted_of(service: &Service, deployment: &Deployment) -> usize {
    let set = deployment.set.as_ref().filter(|set| set.status != TaskSetStatus::Draining);
    let desired = i32::try_from(service.desired).unwrap_or(i32::MAX);
    set.map_or(0, |set| share(set.scale.percent(), desired)) as usize
}

impl World {
    /// The next request about task sets.
    pub fn draw_set(&mut self) -> Ask {
        let state = &self.disk.history;
        if state.family_named(SOUND).is_none() {
            return ask(sound_definition());
        }
        if state.family_named(TOOL).is_none() {
            return ask(tool_definition());
        }
        let service = (*self.chance.clients.pick(&EXTERNAL)).to_owned();
        let known = self.external(&service).is_some();
        match self.chance.clients.below(if known { 24 } else { 3 }) {
            0 | 1 => self.draw_external(service),
            2..7 => self.draw_set_creation(service),
            7..19 => self.draw_set_change(&service).unwrap_or_else(|| self.draw_set_mistake(service)),
            19 => {
                let force = self.chance.clients.per_mille(500).then_some(true);
                ask(ecs::DeleteServiceRequest { service, force, ..Default::default() })
            }
            20 | 21 => {
                let desired_count = Some(self.draw_count());
                ask(ecs::UpdateServiceRequest { service, desired_count, ..Default::default() })
            }
            _ => self.draw_set_mistake(service),
        }
    }

    /// The ACTIVE service of that name, as it is durable.
    fn external(&self, name: &str) -> Option<&Service> {
        let state = &self.disk.history;
        let service = state.service_named(state.cluster_named(CLUSTER)?.id, name)?;
        (service.external && service.status == ServiceStatus::Active).then_some(service)
    }

    fn draw_count(&mut self) -> i32 {
        *self.chance.clients.pick(&[0, 1, 1, 2, 3, 3, 4, 5])
    }

    fn draw_external(&mut self, service_name: String) -> Ask {
        let desired_count = Some(self.draw_count());
        let chance = &mut self.chance.clients;
        let bounds = *chance.pick(&[(100, 200), (50, 100), (0, 100), (100, 150)]);
        let configuration = ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(bounds.0),
            maximum_percent: Some(bounds.1),
            ..Default::default()
        };
        ask(ecs::CreateServiceRequest {
            service_name,
            desired_count,
            deployment_controller: Some(ecs::DeploymentController { r#type: ecs::DeploymentControllerType::External }),
            deployment_configuration: chance.per_mille(400).then_some(configuration),
            ..Default::default()
        })
    }

    fn draw_set_request(&mut self, service: String) -> ecs::CreateTaskSetRequest {
        let family = match self.chance.clients.below(10) {
            0..5 => SOUND,
            5..8 => TOOL,
            _ => *self.chance.clients.pick(&FAMILIES),
        };
        let network_configuration = self.network_for(family);
        let chance = &mut self.chance.clients;
        let fargate = network_configuration.is_some();
        ecs::CreateTaskSetRequest {
            cluster: CLUSTER.to_owned(),
            service,
            task_definition: family.to_owned(),
            launch_type: Some(if fargate { ecs::LaunchType::Fargate } else { ecs::LaunchType::Ec2 }),
            scale: chance.per_mille(900).then(|| scale(*chance.pick(&SHARES))),
            external_id: chance.per_mille(300).then(|| "of-somebody".to_owned()),
            client_token: chance.per_mille(300).then(|| format!("set-{}", chance.below(3))),
            network_configuration,
            ..Default::default()
        }
    }

    fn draw_set_creation(&mut self, service: String) -> Ask {
        ask(self.draw_set_request(service))
    }

    /// A set of the service, by its id or its ARN.
    fn any_set(&mut self, service: &str) -> Option<String> {
        let state = &self.disk.history;
        let known = self.external(service)?;
        let names = |set: &Deployment| (set.id(), state.scope().task_set(CLUSTER, service, set.number));
        let sets: Vec<(String, String)> = known.deployments.iter().map(names).collect();
        let (id, arn) = self.chance.clients.pick_from(sets.into_iter())?;
        Some(if self.chance.clients.per_mille(500) { id } else { arn })
    }

    fn draw_set_change(&mut self, service: &str) -> Option<Ask> {
        let task_set = self.any_set(service)?;
        let (cluster, service) = (CLUSTER.to_owned(), service.to_owned());
        let chance = &mut self.chance.clients;
        Some(match chance.below(12) {
            0..5 => {
                let scale = scale(*chance.pick(&SHARES));
                ask(ecs::UpdateTaskSetRequest { cluster, service, task_set, scale })
            }
            5 | 6 => ask(ecs::UpdateServicePrimaryTaskSetRequest { cluster, service, primary_task_set: task_set }),
            7..10 => {
                let force = chance.per_mille(400).then_some(true);
                ask(ecs::DeleteTaskSetRequest { cluster, service, task_set, force })
            }
            _ => {
                let named = chance.per_mille(500);
                let nobody = "ecs-svc/0000000000000000001".to_owned();
                let task_sets = named.then(|| [task_set].into_iter().chain([nobody]).collect());
                ask(ecs::DescribeTaskSetsRequest { cluster, service, task_sets, ..Default::default() })
            }
        })
    }

    fn draw_set_mistake(&mut self, service: String) -> Ask {
        let cluster = || CLUSTER.to_owned();
        let nobody = || "ecs-svc/0000000000000000001".to_owned();
        let set = ecs::CreateTaskSetRequest { client_token: None, ..self.draw_set_request(service.clone()) };
        let named = || (cluster(), service.clone(), nobody());
        let create = |launch_type| ecs::CreateServiceRequest {
            service_name: "mistake".to_owned(),
            desired_count: Some(1),
            launch_type,
            deployment_controller: Some(ecs::DeploymentController { r#type: ecs::DeploymentControllerType::External }),
            ..Default::default()
        };
        match self.chance.clients.below(9) {
            0 => refused(ecs::CreateTaskSetRequest { scale: Some(scale(100.5)), ..set }, OF_SET),
            1 => refused(ecs::CreateTaskSetRequest { scale: Some(scale(-1.0)), ..set }, OF_SET),
            2 => {
                let load_balancers = Some(vec![ecs::LoadBalancer::default()]);
                refused(ecs::CreateTaskSetRequest { load_balancers, ..set }, OF_SET)
            }
            3 => refused(ecs::CreateTaskSetRequest { service: "nobody".to_owned(), ..set }, GONE),
            4 => {
                let (cluster, service, task_set) = named();
                refused(ecs::UpdateTaskSetRequest { cluster, service, task_set, scale: scale(50.0) }, OF_NO_SET)
            }
            5 => {
                let (cluster, service, task_set) = named();
                refused(ecs::DeleteTaskSetRequest { cluster, service, task_set, force: Some(true) }, OF_NO_SET)
            }
            6 => {
                let (cluster, service, primary_task_set) = named();
                refused(ecs::UpdateServicePrimaryTaskSetRequest { cluster, service, primary_task_set }, OF_NO_SET)
            }
            7 => {
                let force_new_deployment = Some(true);
                refused(ecs::UpdateServiceRequest { service, force_new_deployment, ..Default::default() }, OF_SERVICE)
            }
            _ => refused(create(Some(ecs::LaunchType::Fargate)), PARAMETER),
        }
    }

    /// What a round must leave of task sets.
    pub fn check_sets(&self) -> Option<(&'static str, String)> {
        let control = self.plane.control.as_ref()?;
        let (state, now) = (control.state(), self.plane_now());
        // What is left for the next round is asked for at once.
        let round_is_over = control.next_wake().is_none_or(|at| at > now);
        let active = |service: &&Service| service.external && service.status == ServiceStatus::Active;
        let services = state.services.values().filter(active);
        let mut sets = services.flat_map(|service| service.deployments.iter().map(move |set| (service, set)));
        sets.find_map(|(service, set)| {
            let found = self.check_set(state, service, set).filter(|_| round_is_over)?;
            Some((found, format!("{}, {}: {:?}", service.name, self.trace.name(&number_text(set.number)), set.set)))
        })
    }

    fn check_set(&self, state: &State, service: &Service, set: &Deployment) -> Option<&'static str> {
        let now = self.plane_now();
        let health = self.plane.control.as_ref()?.health();
        let live = || state.live_deployment_tasks(service.id, set.number);
        let tasks: Vec<&Task> = live().filter(|task| task.desired == Desired::Running).collect();
        if set.is_set(TaskSetStatus::Draining) {
            return (!tasks.is_empty()).then_some("a deleted task set wants no task");
        }
        let wanted = wanted_of(service, set);
        let drains = |task: &Task| task.instance.is_some_and(|id| state.instances[&id].is_draining());
        let sound = || tasks.iter().filter(|task| !health.is_sick(task, service) && !state.is_lost(task, now));
        let sound = || sound().filter(|task| !drains(task));
        // Of too many only those that are protected stay, and as long as these do not work yet, others.
        let stays = |task: &Task| task.is_protected(now) && !task.is_unhealthy();
        let needed = || sound().any(|task| stays(task) && !self.has_proved(&task.id));
        if sound().count() > wanted && !sound().all(|task| stays(task)) && !needed() {
            return Some("a task set never wants more tasks than its share");
        }
        let steady = set.set.as_ref().is_some_and(|set| set.steady);
        let ran = tasks.iter().all(|task| self.ran.contains(&task.id));
        (steady && (tasks.len() != wanted || !ran)).then_some("no task set is called steady before its tasks have run")
    }

    /// The least number of tasks of a set that stopping one may leave; `None`: there is no such set any more.
    pub fn set_floor(service: &Service, number: u64) -> Option<usize> {
        let set = service.deployments.iter().find(|known| known.number == number)?;
        let wanted = wanted_of(service, set) as u64;
        Some((wanted * u64::from(service.minimum_healthy)).div_ceil(100) as usize)
    }

    /// Once faults are over the hosts have of every set what its share is, as its clients were told, and nothing of those that
    /// were deleted.
    pub fn unfinished_sets(&self, state: &State) -> Option<String> {
        let mut there: BTreeMap<(model::ServiceId, u64), i32> = BTreeMap::new();
        for agent in &self.agents {
            let alive = agent.host.directories.iter().filter(|(_, directory)| directory.is_alive());
            for task in alive.filter_map(|(key, _)| state.tasks.get(&task_id(key))) {
                let lost = self.disk.lost.contains(&task.id) || task.status == TaskStatus::Stopped;
                let Some(member) = task.service.filter(|_| !lost) else { continue };
                *there.entry((member.service, member.deployment)).or_default() += 1;
            }
        }
        let active = |service: &&Service| service.external && service.status == ServiceStatus::Active;
        state.services.values().filter(active).find_map(|service| {
            let name = |number: u64| self.trace.name(&number_text(number)).to_owned();
            let mut here = there.iter().filter(|((id, _), _)| *id == service.id);
            let gone = |number: u64| {
                let known = service.deployments.iter().find(|known| known.number == number);
                known.is_none_or(|known| known.is_set(TaskSetStatus::Draining))
                    || self.clients.oracle.sets.is_deleted(&number_text(number))
            };
            if let Some(((_, number), count)) = here.find(|((_, number), _)| gone(*number)) {
                return Some(format!("{count} tasks of {}, which was deleted, still run", name(*number)));
            }
            service.deployments.iter().find_map(|known| {
                let set = known.set.as_ref()?;
                if gone(known.number) {
                    return Some(format!("{} was deleted and is still there", name(known.number)));
                }
                let told = self.clients.oracle.sets.wanted(&service.name, &number_text(known.number));
                let wanted = told.unwrap_or_else(|| wanted_of(service, known) as i32);
                let has = there.get(&(service.id, known.number)).copied().unwrap_or(0);
                let waits = || state.live_deployment_tasks(service.id, known.number).any(Task::is_waiting);
                let excused = known.trouble.is_some() || waits();
                let unlike = told.is_some_and(|told| told != wanted_of(service, known) as i32);
                (unlike || (has != wanted && !excused)).then(|| {
                    let percent = set.scale.percent();
                    format!(
                        "{} of {} is to have {wanted} tasks and has {has}: {percent} %",
                        name(known.number),
                        service.name
                    )
                })
            })
        })
    }
}

fn scale(percent: f64) -> ecs::Scale {
    ecs::Scale { value: Some(percent), unit: Some(ecs::ScaleUnit::Percent) }
}
