//! Task protection: a task of a service that is at work is not stopped by scaling in nor by a deployment. StopTask and
//! failing health checks stop it all the same.

use super::{check_names, missing};
use crate::authorize::Caller;
use crate::desk::Desk;
use crate::named;
use model::change::Change;
use model::task::{Desired, Task};
use model::{Millis, State, TaskId};
use wire::{Fault, Timestamp, ecs};

/// Tasks that one request names (API reference).
const TASKS_MAX: usize = 10;
/// Minutes, when none are asked for, and the most.
const MINUTES: i32 = 120;
const MINUTES_MAX: i32 = 2_880;

/// UpdateTaskProtection.
pub(crate) fn update(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateTaskProtectionRequest,
) -> Result<ecs::UpdateTaskProtectionResponse, Fault> {
    check_names(&input.tasks, "Tasks", TASKS_MAX)?;
    let minutes = input.expires_in_minutes.unwrap_or(MINUTES);
    if !(1..=MINUTES_MAX).contains(&minutes) {
        let message = format!("expiresInMinutes must be between 1 and {MINUTES_MAX}, got {minutes}.");
        return Err(Fault::invalid_parameter(message));
    }
    let until = desk.now + u64::from(minutes.unsigned_abs()) * 60_000;
    let until = if input.protection_enabled { until } else { 0 };
    let (found, mut failures) = find(&desk.state, &input.cluster, &input.tasks)?;
    let mut protected = Vec::new();
    for id in found {
        if until != 0 && is_blocked(&desk.state, id, desk.now) {
            let task = &desk.state.tasks[&id];
            failures.push(failure(&desk.state, task, "DEPLOYMENT_BLOCKED", BLOCKED));
            continue;
        }
        if desk.state.tasks[&id].protected_until != until {
            desk.commit(Change::TaskProtected { id, until });
        }
        protected.push(shown(desk, id));
    }
    Ok(ecs::UpdateTaskProtectionResponse { protected_tasks: Some(protected), failures: Some(failures) })
}

/// GetTaskProtection.
pub(crate) fn get(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::GetTaskProtectionRequest,
) -> Result<ecs::GetTaskProtectionResponse, Fault> {
    let tasks = input.tasks.unwrap_or_default();
    check_names(&tasks, "Tasks", TASKS_MAX)?;
    let (found, failures) = find(&desk.state, &input.cluster, &tasks)?;
    let protected = found.into_iter().map(|id| shown(desk, id)).collect();
    Ok(ecs::GetTaskProtectionResponse { protected_tasks: Some(protected), failures: Some(failures) })
}

const BLOCKED: &str = "The service has a deployment that waits for other protected tasks. End their protection or let it \
                       expire, and try again.";

/// The tasks of services that are named, and failures for the others.
fn find(state: &State, cluster: &str, names: &[String]) -> Result<(Vec<TaskId>, Vec<ecs::Failure>), Fault> {
    let cluster = named::cluster(state, Some(cluster))?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match named::task(state, cluster, name)? {
            None if name.starts_with("arn:") => failures.push(missing(name.clone())),
            None => {
                let prefix = state.scope().cluster(&cluster.name).replace(":cluster/", ":task/");
                failures.push(missing(format!("{prefix}/{name}")));
            }
            Some(task) if task.service.is_none() => {
                let why = "The task is not part of a service. Only tasks of services can be protected.";
                failures.push(failure(state, task, "TASK_NOT_VALID", why));
            }
            Some(task) if task.desired == Desired::Stopped => {
                failures.push(failure(state, task, "TASK_NOT_VALID", "The task is stopping or has stopped."));
            }
            Some(task) => found.push(task.id),
        }
    }
    Ok((found, failures))
}

fn failure(state: &State, task: &Task, reason: &str, detail: &str) -> ecs::Failure {
    let (reason, detail) = (Some(reason.to_owned()), Some(detail.to_owned()));
    ecs::Failure { arn: Some(state.task_arn(task)), reason, detail }
}

/// Protecting one more task of an older deployment would keep a deployment waiting that waits already.
fn is_blocked(state: &State, id: TaskId, now: Millis) -> bool {
    let task = &state.tasks[&id];
    let service = task.service.and_then(|member| Some((state.services.get(&member.service)?, member.deployment)));
    let Some((service, deployment)) = service else { return false };
    let primary = service.primary().map(|primary| primary.number);
    // Task sets are scaled each for itself: none waits for another.
    if service.external || primary == Some(deployment) || task.is_protected(now) {
        return false;
    }
    let others = state.live_service_tasks(service.id).filter(|task| task.service.map(|m| m.deployment) != primary);
    others.into_iter().any(|task| task.is_protected(now))
}

fn shown(desk: &Desk, id: TaskId) -> ecs::ProtectedTask {
    let task = &desk.state.tasks[&id];
    let protected = task.is_protected(desk.now);
    ecs::ProtectedTask {
        task_arn: Some(desk.state.task_arn(task)),
        protection_enabled: Some(protected),
        expiration_date: protected.then(|| Timestamp::from_millis(task.protected_until)),
    }
}
