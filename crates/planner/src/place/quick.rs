//! The best place for a few tasks, found in the lists that the state keeps instead of by looking at every instance. Decides
//! as `Order` does, for the strategies that those lists know: spread over zones, then over instances, then the roomiest
//! or, packed by memory, the tightest.

use super::rules::{Room, Rules};
use super::{Ask, Place, Subnets};
use model::group::Group;
use model::instance::{ATTRIBUTE_ZONE, Instance};
use model::placement::{Field, Resource, Strategy};
use model::room::Pool;
use model::state::State;
use model::task::LaunchType;
use model::{InstanceId, Millis};
use std::collections::BTreeMap;

/// What instances are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    zones: bool,
    instances: bool,
    packs: bool,
}

impl Shape {
    /// `None`: the lists do not know such an order.
    fn of(ask: &Ask<'_>) -> Option<Self> {
        if ask.instance.is_some() {
            return None;
        }
        let usual = ask.launch_type != LaunchType::Fargate;
        if ask.placement.strategy.is_empty() {
            let service = matches!(ask.group, Group::Service(_));
            return Some(Self { zones: usual, instances: usual && service, packs: false });
        }
        let mut shape = Self::default();
        for strategy in &ask.placement.strategy {
            let step = match strategy {
                Strategy::Spread(Field::Attribute(name)) if &**name == ATTRIBUTE_ZONE => &mut shape.zones,
                Strategy::Spread(Field::Instance { .. }) => &mut shape.instances,
                Strategy::Binpack(Resource::Memory) => &mut shape.packs,
                _ => return None,
            };
            // In this order only, each once.
            *step = true;
        }
        let wanted = [shape.zones, shape.instances, shape.packs].iter().filter(|step| **step).count();
        let order = |strategy: &Strategy| match strategy {
            Strategy::Spread(Field::Attribute(_)) => 0,
            Strategy::Spread(Field::Instance { .. }) => 1,
            _ => 2,
        };
        let ordered = ask.placement.strategy.iter().is_sorted_by_key(order);
        (ordered && wanted == ask.placement.strategy.len()).then_some(shape)
    }
}

/// What is particular about an instance: tasks of the group that it has, and that are planned for it.
#[derive(Clone, Copy, Debug, Default)]
struct Special {
    group: u32,
    planned: u32,
}

/// By what the best is told: tasks of the group, how roomy or tight it is, its id.
type Key = (u32, u32, InstanceId);

struct Quick<'a> {
    state: &'a State,
    rules: Rules<'a>,
    shape: Shape,
    pool: Pool,
    special: BTreeMap<InstanceId, Special>,
    zones: BTreeMap<Option<&'a str>, u32>,
}

/// Places for up to `count` tasks; `None`: all instances must be looked at.
pub(super) fn places(state: &State, now: Millis, ask: &Ask<'_>, count: usize) -> Option<Vec<Place>> {
    let shape = Shape::of(ask)?;
    let fargate = ask.launch_type == LaunchType::Fargate;
    let pool = if fargate { Pool::Fargate } else { Pool::Cluster(ask.cluster) };
    let (mut special, mut zones) = (BTreeMap::new(), BTreeMap::new());
    for (id, group) in state.group_instances(ask.cluster, &ask.group) {
        special.insert(id, Special { group, planned: 0 });
        if let Some(instance) = state.instances.get(&id).filter(|_| shape.zones) {
            *zones.entry(instance.zone()).or_default() += group;
        }
    }
    let rules = Rules::new(state, now, ask);
    let mut quick = Quick { state, rules, shape, pool, special, zones };
    let mut subnets = Subnets::new(state, ask);
    let mut places = Vec::new();
    while places.len() < count
        && let Some(instance) = quick.best()
    {
        let zone = instance.zone();
        let interface = match subnets.is_empty() {
            true => None,
            false => match subnets.take(zone.filter(|_| !fargate)) {
                Some(interface) => Some(interface),
                None => break,
            },
        };
        quick.plan(instance);
        places.push(Place { instance: instance.id, interface });
    }
    Some(places)
}

impl<'a> Quick<'a> {
    fn plan(&mut self, instance: &'a Instance) {
        let special = self.special.entry(instance.id).or_default();
        special.group += 1;
        special.planned += 1;
        if self.shape.zones {
            *self.zones.entry(instance.zone()).or_default() += 1;
        }
    }

    /// The best instance that takes one more.
    fn best(&self) -> Option<&'a Instance> {
        let count = |zone: &Option<&str>| if self.shape.zones { self.zones.get(zone).copied().unwrap_or(0) } else { 0 };
        let mut zones: Vec<(u32, Option<&'a str>)> =
            self.state.pool_zones(self.pool).map(|zone| (count(&zone), zone)).collect();
        zones.sort_unstable();
        for tier in zones.chunk_by(|one, other| one.0 == other.0) {
            let ordinary = tier.iter().filter_map(|(_, zone)| self.ordinary(*zone));
            let of_tier = |instance: &Instance| tier.iter().any(|(_, zone)| *zone == instance.zone());
            let special = self.special.iter().filter_map(|(id, special)| self.special(*id, *special, &of_tier));
            if let Some((.., id)) = ordinary.chain(special).min() {
                return self.state.instances.get(&id);
            }
        }
        None
    }

    fn key(&self, id: InstanceId, room: Room, group: u32) -> Key {
        let memory = if self.shape.packs { room.memory } else { u32::MAX - room.memory };
        (if self.shape.instances { group } else { 0 }, memory, id)
    }

    fn reaches(&self, instance: &Instance) -> bool {
        let ask = self.rules.ask;
        self.pool == Pool::Fargate || ask.provider.is_none_or(|name| instance.capacity_provider() == Some(name))
    }

    /// The first of a zone that has nothing of the group and takes a task.
    fn ordinary(&self, zone: Option<&str>) -> Option<Key> {
        let ask = self.rules.ask;
        let mut listed = self.state.by_room(self.pool, zone, ask.memory, !self.shape.packs);
        listed.find_map(|id| {
            let instance = self.state.instances.get(&id).filter(|_| !self.special.contains_key(&id))?;
            let room = self.rules.room(instance);
            (self.reaches(instance) && self.rules.takes(instance, room, 0)).then(|| self.key(id, room, 0))
        })
    }

    /// An instance that has tasks of the group, or is given some, if it takes one more.
    fn special(&self, id: InstanceId, special: Special, of_tier: &impl Fn(&Instance) -> bool) -> Option<Key> {
        let instance = self.state.instances.get(&id).filter(|instance| instance.is_registered())?;
        let in_pool = match self.pool {
            Pool::Cluster(cluster) => instance.cluster == cluster,
            Pool::Fargate => instance.fargate_capacity().is_some(),
        };
        if !in_pool || !self.reaches(instance) || !of_tier(instance) {
            return None;
        }
        let (ask, free) = (self.rules.ask, self.rules.room(instance));
        let room = Room {
            cpu: free.cpu.checked_sub(ask.cpu.saturating_mul(special.planned))?,
            memory: free.memory.checked_sub(ask.memory.saturating_mul(special.planned))?,
            gpus: free.gpus.checked_sub(ask.gpus.saturating_mul(special.planned))?,
        };
        let takes = match special.planned {
            0 => self.rules.takes(instance, room, 0),
            planned => self.rules.takes_more(instance, room, planned),
        };
        takes.then(|| self.key(id, room, special.group))
    }
}
