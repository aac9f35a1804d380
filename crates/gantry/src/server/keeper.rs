//! The second thread of the two in `core`: makes batches durable, as many as wait in one transaction, and then lets go what
//! was computed from them.

use super::core::{ROUND_MAX, Reply, ToCore, ToSession};
use super::durable::Store;
use super::questions::Question;
use crate::clock::Clock;
use anyhow::Result;
use control::{Caller, LogAccess, Refusal, SessionId, Stage};
use model::TaskId;
use model::change::Change;
use model::task::ContainerStatus;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use wire::http::{Answer, Call};
use wire::{Fault, gantry};

/// The store rests when nothing came for this long.
const REST: Duration = Duration::from_millis(500);
/// And after this longer rest, memory is given back that a burst has left.
const LONG_REST: Duration = Duration::from_secs(5);
/// Starts whose time is being taken.
const TIMED_MAX: usize = 4096;

/// What the first thread lets go once its batch is durable.
pub(super) enum Held {
    Answer(Reply<Answer, Fault>, Box<Result<Answer, Fault>>),
    /// The control plane has allowed it; the store answers.
    Question(Reply<Answer, Fault>, Question),
    /// A call to be tried on a copy of the control plane.
    Plan(Reply<gantry::PlanResponse, Fault>, Box<(Stage, Caller, Call)>),
    Connected(Reply<SessionId, Refusal>, Result<SessionId, Refusal>),
    Logs(Reply<LogAccess, Fault>, Result<LogAccess, Fault>),
    Groups(oneshot::Sender<Vec<LogAccess>>, Vec<LogAccess>),
    Session(mpsc::UnboundedSender<ToSession>, ToSession),
}

impl Held {
    /// Only the second thread can answer it.
    pub(super) fn needs_store(&self) -> bool {
        matches!(self, Self::Question(..))
    }
}

pub(super) enum ToStore {
    Round { number: u64, generation: u64, batch: Option<control::Batch>, held: Vec<Held> },
    Started { task: TaskId, received: Instant },
    Load { reply: Sender<Result<(model::State, u64)>> },
    Probe { done: Sender<bool> },
    Stop { done: Sender<()> },
}

/// What a caller is told when nothing can be written.
pub(super) fn store_fault(cause: &str) -> Fault {
    Fault::new("ServerException", 500, format!("The server cannot write its store, nothing was changed: {cause}"))
}

/// The second thread.
pub(super) struct Keeper {
    pub store: Store,
    pub clock: Clock,
    pub failed: Sender<ToCore>,
    /// The number of the last round that is durable and has left.
    pub settled: Arc<AtomicU64>,
    /// The generation of the last commit that failed, and why: its later rounds rest on what never was.
    pub void: Option<(u64, String)>,
    pub timed: HashMap<TaskId, Instant>,
}

impl Keeper {
    pub(super) fn run(mut self, rounds: &Receiver<ToStore>) {
        // How long the next rest may be; none: everything that is done in one has been.
        let mut rest = None;
        loop {
            let patience = rest.unwrap_or(Duration::from_secs(3600));
            let first = match rounds.recv_timeout(patience) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    rest = match rest {
                        Some(REST) => {
                            self.store.rest(self.clock.now());
                            Some(LONG_REST)
                        }
                        Some(_) => {
                            runtime::memory::give_back();
                            None
                        }
                        None => None,
                    };
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            rest = Some(REST);
            let mut group = Group::default();
            for message in std::iter::once(first).chain(rounds.try_iter().take(ROUND_MAX)) {
                match message {
                    ToStore::Round { number, generation, batch, held } => group.take(number, generation, batch, held),
                    other => {
                        self.finish(std::mem::take(&mut group));
                        if !self.other(other) {
                            return;
                        }
                    }
                }
            }
            self.finish(group);
        }
    }

    fn other(&mut self, message: ToStore) -> bool {
        match message {
            ToStore::Started { task, received } => {
                if self.timed.len() >= TIMED_MAX {
                    self.timed.clear();
                }
                self.timed.insert(task, received);
            }
            ToStore::Load { reply } => drop(reply.send(self.store.load())),
            ToStore::Probe { done } => drop(done.send(self.store.probe().is_ok())),
            ToStore::Stop { done } => {
                self.store.rest(self.clock.now());
                let _ = done.send(());
                return false;
            }
            ToStore::Round { .. } => {}
        }
        true
    }

    /// Makes a group durable and lets go what was held for it.
    fn finish(&mut self, group: Group) {
        if let Some((_, cause)) = self.void.as_ref().filter(|(generation, _)| *generation == group.generation) {
            group.held.into_iter().for_each(|held| refuse(held, cause));
            return;
        }
        let outcome = match group.batches.is_empty() {
            true => Ok(()),
            false => self.store.commit(&group.batches),
        };
        match outcome {
            Ok(()) => {
                self.tell_starts(&group.batches);
                for held in group.held {
                    match held {
                        Held::Question(reply, question) => drop(reply.send(question.answer(&mut self.store))),
                        held => release(held),
                    }
                }
                if let Some(number) = group.number {
                    self.settled.store(number, Ordering::Release);
                }
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::error!(cause, "a batch could not be made durable");
                self.void = Some((group.generation, cause.clone()));
                // Before its waiters hear of it: what they ask next is answered from what is durable.
                let _ = self.failed.send(ToCore::CommitFailed { generation: group.generation, cause: cause.clone() });
                group.held.into_iter().for_each(|held| refuse(held, &cause));
            }
        }
    }

    fn tell_starts(&mut self, batches: &[control::Batch]) {
        for change in batches.iter().flat_map(|batch| &batch.changes) {
            let Change::TaskReported { id, report, .. } = change else { continue };
            if report.status != Some(ContainerStatus::Running) {
                continue;
            }
            if let Some(received) = self.timed.remove(id) {
                let ms = received.elapsed().as_secs_f64() * 1000.0;
                tracing::info!(target: "gantry::start", task = %id, ms, "running and durable");
            }
        }
    }
}

/// Rounds that are made durable together.
#[derive(Default)]
struct Group {
    /// Of the last of them.
    number: Option<u64>,
    generation: u64,
    batches: Vec<control::Batch>,
    held: Vec<Held>,
}

impl Group {
    fn take(&mut self, number: u64, generation: u64, batch: Option<control::Batch>, held: Vec<Held>) {
        self.number = Some(number);
        self.generation = generation;
        self.batches.extend(batch);
        self.held.extend(held);
    }
}

pub(super) fn release(held: Held) {
    // A waiter that has gone away is no failure: what was decided stands.
    match held {
        Held::Answer(reply, answer) => drop(reply.send(*answer)),
        Held::Plan(reply, plan) => rehearse(reply, plan),
        // Answered by who has the store.
        Held::Question(..) => {}
        Held::Connected(reply, answer) => drop(reply.send(answer)),
        Held::Logs(reply, answer) => drop(reply.send(answer)),
        Held::Groups(reply, groups) => drop(reply.send(groups)),
        Held::Session(sender, message) => drop(sender.send(message)),
    }
}

/// A plan may take long where much follows from a call: it is made on a thread of its own, on a copy.
fn rehearse(reply: Reply<gantry::PlanResponse, Fault>, plan: Box<(Stage, Caller, Call)>) {
    let made = std::thread::Builder::new().name("plan".into()).spawn(move || {
        let (stage, caller, call) = *plan;
        drop(reply.send(stage.rehearse(&caller, call)));
    });
    if let Err(error) = made {
        tracing::error!(%error, "no thread for a plan");
    }
}

fn refuse(held: Held, cause: &str) {
    match held {
        Held::Answer(reply, _) | Held::Question(reply, _) => drop(reply.send(Err(store_fault(cause)))),
        Held::Logs(reply, _) => drop(reply.send(Err(store_fault(cause)))),
        Held::Plan(reply, _) => drop(reply.send(Err(store_fault(cause)))),
        // Who asked hears that nobody answers.
        Held::Groups(reply, _) => drop(reply),
        Held::Connected(reply, _) => {
            let message = store_fault(cause).message;
            drop(reply.send(Err(Refusal { kind: "ServerException", message })));
        }
        Held::Session(sender, _) => {
            let reason = "the server must reload".to_owned();
            drop(sender.send(ToSession::Close { code: 1011, reason }));
        }
    }
}
