//! Zones that have become uneven: a service at rest starts one task in a poorer zone and, when that is healthy, scaling in
//! takes one from the richest. One task at a time, never while anything else is going on.

use super::tasks::Tasks;
use super::{Draft, Plan};
use crate::place::{Place, place};
use model::Millis;
use model::room::Pool;
use model::service::{Rollout, Service};
use model::state::State;
use model::task::{LaunchType, Task};
use std::collections::BTreeMap;

/// A service that finds no place in its poorer zones looks again after this.
const AGAIN_MS: Millis = 60_000;

/// Nothing but balancing is going on: the deployment has come true, and there is one task too many at the most.
fn is_calm(draft: &Draft, tasks: &Tasks<'_>) -> bool {
    let service = &draft.service;
    let completed = service.primary().is_some_and(|primary| primary.rollout == Rollout::Completed);
    let alone = service.deployments.len() == 1 && draft.deployment.as_ref().is_none_or(|known| known.status.is_over());
    let others = [&tasks.sick, &tasks.older, &tasks.lost].iter().any(|others| !others.is_empty());
    let extra = (tasks.primary.len() as u32).checked_sub(service.desired);
    service.rebalance && completed && alone && !others && extra.is_some_and(|extra| extra <= 1)
}

/// What else happens to a service ends its balancing.
pub(super) fn interrupt(draft: &mut Draft, tasks: &Tasks<'_>) {
    draft.service.balancing &= is_calm(draft, tasks);
}

/// The task in the poorer zone has yet to become healthy: until then nothing is stopped for it.
pub(super) fn holds(service: &Service, tasks: &Tasks<'_>) -> bool {
    service.balancing && tasks.healthy(&tasks.primary) < tasks.primary.len() as u32
}

/// Starts a task where it makes the zones more even. When to look again if that cannot be.
pub(super) fn step(state: &State, draft: &mut Draft, tasks: &Tasks<'_>, plan: &mut Plan) -> Option<Millis> {
    let count = tasks.primary.len() as u32;
    let service = &draft.service;
    let rests = count == service.desired && tasks.healthy(&tasks.primary) == count;
    if plan.moves() || !rests || !is_calm(draft, tasks) || super::rolling::waits(service, tasks) {
        return None;
    }
    let zones = zones(state, service, tasks)?;
    let most = zones.values().max().copied().unwrap_or(0);
    let poorer = |zone: &str| zones.get(zone).is_some_and(|count| count + 1 < most);
    let shown: Vec<String> = zones.iter().map(|(zone, count)| format!("{count} tasks in {zone}")).collect();
    let shown = shown.join(", ");
    if !zones.keys().any(|zone| poorer(zone)) {
        if std::mem::take(&mut draft.service.balancing) {
            draft.say(format_args!("is AZ balanced with {shown}."));
        }
        return None;
    }
    let found = next_place(state, service, tasks.health.now).filter(|found| zone_of(state, found).is_some_and(poorer));
    // The richest zone must have a task to give.
    let richest = |task: &&&Task| state.task_zone(task).is_some_and(|zone| zones.get(zone) == Some(&most));
    let gives = tasks.primary.iter().filter(richest).any(|task| !tasks.spares(task));
    let Some(found) = found.filter(|_| gives && service.upper_bound() > count) else {
        draft.service.balancing = false;
        return Some(tasks.health.now + AGAIN_MS);
    };
    plan.starts = 1;
    // The address decides on Fargate, the instance elsewhere.
    plan.places = if service.launch_type == LaunchType::Fargate { Vec::new() } else { vec![found.instance] };
    if !std::mem::replace(&mut draft.service.balancing, true) {
        draft.say(format_args!("is not AZ balanced with {shown}. AZ Rebalancing in progress."));
    }
    None
}

/// Tasks in each zone that the service may be in; none where it is not known of all.
fn zones<'a>(state: &'a State, service: &Service, tasks: &Tasks<'a>) -> Option<BTreeMap<&'a str, u32>> {
    let mut zones: BTreeMap<&str, u32> = match service.subnets.is_empty() {
        true => state.pool_zones(Pool::Cluster(service.cluster)).flatten().map(|zone| (zone, 0)).collect(),
        false => {
            let subnets = &state.meta().vpc.subnets;
            let zone = |position: &u8| subnets.get(usize::from(*position)).map(|subnet| (&*subnet.zone, 0));
            service.subnets.iter().filter_map(zone).collect()
        }
    };
    for task in &tasks.primary {
        *zones.entry(state.task_zone(task)?).or_default() += 1;
    }
    Some(zones)
}

fn zone_of<'a>(state: &'a State, place: &Place) -> Option<&'a str> {
    match place.interface {
        Some((subnet, _)) => state.meta().vpc.subnets.get(usize::from(subnet)).map(|subnet| &*subnet.zone),
        None => state.instances.get(&place.instance)?.zone(),
    }
}

/// Where one more task would go: strategies that spread by zone begin with the poorest that takes it.
fn next_place(state: &State, service: &Service, now: Millis) -> Option<Place> {
    let definition = state.definitions.get(&service.primary()?.definition)?;
    place(state, now, &super::ask(service, definition)).ok()
}
