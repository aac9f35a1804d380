//! The fake network: HTTP calls that are late or lost, either way, and sessions, whose frames arrive in order or not at
//! all. A partition holds everything up; a broken session loses all that was in flight. It never invents a frame.

use crate::agenda::Event;
use crate::world::World;
use control::{Caller, Connect, Input, Refusal};
use model::Millis;
use node::hands::TaskKey;
use std::collections::{BTreeMap, VecDeque};
use wire::Fault;
use wire::ecs;
use wire::http::{Answer, Call};

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client, by number.
    Client(usize),
    /// A node, to be registered.
    Registration { agent: usize, life: u32 },
    /// A node, for a report.
    Report { agent: usize, life: u32, task: TaskKey },
    /// The operator, by hand.
    Operator,
    /// The keeper.
    Keeper,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// The answer.
    Answer(Box<Result<ecs::Response, Fault>>),
    /// The answer to the keeper, of whatever service.
    Any(Box<Result<Answer, Fault>>),
    /// Nobody knows whether it was carried out.
    Lost,
}

/// A request on its way.
#[derive(Clone, Debug)]
enum Letter {
    /// As its bytes.
    Ecs { operation: ecs::Operation, body: String },
    /// Of whatever service.
    Any(Box<Call>),
}

/// A call that is not settled.
#[derive(Debug)]
struct Exchange {
    asker: Asker,
    caller: Caller,
    letter: Letter,
    /// It is with the control plane.
    arrived: bool,
    reply: Option<Reply>,
}

/// What travels in a session.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Accepted,
    Refused(Refusal),
    Frame(String),
    Telemetry(String),
    Close { code: u16, reason: String },
}

/// One direction of a session.
#[derive(Debug, Default)]
struct Lane {
    open: bool,
    last: Millis,
    packets: VecDeque<(Millis, Packet)>,
}

/// A session.
#[derive(Debug)]
struct Session {
    agent: usize,
    life: u32,
    connect: Connect,
    to_node: Lane,
    to_plane: Lane,
}

/// Everything in flight.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    calls: BTreeMap<u64, Exchange>,
    sessions: BTreeMap<u64, Session>,
    /// Nodes that cannot reach the control plane, nor be reached, and the number of the partition.
    pub partitioned: BTreeMap<usize, u64>,
}

/// How long a client waits for an answer.
const CLIENT_PATIENCE_MS: Millis = 30_000;
/// How long a node does.
const NODE_PATIENCE_MS: Millis = 10_000;

impl World {
    fn latency(&mut self) -> Millis {
        if self.chance.network.per_mille(self.weather.late) {
            return self.chance.network.between(self.weather.late_ms);
        }
        self.chance.network.between(self.weather.latency_ms)
    }

    fn cut_off(&self, asker: &Asker) -> bool {
        match asker {
            Asker::Registration { agent, .. } | Asker::Report { agent, .. } => {
                self.wires.partitioned.contains_key(agent)
            }
            Asker::Client(_) | Asker::Operator | Asker::Keeper => false,
        }
    }

    /// Sends a request; its outcome comes to `call_settled`.
    pub fn call(&mut self, asker: Asker, caller: Caller, request: &ecs::Request) -> u64 {
        let letter = Letter::Ecs { operation: request.operation(), body: request.to_json() };
        self.send_letter(asker, caller, letter)
    }

    /// Sends a request of the keeper, to whatever service.
    pub fn call_any(&mut self, caller: Caller, call: Call) {
        self.send_letter(Asker::Keeper, caller, Letter::Any(Box::new(call)));
    }

    fn send_letter(&mut self, asker: Asker, caller: Caller, letter: Letter) -> u64 {
        let call = self.next_serial();
        let client = matches!(asker, Asker::Client(_) | Asker::Keeper);
        let patience = if client { CLIENT_PATIENCE_MS } else { NODE_PATIENCE_MS };
        self.agenda.plan(self.now + patience, Event::CallExpires { call });
        if !self.chance.network.per_mille(self.weather.lost_requests) {
            let at = self.now + self.latency();
            self.agenda.plan(at, Event::CallArrives { call });
            // A report may be heard twice; a client that asks twice says so itself.
            if matches!(asker, Asker::Report { .. }) && self.chance.network.per_mille(self.weather.doubled_reports) {
                let again = at + self.latency();
                self.agenda.plan(again, Event::CallArrives { call });
            }
        }
        let exchange = Exchange { asker, caller, letter, arrived: false, reply: None };
        self.wires.calls.insert(call, exchange);
        call
    }

    pub fn call_arrives(&mut self, call: u64) {
        let Some(exchange) = self.wires.calls.get_mut(&call) else { return };
        let asker = exchange.asker.clone();
        let request = match &exchange.letter {
            Letter::Ecs { operation, body } => ecs::Request::decode(*operation, body.as_bytes()).map(Call::Ecs),
            Letter::Any(call) => Ok((**call).clone()),
        };
        let caller = exchange.caller.clone();
        if self.cut_off(&asker) {
            return;
        }
        if self.plane.control.is_none() {
            return self.call_comes_back(call, Reply::Lost);
        }
        match request {
            Err(fault) => self.call_comes_back(call, Reply::Answer(Box::new(Err(fault)))),
            Ok(request) => {
                let request = match request {
                    Call::Ecs(request) => Call::Ecs(self.planted_request(request)),
                    other => self.planted_call(other),
                };
                if let Some(exchange) = self.wires.calls.get_mut(&call) {
                    exchange.arrived = true;
                }
                self.plane_take(Input::Request { ticket: call, caller, call: request });
            }
        }
    }

    /// The control plane answers.
    pub fn call_answered(&mut self, call: u64, answer: Result<Answer, Fault>) {
        let Some(exchange) = self.wires.calls.get_mut(&call) else { return };
        exchange.arrived = false;
        let reply = match (&exchange.letter, answer) {
            (Letter::Any(_), answer) => Reply::Any(Box::new(answer)),
            (Letter::Ecs { operation, .. }, Ok(Answer::Ecs(response))) => {
                let body = response.to_json();
                Reply::Answer(Box::new(ecs::Response::decode(*operation, body.as_bytes())))
            }
            (Letter::Ecs { .. }, Ok(_)) => {
                let fault = Fault::new("InternalFailure", 500, "an answer of another service");
                Reply::Answer(Box::new(Err(fault)))
            }
            (Letter::Ecs { .. }, Err(fault)) => Reply::Answer(Box::new(Err(fault))),
        };
        if !self.chance.network.per_mille(self.weather.lost_answers) {
            self.call_comes_back(call, reply);
        }
    }

    fn call_comes_back(&mut self, call: u64, reply: Reply) {
        let at = self.now + self.latency();
        if let Some(exchange) = self.wires.calls.get_mut(&call) {
            exchange.reply = Some(reply);
            self.agenda.plan(at, Event::CallReturns { call });
        }
    }

    pub fn call_returns(&mut self, call: u64) {
        let Some(exchange) = self.wires.calls.get(&call) else { return };
        if self.cut_off(&exchange.asker) {
            return;
        }
        let Some(exchange) = self.wires.calls.remove(&call) else { return };
        self.call_settled(call, exchange.asker, exchange.reply.unwrap_or(Reply::Lost));
    }

    pub fn call_expires(&mut self, call: u64) {
        if let Some(exchange) = self.wires.calls.remove(&call) {
            self.call_settled(call, exchange.asker, Reply::Lost);
        }
    }

    fn call_settled(&mut self, call: u64, asker: Asker, reply: Reply) {
        match asker {
            Asker::Client(client) => self.client_hears(client, call, reply),
            Asker::Registration { agent, life } => self.agent_registered(agent, life, reply),
            Asker::Report { agent, life, task } => self.agent_reported(agent, life, &task, reply),
            Asker::Keeper => self.keeper_hears(match reply {
                Reply::Any(answer) => Some(*answer),
                Reply::Answer(_) | Reply::Lost => None,
            }),
            Asker::Operator => {
                let heard = crate::words::reply(&self.trace, &reply);
                self.note(format!("operator hears {heard}"));
            }
        }
    }

    /// The control plane has died with requests in hand.
    pub fn calls_lost_at_plane(&mut self) {
        let lost: Vec<u64> = self.wires.calls.iter().filter(|(_, call)| call.arrived).map(|(id, _)| *id).collect();
        lost.into_iter().for_each(|call| self.call_comes_back(call, Reply::Lost));
    }

    /// A node opens a session.
    pub fn session_open(&mut self, agent: usize, life: u32, connect: Connect) -> u64 {
        let session = self.next_serial();
        let lane = || Lane { open: true, ..Lane::default() };
        self.wires
            .sessions
            .insert(session, Session { agent, life, connect, to_node: lane(), to_plane: Lane::default() });
        let at = self.now + self.latency();
        self.agenda.plan(at, Event::ConnectArrives { session });
        session
    }

    pub fn connect_arrives(&mut self, session: u64) {
        let Some(open) = self.wires.sessions.get_mut(&session) else { return };
        let (agent, connect) = (open.agent, open.connect.clone());
        if self.wires.partitioned.contains_key(&agent) {
            return;
        }
        if self.plane.control.is_none() {
            return self.send_to_node(session, Packet::Close { code: 1006, reason: "connection refused".to_owned() });
        }
        open.to_plane.open = true;
        let caller = self.agents[agent].caller();
        self.plane_take(Input::Connect { ticket: session, session, caller, connect });
    }

    pub fn send_to_node(&mut self, session: u64, packet: Packet) {
        self.send(session, true, packet);
    }

    /// A frame of the control plane leaves.
    pub fn send_frame(&mut self, session: u64, frame: String) {
        let Some(open) = self.wires.sessions.get(&session) else { return };
        let (frame, other) = self.planted_frame(open.agent, frame);
        let to = |agent: usize| self.wires.sessions.iter().find(|(_, s)| s.agent == agent && s.to_node.open);
        if let Some(other) = other.and_then(to).map(|(session, _)| *session) {
            self.send_to_node(other, Packet::Frame(frame.clone()));
        }
        self.send_to_node(session, Packet::Frame(frame));
    }

    pub fn send_to_plane(&mut self, session: u64, packet: Packet) {
        self.send(session, false, packet);
    }

    fn send(&mut self, session: u64, to_node: bool, packet: Packet) {
        let arrives = self.now + self.latency();
        let Some(open) = self.wires.sessions.get_mut(&session) else { return };
        let lane = if to_node { &mut open.to_node } else { &mut open.to_plane };
        lane.last = lane.last.max(arrives);
        lane.packets.push_back((lane.last, packet));
        self.agenda.plan(lane.last, Event::Packet { session, to_node });
    }

    /// Hands over what has arrived; in a partition it stays where it is.
    pub fn packet_arrives(&mut self, session: u64, to_node: bool) {
        loop {
            let Some(open) = self.wires.sessions.get_mut(&session) else { return };
            if self.wires.partitioned.contains_key(&open.agent) {
                return;
            }
            let (agent, life) = (open.agent, open.life);
            let lane = if to_node { &mut open.to_node } else { &mut open.to_plane };
            if lane.packets.front().is_none_or(|(at, _)| *at > self.now) {
                return self.session_tidy(session);
            }
            let Some((_, packet)) = lane.packets.pop_front() else { return };
            if !lane.open {
                continue;
            }
            let ends = matches!(packet, Packet::Close { .. } | Packet::Refused(_));
            lane.open &= !ends;
            match (to_node, packet) {
                (true, packet) => self.agent_hears(agent, life, session, packet),
                (false, Packet::Frame(frame)) => self.plane_take(Input::Frame { session, frame }),
                (false, Packet::Telemetry(frame)) => {
                    let caller = self.agents[agent].caller();
                    self.plane_take(Input::Telemetry { caller, frame });
                }
                (false, _) => self.plane_take(Input::Disconnected { session }),
            }
        }
    }

    /// The node closes its end, or its process has died.
    pub fn session_close_at_node(&mut self, session: u64) {
        let Some(open) = self.wires.sessions.get_mut(&session) else { return };
        if open.to_node.open {
            open.to_node.open = false;
            self.send(session, false, Packet::Close { code: 1001, reason: String::new() });
        }
    }

    pub fn session_close_at_plane(&mut self, session: u64, reason: &str) {
        self.send_to_node(session, Packet::Close { code: 1006, reason: reason.to_owned() });
        self.session_forget_at_plane(session);
    }

    pub fn session_forget_at_plane(&mut self, session: u64) {
        if let Some(open) = self.wires.sessions.get_mut(&session) {
            open.to_plane.open = false;
        }
        self.session_tidy(session);
    }

    /// The control plane's process has lost all sessions.
    pub fn sessions_lost_at_plane(&mut self) {
        let open: Vec<u64> = self.wires.sessions.iter().filter(|(_, s)| s.to_plane.open).map(|(id, _)| *id).collect();
        open.into_iter().for_each(|session| self.session_close_at_plane(session, "the control plane has gone"));
    }

    /// A session breaks: what is in flight is lost, and each end learns of it in its own time.
    pub fn session_break(&mut self, session: u64) {
        let Some(open) = self.wires.sessions.get_mut(&session) else { return };
        open.to_node.packets.clear();
        open.to_plane.packets.clear();
        for to_node in [true, false] {
            self.send(session, to_node, Packet::Close { code: 1006, reason: "the connection broke".to_owned() });
        }
    }

    /// Any session that stands.
    pub fn any_session(&mut self) -> Option<u64> {
        let open = self.wires.sessions.iter().filter(|(_, session)| session.to_node.open && session.to_plane.open);
        self.chance.faults.pick_from(open.map(|(id, _)| *id))
    }

    /// A partition has ended: what was held up arrives.
    pub fn sessions_reunited(&mut self, agent: usize) {
        let held = self.wires.sessions.iter().filter(|(_, session)| session.agent == agent);
        let held: Vec<u64> = held.map(|(id, _)| *id).collect();
        let at = self.now + self.latency();
        for session in held {
            for to_node in [true, false] {
                self.agenda.plan(at, Event::Packet { session, to_node });
            }
        }
    }

    fn session_tidy(&mut self, session: u64) {
        let done = |open: &Session| {
            !open.to_node.open
                && !open.to_plane.open
                && open.to_node.packets.is_empty()
                && open.to_plane.packets.is_empty()
        };
        if self.wires.sessions.get(&session).is_some_and(done) {
            self.wires.sessions.remove(&session);
        }
    }
}
