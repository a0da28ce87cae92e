//! Streams: entries by ascending id, and groups of consumers that read them.
//!
//! ```text
//!   Stream ── blocks, by the id of their first entry ── Block: entries in one string of bytes, as Redis has them
//!      └───── groups, by name ── what is pending, by id ── for which Consumer, by name
//! ```
//! Commands read here what they need, decide, and record [`StreamChange`]s.
//!
//! *Invariant:* blocks are cut where Redis cuts them, and an entry leaves one as it does there: what `XTRIM … ~` drops, what
//! `XINFO` tells and what `DUMP` writes is the same.
//! *Invariant:* `len` and `bytes` follow every change; none is ever recounted.
//! *Invariant:* a stream may be empty, and stays: its ids and groups are data.

mod apply;
mod block;
mod change;
mod group;
mod id;
mod pack;
mod parts;
mod range;
#[cfg(test)]
mod tests;
mod tree;
mod trim;

pub use block::{Fields, STREAM_BLOCK_ENTRIES_MAX};
pub use change::{Pending, StreamChange, StreamHead};
pub use group::{Consumer, Group, Nack};
pub use id::StreamId;
pub use pack::Element;
pub use range::StreamEntry;
pub use trim::{TrimBy, TrimTo, Trimmed};

pub(crate) use change::{op, since};
pub(crate) use parts::StreamAt;

use crate::hash::stable_hash;
use block::Block;
use std::collections::BTreeMap;

/// What a block takes beside its own bytes, its share of the tree included, roughly.
const BLOCK_BYTES: usize = 64;

#[derive(Clone, Default)]
pub struct Stream {
    blocks: BTreeMap<StreamId, Block>,
    /// Entries that are there.
    len: u64,
    head: StreamHead,
    groups: BTreeMap<Box<[u8]>, Group>,
    bytes: usize,
}

impl Stream {
    /// Without entries or groups.
    pub fn of(head: StreamHead) -> Self {
        Stream { head, ..Stream::default() }
    }

    pub fn head(&self) -> StreamHead {
        self.head
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of each block, under the id of its first entry.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = (StreamId, &[u8])> {
        self.blocks.iter().map(|(id, block)| (*id, block.bytes()))
    }

    /// By name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Memory beyond the value itself, in bytes: an estimate, O(1).
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes
    }

    /// The same, counted anew.
    pub(crate) fn recount_bytes(&self) -> usize {
        let blocks: usize = self.blocks.values().map(|block| block.heap_bytes() + BLOCK_BYTES).sum();
        let groups: usize = self.groups.iter().map(|(name, group)| name.len() + group.heap_bytes()).sum();
        blocks + groups
    }

    /// Equal for streams that hold the same, in the same blocks.
    pub(crate) fn fingerprint(&self) -> u64 {
        let numbers = |hash, numbers: &[u64]| {
            numbers.iter().fold(hash, |hash, number| stable_hash(hash, &number.to_le_bytes()))
        };
        let id = |id: StreamId| [id.ms, id.seq];
        let StreamHead { last_id, max_deleted, added } = self.head;
        let [last, deleted] = [id(last_id), id(max_deleted)];
        let head = numbers(0, &[self.len, last[0], last[1], deleted[0], deleted[1], added]);
        let blocks = self
            .blocks
            .iter()
            .fold(head, |hash, (block_id, block)| stable_hash(numbers(hash, &id(*block_id)), block.bytes()));
        self.groups.iter().fold(blocks, |hash, (name, group)| {
            let [ms, seq] = id(group.last_id);
            let hash = numbers(stable_hash(hash, name), &[ms, seq, group.entries_read as u64]);
            let hash = group.consumers().fold(hash, |hash, consumer| {
                numbers(stable_hash(hash, consumer.name()), &[consumer.seen_ms as u64])
            });
            group.pending(StreamId::MIN).fold(hash, |hash, (pending, nack)| {
                let [ms, seq] = id(pending);
                let hash = numbers(hash, &[ms, seq, nack.delivered_ms as u64, nack.deliveries]);
                stable_hash(hash, group.owner(nack).name())
            })
        })
    }
}
