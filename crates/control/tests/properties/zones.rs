//! Zones: whether a service that asks for it has its tasks spread, as far as there is room, and what that may cost.

use crate::checks::{Tasks, ceiling, drains, failing, is_allowed, used};
use model::instance::{Instance, InstanceStatus};
use model::service::{Rollout, Service};
use model::task::LaunchType;
use model::{Millis, State, TaskId, TaskStatus};
use std::collections::BTreeMap;

/// What evening out zones broke in a round: it is to cost no task.
pub fn check(was: &Tasks, is: &Tasks, (state, now): (&State, Millis), service: &Service) -> Option<String> {
    let completed = service.primary().is_some_and(|primary| primary.rollout == Rollout::Completed);
    if service.balancing && !(service.rebalance && completed && service.deployments.len() == 1) {
        return Some(format!("{} evens out its zones while something else goes on", service.name));
    }
    let fine = |id: &TaskId| {
        let task = &state.tasks[id];
        !drains(state, task) && !state.is_lost(task, now) && !failing(task)
    };
    let calm = service.deployments.len() == 1 && was.wanted.iter().chain(&is.wanted).all(fine);
    let mut stopped = was.wanted.difference(&is.wanted);
    let costs = stopped.any(|id| was.healthy.contains(id)) && is.healthy.len() < service.desired as usize;
    (was.balancing && calm && costs)
        .then(|| format!("{} evens out its zones and has {} healthy tasks left", service.name, is.healthy.len()))
}

/// Why the zones of a service at rest are not as even as they could be.
pub fn uneven(state: &State, service: &Service) -> Option<String> {
    let primary = service.primary().filter(|primary| primary.rollout == Rollout::Completed)?;
    let fargate = service.launch_type == LaunchType::Fargate;
    let most = u64::from(service.desired) * u64::from(service.maximum) / 100;
    // A host in a zone and an interface in another are of two minds.
    let told = fargate || service.subnets.is_empty();
    if !service.rebalance || !told || most <= u64::from(service.desired) {
        return None;
    }
    let needs = &state.definitions[&primary.definition].needs;
    let subnets = &state.meta().vpc.subnets;
    let mut zones: BTreeMap<&str, u32> = match fargate {
        true => service.subnets.iter().map(|position| (&*subnets[usize::from(*position)].zone, 0)).collect(),
        false => BTreeMap::new(),
    };
    let registered = || state.instances.values().filter(|instance| instance.status != InstanceStatus::Inactive);
    if !fargate {
        zones.extend(registered().filter_map(|instance| Some((instance.zone()?, 0))));
    }
    for task in state.service_tasks(service.id).filter(|task| task.status != TaskStatus::Stopped) {
        *zones.entry(state.task_zone(task)?).or_default() += 1;
    }
    let most = zones.values().max().copied()?;
    let takes = |instance: &Instance| {
        let ((cpu, memory), (cpu_used, memory_used)) = (ceiling(instance, service.launch_type), used(state, instance));
        let room = cpu_used + needs.cpu <= cpu && memory_used + needs.memory <= memory;
        let there = instance.status == InstanceStatus::Active && instance.connected && needs.ports.is_empty();
        room && there && is_allowed(state, service, instance, None)
    };
    let free = |zone: &str| {
        let mut mine = (0..).zip(subnets).filter(|(position, _)| service.subnets.contains(position));
        mine.any(|(position, subnet)| *subnet.zone == *zone && state.free_address(position).is_some())
    };
    let room = |zone: &str| match fargate {
        true => registered().any(takes) && free(zone),
        false => registered().any(|instance| instance.zone() == Some(zone) && takes(instance)),
    };
    let poor = zones.iter().find(|(zone, count)| **count + 1 < most && room(zone))?;
    Some(format!("its zones are uneven and there is room in {}: {zones:?}", poor.0))
}
