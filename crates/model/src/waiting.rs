//! Tasks that wait for room: accepted, PROVISIONING, and on no instance yet.
//!
//! Such a task keeps what its next try needs, and why the last one failed. It books nothing.

use crate::Millis;
use crate::gpu::Gpus;
use crate::group::Group;
use crate::ids::{ClusterId, InstanceId, TaskId};
use crate::placement::Placement;
use crate::state::State;
use crate::task::{Eni, Phase, Task, TaskStatus};
use serde::{Deserialize, Serialize};
use std::ops::Bound;

/// Tasks of one cluster that may wait (service quotas: tasks in the PROVISIONING state per cluster).
pub const WAITING_MAX: usize = 500;
/// A try that fails for the same reason is noted once in this time.
pub const NOTED_MS: Millis = 1_000;

/// Why a task waits, and what its next try needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Positions of the subnets it may be in.
    #[serde(default, skip_serializing_if = "<[u8]>::is_empty")]
    pub subnets: Box<[u8]>,
    /// Where it may go and where best.
    #[serde(default, skip_serializing_if = "Placement::is_empty")]
    pub placement: Placement,
    /// AWS's word for what the last try lacked.
    pub code: Box<str>,
    /// The same with instances and numbers.
    pub detail: Box<str>,
    /// When that was first so.
    pub first_seen: Millis,
    /// When it was last noted.
    pub last_seen: Millis,
    /// How often it was noted: at most once a second.
    pub count: u32,
}

impl Waiting {
    /// After the first try.
    pub fn new(at: Millis, subnets: &[u8], placement: &Placement, code: &str, detail: &str) -> Self {
        let (code, detail, placement) = (code.into(), detail.into(), placement.clone());
        Self { subnets: subnets.into(), placement, code, detail, first_seen: at, last_seen: at, count: 1 }
    }

    /// Whether a try that failed at `at` says something worth keeping.
    pub fn is_news(&self, at: Millis, code: &str, detail: &str) -> bool {
        *self.code != *code || *self.detail != *detail || at >= self.last_seen + NOTED_MS
    }

    /// After another try. Other numbers are the same reason, another rule is a new one.
    pub fn note(&mut self, at: Millis, code: &str, detail: &str) {
        if *self.code != *code {
            (self.first_seen, self.count) = (at, 0);
        }
        (self.code, self.detail) = (code.into(), detail.into());
        self.last_seen = at;
        self.count += 1;
    }
}

impl Task {
    /// Accepted, and on no instance.
    pub fn is_waiting(&self) -> bool {
        self.instance.is_none() && self.status != TaskStatus::Stopped
    }

    /// All that its next try depends on: of tasks with the same need, the oldest speaks for the others.
    pub fn need(&self) -> Box<str> {
        let waiting = self.waiting.as_deref();
        let asked = waiting.map(|waiting| (&waiting.subnets, &waiting.placement));
        let sizes = (self.definition, self.launch_type, self.cpu, self.memory);
        let gpus = self.gpus.as_ref().map(|gpus| &gpus.wanted);
        format!("{sizes:?} {gpus:?} {:?} {asked:?} {:?}", self.provider, Group::of(self)).into()
    }

    /// Gives it a place. One that has a place or has ended keeps what it has.
    pub fn take_place(&mut self, at: Millis, instance: InstanceId, eni: Option<Eni>, gpus: Option<Box<Gpus>>) {
        if !self.is_waiting() {
            return;
        }
        self.waiting = None;
        self.instance = Some(instance);
        self.phases[Phase::Placed as usize] = at;
        if eni.is_none() {
            self.status = self.status.max(TaskStatus::Pending);
        }
        self.eni = eni;
        self.gpus = gpus.or_else(|| self.gpus.take());
    }
}

impl State {
    /// The waiting tasks of a cluster, the oldest first.
    pub fn waiting_tasks(&self, cluster: ClusterId) -> impl Iterator<Item = &Task> {
        let (first, last) = ((cluster, 0, TaskId([0; 16])), (cluster, Millis::MAX, TaskId([0xff; 16])));
        self.index.waiting.range(first..=last).map(|(.., id)| &self.tasks[id])
    }

    /// The oldest waiting task of each need in a cluster.
    pub fn waiting_heads(&self, cluster: ClusterId) -> impl Iterator<Item = &Task> {
        let first = self.index.waiting_needs.range((cluster, Box::from(""), 0, TaskId([0; 16]))..).next();
        let heads = std::iter::successors(first, |(cluster, need, ..)| {
            let last = (*cluster, need.clone(), Millis::MAX, TaskId([0xff; 16]));
            self.index.waiting_needs.range((Bound::Excluded(last), Bound::Unbounded)).next()
        });
        heads.take_while(move |(known, ..)| *known == cluster).map(|(.., id)| &self.tasks[id])
    }

    /// The oldest that waits with that need.
    pub fn waiting_like(&self, cluster: ClusterId, need: &str) -> Option<&Task> {
        let first = (cluster, Box::from(need), 0, TaskId([0; 16]));
        let found = self.index.waiting_needs.range(first..).next();
        found.filter(|(owner, known, ..)| *owner == cluster && **known == *need).map(|(.., id)| &self.tasks[id])
    }

    /// The oldest that waits for the same as `task`: what its tries say is true of `task` too.
    pub fn waiting_for_the_same(&self, task: &Task) -> Option<&Task> {
        self.waiting_like(task.cluster, &task.need())
    }

    /// Clusters with waiting tasks.
    pub fn clusters_that_wait(&self) -> impl Iterator<Item = ClusterId> {
        self.clusters.keys().copied().filter(|id| self.waiting_tasks(*id).next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Change;
    use crate::row::Loader;
    use crate::task::tests::plain_task;
    use crate::task::{Desired, Stop, StopCode, TaskReport};

    fn waiting() -> Task {
        let waiting = Some(Box::new(Waiting::new(5, &[0], &Placement::default(), "RESOURCE:MEMORY", "none is free")));
        Task { instance: None, eni: None, waiting, phases: [5, 0, 0, 0, 0, 0, 0], ..plain_task() }
    }

    #[test]
    fn a_waiting_task_takes_a_place_once_and_hears_no_reports_before() {
        let (mut task, place) = (waiting(), plain_task());
        task.take_report(6, &TaskReport { status: Some(crate::task::ContainerStatus::Running), ..Default::default() });
        assert_eq!((task.status, task.is_waiting()), (TaskStatus::Provisioning, true));
        let (instance, other) = (place.instance.unwrap(), InstanceId([9; 16]));
        task.take_place(7, instance, place.eni.clone(), None);
        task.take_place(8, other, None, None);
        assert_eq!((task.instance, task.status, task.phases[1]), (Some(instance), TaskStatus::Provisioning, 7));
        assert_eq!((task.waiting, task.eni), (None, place.eni));
    }

    #[test]
    fn a_waiting_task_that_is_to_stop_has_stopped() {
        let mut task = waiting();
        task.want_stopped(9, Stop { code: StopCode::UserInitiated, reason: "enough".into() });
        assert_eq!((task.status, task.desired, task.times.stopped), (TaskStatus::Stopped, Desired::Stopped, 9));
        assert_eq!((task.stop.as_ref().unwrap().code, task.waiting.is_none()), (StopCode::UserInitiated, true));
        task.take_place(10, InstanceId([9; 16]), None, None);
        assert_eq!(task.instance, None);
    }

    #[test]
    fn the_queue_is_by_age_counts_as_pending_and_is_the_same_after_a_restart() {
        let mut ids = crate::Ids::seeded(1);
        let vpc = crate::vpc::Vpc::plan(std::net::Ipv4Addr::new(10, 0, 0, 0), 16, "us-east-1", &mut ids);
        let (region, account) = ("us-east-1".into(), "000000000000".into());
        let mut state = State::new(crate::state::Meta { region, account, vpc, token_key: [0; 32] });
        let (mut young, mut old) = (waiting(), waiting());
        (young.id, young.times.created) = (TaskId([1; 16]), 20);
        (old.id, old.times.created) = (TaskId([2; 16]), 10);
        for task in [&young, &old] {
            state.apply(&Change::TaskAccepted(Box::new(task.clone())));
        }
        let heads = |state: &State| state.waiting_heads(young.cluster).map(|task| task.id).collect::<Vec<_>>();
        assert_eq!(heads(&state), [old.id], "the oldest speaks for all that need the same");
        let queue = |state: &State| state.waiting_tasks(young.cluster).map(|task| task.id).collect::<Vec<_>>();
        assert_eq!(queue(&state), [old.id, young.id]);
        assert_eq!(state.cluster_counts(young.cluster).pending, 2);
        let mut loader = Loader::default();
        state.rows().iter().for_each(|row| loader.take(row.kind, row.value.as_deref().unwrap()).unwrap());
        assert_eq!(queue(&loader.finish().unwrap().unwrap()), [old.id, young.id]);
        let instance = InstanceId([7; 16]);
        state.apply(&Change::TaskPlaced { id: old.id, at: 30, instance, eni: None, gpus: None });
        assert_eq!((queue(&state), heads(&state)), (vec![young.id], vec![young.id]));
        assert_eq!(state.instance_counts(instance).memory, old.memory);
    }

    #[test]
    fn a_reason_is_counted_and_another_begins_anew() {
        let mut waiting = Waiting::new(0, &[], &Placement::default(), "RESOURCE:MEMORY", "512 are free");
        assert!(!waiting.is_news(500, "RESOURCE:MEMORY", "512 are free") && waiting.is_news(500, "AGENT", ""));
        assert!(waiting.is_news(1_000, "RESOURCE:MEMORY", "512 are free"));
        waiting.note(1_000, "RESOURCE:MEMORY", "256 are free");
        assert_eq!((waiting.first_seen, waiting.last_seen, waiting.count), (0, 1_000, 2));
        waiting.note(2_000, "AGENT", "");
        assert_eq!((waiting.first_seen, waiting.last_seen, waiting.count), (2_000, 2_000, 1));
    }
}
