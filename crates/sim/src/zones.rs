//! Zones: services that ask for them to be evened out, what must hold while that goes on, and whether tasks are spread once
//! faults are over. Where a host stands and which subnet an interface is in is read from the hosts. Decides nothing that the
//! system could see.

use crate::agent::Agent;
use crate::asks::{Ask, SOUND, ask, refused};
use crate::checks::task_id;
use crate::fleet::{RACK, TOOL, tool_definition};
use crate::promises::rack_fits;
use crate::services::sound_definition;
use crate::world::World;
use link::acs::id_of;
use model::change::Change;
use model::service::{Rollout, Service, ServiceStatus};
use model::task::{Desired, LaunchType, StopCode, Task};
use model::{InstanceId, ServiceId, State, TaskStatus};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use wire::ecs;

/// The zones that hosts stand in; the first is that of those that say none.
pub(crate) const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];
/// Services of these names mostly ask for their zones to be evened out.
const BALANCED: [&str; 3] = ["even", "level", "flat"];
/// What a service without a definition or with a wrong one is told first.
const EITHER: &[&str] = &["ClientException", "InvalidParameterException"];

/// Services whose zones are being evened out as far as the batches so far say, and their counts.
pub(crate) type Balancing = BTreeMap<ServiceId, u32>;

/// Those of a state that was just loaded.
pub(crate) fn balancing(state: &State) -> Balancing {
    let known = state.services.values().filter(|service| service.balancing);
    known.map(|service| (service.id, service.desired)).collect()
}

fn zones_strategy() -> ecs::PlacementStrategy {
    let field = Some("attribute:ecs.availability-zone".to_owned());
    ecs::PlacementStrategy { r#type: Some(ecs::PlacementStrategyType::Spread), field }
}

impl World {
    /// The next request about a service that spreads over zones.
    pub fn draw_balanced(&mut self) -> Ask {
        let state = &self.disk.history;
        if state.family_named(SOUND).is_none() {
            return ask(sound_definition());
        }
        if state.family_named(TOOL).is_none() {
            return ask(tool_definition());
        }
        let network = self.network();
        let chance = &mut self.chance.clients;
        let service = (*chance.pick(&BALANCED)).to_owned();
        let desired_count = Some(chance.between((1, 6)) as i32);
        let bounds = *chance.pick(&[(100, 200), (50, 150), (0, 200), (100, 134)]);
        let configuration = ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(bounds.0),
            maximum_percent: Some(bounds.1),
            ..Default::default()
        };
        let own = chance.per_mille(500);
        let enabled = |on: bool| {
            Some(if on {
                ecs::AvailabilityZoneRebalancing::Enabled
            } else {
                ecs::AvailabilityZoneRebalancing::Disabled
            })
        };
        let deployment_configuration = chance.per_mille(400).then_some(configuration);
        match chance.below(14) {
            0..5 => ask(ecs::CreateServiceRequest {
                service_name: service,
                task_definition: Some(if own { TOOL } else { SOUND }.to_owned()),
                desired_count,
                launch_type: Some(if own { ecs::LaunchType::Ec2 } else { ecs::LaunchType::Fargate }),
                network_configuration: (!own).then_some(network),
                placement_strategy: (own && chance.per_mille(300)).then(|| vec![zones_strategy()]),
                availability_zone_rebalancing: enabled(chance.per_mille(900)),
                deployment_configuration,
                ..Default::default()
            }),
            5..9 => ask(ecs::UpdateServiceRequest {
                service,
                desired_count: chance.per_mille(600).then_some(desired_count).flatten(),
                force_new_deployment: chance.per_mille(150).then_some(true),
                availability_zone_rebalancing: chance.per_mille(250).then(|| enabled(chance.per_mille(800))).flatten(),
                deployment_configuration: deployment_configuration.filter(|_| chance.per_mille(200)),
                ..Default::default()
            }),
            9 => ask(ecs::DescribeServicesRequest { services: vec![service], ..Default::default() }),
            10 => {
                let force = chance.per_mille(700).then_some(true);
                ask(ecs::DeleteServiceRequest { service, force, ..Default::default() })
            }
            11 | 12 => self.draw_balanced_stop().unwrap_or_else(|| self.draw_balance_mistake()),
            _ => self.draw_balance_mistake(),
        }
    }

    /// A task of such a service is stopped by hand, which may leave its zones uneven.
    fn draw_balanced_stop(&mut self) -> Option<Ask> {
        let state = &self.disk.history;
        let balanced = state.services.values().filter(|service| service.rebalance);
        let tasks = balanced.flat_map(|service| state.live_service_tasks(service.id));
        let names = tasks.map(|task| (state.task_arn(task), state.cluster_name(task.cluster).to_owned()));
        let (task, cluster) = self.chance.clients.pick_from(names)?;
        Some(ask(ecs::StopTaskRequest { task, cluster: Some(cluster), reason: Some("enough".to_owned()) }))
    }

    fn draw_balance_mistake(&mut self) -> Ask {
        let chance = &mut self.chance.clients;
        let create = |altered: ecs::CreateServiceRequest| {
            let daemon = altered.scheduling_strategy.is_some();
            let request = ecs::CreateServiceRequest {
                service_name: "mistake".to_owned(),
                task_definition: altered.deployment_controller.is_none().then(|| TOOL.to_owned()),
                desired_count: (!daemon).then_some(1),
                availability_zone_rebalancing: Some(ecs::AvailabilityZoneRebalancing::Enabled),
                ..altered
            };
            refused(request, EITHER)
        };
        let packed = ecs::PlacementStrategy {
            r#type: Some(ecs::PlacementStrategyType::Binpack),
            field: Some("memory".to_owned()),
        };
        match chance.below(4) {
            0 => create(ecs::CreateServiceRequest {
                placement_strategy: Some(vec![packed, zones_strategy()]),
                ..Default::default()
            }),
            1 => create(ecs::CreateServiceRequest {
                deployment_configuration: Some(ecs::DeploymentConfiguration {
                    minimum_healthy_percent: Some(50),
                    maximum_percent: Some(100),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            2 => create(ecs::CreateServiceRequest {
                scheduling_strategy: Some(ecs::SchedulingStrategy::Daemon),
                ..Default::default()
            }),
            _ => create(ecs::CreateServiceRequest {
                deployment_controller: Some(ecs::DeploymentController {
                    r#type: ecs::DeploymentControllerType::External,
                }),
                ..Default::default()
            }),
        }
    }

    /// While zones are evened out nothing is stopped before all tasks that the service is to have have truly run beside it.
    pub fn check_balance(&mut self, changes: &[Change]) -> Option<(&'static str, String)> {
        let state = self.plane.control.as_ref().map(control::Control::state)?;
        let mut known = self.plane.balancing.clone();
        let mut broken = None;
        for change in changes {
            match change {
                Change::ServiceUpdated(service) | Change::ServiceCreated(service) => {
                    known.remove(&service.id);
                    known.extend(service.balancing.then_some((service.id, service.desired)));
                }
                Change::TaskStopWanted { id, stop, .. } if stop.code == StopCode::ServiceSchedulerInitiated => {
                    let found = self.check_balancing_stop(state, &known, &state.tasks[id]);
                    broken = broken.or(found);
                }
                _ => {}
            }
        }
        let rests = |service: &Service| {
            let completed = service.primary().is_some_and(|primary| primary.rollout == Rollout::Completed);
            service.rebalance && completed && service.deployments.len() == 1
        };
        let active = state.services.values().filter(|service| service.status == ServiceStatus::Active);
        let busy = active.into_iter().find(|service| service.balancing && !rests(service));
        let busy = busy.map(|service| ("zones are evened out while nothing else goes on", service.name.to_string()));
        self.plane.balancing = known;
        broken.or(busy)
    }

    fn check_balancing_stop(&self, state: &State, known: &Balancing, task: &Task) -> Option<(&'static str, String)> {
        let id = task.service?.service;
        let desired = *known.get(&id)?;
        let wanted = state.live_service_tasks(id).filter(|task| task.desired == Desired::Running);
        let proved = wanted.filter(|task| self.counts_as_proved(state, task)).count();
        (proved < desired as usize).then(|| {
            let name = self.trace.name(&task.id.to_string()).to_owned();
            let detail = format!("{} stops {name}: {proved} of {desired} have run", state.services[&id].name);
            ("evening out zones costs no task", detail)
        })
    }

    /// Once faults are over a service that asks for it has its tasks in all its zones alike, as far as there is room.
    pub fn unfinished_zones(&self, state: &State) -> Option<String> {
        let balanced = state.services.values().filter(|service| service.rebalance && !service.external);
        balanced.filter(|service| service.status == ServiceStatus::Active).find_map(|service| {
            let primary = service.primary().filter(|primary| primary.rollout == Rollout::Completed)?;
            let more = u64::from(service.desired) * u64::from(service.maximum) / 100 > u64::from(service.desired);
            let fargate = service.launch_type == LaunchType::Fargate;
            // A host in a zone and an interface in another are of two minds.
            let told = fargate || service.subnets.is_empty();
            let quiet = service.deployments.len() == 1 && !Self::says_why(state, service);
            if !more || !told || !quiet {
                return None;
            }
            let needs = &state.definitions.get(&primary.definition)?.needs;
            let mut zones: BTreeMap<&str, u32> = match fargate {
                true => service.subnets.iter().map(|position| (self.subnet_zone(usize::from(*position)), 0)).collect(),
                false => self.agents.iter().map(|agent| (agent.zone, 0)).collect(),
            };
            for agent in &self.agents {
                for (key, directory) in agent.host.directories.iter().filter(|(_, directory)| directory.is_alive()) {
                    let task = state.tasks.get(&task_id(key)).filter(|task| task.status != TaskStatus::Stopped);
                    if task.and_then(|task| task.service).is_none_or(|member| member.service != service.id) {
                        continue;
                    }
                    let zone = match (fargate, &directory.interface) {
                        (true, Some(interface)) => self.subnet_zone(self.subnet_of(interface.address)?),
                        (true, None) => return None,
                        (false, _) => agent.zone,
                    };
                    *zones.entry(zone).or_default() += 1;
                }
            }
            let most = zones.values().max().copied()?;
            let takes = |zone: &str| match fargate {
                true => {
                    let host = |agent: &&Agent| self.takes(state, agent, (needs.cpu, needs.memory), 4);
                    self.agents.iter().any(|agent| host(&agent)) && self.has_address(service, zone)
                }
                false => self.agents.iter().filter(|agent| agent.zone == zone).any(|agent| {
                    needs.ports.is_empty() && self.takes_one(state, service, agent, (needs.cpu, needs.memory))
                }),
            };
            let poor = zones.iter().find(|(zone, count)| **count + 1 < most && takes(zone))?;
            Some(format!("{} is uneven, and there is room in {}: {zones:?}", service.name, poor.0))
        })
    }

    fn subnet_zone(&self, position: usize) -> &'static str {
        ZONES[position.min(ZONES.len() - 1)]
    }

    /// The position of the subnet that an address is in.
    fn subnet_of(&self, address: Ipv4Addr) -> Option<usize> {
        let subnets = &self.disk.history.meta().vpc.subnets;
        subnets.iter().position(|subnet| {
            let (base, size) = (u32::from(subnet.base), 1u32 << (32 - subnet.prefix));
            (base..base + size).contains(&u32::from(address))
        })
    }

    /// Whether an address of a service's subnets in a zone is on no host.
    fn has_address(&self, service: &Service, zone: &str) -> bool {
        service.subnets.iter().map(|position| usize::from(*position)).filter(|at| self.subnet_zone(*at) == zone).any(
            |at| {
                let directories = self.agents.iter().flat_map(|agent| agent.host.directories.values());
                let taken = directories.filter_map(|directory| directory.interface.as_ref());
                let taken = taken.filter(|interface| self.subnet_of(interface.address) == Some(at)).count();
                taken < self.disk.history.meta().vpc.subnets[at].usable().len()
            },
        )
    }

    /// Whether a host takes tasks, and one of that size. `factor`: how many times its CPU it lends.
    fn takes(&self, state: &State, agent: &Agent, (cpu, memory): (u32, u32), factor: u32) -> bool {
        let here = agent.host.arn.as_deref().and_then(|arn| InstanceId::parse(id_of(arn)));
        let instance = here.and_then(|here| state.instances.get(&here));
        let up = instance.is_some_and(|instance| instance.connected && !instance.is_draining());
        up && Self::has_room(state, agent, (cpu, memory), factor)
    }

    /// Whether a container instance takes one more task of a service.
    fn takes_one(&self, state: &State, service: &Service, agent: &Agent, size: (u32, u32)) -> bool {
        let here = agent.host.arn.as_deref().and_then(|arn| InstanceId::parse(id_of(arn)));
        let instance = here.and_then(|here| state.instances.get(&here));
        let Some(instance) = instance.filter(|instance| instance.cluster == service.cluster) else { return false };
        let of_it = |task: &Task| task.service.is_some_and(|member| member.service == service.id);
        let alone = !service.placement.is_distinct() || !state.live_instance_tasks(instance.id).any(of_it);
        alone && rack_fits(&service.placement, instance.attribute(RACK)) && self.takes(state, agent, size, 1)
    }
}
