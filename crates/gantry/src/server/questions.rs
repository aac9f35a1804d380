//! What the store answers itself once the control plane has allowed the question: the history, and a backup. Asked on the
//! store's thread, after everything that was decided before is durable.

use super::durable::Store;
use model::project::history::told;
use wire::http::{Answer, Call};
use wire::{Fault, Timestamp, gantry};

/// Entries of one answer.
const ENTRIES_MAX: usize = 1000;
/// Batches read for one answer: what is looked for may be far back, and the store has other work.
const BATCHES_MAX: u64 = 20_000;
/// Batches read at once.
const SLICE: u64 = 500;
/// Where backups are written, beside the store.
pub const BACKUP: &str = "backup.db";

/// A question.
#[derive(Clone, Debug)]
pub enum Question {
    /// gantry:ListHistory
    History(gantry::ListHistoryRequest),
    /// gantry:CreateBackup
    Backup,
}

impl Question {
    /// The question in a call; `None`: the control plane answers it.
    pub fn of(call: &Call) -> Option<Self> {
        match call {
            Call::Gantry(gantry::Request::ListHistory(input)) => Some(Self::History((**input).clone())),
            Call::Gantry(gantry::Request::CreateBackup(_)) => Some(Self::Backup),
            _ => None,
        }
    }

    /// Answers it.
    pub fn answer(self, store: &mut Store) -> Result<Answer, Fault> {
        let failed = |error: anyhow::Error| {
            tracing::error!(error = format!("{error:#}"), "the store cannot answer");
            Fault::new("ServerException", 500, format!("The store cannot answer: {error:#}"))
        };
        match self {
            Self::History(input) => {
                let answer = history(store, &input).map_err(failed)?;
                Ok(Answer::Gantry(gantry::Response::ListHistory(Box::new(answer))))
            }
            Self::Backup => {
                Ok(Answer::Gantry(gantry::Response::CreateBackup(Box::new(backup(store).map_err(failed)?))))
            }
        }
    }
}

/// The newest entries first, those whose subject begins with what is asked for.
fn history(store: &mut Store, input: &gantry::ListHistoryRequest) -> anyhow::Result<gantry::ListHistoryResponse> {
    let wanted = usize::try_from(input.max_results.unwrap_or(100)).unwrap_or(0).clamp(1, ENTRIES_MAX);
    let newest = store.last() + 1;
    let before = input.before_index.and_then(|index| u64::try_from(index).ok()).unwrap_or(newest).min(newest);
    let about = input.about.as_deref().unwrap_or("");
    let (mut entries, mut end) = (Vec::new(), before);
    while end > 1 && entries.len() < wanted && before - end < BATCHES_MAX {
        let begin = end.saturating_sub(SLICE).max(1);
        let mut slice = store.history(begin, usize::try_from(end - begin)?)?;
        // What is older than all that is kept answers with what is kept, and that was told already.
        slice.retain(|past| past.index < end);
        if slice.is_empty() {
            end = 1;
            break;
        }
        end = begin;
        let mut last = 0;
        for past in slice.into_iter().rev() {
            // A batch is told whole.
            if entries.len() >= wanted && past.index != last {
                end = last;
                break;
            }
            let entry = entry(&past);
            if entry.subject.as_deref().is_some_and(|subject| subject.starts_with(about)) {
                entries.push(entry);
            }
            last = past.index;
        }
    }
    let next = (end > 1).then(|| i64::try_from(end)).transpose()?;
    Ok(gantry::ListHistoryResponse { entries: Some(entries), next_before_index: next })
}

fn entry(past: &super::durable::Past) -> gantry::HistoryEntry {
    let (kind, subject, detail) = match &past.change {
        Some(change) => {
            let told = told(change);
            (told.kind.to_owned(), told.subject, told.detail)
        }
        None => ("unknown".to_owned(), String::new(), "written by another version".to_owned()),
    };
    gantry::HistoryEntry {
        index: i64::try_from(past.index).ok(),
        at: Some(Timestamp::from_millis(past.at)),
        kind: Some(kind),
        subject: Some(subject),
        detail: Some(detail).filter(|detail| !detail.is_empty()),
    }
}

/// One backup is kept beside the store until the next: whoever asked for it copies it.
fn backup(store: &mut Store) -> anyhow::Result<gantry::CreateBackupResponse> {
    let path = store.directory().join(BACKUP);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    store.backup(&path)?;
    Ok(gantry::CreateBackupResponse {
        path: Some(path.to_string_lossy().into_owned()),
        commit_index: i64::try_from(store.last()).ok(),
    })
}
