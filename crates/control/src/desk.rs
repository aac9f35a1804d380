//! Where deciding happens: the state in memory, the time, fresh ids, and the batch that is being written.

use model::change::Change;
use model::row::Row;
use model::state::Touched;
use model::{Ids, InstanceId, Millis, State, TaskId};
use std::collections::BTreeSet;

/// Changes that become durable together, and the rows they touched.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One more than the batch before.
    pub index: u64,
    /// When it was decided.
    pub at: Millis,
    /// What happened.
    pub changes: Vec<Change>,
    /// What is to be written.
    pub rows: Vec<Row>,
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    pub state: State,
    pub ids: Ids,
    pub now: Millis,
    index: u64,
    changes: Vec<Change>,
    touched: BTreeSet<Touched>,
    dirty: BTreeSet<InstanceId>,
    accepted: Vec<TaskId>,
}

impl Desk {
    pub fn new(state: State, index: u64, ids: Ids) -> Self {
        let (changes, touched, dirty) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        Self { state, ids, now: 0, index, changes, touched, dirty, accepted: Vec::new() }
    }

    /// Puts a change into effect and into the batch.
    pub fn commit(&mut self, change: Change) {
        for touched in self.state.apply(&change) {
            if let Touched::Task(id) = &touched {
                self.mark(*id);
            }
            self.touched.insert(touched);
        }
        if let Change::TaskAccepted(task) = &change {
            self.accepted.push(task.id);
        }
        self.changes.push(change);
    }

    fn mark(&mut self, task: TaskId) {
        if let Some(task) = self.state.tasks.get(&task) {
            self.dirty.insert(task.instance);
        }
    }

    /// Instances for which something changed since the last call.
    pub fn take_dirty(&mut self) -> BTreeSet<InstanceId> {
        std::mem::take(&mut self.dirty)
    }

    /// Tasks accepted in this round that were not asked for before.
    pub fn take_accepted(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.accepted)
    }

    /// The number of the batch that must be durable before what is read now may be told.
    pub fn seen_index(&self) -> u64 {
        self.index + u64::from(!self.changes.is_empty())
    }

    /// Closes the batch.
    pub fn take_batch(&mut self) -> Option<Batch> {
        if self.changes.is_empty() {
            return None;
        }
        self.index += 1;
        self.accepted.clear();
        let touched = std::mem::take(&mut self.touched);
        Some(Batch {
            index: self.index,
            at: self.now,
            changes: std::mem::take(&mut self.changes),
            rows: touched.iter().map(|touched| self.state.row(touched)).collect(),
        })
    }

    /// Drops stopped tasks and client tokens whose time is up; a slice at a time, so that no round grows long.
    pub fn forget_what_lapsed(&mut self) {
        const SLICE: usize = 500;
        let tasks: Vec<_> = self.state.expired_tasks(self.now).take(SLICE).collect();
        tasks.into_iter().for_each(|id| self.commit(Change::TaskForgotten(id)));
        let lapsed = self.state.lapsed_tokens(self.now).take(SLICE);
        let tokens: Vec<_> = lapsed.map(|(cluster, token)| (cluster, token.into())).collect();
        tokens.into_iter().for_each(|(cluster, token)| self.commit(Change::ClientTokenLapsed { cluster, token }));
    }
}
