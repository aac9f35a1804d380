//! Clusters.

use crate::cluster::Cluster;
use crate::service::ServiceStatus;
use crate::state::State;
use crate::task::LaunchType;
use wire::{FromJson, ecs};

/// What `include` asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Include {
    /// TAGS.
    pub tags: bool,
    /// STATISTICS.
    pub statistics: bool,
    /// CONFIGURATIONS.
    pub configurations: bool,
    /// SETTINGS.
    pub settings: bool,
}

impl From<&[ecs::ClusterField]> for Include {
    fn from(fields: &[ecs::ClusterField]) -> Self {
        Self {
            tags: fields.contains(&ecs::ClusterField::Tags),
            statistics: fields.contains(&ecs::ClusterField::Statistics),
            configurations: fields.contains(&ecs::ClusterField::Configurations),
            settings: fields.contains(&ecs::ClusterField::Settings),
        }
    }
}

impl State {
    /// A cluster. AWS answers tags, settings and statistics as empty lists unless they are asked for.
    pub fn project_cluster(&self, cluster: &Cluster, fields: &[ecs::ClusterField]) -> ecs::Cluster {
        let include = Include::from(fields);
        let counts = self.cluster_counts(cluster.id);
        let instances = self.cluster_instances(cluster.id).filter(|instance| instance.is_registered()).count();
        ecs::Cluster {
            cluster_arn: Some(self.scope().cluster(&cluster.name)),
            cluster_name: Some(cluster.name.to_string()),
            status: Some(if cluster.active { "ACTIVE" } else { "INACTIVE" }.to_owned()),
            registered_container_instances_count: Some(count(instances)),
            running_tasks_count: Some(count(counts.running as usize)),
            pending_tasks_count: Some(count(counts.pending as usize)),
            active_services_count: Some(count(
                self.cluster_services(cluster.id).filter(|s| s.status == ServiceStatus::Active).count(),
            )),
            statistics: Some(if include.statistics { self.statistics(cluster) } else { Vec::new() }),
            tags: Some(if include.tags { super::tags(&cluster.tags) } else { Vec::new() }),
            settings: Some(if include.settings { settings() } else { Vec::new() }),
            capacity_providers: Some(cluster.providers.iter().map(|name| name.to_string()).collect()),
            default_capacity_provider_strategy: Some(super::strategy(&cluster.strategy)),
            configuration: cluster.execute_command.as_deref().map(configuration).filter(|_| include.configurations),
            ..ecs::Cluster::default()
        }
    }

    fn statistics(&self, cluster: &Cluster) -> Vec<ecs::KeyValuePair> {
        let number = |launch_type, running| {
            let counts = self.launch_type_counts(cluster.id, launch_type);
            if running { counts.running } else { counts.pending }
        };
        let rows = [
            ("runningEC2TasksCount", LaunchType::Ec2, true),
            ("runningFargateTasksCount", LaunchType::Fargate, true),
            ("runningExternalTasksCount", LaunchType::External, true),
            ("pendingEC2TasksCount", LaunchType::Ec2, false),
            ("pendingFargateTasksCount", LaunchType::Fargate, false),
            ("pendingExternalTasksCount", LaunchType::External, false),
        ];
        rows.iter()
            .map(|(name, launch_type, running)| super::pair(name, number(*launch_type, *running).to_string()))
            .collect()
    }
}

fn settings() -> Vec<ecs::ClusterSetting> {
    let name = Some(ecs::ClusterSettingName::ContainerInsights);
    vec![ecs::ClusterSetting { name, value: Some("disabled".to_owned()) }]
}

/// The text was written by this program, so that one that cannot be read shows as an empty one.
fn configuration(execute_command: &str) -> ecs::ClusterConfiguration {
    let read = ecs::ExecuteCommandConfiguration::from_json_str(execute_command).ok();
    ecs::ClusterConfiguration { execute_command_configuration: read, ..ecs::ClusterConfiguration::default() }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
