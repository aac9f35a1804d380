//! Rules for `deploymentConfiguration`, without its bounds.

use super::run::unsupported;
use model::deployment_configuration::{
    CircuitBreaker, DeploymentConfiguration, EarlySuccess, HookAction, HookStage, PauseHook, Threshold, ThresholdType,
};
use wire::{Fault, ecs};

/// How long a hook waits when nobody says (developer guide: 24 hours).
const HOOK_MINUTES: u32 = 24 * 60;
/// Hooks of one service; no limit is documented.
const HOOKS_MAX: usize = 20;

/// Reads what a request says; what it does not say stays.
pub(crate) fn read(
    asked: Option<&ecs::DeploymentConfiguration>,
    known: &mut DeploymentConfiguration,
) -> Result<(), Fault> {
    let Some(asked) = asked else { return Ok(()) };
    if let Some(breaker) = &asked.deployment_circuit_breaker {
        known.breaker = Some(self::breaker(breaker)?);
    }
    if let Some(early) = &asked.early_success_criteria {
        let percent = early.healthy_percent.unwrap_or(100);
        let healthy_percent = u32::try_from(percent).ok().filter(|percent| *percent <= 100).ok_or_else(|| {
            Fault::invalid_parameter(format!("healthyPercent must be between 0 and 100, got {percent}."))
        })?;
        let deferred = early.source_service_revision_cleanup == Some(ecs::ServiceRevisionCleanup::Deferred);
        known.early_success = early.enable.then_some(EarlySuccess { healthy_percent, deferred });
    }
    if let Some(hooks) = &asked.lifecycle_hooks {
        if hooks.len() > HOOKS_MAX {
            return Err(Fault::invalid_parameter(format!("lifecycleHooks can have at most {HOOKS_MAX} items.")));
        }
        known.hooks = hooks.iter().map(hook).collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn breaker(asked: &ecs::DeploymentCircuitBreaker) -> Result<CircuitBreaker, Fault> {
    let threshold = asked.threshold_configuration.as_ref().map(|threshold| {
        let invalid = || {
            let value = threshold.value;
            Fault::invalid_parameter(format!("The value of thresholdConfiguration must be at least 1, got {value}."))
        };
        let value = u32::try_from(threshold.value).ok().filter(|value| *value > 0).ok_or_else(invalid)?;
        let kind = match threshold.r#type {
            ecs::ThresholdType::Count => ThresholdType::Count,
            ecs::ThresholdType::BoundedPercent => ThresholdType::BoundedPercent,
            ecs::ThresholdType::UnboundedPercent => ThresholdType::UnboundedPercent,
        };
        Ok(Threshold { kind, value })
    });
    Ok(CircuitBreaker {
        enable: asked.enable,
        rollback: asked.rollback,
        reset: asked.reset_on_healthy_task.unwrap_or(true),
        threshold: threshold.transpose()?,
    })
}

fn hook(asked: &ecs::DeploymentLifecycleHook) -> Result<PauseHook, Fault> {
    if asked.target_type != Some(ecs::DeploymentLifecycleHookTargetType::Pause) {
        return Err(unsupported("deploymentConfiguration.lifecycleHooks (AWS_LAMBDA)"));
    }
    if asked.hook_target_arn.is_some() || asked.role_arn.is_some() || asked.hook_details.is_some() {
        let message = "A hook with targetType PAUSE takes no hookTargetArn, roleArn or hookDetails.";
        return Err(Fault::invalid_parameter(message));
    }
    let stages = asked.lifecycle_stages.as_deref().unwrap_or_default();
    if stages.is_empty() {
        return Err(Fault::invalid_parameter("A lifecycle hook needs lifecycleStages."));
    }
    let mut known: Vec<HookStage> = stages.iter().map(|stage| hook_stage(*stage)).collect::<Result<_, _>>()?;
    known.sort_unstable();
    known.dedup();
    let timeout = asked.timeout_configuration.as_ref();
    let minutes =
        timeout.and_then(|timeout| timeout.timeout_in_minutes).and_then(|minutes| u32::try_from(minutes).ok());
    let action = match timeout.and_then(|timeout| timeout.action) {
        Some(ecs::DeploymentLifecycleHookAction::Continue) => HookAction::Continue,
        Some(ecs::DeploymentLifecycleHookAction::Rollback) | None => HookAction::Rollback,
    };
    Ok(PauseHook { stages: known, timeout_minutes: minutes.unwrap_or(HOOK_MINUTES), action })
}

/// A rolling deployment shifts no traffic, so that it has none of the stages about that.
fn hook_stage(asked: ecs::DeploymentLifecycleHookStage) -> Result<HookStage, Fault> {
    match asked {
        ecs::DeploymentLifecycleHookStage::ReconcileService => Ok(HookStage::ReconcileService),
        ecs::DeploymentLifecycleHookStage::PreScaleUp => Ok(HookStage::PreScaleUp),
        ecs::DeploymentLifecycleHookStage::PostScaleUp => Ok(HookStage::PostScaleUp),
        other => Err(unsupported(&format!("deploymentConfiguration.lifecycleHooks (stage {})", other.as_str()))),
    }
}
