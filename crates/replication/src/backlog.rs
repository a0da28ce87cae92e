//! The newest part of a shard's stream: for replicas that follow, and for those that were away for a moment.
//!
//! ```text
//!         start()             held_from                end()
//!  ───────── [ ───────────────── [ ───────────────────── [
//!             dropped when above   somebody still asks
//!             the capacity         for it: never dropped
//! ```
//!
//! *Invariant:* holds exactly the bytes `start()..end()` of the stream, verbatim: the newest `capacity` of them, and all
//! that is held from some offset on, however much that is. It is bounded by whoever executes: no write is executed while
//! too much is held (`node/src/data/retention.rs`), so that what is held is at most that bound and one write.
//! An idle shard holds (almost) no memory: the ring grows as it fills.
//!
//! `start()` may lie inside a frame: only positions of replicas are ever asked for, and those lie
//! between frames.

use crate::frame::{LEVEL_HEAD_BYTES, level_of_frame};
use ironcache_types::{Level, Offset};
use std::collections::VecDeque;

/// A ring is copied to grow up to this size: a tenth of a millisecond. Larger, and a write waits for the copy.
const COPIED_BYTES_MAX: usize = 1 << 20;

/// A bounded ring of encoded frames.
#[derive(Clone, Debug)]
pub struct Backlog {
    bytes: VecDeque<u8>,
    capacity_bytes: usize,
    end: Offset,
    /// Nothing from here on is dropped.
    held_from: Option<Offset>,
}

impl Backlog {
    /// An empty backlog of a stream that is at `at`. Allocates nothing yet.
    pub fn new(capacity_bytes: usize, at: Offset) -> Self {
        Backlog { bytes: VecDeque::new(), capacity_bytes, end: at, held_from: None }
    }

    /// Appends one encoded frame (or several), which starts at `end()`. One that is larger than the
    /// capacity, and that nobody holds, leaves the backlog empty, behind it.
    pub fn push(&mut self, frame: &[u8]) {
        let is_held = self.held_from.is_some_and(|from| from <= self.end);
        if frame.len() > self.capacity_bytes && !is_held {
            self.bytes.clear();
            self.end.0 += frame.len() as u64;
            return;
        }
        self.drop_above(self.capacity_bytes.saturating_sub(frame.len()));
        self.grow_for(frame.len());
        self.bytes.extend(frame);
        self.end.0 += frame.len() as u64;
    }

    /// From here on nothing at or above `from` is dropped; `None`: nobody asks for anything.
    pub fn hold_from(&mut self, from: Option<Offset>) {
        self.held_from = from;
        self.drop_above(self.capacity_bytes);
        if self.bytes.capacity() > self.capacity_bytes && self.bytes.len() <= self.capacity_bytes {
            self.bytes.shrink_to(self.capacity_bytes);
        }
    }

    /// The offset of the oldest byte held.
    pub fn start(&self) -> Offset {
        Offset(self.end.0 - self.bytes.len() as u64)
    }

    /// The end of the stream.
    pub fn end(&self) -> Offset {
        self.end
    }

    pub fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    /// Up to `max_bytes` contiguous bytes from `offset` on, in two pieces; both empty at the end.
    /// `None` if `offset` is not within `start()..=end()`: a full sync is needed.
    pub fn read_from(&self, offset: Offset, max_bytes: usize) -> Option<(&[u8], &[u8])> {
        if offset < self.start() || offset > self.end {
            return None;
        }
        let from = usize::try_from(offset.0 - self.start().0).expect("bounded by the ring's length");
        let until = self.bytes.len().min(from.saturating_add(max_bytes));
        let (head, tail) = self.bytes.as_slices();
        let clip = |at: usize, len: usize| at.clamp(0, len);
        Some((
            &head[clip(from, head.len())..clip(until, head.len())],
            &tail[clip(from.saturating_sub(head.len()), tail.len())
                ..clip(until.saturating_sub(head.len()), tail.len())],
        ))
    }

    /// The level of the frame that starts at `offset`. `None` at the end, and if it is not held.
    pub fn level_at(&self, offset: Offset) -> Option<Level> {
        let (head, tail) = self.read_from(offset, LEVEL_HEAD_BYTES)?;
        level_of_frame(&[head, tail].concat())
    }

    /// Forgets everything and gives its memory back: the stream continues at `at`.
    pub fn reset(&mut self, at: Offset) {
        *self = Backlog::new(self.capacity_bytes, at);
    }

    /// Drops the oldest bytes until so many are left, or the oldest is held.
    fn drop_above(&mut self, left_bytes: usize) {
        let excess = self.bytes.len().saturating_sub(left_bytes);
        let free = self.held_from.map_or(u64::MAX, |from| from.0.saturating_sub(self.start().0));
        self.bytes.drain(..excess.min(usize::try_from(free).unwrap_or(usize::MAX)));
    }

    // Doubles while it is small, then takes the whole capacity at once: copying a ring of many megabytes would keep
    // clients waiting, and pages that nobody has written cost nothing. Above the capacity it grows by half: that is
    // copied seldom, and given back soon.
    fn grow_for(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let doubled = needed.max(2 * self.bytes.capacity());
            let target = if needed > self.capacity_bytes {
                needed + needed / 2
            } else if doubled > COPIED_BYTES_MAX {
                self.capacity_bytes
            } else {
                doubled.min(self.capacity_bytes)
            };
            self.bytes.reserve_exact(target - self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(backlog: &Backlog, from: Offset, max: usize) -> Option<Vec<u8>> {
        backlog.read_from(from, max).map(|(a, b)| [a, b].concat())
    }

    #[test]
    fn an_idle_backlog_holds_no_memory() {
        let mut backlog = Backlog::new(64 << 20, Offset(7));
        assert_eq!(backlog.bytes.capacity(), 0);
        backlog.push(&[1; 100]);
        assert!(backlog.bytes.capacity() < 1000);
        backlog.reset(Offset(9));
        assert_eq!((backlog.bytes.capacity(), backlog.start(), backlog.end()), (0, Offset(9), Offset(9)));
    }

    #[test]
    fn a_frame_larger_than_the_ring_leaves_it_empty_behind_the_frame() {
        let mut backlog = Backlog::new(10, Offset(100));
        backlog.push(&[1; 4]);
        backlog.push(&[2; 11]);
        assert_eq!((backlog.start(), backlog.end()), (Offset(115), Offset(115)));
        assert_eq!(all(&backlog, Offset(115), 9), Some(vec![]));
        assert_eq!(all(&backlog, Offset(114), 9), None);
        backlog.push(&[3; 10]);
        assert_eq!(all(&backlog, Offset(115), 99), Some(vec![3; 10]));
    }

    #[test]
    fn what_is_held_is_kept_however_large_it_is_and_given_back_once_it_is_not() {
        let mut backlog = Backlog::new(10, Offset(100));
        backlog.push(&[1; 8]);
        backlog.hold_from(Some(Offset(108)));
        backlog.push(&[2; 500]);
        assert_eq!((backlog.start(), backlog.end()), (Offset(108), Offset(608)), "what nobody asks for went");
        backlog.push(&[3; 5]);
        assert_eq!(all(&backlog, Offset(108), 999).map(|bytes| bytes.len()), Some(505));
        // Half of it was taken: what is left is still more than the capacity.
        backlog.hold_from(Some(Offset(350)));
        assert_eq!(backlog.start(), Offset(350));
        backlog.hold_from(Some(backlog.end()));
        assert_eq!((backlog.start(), backlog.bytes.capacity()), (Offset(603), 10));
        assert_eq!(all(&backlog, Offset(603), 99), Some([vec![2; 5], vec![3; 5]].concat()));
        backlog.hold_from(None);
        backlog.push(&[4; 11]);
        assert_eq!(backlog.start(), backlog.end(), "nobody asks for anything");
    }

    #[test]
    fn the_level_of_a_frame_is_read_off_wherever_it_lies_in_the_ring() {
        let frame = |level| {
            let mut frame = Vec::new();
            let (epoch, scope) = (ironcache_types::Epoch(1), crate::Scope::All);
            crate::encode_effects(&mut frame, Level(level), epoch, Offset(0), scope, |_| {}).unwrap();
            frame
        };
        let bytes = frame(1).len() as u64;
        let mut backlog = Backlog::new(100, Offset(0));
        for level in 1..50 {
            backlog.push(&frame(level));
            let start = Offset(backlog.end().0 - bytes);
            assert_eq!(backlog.level_at(start), Some(Level(level)));
            assert_eq!(backlog.level_at(backlog.end()), None);
        }
        assert_eq!(backlog.level_at(Offset(0)), None, "it has passed");
    }

    proptest! {
        #[test]
        fn it_is_the_tail_of_the_stream(
            capacity in 0usize..64,
            at in 0u64..1000,
            frames in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..40), prop::option::weighted(0.5, 0u64..60)), 0..40),
            from in 0u64..2000, max in 0usize..80,
        ) {
            let mut backlog = Backlog::new(capacity, Offset(at));
            let (mut stream, mut held) = (Vec::new(), None);
            for (frame, holds_back_by) in &frames {
                backlog.push(frame);
                stream.extend_from_slice(frame);
                let (start, end) = (backlog.start().0, backlog.end().0);
                prop_assert_eq!(end, at + stream.len() as u64);
                let allowed = held.map_or(0, |held| end.saturating_sub(held)).max(capacity as u64);
                prop_assert!(end - start <= allowed);
                prop_assert!(held.is_none_or(|held| start <= held), "{held:?} is held, and {start} is the oldest");
                let expected = (start..=end).contains(&from).then(|| {
                    let tail = &stream[(from - at) as usize..];
                    tail[..tail.len().min(max)].to_vec()
                });
                prop_assert_eq!(all(&backlog, Offset(from), max), expected);
                // A follower stands at what is still there.
                held = holds_back_by.map(|back| end.saturating_sub(back).max(start));
                backlog.hold_from(held.map(Offset));
                prop_assert!(held.is_some() || backlog.bytes.capacity() <= capacity);
            }
        }
    }
}
