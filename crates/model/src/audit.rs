//! Named invariants of a state. They hold after every change; tests, the simulator and a start of the control plane ask.

use crate::state::State;
use crate::task::{ContainerStatus, Desired, EniStatus, TaskStatus};
use std::collections::BTreeMap;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// Where.
    pub detail: String,
}

/// All broken invariants of `state`.
pub fn audit(state: &State) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut broken = |invariant, detail: String| found.push(Violation { invariant, detail });
    let mut addresses = BTreeMap::new();
    let mut ports = BTreeMap::new();
    let mut gpus = BTreeMap::new();
    for task in state.tasks.values() {
        let stopped = task.status == TaskStatus::Stopped;
        if stopped && task.desired != Desired::Stopped {
            broken("a stopped task is wanted stopped", task.id.to_string());
        }
        if (task.desired == Desired::Stopped) != task.stop.is_some() {
            broken("a task that is to stop has a reason, and only such a task", task.id.to_string());
        }
        if stopped && task.containers.iter().any(|c| c.status != ContainerStatus::Stopped) {
            broken("a stopped task has no live container", task.id.to_string());
        }
        if !state.definitions.contains_key(&task.definition) {
            broken("a task's definition exists", task.id.to_string());
        }
        if task.instance.is_some_and(|instance| !state.instances.contains_key(&instance)) {
            broken("a task's instance exists", task.id.to_string());
        }
        if task.is_waiting() && (task.status != TaskStatus::Provisioning || task.eni.is_some()) {
            broken("a task without a place has not begun", task.id.to_string());
        }
        if task.is_waiting() != task.waiting.is_some() {
            broken("a task waits with a reason, and only such a task", task.id.to_string());
        }
        let live = task.eni.as_ref().filter(|eni| eni.status != EniStatus::Deleted);
        if let Some(other) = live.and_then(|eni| addresses.insert(eni.address, task.id)) {
            broken("no two interfaces share an address", format!("{} and {other}", task.id));
        }
        for port in task.ports.iter().filter(|_| !stopped) {
            let Some(instance) = task.instance else { continue };
            if let Some(other) = ports.insert((instance, *port), task.id) {
                broken("no port of a host is given to two tasks", format!("{port}: {} and {other}", task.id));
            }
        }
        let held = task.gpus.as_ref().filter(|_| !stopped).zip(task.instance);
        if let Some((held, instance)) = held {
            if held.ids().count() != held.count() as usize {
                broken("a task that has a place has all its GPUs", task.id.to_string());
            }
            for gpu in held.ids() {
                if let Some(other) = gpus.insert((instance, gpu), task.id) {
                    broken("no GPU of a host is given twice", format!("{gpu}: {} and {other}", task.id));
                }
            }
        }
    }
    for instance in state.instances.values() {
        let booked = state.instance_counts(instance.id);
        let (cpu, memory) = instance.fargate_capacity().unwrap_or((0, 0));
        if booked.cpu > cpu.max(instance.cpu) || booked.memory > memory.max(instance.memory) {
            broken("no instance is overcommitted", format!("{}: {booked:?}", instance.id));
        }
    }
    found
}
