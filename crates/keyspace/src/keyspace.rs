//! The keys of one node, partitioned by hash slot.
//!
//! Reading is public; changing goes through [`Keyspace::apply`] (see the module `apply`).
//!
//! *Invariant:* `len`, `used_bytes` and `deadlines` follow every change; none is ever recounted.

use crate::dict::{Dict, Keyed};
use crate::effect::Effect;
use crate::effects::Effects;
use crate::expiry::{Deadline, DeadlineQueue};
use crate::hash::table_hash;
use crate::progress;
use crate::value::{ALLOC_BYTES, Value};
use ironcache_types::{SLOT_COUNT, Slot, key_slot};
use std::mem::size_of;

/// `Entry::expire_at_ms` of a key that does not expire; no effect carries it as a moment.
const NEVER: u64 = u64::MAX;

/// A key and what it holds.
pub struct Entry {
    key: Box<[u8]>,
    value: Value,
    expire_at_ms: u64,
}

impl Entry {
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Unix time in ms.
    pub fn expire_at_ms(&self) -> Option<u64> {
        (self.expire_at_ms != NEVER).then_some(self.expire_at_ms)
    }

    /// Whether the key reads as absent at `now_ms`.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expire_at_ms <= now_ms && self.expire_at_ms != NEVER
    }

    /// Bytes for this key, with its share of the tables: an estimate, O(1).
    pub fn used_bytes(&self) -> usize {
        const INDEX_SHARE: usize = 12;
        size_of::<Entry>() + INDEX_SHARE + ALLOC_BYTES + self.key.len() + self.value.heap_bytes()
    }
}

impl Keyed for Entry {
    /// A slot's keys are indexed from the second on: comparing keys costs a cache miss each.
    const INDEX_ABOVE: usize = 1;
    fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Where a key is; valid until the next change of the keyspace.
#[derive(Clone, Copy)]
pub struct Place {
    slot: u16,
    at: usize,
}

/// All keys of a node. An empty one takes about 1 MB, a key an entry of 48 bytes, 12 of index, and
/// its own bytes.
pub struct Keyspace {
    slots: Box<[Dict<Entry>]>,
    len: usize,
    used_bytes: usize,
    expiring: usize,
    deadlines: DeadlineQueue,
}

impl Default for Keyspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Keyspace {
    pub fn new() -> Self {
        Keyspace {
            slots: (0..SLOT_COUNT).map(|_| Dict::default()).collect(),
            len: 0,
            used_bytes: 0,
            expiring: 0,
            deadlines: DeadlineQueue::new(),
        }
    }

    /// Keys held, expired ones included while they are not deleted.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keys that have an expiry.
    pub fn expiring(&self) -> usize {
        self.expiring
    }

    /// Memory of keys and values, in bytes: an estimate.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    pub fn find(&self, key: &[u8]) -> Option<Place> {
        let slot = key_slot(key).0;
        self.slots[usize::from(slot)].find(key).map(|at| Place { slot, at })
    }

    /// The entry at a place that [`Self::find`] answered, with no change in between.
    pub fn at(&self, place: Place) -> &Entry {
        &self.slots[usize::from(place.slot)].as_slice()[place.at]
    }

    /// The entry of a key, expired or not.
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.find(key).map(|place| self.at(place))
    }

    /// The entry of a key that has not expired at `now_ms`.
    pub fn live(&self, key: &[u8], now_ms: u64) -> Option<&Entry> {
        self.get(key).filter(|entry| !entry.is_expired(now_ms))
    }

    pub fn slot_len(&self, slot: Slot) -> usize {
        self.slots[usize::from(slot.0)].len()
    }

    /// The entries of a slot, expired ones included.
    pub fn slot_entries(&self, slot: Slot) -> &[Entry] {
        self.slots[usize::from(slot.0)].as_slice()
    }

    /// Every entry, expired ones included.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flat_map(Dict::as_slice)
    }

    /// A uniformly chosen entry, expired ones included. `random` is uniform over u64.
    pub fn random_entry(&self, random: u64) -> Option<&Entry> {
        let mut left = random.checked_rem(self.len as u64)? as usize;
        self.slots.iter().find_map(|slot| {
            let found = slot.as_slice().get(left);
            left = left.saturating_sub(slot.len());
            found
        })
    }

    /// Deletes up to `budget` keys that have expired at `now_ms`, by effects; answers how many.
    /// Costs O(log n) a key deleted, and next to nothing when none is due.
    pub fn expire_cycle(&mut self, now_ms: u64, budget: usize, effects: &mut Effects) -> usize {
        for deleted in 0..budget {
            let Some(due) = self.deadlines.first().copied().filter(|d| d.at_ms <= now_ms) else {
                return deleted;
            };
            let slot = &self.slots[usize::from(due.slot)];
            let at = slot
                .find_hashed(due.hash, |entry| entry.expire_at_ms == due.at_ms)
                .expect("every deadline has a key");
            let key = slot.as_slice()[at].key.clone();
            effects.record(self, &Effect::Delete { key: &key });
        }
        budget
    }

    /// When the next key expires, unix time in ms.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|deadline| deadline.at_ms)
    }

    /// Deletes every key.
    pub fn clear(&mut self) {
        // Slot by slot: to give back the memory of a large dataset takes seconds.
        for slot in &mut self.slots {
            *slot = Dict::default();
            progress::tick();
        }
        *self = Self::new();
    }

    /// Deletes every key of a slot.
    pub fn clear_slot(&mut self, slot: Slot) {
        while let Some(last) = self.slot_len(slot).checked_sub(1) {
            progress::tick();
            self.remove(Place { slot: slot.0, at: last });
        }
    }

    pub(crate) fn slot(&self, slot: u16) -> &Dict<Entry> {
        &self.slots[usize::from(slot)]
    }

    /// Adds a key that is absent.
    pub(crate) fn insert(&mut self, key: &[u8], value: Value) -> Place {
        let slot = key_slot(key).0;
        let entry = Entry { key: key.into(), value, expire_at_ms: NEVER };
        self.used_bytes += entry.used_bytes();
        self.len += 1;
        Place { slot, at: self.slots[usize::from(slot)].push(entry) }
    }

    pub(crate) fn remove(&mut self, place: Place) -> Value {
        self.set_expiry(place, None);
        let entry = self.slots[usize::from(place.slot)].remove_at(place.at);
        self.used_bytes -= entry.used_bytes();
        self.len -= 1;
        entry.value
    }

    /// Changes a value in place, and keeps the books.
    pub(crate) fn change<R>(&mut self, place: Place, change: impl FnOnce(&mut Value) -> R) -> R {
        let entry = self.slots[usize::from(place.slot)].at_mut(place.at);
        let before = entry.value.heap_bytes();
        let result = change(&mut entry.value);
        self.used_bytes = self.used_bytes - before + entry.value.heap_bytes();
        result
    }

    pub(crate) fn set_expiry(&mut self, place: Place, expire_at_ms: Option<u64>) {
        let new = expire_at_ms.unwrap_or(NEVER);
        let dict = &mut self.slots[usize::from(place.slot)];
        let old = std::mem::replace(&mut dict.at_mut(place.at).expire_at_ms, new);
        if old == new {
            return;
        }
        let hash = table_hash(&dict.as_slice()[place.at].key);
        let deadline = |at_ms| Deadline { at_ms, hash, slot: place.slot };
        if old != NEVER {
            self.expiring -= 1;
            if dict.find_hashed(hash, |entry| entry.expire_at_ms == old).is_none() {
                self.deadlines.remove(&deadline(old));
            }
        }
        if new != NEVER {
            self.expiring += 1;
            self.deadlines.insert(deadline(new));
        }
    }
}
