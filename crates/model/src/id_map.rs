//! A map by ids that are drawn at random, in their order.
//!
//! As such ids are spread evenly, the first bits of one say in which of many small buckets it is, so that finding it costs
//! the same in a map of ten and of a million. A copy shares all buckets with its original until one of them alters one.
//! Ids that are not spread evenly are found all the same, only slower.

use crate::ids::{InstanceId, TaskId};
use std::ops::Index;
use std::sync::Arc;

/// Entries of a bucket, on average, before there are twice as many buckets.
const FULL: usize = 12;

/// An id that is drawn at random.
pub trait RandomId: Copy + Ord {
    /// Its first bits.
    fn head(&self) -> u64;
}

macro_rules! random_ids {
    ($($id:ty),*) => {$(
        impl RandomId for $id {
            fn head(&self) -> u64 {
                let [a, b, c, d, e, f, g, h, ..] = self.0;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }
        }
    )*};
}

random_ids!(TaskId, InstanceId);

type Bucket<K, V> = Vec<(K, Arc<V>)>;

/// The map.
#[derive(Clone, Debug)]
pub struct IdMap<K, V> {
    /// Two to the power of `bits`.
    buckets: Vec<Arc<Bucket<K, V>>>,
    bits: u32,
    len: usize,
}

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self { buckets: vec![Arc::default()], bits: 0, len: 0 }
    }
}

impl<K: RandomId, V: Clone> IdMap<K, V> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What has that id.
    pub fn get(&self, id: &K) -> Option<&V> {
        let bucket = &self.buckets[place(id, self.bits)];
        bucket.binary_search_by_key(id, |(known, _)| *known).ok().map(|at| &*bucket[at].1)
    }

    /// Whether anything has that id.
    pub fn contains_key(&self, id: &K) -> bool {
        self.get(id).is_some()
    }

    /// What has that id, to be altered.
    pub fn get_mut(&mut self, id: &K) -> Option<&mut V> {
        let bucket = &mut self.buckets[place(id, self.bits)];
        let at = bucket.binary_search_by_key(id, |(known, _)| *known).ok()?;
        Some(Arc::make_mut(&mut Arc::make_mut(bucket)[at].1))
    }

    /// Puts something under an id; what was there before.
    pub fn insert(&mut self, id: K, value: V) -> Option<V> {
        if self.len >= self.buckets.len() * FULL {
            self.grow();
        }
        let bucket = Arc::make_mut(&mut self.buckets[place(&id, self.bits)]);
        match bucket.binary_search_by_key(&id, |(known, _)| *known) {
            Ok(at) => Some(Arc::unwrap_or_clone(std::mem::replace(&mut bucket[at].1, Arc::new(value)))),
            Err(at) => {
                bucket.insert(at, (id, Arc::new(value)));
                self.len += 1;
                None
            }
        }
    }

    /// Takes out what has that id.
    pub fn remove(&mut self, id: &K) -> Option<V> {
        let bucket = &mut self.buckets[place(id, self.bits)];
        let at = bucket.binary_search_by_key(id, |(known, _)| *known).ok()?;
        let (_, value) = Arc::make_mut(bucket).remove(at);
        self.len -= 1;
        Some(Arc::unwrap_or_clone(value))
    }

    /// All, by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.buckets.iter().flat_map(|bucket| bucket.iter().map(|(id, value)| (id, &**value)))
    }

    /// All ids, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(id, _)| id)
    }

    /// All values, by id.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    fn grow(&mut self) {
        self.bits += 1;
        let mut buckets = Vec::with_capacity(self.buckets.len() * 2);
        for (at, bucket) in std::mem::take(&mut self.buckets).into_iter().enumerate() {
            let mut bucket = Arc::unwrap_or_clone(bucket);
            let middle = bucket.partition_point(|(id, _)| place(id, self.bits) == 2 * at);
            let upper = bucket.split_off(middle);
            buckets.extend([Arc::new(bucket), Arc::new(upper)]);
        }
        self.buckets = buckets;
    }
}

/// The bucket of an id among two to the power of `bits`.
pub(crate) fn place<K: RandomId>(id: &K, bits: u32) -> usize {
    id.head().checked_shr(64 - bits).unwrap_or(0) as usize
}

impl<K: RandomId, V: Clone> Index<&K> for IdMap<K, V> {
    type Output = V;

    fn index(&self, id: &K) -> &V {
        self.get(id).expect("what an index names is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ids;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_what_a_tree_is() {
        let (mut ids, mut map, mut tree) = (Ids::seeded(1), IdMap::default(), BTreeMap::new());
        let mut known: Vec<TaskId> = vec![TaskId([0; 16]), TaskId([0xff; 16])];
        for step in 0..5_000_u64 {
            known.push(ids.task());
            let id = known[(ids.bits() % known.len() as u64) as usize];
            match ids.bits() % 4 {
                0 => assert_eq!(map.remove(&id), tree.remove(&id)),
                1 => assert_eq!(map.get_mut(&id).map(|value| std::mem::replace(value, step)), {
                    tree.get_mut(&id).map(|value| std::mem::replace(value, step))
                }),
                _ => assert_eq!(map.insert(id, step), tree.insert(id, step)),
            }
            assert_eq!((map.len(), map.is_empty()), (tree.len(), tree.is_empty()));
            assert_eq!((map.get(&id), map.contains_key(&id)), (tree.get(&id), tree.contains_key(&id)));
        }
        assert!(map.iter().eq(tree.iter()) && map.keys().rev().eq(tree.keys().rev()) && map.bits > 3);
    }

    #[test]
    fn a_copy_is_its_own() {
        let (mut ids, mut map) = (Ids::seeded(2), IdMap::default());
        let known: Vec<TaskId> = (0..100).map(|_| ids.task()).collect();
        known.iter().for_each(|id| assert_eq!(map.insert(*id, 1), None));
        let mut copy = map.clone();
        *copy.get_mut(&known[0]).unwrap() = 2;
        copy.remove(&known[1]);
        (0..1_000).for_each(|_| assert_eq!(copy.insert(ids.task(), 3), None));
        assert!((map.len(), copy.len()) == (100, 1_099) && known.iter().all(|id| map[id] == 1));
    }
}
