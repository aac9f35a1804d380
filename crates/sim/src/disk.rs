//! The fake store: rows that are durable, batches on their way, and beside them a second state made of nothing but the
//! changes, which must always come to the same rows. It never reorders batches and never tears one.

use control::Batch;
use model::change::Change;
use model::row::{Loader, Row};
use model::state::Meta;
use model::task::StopCode;
use model::{InstanceId, Millis, State, TaskId, TaskStatus};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long clients are promised to see a stopped task. Said here once more, so that a change of the promise is seen.
pub(crate) const STOPPED_SHOWN_MS: Millis = 3_600_000;

/// The store.
#[derive(Debug)]
pub(crate) struct Disk {
    rows: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    on_their_way: VecDeque<Written>,
    /// Number of the last durable batch.
    pub index: u64,
    /// When it was decided, as the control plane had it.
    pub last_at: Millis,
    /// The changes of all durable batches, applied in order.
    pub history: State,
    /// Tasks that were forgotten.
    pub forgotten: BTreeSet<TaskId>,
    /// Tasks whose host was given up; what still runs of them is nobody's any more.
    pub lost: BTreeSet<TaskId>,
    /// When the attributes of an instance last changed.
    pub relabelled: BTreeMap<InstanceId, Millis>,
}

/// A batch as bytes.
#[derive(Debug)]
struct Written {
    index: u64,
    at: Millis,
    changes: Vec<String>,
    rows: Vec<Row>,
}

/// A batch that has become durable, read back.
#[derive(Debug)]
pub(crate) struct Durable {
    pub changes: Vec<Change>,
}

impl Disk {
    /// A store with a deployment that has nothing yet.
    pub fn format(meta: Meta) -> Self {
        let history = State::new(meta);
        let rows = history.rows().into_iter().filter_map(|row| Some(((row.kind.to_owned(), row.key), row.value?)));
        Self {
            rows: rows.collect(),
            on_their_way: VecDeque::new(),
            index: 0,
            last_at: 0,
            history,
            forgotten: BTreeSet::new(),
            lost: BTreeSet::new(),
            relabelled: BTreeMap::new(),
        }
    }

    /// The state as a start of the control plane finds it.
    pub fn load(&self) -> Result<State, String> {
        let mut loader = Loader::default();
        for ((kind, _), value) in &self.rows {
            loader.take(kind, value).map_err(|bad| format!("row {}: {}", bad.kind, bad.message))?;
        }
        let state = loader.finish().map_err(|bad| format!("row {}: {}", bad.kind, bad.message))?;
        state.ok_or_else(|| "the store is empty".to_owned())
    }

    /// Batches that are not settled.
    pub fn on_their_way(&self) -> usize {
        self.on_their_way.len()
    }

    /// Takes a batch. `Err`: its number is not the next one.
    pub fn take(&mut self, batch: Batch) -> Result<(), String> {
        let expected = self.on_their_way.back().map_or(self.index, |written| written.index) + 1;
        if batch.index != expected {
            return Err(format!("batch {} comes after batch {}", batch.index, expected - 1));
        }
        let changes = batch.changes.iter().map(serde_json::to_string).collect::<Result<_, _>>();
        let changes = changes.map_err(|error| format!("a change cannot be written: {error}"))?;
        self.on_their_way.push_back(Written { index: batch.index, at: batch.at, changes, rows: batch.rows });
        Ok(())
    }

    /// Makes the oldest batch durable.
    pub fn keep_oldest(&mut self, now: Millis) -> Result<Option<Durable>, String> {
        let Some(written) = self.on_their_way.pop_front() else { return Ok(None) };
        for row in written.rows {
            let key = (row.kind.to_owned(), row.key);
            match row.value {
                Some(value) => drop(self.rows.insert(key, value)),
                None => drop(self.rows.remove(&key)),
            }
        }
        let changes: Vec<Change> = written
            .changes
            .iter()
            .map(|text| serde_json::from_str(text).map_err(|error| format!("a change cannot be read: {error}: {text}")))
            .collect::<Result<_, _>>()?;
        for change in &changes {
            if let Change::TaskForgotten(id) = change {
                self.check_forgotten(*id, written.at)?;
            }
            self.history.apply(change);
            match change {
                Change::TaskForgotten(id) => drop(self.forgotten.insert(*id)),
                Change::TaskHostLost { id, .. } => drop(self.lost.insert(*id)),
                Change::InstanceAttributes { id, .. } => drop(self.relabelled.insert(*id, now)),
                _ => {}
            }
        }
        (self.index, self.last_at) = (written.index, written.at);
        Ok(Some(Durable { changes }))
    }

    fn check_forgotten(&self, id: TaskId, at: Millis) -> Result<(), String> {
        let over =
            |task: &model::Task| task.status == TaskStatus::Stopped && at >= task.times.stopped + STOPPED_SHOWN_MS;
        match self.history.tasks.get(&id).is_some_and(over) {
            true => Ok(()),
            false => Err(format!("task {id} is forgotten before its time")),
        }
    }

    /// Loses whatever is not settled.
    pub fn lose_rest(&mut self) {
        self.on_their_way.clear();
    }

    /// Where rows and history disagree, or what is derived from them.
    pub fn disagreement(&self) -> Option<String> {
        let mut told: BTreeMap<(String, Vec<u8>), Vec<u8>> = BTreeMap::new();
        for row in self.history.rows() {
            told.extend(row.value.map(|value| ((row.kind.to_owned(), row.key), value)));
        }
        let text = |bytes: Option<&Vec<u8>>| {
            bytes.map_or("nothing".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let keys: BTreeSet<_> = told.keys().chain(self.rows.keys()).collect();
        let Some(differs) = keys.into_iter().find(|key| told.get(*key) != self.rows.get(*key)) else {
            return match self.load() {
                Ok(loaded) => loaded.index_difference(&self.history).map(|found| format!("an index: {found}")),
                Err(error) => Some(error),
            };
        };
        let (row, change): (String, String) = (text(self.rows.get(differs)), text(told.get(differs)));
        Some(format!("{}: the rows say {row}, the changes say {change}", differs.0))
    }

    /// The task is durably STOPPED, or was and is forgotten, and not because its host was given up.
    pub fn is_stopped(&self, id: TaskId) -> bool {
        if self.lost.contains(&id) {
            return false;
        }
        let task = self.history.tasks.get(&id);
        let lost = |stop: &model::task::Stop| stop.code == StopCode::TerminationNotice;
        match task {
            Some(task) => task.status == TaskStatus::Stopped && !task.stop.as_ref().is_some_and(lost),
            None => self.forgotten.contains(&id),
        }
    }
}
