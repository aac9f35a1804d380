//! Which subnet and address a task's interface gets: on an instance's own zone where it can, then in the zone with the
//! fewest tasks of its group, then in the emptiest subnet.

use super::Ask;
use model::state::State;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub(crate) struct Subnets<'a> {
    list: Vec<Choice<'a>>,
    /// Tasks of the group in each zone.
    zones: BTreeMap<&'a str, u32>,
}

struct Choice<'a> {
    position: u8,
    zone: &'a str,
    interfaces: u32,
    free: Box<dyn Iterator<Item = Ipv4Addr> + 'a>,
}

impl std::fmt::Debug for Subnets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.list.iter().map(|choice| choice.position)).finish()
    }
}

impl<'a> Subnets<'a> {
    pub fn new(state: &'a State, ask: &Ask<'_>) -> Self {
        let vpc = &state.meta().vpc;
        let choice = |position: &u8| {
            let subnet = vpc.subnets.get(usize::from(*position))?;
            let free: Box<dyn Iterator<Item = Ipv4Addr> + 'a> = Box::new(state.free_addresses(*position));
            Some(Choice {
                position: *position,
                zone: &subnet.zone,
                interfaces: state.subnet_eni_count(*position),
                free,
            })
        };
        let list: Vec<Choice<'a>> = ask.subnets.iter().filter_map(choice).collect();
        let mut zones = BTreeMap::new();
        for (position, subnet) in (0..=u8::MAX).zip(&vpc.subnets).filter(|_| !list.is_empty()) {
            let count = state.group_subnet_count(ask.cluster, ask.group.clone(), position);
            *zones.entry(&*subnet.zone).or_default() += count;
        }
        Self { list, zones }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A subnet with a free address, and that address.
    pub fn take(&mut self, near: Option<&str>) -> Option<(u8, Ipv4Addr)> {
        loop {
            let tasks = |zone: &str| self.zones.get(zone).copied().unwrap_or(0);
            let rank = |choice: &Choice<'_>| {
                (near.is_some_and(|near| near != choice.zone), tasks(choice.zone), choice.interfaces, choice.position)
            };
            let best = (0..self.list.len()).min_by_key(|n| rank(&self.list[*n]))?;
            let choice = &mut self.list[best];
            let Some(address) = choice.free.next() else {
                self.list.remove(best);
                continue;
            };
            choice.interfaces += 1;
            *self.zones.entry(choice.zone).or_default() += 1;
            return Some((choice.position, address));
        }
    }
}
