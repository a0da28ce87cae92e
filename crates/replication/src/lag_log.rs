//! How far a replica trails, in operations and in time, from nothing but the offset it acknowledged.
//!
//! *Invariant:* bounded memory, and an error only ever makes a replica look further behind.

use ironcache_types::Offset;
use std::collections::VecDeque;

/// How many frame ends are remembered (512 KiB): a replica further behind than this many operations
/// keeps its last known count, so that larger lag limits than this make no sense.
pub(crate) const OPS_REMEMBERED_MAX: usize = 1 << 16;

/// Marks are at least this far apart: the age of an unacknowledged byte is overstated by at most this.
const MARK_EVERY_MS: u64 = 10;

/// 41 s of constant writing; an older unacknowledged byte counts as old as the log.
const MARKS_MAX: usize = 1 << 12;

#[derive(Clone, Debug)]
pub(crate) struct LagLog {
    ops_total: u64,
    /// Ends of the newest frames.
    ends: VecDeque<Offset>,
    /// The end of the newest forgotten frame.
    forgotten_end: Offset,
    marks: VecDeque<Mark>,
    created_ms: u64,
}

/// At `at_ms` the stream had not passed `start`.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: Offset,
    at_ms: u64,
}

impl LagLog {
    pub(crate) fn new(start: Offset, now_ms: u64) -> Self {
        LagLog {
            ops_total: 0,
            ends: VecDeque::new(),
            forgotten_end: start,
            marks: VecDeque::from([Mark { start, at_ms: now_ms }]),
            created_ms: now_ms,
        }
    }

    pub(crate) fn on_frame(&mut self, start: Offset, end: Offset, now_ms: u64) {
        self.ops_total += 1;
        self.ends.push_back(end);
        if self.ends.len() > OPS_REMEMBERED_MAX {
            self.forgotten_end = self.ends.pop_front().expect("it is longer than the maximum");
        }
        if self.marks.back().is_none_or(|mark| now_ms >= mark.at_ms.saturating_add(MARK_EVERY_MS)) {
            self.marks.push_back(Mark { start, at_ms: now_ms });
            if self.marks.len() > MARKS_MAX {
                self.marks.pop_front();
            }
        }
    }

    /// Operations so far.
    pub(crate) fn ops_total(&self) -> u64 {
        self.ops_total
    }

    /// Operations within the stream below `applied`; `None` if that is further back than remembered.
    pub(crate) fn ops_at(&self, applied: Offset) -> Option<u64> {
        if applied < self.forgotten_end {
            return None;
        }
        let forgotten = self.ops_total - self.ends.len() as u64;
        Some(forgotten + self.ends.partition_point(|end| *end <= applied) as u64)
    }

    /// The age of the byte at `applied`, which is not acknowledged; of one older than what is remembered,
    /// the age of the log.
    pub(crate) fn age_ms(&self, applied: Offset, now_ms: u64) -> u64 {
        let after = self.marks.partition_point(|mark| mark.start <= applied);
        let made_ms = after.checked_sub(1).map_or(self.created_ms, |last| self.marks[last].at_ms);
        now_ms.saturating_sub(made_ms)
    }

    /// No replica will be asked about less than `applied` any more.
    pub(crate) fn forget_below(&mut self, applied: Offset) {
        while let Some(end) = self.ends.front().copied().filter(|end| *end <= applied) {
            self.forgotten_end = end;
            self.ends.pop_front();
        }
        while self.marks.get(1).is_some_and(|mark| mark.start <= applied) {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(frames: u64) -> LagLog {
        let mut log = LagLog::new(Offset(0), 0);
        for i in 0..frames {
            log.on_frame(Offset(i * 10), Offset(i * 10 + 10), i);
        }
        log
    }

    #[test]
    fn operations_are_counted_by_frame_ends() {
        let mut log = filled(5);
        for (applied, ops) in [(0, 0), (9, 0), (10, 1), (49, 4), (50, 5), (99, 5)] {
            assert_eq!(log.ops_at(Offset(applied)), Some(ops), "{applied}");
        }
        log.forget_below(Offset(30));
        assert_eq!(log.ops_at(Offset(30)), Some(3));
        assert_eq!(log.ops_at(Offset(29)), None);
    }

    #[test]
    fn an_unacknowledged_byte_is_never_younger_than_it_is() {
        let log = filled(100);
        for i in 0..100u64 {
            let age = log.age_ms(Offset(i * 10), 1000);
            assert!((1000 - i..=1000 - i + MARK_EVERY_MS).contains(&age), "frame {i}: {age}");
        }
    }

    #[test]
    fn a_write_after_a_long_silence_is_young_and_the_one_before_it_is_old() {
        let mut log = filled(2);
        log.on_frame(Offset(20), Offset(30), 60_000);
        assert_eq!(log.age_ms(Offset(20), 60_003), 3);
        assert!(log.age_ms(Offset(10), 60_003) >= 60_002);
    }

    #[test]
    fn memory_is_bounded() {
        let log = filled(2 * OPS_REMEMBERED_MAX as u64);
        assert_eq!((log.ends.len(), log.marks.len()), (OPS_REMEMBERED_MAX, MARKS_MAX));
        assert_eq!(log.ops_at(Offset(10)), None);
    }
}
