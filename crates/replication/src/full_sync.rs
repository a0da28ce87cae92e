//! A full sync, slot by slot, of a dataset that keeps changing.
//!
//! ```text
//! slots      0 1 2 3 4 | 5 6 7 8 …
//!            dumped    | next_slot
//! effects    forwarded | skipped: the dump of the slot will hold them        FLUSHALL: forwarded always
//!                      └ while it is dumped: noted
//! ```
//!
//! A slot's content is written into the stream when its turn comes, as it is at that moment. So there
//! is no snapshot, no fork, no pre-image and no backlog to keep for its length, and writes never wait. A large slot is
//! written in pieces, with commands in between; what those do to it is neither skipped nor forwarded, but noted, so that a
//! later piece of the slot holds it (`keyspace/src/slot_dump.rs`). When every slot was sent, the replica holds exactly the
//! primary's state at the present end, and `SyncEnd` says so.
//!
//! The primary's duties, for one replica:
//! 1. Between two commands, and when the link has room: take [`FullSync::next_slot`], and write it as
//!    [`SyncChunk`](crate::SyncChunk)s; one empty chunk if it is empty. With the last of them, as of the same moment:
//!    [`FullSync::slot_done`].
//! 2. For every effect of the stream, before the next chunk: what [`FullSync::duty`] says of its slot. One that is about
//!    no slot (a FLUSHALL) is forwarded, and noted.
//! 3. After the last slot: send `SyncEnd` with the present end, then every frame.
//!
//! *Invariant:* every effect reaches the replica by the dump of its slot or as a frame, and none by both: what is
//! forwarded finds the slot as it was when it was executed.

use ironcache_types::{Slot, SlotSet};

/// Where the full sync of one replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullSync {
    slots: SlotSet,
    /// Every slot below it was dumped, or is being dumped.
    next_slot: u32,
    dumping: Option<Slot>,
}

/// What becomes of an effect on one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Duty {
    /// The slot was dumped: the replica is sent the effect.
    Forward,
    /// It is being dumped: a later piece has to hold what changed.
    Note,
    /// It will be.
    Skip,
}

impl FullSync {
    /// A sync of a shard's slots, which are sorted and apart.
    pub fn new(slots: SlotSet) -> Self {
        FullSync { slots, next_slot: 0, dumping: None }
    }

    /// The slot to dump now, once the one before is done. `None`: every slot was dumped, send `SyncEnd`.
    pub fn next_slot(&mut self) -> Option<Slot> {
        let next = self.peek()?;
        self.next_slot = u32::from(next.0) + 1;
        self.dumping = Some(next);
        Some(next)
    }

    /// The last piece of the slot was written: from here on its effects are forwarded.
    pub fn slot_done(&mut self) {
        self.dumping = None;
    }

    /// What is to be done with an effect on this slot.
    pub fn duty(&self, slot: Slot) -> Duty {
        match self.dumping {
            Some(dumping) if dumping == slot => Duty::Note,
            Some(_) | None if u32::from(slot.0) < self.next_slot => Duty::Forward,
            Some(_) | None => Duty::Skip,
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
        sync.slot_done();
        assert_eq!(sync.duty(Slot(SLOT_COUNT - 1)), Duty::Forward);
    }

    #[test]
    fn effects_are_forwarded_once_their_slot_was_dumped_and_noted_while_it_is() {
        let mut sync = FullSync::new(SlotSet::part(0, 1));
        assert_eq!(sync.duty(Slot(0)), Duty::Skip);
        sync.next_slot();
        assert_eq!((sync.duty(Slot(0)), sync.duty(Slot(1))), (Duty::Note, Duty::Skip));
        sync.slot_done();
        assert_eq!((sync.duty(Slot(0)), sync.duty(Slot(1))), (Duty::Forward, Duty::Skip));
        sync.next_slot();
        assert_eq!((sync.duty(Slot(0)), sync.duty(Slot(1))), (Duty::Forward, Duty::Note));
    }

    #[test]
    fn a_shard_without_slots_is_synced_at_once() {
        assert_eq!(FullSync::new(SlotSet(vec![])).next_slot(), None);
    }
}
