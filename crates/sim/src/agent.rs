//! The process around the production node: its start, its registration and its session, its reports, its clock. A crash
//! takes all but the host. It decides nothing about tasks.

use crate::agenda::Event;
use crate::clocks::Clock;
use crate::hands::Job;
use crate::host::Host;
use crate::wires::{Asker, Packet, Reply};
use crate::world::World;
use crate::zones::ZONES;
use control::{Caller, Connect, Principal};
use model::Millis;
use model::instance::{
    ATTRIBUTE_CAPACITY_PROVIDER, ATTRIBUTE_ENI, ATTRIBUTE_FARGATE_CPU, ATTRIBUTE_FARGATE_MEMORY, ATTRIBUTE_POOL,
    ATTRIBUTE_ZONE, CAPABILITIES,
};
use node::hands::{Event as HostEvent, TaskKey};
use node::{Identity, Node, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use wire::ecs;

/// A node's process and its host.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    pub number: usize,
    pub host: Host,
    pub node: Option<Node>,
    pub life: u32,
    pub jobs: BTreeMap<u64, Job>,
    /// Tasks that this life of the node knows: found, or ordered by it.
    pub told: BTreeSet<TaskKey>,
    /// Tasks for which this life has ordered anything.
    pub ordered: BTreeSet<TaskKey>,
    /// Tasks that this life has ordered to be released.
    pub released: BTreeSet<TaskKey>,
    pub cluster: String,
    pub cpu: u32,
    pub memory: u32,
    /// The capacity provider that it belongs to.
    pub provider: Option<&'static str>,
    /// The zone that it stands in.
    pub zone: &'static str,
    session: Option<u64>,
    connected: bool,
    /// Tasks of the payloads of this session that are not acknowledged, by message.
    pub payloads: BTreeMap<String, Vec<TaskKey>>,
    heard_at: Millis,
    failures: u32,
    wake_at: Option<Millis>,
    /// The clock of its process.
    pub clock: Clock,
}

/// A node gives up a session in which it heard nothing for so long, as the public agent does.
const SILENCE_MS: Millis = 90_000;
/// And one that is not accepted within this.
const HANDSHAKE_MS: Millis = 10_000;

impl Agent {
    /// An agent whose host has so many CPU units and MiB.
    pub fn new(number: usize, (cpu, memory): (u32, u32)) -> Self {
        Self { number, cluster: "default".to_owned(), cpu, memory, zone: ZONES[0], ..Self::default() }
    }

    pub fn caller(&self) -> Caller {
        Caller { principal: Principal::Node, access_key: format!("NODE{}", self.number) }
    }

    fn identity(&self) -> Identity {
        let container_instance_arn = self.host.arn.clone().unwrap_or_default();
        Identity { cluster: self.cluster.clone(), container_instance_arn }
    }

    /// What it says of itself; `memory` is what it says to have, `provider` whose it says to be, `zone` where it says to
    /// stand.
    fn registration(&self, memory: u32, provider: Option<&str>, zone: &str) -> ecs::RegisterContainerInstanceRequest {
        let attribute = |name: &str, value: Option<String>| ecs::Attribute {
            name: name.to_owned(),
            value,
            ..ecs::Attribute::default()
        };
        let resource = |name: &str, value: u32| ecs::Resource {
            name: Some(name.to_owned()),
            r#type: Some("INTEGER".to_owned()),
            integer_value: i32::try_from(value).ok(),
            ..ecs::Resource::default()
        };
        ecs::RegisterContainerInstanceRequest {
            cluster: Some(self.cluster.clone()),
            container_instance_arn: self.host.arn.clone(),
            attributes: Some(
                [
                    attribute(ATTRIBUTE_ENI, None),
                    attribute(ATTRIBUTE_POOL, Some("fargate".to_owned())),
                    attribute(ATTRIBUTE_FARGATE_CPU, Some((self.cpu * 4).to_string())),
                    attribute(ATTRIBUTE_FARGATE_MEMORY, Some(memory.to_string())),
                    attribute(ATTRIBUTE_ZONE, Some(zone.to_owned())),
                ]
                .into_iter()
                .chain(CAPABILITIES.map(|name| attribute(name, None)))
                .chain(provider.map(|name| attribute(ATTRIBUTE_CAPACITY_PROVIDER, Some(name.to_owned()))))
                .collect(),
            ),
            total_resources: Some(vec![resource("CPU", self.cpu), resource("MEMORY", memory)]),
            version_info: Some(ecs::VersionInfo { agent_version: Some("0.1.0".to_owned()), ..Default::default() }),
            ..Default::default()
        }
    }
}

impl World {
    /// Starts the node's process: first its hands tell what they find.
    pub fn agent_start(&mut self, agent: usize) {
        if self.agents[agent].node.is_some() {
            return;
        }
        self.set_node_clock(agent);
        let known = &mut self.agents[agent];
        known.life += 1;
        known.node = Some(Node::new(known.identity()));
        known.told.clear();
        known.released.clear();
        known.ordered.clear();
        known.failures = 0;
        known.wake_at = None;
        let life = known.life;
        self.note(format!("node-{agent} starts"));
        self.agenda.plan(self.now + 1, Event::NodeFinds { agent, life, after: None });
        // The session does not wait for the findings.
        let gap = self.chance.hands.between((0, 6));
        self.agenda.plan(self.now + 1 + gap, Event::NodeReaches { agent, life });
    }

    /// The hands tell of one directory after the other.
    pub fn agent_finds(&mut self, agent: usize, life: u32, after: Option<TaskKey>) {
        use std::ops::Bound::{Excluded, Unbounded};
        if self.agents[agent].life != life {
            return;
        }
        let first = after.map_or(Unbounded, Excluded);
        let next = self.agents[agent].host.directories.range((first, Unbounded)).next().map(|(task, _)| task.clone());
        let event = match &next {
            Some(task) => self.agents[agent].host.found(task),
            None => Some(HostEvent::FoundAll),
        };
        let Some(event) = event else { return };
        if let Some(task) = next {
            self.agents[agent].told.insert(task.clone());
            let gap = self.chance.hands.between((0, 2));
            self.agenda.plan(self.now + gap, Event::NodeFinds { agent, life, after: Some(task) });
        }
        self.host_says(agent, life, event);
    }

    /// The node's process dies; its host stays.
    pub fn agent_crash(&mut self, agent: usize) {
        let known = &mut self.agents[agent];
        if known.node.take().is_none() {
            return;
        }
        // Events of this life are void from here.
        known.life += 1;
        known.connected = false;
        known.payloads.clear();
        let (jobs, session) = (std::mem::take(&mut known.jobs), known.session.take());
        self.note(format!("node-{agent} crashes with {} orders under way", jobs.len()));
        for job in jobs.values() {
            self.interrupt(agent, &job.command);
        }
        if let Some(session) = session {
            self.session_close_at_node(session);
        }
        self.check_hosts();
    }

    pub fn host_says(&mut self, agent: usize, life: u32, event: HostEvent) {
        let now = self.node_now(agent);
        let known = &mut self.agents[agent];
        let Some(node) = known.node.as_mut().filter(|_| known.life == life) else { return };
        let said = format!("host-{agent} says {}", crate::words::event(&self.trace, &event));
        node.handle_event(now, event);
        self.note(said);
        self.agent_drain(agent);
    }

    /// It registers when it has no name, connects when it has no session.
    pub fn agent_reaches(&mut self, agent: usize, life: u32) {
        let known = &self.agents[agent];
        if known.life != life || known.node.is_none() || known.session.is_some() {
            return;
        }
        let again = known.host.arn.is_some();
        if !again || known.failures == 0 {
            let (memory, provider) = (self.planted_memory(known.memory), self.planted_provider(known.provider));
            let request = ecs::Request::from(known.registration(memory, provider, self.planted_zone(known.zone)));
            let asker = Asker::Registration { agent, life };
            let caller = known.caller();
            self.note(format!("node-{agent} registers{}", if again { " again" } else { "" }));
            self.call(asker, caller, &request);
            return;
        }
        self.agent_connects(agent, life);
    }

    fn agent_connects(&mut self, agent: usize, life: u32) {
        let connect = Connect {
            container_instance_arn: self.agents[agent].host.arn.clone().unwrap_or_default(),
            agent_version: "0.1.0".to_owned(),
            ..Connect::default()
        };
        self.note(format!("node-{agent} connects"));
        let session = self.session_open(agent, life, connect);
        self.agents[agent].session = Some(session);
        self.agents[agent].heard_at = self.now;
        self.agenda.plan(self.now + HANDSHAKE_MS, Event::NodeListens { agent, life, session });
    }

    fn agent_retries(&mut self, agent: usize) {
        let failures = self.agents[agent].failures.min(6);
        self.agents[agent].failures += 1;
        let wait = (100 << failures) + self.chance.network.below(100);
        let life = self.agents[agent].life;
        self.agenda.plan(self.now + wait, Event::NodeReaches { agent, life });
    }

    /// The answer to a registration.
    pub fn agent_registered(&mut self, agent: usize, life: u32, reply: Reply) {
        if self.agents[agent].life != life || self.agents[agent].session.is_some() {
            return;
        }
        let answer = match reply {
            Reply::Answer(answer) => *answer,
            Reply::Lost | Reply::Any(_) => return self.agent_retries(agent),
        };
        match answer {
            Ok(ecs::Response::RegisterContainerInstance(response)) => {
                let arn = response.container_instance.and_then(|instance| instance.container_instance_arn);
                self.note(format!("node-{agent} is {}", self.trace.name(arn.as_deref().unwrap_or("nobody"))));
                let known = &mut self.agents[agent];
                let changed = known.host.arn != arn;
                known.host.arn = arn;
                let identity = known.identity();
                if let Some(node) = known.node.as_mut().filter(|_| changed) {
                    node.identify(identity);
                }
                self.agent_connects(agent, life);
            }
            Ok(_) => self.fail("an answer is the one to its request", "RegisterContainerInstance".to_owned()),
            Err(fault) if !fault.is_server_side() && self.agents[agent].host.arn.is_some() => {
                self.note(format!("node-{agent} is refused: {fault}"));
                self.agents[agent].host.arn = None;
                self.agent_retries(agent);
            }
            Err(_) => self.agent_retries(agent),
        }
    }

    /// Something has arrived in the node's session.
    pub fn agent_hears(&mut self, agent: usize, life: u32, session: u64, packet: Packet) {
        let now = self.node_now(agent);
        let known = &mut self.agents[agent];
        if known.life != life || known.session != Some(session) {
            return;
        }
        known.heard_at = self.now;
        match packet {
            Packet::Accepted => {
                (known.connected, known.failures) = (true, 1);
                known.payloads.clear();
                if let Some(node) = &mut known.node {
                    node.handle_connected();
                    node.handle_telemetry_connected(now);
                }
                self.note(format!("node-{agent} is connected"));
                self.agenda.plan(self.now + SILENCE_MS, Event::NodeListens { agent, life, session });
            }
            Packet::Frame(frame) => {
                self.remember_payload(agent, &frame);
                self.note(format!("node-{agent} hears {}", crate::words::to_agent(&self.trace, &frame)));
                if let Some(node) = &mut self.agents[agent].node {
                    node.handle_frame(now, &frame);
                }
            }
            Packet::Telemetry(_) => {}
            Packet::Refused(refusal) => {
                self.note(format!("node-{agent} is refused: {}", refusal.kind));
                if refusal.kind == "InactiveInstanceException" {
                    self.agents[agent].host.arn = None;
                }
                self.session_ended(agent);
            }
            Packet::Close { code, reason } => {
                self.note(format!("node-{agent} is disconnected: {code} {reason}"));
                self.session_ended(agent);
            }
        }
        self.agent_drain(agent);
    }

    fn session_ended(&mut self, agent: usize) {
        self.agents[agent].session = None;
        self.agents[agent].connected = false;
        self.agents[agent].payloads.clear();
        self.agent_retries(agent);
    }

    /// A session in which nothing is heard is given up.
    pub fn agent_listens(&mut self, agent: usize, life: u32, session: u64) {
        let known = &self.agents[agent];
        if known.life != life || known.session != Some(session) {
            return;
        }
        let patience = if known.connected { SILENCE_MS } else { HANDSHAKE_MS };
        let until = known.heard_at + patience;
        if self.now < until {
            self.agenda.plan(until, Event::NodeListens { agent, life, session });
            return;
        }
        self.note(format!("node-{agent} gives its session up"));
        self.session_close_at_node(session);
        self.session_ended(agent);
    }

    /// How a report went.
    pub fn agent_reported(&mut self, agent: usize, life: u32, task: &TaskKey, reply: Reply) {
        let now = self.node_now(agent);
        let known = &mut self.agents[agent];
        let Some(node) = known.node.as_mut().filter(|_| known.life == life) else { return };
        let outcome = match &reply {
            Reply::Answer(answer) => match &**answer {
                Ok(_) => Outcome::Accepted,
                Err(fault) if fault.code == "InvalidParameterException" => Outcome::Unknown,
                Err(_) => Outcome::Failed,
            },
            Reply::Lost | Reply::Any(_) => Outcome::Failed,
        };
        node.handle_outcome(now, task, outcome);
        self.note(format!("node-{agent} learns that its report on {} is {outcome:?}", self.trace.name(task.as_str())));
        self.agent_drain(agent);
    }

    /// It asked to be woken.
    pub fn agent_wakes(&mut self, agent: usize, life: u32) {
        let now = self.node_now(agent);
        let known = &mut self.agents[agent];
        let Some(node) = known.node.as_mut().filter(|_| known.life == life) else { return };
        if known.wake_at != Some(self.now) {
            return;
        }
        known.wake_at = None;
        node.handle_time(now);
        self.agent_drain(agent);
        let again = self.agents[agent].node.as_ref().and_then(Node::next_wake).is_some_and(|at| at <= now);
        if again {
            self.fail("a wake of a node does what is due", format!("node-{agent}"));
        }
    }

    /// Carries away whatever the node has to say.
    fn agent_drain(&mut self, agent: usize) {
        while let Some(command) = self.agents[agent].node.as_mut().and_then(Node::poll_command) {
            self.order(agent, command);
        }
        let session = self.agents[agent].session.filter(|_| self.agents[agent].connected);
        while let (Some(session), Some(node)) = (session, self.agents[agent].node.as_mut()) {
            let Some(frame) = node.poll_frame() else { break };
            self.note(format!("node-{agent} says {}", crate::words::to_control(&self.trace, &frame)));
            self.check_acknowledgement(agent, &frame);
            self.send_to_plane(session, Packet::Frame(frame));
        }
        let now = self.node_now(agent);
        // The telemetry session stands and falls with the other one here.
        while let (Some(session), Some(node)) = (session, self.agents[agent].node.as_mut()) {
            let Some(frame) = node.poll_telemetry(now) else { break };
            self.note(format!("node-{agent} publishes health"));
            self.send_to_plane(session, Packet::Telemetry(frame));
        }
        while let Some((task, change)) = self.agents[agent].node.as_mut().and_then(|node| node.poll_report(now)) {
            let life = self.agents[agent].life;
            let status = change.report.status.map_or("-", |status| status.as_str());
            self.note(format!("node-{agent} reports {} {status}", self.trace.name(task.as_str())));
            let request = ecs::Request::from(change.to_request());
            let caller = self.agents[agent].caller();
            self.call(Asker::Report { agent, life, task }, caller, &request);
        }
        let now = self.now;
        let known = &mut self.agents[agent];
        let wake = known.node.as_ref().and_then(Node::next_wake).map(|at| known.clock.when(at).max(now + 1));
        if let Some(at) = wake.filter(|at| known.wake_at.is_none_or(|planned| planned > *at || planned <= now)) {
            known.wake_at = Some(at);
            let life = known.life;
            self.agenda.plan(at, Event::NodeWake { agent, life });
        }
    }
}
