//! How far a deployment is before its next step: begun, waiting at a hook, given up by the circuit breaker, on its way back.

use super::Draft;
use model::Millis;
use model::deployment_configuration::HookAction;
use model::service::{Deployment, Rollout};
use model::service_deployment::{HookRun, HookStatus, Rollback, Stage};
use model::state::State;
use model::{ServiceDeploymentStatus as Status, ServiceRevision};

/// Brings the PRIMARY deployment as far as it can be without starting or stopping anything.
pub(super) fn advance(state: &State, draft: &mut Draft, now: Millis) {
    begin(draft, now);
    begin_again(draft, now);
    let wanted_back = draft.deployment.as_ref().filter(|known| known.status == Status::RollbackRequested);
    if let Some(why) = wanted_back.map(|known| known.reason.clone().unwrap_or_default()) {
        roll_back(state, draft, &why, now);
    }
    if let Some(why) = broken(draft) {
        fail(state, draft, &why, now);
    }
    if expire(draft, now) {
        roll_back(state, draft, "A lifecycle hook waited too long.", now);
    }
    walk(draft, now);
}

fn begin(draft: &mut Draft, now: Millis) {
    let Some(deployment) = draft.deployment.as_mut().filter(|known| known.status == Status::Pending) else { return };
    deployment.status = Status::InProgress;
    deployment.started_at = now;
    let stage = deployment.stage;
    enter(draft, stage, now);
}

/// It was called COMPLETED too early.
fn begin_again(draft: &mut Draft, now: Millis) {
    let open = draft.service.primary().is_some_and(|primary| primary.rollout == Rollout::InProgress);
    let Some(deployment) = draft.deployment.as_mut().filter(|_| open) else { return };
    let again = match deployment.status {
        Status::Successful => Status::InProgress,
        Status::RollbackSuccessful => Status::RollbackInProgress,
        _ => return,
    };
    (deployment.status, deployment.finished_at, deployment.updated_at) = (again, 0, now);
}

/// Why the circuit breaker gives the PRIMARY deployment up, if it does.
fn broken(draft: &Draft) -> Option<String> {
    let (breaker, primary) = (draft.service.breaker()?, draft.service.primary()?);
    let counted = primary.counted(&breaker);
    let many = counted >= breaker.failures_at(draft.service.desired) && !primary.waits_for_registry();
    let gone = primary.hopeless || many;
    let waits = primary.rollout == Rollout::InProgress && counted > 0;
    (gone && waits).then(|| primary.trouble.as_deref().unwrap_or_default().to_owned())
}

/// The circuit breaker has given the PRIMARY deployment up.
fn fail(state: &State, draft: &mut Draft, cause: &str, now: Millis) {
    let Some(breaker) = draft.service.breaker() else { return };
    let Some(primary) = draft.service.deployments.first_mut() else { return };
    primary.rollout = Rollout::Failed;
    primary.updated_at = now;
    let (id, counted) = (primary.id(), primary.counted(&breaker));
    draft.say(format_args!("(deployment {id}) deployment failed: tasks failed to start. {cause}"));
    let why = format!("Service deployment circuit breaker: tasks failed to start. {cause}");
    let going_back = draft.deployment.as_ref().is_some_and(|known| known.status.is_rollback());
    if let Some(deployment) = &mut draft.deployment {
        (deployment.triggered, deployment.failures) = (true, counted);
        if going_back {
            deployment.finish(Status::RollbackFailed, Some(&why), now);
        } else if !breaker.rollback {
            deployment.finish(Status::Stopped, Some(&why), now);
        }
    }
    if breaker.rollback && !going_back {
        roll_back(state, draft, &why, now);
    }
}

/// Makes the deployment of the last revision that came true the PRIMARY one again.
fn roll_back(state: &State, draft: &mut Draft, why: &str, now: Millis) {
    let revision = last_completed(state, draft).cloned();
    let Some(primary) = draft.service.deployments.first_mut() else { return };
    primary.rollout = Rollout::Failed;
    primary.trouble.get_or_insert_with(|| why.into());
    primary.updated_at = now;
    let Some(deployment) = &mut draft.deployment else { return };
    deployment.drop_hooks();
    let Some(revision) = revision else {
        let why = format!("{why} There is no completed service revision to roll back to.");
        deployment.finish(Status::RollbackFailed, Some(&why), now);
        // It is itself what came true: its count is kept all the same.
        if primary.completed_at != 0 && !deployment.triggered {
            primary.keep(now);
        }
        draft.say("cannot be rolled back: there is no other deployment of it that was ever completed.");
        return;
    };
    deployment.status = Status::RollbackInProgress;
    deployment.reason = Some(why.into());
    deployment.rollback = Some(Rollback { reason: why.into(), started_at: now, revision: revision.number });
    deployment.updated_at = now;
    let history = deployment.number;
    promote(draft, &revision, history, now);
    let id = draft.service.primary().map(Deployment::id).unwrap_or_default();
    draft.say(format_args!("rolling back to deployment {id}."));
}

fn last_completed<'a>(state: &'a State, draft: &Draft) -> Option<&'a ServiceRevision> {
    let (id, current) = (draft.service.id, draft.service.primary()?.revision);
    let completed = state.service_deployments(id).rev().filter_map(|known| known.completed_revision());
    completed.filter(|number| *number != current).find_map(|number| state.service_revisions.get(&(id, number)))
}

/// The deployment that was made for `revision` becomes the PRIMARY one; its tasks that still run go on.
fn promote(draft: &mut Draft, revision: &ServiceRevision, history: u32, now: Millis) {
    let service = &mut draft.service;
    let known = service.deployments.iter().position(|deployment| deployment.number == revision.deployment);
    let created_at = known.map_or(now, |known| service.deployments.remove(known).created_at);
    let fresh = Deployment::new(revision.deployment, revision.definition, revision.number, history, now);
    service.deploy(Deployment { created_at, ..fresh });
    service.subnets.clone_from(&revision.subnets);
    service.interface = revision.interface;
    service.strategy.clone_from(&revision.strategy);
    service.launch_type = revision.launch_type;
}

/// Hooks whose time is up. Whether one of them wants the way back.
fn expire(draft: &mut Draft, now: Millis) -> bool {
    let Some(deployment) = draft.deployment.as_mut().filter(|known| known.status == Status::InProgress) else {
        return false;
    };
    let mut back = false;
    for hook in &mut deployment.hooks {
        if hook.status == HookStatus::AwaitingAction && hook.expires_at <= now {
            hook.status = HookStatus::TimedOut;
            deployment.updated_at = now;
            back |= hook.action == HookAction::Rollback;
        }
    }
    back
}

/// Walks through the stages before SCALE_UP, up to a hook that waits.
fn walk(draft: &mut Draft, now: Millis) {
    while let Some(deployment) = draft.deployment.as_ref().filter(|known| known.status == Status::InProgress) {
        let next = match deployment.stage {
            _ if deployment.is_paused() => return,
            Stage::ReconcileService => Stage::PreScaleUp,
            Stage::PreScaleUp => Stage::ScaleUp,
            Stage::ScaleUp | Stage::PostScaleUp | Stage::CleanUp => return,
        };
        enter(draft, next, now);
    }
}

/// Takes the deployment to `stage`; hooks of that stage begin to wait.
pub(super) fn enter(draft: &mut Draft, stage: Stage, now: Millis) {
    let Some(deployment) = &mut draft.deployment else { return };
    deployment.stage = stage;
    deployment.updated_at = now;
    let Some(at) = stage.hook_stage() else { return };
    let hooks = deployment.configuration.hooks.iter().enumerate().filter(|(_, hook)| hook.stages.contains(&at));
    let runs = hooks.map(|(n, hook)| HookRun {
        id: format!("ecs-pause-{}-{}-{n}", deployment.id, at.as_str().replace('_', "-").to_ascii_lowercase()).into(),
        stage: at,
        status: HookStatus::AwaitingAction,
        expires_at: now + u64::from(hook.timeout_minutes) * 60_000,
        action: hook.action,
    });
    let runs: Vec<HookRun> = runs.collect();
    deployment.hooks.extend(runs.iter().cloned());
    for run in runs {
        draft.say(format_args!("the deployment is paused at {}: hook {} awaits an action.", at.as_str(), run.id));
    }
}

/// The number of the deployment whose count is kept now: the PRIMARY one, or while that waits to begin the one before it.
pub(super) fn acting(draft: &Draft) -> Option<u64> {
    let waits = draft.deployment.as_ref().is_some_and(|known| known.is_paused() && known.stage < Stage::ScaleUp);
    let deployments = &draft.service.deployments;
    deployments.get(usize::from(waits && deployments.len() > 1)).map(|deployment| deployment.number)
}

/// It waits to begin, and there is nothing before it.
pub(super) fn waits_to_begin(draft: &Draft) -> bool {
    let waits = draft.deployment.as_ref().is_some_and(|known| known.is_paused() && known.stage < Stage::ScaleUp);
    waits && draft.service.deployments.len() == 1
}

/// Tasks of older deployments stay until the newer ones have passed a hook.
pub(super) fn holds(draft: &Draft) -> bool {
    let Some(deployment) = draft.deployment.as_ref().filter(|known| known.status == Status::InProgress) else {
        return false;
    };
    let hooks = &deployment.configuration.hooks;
    deployment.stage < Stage::CleanUp
        && hooks.iter().any(|hook| hook.stages.iter().any(|stage| Some(*stage) == Stage::PostScaleUp.hook_stage()))
}
