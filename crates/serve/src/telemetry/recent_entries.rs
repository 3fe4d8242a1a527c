//! A bounded memory by caller and request id: the newest entries, found as quickly where an id is unknown as where it is known.

use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::admission::auth::Caller;

/// What cannot be part of a caller's name: it keeps apart name and id.
const SEPARATOR: u8 = 0xff;

/// A caller and a request id as a 128-bit hash under keys that nobody knows: no caller can choose two that are equal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Key(u128);

impl Key {
    /// What an index of places needs of it.
    fn hash(self) -> u64 {
        self.0 as u64
    }
}

/// Makes keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHasher(SipHasher13);

impl KeyHasher {
    /// With secrets that the system gives at random.
    pub(crate) fn random() -> Self {
        let random = RandomState::new();
        Self(SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1)))
    }

    pub(crate) fn key(&self, caller: Caller, request_id: &str) -> Key {
        let mut hasher = self.0;
        hasher.write(caller.0.unwrap_or_default().as_bytes());
        hasher.write_u8(SEPARATOR);
        hasher.write(request_id.as_bytes());
        Key(hasher.finish128().as_u128())
    }
}

/// The newest entries. An entry keeps the place that it got when its key came first, whatever is changed in it later.
#[derive(Debug)]
pub(crate) struct RecentEntries<T> {
    capacity: usize,
    ring: Vec<(Key, T)>,
    /// Where the oldest entry stands, once the ring is full.
    oldest: usize,
    /// Where in the ring keys stand.
    places: HashTable<u32>,
}

impl<T> RecentEntries<T> {
    /// An empty memory of at most `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        // twice as large as needed: places that are given back can be used again without moving the others
        Self { capacity, ring: Vec::new(), oldest: 0, places: HashTable::with_capacity(2 * capacity) }
    }

    /// The entry of a key.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = *self.places.find(key.hash(), |place| self.ring[*place as usize].0 == key)?;
        Some(&mut self.ring[place as usize].1)
    }

    /// Adds the entry of a key that has none; the oldest entry goes where there is no space left.
    pub(crate) fn insert(&mut self, key: Key, value: T) {
        let place = if self.ring.len() < self.capacity {
            self.ring.push((key, value));
            self.ring.len() - 1
        } else {
            let place = self.oldest;
            self.oldest = (place + 1) % self.capacity;
            let (gone, _) = std::mem::replace(&mut self.ring[place], (key, value));
            if let Ok(entry) = self.places.find_entry(gone.hash(), |known| *known as usize == place) {
                entry.remove();
            }
            place
        };
        let ring = &self.ring;
        self.places.insert_unique(key.hash(), place as u32, |place| ring[*place as usize].0.hash());
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
        assert_eq!((memory.ring.len(), memory.places.len()), (1000, 1000));
    }

    #[test]
    fn keys_hold_caller_and_id_whole() {
        let hasher = KeyHasher::random();
        let key = |caller, id| hasher.key(Caller(caller), id);
        assert_eq!(key(Some("shop"), "17"), key(Some("shop"), "17"));
        for other in [key(Some("shop"), "18"), key(Some("shop1"), "7"), key(Some("sho"), "p17"), key(None, "shop17")] {
            assert_ne!(key(Some("shop"), "17"), other);
        }
        // other secrets at every start
        assert_ne!(key(None, "17"), KeyHasher::random().key(Caller(None), "17"));
    }
}
