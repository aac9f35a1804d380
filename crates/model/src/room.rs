//! Container instances by the memory that is free on them, so that the roomiest and the tightest are found without looking
//! at all.

use crate::ids::{ClusterId, InstanceId};
use crate::instance::Instance;
use crate::state::{Counts, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Instances that take the same tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pool {
    /// The container instances of a cluster.
    Cluster(ClusterId),
    /// The hosts that Fargate tasks run on.
    Fargate,
}

/// Where an instance is listed: the pool, its zone, its free MiB.
type Listing = (Pool, Option<Arc<str>>, u32);

/// The instances of one pool in one zone, by free MiB.
type Zone = BTreeSet<(u32, InstanceId)>;

/// Registered instances by pool and zone, and there by free memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rooms {
    zones: BTreeMap<(Pool, Option<Arc<str>>), Zone>,
    listed: BTreeMap<InstanceId, Vec<Listing>>,
}

impl Rooms {
    fn put(&mut self, id: InstanceId, listings: Vec<Listing>) {
        let old = self.listed.remove(&id).unwrap_or_default();
        if old != listings {
            for (pool, zone, memory) in old {
                let key = (pool, zone);
                if let Some(set) = self.zones.get_mut(&key) {
                    set.remove(&(memory, id));
                    if set.is_empty() {
                        self.zones.remove(&key);
                    }
                }
            }
            for (pool, zone, memory) in &listings {
                self.zones.entry((*pool, zone.clone())).or_default().insert((*memory, id));
            }
        }
        if !listings.is_empty() {
            self.listed.insert(id, listings);
        }
    }
}

fn listings(instance: &Instance, booked: Counts) -> Vec<Listing> {
    let zone: Option<Arc<str>> = instance.zone().map(Into::into);
    let own = (Pool::Cluster(instance.cluster), zone.clone(), instance.memory.saturating_sub(booked.memory));
    let fargate = instance.fargate_capacity();
    let fargate = fargate.map(|(_, memory)| (Pool::Fargate, zone, memory.saturating_sub(booked.memory)));
    std::iter::once(own).chain(fargate).collect()
}

impl State {
    /// Lists an instance where it belongs, after it or what is booked on it has changed.
    pub(crate) fn list_room(&mut self, id: InstanceId) {
        let registered = self.instances.get(&id).filter(|instance| instance.is_registered());
        let listings = registered.map(|instance| listings(instance, self.instance_counts(id))).unwrap_or_default();
        self.index.rooms.put(id, listings);
    }

    /// The zones in which a pool has registered instances; `None`: those that say none.
    pub fn pool_zones(&self, pool: Pool) -> impl Iterator<Item = Option<&str>> {
        let zones = self.index.rooms.zones.range((pool, None)..).take_while(move |((known, _), _)| *known == pool);
        zones.map(|((_, zone), _)| zone.as_deref())
    }

    /// Registered instances of a pool in a zone with at least `least` MiB free, the roomiest or the tightest first; those
    /// with as much by id.
    pub fn by_room(
        &self,
        pool: Pool,
        zone: Option<&str>,
        least: u32,
        roomiest: bool,
    ) -> impl Iterator<Item = InstanceId> + use<'_> {
        const FIRST: InstanceId = InstanceId([0; 16]);
        const LAST: InstanceId = InstanceId([0xff; 16]);
        let set = self.index.rooms.zones.get(&(pool, zone.map(Into::into)));
        let first = move |set: &Zone| match roomiest {
            true => set.last().map(|(memory, _)| *memory).filter(|memory| *memory >= least),
            false => set.range((least, FIRST)..).next().map(|(memory, _)| *memory),
        };
        set.into_iter().flat_map(move |set| {
            std::iter::successors(first(set), move |memory| match roomiest {
                true => set.range(..(*memory, FIRST)).next_back().map(|(m, _)| *m).filter(|memory| *memory >= least),
                false => set.range((memory.checked_add(1)?, FIRST)..).next().map(|(memory, _)| *memory),
            })
            .flat_map(move |memory| set.range((memory, FIRST)..=(memory, LAST)).map(|(_, id)| *id))
        })
    }
}
