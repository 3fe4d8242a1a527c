//! A bounded map by caller and request id that keeps the newest entries. Known and unknown ids are found equally fast.

use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::admission::auth::Caller;

/// A byte that no caller's name contains: it separates name and id.
const NAME_SEPARATOR: u8 = 0xff;

/// A caller and a request id as a 128-bit hash with secret keys, so that no caller can construct a collision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EntryKey(u128);

impl EntryKey {
    /// The part of the hash that the index uses.
    fn hash(self) -> u64 {
        self.0 as u64
    }
}

/// Hashes callers and request ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHasher(SipHasher13);

impl KeyHasher {
    /// A hasher with random keys.
    pub(crate) fn random() -> Self {
        let random = RandomState::new();
        Self(SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1)))
    }

    pub(crate) fn key(&self, caller: Caller, request_id: &str) -> EntryKey {
        let mut hasher = self.0;
        hasher.write(caller.0.unwrap_or_default().as_bytes());
        hasher.write_u8(NAME_SEPARATOR);
        hasher.write(request_id.as_bytes());
        EntryKey(hasher.finish128().as_u128())
    }
}

/// The newest entries. An entry keeps its position, even if its value is changed later.
#[derive(Debug)]
pub(crate) struct RecentEntries<T> {
    capacity: usize,
    ring: Vec<(EntryKey, T)>,
    /// The position of the oldest entry, once the ring is full.
    oldest: usize,
    /// The positions of keys in the ring.
    positions: HashTable<u32>,
}

impl<T> RecentEntries<T> {
    /// An empty map of at most `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        // twice the needed size, so that free positions can be reused without moving entries
        Self { capacity, ring: Vec::new(), oldest: 0, positions: HashTable::with_capacity(2 * capacity) }
    }

    /// The entry of a key.
    pub(crate) fn get_mut(&mut self, key: EntryKey) -> Option<&mut T> {
        let position = *self.positions.find(key.hash(), |position| self.ring[*position as usize].0 == key)?;
        Some(&mut self.ring[position as usize].1)
    }

    /// Adds the entry of a new key, in place of the oldest entry if the map is full.
    pub(crate) fn insert(&mut self, key: EntryKey, value: T) {
        let position = if self.ring.len() < self.capacity {
            self.ring.push((key, value));
            self.ring.len() - 1
        } else {
            let position = self.oldest;
            self.oldest = (position + 1) % self.capacity;
            let (oldest_key, _) = std::mem::replace(&mut self.ring[position], (key, value));
            if let Ok(entry) = self.positions.find_entry(oldest_key.hash(), |known| *known as usize == position) {
                entry.remove();
            }
            position
        };
        let ring = &self.ring;
        self.positions.insert_unique(key.hash(), position as u32, |position| ring[*position as usize].0.hash());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entries_are_known_and_the_others_gone() {
        let hasher = KeyHasher::random();
        let key = |number: usize| hasher.key(Caller(None), &format!("id-{number}"));
        let mut memory = RecentEntries::new(1000);
        for number in 0..12_345 {
            assert_eq!(memory.get_mut(key(number)), None);
            memory.insert(key(number), number);
        }
        for number in 0..12_345 {
            assert_eq!(memory.get_mut(key(number)).copied(), (number >= 11_345).then_some(number));
        }
        *memory.get_mut(key(12_000)).unwrap() = 7;
        assert_eq!(memory.get_mut(key(12_000)), Some(&mut 7));
        assert_eq!((memory.ring.len(), memory.positions.len()), (1000, 1000));
    }

    #[test]
    fn keys_hold_caller_and_id_whole() {
        let hasher = KeyHasher::random();
        let key = |caller, id| hasher.key(Caller(caller), id);
        assert_eq!(key(Some("shop"), "17"), key(Some("shop"), "17"));
        for other in [key(Some("shop"), "18"), key(Some("shop1"), "7"), key(Some("sho"), "p17"), key(None, "shop17")] {
            assert_ne!(key(Some("shop"), "17"), other);
        }
        // every start has other keys
        assert_ne!(key(None, "17"), KeyHasher::random().key(Caller(None), "17"));
    }
}
