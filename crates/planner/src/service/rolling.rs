//! A step of a service whose deployments roll: what it starts, what it stops, and when to look again.

use super::progress::{acting, advance, holds, waits_to_begin};
use super::settle::settle;
use super::tasks::Tasks;
use super::{Draft, Plan, balance};
use model::Millis;
use model::project::Health;
use model::service::{Rollout, SETTLED_MS, Service};
use model::service_deployment::HookStatus;
use model::state::State;
use model::task::Task;

/// The next step of an ACTIVE service that rolls.
pub(super) fn step(state: &State, service: &Service, health: Health) -> Plan {
    let mut draft = Draft::new(state, service);
    advance(state, &mut draft, health.now);
    let tasks = Tasks::sort(state, &draft.service, acting(&draft), health);
    balance::interrupt(&mut draft, &tasks);
    let mut plan = Plan { of: tasks.acting.unwrap_or(0), ..Plan::default() };
    let sick = move_tasks(&draft, &tasks, &mut plan);
    sick.into_iter().for_each(|task| note_sick(&mut draft, tasks.acting, task, health.now));
    let uneven = balance::step(state, &mut draft, &tasks, &mut plan);
    settle(state, &mut draft, &tasks, &plan);
    plan.wake = next_look(&draft, &tasks).into_iter().chain(uneven).min();
    let alone = tasks.older.is_empty() && tasks.sick.is_empty() && tasks.lost.is_empty();
    let full = tasks.primary.len() as u32 + plan.starts == draft.service.desired && !draft.service.rebalance;
    draft.finish(state, &mut plan);
    // A task that has just been started changes nothing before it runs, where nothing waits for it.
    plan.last = plan.starts > 0 && alone && full && plan.stops.is_empty() && plan.deployment.is_none();
    plan
}

/// What is started and stopped. Those that fail their checks and are to go.
pub(super) fn move_tasks<'a>(draft: &Draft, tasks: &Tasks<'a>, plan: &mut Plan) -> Vec<&'a Task> {
    let service = &draft.service;
    let given_up = tasks.deployment(service).is_none_or(|deployment| deployment.rollout == Rollout::Failed);
    stop_surplus(service, tasks, plan);
    if given_up || waits_to_begin(draft) {
        return Vec::new();
    }
    if plan.stops.is_empty() {
        start_missing(service, tasks, plan);
        retire(service, tasks, holds(draft), plan);
    }
    stop_lost(service, tasks, plan);
    stop_sick(service, tasks, plan)
}

/// Tasks on hosts that have been away for too long stay as they are until others do their work: should the host come
/// back before that, nothing has happened.
fn stop_lost(service: &Service, tasks: &Tasks<'_>, plan: &mut Plan) {
    if tasks.healthy(&tasks.primary) >= service.desired {
        let why = "The host of the task has been away for too long, and others have taken its place.";
        plan.stops.extend(tasks.lost.iter().map(|task| (task.id, why.to_owned())));
    }
}

/// More tasks than wanted, and all of the PRIMARY deployment's: scaled in, but for those that are protected. As some of these
/// may not be healthy, the lower bound may keep others.
fn stop_surplus(service: &Service, tasks: &Tasks<'_>, plan: &mut Plan) {
    let extra = u32::from(balance::holds(service, tasks));
    let surplus = (tasks.primary.len() as u32).saturating_sub(service.desired.saturating_add(extra));
    let reason = format!("Scaling activity initiated by deployment {}", tasks.deployment_id(service));
    let healthy = tasks.healthy(&tasks.primary) + tasks.healthy(&tasks.older);
    let mut spare = healthy.saturating_sub(service.lower_bound());
    for task in tasks.scale_in(surplus as usize) {
        if tasks.health.is_healthy(task) {
            let Some(left) = spare.checked_sub(1) else { continue };
            spare = left;
        }
        plan.stops.push((task.id, reason.clone()));
    }
}

fn start_missing(service: &Service, tasks: &Tasks<'_>, plan: &mut Plan) {
    let missing = service.desired.saturating_sub(tasks.primary.len() as u32);
    // With nothing to replace there is nothing to bound: the count is simply kept.
    let replaces = !tasks.older.is_empty() || !tasks.sick.is_empty();
    let room = if replaces { service.upper_bound().saturating_sub(tasks.live()) } else { missing };
    plan.starts = if waits(service, tasks) { 0 } else { missing.min(room) };
}

pub(super) fn waits(service: &Service, tasks: &Tasks<'_>) -> bool {
    tasks.deployment(service).is_some_and(|deployment| deployment.retry_at > tasks.health.now)
}

/// Stops tasks that fail their checks when healthy ones have made them redundant, or at once where their replacements
/// need their room. As they are not healthy, no bound keeps them.
fn stop_sick<'a>(service: &Service, tasks: &Tasks<'a>, plan: &mut Plan) -> Vec<&'a Task> {
    let sick = tasks.sick.len() as u32;
    let redundant = (tasks.healthy(&tasks.primary).min(service.desired) + sick).saturating_sub(service.desired);
    let missing = service.desired.saturating_sub(tasks.primary.len() as u32).saturating_sub(plan.starts);
    let blocked = if waits(service, tasks) { 0 } else { missing };
    let most = service.upper_bound().max(service.desired);
    let over = (tasks.primary.len() as u32 + sick).saturating_sub(most);
    let stopped = redundant.max(blocked).max(over).min(sick) as usize;
    let stopped: Vec<&Task> = tasks.by_worth(&tasks.sick).into_iter().take(stopped).collect();
    plan.stops.extend(stopped.iter().map(|task| (task.id, "Task failed container health checks".to_owned())));
    stopped
}

/// A task that fails its checks counts as a failed start, as on AWS: one that always does is tried with patience.
pub(super) fn note_sick(draft: &mut Draft, acting: Option<u64>, task: &Task, now: Millis) {
    let (task, created) = (task.id, task.times.created);
    draft.say(format_args!("(task {task}) failed container health checks."));
    draft.service.steady = false;
    if let Some(deployment) = draft.service.deployments.iter_mut().find(|known| Some(known.number) == acting) {
        deployment.fail(created, false, now);
        deployment.trouble = Some(format!("Task {task} failed container health checks").into());
        deployment.updated_at = now;
    }
}

/// Stops tasks of older deployments: all that are not healthy, as nobody misses them; those that healthy newer ones
/// have made redundant, unless something `holds` them; and as many as the lower bound allows where newer ones need their
/// room.
fn retire(service: &Service, tasks: &Tasks<'_>, holds: bool, plan: &mut Plan) {
    let reason = format!("Scaling activity initiated by deployment {}", tasks.deployment_id(service));
    let (sick, healthy): (Vec<&Task>, Vec<&Task>) = tasks.older.iter().partition(|task| !tasks.health.is_healthy(task));
    let all_healthy = tasks.healthy(&tasks.primary) + healthy.len() as u32;
    let redundant = if holds { 0 } else { all_healthy.saturating_sub(service.desired) };
    let missing = service.desired.saturating_sub(tasks.primary.len() as u32).saturating_sub(plan.starts);
    let blocked = if sick.is_empty() { missing } else { missing.saturating_sub(sick.len() as u32) };
    let spare = all_healthy.saturating_sub(service.lower_bound());
    let retired = redundant.max(blocked).min(spare) as usize;
    let healthy: Vec<&Task> = healthy.into_iter().filter(|task| !tasks.spares(task)).collect();
    let sick = sick.into_iter().filter(|task| !tasks.spares(task));
    for task in sick.chain(tasks.by_worth(&healthy).into_iter().take(retired)) {
        plan.stops.push((task.id, reason.clone()));
    }
}

/// When a task will have proved healthy, when the grace of a failing one ends, when the next try is due, when failures are
/// forgotten, when a hook has waited long enough.
pub(super) fn next_look(draft: &Draft, tasks: &Tasks<'_>) -> Option<Millis> {
    let (now, service) = (tasks.health.now, &draft.service);
    let running = tasks.primary.iter().chain(&tasks.older).filter(|task| tasks.health.is_running(task));
    let unchecked = running.clone().filter(|task| task.passes_checks().is_none());
    let proofs = unchecked.map(|task| tasks.health.healthy_at(task));
    let graces = running.clone().filter(|task| task.is_unhealthy()).map(|task| service.grace_ends(task));
    let failing = service.primary().filter(|deployment| deployment.failures > 0 || deployment.doubtful);
    let settled = running.filter(|_| failing.is_some()).map(|task| task.times.started + SETTLED_MS);
    let retry = tasks.deployment(service).map(|deployment| deployment.retry_at);
    let hooks = draft.deployment.iter().filter(|known| known.is_paused()).flat_map(|known| &known.hooks);
    let hooks = hooks.filter(|hook| hook.status == HookStatus::AwaitingAction).map(|hook| hook.expires_at);
    let protected = tasks.primary.iter().chain(&tasks.older).map(|task| task.protected_until);
    let others = retry.into_iter().chain(protected).chain(tasks.next_loss);
    proofs.chain(graces).chain(settled).chain(others).chain(hooks).filter(|at| *at > now).min()
}
