//! The world: the clock, the agenda and everything that acts. `step` takes the next event and hands it to whom it
//! concerns; nothing else moves time.

use crate::agenda::{Agenda, Event};
use crate::agent::Agent;
use crate::clients::Clients;
use crate::disk::Disk;
use crate::keeper::Keeper;
use crate::plane::Plane;
use crate::planted::Planted;
use crate::random::Stream;
use crate::trace::Trace;
use crate::weather::Weather;
use crate::wires::Wires;
use model::state::Meta;
use model::vpc::Vpc;
use model::{Ids, Millis, TaskId};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// When a world begins.
pub(crate) const START: Millis = 1_700_000_000_000;

/// What was broken.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub invariant: String,
    pub detail: String,
}

/// One stream of draws for each purpose.
#[derive(Debug)]
pub(crate) struct Chance {
    pub network: Stream,
    pub disk: Stream,
    pub plane: Stream,
    pub hands: Stream,
    pub faults: Stream,
    pub clients: Stream,
}

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub seed: u64,
    pub now: Millis,
    pub agenda: Agenda,
    pub trace: Trace,
    pub broken: Option<Broken>,
    pub weather: Weather,
    /// A bug that is put in on purpose.
    pub planted: Option<Planted>,
    pub chance: Chance,
    pub plane: Plane,
    pub disk: Disk,
    pub wires: Wires,
    pub agents: Vec<Agent>,
    pub clients: Clients,
    pub keeper: Keeper,
    /// Rounds of the control plane.
    pub rounds: u64,
    /// Tasks of which a container has truly been started at some time.
    pub ran: BTreeSet<TaskId>,
    serials: u64,
}

impl World {
    /// A world in which nothing has been started. `sizes`: CPU units and MiB of each host.
    pub fn new(seed: u64, weather: Weather, sizes: &[(u32, u32)], keep_trace: bool) -> Self {
        let stream = |purpose| Stream::new(seed, purpose);
        let chance = Chance {
            network: stream("network"),
            disk: stream("disk"),
            plane: stream("plane"),
            hands: stream("hands"),
            faults: stream("faults"),
            clients: stream("clients"),
        };
        let mut draw = stream("deployment");
        // A small VPC runs out of addresses, which then must be used again at once.
        let prefix = *draw.pick(&[16, 22, 24]);
        let mut ids = Ids::seeded(draw.bits());
        let vpc = Vpc::plan(Ipv4Addr::new(172, 31, 0, 0), prefix, "us-east-1", &mut ids);
        let meta = Meta { region: "us-east-1".into(), account: "000000000000".into(), vpc, token_key: [7; 32] };
        Self {
            seed,
            now: START,
            agenda: Agenda::default(),
            trace: Trace::new(START, keep_trace),
            broken: None,
            weather,
            planted: None,
            chance,
            plane: Plane::default(),
            disk: Disk::format(meta),
            wires: Wires::default(),
            agents: sizes.iter().enumerate().map(|(number, size)| Agent::new(number, *size)).collect(),
            clients: Clients::default(),
            keeper: Keeper::new(stream("keeper")),
            rounds: 0,
            ran: BTreeSet::new(),
            serials: 0,
        }
    }

    /// A number that was never given before.
    pub fn next_serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, line: String) {
        self.trace.line(self.now, &line);
    }

    /// An invariant is broken; the first one counts.
    pub fn fail(&mut self, invariant: &str, detail: String) {
        if self.broken.is_none() {
            self.note(format!("BROKEN: {invariant}: {detail}"));
            self.broken = Some(Broken { invariant: invariant.to_owned(), detail });
        }
    }

    /// Goes on until `end`, or until something is broken.
    pub fn run_until(&mut self, end: Millis) {
        while self.broken.is_none() && self.agenda.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// Takes the next event; false: there is none.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.agenda.take() else { return false };
        self.now = self.now.max(at);
        self.happen(event);
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::PlaneStart => self.plane_start(),
            Event::PlaneRound { life } => self.plane_round(life),
            Event::PlaneWake { life } => self.plane_wake(life),
            Event::Commit { life } => self.plane_commit(life),
            Event::CallArrives { call } => self.call_arrives(call),
            Event::CallReturns { call } => self.call_returns(call),
            Event::CallExpires { call } => self.call_expires(call),
            Event::ConnectArrives { session } => self.connect_arrives(session),
            Event::Packet { session, to_node } => self.packet_arrives(session, to_node),
            Event::NodeStart { agent } => self.agent_start(agent),
            Event::NodeFinds { agent, life, after } => self.agent_finds(agent, life, after),
            Event::NodeReaches { agent, life } => self.agent_reaches(agent, life),
            Event::NodeWake { agent, life } => self.agent_wakes(agent, life),
            Event::NodeListens { agent, life, session } => self.agent_listens(agent, life, session),
            Event::JobDone { agent, life, job } => self.job_done(agent, life, job),
            Event::Supervised { agent, boot, task, container, serial, step } => {
                self.supervised((agent, boot), &task, &container, serial, step);
            }
            Event::HostSays { agent, life, event } => self.host_says(agent, life, event),
            Event::ClientTurn { client } => self.client_turn(client),
            Event::KeeperTurn => self.keeper_turn(),
            Event::Fault(fault) => self.fault(fault),
            Event::Reunite { agent, partition } => self.reunite(agent, partition),
        }
    }
}
