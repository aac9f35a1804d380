//! A deleted service: its tasks stop, and then it is INACTIVE.

use super::Plan;
use super::tasks::Tasks;
use model::project::Health;
use model::service::{Service, ServiceStatus};
use model::state::State;

/// The next step of a service that was deleted.
pub(super) fn step(state: &State, service: &Service, health: Health) -> Plan {
    let tasks = Tasks::sort(state, service, None, health);
    let mut plan = Plan::default();
    for task in tasks.primary.iter().chain(&tasks.sick).chain(&tasks.older).chain(&tasks.lost) {
        plan.stops.push((task.id, "The service was deleted.".to_owned()));
    }
    let gone = state.live_service_tasks(service.id).next().is_none();
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
