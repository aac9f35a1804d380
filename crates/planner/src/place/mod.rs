//! Which instance and which address a task gets, or why none: rules that refuse instances, strategies that order the
//! others. A `Placer` is made once for an ask and places as many tasks as are wanted, on what the ones before have left.

mod order;
mod quick;
mod rules;
mod subnets;
#[cfg(test)]
mod tests;

use model::group::Group;
use model::instance::Instance;
use model::needs::Needs;
use model::placement::Placement;
use model::reason::{Reason, Unplaceable, Verdict};
use model::state::State;
use model::task::{LaunchType, Task};
use model::{ClusterId, InstanceId, Millis};
use order::Order;
use rules::{Room, Rules};
use std::net::Ipv4Addr;
use subnets::Subnets;

/// What a task wants of a place.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Which hosts are in reach: those of the cluster, or the Fargate pool.
    pub launch_type: LaunchType,
    /// CPU units it books.
    pub cpu: u32,
    /// MiB it books.
    pub memory: u32,
    /// GPUs it takes.
    pub gpus: u32,
    /// Only this instance (StartTask).
    pub instance: Option<InstanceId>,
    /// Only instances of this capacity provider.
    pub provider: Option<&'a str>,
    /// Positions of the subnets it may be in; none: it gets no interface.
    pub subnets: &'a [u8],
    /// What its task definition asks of a host: ports, attributes, expressions.
    pub needs: &'a Needs,
    /// What its request or service says.
    pub placement: &'a Placement,
    /// The tasks that it is spread with.
    pub group: Group,
    /// What `random` is drawn from.
    pub seed: u64,
}

impl<'a> Ask<'a> {
    /// What a task that was accepted asks for once more.
    pub fn again(task: &'a Task, subnets: &'a [u8], needs: &'a Needs, placement: &'a Placement) -> Self {
        Self {
            cluster: task.cluster,
            launch_type: task.launch_type,
            cpu: task.cpu,
            memory: task.memory,
            gpus: task.gpu_count(),
            instance: None,
            provider: task.provider.as_deref(),
            subnets,
            needs,
            placement,
            group: Group::of(task),
            seed: 0,
        }
    }
}

/// Where a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The instance.
    pub instance: InstanceId,
    /// Position of the subnet of its interface, and an address of it that is free now.
    pub interface: Option<(u8, Ipv4Addr)>,
}

/// So many tasks are placed one by one from the state's own lists; for more it is worth looking at all instances once.
const FEW: usize = 16;

/// The place for one task.
pub fn place(state: &State, now: Millis, ask: &Ask<'_>) -> Result<Place, Unplaceable> {
    places(state, now, ask, 1).pop().ok_or_else(|| why(state, now, ask))
}

/// Places for up to `count` tasks that all want the same.
pub fn places(state: &State, now: Millis, ask: &Ask<'_>, count: usize) -> Vec<Place> {
    let quick = if count <= FEW { quick::places(state, now, ask, count) } else { None };
    quick.unwrap_or_else(|| Placer::new(state, now, ask).take(count).collect())
}

/// What every instance in reach says to a task; one without reasons would be taken.
pub fn verdicts(state: &State, now: Millis, ask: &Ask<'_>) -> Vec<Verdict> {
    let rules = Rules::new(state, now, ask);
    let no_address = !ask.subnets.is_empty() && ask.subnets.iter().all(|subnet| state.free_address(*subnet).is_none());
    let verdict = |instance: &Instance| {
        let mut reasons = Vec::new();
        rules.refusals(instance, rules.room(instance), 0, &mut reasons);
        reasons.extend(no_address.then_some(Reason::Addresses));
        Verdict { instance: instance.id, reasons }
    };
    rules.instances().map(verdict).collect()
}

/// The reasons of every instance, when none takes the task.
pub fn why(state: &State, now: Millis, ask: &Ask<'_>) -> Unplaceable {
    let mut verdicts = verdicts(state, now, ask);
    verdicts.retain(|verdict| !verdict.reasons.is_empty());
    Unplaceable { verdicts }
}

/// An instance that may take tasks, and what is planned for it.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    instance: &'a Instance,
    room: Room,
    /// Tasks of the group, the planned ones too.
    group: u32,
    planned: u32,
}

/// Places tasks that all want the same, one after the other, as an iterator. `None`: there is no place for one more.
#[derive(Debug)]
pub struct Placer<'a> {
    rules: Rules<'a>,
    slots: Vec<Slot<'a>>,
    order: Order<'a>,
    subnets: Subnets<'a>,
}

impl<'a> Placer<'a> {
    /// Looks at every instance in reach, once.
    pub fn new(state: &'a State, now: Millis, ask: &'a Ask<'a>) -> Self {
        let rules = Rules::new(state, now, ask);
        let mut slots: Vec<Slot<'a>> = Vec::new();
        for instance in rules.instances() {
            let room = rules.room(instance);
            if rules.takes(instance, room, 0) {
                slots.push(Slot { instance, room, group: 0, planned: 0 });
            }
        }
        let mut order = Order::new(ask, &slots);
        for (id, count) in state.group_instances(ask.cluster, &ask.group) {
            // Slots are by id, as instances are.
            match slots.binary_search_by_key(&id, |slot| slot.instance.id) {
                Ok(n) => {
                    slots[n].group = count;
                    order.count(n, count);
                }
                Err(_) => {
                    state.instances.get(&id).into_iter().for_each(|instance| order.count_elsewhere(instance, count));
                }
            }
        }
        Self { rules, slots, order, subnets: Subnets::new(state, ask) }
    }

    /// Instances that would take a task now.
    pub fn candidates(&self) -> usize {
        self.order.len()
    }
}

impl Iterator for Placer<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let best = self.order.best(&self.slots)?;
        let ask = self.rules.ask;
        let zone = self.slots[best].instance.zone();
        let interface = match self.subnets.is_empty() {
            true => None,
            false => Some(self.subnets.take(zone.filter(|_| ask.launch_type != LaunchType::Fargate))?),
        };
        self.order.take_out(best, &self.slots);
        let slot = &mut self.slots[best];
        slot.room.cpu -= ask.cpu;
        slot.room.memory -= ask.memory;
        slot.room.gpus -= ask.gpus;
        slot.planned += 1;
        slot.group += 1;
        self.order.count(best, 1);
        let slot = &self.slots[best];
        if self.rules.takes_more(slot.instance, slot.room, slot.planned) {
            self.order.put_back(best, &self.slots);
        }
        self.order.settle(best);
        Some(Place { instance: slot.instance.id, interface })
    }
}
