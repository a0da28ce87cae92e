//! A full sync, slot by slot, of a dataset that keeps changing.
//!
//! ```text
//! slots      0 1 2 3 4 | 5 6 7 8 …
//!            dumped    | next_slot
//! effects    forwarded | skipped: the dump of the slot will hold them        FLUSHALL: forwarded always
//! ```
//!
//! A slot's content is written into the stream when its turn comes, as it is at that moment. So there
//! is no snapshot, no fork, no pre-image and no backlog to keep for its length; writes never wait, and the
//! memory it takes is one slot's dump. When every slot was sent, the replica holds exactly the primary's
//! state at the present end, and `SyncEnd` says so.
//!
//! The primary's duties, for one replica:
//! 1. Between two commands, and when the link has room: take [`FullSync::next_slot`], and write *all* of
//!    that slot as [`SyncChunk`](crate::SyncChunk)s with nothing in between; one empty chunk if it is empty.
//! 2. For every frame of the stream: send it if [`FullSync::forwards`] says so.
//! 3. After the last slot: send `SyncEnd` with the present end, then every frame.
//!
//! *Invariant:* every effect reaches the replica by the dump of its slot or as a frame. One that touches
//! all slots is forwarded: slots not yet dumped lose nothing by it, as their dump replaces them whole.

use crate::message::Scope;
use ironcache_types::{Slot, SlotSet};

/// Where the full sync of one replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullSync {
    slots: SlotSet,
    /// Every slot below it was dumped.
    next_slot: u32,
}

impl FullSync {
    /// A sync of a shard's slots, which are sorted and apart.
    pub fn new(slots: SlotSet) -> Self {
        FullSync { slots, next_slot: 0 }
    }

    /// The slot to dump now, before anything else is sent; from here on its effects are forwarded.
    /// `None`: every slot was dumped, send `SyncEnd`.
    pub fn next_slot(&mut self) -> Option<Slot> {
        let next = self.peek()?;
        self.next_slot = u32::from(next.0) + 1;
        Some(next)
    }

    /// Whether a frame of this scope is to be sent to the replica.
    pub fn forwards(&self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Slot(slot) => u32::from(slot.0) < self.next_slot,
        }
    }

    /// How many slots are still to be dumped.
    pub fn remaining(&self) -> u32 {
        let next = self.next_slot;
        let left = |start: u16, end: u16| (u32::from(end) + 1).saturating_sub(next.max(u32::from(start)));
        self.slots.0.iter().map(|range| left(range.start, range.end)).sum()
    }

    fn peek(&self) -> Option<Slot> {
        let range = self.slots.0.iter().find(|range| u32::from(range.end) >= self.next_slot)?;
        let slot = self.next_slot.max(u32::from(range.start));
        Some(Slot(u16::try_from(slot).expect("at most the range's end")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::{SLOT_COUNT, SlotRange};

    #[test]
    fn every_slot_is_dumped_once_and_in_order() {
        let slots = SlotSet(vec![SlotRange { start: 2, end: 3 }, SlotRange { start: 16382, end: 16383 }]);
        let mut sync = FullSync::new(slots);
        assert_eq!(sync.remaining(), 4);
        let dumped: Vec<u16> = std::iter::from_fn(|| sync.next_slot()).map(|slot| slot.0).collect();
        assert_eq!(dumped, [2, 3, 16382, 16383]);
        assert_eq!((sync.remaining(), sync.next_slot()), (0, None));
        assert!(sync.forwards(Scope::Slot(Slot(SLOT_COUNT - 1))));
    }

    #[test]
    fn only_effects_on_dumped_slots_and_on_all_slots_are_forwarded() {
        let mut sync = FullSync::new(SlotSet::part(0, 1));
        assert!(!sync.forwards(Scope::Slot(Slot(0))));
        sync.next_slot();
        assert!(sync.forwards(Scope::Slot(Slot(0))));
        assert!(!sync.forwards(Scope::Slot(Slot(1))));
        assert!(sync.forwards(Scope::All));
    }

    #[test]
    fn a_shard_without_slots_is_synced_at_once() {
        assert_eq!(FullSync::new(SlotSet(vec![])).next_slot(), None);
    }
}
