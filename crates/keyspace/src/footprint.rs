//! The books of a keyspace: how much memory it takes, kept with every change.
//!
//! ```text
//!   used = fixed (the slots' heads) + tables (entries' places, index) + deadlines + the blocks of keys and values
//!          └────────────────────── overhead ─────────────────────────────────┘
//! ```
//! Sizes are those of the allocator's blocks (see the module `block`), so that the sum is what the process takes. Only the
//! queue of deadlines is a tree whose nodes nobody can count: there it is an average.
//!
//! *Invariant:* whoever changes something says its size before and after, by the same function.

use crate::block::block_bytes;
use crate::counts::Counts;
use crate::dict::Dict;
use crate::entry::Entry;
use ironcache_types::SLOT_COUNT;

/// What a deadline takes in its tree, whose nodes are between half full (filled in order) and full: 30 to 41 bytes.
const DEADLINE_BYTES: usize = 36;

/// What a keyspace takes without any key.
pub(crate) const FIXED_BYTES: usize =
    block_bytes(SLOT_COUNT as usize * size_of::<Dict<Entry>>()) + 2 * block_bytes(Counts::HEAP_BYTES);

#[derive(Clone, Copy, Default)]
pub(crate) struct Footprint {
    table_bytes: usize,
    entry_bytes: usize,
}

impl Footprint {
    #[inline]
    pub(crate) fn table_changed(&mut self, before: usize, after: usize) {
        self.table_bytes = self.table_bytes + after - before;
    }

    #[inline]
    pub(crate) fn entry_changed(&mut self, before: usize, after: usize) {
        self.entry_bytes = self.entry_bytes + after - before;
    }

    #[inline]
    pub(crate) fn used_bytes(&self, deadlines: usize) -> usize {
        self.overhead_bytes(deadlines) + self.entry_bytes
    }

    #[inline]
    pub(crate) fn overhead_bytes(&self, deadlines: usize) -> usize {
        FIXED_BYTES + self.table_bytes + deadlines * DEADLINE_BYTES
    }
}
