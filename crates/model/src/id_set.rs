//! Sets of task ids, one for each key, in the order of ids. Most hold a few ids, some of them all there are: a small set is
//! a sorted list, a large one many lists, found by the first bits of an id as in [`crate::id_map`].

use crate::id_map::place;
use crate::ids::TaskId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Ids of a set that is one list; also of a list of a large set, on average, before there are twice as many lists.
const FULL: usize = 128;

/// A set of ids.
#[derive(Clone, Debug)]
enum IdSet {
    Few(Vec<TaskId>),
    /// Two to the power of `bits` lists. A copy shares them until one of them is altered.
    Many {
        lists: Vec<Arc<Vec<TaskId>>>,
        bits: u32,
        len: usize,
    },
}

impl Default for IdSet {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl PartialEq for IdSet {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for IdSet {}

impl IdSet {
    fn insert(&mut self, id: TaskId) {
        match self {
            Self::Few(list) if list.len() < FULL => insert(list, id),
            Self::Few(list) => {
                let (len, list) = (list.len(), std::mem::take(list));
                *self = Self::Many { lists: vec![Arc::new(list)], bits: 0, len };
                self.insert(id);
            }
            Self::Many { lists, bits, len } => {
                if *len >= lists.len() * FULL {
                    *bits += 1;
                    *lists = halved(std::mem::take(lists), *bits);
                }
                let list = Arc::make_mut(&mut lists[place(&id, *bits)]);
                *len -= list.len();
                insert(list, id);
                *len += list.len();
            }
        }
    }

    fn remove(&mut self, id: TaskId) {
        match self {
            Self::Few(list) => remove(list, id),
            Self::Many { lists, bits, len } => {
                let list = Arc::make_mut(&mut lists[place(&id, *bits)]);
                *len -= list.len();
                remove(list, id);
                *len += list.len();
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many { len, .. } => *len == 0,
        }
    }

    /// The first from `from` on.
    fn next(&self, from: TaskId) -> Option<TaskId> {
        let first = |list: &[TaskId]| list.get(list.partition_point(|id| *id < from)).copied();
        match self {
            Self::Few(list) => first(list),
            Self::Many { lists, bits, .. } => lists[place(&from, *bits)..].iter().find_map(|list| first(list)),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &TaskId> + Clone {
        let (few, many) = match self {
            Self::Few(list) => (list.as_slice(), &[][..]),
            Self::Many { lists, .. } => (&[][..], lists.as_slice()),
        };
        few.iter().chain(many.iter().flat_map(|list| list.iter()))
    }
}

/// Grows by a quarter only: there are very many such lists.
fn insert(list: &mut Vec<TaskId>, id: TaskId) {
    if let Err(at) = list.binary_search(&id) {
        if list.len() == list.capacity() {
            list.reserve_exact(list.len() / 4 + 2);
        }
        list.insert(at, id);
    }
}

fn remove(list: &mut Vec<TaskId>, id: TaskId) {
    if let Ok(at) = list.binary_search(&id) {
        list.remove(at);
    }
}

/// Each list as two.
fn halved(lists: Vec<Arc<Vec<TaskId>>>, bits: u32) -> Vec<Arc<Vec<TaskId>>> {
    let mut halves = Vec::with_capacity(lists.len() * 2);
    for (at, list) in lists.into_iter().enumerate() {
        let middle = list.partition_point(|id| place(id, bits) == 2 * at);
        let (lower, upper) = list.split_at(middle);
        halves.extend([Arc::new(lower.to_vec()), Arc::new(upper.to_vec())]);
    }
    halves
}

/// A set for each key that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdSets<K>(BTreeMap<K, IdSet>);

impl<K> Default for IdSets<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> IdSets<K> {
    /// Adds an id under a key.
    pub fn insert(&mut self, key: K, id: TaskId) {
        self.0.entry(key).or_default().insert(id);
    }

    /// Takes an id away.
    pub fn remove(&mut self, key: &K, id: TaskId) {
        let Some(set) = self.0.get_mut(key) else { return };
        set.remove(id);
        if set.is_empty() {
            self.0.remove(key);
        }
    }

    /// The ids under a key.
    pub fn of(&self, key: &K) -> impl Iterator<Item = &TaskId> + Clone + use<'_, K> {
        self.0.get(key).into_iter().flat_map(IdSet::iter)
    }

    /// The first id under a key, from `from` on.
    pub fn next(&self, key: &K, from: TaskId) -> Option<TaskId> {
        self.0.get(key)?.next(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ids;
    use std::collections::BTreeSet;

    #[test]
    fn they_are_what_trees_are() {
        let (mut ids, mut sets, mut tree) = (Ids::seeded(1), IdSets::default(), BTreeSet::new());
        let mut known: Vec<TaskId> = vec![TaskId([0; 16]), TaskId([0xff; 16])];
        for step in 0..20_000_u64 {
            known.push(ids.task());
            let id = known[(ids.bits() % known.len() as u64) as usize];
            // One large set and many small ones; all shrink in the end.
            let key = if ids.bits() % 2 == 0 { 0 } else { ids.bits() % 1_000 };
            if ids.bits() % 8 < if step < 15_000 { 1 } else { 7 } {
                sets.remove(&key, id);
                tree.remove(&(key, id));
            } else {
                sets.insert(key, id);
                tree.insert((key, id));
            }
            let from = known[(ids.bits() % known.len() as u64) as usize];
            let next = tree.range((key, from)..=(key, TaskId([0xff; 16]))).next().map(|(_, id)| *id);
            assert_eq!(sets.next(&key, from), next);
        }
        let all = |key: u64| tree.range((key, TaskId([0; 16]))..=(key, TaskId([0xff; 16]))).map(|(_, id)| id);
        assert!((0..1_000).all(|key| sets.of(&key).eq(all(key))) && sets.of(&0).count() > 1_000);
        let mut again = IdSets::default();
        tree.iter().rev().for_each(|(key, id)| again.insert(*key, *id));
        assert!(again == sets && again.0.len() == sets.0.len());
        tree.iter().for_each(|(key, id)| sets.remove(key, *id));
        assert!(sets.0.is_empty());
    }
}
