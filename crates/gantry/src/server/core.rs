//! Two threads. The first owns `control::Control`: it drains what has come in, decides, and hands the round's batch with
//! everything that was computed from it to the second. The second makes batches durable, as many as wait in one
//! transaction, and only then lets go what they were waited for. What leaves therefore leaves in order. Where all before it is
//! durable and has left, a round that changes nothing leaves at once.
//!
//! When a commit fails its waiters are told so, the first thread drops its memory and reloads what is durable, and writes
//! are refused until a commit succeeds again; reads go on.

use super::durable::Store;
use super::keeper::{Held, Keeper, ToStore, release, store_fault};
use super::questions::Question;
use crate::clock::Clock;
use anyhow::Result;
use control::{Caller, Connect, Control, Input, LogAccess, LogQuestion, Output, Refusal, SessionId};
use model::Ids;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};
use wire::http::{Answer, Call};
use wire::{Fault, gantry};

/// Inputs of one round.
pub(super) const ROUND_MAX: usize = 256;
/// Between tries to write after a failed commit.
const PROBE: Duration = Duration::from_secs(1);

pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// What a session is sent.
#[derive(Debug)]
pub enum ToSession {
    /// A frame.
    Frame(String),
    /// It is to end.
    Close {
        /// Websocket close code.
        code: u16,
        /// What the agent reads.
        reason: String,
    },
}

pub(super) enum ToCore {
    Request {
        caller: Caller,
        call: Call,
        received: Instant,
        reply: Reply<Answer, Fault>,
    },
    Logs {
        caller: Caller,
        question: LogQuestion,
        reply: Reply<LogAccess, Fault>,
    },
    Plan {
        caller: Caller,
        call: Call,
        reply: Reply<gantry::PlanResponse, Fault>,
    },
    LogGroups {
        reply: oneshot::Sender<Vec<LogAccess>>,
    },
    Connect {
        caller: Caller,
        connect: Connect,
        sender: mpsc::UnboundedSender<ToSession>,
        reply: Reply<SessionId, Refusal>,
    },
    Input(Input),
    Disconnected {
        session: SessionId,
    },
    CommitFailed {
        generation: u64,
        cause: String,
    },
    Stop {
        done: Sender<()>,
    },
}

/// Talks to the core.
#[derive(Clone)]
pub struct Handle {
    core: Sender<ToCore>,
    plans: Arc<Semaphore>,
    requests: Arc<AtomicU64>,
    boot: u64,
}

impl Handle {
    /// A fresh id for a request, in the shape of AWS's.
    pub fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let boot = self.boot;
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{number:012x}",
            boot >> 32,
            boot >> 16 & 0xffff,
            boot >> 4 & 0xfff,
            boot & 0xfff
        )
    }

    /// Decides a request; the answer comes when what it saw is durable.
    pub async fn request(&self, caller: Caller, call: Call, received: Instant) -> Result<Answer, Fault> {
        let (reply, answer) = oneshot::channel();
        let gone = || Fault::new("ServerException", 500, "The server is stopping.");
        self.core.send(ToCore::Request { caller, call, received, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// What a request would bring about; one at a time, as each takes a copy of the state.
    pub async fn plan(&self, caller: Caller, call: Call) -> Result<gantry::PlanResponse, Fault> {
        let gone = || Fault::new("ServerException", 500, "The server is stopping.");
        let _place = self.plans.acquire().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        self.core.send(ToCore::Plan { caller, call, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Which log group a request to streams or events means, when it may be made.
    pub async fn log_access(&self, caller: Caller, question: LogQuestion) -> Result<LogAccess, Fault> {
        let (reply, answer) = oneshot::channel();
        let gone = || Fault::new("ServerException", 500, "The server is stopping.");
        self.core.send(ToCore::Logs { caller, question, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Every log group; `None`: the server cannot tell now.
    pub async fn log_groups(&self) -> Option<Vec<LogAccess>> {
        let (reply, answer) = oneshot::channel();
        self.core.send(ToCore::LogGroups { reply }).ok()?;
        answer.await.ok()
    }

    /// Asks for a session.
    pub async fn connect(
        &self,
        caller: Caller,
        connect: Connect,
        sender: mpsc::UnboundedSender<ToSession>,
    ) -> Result<SessionId, Refusal> {
        let (reply, answer) = oneshot::channel();
        let gone = || Refusal { kind: "ServerException", message: "The server is stopping.".to_owned() };
        self.core.send(ToCore::Connect { caller, connect, sender, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Something that asks for no answer has arrived: a frame.
    pub fn take(&self, input: Input) {
        let _ = self.core.send(ToCore::Input(input));
    }

    /// A session has ended.
    pub fn disconnected(&self, session: SessionId) {
        let _ = self.core.send(ToCore::Disconnected { session });
    }

    /// Ends both threads once everything that was decided is durable.
    pub fn stop(&self) {
        let (done, ended) = channel();
        if self.core.send(ToCore::Stop { done }).is_ok() {
            let _ = ended.recv_timeout(Duration::from_secs(5));
        }
    }
}

/// Starts both threads.
pub fn start(mut store: Store, config: control::Config, clock: Clock) -> Result<Handle> {
    let (core, inputs) = channel();
    let (to_store, rounds) = channel();
    let (state, index) = store.load()?;
    for violation in model::audit::audit(&state) {
        tracing::error!(invariant = violation.invariant, detail = violation.detail, "the stored state is not sound");
    }
    let (failed, settled) = (core.clone(), Arc::new(AtomicU64::new(0)));
    let told = settled.clone();
    std::thread::Builder::new().name("store".into()).spawn(move || {
        Keeper { store, clock, failed, settled: told, void: None, timed: HashMap::new() }.run(&rounds)
    })?;
    let ids = Ids::from_entropy(crate::data_dir::random()?);
    let control = Control::new(clock.now(), config, state, index, ids);
    let decider = Decider {
        control: Some(control),
        clock,
        store: to_store,
        waiting: HashMap::new(),
        asking: HashMap::new(),
        listing: Vec::new(),
        planning: Vec::new(),
        connecting: HashMap::new(),
        sessions: HashMap::new(),
        next: 1,
        rounds: 0,
        settled,
        generation: 0,
        refused: None,
    };
    std::thread::Builder::new().name("control".into()).spawn(move || decider.run(&inputs))?;
    let boot = u64::from_le_bytes(crate::data_dir::random()?);
    Ok(Handle { core, plans: Arc::new(Semaphore::new(1)), requests: Arc::new(AtomicU64::new(0)), boot })
}

struct Decider {
    /// Always there between rounds.
    control: Option<Control>,
    clock: Clock,
    store: Sender<ToStore>,
    waiting: HashMap<u64, (Reply<Answer, Fault>, Option<Question>)>,
    asking: HashMap<u64, Reply<LogAccess, Fault>>,
    listing: Vec<oneshot::Sender<Vec<LogAccess>>>,
    /// Copies that are tried on once the round is durable.
    planning: Vec<Held>,
    connecting: HashMap<u64, (SessionId, Reply<SessionId, Refusal>)>,
    sessions: HashMap<SessionId, mpsc::UnboundedSender<ToSession>>,
    next: u64,
    /// Rounds handed on, and the last of them that is durable and has left.
    rounds: u64,
    settled: Arc<AtomicU64>,
    /// Raised by each reload: what was decided before it is void.
    generation: u64,
    /// Why writes are refused, and when to try again.
    refused: Option<(String, Instant)>,
}

impl Decider {
    fn run(mut self, inputs: &Receiver<ToCore>) {
        self.end_round();
        loop {
            let first = match inputs.recv_timeout(self.patience()) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for input in first.into_iter().chain(inputs.try_iter().take(ROUND_MAX)) {
                if let ToCore::Stop { done } = input {
                    self.end_round();
                    let _ = self.store.send(ToStore::Stop { done });
                    return;
                }
                self.take(input);
            }
            self.pass_time();
            self.end_round();
        }
    }

    fn control(&mut self) -> &mut Control {
        self.control.as_mut().expect("there between rounds")
    }

    fn patience(&mut self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(3600);
        if let Some((_, again)) = &self.refused {
            return again.saturating_duration_since(Instant::now());
        }
        let now = self.clock.now();
        let wake = self.control().next_wake();
        wake.map_or(LONGEST, |wake| Duration::from_millis(wake.saturating_sub(now)).min(LONGEST))
    }

    fn pass_time(&mut self) {
        let now = self.clock.now();
        match &self.refused {
            Some((cause, again)) if *again <= Instant::now() => {
                let cause = cause.clone();
                // Reads that came in this round are answered first.
                self.end_round();
                self.reload(cause, true);
            }
            Some(_) => {}
            None => {
                if self.control().next_wake().is_some_and(|wake| wake <= now) {
                    self.control().handle_time(now);
                }
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn take(&mut self, input: ToCore) {
        let now = self.clock.now();
        match input {
            ToCore::Request { caller, call, received, reply } => {
                if let (Some((cause, _)), false) = (&self.refused, call.operation().is_read_only()) {
                    let _ = reply.send(Err(store_fault(cause)));
                    return;
                }
                let ticket = self.number();
                self.waiting.insert(ticket, (reply, Question::of(&call)));
                let starts = matches!(call, Call::Ecs(wire::ecs::Request::RunTask(_)));
                self.control().handle(now, Input::Request { ticket, caller, call });
                self.forward(starts.then_some(received));
            }
            ToCore::Logs { caller, question, reply } => {
                let ticket = self.number();
                self.asking.insert(ticket, reply);
                self.control().handle(now, Input::Logs { ticket, caller, question });
            }
            ToCore::Plan { caller, call, reply } => {
                let stage = self.control().stage(now);
                self.planning.push(Held::Plan(reply, Box::new((stage, caller, call))));
            }
            ToCore::LogGroups { reply } => self.listing.push(reply),
            ToCore::Connect { caller, connect, sender, reply } => {
                if let Some((cause, _)) = &self.refused {
                    let message = store_fault(cause).message;
                    let _ = reply.send(Err(Refusal { kind: "ServerException", message }));
                    return;
                }
                let (ticket, session) = (self.number(), self.number());
                self.connecting.insert(ticket, (session, reply));
                self.sessions.insert(session, sender);
                self.control().handle(now, Input::Connect { ticket, session, caller, connect });
            }
            // What cannot be kept now is said again.
            ToCore::Input(Input::Telemetry { .. }) if self.refused.is_some() => {}
            ToCore::Input(input) => self.control().handle(now, input),
            ToCore::Disconnected { session } => {
                self.sessions.remove(&session);
                self.control().handle(now, Input::Disconnected { session });
            }
            ToCore::CommitFailed { generation, cause } => {
                if generation == self.generation {
                    // Not tried at once: a disk that takes a little now and then would be asked without end.
                    self.reload(cause, false);
                }
            }
            // Handled by the loop.
            ToCore::Stop { .. } => {}
        }
    }

    /// Notes when a request that starts tasks arrived, so that the time to RUNNING can be told.
    fn forward(&mut self, received: Option<Instant>) {
        let Some(received) = received else { return };
        let started = self.control().take_accepted();
        for task in started {
            let _ = self.store.send(ToStore::Started { task, received });
        }
    }

    /// Hands the round's batch and outputs on.
    fn end_round(&mut self) {
        let batch = self.control().poll_batch();
        let mut held = Vec::new();
        while let Some((_, output)) = self.control().poll_output() {
            held.extend(self.hold(output));
        }
        held.append(&mut self.planning);
        for reply in std::mem::take(&mut self.listing) {
            let groups = self.control().log_groups();
            held.push(Held::Groups(reply, groups));
        }
        // What the store has refused never settles, nor does what memory still makes of it.
        let settled = batch.is_none() && self.settled.load(Ordering::Acquire) == self.rounds;
        if settled && !held.iter().any(Held::needs_store) {
            held.into_iter().for_each(release);
        } else if batch.is_some() || !held.is_empty() {
            self.rounds += 1;
            let (number, generation) = (self.rounds, self.generation);
            let _ = self.store.send(ToStore::Round { number, generation, batch, held });
        }
    }

    fn hold(&mut self, output: Output) -> Option<Held> {
        match output {
            Output::Reply { ticket, answer } => Some(match self.waiting.remove(&ticket)? {
                (reply, Some(question)) if answer.is_ok() => Held::Question(reply, question),
                (reply, _) => Held::Answer(reply, answer),
            }),
            Output::Logs { ticket, answer } => Some(Held::Logs(self.asking.remove(&ticket)?, answer)),
            Output::Connected { ticket, answer } => {
                let (session, reply) = self.connecting.remove(&ticket)?;
                if answer.is_err() {
                    self.sessions.remove(&session);
                }
                Some(Held::Connected(reply, answer.map(|()| session)))
            }
            Output::Frame { session, frame } => {
                Some(Held::Session(self.sessions.get(&session)?.clone(), ToSession::Frame(frame)))
            }
            Output::Close { session, code, reason } => {
                Some(Held::Session(self.sessions.remove(&session)?, ToSession::Close { code, reason }))
            }
        }
    }

    /// Drops everything that is not durable, as a start does; with `probe` it is tried whether writing works again.
    fn reload(&mut self, cause: String, probe: bool) {
        self.generation += 1;
        self.sessions.clear();
        self.connecting.clear();
        for (reply, _) in std::mem::take(&mut self.waiting).into_values() {
            let _ = reply.send(Err(store_fault(&cause)));
        }
        for reply in std::mem::take(&mut self.asking).into_values() {
            let _ = reply.send(Err(store_fault(&cause)));
        }
        let (reply, loaded) = channel();
        let _ = self.store.send(ToStore::Load { reply });
        self.refused = Some((cause, Instant::now() + PROBE));
        let Ok(Ok((state, index))) = loaded.recv() else { return };
        let (done, written) = channel();
        let writes = probe && self.store.send(ToStore::Probe { done }).is_ok() && written.recv() == Ok(true);
        let Ok(ids) = crate::data_dir::random().map(Ids::from_entropy) else { return };
        let Some(old) = self.control.take() else { return };
        self.control = Some(Control::new(self.clock.now(), old.into_config(), state, index, ids));
        if writes {
            tracing::warn!("the store takes writes again");
            self.refused = None;
        } else {
            // What a fresh control plane would write first waits for the next try.
            let _ = self.control().poll_batch();
        }
    }
}
