//! When a key was last used, or how often it is: 24 bits an entry, as Redis defines them.
//!
//! ```text
//!   by recency    [ seconds of the clock, 24 bits                ]  idle = now - then, it wraps after 194 days
//!   by frequency  [ minute of the last decay, 16 bits | count, 8 ]  the count grows by its logarithm, and decays
//! ```
//! Which of the two an entry holds follows from the policy in force; after a change of policy what was noted before is read
//! as the other, and adjusts with use, as in Redis.
//!
//! *Invariant:* no clock is read: it is told from outside, and stands still in between.
//! *Invariant:* nothing that is replicated depends on it: a primary notes what its clients use, a replica what it is sent.

/// What use is noted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    Recency,
    Frequency {
        /// Larger: more uses until the count saturates. About 1,000,000 at 10.
        log_factor: u32,
        /// In so many minutes without use a count falls by one; 0: it never falls.
        decay_minutes: u32,
    },
}

/// The time by which use is noted, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessClock {
    /// Of 24 bits.
    second: u32,
    /// Of 16 bits.
    minute: u16,
    tracking: Tracking,
}

/// A new key is not the first to go: it has been used as if a few times.
const COUNT_OF_NEW: u8 = 5;
const SECONDS: u32 = 1 << 24;
const COUNT_BITS: u32 = 8;

impl AccessClock {
    pub fn new(now_ms: u64, tracking: Tracking) -> Self {
        let seconds = now_ms / 1000;
        let second = (seconds % u64::from(SECONDS)) as u32;
        AccessClock { second, minute: (seconds / 60 % (1 << 16)) as u16, tracking }
    }

    pub fn tracking(&self) -> Tracking {
        self.tracking
    }

    /// Of a key that was just made.
    pub(crate) fn of_new(&self) -> u32 {
        match self.tracking {
            Tracking::Recency => self.second,
            Tracking::Frequency { .. } => self.with_count(COUNT_OF_NEW),
        }
    }

    /// Of a key that is used now. `random` is uniform over u32, and matters to frequency alone.
    #[inline]
    pub(crate) fn of_used(&self, access: u32, random: impl FnOnce() -> u32) -> u32 {
        match self.tracking {
            Tracking::Recency => self.second,
            Tracking::Frequency { log_factor, .. } => {
                let count = self.frequency(access);
                // It grows with a chance of 1 in `steps`.
                let steps = u64::from(count.saturating_sub(COUNT_OF_NEW)) * u64::from(log_factor) + 1;
                let grows = u64::from(random()) * steps < 1 << 32;
                self.with_count(count.saturating_add(u8::from(grows)))
            }
        }
    }

    /// Of a key that was written by whoever has not looked it up: a stream that is followed.
    #[inline]
    pub(crate) fn of_written(&self, access: u32) -> u32 {
        match self.tracking {
            Tracking::Recency => self.second,
            Tracking::Frequency { .. } => access,
        }
    }

    /// Of a key that was idle for so long, or used so often, elsewhere. `None` if that is not what is noted.
    pub fn of_told(&self, idle_s: Option<u64>, frequency: Option<u8>) -> Option<u32> {
        match self.tracking {
            Tracking::Recency => {
                let idle_s = (idle_s? % u64::from(SECONDS)) as u32;
                Some(self.second.wrapping_sub(idle_s) % SECONDS)
            }
            Tracking::Frequency { .. } => frequency.map(|count| self.with_count(count)),
        }
    }

    /// For how many seconds a key was not used.
    pub fn idle_s(&self, access: u32) -> u32 {
        self.second.wrapping_sub(access) % SECONDS
    }

    /// How often a key is used, from 0 to 255 on a logarithmic scale, as it has decayed by now.
    pub fn frequency(&self, access: u32) -> u8 {
        let count = (access % (1 << COUNT_BITS)) as u8;
        let Tracking::Frequency { decay_minutes, .. } = self.tracking else { return count };
        let since = u32::from(self.minute.wrapping_sub((access >> COUNT_BITS) as u16));
        let periods = since.checked_div(decay_minutes).unwrap_or(0);
        count.saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
    }

    /// The higher, the sooner a key goes.
    pub(crate) fn coldness(&self, access: u32) -> u32 {
        match self.tracking {
            Tracking::Recency => self.idle_s(access),
            Tracking::Frequency { .. } => u32::from(u8::MAX - self.frequency(access)),
        }
    }

    fn with_count(&self, count: u8) -> u32 {
        u32::from(self.minute) << COUNT_BITS | u32::from(count)
    }
}

impl Default for AccessClock {
    fn default() -> Self {
        AccessClock::new(0, Tracking::Recency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    fn frequency(now_ms: u64, log_factor: u32, decay_minutes: u32) -> AccessClock {
        AccessClock::new(now_ms, Tracking::Frequency { log_factor, decay_minutes })
    }

    /// What a count is after so many uses within a minute.
    fn count_after(uses: u32, log_factor: u32) -> u8 {
        let clock = frequency(0, log_factor, 1);
        let (mut access, mut state) = (clock.of_new(), 1_u64);
        for _ in 0..uses {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            access = clock.of_used(access, || (state >> 32) as u32);
        }
        clock.frequency(access)
    }

    #[test]
    fn idle_time_is_counted_in_seconds_and_across_the_end_of_the_clock() {
        let then = AccessClock::new(5_000, Tracking::Recency).of_new();
        assert_eq!(AccessClock::new(5_999, Tracking::Recency).idle_s(then), 0);
        assert_eq!(AccessClock::new(65_000, Tracking::Recency).idle_s(then), 60);
        let end_ms = u64::from(SECONDS) * 1000;
        let then = AccessClock::new(end_ms - 2_000, Tracking::Recency).of_new();
        assert_eq!(AccessClock::new(end_ms + 3_000, Tracking::Recency).idle_s(then), 5);
    }

    /// Source: the table of the Redis documentation on LFU, by factor and hits.
    #[test]
    fn counts_grow_by_the_logarithm_of_use() {
        assert_eq!(count_after(0, 10), COUNT_OF_NEW);
        for (factor, uses, about) in [(0, 100, 104), (1, 1_000, 49), (10, 1_000, 18), (10, 100_000, 142)] {
            let count = count_after(uses, factor);
            assert!(count.abs_diff(about) <= about / 4, "factor {factor}, {uses} uses: {count}, not about {about}");
        }
        assert_eq!(count_after(1_000, 0), u8::MAX, "it saturates");
    }

    #[test]
    fn counts_decay_by_one_a_period_and_never_below_nothing() {
        let access = frequency(0, 10, 1).of_new();
        for (minutes, count) in [(0, 5), (1, 4), (3, 2), (5, 0), (4_000, 0)] {
            assert_eq!(frequency(minutes * MINUTE_MS, 10, 1).frequency(access), count, "{minutes}");
        }
        assert_eq!(frequency(9 * MINUTE_MS, 10, 10).frequency(access), 5);
        assert_eq!(frequency(10 * MINUTE_MS, 10, 10).frequency(access), 4);
        assert_eq!(frequency(4_000 * MINUTE_MS, 10, 0).frequency(access), 5, "0 minutes: never");
    }

    #[test]
    fn use_notes_the_decayed_count_so_that_it_decays_once() {
        let access = frequency(0, 10, 1).of_new();
        let later = frequency(3 * MINUTE_MS, 10, 1);
        let used = later.of_used(access, || u32::MAX);
        assert_eq!(later.frequency(used), 3, "2 are left of 5, and so few grow by each use");
        assert_eq!(frequency(4 * MINUTE_MS, 10, 1).frequency(used), 2);
    }

    #[test]
    fn whoever_is_used_least_is_coldest() {
        let clock = AccessClock::new(100_000, Tracking::Recency);
        assert!(clock.coldness(10) > clock.coldness(90));
        let clock = frequency(0, 10, 1);
        assert!(clock.coldness(clock.with_count(1)) > clock.coldness(clock.with_count(200)));
    }
}
