//! Services and their deployments. A task that runs and has not yet proved healthy is shown as pending, so that nobody
//! who waits for `runningCount` is told too early; neither is one that was healthy and is not any more.

use super::service_deployment::configuration;
use crate::Millis;
use crate::capacity_provider::StrategyItem;
use crate::service::{Deployment, Rollout, Service};
use crate::service_revision::InterfaceWishes;
use crate::state::State;
use crate::task::{Desired, LaunchType, Task, TaskStatus};
use wire::ecs;

/// How healthy is told: by the checks of a task's essential containers, or, where they have none, by how long it has been
/// RUNNING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Milliseconds.
    pub settle_ms: Millis,
    /// The time.
    pub now: Millis,
}

impl Health {
    /// Wanted, running, and proved to work.
    pub fn is_healthy(self, task: &Task) -> bool {
        self.is_running(task) && task.passes_checks().unwrap_or_else(|| self.healthy_at(task) <= self.now)
    }

    /// Wanted, running, and failing its checks past the grace of its service.
    pub fn is_sick(self, task: &Task, service: &Service) -> bool {
        self.is_running(task) && task.is_unhealthy() && service.grace_ends(task) <= self.now
    }

    /// Wanted and running.
    pub fn is_running(self, task: &Task) -> bool {
        task.desired == Desired::Running && task.status == TaskStatus::Running
    }

    /// When a running task will have proved healthy.
    pub fn healthy_at(self, task: &Task) -> Millis {
        task.times.started + self.settle_ms
    }
}

impl State {
    /// The ARN of a service.
    pub fn service_arn(&self, service: &Service) -> String {
        self.scope().service(self.cluster_name(service.cluster), &service.name)
    }

    /// Healthy and pending tasks of a service, of one deployment or of all.
    pub fn service_counts(&self, service: &Service, deployment: Option<u64>, health: Health) -> (u32, u32) {
        let of_it = |task: &&Task| deployment.is_none_or(|n| task.service.is_some_and(|m| m.deployment == n));
        let live = self.live_service_tasks(service.id).filter(of_it).filter(|task| task.desired == Desired::Running);
        let live = live.filter(|task| !self.is_lost(task, health.now));
        live.fold((0, 0), |(running, pending), task| match health.is_healthy(task) {
            true => (running + 1, pending),
            false => (running, pending + 1),
        })
    }

    /// A service.
    pub fn project_service(&self, service: &Service, with_tags: bool, health: Health) -> ecs::Service {
        let (running, pending) = self.service_counts(service, None, health);
        let definition = service.primary().map(|deployment| self.task_definition_arn(deployment.definition));
        let deployments = service.deployments.iter().enumerate().filter(|(_, deployment)| deployment.set.is_none());
        // Without a PRIMARY task set there is nothing to show of one.
        let made = !service.external || service.primary().is_some();
        let sets = service.deployments.iter().filter_map(|set| self.project_task_set(service, set, with_tags, health));
        let platform = |text| platform(service.launch_type, text).filter(|_| made);
        let event = |event: &crate::service::Event| ecs::ServiceEvent {
            id: Some(format!("{:08x}-{:04x}-4000-8000-{:012x}", service.id.0, 0, event.number)),
            created_at: super::time(event.at),
            message: Some(event.message.to_string()),
        };
        ecs::Service {
            service_arn: Some(self.service_arn(service)),
            service_name: Some(service.name.to_string()),
            cluster_arn: Some(self.scope().cluster(self.cluster_name(service.cluster))),
            load_balancers: Some(Vec::new()),
            service_registries: Some(Vec::new()),
            status: Some(service.status.as_str().to_owned()),
            desired_count: Some(count(service.desired)),
            running_count: Some(count(running)),
            pending_count: Some(count(pending)),
            launch_type: (made && service.strategy.is_empty()).then(|| launch_type(service.launch_type)),
            capacity_provider_strategy: shown_strategy(&service.strategy).filter(|_| made),
            // Of a deployment it is the version that LATEST stands for.
            platform_version: platform(match service.external {
                true => "1.4.0",
                false => service.platform.as_deref().unwrap_or("LATEST"),
            }),
            platform_family: platform("Linux"),
            task_sets: service.external.then(|| sets.collect()),
            task_definition: definition,
            deployment_configuration: Some(configuration(
                (service.minimum_healthy, service.maximum),
                &service.configuration,
            )),
            deployments: Some(deployments.map(|(n, d)| self.deployment(service, n == 0, d, health)).collect()),
            events: Some(self.service_events(service.id).rev().map(event).collect()),
            created_at: super::time(service.created_at),
            created_by: Some(service.created_by.to_string()),
            placement_constraints: Some(service.placement.shown_constraints()),
            placement_strategy: Some(service.placement.shown_strategy()),
            network_configuration: self.network_configuration(&service.subnets, service.interface).filter(|_| made),
            scheduling_strategy: Some(match service.daemon {
                true => ecs::SchedulingStrategy::Daemon,
                false => ecs::SchedulingStrategy::Replica,
            }),
            deployment_controller: Some(ecs::DeploymentController {
                r#type: match service.external {
                    true => ecs::DeploymentControllerType::External,
                    false => ecs::DeploymentControllerType::Ecs,
                },
            }),
            tags: with_tags.then(|| super::tags(&service.tags)),
            enable_ecs_managed_tags: Some(service.managed_tags),
            propagate_tags: Some(match service.propagate {
                crate::service::Propagate::None => ecs::PropagateTags::None,
                crate::service::Propagate::TaskDefinition => ecs::PropagateTags::TaskDefinition,
                crate::service::Propagate::Service => ecs::PropagateTags::Service,
            }),
            enable_execute_command: Some(service.execute_command),
            health_check_grace_period_seconds: service.grace_seconds.map(count),
            availability_zone_rebalancing: Some(match service.rebalance {
                true => ecs::AvailabilityZoneRebalancing::Enabled,
                false => ecs::AvailabilityZoneRebalancing::Disabled,
            }),
            ..ecs::Service::default()
        }
    }

    fn deployment(&self, service: &Service, primary: bool, deployment: &Deployment, health: Health) -> ecs::Deployment {
        let (running, pending) = self.service_counts(service, Some(deployment.number), health);
        let state = match deployment.rollout {
            Rollout::InProgress => ecs::DeploymentRolloutState::InProgress,
            Rollout::Completed => ecs::DeploymentRolloutState::Completed,
            Rollout::Failed => ecs::DeploymentRolloutState::Failed,
        };
        let said = |words: &str| format!("ECS deployment {} {words}.", deployment.id());
        let trouble = deployment.trouble.as_deref().map(|trouble| format!(" {trouble}")).unwrap_or_default();
        let reason = match deployment.rollout {
            Rollout::Completed => said("completed"),
            Rollout::InProgress => format!("{}{trouble}", said("in progress")),
            Rollout::Failed => format!("{}{trouble}", said("failed")),
        };
        let revision = self.service_revisions.get(&(service.id, deployment.revision));
        let strategy = revision.map_or(&service.strategy, |revision| &revision.strategy);
        let made_for = revision.map_or(service.launch_type, |revision| revision.launch_type);
        let subnets = revision.map_or(&service.subnets, |revision| &revision.subnets);
        let interface = revision.map_or(service.interface, |revision| revision.interface);
        ecs::Deployment {
            id: Some(deployment.id()),
            status: Some(if primary { "PRIMARY" } else { "ACTIVE" }.to_owned()),
            task_definition: Some(self.task_definition_arn(deployment.definition)),
            desired_count: Some(if primary { count(service.desired) } else { 0 }),
            running_count: Some(count(running)),
            pending_count: Some(count(pending)),
            failed_tasks: Some(count(deployment.failed)),
            created_at: super::time(deployment.created_at),
            updated_at: super::time(deployment.updated_at),
            launch_type: strategy.is_empty().then(|| launch_type(made_for)),
            capacity_provider_strategy: shown_strategy(strategy),
            platform_version: platform(made_for, "1.4.0"),
            platform_family: platform(made_for, "Linux"),
            network_configuration: self.network_configuration(subnets, interface),
            rollout_state: Some(state),
            rollout_state_reason: Some(reason),
            ..ecs::Deployment::default()
        }
    }

    /// Only tasks with interfaces have one.
    pub(super) fn network_configuration(
        &self,
        subnets: &[u8],
        interface: InterfaceWishes,
    ) -> Option<ecs::NetworkConfiguration> {
        if subnets.is_empty() {
            return None;
        }
        let vpc = &self.meta().vpc;
        let subnet = |position: &u8| vpc.subnets.get(usize::from(*position)).map(|subnet| subnet.id.to_string());
        Some(ecs::NetworkConfiguration {
            awsvpc_configuration: Some(ecs::AwsVpcConfiguration {
                subnets: subnets.iter().filter_map(subnet).collect(),
                security_groups: Some(
                    interface.group.then(|| vpc.default_security_group.to_string()).into_iter().collect(),
                ),
                assign_public_ip: Some(match interface.public {
                    true => ecs::AssignPublicIp::Enabled,
                    false => ecs::AssignPublicIp::Disabled,
                }),
            }),
        })
    }
}

/// A service with a launch type shows that instead.
pub(super) fn shown_strategy(items: &[StrategyItem]) -> Option<Vec<ecs::CapacityProviderStrategyItem>> {
    (!items.is_empty()).then(|| super::strategy(items))
}

pub(super) fn platform(launch_type: LaunchType, text: &str) -> Option<String> {
    (launch_type == LaunchType::Fargate).then(|| text.to_owned())
}

pub(super) fn launch_type(launch_type: LaunchType) -> ecs::LaunchType {
    match launch_type {
        LaunchType::Ec2 => ecs::LaunchType::Ec2,
        LaunchType::Fargate => ecs::LaunchType::Fargate,
        LaunchType::External => ecs::LaunchType::External,
    }
}

pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
