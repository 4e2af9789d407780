//! Memory that forgets: what is taken out of these is overwritten where it stood (RLY-48).
//!
//! The standard library's maps only mark a place as free: addresses and mailboxes of connections that have ended would stay
//! in it until something else comes there. Freed memory is wiped by the program's allocator; this is for what is not freed.
//! No order: it is looked up, never gone through but to drop some.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::hint::black_box;
use std::net::IpAddr;

use hashbrown::HashTable;
use stonechat_wire::ids::Tag;

/// How much of a stack is wiped, in bytes: more than a connection's work goes down.
const STACK_BYTES: usize = 256 << 10;

/// Something that can be overwritten with nothing.
pub(crate) trait Blank {
    /// What says nothing, in all of its bytes.
    const BLANK: Self;
}

impl Blank for Tag {
    const BLANK: Self = Self::from_bytes([0; 16]);
}

impl Blank for IpAddr {
    // The longer of the two: it covers every byte.
    const BLANK: Self = Self::V6(std::net::Ipv6Addr::UNSPECIFIED);
}

impl Blank for [u8; 16] {
    const BLANK: Self = [0; 16];
}

impl Blank for u16 {
    const BLANK: Self = 0;
}

impl Blank for () {
    const BLANK: Self = ();
}

/// A map whose keys do not outlive their entries. Values that say something own it on the heap.
#[derive(Debug)]
pub(crate) struct ForgetfulMap<K, V> {
    table: HashTable<(K, V)>,
    hasher: RandomState,
}

impl<K, V> Default for ForgetfulMap<K, V> {
    fn default() -> Self {
        let (table, hasher) = (HashTable::new(), RandomState::new());
        Self { table, hasher }
    }
}

impl<K: Hash + Eq + Blank, V> ForgetfulMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let found = self.table.find(self.hasher.hash_one(key), |(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let hash = self.hasher.hash_one(key);
        let found = self.table.find_mut(hash, |(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Puts a value in the place of any other one.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.get_mut(&key) {
            Some(old) => *old = value,
            None => {
                self.or_insert(key, value);
            }
        }
    }

    /// What is there, or else this.
    pub(crate) fn or_insert(&mut self, key: K, value: V) -> &mut V {
        if self.table.len() == self.table.capacity() {
            self.make_room();
        }
        let hash = self.hasher.hash_one(&key);
        let hasher = &self.hasher;
        let entry = self
            .table
            .entry(hash, |(known, _)| *known == key, |(known, _)| hasher.hash_one(known));
        let (_, value) = entry.or_insert_with(|| (key, value)).into_mut();
        value
    }

    /// A table that is full of places which are only marked as free moves its entries about within itself, and leaves copies:
    /// so they go to a new one, and the old one is freed and wiped.
    fn make_room(&mut self) {
        let mut roomier = HashTable::with_capacity(self.table.len().saturating_mul(2).max(4));
        let hasher = &self.hasher;
        for (key, value) in self.table.drain() {
            let hash = hasher.hash_one(&key);
            roomier.insert_unique(hash, (key, value), |(known, _)| hasher.hash_one(known));
        }
        self.table = roomier;
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let hash = self.hasher.hash_one(key);
        let mut entry = self.table.find_entry(hash, |(known, _)| known == key).ok()?;
        entry.get_mut().0 = K::BLANK;
        let ((_, value), _) = entry.remove();
        Some(value)
    }

    /// Drops those that are not to stay.
    pub(crate) fn retain(&mut self, mut stays: impl FnMut(&K, &mut V) -> bool) {
        self.table.retain(|(key, value)| {
            let stays = stays(key, value);
            if !stays {
                *key = K::BLANK;
            }
            stays
        });
    }
}

impl<K: Hash + Eq + Blank, V> FromIterator<(K, V)> for ForgetfulMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(all: I) -> Self {
        let mut map = Self::default();
        for (key, value) in all {
            map.insert(key, value);
        }
        map
    }
}

/// Overwrites what earlier work has left on this thread's stack, below where it stands. For threads that are about to wait.
#[inline(never)]
pub fn wipe_stack() {
    black_box(&mut [0_u8; STACK_BYTES]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many come and go beside some that stay: a full table is made anew, and nothing is lost by it.
    #[test]
    fn a_map_that_many_came_to_and_left_keeps_what_stays_rly_48() {
        let mut map: ForgetfulMap<u16, usize> = (0..20).map(|key| (key, key.into())).collect();
        for key in 100..60_000 {
            map.insert(key, 0);
            assert_eq!(map.remove(&key), Some(0));
        }
        assert!(map.table.capacity() < 200, "{}", map.table.capacity());
        assert!((0..20).all(|key| map.get(&key) == Some(&usize::from(key))));
    }

    #[test]
    fn it_is_a_map() {
        let mut map: ForgetfulMap<u16, usize> = (1..100).map(|key| (key, 0)).collect();
        map.insert(7, 5);
        *map.or_insert(7, 9) += 1;
        *map.or_insert(200, 9) += 1;
        assert_eq!(
            (map.get(&7), map.get(&200), map.get(&300), map.len()),
            (Some(&6), Some(&10), None, 100)
        );
        assert_eq!(
            (map.remove(&7), map.remove(&7), map.contains_key(&7)),
            (Some(6), None, false)
        );
        map.retain(|key, _| *key % 2 == 0);
        assert_eq!(
            (map.len(), map.contains_key(&8), map.contains_key(&9)),
            (50, true, false)
        );
    }
}
