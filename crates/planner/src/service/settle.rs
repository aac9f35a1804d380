//! What has become of a service's deployments after a step.

use super::tasks::Tasks;
use super::{Draft, Plan};
use model::service::{Rollout, SETTLED_MS, Service};
use model::state::State;
use model::task::Task;
use model::{Millis, ServiceDeployment, ServiceDeploymentStatus};

/// Deployments without tasks go; the PRIMARY one is COMPLETED when the wanted number is healthy and nothing older is
/// left, not even stopping.
pub(super) fn settle(state: &State, draft: &mut Draft, tasks: &Tasks<'_>, plan: &Plan) {
    let now = tasks.health.now;
    let service = &mut draft.service;
    let id = service.id;
    let primary_number = service.primary().map(|primary| primary.number);
    service.deployments.retain(|deployment| {
        let alive = || state.live_deployment_tasks(id, deployment.number).next().is_some();
        Some(deployment.number) == primary_number || alive()
    });
    let steady = tasks.healthy(&tasks.primary) == service.desired
        && tasks.sick.is_empty()
        && tasks.primary.len() as u32 == service.desired
        && service.deployments.len() == 1
        && plan.stops.is_empty();
    let stuck = is_stuck(service, tasks, plan);
    let bounds = format!("minimumHealthyPercent {} and maximumPercent {}", service.minimum_healthy, service.maximum);
    let desired = service.desired;
    let Some(primary) = service.deployments.first_mut() else { return };
    let why = format!("{bounds} of {desired} tasks allow no step: raise one or lower the other");
    if stuck && primary.trouble.as_deref() != Some(&why) {
        primary.trouble = Some(why.as_str().into());
        draft.say(format_args!("the deployment cannot go on: {why}."));
        return;
    }
    let settled = |task: &&Task| tasks.health.is_healthy(task) && task.times.started + SETTLED_MS <= now;
    if primary.failures > 0 && tasks.primary.iter().any(settled) {
        (primary.failures, primary.retry_at, primary.trouble) = (0, 0, None);
    }
    begin(&mut draft.deployment, now);
    if !steady {
        service.steady = false;
        return;
    }
    complete(draft, now);
    if !draft.service.steady {
        draft.service.steady = true;
        draft.say("has reached a steady state.");
    }
}

/// The first step was taken.
fn begin(deployment: &mut Option<ServiceDeployment>, now: Millis) {
    if let Some(deployment) = deployment.as_mut().filter(|known| known.status == ServiceDeploymentStatus::Pending) {
        deployment.status = ServiceDeploymentStatus::InProgress;
        (deployment.started_at, deployment.updated_at) = (now, now);
    }
}

/// The PRIMARY deployment has come true.
fn complete(draft: &mut Draft, now: Millis) {
    let Some(primary) = draft.service.deployments.first_mut() else { return };
    if primary.rollout != Rollout::InProgress {
        return;
    }
    primary.rollout = Rollout::Completed;
    primary.updated_at = now;
    primary.trouble = None;
    let id = primary.id();
    if let Some(deployment) = draft.deployment.as_mut().filter(|known| !known.status.is_over()) {
        deployment.finish(ServiceDeploymentStatus::Successful, None, now);
    }
    draft.say(format_args!("(deployment {id}) deployment completed."));
}

/// Tasks are missing, none is on its way, and the bounds allow neither a start nor a stop.
fn is_stuck(service: &Service, tasks: &Tasks<'_>, plan: &Plan) -> bool {
    let missing = (tasks.primary.len() as u32) < service.desired;
    let coming = tasks.healthy(&tasks.primary) < tasks.primary.len() as u32;
    let idle = plan.starts == 0 && plan.stops.is_empty();
    let full = tasks.live() >= service.upper_bound();
    missing && idle && !coming && full && !tasks.older.is_empty()
}
