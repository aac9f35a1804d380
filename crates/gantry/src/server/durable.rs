//! The state on disk: batches of `control` as batches of `store`, and back.

use anyhow::{Context, Result, anyhow};
use model::State;
use model::change::Change;
use model::row::{Loader, Row, SCHEMA};
use model::state::{Meta, Touched};
use std::path::{Path, PathBuf};

/// A change that happened.
pub struct Past {
    /// Its batch.
    pub index: u64,
    /// Milliseconds since the epoch.
    pub at: u64,
    /// `None`: written by a version whose changes are not known here.
    pub change: Option<Change>,
}

#[derive(serde::Deserialize)]
struct Versioned {
    v: u32,
    change: Change,
}

/// An open store with a deployment in it.
pub struct Store {
    inner: store::Store,
    meta: Meta,
    last_at: u64,
    directory: PathBuf,
}

impl Store {
    /// Opens the store at `path`; in an empty one the deployment is made with what `first` gives.
    pub fn open(path: &Path, first: impl FnOnce() -> Result<Meta>) -> Result<Self> {
        let mut inner = store::Store::open(path)?;
        let (state, index) = read(&mut inner)?;
        let last_at = inner.last_at();
        let meta = match state {
            Some(state) => state.meta().clone(),
            None => {
                let meta = first()?;
                let row = State::new(meta.clone()).row(&Touched::Meta);
                let at = crate::clock::wall_ms();
                let opened = Change::Opened(Box::new(meta.clone()));
                inner.commit(&[encode(&control::Batch {
                    index: index + 1,
                    at,
                    changes: vec![opened],
                    rows: vec![row],
                })])?;
                meta
            }
        };
        let directory = path.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self { inner, meta, last_at, directory })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is fixed.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The time of the last batch: time never goes below it.
    pub fn last_at(&self) -> u64 {
        self.last_at
    }

    /// Everything that is durable, and the number of the last batch.
    pub fn load(&mut self) -> Result<(State, u64)> {
        let (state, index) = read(&mut self.inner)?;
        Ok((state.ok_or_else(|| anyhow!("the store is empty"))?, index))
    }

    /// Makes batches durable, all or none.
    pub fn commit(&mut self, batches: &[control::Batch]) -> Result<()> {
        let batches: Vec<store::Batch> = batches.iter().map(encode).collect();
        Ok(self.inner.commit(&batches)?)
    }

    /// Sees whether writing works, without changing anything.
    pub fn probe(&mut self) -> Result<()> {
        Ok(self.inner.probe()?)
    }

    /// The number of the last batch.
    pub fn last(&self) -> u64 {
        self.inner.last()
    }

    /// Changes of the history with the batch and time they belong to, in order: of up to `limit` batches from number
    /// `from` on. A change that this version cannot read is told as such.
    pub fn history(&mut self, from: u64, limit: usize) -> Result<Vec<Past>> {
        let mut all = Vec::new();
        for entry in self.inner.history(from, limit)? {
            for change in entry.changes {
                let read = serde_json::from_slice::<Versioned>(&change).ok();
                let change = read.filter(|read| read.v == SCHEMA).map(|read| read.change);
                all.push(Past { index: entry.index, at: entry.at, change });
            }
        }
        Ok(all)
    }

    /// Writes a whole copy to `to`, which must not exist. Commits wait meanwhile.
    pub fn backup(&mut self, to: &Path) -> Result<()> {
        Ok(self.inner.backup(to)?)
    }

    /// What is better done while nobody waits: a checkpoint, and a slice of old history.
    pub fn rest(&mut self, now: u64) {
        const HISTORY_MS: u64 = 30 * 86_400_000;
        const HISTORY_BYTES_MAX: u64 = 2 << 30;
        let rested = self
            .inner
            .checkpoint()
            .and_then(|()| self.inner.trim_history(now.saturating_sub(HISTORY_MS), HISTORY_BYTES_MAX).map(|_| ()));
        if let Err(error) = rested {
            tracing::warn!(%error, "the store could not be tidied");
        }
    }
}

fn read(inner: &mut store::Store) -> Result<(Option<State>, u64)> {
    let mut loader = Loader::default();
    let mut bad = None;
    let index = inner.load(|kind, _, value| {
        if let Err(error) = loader.take(kind, value) {
            bad.get_or_insert(error);
        }
    })?;
    let whole = match bad {
        Some(error) => Err(error),
        None => loader.finish(),
    };
    let state = whole.map_err(|error| anyhow!("a stored {} cannot be read: {}", error.kind, error.message));
    Ok((state.context("the store does not fit this version")?, index))
}

fn encode(batch: &control::Batch) -> store::Batch {
    // Our own types always serialise.
    let change = |change: &Change| {
        let versioned = serde_json::json!({"v": SCHEMA, "change": change});
        versioned.to_string().into_bytes()
    };
    let row = |row: &Row| store::Row { kind: row.kind.into(), key: row.key.clone(), value: row.value.clone() };
    store::Batch {
        index: batch.index,
        at: batch.at,
        changes: batch.changes.iter().map(change).collect(),
        rows: batch.rows.iter().map(row).collect(),
    }
}
