//! The control plane as a machine: requests and frames of agents in, replies and frames out, and between them batches of
//! changes that must be durable before anything computed from them may leave.
//!
//! ```text
//! handle(input) -> decide, apply to memory -> poll_batch() -> (the shell makes it durable) -> outputs may leave
//! ```
//!
//! No IO, no clock, no entropy: `now` is an argument, ids come from a generator that was seeded outside.
#![forbid(unsafe_code)]

mod authorize;
mod check;
mod desk;
mod handlers;
mod named;
mod page;
mod reconcile;
mod rehearsal;
mod sessions;
mod switchboard;
mod waiting;

pub use authorize::{Caller, Principal};
pub use desk::Batch;
pub use handlers::log_group::{LogAccess, LogQuestion};
pub use rehearsal::Stage;
pub use sessions::{Connect, Refusal};

use desk::Desk;
use model::change::Change;
use model::{Ids, Millis, State};
use sessions::Sessions;
use std::collections::VecDeque;
use wire::http::{Answer, Call};
use wire::{Fault, ec2, ecs, gantry, iam, logs, secretsmanager, ssm, sts, tagging};

/// Names a request until it is answered; the shell chooses it.
pub type Ticket = u64;
/// Names an agent's connection; the shell chooses it.
pub type SessionId = u64;

/// What comes in.
#[derive(Debug)]
pub enum Input {
    /// A request that was authenticated and decoded.
    Request {
        /// To be answered with.
        ticket: Ticket,
        /// Who asks.
        caller: Caller,
        /// What.
        call: Call,
    },
    /// A request to streams or events of a log group was authenticated: may it be, and of which group?
    Logs {
        /// To be answered with.
        ticket: Ticket,
        /// Who asks.
        caller: Caller,
        /// For what.
        question: LogQuestion,
    },
    /// An agent wants a control session.
    Connect {
        /// To be answered with.
        ticket: Ticket,
        /// The session's name if it is granted.
        session: SessionId,
        /// Who asks.
        caller: Caller,
        /// What it says of itself.
        connect: Connect,
    },
    /// A frame of an agent.
    Frame {
        /// Its session.
        session: SessionId,
        /// The text.
        frame: String,
    },
    /// A frame of an agent's telemetry session.
    Telemetry {
        /// Who opened the session.
        caller: Caller,
        /// The text.
        frame: String,
    },
    /// A session has ended.
    Disconnected {
        /// Which.
        session: SessionId,
    },
}

/// What goes out.
#[derive(Debug)]
pub enum Output {
    /// The answer to a request.
    Reply {
        /// The request's.
        ticket: Ticket,
        /// The answer.
        answer: Box<Result<Answer, Fault>>,
    },
    /// The answer to a question about a log group.
    Logs {
        /// The question's.
        ticket: Ticket,
        /// The answer.
        answer: Result<LogAccess, Fault>,
    },
    /// The answer to a connection.
    Connected {
        /// The connection's.
        ticket: Ticket,
        /// Granted or not.
        answer: Result<(), Refusal>,
    },
    /// A frame for an agent.
    Frame {
        /// Its session.
        session: SessionId,
        /// The text.
        frame: String,
    },
    /// A session to be closed.
    Close {
        /// Which.
        session: SessionId,
        /// Websocket close code.
        code: u16,
        /// The reason, which the agent reads.
        reason: String,
    },
}

/// What is fixed for a control plane's life.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where agents connect: `http://127.0.0.1:8580`.
    pub endpoint: String,
    /// This program's version.
    pub version: String,
    /// How long a service's task must have been RUNNING to count as healthy, in milliseconds. ECS waits 40 s.
    pub settle_ms: Millis,
}

/// The control plane.
#[derive(Debug)]
pub struct Control {
    config: Config,
    desk: Desk,
    sessions: Sessions,
    outputs: VecDeque<(u64, Output)>,
}

impl Control {
    /// A control plane over `state`, whose last durable batch had number `index`. Agents that were connected are not any
    /// more; the cluster `default` exists from the start.
    pub fn new(now: Millis, config: Config, state: State, index: u64, ids: Ids) -> Self {
        let mut control = Self::over(now, config, state, index, ids);
        let instances = control.desk.state.instances.values();
        let gone: Vec<_> = instances.filter(|instance| instance.connected).map(|instance| instance.id).collect();
        for id in gone {
            control.commit(Change::InstanceConnection { id, connected: false, at: now, versions: None });
        }
        handlers::cluster::ensure_default(&mut control.desk);
        control
    }

    /// A control plane over `state` as it is, agents that are connected included.
    fn over(now: Millis, config: Config, state: State, index: u64, ids: Ids) -> Self {
        let mut desk = Desk::new(state, index, ids, config.settle_ms);
        desk.now = now;
        Self { config, desk, sessions: Sessions::default(), outputs: VecDeque::new() }
    }

    fn now(&self) -> Millis {
        self.desk.now
    }

    fn commit(&mut self, change: Change) {
        self.desk.commit(change);
    }

    /// When a service is due.
    fn next_look(&self) -> Option<Millis> {
        self.desk.next_look()
    }

    /// Takes one input and decides. What comes of it waits in `poll_batch` and `poll_output`.
    pub fn handle(&mut self, now: Millis, input: Input) {
        self.desk.now = now;
        match input {
            Input::Request { ticket, caller, call } => {
                let answer = Box::new(self.answer(&caller, call));
                self.output(Output::Reply { ticket, answer });
            }
            Input::Logs { ticket, caller, question } => {
                let answer = handlers::log_group::ask(&self.desk.state, &caller, &question);
                self.output(Output::Logs { ticket, answer });
            }
            Input::Connect { ticket, session, caller, connect } => {
                let answer = self.sessions.connect(&mut self.desk, session, &caller, &connect);
                self.output(Output::Connected { ticket, answer });
            }
            Input::Frame { session, frame } => self.sessions.frame(&self.desk, session, &frame),
            Input::Telemetry { caller, frame } => handlers::agent::take_telemetry(&mut self.desk, &caller, &frame),
            Input::Disconnected { session } => self.sessions.disconnected(&mut self.desk, session),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_time(&mut self, now: Millis) {
        self.desk.now = now;
        self.desk.forget_what_lapsed();
        self.sessions.time(&mut self.desk);
    }

    /// When `handle_time` has something to do.
    pub fn next_wake(&self) -> Option<Millis> {
        let state = self.desk.state.next_expiry().into_iter().chain(self.desk.next_look());
        state.chain(self.sessions.next_wake()).min()
    }

    /// Decides what follows from what has come in: which tasks find a place now, which start and stop. `poll_batch` does so
    /// too; alone it is for those who take the time.
    pub fn decide(&mut self) {
        waiting::retry(&mut self.desk);
        reconcile::services(&mut self.desk);
    }

    /// Ends the round: tells agents what the round changed for them, and gives the batch that must be durable before any
    /// output of the round may leave. `None`: the round changed nothing.
    pub fn poll_batch(&mut self) -> Option<Batch> {
        self.decide();
        self.sessions.sync(&mut self.desk);
        let index = self.desk.seen_index();
        while let Some(output) = self.sessions.poll_output() {
            self.outputs.push_back((index, output));
        }
        self.desk.take_batch()
    }

    /// The next output, with the number of the batch that must be durable before it may leave.
    pub fn poll_output(&mut self) -> Option<(u64, Output)> {
        self.outputs.pop_front()
    }

    /// Tasks accepted in this round that were not asked for before: for those who take the time.
    pub fn take_accepted(&mut self) -> Vec<model::TaskId> {
        self.desk.take_accepted()
    }

    /// The state, for tests, the simulator and displays.
    pub fn state(&self) -> &State {
        &self.desk.state
    }

    /// A copy, to try a call on.
    pub fn stage(&self, now: Millis) -> Stage {
        Stage { config: self.config.clone(), state: self.desk.state.clone(), now }
    }

    /// How healthy is told now, for the simulator and displays.
    pub fn health(&self) -> model::project::Health {
        self.desk.health()
    }

    /// Every log group; to be let go with the outputs of the round.
    pub fn log_groups(&self) -> Vec<LogAccess> {
        handlers::log_group::all(&self.desk.state)
    }

    /// Drops everything that is not in the store.
    pub fn into_config(self) -> Config {
        self.config
    }

    fn output(&mut self, output: Output) {
        self.outputs.push_back((self.desk.seen_index(), output));
    }

    fn answer(&mut self, caller: &Caller, call: Call) -> Result<Answer, Fault> {
        authorize::authorize(&self.desk.state, caller, &call)?;
        match call {
            Call::Ecs(request) => ecs::dispatch(self, caller, request).map(Answer::Ecs),
            Call::Sts(request) => sts::dispatch(self, caller, request).map(Answer::Sts),
            Call::Ec2(request) => ec2::dispatch(self, caller, request).map(Answer::Ec2),
            Call::Logs(request) => logs::dispatch(self, caller, request).map(Answer::Logs),
            Call::Iam(request) => iam::dispatch(self, caller, request).map(Answer::Iam),
            Call::Ssm(request) => ssm::dispatch(self, caller, request).map(Answer::Ssm),
            Call::SecretsManager(request) => {
                secretsmanager::dispatch(self, caller, request).map(Answer::SecretsManager)
            }
            Call::Tagging(request) => tagging::dispatch(self, caller, request).map(Answer::Tagging),
            Call::Gantry(request) => gantry::dispatch(self, caller, request).map(Answer::Gantry),
        }
    }
}
