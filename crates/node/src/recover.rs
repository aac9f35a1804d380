//! What an earlier life of this node left on its host, made whole: finished where it can go on, undone where it cannot.

use crate::Millis;
use crate::entry::{Entry, Life, Stage, Wish};
use crate::hands::{Exit, FoundContainer};
use crate::report::Reports;
use link::acs;
use serde::{Deserialize, Serialize};

/// The version of the record's shape.
const VERSION: u32 = 1;

/// What `Command::Record` keeps.
#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    task: acs::Task,
}

/// A task directory.
pub(crate) struct Found {
    pub record: Option<String>,
    pub supervised: bool,
    pub containers: Vec<FoundContainer>,
    pub reported: Option<String>,
}

/// The record of a task.
pub(crate) fn record(task: &acs::Task) -> String {
    let record = Record { version: VERSION, task: task.clone() };
    serde_json::to_string(&record).expect("a record serialises")
}

fn read(text: &str) -> Option<acs::Task> {
    let record: Record = serde_json::from_str(text).ok()?;
    (record.version == VERSION).then_some(record.task)
}

/// The task of a directory. One whose record cannot be read is released and forgotten without a word: nobody can say
/// whose it was, and the control plane sends the task again if it still wants it.
pub(crate) fn entry(now: Millis, found: Found) -> Entry {
    let message = found.record.as_deref().and_then(read);
    let readable = message.is_some();
    let mut entry = Entry::assigned(message.unwrap_or_default());
    entry.life = Life::Held;
    entry.recorded = readable;
    entry.reports = Reports::told_before(found.reported.as_deref());
    if !readable {
        entry.reports = Reports::told_before(Some("STOPPED"));
        entry.stop_wanted = true;
        return entry;
    }
    let ran = !found.containers.is_empty() || found.reported.is_some();
    for container in &found.containers {
        take_container(&mut entry, container, found.supervised);
    }
    match (found.supervised, ran) {
        (true, _) => entry.supervisor = Wish::Ready(()),
        // Killed between record and supervisor: the start goes on as if nothing had happened.
        (false, false) => {}
        (false, true) => lose(now, &mut entry),
    }
    if entry.has_started() {
        entry.reports.news();
    }
    entry
}

fn take_container(entry: &mut Entry, found: &FoundContainer, supervised: bool) {
    let Some(held) = entry.containers.iter_mut().find(|held| held.name == found.name) else { return };
    held.runtime_id = Some(found.runtime_id.clone()).filter(|id| !id.is_empty());
    held.image = Wish::Ready(found.image_digest.clone());
    held.stage = match (&found.exit, supervised, found.started_at) {
        (Some(exit), _, _) => Stage::Stopped(told(exit)),
        (None, true, Some(_)) => Stage::Running,
        // Created and not started: the order is given again, and hands finish what was half done.
        (None, true, None) => Stage::Pending,
        // Who held it is gone: `lose` says so.
        (None, false, _) => Stage::Running,
    };
    if held.essential && matches!(held.stage, Stage::Stopped(_)) {
        entry.stop_wanted = true;
    }
}

fn told(exit: &Exit) -> Exit {
    let reason = if exit.out_of_memory { Some(crate::entry::OUT_OF_MEMORY.to_owned()) } else { exit.reason.clone() };
    Exit { reason, ..exit.clone() }
}

fn lost(now: Millis) -> Exit {
    Exit { code: None, out_of_memory: false, reason: Some("supervisor lost".to_owned()), at: now }
}

fn lose(now: Millis, entry: &mut Entry) {
    let running = |held: &crate::entry::Held| !matches!(held.stage, Stage::Stopped(_));
    if entry.containers.iter().any(running) {
        entry.fail("ResourceInitializationError: supervisor lost while the node was away".to_owned());
    }
    for held in entry.containers.iter_mut().filter(|held| running(held)) {
        held.stage = Stage::Stopped(lost(now));
    }
    entry.stop_wanted = true;
}
