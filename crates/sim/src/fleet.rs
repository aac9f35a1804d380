//! What operators and clients make of the fleet: attributes of hosts, capacity providers, constraints, daemons, protected
//! tasks, and requests about these whose refusal is known beforehand. Requests only.

use crate::asks::{Ask, ask, refused};
use crate::random::Stream;
use crate::world::World;
use model::TaskStatus;
use model::task::Desired;
use wire::ecs;

/// Capacity providers that hosts may belong to.
pub(crate) const PROVIDERS: [&str; 2] = ["spare", "spot"];
/// What runs on container instances: it works, is small, and has no interface.
pub(crate) const TOOL: &str = "tool";
/// Services of these names are on every instance.
pub(crate) const DAEMONS: [&str; 2] = ["watch", "probe"];
/// Services of these names ask capacity providers, or constrain where they run.
const POOLED: [&str; 2] = ["pool", "edge"];
/// The custom attribute of hosts, and its values.
pub(crate) const RACK: &str = "rack";
const RACKS: [&str; 2] = ["a", "b"];
/// What an expression says of the rack of a host.
type Holds = fn(Option<&str>) -> bool;
/// The expressions that clients use, and what they mean.
pub(crate) const RULES: [(&str, Holds); 3] = [
    ("attribute:rack == a", |rack| rack == Some("a")),
    ("attribute:rack exists", |rack| rack.is_some()),
    ("attribute:rack !exists", |rack| rack.is_none()),
];

const PARAMETER: &[&str] = &["InvalidParameterException"];
const CLIENT: &[&str] = &["ClientException"];
const TARGET: &[&str] = &["TargetNotFoundException"];
const UNSUPPORTED: &[&str] = &["UnsupportedFeatureException"];
const NO_DEPLOYMENT: &[&str] = &["ServiceDeploymentNotFoundException", "ResourceNotFoundException"];

pub(crate) fn tool_definition() -> ecs::RegisterTaskDefinitionRequest {
    ecs::RegisterTaskDefinitionRequest {
        family: TOOL.to_owned(),
        cpu: Some("128".to_owned()),
        memory: Some("512".to_owned()),
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

/// Where a task may go, in a request's words.
fn draw_constraints(chance: &mut Stream) -> Vec<ecs::PlacementConstraint> {
    let distinct =
        ecs::PlacementConstraint { r#type: Some(ecs::PlacementConstraintType::DistinctInstance), expression: None };
    let (text, _) = *chance.pick(&RULES);
    let member_of = ecs::PlacementConstraint {
        r#type: Some(ecs::PlacementConstraintType::MemberOf),
        expression: Some(text.to_owned()),
    };
    match chance.below(3) {
        0 => vec![distinct],
        1 => vec![member_of],
        _ => vec![distinct, member_of],
    }
}

/// Some of the providers, with weights; the first may have a base.
fn draw_items(chance: &mut Stream) -> Vec<ecs::CapacityProviderStrategyItem> {
    let item = |provider: &str, weight: i32, base: Option<i32>| ecs::CapacityProviderStrategyItem {
        capacity_provider: provider.to_owned(),
        weight: Some(weight),
        base,
    };
    let base = chance.per_mille(300).then(|| chance.between((1, 2)) as i32);
    match chance.below(3) {
        0 => vec![item(PROVIDERS[0], 1, base)],
        1 => vec![item(PROVIDERS[1], 1, base)],
        _ => vec![item(PROVIDERS[0], chance.between((1, 3)) as i32, base), item(PROVIDERS[1], 1, None)],
    }
}

impl World {
    /// The next request about the fleet.
    pub fn draw_fleet(&mut self) -> Ask {
        let known = self.disk.history.family_named(TOOL).is_some();
        if !known || self.chance.clients.per_mille(30) {
            return ask(tool_definition());
        }
        let drawn = match self.chance.clients.below(100) {
            0..14 => self.draw_attribute(),
            14..32 => Some(self.draw_provider()),
            32..56 => Some(self.draw_choosy_run()),
            56..70 => Some(self.draw_daemon()),
            70..80 => Some(self.draw_pooled()),
            80..90 => self.draw_protection(),
            _ => None,
        };
        drawn.unwrap_or_else(|| self.draw_fleet_mistake())
    }

    fn draw_attribute(&mut self) -> Option<Ask> {
        let state = &self.disk.history;
        let all = state.instances.values().filter(|instance| instance.is_registered());
        let arns = all.map(|instance| state.scope().instance(state.cluster_name(instance.cluster), instance.id));
        let chance = &mut self.chance.clients;
        let target_id = Some(chance.pick_from(arns)?);
        let attribute = |value: Option<&str>| ecs::Attribute {
            name: RACK.to_owned(),
            value: value.map(str::to_owned),
            target_id: target_id.clone(),
            target_type: Some(ecs::TargetType::ContainerInstance),
        };
        Some(match chance.below(4) {
            0 | 1 => {
                let attributes = vec![attribute(Some(*chance.pick(&RACKS)))];
                ask(ecs::PutAttributesRequest { attributes, ..Default::default() })
            }
            2 => ask(ecs::DeleteAttributesRequest { attributes: vec![attribute(None)], ..Default::default() }),
            _ => ask(ecs::ListAttributesRequest {
                target_type: ecs::TargetType::ContainerInstance,
                attribute_name: Some(RACK.to_owned()),
                ..Default::default()
            }),
        })
    }

    fn draw_provider(&mut self) -> Ask {
        let chance = &mut self.chance.clients;
        let name = (*chance.pick(&PROVIDERS)).to_owned();
        match chance.below(8) {
            0..3 => ask(ecs::CreateCapacityProviderRequest {
                auto_scaling_group_provider: Some(ecs::AutoScalingGroupProvider {
                    auto_scaling_group_arn: format!("group-of-{name}"),
                    ..Default::default()
                }),
                name,
                ..Default::default()
            }),
            3 => ask(ecs::UpdateCapacityProviderRequest {
                name,
                auto_scaling_group_provider: Some(ecs::AutoScalingGroupProviderUpdate {
                    managed_draining: Some(
                        *chance.pick(&[ecs::ManagedDraining::Enabled, ecs::ManagedDraining::Disabled]),
                    ),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            4 => ask(ecs::DeleteCapacityProviderRequest { capacity_provider: name, ..Default::default() }),
            5 => ask(ecs::DescribeCapacityProvidersRequest {
                capacity_providers: Some(vec![name, "FARGATE".to_owned()]),
                ..Default::default()
            }),
            _ => {
                let all = chance.per_mille(800);
                let names = if all { &PROVIDERS[..] } else { &PROVIDERS[..1] };
                ask(ecs::PutClusterCapacityProvidersRequest {
                    cluster: "default".to_owned(),
                    capacity_providers: names.iter().map(|name| (*name).to_owned()).collect(),
                    default_capacity_provider_strategy: Vec::new(),
                })
            }
        }
    }

    /// Tasks that say where they may run, or whose capacity they want.
    fn draw_choosy_run(&mut self) -> Ask {
        let chance = &mut self.chance.clients;
        let pooled = chance.per_mille(500);
        let choosy = !pooled || chance.per_mille(300);
        ask(ecs::RunTaskRequest {
            task_definition: TOOL.to_owned(),
            cluster: Some("default".to_owned()),
            count: Some(*chance.pick(&[1, 2, 3, 10])),
            launch_type: (!pooled).then_some(ecs::LaunchType::Ec2),
            capacity_provider_strategy: pooled.then(|| draw_items(chance)),
            placement_constraints: choosy.then(|| draw_constraints(chance)),
            ..Default::default()
        })
    }

    fn draw_daemon(&mut self) -> Ask {
        let chance = &mut self.chance.clients;
        let name = (*chance.pick(&DAEMONS)).to_owned();
        match chance.below(10) {
            0..6 => {
                let ruled = chance.per_mille(300);
                let constraint = ecs::PlacementConstraint {
                    r#type: Some(ecs::PlacementConstraintType::MemberOf),
                    expression: Some(chance.pick(&RULES).0.to_owned()),
                };
                ask(ecs::CreateServiceRequest {
                    service_name: name,
                    task_definition: Some(TOOL.to_owned()),
                    scheduling_strategy: Some(ecs::SchedulingStrategy::Daemon),
                    launch_type: Some(ecs::LaunchType::Ec2),
                    placement_constraints: ruled.then(|| vec![constraint]),
                    ..Default::default()
                })
            }
            6..8 => ask(ecs::UpdateServiceRequest {
                service: name,
                force_new_deployment: Some(true),
                task_definition: chance.per_mille(500).then(|| TOOL.to_owned()),
                ..Default::default()
            }),
            8 => ask(ecs::DescribeServicesRequest { services: vec![name], ..Default::default() }),
            _ => ask(ecs::DeleteServiceRequest { service: name, ..Default::default() }),
        }
    }

    /// A service whose tasks wait for the capacity of a provider, or are bound to some hosts.
    fn draw_pooled(&mut self) -> Ask {
        let chance = &mut self.chance.clients;
        let name = (*chance.pick(&POOLED)).to_owned();
        let count = chance.below(5) as i32;
        match chance.below(8) {
            0..3 => {
                let pooled = chance.per_mille(600);
                let choosy = !pooled || chance.per_mille(300);
                ask(ecs::CreateServiceRequest {
                    service_name: name,
                    task_definition: Some(TOOL.to_owned()),
                    desired_count: Some(count),
                    launch_type: (!pooled).then_some(ecs::LaunchType::Ec2),
                    capacity_provider_strategy: pooled.then(|| draw_items(chance)),
                    placement_constraints: choosy.then(|| draw_constraints(chance)),
                    ..Default::default()
                })
            }
            3..6 => ask(ecs::UpdateServiceRequest {
                service: name,
                desired_count: chance.per_mille(700).then_some(count),
                force_new_deployment: chance.per_mille(300).then_some(true),
                placement_constraints: chance.per_mille(150).then(|| draw_constraints(chance)),
                ..Default::default()
            }),
            6 => ask(ecs::DescribeServicesRequest { services: vec![name], ..Default::default() }),
            _ => ask(ecs::DeleteServiceRequest { service: name, force: Some(true), ..Default::default() }),
        }
    }

    /// Tasks of services, and now and then one of nobody.
    fn draw_protection(&mut self) -> Option<Ask> {
        let state = &self.disk.history;
        let lives = |task: &&model::Task| task.status != TaskStatus::Stopped && task.desired == Desired::Running;
        let in_default = |task: &&model::Task| state.cluster_name(task.cluster) == "default";
        let live: Vec<&model::Task> = state.tasks.values().filter(lives).filter(in_default).collect();
        let of_services = live.iter().filter(|task| task.service.is_some());
        let of_services: Vec<String> = of_services.map(|task| state.task_arn(task)).collect();
        let any: Vec<String> = live.iter().map(|task| state.task_arn(task)).collect();
        let chance = &mut self.chance.clients;
        let from = if chance.per_mille(900) { of_services } else { any };
        let first = chance.pick_from(from.iter().cloned())?;
        let second = chance.pick_from(from.into_iter()).filter(|second| *second != first);
        let tasks: Vec<String> = [first].into_iter().chain(second).collect();
        let cluster = "default".to_owned();
        if chance.per_mille(200) {
            return Some(ask(ecs::GetTaskProtectionRequest { cluster, tasks: Some(tasks) }));
        }
        Some(ask(ecs::UpdateTaskProtectionRequest {
            cluster,
            tasks,
            protection_enabled: chance.per_mille(800),
            expires_in_minutes: Some(chance.between((1, 3)) as i32),
        }))
    }

    fn draw_fleet_mistake(&mut self) -> Ask {
        let unknown = || Some("0".repeat(32));
        let attribute = |name: &str| {
            vec![ecs::Attribute { name: name.to_owned(), target_id: unknown(), ..ecs::Attribute::default() }]
        };
        let group = |asked: ecs::AutoScalingGroupProvider| ecs::AutoScalingGroupProvider {
            auto_scaling_group_arn: "group-of-none".to_owned(),
            ..asked
        };
        let create = |name: &str, asked: ecs::AutoScalingGroupProvider| ecs::CreateCapacityProviderRequest {
            name: name.to_owned(),
            auto_scaling_group_provider: Some(group(asked)),
            ..Default::default()
        };
        let run = || ecs::RunTaskRequest {
            task_definition: TOOL.to_owned(),
            cluster: Some("default".to_owned()),
            ..Default::default()
        };
        let member_of = |text: &str| {
            let r#type = Some(ecs::PlacementConstraintType::MemberOf);
            Some(vec![ecs::PlacementConstraint { r#type, expression: Some(text.to_owned()) }])
        };
        let daemon = || ecs::CreateServiceRequest {
            service_name: "mistake".to_owned(),
            task_definition: Some(TOOL.to_owned()),
            scheduling_strategy: Some(ecs::SchedulingStrategy::Daemon),
            ..Default::default()
        };
        let protect = |tasks: Vec<String>, minutes: i32| ecs::UpdateTaskProtectionRequest {
            cluster: "default".to_owned(),
            tasks,
            protection_enabled: true,
            expires_in_minutes: Some(minutes),
        };
        match self.chance.clients.below(15) {
            0 => refused(
                ecs::PutAttributesRequest { attributes: attribute("ecs.mine"), ..Default::default() },
                PARAMETER,
            ),
            1 => refused(ecs::PutAttributesRequest::default(), PARAMETER),
            2 => refused(ecs::PutAttributesRequest { attributes: attribute(RACK), ..Default::default() }, TARGET),
            3 => refused(ecs::DeleteAttributesRequest { attributes: attribute(RACK), ..Default::default() }, TARGET),
            4 => refused(create("fargate-mine", ecs::AutoScalingGroupProvider::default()), CLIENT),
            5 => {
                let status = Some(ecs::ManagedScalingStatus::Enabled);
                let managed_scaling = Some(ecs::ManagedScaling { status, ..Default::default() });
                let asked = ecs::AutoScalingGroupProvider { managed_scaling, ..Default::default() };
                refused(create("scaled", asked), UNSUPPORTED)
            }
            6 => {
                let capacity_provider = "FARGATE".to_owned();
                refused(ecs::DeleteCapacityProviderRequest { capacity_provider, ..Default::default() }, CLIENT)
            }
            7 => refused(
                ecs::PutClusterCapacityProvidersRequest {
                    cluster: "default".to_owned(),
                    capacity_providers: vec!["nowhere".to_owned()],
                    default_capacity_provider_strategy: Vec::new(),
                },
                PARAMETER,
            ),
            8 => {
                let capacity_provider_strategy = Some(draw_items(&mut self.chance.clients));
                let launch_type = Some(ecs::LaunchType::Ec2);
                refused(ecs::RunTaskRequest { capacity_provider_strategy, launch_type, ..run() }, PARAMETER)
            }
            9 => {
                let placement_constraints = member_of("attribute:rack ==");
                refused(ecs::RunTaskRequest { placement_constraints, ..run() }, PARAMETER)
            }
            10 => refused(ecs::CreateServiceRequest { desired_count: Some(2), ..daemon() }, PARAMETER),
            11 => {
                let launch_type = Some(ecs::LaunchType::Fargate);
                refused(ecs::CreateServiceRequest { launch_type, ..daemon() }, PARAMETER)
            }
            12 => refused(protect(vec!["0".repeat(32)], 2_881), PARAMETER),
            13 => refused(protect(Vec::new(), 1), PARAMETER),
            _ => refused(
                ecs::StopServiceDeploymentRequest {
                    service_deployment_arn:
                        "arn:aws:ecs:us-east-1:000000000000:service-deployment/default/nobody/AAAAAAAAAAAAAAAAAAAAA"
                            .to_owned(),
                    stop_type: Some(ecs::StopServiceDeploymentStopType::Abort),
                },
                NO_DEPLOYMENT,
            ),
        }
    }
}
