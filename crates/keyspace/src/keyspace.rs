//! The keys of one node, partitioned by hash slot.
//!
//! Reading is public; changing goes through [`Keyspace::apply`] (see the module `apply`).
//!
//! *Invariant:* counts, `footprint` and `deadlines` follow every change; none is ever recounted.

use crate::access::AccessClock;
use crate::counts::Counts;
use crate::dict::Dict;
use crate::effect::Effect;
use crate::effects::Effects;
use crate::entry::Entry;
use crate::expiry::{Deadline, DeadlineQueue};
use crate::footprint::{FIXED_BYTES, Footprint};
use crate::hash::table_hash;
use crate::progress;
use crate::value::{Held, Kind};
use ironcache_types::{SLOT_COUNT, Slot, key_slot};
use std::cell::Cell;

/// Where a key is; valid until the next change of the keyspace.
#[derive(Clone, Copy)]
pub struct Place {
    slot: u16,
    at: usize,
}

/// All keys of a node. An empty one takes about 1 MB, a key 16 of its slot's
/// table, about 6 of index, and its own block or blocks.
pub struct Keyspace {
    slots: Box<[Dict<Entry>]>,
    keys: Counts,
    /// Of the keys that have an expiry.
    expiring: Counts,
    deadlines: DeadlineQueue,
    footprint: Footprint,
    clock: AccessClock,
    /// For counting use, which is a matter of chance: see the module `access`.
    dice: Cell<u64>,
    /// Whoever looks keys up now does not use them.
    untouched: bool,
}

impl Default for Keyspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Keyspace {
    /// What one without keys takes.
    pub const EMPTY_BYTES: usize = FIXED_BYTES;

    pub fn new() -> Self {
        Keyspace {
            slots: (0..SLOT_COUNT).map(|_| Dict::default()).collect(),
            keys: Counts::default(),
            expiring: Counts::default(),
            deadlines: DeadlineQueue::new(),
            footprint: Footprint::default(),
            clock: AccessClock::default(),
            dice: Cell::new(1),
            untouched: false,
        }
    }

    /// Keys held, expired ones included while they are not deleted.
    pub fn len(&self) -> usize {
        self.keys.total()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.total() == 0
    }

    /// Keys that have an expiry.
    pub fn expiring(&self) -> usize {
        self.expiring.total()
    }

    /// Memory of keys, values and tables, in bytes.
    #[inline]
    pub fn used_bytes(&self) -> usize {
        self.footprint.used_bytes(self.deadlines.len())
    }

    /// The part of it that is tables, and not keys and values.
    pub fn overhead_bytes(&self) -> usize {
        self.footprint.overhead_bytes(self.deadlines.len())
    }

    /// [`Self::used_bytes`], counted from every element: what it is held against. It takes as long as the dataset is large.
    pub fn recount_bytes(&self) -> usize {
        let mut counted = Footprint::default();
        for slot in &self.slots {
            counted.table_changed(0, slot.heap_bytes());
            slot.as_slice().iter().for_each(|entry| counted.entry_changed(0, entry.recount_bytes()));
        }
        counted.used_bytes(self.deadlines.len())
    }

    /// Tells the time by which use is noted from here on, and as what.
    pub fn tell_time(&mut self, clock: AccessClock) {
        self.clock = clock;
    }

    pub fn clock(&self) -> AccessClock {
        self.clock
    }

    /// Does what `look` does without noting that a key is used.
    pub fn without_use<R>(&mut self, look: impl FnOnce(&mut Self) -> R) -> R {
        self.untouched = true;
        let result = look(self);
        self.untouched = false;
        result
    }

    /// Notes that a key is used now.
    #[inline]
    pub fn touch(&self, place: Place) {
        if self.untouched {
            return;
        }
        let entry = self.at(place);
        let before = entry.access();
        let now = self.clock.of_used(before, || self.roll());
        // A line that was only read stays clean.
        if now != before {
            entry.set_access(now);
        }
    }

    /// splitmix64
    fn roll(&self) -> u32 {
        let state = self.dice.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.dice.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) as u32
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
        let nth = random.checked_rem(self.len() as u64)? as usize;
        let (slot, at) = self.keys.locate(nth)?;
        Some(self.at(Place { slot, at }))
    }

    /// A chosen entry among those that have an expiry: about uniformly, and in bounded time. `random` is as above.
    pub(crate) fn random_expiring(&self, random: u64) -> Option<&Entry> {
        /// In a slot of a thousand such keys of a million, one is found at the first look as often as not; a slot of more
        /// that has fewer goes by the queue of deadlines.
        const LOOKED_AT_MAX: usize = 1024;
        let nth = random.checked_rem(self.expiring() as u64)? as usize;
        let (slot, _) = self.expiring.locate(nth)?;
        let entries = self.slots[usize::from(slot)].as_slice();
        let (before, from) = entries.split_at((random >> 32) as usize % entries.len());
        let mut near = from.iter().chain(before).take(LOOKED_AT_MAX);
        near.find(|entry| entry.expire_at_ms().is_some()).or_else(|| {
            let (first, last) = (self.deadlines.first()?.at_ms, self.deadlines.last()?.at_ms);
            let at_ms = first + (random >> 16) % (last - first + 1);
            self.deadlines.range(Deadline { at_ms, hash: 0, slot: 0 }..).next().map(|due| self.due(due))
        })
    }

    /// The key that expires next.
    pub(crate) fn next_expiring(&self) -> Option<&Entry> {
        self.deadlines.first().map(|due| self.due(due))
    }

    fn due(&self, due: &Deadline) -> &Entry {
        let slot = &self.slots[usize::from(due.slot)];
        let at = slot.find_hashed(due.hash, |entry| entry.expire_at_ms() == Some(due.at_ms));
        &slot.as_slice()[at.expect("every deadline has a key")]
    }

    /// Deletes up to `budget` keys that have expired at `now_ms`, by effects; answers how many.
    /// Costs O(log n) a key deleted, and next to nothing when none is due.
    pub fn expire_cycle(&mut self, now_ms: u64, budget: usize, effects: &mut Effects) -> usize {
        for deleted in 0..budget {
            let Some(due) = self.deadlines.first().filter(|due| due.at_ms <= now_ms) else {
                return deleted;
            };
            let key: Box<[u8]> = self.due(due).key().into();
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
        *self = Keyspace { clock: self.clock, dice: self.dice.clone(), ..Self::new() };
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

    /// Adds a string under a key that is absent.
    pub(crate) fn insert_string(&mut self, key: &[u8], value: &[u8]) -> Place {
        self.insert(Entry::string(key, value, self.clock.of_new()))
    }

    /// Adds a value that has nothing in it yet, under a key that is absent.
    pub(crate) fn insert_empty(&mut self, key: &[u8], kind: Kind) -> Place {
        self.insert(Entry::empty(key, kind, self.clock.of_new()))
    }

    /// Adds a value under a key that is absent.
    pub(crate) fn insert_held(&mut self, key: &[u8], held: Held) -> Place {
        self.insert(Entry::apart(key, held, self.clock.of_new()))
    }

    /// Adds an entry whose key is absent, and that does not expire.
    pub(crate) fn insert(&mut self, entry: Entry) -> Place {
        let slot = key_slot(entry.key()).0;
        self.footprint.entry_changed(0, entry.heap_bytes());
        self.keys.add(slot);
        let dict = &mut self.slots[usize::from(slot)];
        let before = dict.heap_bytes();
        let at = dict.push(entry);
        self.footprint.table_changed(before, dict.heap_bytes());
        Place { slot, at }
    }

    /// Takes an entry out, which then does not expire.
    pub(crate) fn remove(&mut self, place: Place) -> Entry {
        self.set_expiry(place, None);
        let dict = &mut self.slots[usize::from(place.slot)];
        let before = dict.heap_bytes();
        let entry = dict.remove_at(place.at);
        self.footprint.table_changed(before, dict.heap_bytes());
        self.footprint.entry_changed(entry.heap_bytes(), 0);
        self.keys.subtract(place.slot);
        entry
    }

    /// Changes a value in place, and keeps the books. Key and expiry stay what they are.
    pub(crate) fn change<R>(&mut self, place: Place, change: impl FnOnce(&mut Entry) -> R) -> R {
        let entry = self.slots[usize::from(place.slot)].at_mut(place.at);
        entry.set_access(self.clock.of_written(entry.access()));
        let before = entry.heap_bytes();
        let result = change(entry);
        self.footprint.entry_changed(before, entry.heap_bytes());
        result
    }

    /// Notes of a key what was noted of another one, or of this one elsewhere.
    pub fn set_access(&self, place: Place, access: u32) {
        self.at(place).set_access(access);
    }

    pub(crate) fn set_expiry(&mut self, place: Place, new: Option<u64>) {
        let dict = &mut self.slots[usize::from(place.slot)];
        let entry = dict.at_mut(place.at);
        let old = entry.expire_at_ms();
        if old == new {
            return;
        }
        let before = entry.heap_bytes();
        entry.set_expire_at_ms(new);
        self.footprint.entry_changed(before, entry.heap_bytes());
        let hash = table_hash(entry.key());
        let deadline = |at_ms| Deadline { at_ms, hash, slot: place.slot };
        if let Some(at_ms) = old {
            self.expiring.subtract(place.slot);
            if dict.find_hashed(hash, |entry| entry.expire_at_ms() == old).is_none() {
                self.deadlines.remove(&deadline(at_ms));
            }
        }
        if let Some(at_ms) = new {
            self.expiring.add(place.slot);
            self.deadlines.insert(deadline(at_ms));
        }
    }
}
