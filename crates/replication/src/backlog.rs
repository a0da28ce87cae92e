//! The newest part of a shard's stream, for replicas that were away for a moment.
//!
//! *Invariant:* holds exactly the bytes `start()..end()` of the stream, verbatim, at most `capacity`
//! of them. An idle shard holds (almost) no memory: the ring grows as it fills.
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
}

impl Backlog {
    /// An empty backlog of a stream that is at `at`. Allocates nothing yet.
    pub fn new(capacity_bytes: usize, at: Offset) -> Self {
        Backlog { bytes: VecDeque::new(), capacity_bytes, end: at }
    }

    /// Appends one encoded frame (or several), which starts at `end()`. One that is larger than the
    /// capacity leaves the backlog empty, behind it.
    pub fn push(&mut self, frame: &[u8]) {
        self.end.0 += frame.len() as u64;
        if frame.len() > self.capacity_bytes {
            self.bytes.clear();
            return;
        }
        let excess = (self.bytes.len() + frame.len()).saturating_sub(self.capacity_bytes);
        self.bytes.drain(..excess);
        self.grow_for(frame.len());
        self.bytes.extend(frame);
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

    // Doubles while it is small, then takes the whole capacity at once: copying a ring of many megabytes would keep
    // clients waiting, and pages that nobody has written cost nothing.
    fn grow_for(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let doubled = needed.max(2 * self.bytes.capacity());
            let target = if doubled > COPIED_BYTES_MAX { self.capacity_bytes } else { doubled };
            self.bytes.reserve_exact(target.min(self.capacity_bytes) - self.bytes.len());
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
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
            from in 0u64..2000, max in 0usize..80,
        ) {
            let mut backlog = Backlog::new(capacity, Offset(at));
            let mut stream = Vec::new();
            for frame in &frames {
                backlog.push(frame);
                stream.extend_from_slice(frame);
                let start = backlog.start().0;
                prop_assert_eq!(backlog.end().0, at + stream.len() as u64);
                prop_assert!(backlog.end().0 - start <= capacity as u64);
                prop_assert!(backlog.bytes.capacity() <= capacity);
                let expected = (start..=backlog.end().0).contains(&from).then(|| {
                    let tail = &stream[(from - at) as usize..];
                    tail[..tail.len().min(max)].to_vec()
                });
                prop_assert_eq!(all(&backlog, Offset(from), max), expected);
            }
        }
    }
}
