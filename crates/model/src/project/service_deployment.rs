//! Service deployments and revisions.

use super::service::{Health, count, launch_type, platform, shown_strategy};
use super::time;
use crate::deployment_configuration::{
    CircuitBreaker, DeploymentConfiguration, HookAction, HookStage, PauseHook, ThresholdType,
};
use crate::service::Service;
use crate::service_deployment::{HookRun, HookStatus, ServiceDeployment, ServiceDeploymentStatus, Stage};
use crate::service_revision::ServiceRevision;
use crate::state::State;
use wire::ecs;

impl State {
    /// The ARN of a service deployment.
    pub fn service_deployment_arn(&self, service: &Service, deployment: &ServiceDeployment) -> String {
        self.scope().service_deployment(self.cluster_name(service.cluster), &service.name, &deployment.id)
    }

    /// The ARN of a service revision.
    pub fn service_revision_arn(&self, service: &Service, number: u64) -> String {
        self.scope().service_revision(self.cluster_name(service.cluster), &service.name, number)
    }

    /// A service deployment.
    pub fn project_service_deployment(
        &self,
        service: &Service,
        deployment: &ServiceDeployment,
        health: Health,
    ) -> ecs::ServiceDeployment {
        let summary = |number: u64| self.revision_summary(service, deployment, number, health);
        let rollback = deployment.rollback.as_ref().map(|rollback| ecs::Rollback {
            reason: Some(rollback.reason.to_string()),
            started_at: time(rollback.started_at),
            service_revision_arn: Some(self.service_revision_arn(service, rollback.revision)),
        });
        ecs::ServiceDeployment {
            service_deployment_arn: Some(self.service_deployment_arn(service, deployment)),
            service_arn: Some(self.service_arn(service)),
            cluster_arn: Some(self.scope().cluster(self.cluster_name(service.cluster))),
            created_at: time(deployment.created_at),
            started_at: time(deployment.started_at),
            finished_at: time(deployment.finished_at),
            stopped_at: time(deployment.stopped_at),
            updated_at: time(deployment.updated_at),
            source_service_revisions: Some(deployment.sources.iter().map(|number| summary(*number)).collect()),
            target_service_revision: Some(summary(deployment.target)),
            status: Some(status(deployment.status)),
            status_reason: deployment.reason.as_deref().map(str::to_owned),
            lifecycle_stage: Some(stage(deployment.stage)),
            lifecycle_hook_details: Some(deployment.hooks.iter().map(hook_run).collect()),
            deployment_configuration: Some(configuration(deployment.bounds, &deployment.configuration)),
            rollback,
            deployment_circuit_breaker: Some(breaker_status(service, deployment)),
            alarms: None,
        }
    }

    /// A line of ListServiceDeployments.
    pub fn project_service_deployment_brief(
        &self,
        service: &Service,
        deployment: &ServiceDeployment,
    ) -> ecs::ServiceDeploymentBrief {
        ecs::ServiceDeploymentBrief {
            service_deployment_arn: Some(self.service_deployment_arn(service, deployment)),
            service_arn: Some(self.service_arn(service)),
            cluster_arn: Some(self.scope().cluster(self.cluster_name(service.cluster))),
            created_at: time(deployment.created_at),
            started_at: time(deployment.started_at),
            finished_at: time(deployment.finished_at),
            target_service_revision_arn: Some(self.service_revision_arn(service, deployment.target)),
            status: Some(status(deployment.status)),
            status_reason: deployment.reason.as_deref().map(str::to_owned),
        }
    }

    /// A service revision.
    pub fn project_service_revision(&self, service: &Service, revision: &ServiceRevision) -> ecs::ServiceRevision {
        let needs = self.definitions.get(&revision.definition).map(|definition| &definition.needs);
        let images = needs.into_iter().flat_map(|needs| &needs.containers).map(|container| ecs::ContainerImage {
            container_name: Some(container.name.clone()),
            image: container.image.as_deref().map(str::to_owned),
            image_digest: revision.digest(&container.name).map(str::to_owned),
        });
        ecs::ServiceRevision {
            service_revision_arn: Some(self.service_revision_arn(service, revision.number)),
            service_arn: Some(self.service_arn(service)),
            cluster_arn: Some(self.scope().cluster(self.cluster_name(service.cluster))),
            task_definition: Some(self.task_definition_arn(revision.definition)),
            launch_type: revision.strategy.is_empty().then(|| launch_type(revision.launch_type)),
            capacity_provider_strategy: shown_strategy(&revision.strategy),
            platform_version: platform(revision.launch_type, "1.4.0"),
            platform_family: platform(revision.launch_type, "Linux"),
            load_balancers: Some(Vec::new()),
            service_registries: Some(Vec::new()),
            network_configuration: self.network_configuration(&revision.subnets, revision.interface),
            container_images: Some(images.collect()),
            guard_duty_enabled: Some(false),
            created_at: time(revision.created_at),
            ..Default::default()
        }
    }

    /// A revision and the tasks that are made from it now; wanted is the one that the service goes to.
    fn revision_summary(
        &self,
        service: &Service,
        deployment: &ServiceDeployment,
        number: u64,
        health: Health,
    ) -> ecs::ServiceRevisionSummary {
        let made = service.deployments.iter().find(|known| known.revision == number);
        let (running, pending) = made.map_or((0, 0), |made| self.service_counts(service, Some(made.number), health));
        let goal = service.primary().map_or(deployment.target, |primary| primary.revision);
        ecs::ServiceRevisionSummary {
            arn: Some(self.service_revision_arn(service, number)),
            requested_task_count: Some(if goal == number { count(service.desired) } else { 0 }),
            running_task_count: Some(count(running)),
            pending_task_count: Some(count(pending)),
            ..Default::default()
        }
    }
}

fn breaker_status(service: &Service, deployment: &ServiceDeployment) -> ecs::ServiceDeploymentCircuitBreaker {
    use ecs::ServiceDeploymentRollbackMonitorsStatus as Monitors;
    let breaker = service.configuration.breaker.filter(|breaker| breaker.enable);
    let Some(breaker) = breaker.or(deployment.configuration.breaker.filter(|breaker| breaker.enable)) else {
        let status = Some(Monitors::Disabled);
        return ecs::ServiceDeploymentCircuitBreaker { status, failure_count: Some(0), threshold: Some(0) };
    };
    let live = service.deployments.iter().find(|known| known.revision == deployment.target);
    let live = live.filter(|_| !deployment.triggered && !deployment.status.is_over());
    let status = match () {
        () if deployment.triggered => Monitors::Triggered,
        () if deployment.status.is_over() => Monitors::MonitoringComplete,
        () => Monitors::Monitoring,
    };
    ecs::ServiceDeploymentCircuitBreaker {
        status: Some(status),
        failure_count: Some(count(live.map_or(deployment.failures, |live| live.counted(&breaker)))),
        threshold: Some(count(breaker.failures_at(service.desired))),
    }
}

fn hook_run(run: &HookRun) -> ecs::DeploymentLifecycleHookDetail {
    ecs::DeploymentLifecycleHookDetail {
        hook_id: Some(run.id.to_string()),
        target_type: Some(ecs::DeploymentLifecycleHookTargetType::Pause),
        target_arn: None,
        status: Some(match run.status {
            HookStatus::AwaitingAction => ecs::DeploymentLifecycleHookStatus::AwaitingAction,
            HookStatus::Succeeded => ecs::DeploymentLifecycleHookStatus::Succeeded,
            HookStatus::Failed => ecs::DeploymentLifecycleHookStatus::Failed,
            HookStatus::TimedOut => ecs::DeploymentLifecycleHookStatus::TimedOut,
        }),
        expires_at: time(run.expires_at),
        timeout_action: Some(action(run.action)),
    }
}

/// `deploymentConfiguration` of a service or of a deployment.
pub(super) fn configuration(bounds: (u32, u32), known: &DeploymentConfiguration) -> ecs::DeploymentConfiguration {
    let off = CircuitBreaker { enable: false, rollback: false, reset: true, threshold: None };
    ecs::DeploymentConfiguration {
        minimum_healthy_percent: Some(count(bounds.0)),
        maximum_percent: Some(count(bounds.1)),
        strategy: Some(ecs::DeploymentStrategy::Rolling),
        deployment_circuit_breaker: Some(breaker(&known.breaker.unwrap_or(off))),
        early_success_criteria: known.early_success.map(|early| ecs::DeploymentEarlySuccessCriteria {
            enable: true,
            healthy_percent: Some(count(early.healthy_percent)),
            source_service_revision_cleanup: Some(match early.deferred {
                true => ecs::ServiceRevisionCleanup::Deferred,
                false => ecs::ServiceRevisionCleanup::Blocking,
            }),
        }),
        lifecycle_hooks: (!known.hooks.is_empty()).then(|| known.hooks.iter().map(hook).collect()),
        bake_time_in_minutes: Some(0),
        ..Default::default()
    }
}

fn breaker(known: &CircuitBreaker) -> ecs::DeploymentCircuitBreaker {
    ecs::DeploymentCircuitBreaker {
        enable: known.enable,
        rollback: known.rollback,
        reset_on_healthy_task: Some(known.reset),
        threshold_configuration: known.threshold.map(|threshold| ecs::ThresholdConfiguration {
            r#type: match threshold.kind {
                ThresholdType::Count => ecs::ThresholdType::Count,
                ThresholdType::BoundedPercent => ecs::ThresholdType::BoundedPercent,
                ThresholdType::UnboundedPercent => ecs::ThresholdType::UnboundedPercent,
            },
            value: count(threshold.value),
        }),
    }
}

fn hook(known: &PauseHook) -> ecs::DeploymentLifecycleHook {
    let stage = |stage: &HookStage| match stage {
        HookStage::ReconcileService => ecs::DeploymentLifecycleHookStage::ReconcileService,
        HookStage::PreScaleUp => ecs::DeploymentLifecycleHookStage::PreScaleUp,
        HookStage::PostScaleUp => ecs::DeploymentLifecycleHookStage::PostScaleUp,
    };
    ecs::DeploymentLifecycleHook {
        target_type: Some(ecs::DeploymentLifecycleHookTargetType::Pause),
        lifecycle_stages: Some(known.stages.iter().map(stage).collect()),
        timeout_configuration: Some(ecs::DeploymentLifecycleHookTimeoutConfiguration {
            timeout_in_minutes: Some(count(known.timeout_minutes)),
            action: Some(action(known.action)),
        }),
        ..Default::default()
    }
}

fn action(known: HookAction) -> ecs::DeploymentLifecycleHookAction {
    match known {
        HookAction::Continue => ecs::DeploymentLifecycleHookAction::Continue,
        HookAction::Rollback => ecs::DeploymentLifecycleHookAction::Rollback,
    }
}

fn stage(known: Stage) -> ecs::ServiceDeploymentLifecycleStage {
    match known {
        Stage::ReconcileService => ecs::ServiceDeploymentLifecycleStage::ReconcileService,
        Stage::PreScaleUp => ecs::ServiceDeploymentLifecycleStage::PreScaleUp,
        Stage::ScaleUp => ecs::ServiceDeploymentLifecycleStage::ScaleUp,
        Stage::PostScaleUp => ecs::ServiceDeploymentLifecycleStage::PostScaleUp,
        Stage::CleanUp => ecs::ServiceDeploymentLifecycleStage::CleanUp,
    }
}

fn status(known: ServiceDeploymentStatus) -> ecs::ServiceDeploymentStatus {
    match known {
        ServiceDeploymentStatus::Pending => ecs::ServiceDeploymentStatus::Pending,
        ServiceDeploymentStatus::InProgress => ecs::ServiceDeploymentStatus::InProgress,
        ServiceDeploymentStatus::Successful => ecs::ServiceDeploymentStatus::Successful,
        ServiceDeploymentStatus::Stopped => ecs::ServiceDeploymentStatus::Stopped,
        ServiceDeploymentStatus::RollbackRequested => ecs::ServiceDeploymentStatus::RollbackRequested,
        ServiceDeploymentStatus::RollbackInProgress => ecs::ServiceDeploymentStatus::RollbackInProgress,
        ServiceDeploymentStatus::RollbackSuccessful => ecs::ServiceDeploymentStatus::RollbackSuccessful,
        ServiceDeploymentStatus::RollbackFailed => ecs::ServiceDeploymentStatus::RollbackFailed,
    }
}
