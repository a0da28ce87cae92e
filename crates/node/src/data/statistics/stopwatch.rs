//! How long commands take, and what time it is for them, by one look at a clock for each.
//!
//! ```text
//!  begin        lap          lap            lap
//!    │  command  │  command   │   command    │
//!    └───────────┴────────────┴──────────────┘   the end of one is the beginning of the next
//! ```
//! *Invariant:* durations are of a clock that only goes forward. The time of day is that clock and how far the other one was
//! ahead of it, as of the last tick of the clockwork at the latest.

use crate::clock::{boottime_ns, wall_ms};

pub(in crate::data) struct Stopwatch {
    /// As of the last look.
    ns: u64,
    /// The time of day, less the other clock.
    ahead_ms: u64,
}

impl Stopwatch {
    pub(in crate::data) fn new() -> Self {
        let mut stopwatch = Stopwatch { ns: 0, ahead_ms: 0 };
        stopwatch.set();
        stopwatch
    }

    /// Reads both clocks: every tick, since the time of day may be set.
    pub(in crate::data) fn set(&mut self) {
        self.begin();
        self.ahead_ms = wall_ms().wrapping_sub(self.ns / 1_000_000);
    }

    /// Commands follow.
    #[inline]
    pub(in crate::data) fn begin(&mut self) {
        self.ns = boottime_ns();
    }

    /// A command has ended, which began at `since_ns`: how long it took.
    #[inline]
    pub(in crate::data) fn lap(&mut self, since_ns: u64) -> u64 {
        self.begin();
        self.ns.saturating_sub(since_ns)
    }

    /// When the last command ended, or the first began.
    #[inline]
    pub(in crate::data) fn ns(&self) -> u64 {
        self.ns
    }

    /// What clients mean by the time, then.
    #[inline]
    pub(in crate::data) fn wall_ms(&self) -> u64 {
        (self.ns / 1_000_000).wrapping_add(self.ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_that_of_the_wall_clock() {
        let before = wall_ms();
        let stopwatch = Stopwatch::new();
        let told = stopwatch.wall_ms();
        // The two clocks do not begin their milliseconds together.
        assert!(told + 1 >= before && told <= wall_ms() + 1, "{before} {told}");
    }

    #[test]
    fn a_lap_ends_where_the_next_begins() {
        let mut stopwatch = Stopwatch::new();
        let first = stopwatch.ns();
        let took = stopwatch.lap(first);
        assert_eq!(stopwatch.ns(), first + took);
        assert_eq!(stopwatch.lap(u64::MAX), 0, "never negative");
    }
}
