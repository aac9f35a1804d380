//! What operators do to what is there: hosts drain and come back, deployments are stopped, answered, guarded by the circuit
//! breaker and by hooks, tasks are placed by strategies. Requests only.

use crate::asks::{Ask, ask};
use crate::faults::operator;
use crate::random::Stream;
use crate::wires::Asker;
use crate::world::World;
use model::instance::InstanceStatus;
use model::service_deployment::HookStatus;
use wire::ecs;

/// Breaker and hooks of a service; most have none.
pub(crate) fn draw_guards(chance: &mut Stream, configuration: &mut ecs::DeploymentConfiguration) {
    if chance.per_mille(500) {
        configuration.deployment_circuit_breaker = Some(ecs::DeploymentCircuitBreaker {
            enable: chance.per_mille(800),
            rollback: chance.per_mille(600),
            ..Default::default()
        });
    }
    if chance.per_mille(150) {
        let stages = [ecs::DeploymentLifecycleHookStage::PreScaleUp, ecs::DeploymentLifecycleHookStage::PostScaleUp];
        let actions = [ecs::DeploymentLifecycleHookAction::Continue, ecs::DeploymentLifecycleHookAction::Rollback];
        configuration.lifecycle_hooks = Some(vec![ecs::DeploymentLifecycleHook {
            target_type: Some(ecs::DeploymentLifecycleHookTargetType::Pause),
            lifecycle_stages: Some(vec![*chance.pick(&stages)]),
            timeout_configuration: Some(ecs::DeploymentLifecycleHookTimeoutConfiguration {
                action: Some(*chance.pick(&actions)),
                timeout_in_minutes: Some(1),
            }),
            ..Default::default()
        }]);
    }
}

/// Strategies for tasks on container instances.
pub(crate) fn draw_strategy(chance: &mut Stream) -> Option<Vec<ecs::PlacementStrategy>> {
    let strategy = |kind, field: &str| ecs::PlacementStrategy { r#type: Some(kind), field: Some(field.to_owned()) };
    let spread = strategy(ecs::PlacementStrategyType::Spread, "instanceId");
    let binpack = strategy(ecs::PlacementStrategyType::Binpack, "memory");
    match chance.below(4) {
        0 => Some(vec![spread]),
        1 => Some(vec![binpack]),
        2 => Some(vec![spread, binpack]),
        _ => None,
    }
}

impl World {
    /// Something that operators do.
    pub fn draw_operation(&mut self) -> Option<Ask> {
        match self.chance.clients.below(10) {
            0..4 => self.draw_drain(),
            4..7 => self.draw_deployment_stop(),
            _ => self.draw_continuation(),
        }
    }

    fn draw_drain(&mut self) -> Option<Ask> {
        let state = &self.disk.history;
        let all = state.instances.values().filter(|instance| instance.is_registered());
        let arns = all.map(|instance| state.scope().instance(state.cluster_name(instance.cluster), instance.id));
        let container_instances = vec![self.chance.clients.pick_from(arns)?];
        let drains = self.chance.clients.per_mille(500);
        let status = if drains { ecs::ContainerInstanceStatus::Draining } else { ecs::ContainerInstanceStatus::Active };
        Some(ask(ecs::UpdateContainerInstancesStateRequest { container_instances, status, ..Default::default() }))
    }

    /// The ARN of a service deployment, and a hook of it that waits.
    fn any_deployment(&mut self, hooked: bool) -> Option<(String, Option<String>)> {
        let state = &self.disk.history;
        let known = state.service_deployments.values().filter_map(|deployment| {
            let service = state.services.get(&deployment.service)?;
            let cluster = state.cluster_name(service.cluster);
            let arn = state.scope().service_deployment(cluster, &service.name, &deployment.id);
            let waiting = deployment.hooks.iter().find(|hook| hook.status == HookStatus::AwaitingAction);
            Some((arn, waiting.map(|hook| hook.id.to_string())))
        });
        self.chance.clients.pick_from(known.filter(|(_, hook)| !hooked || hook.is_some()))
    }

    fn draw_deployment_stop(&mut self) -> Option<Ask> {
        let (service_deployment_arn, _) = self.any_deployment(false)?;
        let types = [ecs::StopServiceDeploymentStopType::Abort, ecs::StopServiceDeploymentStopType::Rollback];
        let stop_type = Some(*self.chance.clients.pick(&types));
        Some(ask(ecs::StopServiceDeploymentRequest { service_deployment_arn, stop_type }))
    }

    fn draw_continuation(&mut self) -> Option<Ask> {
        let (service_deployment_arn, hook) = self.any_deployment(true)?;
        let actions = [ecs::DeploymentLifecycleHookAction::Continue, ecs::DeploymentLifecycleHookAction::Rollback];
        let action = Some(*self.chance.clients.pick(&actions));
        Some(ask(ecs::ContinueServiceDeploymentRequest { service_deployment_arn, hook_id: hook?, action }))
    }

    /// The operator lets every host take tasks again.
    pub fn activate_hosts(&mut self) {
        let Some(control) = &self.plane.control else { return };
        let state = control.state();
        let draining = state.instances.values().filter(|instance| instance.status == InstanceStatus::Draining);
        let name = |cluster| state.cluster_name(cluster);
        let requests = draining.map(|instance| ecs::UpdateContainerInstancesStateRequest {
            container_instances: vec![state.scope().instance(name(instance.cluster), instance.id)],
            cluster: Some(name(instance.cluster).to_owned()),
            status: ecs::ContainerInstanceStatus::Active,
        });
        let requests: Vec<_> = requests.collect();
        for request in requests {
            self.call(Asker::Operator, operator(), &ecs::Request::from(request));
        }
    }
}
