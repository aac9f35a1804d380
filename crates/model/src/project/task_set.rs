//! Task sets.

use super::service::{Health, count, launch_type, platform, shown_strategy};
use super::{tags, time};
use crate::service::{Deployment, Service};
use crate::state::State;
use wire::ecs;

impl State {
    /// The ARN of a task set.
    pub fn task_set_arn(&self, service: &Service, number: u64) -> String {
        self.scope().task_set(self.cluster_name(service.cluster), &service.name, number)
    }

    /// A task set; nothing of a deployment that is none.
    pub fn project_task_set(
        &self,
        service: &Service,
        deployment: &Deployment,
        with_tags: bool,
        health: Health,
    ) -> Option<ecs::TaskSet> {
        let set = deployment.set.as_ref()?;
        let (running, pending) = self.service_counts(service, Some(deployment.number), health);
        let revision = self.service_revisions.get(&(service.id, deployment.revision))?;
        Some(ecs::TaskSet {
            id: Some(deployment.id()),
            task_set_arn: Some(self.task_set_arn(service, deployment.number)),
            service_arn: Some(self.service_arn(service)),
            cluster_arn: Some(self.scope().cluster(self.cluster_name(service.cluster))),
            external_id: set.external_id.as_deref().map(str::to_owned),
            status: Some(set.status.as_str().to_owned()),
            task_definition: Some(self.task_definition_arn(deployment.definition)),
            computed_desired_count: Some(count(deployment.computed(service.desired))),
            pending_count: Some(count(pending)),
            running_count: Some(count(running)),
            created_at: time(deployment.created_at),
            updated_at: time(deployment.updated_at),
            launch_type: revision.strategy.is_empty().then(|| launch_type(revision.launch_type)),
            capacity_provider_strategy: shown_strategy(&revision.strategy),
            platform_version: platform(revision.launch_type, "1.4.0"),
            platform_family: platform(revision.launch_type, "Linux"),
            network_configuration: self.network_configuration(&revision.subnets, revision.interface),
            load_balancers: Some(Vec::new()),
            service_registries: Some(Vec::new()),
            scale: Some(ecs::Scale { value: Some(set.scale.percent()), unit: Some(ecs::ScaleUnit::Percent) }),
            stability_status: Some(match set.steady {
                true => ecs::StabilityStatus::SteadyState,
                false => ecs::StabilityStatus::Stabilizing,
            }),
            stability_status_at: time(set.steady_at),
            tags: with_tags.then(|| tags(&set.tags)),
            ..ecs::TaskSet::default()
        })
    }
}
