//! What has become of a service's deployments after a step.

use super::progress::enter;
use super::tasks::Tasks;
use super::{Draft, Plan};
use model::service::{Deployment, Rollout, SETTLED_MS, Service};
use model::service_deployment::Stage;
use model::state::State;
use model::task::Task;
use model::{Millis, ServiceDeploymentStatus as Status};

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
    if tasks.acting != primary_number {
        service.steady = false;
        return;
    }
    if trouble(draft, tasks, plan) {
        return;
    }
    let service = &mut draft.service;
    let (desired, alone) = (service.desired, service.deployments.len() == 1);
    let Some(primary) = service.deployments.first_mut() else { return };
    forgive(primary, tasks, desired, now);
    let failed = primary.rollout == Rollout::Failed;
    let sure = !failed && !primary.doubtful && plan.stops.is_empty();
    let healthy = tasks.healthy(&tasks.primary);
    let full = healthy == desired && tasks.sick.is_empty() && tasks.primary.len() as u32 == desired;
    let early = service.configuration.early_success;
    let enough = early.is_some_and(|early| {
        let needed = (u64::from(desired) * u64::from(early.healthy_percent)).div_ceil(100);
        u64::from(healthy) >= needed && tasks.primary.len() as u32 <= desired
    });
    let deferred = early.is_some_and(|early| early.deferred);
    scaled(draft, !failed && (full || enough), now);
    if !failed && (full || enough) && (sure || deferred) && (alone || deferred) && has_passed(draft) {
        complete(draft, now);
    }
    if !(sure && full && alone && has_passed(draft)) {
        draft.service.steady = false;
    } else if !draft.service.steady {
        draft.service.steady = true;
        draft.say("has reached a steady state.");
    }
}

/// Says why nothing moves, when something should, and has not been said: bounds that allow no step, protected tasks.
pub(super) fn trouble(draft: &mut Draft, tasks: &Tasks<'_>, plan: &Plan) -> bool {
    let service = &mut draft.service;
    let bounds = (service.minimum_healthy, service.maximum);
    let desired = service.desired;
    let kept = waits_for_protected(tasks, desired).filter(|_| !plan.moves());
    // Of two reasons the one that will pass is told.
    let stuck = kept.is_none() && is_stuck(service, tasks, plan);
    let Some(primary) = service.deployments.first_mut() else { return false };
    let why = || {
        let (least, most) = bounds;
        format!(
            "minimumHealthyPercent {least} and maximumPercent {most} of {desired} tasks allow no step: raise one or lower the other"
        )
    };
    if let Some(why) = stuck.then(why).filter(|why| primary.trouble.as_deref() != Some(why.as_str())) {
        primary.trouble = Some(why.as_str().into());
        draft.say(format_args!("the deployment cannot go on: {why}."));
        return true;
    }
    if let Some(why) = kept
        && primary.trouble.as_deref() != Some(&why)
    {
        primary.trouble = Some(why.as_str().into());
        let id = primary.id();
        draft.say(format_args!(
            "was unable to reach steady state because task set (taskSet {id}) was unable to scale in. Reason: {why}"
        ));
        return true;
    }
    false
}

/// Why tasks that are to go stay: the words are ECS's.
fn waits_for_protected(tasks: &Tasks<'_>, desired: u32) -> Option<String> {
    let surplus = tasks.primary.len() as u32 > desired;
    let mut kept = tasks.older.iter().chain(tasks.primary.iter().filter(|_| surplus));
    let words = "The number of protected tasks are more than the desired count of tasks.";
    kept.any(|task| tasks.spares(task)).then(|| words.to_owned())
}

/// A task that has settled makes good for those that failed before it, and so does it when none is wanted any more.
pub(super) fn forgive(primary: &mut Deployment, tasks: &Tasks<'_>, desired: u32, now: Millis) {
    let settled = |task: &&Task| tasks.health.is_healthy(task) && task.times.started + SETTLED_MS <= now;
    if (primary.failures > 0 || primary.doubtful) && (desired == 0 || tasks.primary.iter().any(settled)) {
        primary.forgive();
    }
}

/// All tasks that the deployment wants are healthy: it is past SCALE_UP, and past POST_SCALE_UP when no hook waits there.
fn scaled(draft: &mut Draft, ready: bool, now: Millis) {
    let stage = |draft: &Draft| draft.deployment.as_ref().filter(|d| d.status == Status::InProgress).map(|d| d.stage);
    if ready && stage(draft) == Some(Stage::ScaleUp) {
        enter(draft, Stage::PostScaleUp, now);
    }
    let waits = draft.deployment.as_ref().is_some_and(|deployment| deployment.is_paused());
    if !waits && stage(draft) == Some(Stage::PostScaleUp) {
        enter(draft, Stage::CleanUp, now);
    }
}

/// Nothing of the deployment's stages is left but to stop what it has replaced.
fn has_passed(draft: &Draft) -> bool {
    let on_its_way = draft.deployment.as_ref().filter(|known| known.status == Status::InProgress);
    on_its_way.is_none_or(|known| known.stage == Stage::CleanUp)
}

/// The PRIMARY deployment has come true.
fn complete(draft: &mut Draft, now: Millis) {
    let Some(primary) = draft.service.deployments.first_mut() else { return };
    if primary.rollout != Rollout::InProgress {
        return;
    }
    primary.rollout = Rollout::Completed;
    (primary.updated_at, primary.completed_at) = (now, now);
    primary.trouble = None;
    let (id, failures) = (primary.id(), primary.failures);
    if let Some(deployment) = draft.deployment.as_mut().filter(|known| !known.status.is_over()) {
        let back = deployment.status.is_rollback();
        deployment.finish(if back { Status::RollbackSuccessful } else { Status::Successful }, None, now);
        if !back {
            deployment.failures = failures;
        }
    }
    draft.say(format_args!("(deployment {id}) deployment completed."));
}

/// Tasks are missing, none is on its way, and the bounds allow neither a start nor a stop.
fn is_stuck(service: &Service, tasks: &Tasks<'_>, plan: &Plan) -> bool {
    let missing = (tasks.primary.len() as u32) < service.desired;
    let coming = tasks.healthy(&tasks.primary) < tasks.primary.len() as u32;
    let idle = !plan.moves();
    let full = tasks.live() >= service.upper_bound();
    missing && idle && !coming && full && !tasks.older.is_empty()
}
