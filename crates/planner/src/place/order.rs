//! Which of the instances that take a task is best: strategies as ranks, compared one after the other.
//!
//! Ranks that many instances share (how many of the group are in a zone) change for all of them at once, so that instances
//! hang in a tree: a level for each attribute that tasks are spread over, values by their count, and at its leaves the
//! instances by what is their own. The best is the first of the first; placing costs the depth, not the fleet. A strategy
//! that spreads over an attribute after one that looks at single instances has no such tree, and neither is one worth
//! making for a few tasks: then all instances are looked at.

use super::{Ask, Slot};
use model::group::Group;
use model::instance::{ATTRIBUTE_ZONE, Instance};
use model::placement::{Field, Resource, STRATEGIES_MAX, Strategy};
use model::task::LaunchType;
use std::collections::{BTreeMap, BTreeSet};

/// Tasks that are placed by looking at all instances, before a tree is made.
const SCANS: u32 = 3;

/// One for each strategy, and one for what they leave equal.
type Key = [u64; STRATEGIES_MAX + 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// Tasks of the group at instances that share the values of the attributes up to this level.
    Level(usize),
    /// Tasks of the group on the instance.
    Instance,
    Cpu,
    Memory,
    Random,
}

/// A value of an attribute among instances that share those of the levels before.
#[derive(Debug, Default)]
struct Node {
    parent: usize,
    /// Tasks of the group there.
    count: u32,
    /// Children by count, and those of the same count by the best slot below them.
    children: BTreeSet<(u32, Best, usize)>,
    /// Of the last level: instances by their own ranks.
    slots: BTreeSet<Best>,
    /// As it stands among its parent's children.
    listed: Option<(u32, Best)>,
}

/// A slot and its ranks.
type Best = (Key, usize);

#[derive(Debug)]
pub(crate) struct Order<'a> {
    ranks: Vec<Rank>,
    /// Attributes that tasks are spread over.
    levels: Vec<&'a str>,
    nodes: Vec<Node>,
    names: BTreeMap<(usize, Option<&'a str>), usize>,
    /// For each slot the nodes it is in.
    paths: Vec<[u32; STRATEGIES_MAX]>,
    /// Slots that take tasks, and where each is in that list.
    live: Vec<usize>,
    position: Vec<usize>,
    seed: u64,
    packs: bool,
    scans: u32,
    in_tree: bool,
}

impl<'a> Order<'a> {
    pub fn new(ask: &'a Ask<'a>, slots: &[Slot<'a>]) -> Self {
        let (mut ranks, mut levels) = (Vec::new(), Vec::new());
        let mut level = |name: &'a str, ranks: &mut Vec<Rank>| {
            ranks.push(Rank::Level(levels.len()));
            levels.push(name);
        };
        for strategy in &ask.placement.strategy {
            match strategy {
                Strategy::Random => ranks.push(Rank::Random),
                Strategy::Spread(Field::Instance { .. }) => ranks.push(Rank::Instance),
                Strategy::Spread(Field::Attribute(name)) => level(name, &mut ranks),
                Strategy::Binpack(Resource::Cpu) => ranks.push(Rank::Cpu),
                Strategy::Binpack(Resource::Memory) => ranks.push(Rank::Memory),
            }
        }
        // Without a word about it, tasks on container instances are spread over zones, and those of a service over the
        // instances of a zone (developer guide, service scheduler).
        if ranks.is_empty() && ask.launch_type != LaunchType::Fargate {
            level(ATTRIBUTE_ZONE, &mut ranks);
            ranks.extend(matches!(ask.group, Group::Service(_)).then_some(Rank::Instance));
        }
        let packs = ranks.iter().any(|rank| matches!(rank, Rank::Cpu | Rank::Memory | Rank::Random));
        let mut order = Self {
            ranks,
            levels,
            nodes: vec![Node::default()],
            names: BTreeMap::new(),
            paths: Vec::with_capacity(slots.len()),
            live: (0..slots.len()).collect(),
            position: (0..slots.len()).collect(),
            seed: ask.seed,
            packs,
            scans: 0,
            in_tree: false,
        };
        for slot in slots {
            let path = order.path(slot.instance);
            order.paths.push(path);
        }
        order
    }

    /// The nodes of an instance, made where there are none.
    fn path(&mut self, instance: &'a Instance) -> [u32; STRATEGIES_MAX] {
        let mut path = [0; STRATEGIES_MAX];
        let mut parent = 0;
        for (level, name) in self.levels.iter().enumerate() {
            let next = self.nodes.len();
            let node = *self.names.entry((parent, instance.attribute(name))).or_insert(next);
            if node == next {
                self.nodes.push(Node { parent, ..Node::default() });
            }
            path[level] = node as u32;
            parent = node;
        }
        path
    }

    /// Tasks of the group on an instance that takes none count where it stands.
    pub fn count_elsewhere(&mut self, instance: &'a Instance, count: u32) {
        let path = self.path(instance);
        self.paths.push(path);
        self.count(self.paths.len() - 1, count);
        self.paths.pop();
    }

    /// That many tasks of the group more at a slot.
    pub fn count(&mut self, slot: usize, more: u32) {
        for level in 0..self.levels.len() {
            self.nodes[self.paths[slot][level] as usize].count += more;
        }
    }

    /// Slots that take tasks.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// The best of them.
    pub fn best(&mut self, slots: &[Slot<'_>]) -> Option<usize> {
        if self.scans < SCANS || !self.has_tree() {
            self.scans += 1;
            return self.live.iter().copied().min_by_key(|slot| (self.key(slots, *slot, 0), *slot));
        }
        if !self.in_tree {
            self.in_tree = true;
            for slot in self.live.clone() {
                let key = self.key(slots, slot, self.levels.len());
                let leaf = self.leaf(slot);
                self.nodes[leaf].slots.insert((key, slot));
            }
            // Nodes come after their parents.
            (1..self.nodes.len()).rev().for_each(|node| self.list(node));
        }
        self.best_below(0).map(|(_, slot)| slot)
    }

    /// Attributes come before everything else.
    fn has_tree(&self) -> bool {
        self.ranks.iter().take(self.levels.len()).all(|rank| matches!(rank, Rank::Level(_)))
    }

    /// What a slot is ordered by, from a rank on.
    fn key(&self, slots: &[Slot<'_>], n: usize, from: usize) -> Key {
        let mut key = Key::default();
        let slot = &slots[n];
        for (at, rank) in self.ranks.iter().enumerate().skip(from) {
            key[at] = match rank {
                Rank::Level(level) => u64::from(self.nodes[self.paths[n][*level] as usize].count),
                Rank::Instance => u64::from(slot.group),
                Rank::Cpu => u64::from(slot.room.cpu),
                Rank::Memory => u64::from(slot.room.memory),
                Rank::Random => drawn(self.seed, slot),
            };
        }
        // Where nothing is packed, the roomiest of equals.
        key[STRATEGIES_MAX] = if self.packs { 0 } else { u64::MAX - u64::from(slot.room.memory) };
        key
    }

    fn best_below(&self, node: usize) -> Option<Best> {
        let Node { children, slots, .. } = &self.nodes[node];
        children.first().map(|(_, best, _)| *best).or(slots.first().copied())
    }

    /// Puts a node where it belongs among its parent's children.
    fn list(&mut self, node: usize) {
        let Node { parent, count, listed, .. } = self.nodes[node];
        if let Some((count, best)) = listed {
            self.nodes[parent].children.remove(&(count, best, node));
        }
        let best = self.best_below(node);
        // Its own count is the rank before those of what is below it.
        let level = self.depth(node) - 1;
        let best = best.map(|(mut key, slot)| {
            key[level] = u64::from(count);
            (count, (key, slot))
        });
        if let Some((count, best)) = best {
            self.nodes[parent].children.insert((count, best, node));
        }
        self.nodes[node].listed = best;
    }

    fn depth(&self, node: usize) -> usize {
        std::iter::successors(Some(node), |node| (*node != 0).then(|| self.nodes[*node].parent)).count() - 1
    }

    fn leaf(&self, slot: usize) -> usize {
        self.levels.len().checked_sub(1).map_or(0, |last| self.paths[slot][last] as usize)
    }

    /// Takes a slot out, before anything of it changes.
    pub fn take_out(&mut self, slot: usize, slots: &[Slot<'_>]) {
        let at = self.position[slot];
        self.live.swap_remove(at);
        if let Some(moved) = self.live.get(at) {
            self.position[*moved] = at;
        }
        if self.in_tree {
            let key = self.key(slots, slot, self.levels.len());
            let leaf = self.leaf(slot);
            self.nodes[leaf].slots.remove(&(key, slot));
        }
    }

    /// Puts a slot back that takes another task.
    pub fn put_back(&mut self, slot: usize, slots: &[Slot<'_>]) {
        self.position[slot] = self.live.len();
        self.live.push(slot);
        if self.in_tree {
            let key = self.key(slots, slot, self.levels.len());
            let leaf = self.leaf(slot);
            self.nodes[leaf].slots.insert((key, slot));
        }
    }

    /// After a slot was taken out, counted and perhaps put back: its nodes stand where they belong again.
    pub fn settle(&mut self, slot: usize) {
        let levels = if self.in_tree { self.levels.len() } else { 0 };
        for level in (0..levels).rev() {
            self.list(self.paths[slot][level] as usize);
        }
    }
}

/// A number for a slot, another one after each task that it is given.
fn drawn(seed: u64, slot: &Slot<'_>) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = slot.instance.id.0;
    let id = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let mut mixed = seed ^ id.rotate_left(17) ^ u64::from(slot.planned).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb_u64] {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 31)
}
