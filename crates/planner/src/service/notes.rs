//! What befalls a service between its steps: tasks that end by themselves, tasks that find no place.

use model::Millis;
use model::failure::{is_hopeless, is_passing};
use model::service::{Rollout, SETTLED_MS, Service};
use model::task::Task;

/// Notes that a task of the service has ended by itself: a start that failed when it ended before it had settled. What is
/// to be said of it. One that ends so soon that its deployment was called COMPLETED too early takes that back.
pub fn note_end(service: &mut Service, task: &Task, now: Millis) -> Option<String> {
    service.steady = false;
    let membership = task.service?;
    let settled = task.times.started != 0 && now >= task.times.started + SETTLED_MS;
    let reason = task.stop.as_ref().map_or("", |stop| &stop.reason);
    let deployment = service.deployments.iter_mut().find(|d| d.number == membership.deployment)?;
    if !settled {
        let never_ran = task.times.started == 0;
        deployment.fail(task.times.created, never_ran && is_passing(reason), now);
        deployment.trouble = Some(format!("Task {} stopped: {reason}", task.id).into());
        deployment.hopeless |= never_ran && is_hopeless(reason);
        let early = !deployment.kept && now < deployment.completed_at + SETTLED_MS;
        if deployment.rollout == Rollout::Completed && early {
            (deployment.rollout, deployment.doubtful) = (Rollout::InProgress, true);
        }
    }
    deployment.updated_at = now;
    service.version += 1;
    Some(format!("(service {}) (task {}) stopped: {reason}", service.name, task.id))
}

/// Notes that a task could not be placed. The words are said once; the next try is due a second later, or when something
/// of the service changes.
pub fn note_unplaced(service: &mut Service, number: u64, code: &str, why: &str, now: Millis) -> Option<String> {
    const AGAIN_MS: Millis = 1_000;
    let deployment = service.deployments.iter_mut().find(|deployment| deployment.number == number)?;
    deployment.retry_at = now + AGAIN_MS;
    service.version += 1;
    // Other numbers are the same trouble.
    let trouble = format!("{code}: {why}");
    let said = deployment.trouble.as_deref().is_some_and(|known| known.starts_with(&format!("{code}: ")));
    deployment.trouble = Some(trouble.into());
    let subject = deployment.subject(&service.name);
    (!said).then(|| format!("(service {subject}) was unable to place a task because {why}."))
}
