//! Who reads a stream together: a group, its consumers, and what they were given and have not acknowledged.
//!
//! *Invariant:* what is pending in a group is pending for exactly one of its consumers, which is there.

use super::change::Pending;
use super::id::StreamId;
use std::collections::{BTreeMap, BTreeSet};

/// An entry that was given to a consumer and is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Nack {
    consumer: u32,
    /// Unix time in ms.
    pub delivered_ms: i64,
    pub deliveries: u64,
}

#[derive(Clone)]
pub struct Consumer {
    name: Box<[u8]>,
    pub(super) seen_ms: i64,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// When it last asked for entries; unix time in ms.
    pub fn seen_ms(&self) -> i64 {
        self.seen_ms
    }

    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// What is pending for it, from this id on.
    pub fn pending(&self, from: StreamId) -> impl Iterator<Item = StreamId> + use<'_> {
        self.pending.range(from..).copied()
    }
}

#[derive(Clone)]
pub struct Group {
    pub(super) last_id: StreamId,
    pub(super) entries_read: i64,
    pending: BTreeMap<StreamId, Nack>,
    /// Where each is in `consumers`.
    names: BTreeMap<Box<[u8]>, u32>,
    consumers: Vec<Option<Consumer>>,
    /// Which of them are none.
    free: Vec<u32>,
}

impl Group {
    /// What a pending entry takes, its share of two trees included, roughly.
    const PENDING_BYTES: usize = 84;
    const CONSUMER_BYTES: usize = 96;
    const GROUP_BYTES: usize = 176;

    pub(super) fn at(last_id: StreamId, entries_read: i64) -> Self {
        Group {
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            names: BTreeMap::new(),
            consumers: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The last entry that was given to a consumer.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// How many entries of the stream were, those before the first included; negative if it is not known.
    pub fn entries_read(&self) -> i64 {
        self.entries_read
    }

    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// What is pending, from this id on.
    pub fn pending(&self, from: StreamId) -> impl DoubleEndedIterator<Item = (StreamId, &Nack)> + use<'_> {
        self.pending.range(from..).map(|(id, nack)| (*id, nack))
    }

    pub fn nack(&self, id: StreamId) -> Option<&Nack> {
        self.pending.get(&id)
    }

    /// Whom it was given to.
    pub fn owner(&self, nack: &Nack) -> &Consumer {
        self.consumers[nack.consumer as usize].as_ref().expect("what is pending is so for a consumer")
    }

    pub fn consumers_len(&self) -> usize {
        self.names.len()
    }

    /// By name.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> + use<'_> {
        self.consumers_from(&[])
    }

    pub(super) fn consumers_from<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a Consumer> + use<'a> {
        let bounds = (std::ops::Bound::Included(name), std::ops::Bound::Unbounded);
        self.names.range::<[u8], _>(bounds).map(|(_, at)| self.slot(*at))
    }

    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.names.get(name).map(|at| self.slot(*at))
    }

    fn slot(&self, at: u32) -> &Consumer {
        self.consumers[at as usize].as_ref().expect("a name leads to a consumer")
    }

    /// Memory, in bytes: an estimate.
    pub(super) fn heap_bytes(&self) -> usize {
        let names: usize = self.names.keys().map(|name| Self::consumer_bytes(name)).sum();
        Self::GROUP_BYTES + names + self.pending.len() * Self::PENDING_BYTES
    }

    pub(super) fn consumer_bytes(name: &[u8]) -> usize {
        Self::CONSUMER_BYTES + 2 * name.len()
    }

    pub(super) const fn pending_bytes() -> usize {
        Self::PENDING_BYTES
    }

    /// Creates the consumer if there is none; answers whether it did.
    pub(super) fn see(&mut self, name: &[u8], seen_ms: i64) -> bool {
        if let Some(at) = self.names.get(name) {
            self.consumers[*at as usize].as_mut().expect("a name leads to a consumer").seen_ms = seen_ms;
            return false;
        }
        let consumer = Consumer { name: name.into(), seen_ms, pending: BTreeSet::new() };
        let at = self.free.pop().unwrap_or_else(|| {
            self.consumers.push(None);
            u32::try_from(self.consumers.len() - 1).expect("four billion consumers do not fit into memory")
        });
        self.consumers[at as usize] = Some(consumer);
        self.names.insert(name.into(), at);
        true
    }

    /// Removes the consumer, and what was pending for it; answers how much that was, if there is one.
    pub(super) fn forget(&mut self, name: &[u8]) -> Option<usize> {
        let at = self.names.remove(name)?;
        let consumer = self.consumers[at as usize].take().expect("a name leads to a consumer");
        self.free.push(at);
        crate::progress::ticking(&consumer.pending).for_each(|id| {
            self.pending.remove(id);
        });
        Some(consumer.pending.len())
    }

    /// Makes an entry pending for this consumer, which is there, and for nobody else; answers whether it was pending for none.
    pub(super) fn pend(&mut self, name: &[u8], pending: Pending) -> bool {
        let Pending { id, delivered_ms, deliveries } = pending;
        let consumer = *self.names.get(name).expect("the consumer is there");
        let before = self.pending.insert(id, Nack { consumer, delivered_ms, deliveries });
        match before {
            Some(before) if before.consumer == consumer => return false,
            Some(before) => {
                self.of(before.consumer).remove(&id);
            }
            None => {}
        }
        self.of(consumer).insert(id);
        before.is_none()
    }

    /// Answers whether it was pending.
    pub(super) fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(nack) = self.pending.remove(&id) else { return false };
        self.of(nack.consumer).remove(&id)
    }

    fn of(&mut self, consumer: u32) -> &mut BTreeSet<StreamId> {
        &mut self.consumers[consumer as usize].as_mut().expect("what is pending is so for a consumer").pending
    }
}
