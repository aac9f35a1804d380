//! What a service needs next: how many tasks to start, which to stop, and what has become of its deployments. Looks at
//! all of one service, decides, and says when to look again.
//!
//! No step leaves fewer healthy tasks than the lower bound, nor more tasks wanted RUNNING than the upper bound. Tasks
//! that are stopping count as neither. A step counts what it has itself decided.

use model::Millis;
use model::instance::Instance;
use model::project::Health;
use model::service::{Deployment, Rollout, SETTLED_MS, Service, ServiceStatus, backoff_ms};
use model::state::State;
use model::task::{Desired, Task, TaskStatus};
use model::{ServiceId, TaskId};

/// What is to be done for a service.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Tasks of the PRIMARY deployment to start.
    pub starts: u32,
    /// Tasks to stop, and the words for it.
    pub stops: Vec<(TaskId, String)>,
    /// The service as it is now, when anything about it has changed.
    pub service: Option<Service>,
    /// When to look again though nothing happened.
    pub wake: Option<Millis>,
}

/// Tasks of a service, sorted by what a step may do with them.
struct Tasks<'a> {
    primary: Vec<&'a Task>,
    /// Of the PRIMARY deployment too, but failing their health checks: replaced, then stopped.
    sick: Vec<&'a Task>,
    older: Vec<&'a Task>,
    health: Health,
}

impl<'a> Tasks<'a> {
    fn sort(state: &'a State, service: &Service, health: Health) -> Self {
        let number = service.primary().map(|deployment| deployment.number);
        let live = state.service_tasks(service.id).filter(|task| task.desired == Desired::Running);
        // A task on a host that drains is like one of an older deployment: replaced within the bounds.
        let stays = |task: &Task| !state.instances.get(&task.instance).is_some_and(Instance::is_draining);
        let (primary, older): (Vec<_>, Vec<_>) =
            live.partition(|task| task.service.map(|m| m.deployment) == number && stays(task));
        let (sick, primary) = primary.into_iter().partition(|task| health.is_sick(task, service));
        Self { primary, sick, older, health }
    }

    fn healthy(&self, tasks: &[&Task]) -> u32 {
        tasks.iter().filter(|task| self.health.is_healthy(task)).count() as u32
    }

    fn live(&self) -> u32 {
        (self.primary.len() + self.sick.len() + self.older.len()) as u32
    }

    /// Those that are missed least first: unhealthy ones, then the newest.
    fn by_worth(&self, tasks: &[&'a Task]) -> Vec<&'a Task> {
        let mut sorted = tasks.to_vec();
        sorted.sort_by_key(|task| (self.health.is_healthy(task), std::cmp::Reverse(task.times.created), task.id));
        sorted
    }
}

/// The next step of `service`.
pub fn reconcile(state: &State, id: ServiceId, health: Health) -> Plan {
    let Some(service) = state.services.get(&id) else { return Plan::default() };
    match service.status {
        ServiceStatus::Inactive => Plan::default(),
        ServiceStatus::Draining => drain(state, service, health),
        ServiceStatus::Active => keep(state, service, health),
    }
}

fn keep(state: &State, service: &Service, health: Health) -> Plan {
    let tasks = Tasks::sort(state, service, health);
    let mut plan = Plan { wake: next_look(service, &tasks), ..Plan::default() };
    let surplus = stop_surplus(service, &tasks, &mut plan);
    if surplus == 0 {
        start_missing(service, &tasks, &mut plan);
        retire(service, &tasks, &mut plan);
    }
    let sick = stop_sick(service, &tasks, &mut plan);
    let mut altered = service.clone();
    sick.into_iter().for_each(|task| note_sick(&mut altered, task, health.now));
    settle(state, &mut altered, &tasks, &plan);
    if altered != *service {
        altered.version += 1;
        plan.service = Some(altered);
    }
    plan
}

/// More tasks than wanted, and all of the PRIMARY deployment's: scaled in. How many it stops.
fn stop_surplus(service: &Service, tasks: &Tasks<'_>, plan: &mut Plan) -> u32 {
    let surplus = (tasks.primary.len() as u32).saturating_sub(service.desired);
    let reason = format!("Scaling activity initiated by deployment {}", primary_id(service));
    for task in tasks.by_worth(&tasks.primary).into_iter().take(surplus as usize) {
        plan.stops.push((task.id, reason.clone()));
    }
    surplus
}

fn start_missing(service: &Service, tasks: &Tasks<'_>, plan: &mut Plan) {
    let missing = service.desired.saturating_sub(tasks.primary.len() as u32);
    // With nothing to replace there is nothing to bound: the count is simply kept.
    let replaces = !tasks.older.is_empty() || !tasks.sick.is_empty();
    let room = if replaces { service.upper_bound().saturating_sub(tasks.live()) } else { missing };
    plan.starts = if waits(service, tasks) { 0 } else { missing.min(room) };
}

fn waits(service: &Service, tasks: &Tasks<'_>) -> bool {
    service.primary().is_some_and(|deployment| deployment.retry_at > tasks.health.now)
}

/// Stops tasks that fail their checks when healthy ones have made them redundant, or at once where their replacements
/// need their room. As they are not healthy, no bound keeps them.
fn stop_sick(service: &Service, tasks: &Tasks<'_>, plan: &mut Plan) -> Vec<TaskId> {
    let sick = tasks.sick.len() as u32;
    let redundant = (tasks.healthy(&tasks.primary).min(service.desired) + sick).saturating_sub(service.desired);
    let missing = service.desired.saturating_sub(tasks.primary.len() as u32).saturating_sub(plan.starts);
    let blocked = if waits(service, tasks) { 0 } else { missing };
    let most = service.upper_bound().max(service.desired);
    let over = (tasks.primary.len() as u32 + sick).saturating_sub(most);
    let stopped = redundant.max(blocked).max(over).min(sick) as usize;
    let stopped: Vec<TaskId> = tasks.by_worth(&tasks.sick).into_iter().take(stopped).map(|task| task.id).collect();
    plan.stops.extend(stopped.iter().map(|task| (*task, "Task failed container health checks".to_owned())));
    stopped
}

/// A task that fails its checks counts as a failed start, as on AWS: one that always does is tried with patience.
fn note_sick(service: &mut Service, task: TaskId, now: Millis) {
    service.steady = false;
    let message = format!("(service {}) (task {task}) failed container health checks.", service.name);
    service.say(now, message);
    if let Some(primary) = service.deployments.first_mut() {
        primary.failures += 1;
        primary.failed += 1;
        primary.retry_at = now + backoff_ms(primary.failures);
        primary.trouble = Some(format!("Task {task} failed container health checks").into());
        primary.updated_at = now;
    }
}

/// Stops tasks of older deployments: all that are not healthy, as nobody misses them; those that healthy newer ones
/// have made redundant; and as many as the lower bound allows where newer ones need their room.
fn retire(service: &Service, tasks: &Tasks<'_>, plan: &mut Plan) {
    let reason = format!("Scaling activity initiated by deployment {}", primary_id(service));
    let (sick, healthy): (Vec<&Task>, Vec<&Task>) = tasks.older.iter().partition(|task| !tasks.health.is_healthy(task));
    let all_healthy = tasks.healthy(&tasks.primary) + healthy.len() as u32;
    let redundant = all_healthy.saturating_sub(service.desired);
    let missing = service.desired.saturating_sub(tasks.primary.len() as u32).saturating_sub(plan.starts);
    let blocked = if sick.is_empty() { missing } else { missing.saturating_sub(sick.len() as u32) };
    let spare = all_healthy.saturating_sub(service.lower_bound());
    let retired = redundant.max(blocked).min(spare) as usize;
    for task in sick.into_iter().chain(tasks.by_worth(&healthy).into_iter().take(retired)) {
        plan.stops.push((task.id, reason.clone()));
    }
}

fn primary_id(service: &Service) -> String {
    service.primary().map(Deployment::id).unwrap_or_default()
}

/// Deployments without tasks go; the PRIMARY one is COMPLETED when the wanted number is healthy and nothing older is
/// left, not even stopping.
fn settle(state: &State, service: &mut Service, tasks: &Tasks<'_>, plan: &Plan) {
    let now = tasks.health.now;
    let alive = |number: u64| {
        let of_it = |task: &&Task| task.service.is_some_and(|m| m.deployment == number);
        state.service_tasks(service.id).filter(of_it).any(|task| task.status != TaskStatus::Stopped)
    };
    let keep: Vec<bool> = service.deployments.iter().enumerate().map(|(n, d)| n == 0 || alive(d.number)).collect();
    let mut kept = keep.iter();
    service.deployments.retain(|_| kept.next() == Some(&true));
    let steady = tasks.healthy(&tasks.primary) == service.desired
        && tasks.sick.is_empty()
        && tasks.primary.len() as u32 == service.desired
        && service.deployments.len() == 1
        && plan.stops.is_empty();
    let name = service.name.clone();
    let stuck = is_stuck(service, tasks, plan);
    let bounds = format!("minimumHealthyPercent {} and maximumPercent {}", service.minimum_healthy, service.maximum);
    let Some(primary) = service.deployments.first_mut() else { return };
    if stuck && primary.trouble.is_none() {
        let why = format!("{bounds} of {} tasks allow no step: raise one or lower the other", service.desired);
        primary.trouble = Some(why.as_str().into());
        service.say(now, format!("(service {name}) the deployment cannot go on: {why}."));
        return;
    }
    let settled = |task: &&Task| tasks.health.is_healthy(task) && task.times.started + SETTLED_MS <= now;
    if primary.failures > 0 && tasks.primary.iter().any(settled) {
        (primary.failures, primary.retry_at, primary.trouble) = (0, 0, None);
    }
    if !steady {
        service.steady = false;
        return;
    }
    if primary.rollout == Rollout::InProgress {
        primary.rollout = Rollout::Completed;
        primary.updated_at = now;
        primary.trouble = None;
        let id = primary.id();
        service.say(now, format!("(service {name}) (deployment {id}) deployment completed."));
    }
    if !service.steady {
        service.steady = true;
        service.say(now, format!("(service {name}) has reached a steady state."));
    }
}

/// Tasks are missing, none is on its way, and the bounds allow neither a start nor a stop.
fn is_stuck(service: &Service, tasks: &Tasks<'_>, plan: &Plan) -> bool {
    let missing = (tasks.primary.len() as u32) < service.desired;
    let coming = tasks.healthy(&tasks.primary) < tasks.primary.len() as u32;
    let idle = plan.starts == 0 && plan.stops.is_empty();
    let full = tasks.live() >= service.upper_bound();
    missing && idle && !coming && full && !tasks.older.is_empty()
}

fn drain(state: &State, service: &Service, health: Health) -> Plan {
    let tasks = Tasks::sort(state, service, health);
    let mut plan = Plan::default();
    for task in tasks.primary.iter().chain(&tasks.sick).chain(&tasks.older) {
        plan.stops.push((task.id, "The service was deleted.".to_owned()));
    }
    let gone = state.service_tasks(service.id).all(|task| task.status == TaskStatus::Stopped);
    if gone && plan.stops.is_empty() {
        let mut altered = service.clone();
        altered.status = ServiceStatus::Inactive;
        altered.inactive_at = health.now;
        altered.deployments.clear();
        altered.version += 1;
        plan.service = Some(altered);
    }
    plan
}

/// When a task will have proved healthy, when the grace of a failing one ends, when the next try is due, when failures are
/// forgotten.
fn next_look(service: &Service, tasks: &Tasks<'_>) -> Option<Millis> {
    let now = tasks.health.now;
    let running = tasks.primary.iter().chain(&tasks.older).filter(|task| tasks.health.is_running(task));
    let unchecked = running.clone().filter(|task| task.passes_checks().is_none());
    let proofs = unchecked.map(|task| tasks.health.healthy_at(task));
    let graces = running.clone().filter(|task| task.is_unhealthy()).map(|task| service.grace_ends(task));
    let failing = service.primary().filter(|deployment| deployment.failures > 0);
    let settled = running.filter(|_| failing.is_some()).map(|task| task.times.started + SETTLED_MS);
    let retry = service.primary().map(|deployment| deployment.retry_at);
    proofs.chain(graces).chain(settled).chain(retry).filter(|at| *at > now).min()
}

/// Notes that a task of the service has ended by itself: a start that failed when it ended before it had settled.
pub fn note_end(service: &mut Service, task: &Task, now: Millis) {
    service.steady = false;
    let Some(membership) = task.service else { return };
    let settled = task.times.started != 0 && now >= task.times.started + SETTLED_MS;
    let name = service.name.clone();
    let reason = task.stop.as_ref().map_or("", |stop| &stop.reason).to_owned();
    let Some(deployment) = service.deployments.iter_mut().find(|d| d.number == membership.deployment) else { return };
    if !settled {
        deployment.failures += 1;
        deployment.failed += 1;
        deployment.retry_at = now + backoff_ms(deployment.failures);
        deployment.trouble = Some(format!("Task {} stopped: {reason}", task.id).into());
    }
    deployment.updated_at = now;
    service.version += 1;
    service.say(now, format!("(service {name}) (task {}) stopped: {reason}", task.id));
}

/// Notes that a task could not be placed. The words are said once; the next try is due a second later, or when something
/// of the service changes.
pub fn note_unplaced(service: &mut Service, why: &str, now: Millis) {
    const AGAIN_MS: Millis = 1_000;
    let name = service.name.clone();
    let Some(deployment) = service.deployments.first_mut() else { return };
    deployment.retry_at = now + AGAIN_MS;
    let words = format!("(service {name}) was unable to place a task. Reason: {why}.");
    service.version += 1;
    if deployment.trouble.as_deref() != Some(why) {
        deployment.trouble = Some(why.into());
        service.say(now, words);
    }
}
