//! Random requests: services with odd bounds, definitions of several kinds, whatever is there stopped or changed.

use crate::history::History;
use model::task::Desired;
use wire::ecs;

/// Families; each revision of one is like the other. The second has a check of its health, the third quarrels about a
/// port, the last is for the hosts of the cluster and not for the Fargate pool.
pub const FAMILIES: [&str; 4] = ["plain", "checked", "ported", "own"];
/// minimumHealthyPercent and maximumPercent.
const BOUNDS: [(i32, i32); 8] =
    [(0, 100), (100, 200), (100, 150), (50, 150), (50, 100), (100, 101), (0, 200), (33, 134)];
/// What some services ask of their hosts.
pub const RACK_A: &str = "attribute:rack == a";
const NAMES: [&str; 2] = ["front", "back"];

pub fn definition(family: &str) -> ecs::RegisterTaskDefinitionRequest {
    let awsvpc = matches!(family, "plain" | "checked");
    let port = ecs::PortMapping { container_port: Some(80), host_port: Some(8080), ..Default::default() };
    let check = ecs::HealthCheck { command: vec!["CMD".to_owned(), "true".to_owned()], ..Default::default() };
    let main = ecs::ContainerDefinition {
        name: Some("main".to_owned()),
        image: Some("steady".to_owned()),
        essential: Some(true),
        health_check: (family == "checked").then_some(check),
        port_mappings: (family == "ported").then(|| vec![port]),
        ..Default::default()
    };
    let side = ecs::ContainerDefinition {
        name: Some("side".to_owned()),
        image: Some("steady".to_owned()),
        essential: Some(false),
        ..Default::default()
    };
    let (cpu, memory) = if family == "plain" { ("256", "512") } else { ("512", "1024") };
    ecs::RegisterTaskDefinitionRequest {
        family: family.to_owned(),
        network_mode: awsvpc.then_some(ecs::NetworkMode::Awsvpc),
        cpu: Some(cpu.to_owned()),
        memory: Some(memory.to_owned()),
        container_definitions: vec![main, side],
        ..Default::default()
    }
}

impl History {
    pub fn network(&mut self, family: &str) -> Option<ecs::NetworkConfiguration> {
        let subnets = if self.one_in(3) { self.subnets() } else { vec![self.subnet()] };
        let awsvpc = ecs::AwsVpcConfiguration { subnets, ..Default::default() };
        matches!(family, "plain" | "checked")
            .then_some(ecs::NetworkConfiguration { awsvpc_configuration: Some(awsvpc) })
    }

    pub fn launch_type(&mut self, family: &str) -> ecs::LaunchType {
        let fargate = matches!(family, "plain" | "checked") && self.one_in(2);
        if fargate { ecs::LaunchType::Fargate } else { ecs::LaunchType::Ec2 }
    }

    fn bounds(&mut self) -> ecs::DeploymentConfiguration {
        let (minimum, maximum) = *self.pick(&BOUNDS);
        ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(minimum),
            maximum_percent: Some(maximum),
            deployment_circuit_breaker: self.one_in(4).then(|| ecs::DeploymentCircuitBreaker {
                enable: !self.one_in(4),
                rollback: self.one_in(2),
                ..Default::default()
            }),
            lifecycle_hooks: self.one_in(10).then(|| vec![self.hook()]),
            ..Default::default()
        }
    }

    fn hook(&mut self) -> ecs::DeploymentLifecycleHook {
        use ecs::DeploymentLifecycleHookAction::{Continue, Rollback};
        use ecs::DeploymentLifecycleHookStage::{PostScaleUp, PreScaleUp, ReconcileService};
        ecs::DeploymentLifecycleHook {
            target_type: Some(ecs::DeploymentLifecycleHookTargetType::Pause),
            lifecycle_stages: Some(vec![*self.pick(&[ReconcileService, PreScaleUp, PostScaleUp])]),
            timeout_configuration: Some(ecs::DeploymentLifecycleHookTimeoutConfiguration {
                action: Some(*self.pick(&[Continue, Rollback])),
                timeout_in_minutes: Some(1),
            }),
            ..Default::default()
        }
    }

    /// Mostly none; those of the Fargate pool can have none.
    fn constraints(&mut self, launch_type: ecs::LaunchType) -> Option<Vec<ecs::PlacementConstraint>> {
        if launch_type == ecs::LaunchType::Fargate || !self.one_in(3) {
            return None;
        }
        let member_of = self.one_in(2);
        Some(vec![ecs::PlacementConstraint {
            r#type: Some(match member_of {
                true => ecs::PlacementConstraintType::MemberOf,
                false => ecs::PlacementConstraintType::DistinctInstance,
            }),
            expression: member_of.then(|| RACK_A.to_owned()),
        }])
    }

    /// The answer to a hook that waits, or the end of a deployment that is on its way.
    pub fn draw_answer(&mut self) -> Option<ecs::Request> {
        let state = self.control.state();
        let open = state.service_deployments.values().filter(|known| !known.status.is_over());
        let known = open.filter_map(|known| {
            let service = state.services.get(&known.service)?;
            let arn = state.scope().service_deployment("default", &service.name, &known.id);
            Some((arn, known.awaited_hook().map(|hook| hook.id.to_string())))
        });
        let known: Vec<(String, Option<String>)> = known.collect();
        if known.is_empty() {
            return None;
        }
        let (service_deployment_arn, hook) = self.pick(&known).clone();
        let back = self.one_in(2);
        use ecs::DeploymentLifecycleHookAction::{Continue, Rollback};
        Some(match hook {
            Some(hook_id) => {
                let action = Some(if back { Rollback } else { Continue });
                ecs::ContinueServiceDeploymentRequest { service_deployment_arn, hook_id, action }.into()
            }
            None => {
                let stop_type = Some(ecs::StopServiceDeploymentStopType::Rollback);
                ecs::StopServiceDeploymentRequest { service_deployment_arn, stop_type }.into()
            }
        })
    }

    /// Some tasks of services are at work for a minute or two, or no longer.
    pub fn draw_protection(&mut self) -> Option<ecs::UpdateTaskProtectionRequest> {
        let state = self.control.state();
        let live = state.tasks.values().filter(|task| task.service.is_some() && task.desired == Desired::Running);
        let tasks: Vec<String> = live.map(|task| state.task_arn(task)).collect();
        if tasks.is_empty() {
            return None;
        }
        Some(ecs::UpdateTaskProtectionRequest {
            cluster: "default".to_owned(),
            tasks: vec![self.pick(&tasks).clone()],
            protection_enabled: !self.one_in(4),
            expires_in_minutes: Some(1 + self.below(2) as i32),
        })
    }

    /// Mostly small, so that hosts are full and not hopeless.
    fn count(&mut self) -> i32 {
        let most = *self.pick(&[3, 5, 5, 13]);
        self.below(most) as i32
    }

    pub fn draw_creation(&mut self) -> ecs::CreateServiceRequest {
        let family = *self.pick(&FAMILIES);
        let launch_type = self.launch_type(family);
        let mut bounds = self.bounds();
        let rebalance = self.one_in(3);
        // There must be room for one more.
        if rebalance {
            bounds.maximum_percent = bounds.maximum_percent.map(|maximum| maximum.max(150));
        }
        ecs::CreateServiceRequest {
            availability_zone_rebalancing: rebalance.then_some(ecs::AvailabilityZoneRebalancing::Enabled),
            placement_constraints: self.constraints(launch_type),
            service_name: (*self.pick(&NAMES)).to_owned(),
            task_definition: Some(family.to_owned()),
            desired_count: Some(self.count()),
            launch_type: Some(launch_type),
            network_configuration: self.network(family),
            deployment_configuration: Some(bounds),
            health_check_grace_period_seconds: self.one_in(3).then_some(5),
            ..Default::default()
        }
    }

    pub fn draw_update(&mut self) -> ecs::UpdateServiceRequest {
        let family = *self.pick(&FAMILIES);
        let revision = 1 + self.below(2);
        ecs::UpdateServiceRequest {
            service: (*self.pick(&NAMES)).to_owned(),
            desired_count: self.one_in(2).then(|| self.count()),
            // A family of another network mode is refused, which must leave no trace either.
            task_definition: self.one_in(2).then(|| format!("{family}:{revision}")),
            force_new_deployment: self.one_in(3).then_some(true),
            deployment_configuration: self.one_in(3).then(|| self.bounds()),
            availability_zone_rebalancing: self.rebalancing(),
            ..Default::default()
        }
    }

    /// Mostly not a word about it.
    fn rebalancing(&mut self) -> Option<ecs::AvailabilityZoneRebalancing> {
        use ecs::AvailabilityZoneRebalancing::{Disabled, Enabled};
        self.one_in(8).then(|| *self.pick(&[Enabled, Enabled, Disabled]))
    }

    pub fn draw_deletion(&mut self) -> ecs::DeleteServiceRequest {
        let service = (*self.pick(&NAMES)).to_owned();
        ecs::DeleteServiceRequest { service, force: Some(true), ..Default::default() }
    }

    pub fn draw_run(&mut self) -> ecs::RunTaskRequest {
        let family = *self.pick(&FAMILIES);
        ecs::RunTaskRequest {
            task_definition: family.to_owned(),
            count: Some(1 + self.below(3) as i32),
            launch_type: Some(self.launch_type(family)),
            network_configuration: self.network(family),
            ..Default::default()
        }
    }
}
