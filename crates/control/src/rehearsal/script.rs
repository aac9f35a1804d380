//! What happened in a rehearsal, as it is told.

use super::pace::short;
use model::change::Change;
use model::service::Rollout;
use model::task::{Desired, Task, TaskStatus};
use model::{InstanceId, Millis, ServiceId, State, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use wire::gantry::{PlanPeak, PlanStep};

/// The most that was booked on a host at once.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    tasks: u32,
    cpu: u32,
    memory: u32,
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) steps: Vec<PlanStep>,
    /// Tasks that do not exist yet, by what they are called: their ids will be others.
    names: BTreeMap<TaskId, String>,
    /// How far each task was told of.
    told: BTreeMap<TaskId, TaskStatus>,
    rollouts: BTreeMap<ServiceId, (u64, Rollout)>,
    /// Task sets that were seen, and whether they were steady.
    sets: BTreeMap<(ServiceId, u64), bool>,
    touched: BTreeSet<InstanceId>,
    peaks: BTreeMap<InstanceId, Peak>,
    absent: BTreeSet<InstanceId>,
}

impl Script {
    /// A host that does not answer has been given something to do.
    pub(super) fn absent(&mut self, host: InstanceId) {
        self.absent.insert(host);
    }

    /// Takes a change that was put into effect; the task that it moved, if any.
    pub(super) fn note(&mut self, state: &State, at: Millis, change: &Change) -> Option<TaskId> {
        match change {
            Change::TaskAccepted(task) => {
                self.names.insert(task.id, format!("new-{}", self.names.len() + 1));
                self.step(state, at, "START", state.tasks.get(&task.id)?, None);
                Some(task.id)
            }
            Change::TaskPlaced { id, .. } => {
                self.step(state, at, "PLACED", state.tasks.get(id)?, None);
                Some(*id)
            }
            Change::TaskStopWanted { id, stop, .. } => {
                self.step(state, at, "STOP", state.tasks.get(id)?, Some(&stop.reason));
                Some(*id)
            }
            Change::TaskReported { id, .. } | Change::TaskHostLost { id, .. } => {
                let task = state.tasks.get(id)?;
                let word = match task.status {
                    TaskStatus::Running => "RUNNING",
                    TaskStatus::Stopped => "STOPPED",
                    _ => return None,
                };
                if self.told.insert(*id, task.status) == Some(task.status) {
                    return None;
                }
                let reason = task.stop.as_ref().map(|stop| stop.reason.clone());
                self.step(state, at, word, task, reason.as_deref());
                Some(*id)
            }
            Change::TaskHealthReported { id, .. } => {
                self.step(state, at, "HEALTHY", state.tasks.get(id)?, None);
                Some(*id)
            }
            Change::ServiceCreated(service) | Change::ServiceUpdated(service) => {
                self.note_rollout(at, service);
                self.note_sets(at, service);
                None
            }
            _ => None,
        }
    }

    fn note_rollout(&mut self, at: Millis, service: &model::service::Service) {
        let Some(primary) = service.primary().filter(|_| !service.external) else { return };
        let now = (primary.number, primary.rollout);
        if self.rollouts.insert(service.id, now) != Some(now) && primary.rollout == Rollout::Completed {
            self.steps.push(PlanStep {
                at_ms: i64::try_from(at).ok(),
                action: Some("COMPLETED".to_owned()),
                service: Some(service.name.to_string()),
                detail: Some(format!("deployment of {} tasks", service.desired)),
                ..PlanStep::default()
            });
        }
    }

    fn note_sets(&mut self, at: Millis, service: &model::service::Service) {
        let sets = service.deployments.iter().filter_map(|known| Some((known, known.set.as_ref()?.steady)));
        for (deployment, steady) in sets {
            if self.sets.insert((service.id, deployment.number), steady) == Some(false) && steady {
                self.steps.push(PlanStep {
                    at_ms: i64::try_from(at).ok(),
                    action: Some("STEADY".to_owned()),
                    service: Some(service.name.to_string()),
                    detail: Some(format!("task set of {} tasks", deployment.computed(service.desired))),
                    ..PlanStep::default()
                });
            }
        }
    }

    fn step(&mut self, state: &State, at: Millis, action: &str, task: &Task, detail: Option<&str>) {
        self.touched.extend(task.instance);
        let service = task.service.and_then(|membership| state.services.get(&membership.service));
        let family = state.families.get(&task.definition.family).map_or("", |family| &family.name);
        self.steps.push(PlanStep {
            at_ms: i64::try_from(at).ok(),
            action: Some(action.to_owned()),
            task: Some(self.names.get(&task.id).cloned().unwrap_or_else(|| short(task.id))),
            task_definition: Some(format!("{family}:{}", task.definition.revision)),
            container_instance: task.instance.map(|instance| instance.to_string()),
            service: service.map(|service| service.name.to_string()),
            detail: detail.map(str::to_owned),
        });
    }

    /// Looks at what is booked now where something happened.
    pub(super) fn measure(&mut self, state: &State) {
        for id in &self.touched {
            let counts = state.instance_counts(*id);
            let peak = self.peaks.entry(*id).or_default();
            peak.tasks = peak.tasks.max(counts.pending + counts.running);
            peak.cpu = peak.cpu.max(counts.cpu);
            peak.memory = peak.memory.max(counts.memory);
        }
    }

    /// The most that was booked at once on each host that something happened on, and what it has.
    pub(super) fn peaks(&self, state: &State) -> Vec<PlanPeak> {
        let peak = |(id, peak): (&InstanceId, &Peak)| {
            let instance = state.instances.get(id)?;
            let (cpu, memory) = instance.fargate_capacity().unwrap_or((0, 0));
            Some(PlanPeak {
                container_instance: Some(id.to_string()),
                tasks: Some(peak.tasks.into()),
                cpu: Some(peak.cpu.into()),
                cpu_offered: Some(instance.cpu.max(cpu).into()),
                memory: Some(peak.memory.into()),
                memory_offered: Some(instance.memory.max(memory).into()),
            })
        };
        self.peaks.iter().filter_map(peak).collect()
    }

    /// Why what was to be brought about has not been: services that moved and are not there, tasks that wait for a host
    /// that does not answer.
    pub(super) fn blocked(&self, state: &State) -> Vec<String> {
        let open = |id: &ServiceId| {
            let service = state.services.get(id)?;
            let primary = service.primary()?;
            let live = state.service_tasks(*id).filter(|task| task.desired == Desired::Running).count();
            if primary.rollout == Rollout::Completed && live == service.desired as usize {
                return None;
            }
            let history = state.service_deployments.get(&(service.id, primary.history));
            if let Some(hook) = history.and_then(|deployment| deployment.awaited_hook()) {
                let stage = hook.stage.as_str();
                return Some(format!(
                    "service {}: waits at a hook in {stage} for ContinueServiceDeployment",
                    service.name
                ));
            }
            let why = primary.trouble.as_deref().unwrap_or("its tasks do not become healthy");
            Some(format!("service {}: {live} of {} tasks: {why}", service.name, service.desired))
        };
        let absent = |id: &InstanceId| {
            format!("container instance {id} is not connected: what is to happen there waits until it is, or is lost")
        };
        let unsteady = |(id, number): &(ServiceId, u64)| {
            let service = state.services.get(id)?;
            let deployment = service.deployments.iter().find(|known| known.number == *number)?;
            if deployment.set.as_ref()?.steady {
                return None;
            }
            let tasks = state.live_deployment_tasks(*id, *number);
            let live = tasks.filter(|task| task.desired == Desired::Running).count();
            let (name, wanted) = (&service.name, deployment.computed(service.desired));
            let why = deployment.trouble.as_deref().unwrap_or("its tasks do not become healthy");
            Some(format!("service {name}: {live} of {wanted} tasks of a task set: {why}"))
        };
        let sets = self.sets.keys().filter_map(unsteady);
        self.rollouts.keys().filter_map(open).chain(sets).chain(self.absent.iter().map(absent)).collect()
    }
}
