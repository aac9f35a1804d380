//! What refuses an instance, in the order in which it is told.

use super::Ask;
use model::instance::{ATTRIBUTE_ENI, Instance, InstanceStatus};
use model::port::{HostPort, Protocol};
use model::query::{Expression, InstanceFacts};
use model::reason::Reason;
use model::state::State;
use model::task::LaunchType;
use model::{Millis, TaskId};

/// What is free of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub cpu: u32,
    pub memory: u32,
    /// Counted for those who want any.
    pub gpus: u32,
}

/// Takes refusals; says when it has heard enough. A reason is made only for those who want it.
pub(crate) trait Sink {
    fn refuse(&mut self, reason: impl FnOnce() -> Reason) -> bool;
}

impl Sink for Vec<Reason> {
    fn refuse(&mut self, reason: impl FnOnce() -> Reason) -> bool {
        self.push(reason());
        false
    }
}

/// Whether there was any.
struct Any(bool);

impl Sink for Any {
    fn refuse(&mut self, _: impl FnOnce() -> Reason) -> bool {
        self.0 = true;
        true
    }
}

#[derive(Debug)]
pub(crate) struct Rules<'a> {
    state: &'a State,
    now: Millis,
    pub ask: &'a Ask<'a>,
    expressions: Vec<&'a Expression>,
    /// Some of them ask for tasks, so that a plan may change the answer.
    of_tasks: bool,
    group: String,
    distinct: bool,
}

impl<'a> Rules<'a> {
    pub fn new(state: &'a State, now: Millis, ask: &'a Ask<'a>) -> Self {
        let expressions: Vec<&Expression> = ask.needs.constraints.iter().chain(ask.placement.expressions()).collect();
        let of_tasks = expressions.iter().any(|expression| !expression.is_of_attributes_only());
        let group = if of_tasks { state.group_name(&ask.group) } else { String::new() };
        Self { state, now, ask, of_tasks, group, distinct: ask.placement.is_distinct(), expressions }
    }

    /// Instances in reach that are registered, by id.
    pub fn instances(&self) -> Box<dyn Iterator<Item = &'a Instance> + 'a> {
        let (state, ask) = (self.state, self.ask);
        match (ask.launch_type, ask.instance) {
            (_, Some(only)) => Box::new(state.instances.get(&only).into_iter().filter(|i| i.is_registered())),
            (LaunchType::Fargate, None) => {
                let in_pool = |instance: &&Instance| instance.is_registered() && instance.fargate_capacity().is_some();
                Box::new(state.instances.values().filter(in_pool))
            }
            (LaunchType::Ec2 | LaunchType::External, None) => {
                let provided = |i: &Instance| ask.provider.is_none_or(|name| i.capacity_provider() == Some(name));
                // Passing by those of other clusters costs less than looking up each of this one.
                let own = move |i: &&Instance| i.cluster == ask.cluster && i.is_registered() && provided(i);
                Box::new(state.instances.values().filter(own))
            }
        }
    }

    /// What is free. One ledger: what is booked there counts whoever booked it; the ceiling is what the host registered, or
    /// what it declared for Fargate.
    pub fn room(&self, instance: &Instance) -> Room {
        let (cpu, memory) = match self.ask.launch_type {
            LaunchType::Fargate => instance.fargate_capacity().unwrap_or((0, 0)),
            LaunchType::Ec2 | LaunchType::External => (instance.cpu, instance.memory),
        };
        let booked = self.state.instance_counts(instance.id);
        let gpus = if self.ask.gpus == 0 { 0 } else { self.state.free_gpus(instance).count() as u32 };
        Room { cpu: cpu.saturating_sub(booked.cpu), memory: memory.saturating_sub(booked.memory), gpus }
    }

    /// Whether no rule refuses.
    pub fn takes(&self, instance: &Instance, room: Room, planned: u32) -> bool {
        let mut any = Any(false);
        self.refusals(instance, room, planned, &mut any);
        !any.0
    }

    /// Whether an instance that has just been given a task takes another: only what that task has changed is asked.
    pub fn takes_more(&self, instance: &Instance, room: Room, planned: u32) -> bool {
        let fits = self.ask.cpu <= room.cpu && self.ask.memory <= room.memory && self.ask.gpus <= room.gpus;
        fits && self.ask.needs.ports.is_empty()
            && !self.distinct
            && (!self.of_tasks || self.takes(instance, room, planned))
    }

    /// Tells `sink` every rule that refuses `instance`, with `planned` tasks of the group more than it has.
    pub fn refusals(&self, instance: &Instance, room: Room, planned: u32, sink: &mut impl Sink) {
        let _ = self.choosing(instance, planned, sink) || self.fitting(instance, room, sink);
    }

    fn choosing(&self, instance: &Instance, planned: u32, sink: &mut impl Sink) -> bool {
        let (state, ask) = (self.state, self.ask);
        if instance.status != InstanceStatus::Active && sink.refuse(|| Reason::NotActive) {
            return true;
        }
        if !instance.reachable(self.now) && sink.refuse(|| Reason::AgentDisconnected) {
            return true;
        }
        let eni = (!ask.subnets.is_empty()).then_some((ATTRIBUTE_ENI, None));
        let required = ask.needs.attributes.iter().filter(|_| ask.launch_type != LaunchType::Fargate);
        for (name, value) in eni.into_iter().chain(required.map(|a| (&*a.name, a.value.as_deref()))) {
            let has = instance.attribute(name).is_some_and(|has| value.is_none_or(|value| value == has));
            if !has && sink.refuse(|| Reason::Attribute { name: shown(name, value) }) {
                return true;
            }
        }
        let facts = InstanceFacts::new(state, instance).with(planned, &self.group);
        for expression in &self.expressions {
            let reason = || Reason::MemberOf { expression: expression.as_str().to_owned() };
            if !expression.holds(&facts) && sink.refuse(reason) {
                return true;
            }
        }
        let taken = || planned + state.group_count(ask.cluster, ask.group.clone(), instance.id) > 0;
        self.distinct && taken() && sink.refuse(|| Reason::DistinctInstance)
    }

    fn fitting(&self, instance: &Instance, room: Room, sink: &mut impl Sink) -> bool {
        let ask = self.ask;
        if ask.cpu > room.cpu && sink.refuse(|| Reason::Cpu { needed: ask.cpu, free: room.cpu }) {
            return true;
        }
        if ask.memory > room.memory && sink.refuse(|| Reason::Memory { needed: ask.memory, free: room.memory }) {
            return true;
        }
        if ask.gpus > room.gpus && sink.refuse(|| Reason::Gpus { needed: ask.gpus, free: room.gpus }) {
            return true;
        }
        for port in &ask.needs.ports {
            let Some(holder) = self.holder(instance, *port) else { continue };
            if sink.refuse(|| Reason::Port { port: *port, holder }) {
                return true;
            }
        }
        false
    }

    /// Who has a port: a task, or the host itself.
    fn holder(&self, instance: &Instance, port: HostPort) -> Option<Option<TaskId>> {
        let reserved = match port.protocol {
            Protocol::Tcp => &instance.ports,
            Protocol::Udp => &instance.ports_udp,
        };
        match reserved.contains(&port.port) {
            true => Some(None),
            false => self.state.port_holder(instance.id, port).map(Some),
        }
    }
}

fn shown(name: &str, value: Option<&str>) -> String {
    value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"))
}
