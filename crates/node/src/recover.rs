//! What an earlier life of this node left on its host, made whole: finished where it can go on, undone where it cannot.

use crate::Millis;
use crate::entry::{Entry, Life, Stage, Wish};
use crate::hands::{Exit, FoundContainer};
use crate::report::Reports;
use crate::restart;
use link::acs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the record's shape.
const VERSION: u32 = 1;

/// What `Command::Record` keeps.
#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    task: acs::Task,
    /// It ends, and must never be started again: the control plane may have been told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

/// How a task ended, for the report of a later life.
#[derive(Serialize, Deserialize)]
struct End {
    reason: Option<String>,
    execution_stopped: Millis,
    exits: BTreeMap<String, Exit>,
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
    write(&Record { version: VERSION, task: task.clone(), end: None })
}

/// The record of a task that ends.
pub(crate) fn end_record(entry: &Entry) -> String {
    let exits = entry.containers.iter().filter_map(|held| match &held.stage {
        Stage::Stopped(exit) => Some((held.name.clone(), exit.clone())),
        Stage::Pending | Stage::Starting | Stage::Running => None,
    });
    let end = End { reason: entry.reason.clone(), execution_stopped: entry.execution_stopped, exits: exits.collect() };
    write(&Record { version: VERSION, task: entry.message.clone(), end: Some(end) })
}

fn write(record: &Record) -> String {
    serde_json::to_string(record).expect("a record serialises")
}

fn read(text: &str) -> Option<Record> {
    let record: Record = serde_json::from_str(text).ok()?;
    (record.version == VERSION && !record.task.arn.is_empty()).then_some(record)
}

/// Whether a task's record can be read.
pub fn is_record(record: &str) -> bool {
    read(record).is_some()
}

/// The task of a directory. One whose record cannot be read is released and forgotten without a word: nobody can say
/// whose it was, and the control plane sends the task again if it still wants it.
pub(crate) fn entry(now: Millis, found: Found) -> Entry {
    let record = found.record.as_deref().and_then(read);
    let readable = record.is_some();
    let (message, end) = record.map(|record| (record.task, record.end)).unwrap_or_default();
    let mut entry = Entry::assigned(message);
    entry.life = Life::Held;
    entry.recorded = readable;
    entry.reports = Reports::told_before(found.reported.as_deref());
    if !readable {
        entry.reports = Reports::told_before(Some("STOPPED"));
        entry.stop_wanted = true;
        return entry;
    }
    if let Some(end) = end {
        return ended(now, entry, end);
    }
    let ran = !found.containers.is_empty() || found.reported.is_some();
    for container in &found.containers {
        take_container(&mut entry, container, found.supervised);
    }
    match (found.supervised, ran) {
        (true, _) => entry.supervisor = Wish::Ready(()),
        // Killed between record and supervisor, or the supervisor died before it wrote anything: its containers may still
        // run, and would run twice. Whatever is there is removed; then the start goes on as if nothing had happened.
        (false, false) => (entry.life, entry.undo_wanted) = (Life::Undoing, true),
        (false, true) => lose(now, &mut entry),
    }
    if entry.has_started() {
        entry.reports.news();
    }
    entry
}

/// A task whose end an earlier life had written down: nothing of it is started, whatever is left is released.
fn ended(now: Millis, mut entry: Entry, end: End) -> Entry {
    for held in &mut entry.containers {
        held.stage = Stage::Stopped(end.exits.get(&held.name).cloned().unwrap_or_else(|| lost(now)));
    }
    (entry.reason, entry.execution_stopped) = (end.reason, end.execution_stopped);
    (entry.stop_wanted, entry.end_recorded) = (true, true);
    entry
}

fn take_container(entry: &mut Entry, found: &FoundContainer, supervised: bool) {
    let policy = restart::policy(&entry.message, &found.name).cloned();
    let Some(held) = entry.containers.iter_mut().find(|held| held.name == found.name) else { return };
    held.runtime_id = Some(found.runtime_id.clone()).filter(|id| !id.is_empty());
    held.image = Wish::Ready(found.image_digest.clone());
    (held.started_at, held.restarts) = (found.started_at.unwrap_or(0), found.attempt);
    if let (Some(health), Some(at)) = (&mut held.health, found.started_at) {
        health.begin(at, false);
    }
    let again = |exit: &Exit| policy.as_ref().is_some_and(|policy| restart::again(policy, held.started_at, exit));
    held.stage = match (&found.exit, supervised, found.started_at) {
        // It ended while the node was away, or the node had no time to start it again.
        (Some(exit), true, _) if again(exit) => {
            held.restarts += 1;
            Stage::Pending
        }
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
