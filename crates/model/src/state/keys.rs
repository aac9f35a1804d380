//! Under which keys a task is found. An index is touched only where a key of it has changed, so that most reports of a
//! node, which change none, cost no more than the task.

use super::{Counts, STOPPED_SHOWN_MS, State};
use crate::Millis;
use crate::group::Group;
use crate::id_set::IdSets;
use crate::ids::{ClusterId, EniId, FamilyId, InstanceId, ServiceId, TaskId, Uuid};
use crate::port::HostPort;
use crate::task::{Desired, Eni, EniStatus, LaunchType, Task, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// How far a task is: lists are sorted by it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shelf {
    /// Wanted RUNNING.
    Wanted,
    /// Wanted STOPPED, and not yet.
    Stopping,
    /// STOPPED.
    Stopped,
}

impl Shelf {
    fn of(task: &Task) -> Self {
        match (task.desired, task.status) {
            (_, TaskStatus::Stopped) => Self::Stopped,
            (Desired::Stopped, _) => Self::Stopping,
            (Desired::Running, _) => Self::Wanted,
        }
    }
}

/// A number for `startedBy`. Two texts may have the same: who looks by it compares the texts too.
pub(crate) fn starter(text: &str) -> u64 {
    match text.strip_prefix("ecs-svc/").and_then(|number| number.parse().ok()) {
        Some(number) => number,
        // FNV-1a.
        None => text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)),
    }
}

/// All keys of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    shelf: Shelf,
    cluster: (ClusterId, LaunchType),
    family: FamilyId,
    service: Option<ServiceId>,
    instance: Option<InstanceId>,
    starter: Option<u64>,
    provider: Option<Box<str>>,
    /// Of a task that is wanted RUNNING.
    group: Option<Group>,
    /// CPU units and MiB, and whether it has been RUNNING; of a task that is not STOPPED.
    booked: Option<(bool, u32, u32)>,
    ports: Vec<HostPort>,
    /// GPUs that it has; of a task that is not STOPPED.
    gpus: Vec<Box<str>>,
    /// One that is not gone.
    eni: Option<(EniId, Uuid, u8, Ipv4Addr)>,
    /// Since when and for what.
    waiting: Option<(Millis, Box<str>)>,
    expires: Option<Millis>,
}

impl Keys {
    pub fn of(task: &Task) -> Self {
        let live = task.status != TaskStatus::Stopped;
        let eni = task.eni.as_ref().filter(|eni| eni.status != EniStatus::Deleted);
        let gpus = task.gpus.as_ref().filter(|_| live);
        let starter = || task.started_by.as_deref().map(starter);
        Self {
            shelf: Shelf::of(task),
            cluster: (task.cluster, task.launch_type),
            family: task.definition.family,
            service: task.service.map(|member| member.service),
            instance: task.instance,
            starter: task.service.map(|member| member.deployment).or_else(starter),
            provider: task.provider.clone().filter(|_| live),
            group: (task.desired == Desired::Running).then(|| Group::of(task)),
            booked: live.then(|| (task.status.is_running(), task.cpu, task.memory)),
            ports: if live && task.instance.is_some() { task.host_ports().collect() } else { Vec::new() },
            gpus: gpus.into_iter().flat_map(|gpus| gpus.ids().map(Box::from)).collect(),
            eni: eni.map(|eni: &Eni| (eni.id, eni.attachment, eni.subnet, eni.address)),
            waiting: task.is_waiting().then(|| (task.times.created, task.need())),
            expires: (!live).then_some(task.times.stopped + STOPPED_SHOWN_MS),
        }
    }
}

/// Moves an entry of an index.
fn shift<K: Ord>(set: &mut BTreeSet<K>, old: Option<K>, new: Option<K>) {
    if old != new {
        if let Some(old) = old {
            set.remove(&old);
        }
        set.extend(new);
    }
}

/// Moves an id to another list.
fn relist<K: Ord>(sets: &mut IdSets<K>, id: TaskId, old: Option<K>, new: Option<K>) {
    if old != new {
        if let Some(old) = old {
            sets.remove(&old, id);
        }
        if let Some(new) = new {
            sets.insert(new, id);
        }
    }
}

/// Adds to a sum that is kept while it is not zero.
fn sum<K: Ord + Clone>(map: &mut BTreeMap<K, u32>, old: Option<K>, new: Option<K>) {
    if old == new {
        return;
    }
    if let Some(key) = old
        && let Some(count) = map.get_mut(&key)
    {
        *count -= 1;
        if *count == 0 {
            map.remove(&key);
        }
    }
    if let Some(key) = new {
        *map.entry(key).or_default() += 1;
    }
}

/// The same of what is booked.
fn count<K: Ord>(
    map: &mut BTreeMap<K, Counts>,
    old: Option<(K, (bool, u32, u32))>,
    new: Option<(K, (bool, u32, u32))>,
) {
    if old == new {
        return;
    }
    if let Some((key, booked)) = old
        && let Some(counts) = map.get_mut(&key)
    {
        counts.subtract(booked);
        if counts.is_zero() {
            map.remove(&key);
        }
    }
    if let Some((key, booked)) = new {
        map.entry(key).or_default().add(booked);
    }
}

/// The GPUs of an instance and who has them; an instance with none given is not there.
pub(crate) type GpuHolders = BTreeMap<InstanceId, BTreeMap<Box<str>, TaskId>>;

fn gpus(holders: &mut GpuHolders, id: TaskId, old: Option<&Keys>, new: Option<&Keys>) {
    let held = |keys: Option<&Keys>| keys.and_then(|keys| Some((keys.instance?, keys.gpus.clone())));
    let none = |keys: Option<&Keys>| keys.is_none_or(|keys| keys.gpus.is_empty());
    if (none(old) && none(new)) || held(old) == held(new) {
        return;
    }
    if let Some((instance, gpus)) = held(old)
        && let Some(given) = holders.get_mut(&instance)
    {
        given.retain(|gpu, holder| *holder != id || !gpus.contains(gpu));
        if given.is_empty() {
            holders.remove(&instance);
        }
    }
    if let Some((instance, gpus)) = held(new).filter(|(_, gpus)| !gpus.is_empty()) {
        holders.entry(instance).or_default().extend(gpus.into_iter().map(|gpu| (gpu, id)));
    }
}

impl State {
    /// Finds a task under its new keys instead of the old; without new ones it is gone, without old ones it has come.
    pub(super) fn shift(&mut self, id: TaskId, old: Option<&Keys>, new: Option<&Keys>) {
        if old == new {
            return;
        }
        let index = &mut self.index;
        macro_rules! each {
            ($how:ident($map:ident), |$keys:ident| $key:expr) => {
                let key = |$keys: &Keys| $key;
                $how(&mut index.$map, old.and_then(key), new.and_then(key));
            };
        }
        macro_rules! list {
            ($sets:ident, |$keys:ident| $key:expr) => {
                let key = |$keys: &Keys| $key;
                relist(&mut index.$sets, id, old.and_then(key), new.and_then(key));
            };
        }
        list!(cluster_tasks, |keys| Some((keys.cluster.0, keys.cluster.1, keys.shelf)));
        list!(family_tasks, |keys| Some((keys.cluster.0, keys.family, keys.shelf)));
        list!(starter_tasks, |keys| Some((keys.cluster.0, keys.starter?, keys.shelf)));
        list!(instance_tasks, |keys| Some((keys.instance?, keys.shelf)));
        list!(service_tasks, |keys| Some((keys.service?, keys.shelf)));
        each!(shift(waiting), |keys| Some((keys.cluster.0, keys.waiting.as_ref()?.0, id)));
        each!(shift(waiting_needs), |keys| {
            let (since, need) = keys.waiting.clone()?;
            Some((keys.cluster.0, need, since, id))
        });
        each!(shift(expiries), |keys| Some((keys.expires?, id)));
        each!(count(cluster_counts), |keys| Some((keys.cluster, keys.booked?)));
        each!(count(instance_counts), |keys| Some((keys.instance?, keys.booked?)));
        each!(sum(provider_tasks), |keys| Some((keys.cluster.0, keys.provider.clone()?)));
        each!(sum(group_instances), |keys| Some((keys.cluster.0, keys.group.clone()?, keys.instance?)));
        each!(sum(group_subnets), |keys| Some((keys.cluster.0, keys.group.clone()?, keys.eni?.2)));
        each!(sum(subnet_enis), |keys| Some(keys.eni?.2));
        each!(shift(addresses), |keys| Some(keys.eni?.3));
        let interface =
            |keys: Option<&Keys>| keys.and_then(|keys| keys.eni).map(|(eni, attachment, ..)| (eni, attachment));
        if interface(old) != interface(new) {
            if let Some((eni, attachment)) = interface(old) {
                index.enis.remove(&eni);
                index.attachments.remove(&attachment);
            }
            if let Some((eni, attachment)) = interface(new) {
                index.enis.insert(eni, id);
                index.attachments.insert(attachment, id);
            }
        }
        let ports = |keys: Option<&Keys>| -> Vec<(InstanceId, HostPort, TaskId)> {
            let on = keys.and_then(|keys| Some((keys.instance?, &keys.ports)));
            on.into_iter().flat_map(|(instance, ports)| ports.iter().map(move |port| (instance, *port, id))).collect()
        };
        let (before, after) = (ports(old), ports(new));
        if before != after {
            for key in &before {
                index.instance_ports.remove(key);
            }
            index.instance_ports.extend(after);
        }
        gpus(&mut index.instance_gpus, id, old, new);
        let room = |keys: &Keys| Some((keys.instance?, keys.booked?.2));
        let (before, after) = (old.and_then(room), new.and_then(room));
        if before != after {
            let instances = [before, after].map(|room| room.map(|(instance, _)| instance));
            let other = instances[1].filter(|instance| instances[0] != Some(*instance));
            instances[0].into_iter().chain(other).for_each(|instance| self.list_room(instance));
        }
    }
}
