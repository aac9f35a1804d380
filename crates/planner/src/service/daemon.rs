//! A step of a DAEMON service: one task on each instance that may have one. Its count is the number of those instances, so
//! that it follows them. A task makes room for its successor before that starts: no instance ever has two.

use super::progress::{acting, advance, waits_to_begin};
use super::rolling::{next_look, note_sick, waits};
use super::settle::settle;
use super::tasks::Tasks;
use super::{Draft, Plan};
use crate::place::verdicts;
use model::project::Health;
use model::reason::Reason;
use model::service::{Rollout, Service};
use model::state::State;
use model::task::Task;
use model::{InstanceId, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// The next step of an ACTIVE service that is on every instance.
pub(super) fn step(state: &State, service: &Service, health: Health) -> Plan {
    let mut draft = Draft::new(state, service);
    advance(state, &mut draft, health.now);
    let acting = acting(&draft);
    let hosts = hosts(state, &draft.service, acting, health.now);
    draft.service.desired = hosts.len() as u32;
    let tasks = Tasks::sort(state, &draft.service, acting, health);
    let mut plan = Plan { of: acting.unwrap_or(0), ..Plan::default() };
    leave(state, &hosts, &tasks, &mut plan);
    let given_up = tasks.deployment(&draft.service).is_none_or(|deployment| deployment.rollout == Rollout::Failed);
    if !given_up && !waits_to_begin(&draft) {
        retire(&draft.service, &hosts, &tasks, &mut plan);
        for task in &tasks.sick {
            plan.stops.push((task.id, "Task failed container health checks".to_owned()));
            note_sick(&mut draft, acting, task, health.now);
        }
        if !waits(&draft.service, &tasks) {
            plan.places = free(state, service, &hosts);
            plan.starts = plan.places.len() as u32;
        }
    }
    settle(state, &mut draft, &tasks, &plan);
    plan.wake = next_look(&draft, &tasks);
    draft.finish(state, &mut plan);
    plan
}

/// The instances that are to have a task, and whether their agents are there. Room has no part in it: an instance without
/// room is one that a task is missing on.
fn hosts(state: &State, service: &Service, acting: Option<u64>, now: Millis) -> BTreeMap<InstanceId, bool> {
    let deployment = service.deployments.iter().find(|deployment| Some(deployment.number) == acting);
    let definition = deployment.and_then(|deployment| state.definitions.get(&deployment.definition));
    let Some(definition) = definition else { return BTreeMap::new() };
    let ask = super::ask(service, definition);
    let lacks_only_room = |reason: &Reason| match reason {
        Reason::NoInstances | Reason::NotActive | Reason::Attribute { .. } | Reason::MemberOf { .. } => false,
        Reason::AgentDisconnected | Reason::DistinctInstance | Reason::Addresses => true,
        Reason::Cpu { .. } | Reason::Memory { .. } | Reason::Port { .. } | Reason::Gpus { .. } => true,
    };
    let fitting = verdicts(state, now, &ask).into_iter().filter(|verdict| verdict.reasons.iter().all(lacks_only_room));
    // An agent that never came may never come: its host is another one's by now.
    let came = |id: &InstanceId| state.instances.get(id).is_some_and(|i| i.connected || i.connection_at != 0);
    let there = |reasons: &[Reason]| !reasons.contains(&Reason::AgentDisconnected);
    fitting.filter(|v| came(&v.instance)).map(|v| (v.instance, there(&v.reasons))).collect()
}

/// Stops tasks on instances that are to have none. On one that drains the task is the last to go.
fn leave(state: &State, hosts: &BTreeMap<InstanceId, bool>, tasks: &Tasks<'_>, plan: &mut Plan) {
    let all = tasks.primary.iter().chain(&tasks.sick).chain(&tasks.older);
    let misplaced = all.filter(|task| task.instance.is_some_and(|id| !hosts.contains_key(&id)));
    for task in misplaced {
        let instance = task.instance.and_then(|id| state.instances.get(&id));
        let draining = instance.filter(|instance| instance.is_draining());
        let others = |task: &Task| !is_daemons(state, task);
        if draining.is_some_and(|instance| state.live_instance_tasks(instance.id).any(others)) {
            continue;
        }
        plan.stops.push((task.id, "The container instance is not one that the service runs on.".to_owned()));
    }
}

fn is_daemons(state: &State, task: &Task) -> bool {
    let service = task.service.and_then(|member| state.services.get(&member.service));
    service.is_some_and(|service| service.daemon)
}

/// Stops tasks of older deployments: those that are not healthy, and as many others as the lower bound allows.
fn retire(service: &Service, hosts: &BTreeMap<InstanceId, bool>, tasks: &Tasks<'_>, plan: &mut Plan) {
    let here = |task: &&&Task| task.instance.is_some_and(|id| hosts.contains_key(&id));
    let older: Vec<&Task> = tasks.older.iter().filter(here).copied().collect();
    let healthy = tasks.healthy(&tasks.primary) + tasks.healthy(&older);
    let spare = healthy.saturating_sub(service.lower_bound()) as usize;
    let reason = format!("Scaling activity initiated by deployment {}", tasks.deployment_id(service));
    let (well, ill): (Vec<&Task>, Vec<&Task>) =
        older.iter().filter(|task| !tasks.spares(task)).copied().partition(|task| tasks.health.is_healthy(task));
    let stops = ill.into_iter().chain(tasks.by_worth(&well).into_iter().take(spare));
    plan.stops.extend(stops.map(|task| (task.id, reason.clone())));
}

/// Instances without a task of the service, not even a stopping one, whose agents are there.
fn free(state: &State, service: &Service, hosts: &BTreeMap<InstanceId, bool>) -> Vec<InstanceId> {
    let live = state.live_service_tasks(service.id);
    let taken: BTreeSet<InstanceId> = live.filter_map(|task| task.instance).collect();
    hosts.iter().filter(|(id, there)| **there && !taken.contains(*id)).map(|(id, _)| *id).collect()
}
