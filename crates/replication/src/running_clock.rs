//! The time in which this process ran: what silence and lag of others are measured in.
//!
//! ```text
//!  machine    0 ··· 10 ··· 20 ·················· 5020 ··· 5030
//!  this clock 0 ··· 10 ··· 20 ·················· 70   ··· 80       frozen for five seconds: they count as 50 ms
//! ```
//!
//! A process that was frozen, or that nobody scheduled, heard nothing meanwhile; that is no silence of its members.
//!
//! *Invariant:* it never goes back, and never runs faster than the clock that it is shown.

/// How far one look may carry the clock. Larger: a single pause of this process uses up a member's patience, a tenth of
/// `isr-timeout-ms` at the least. Smaller: on a machine where ticks come late as a rule (they are due every 10 ms) the
/// clock lags behind, and a member that died holds writes back for longer.
const STEP_MS_MAX: u64 = 50;

/// A clock that stands still while nobody looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningClock {
    shown_ms: u64,
    ran_ms: u64,
}

/// What one look at the clock gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How long this process has run.
    pub ran_ms: u64,
    /// How long nobody had looked, by the clock that was shown.
    pub since_last_ms: u64,
}

impl RunningClock {
    /// Starts at 0, when a monotonic clock says `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        RunningClock { shown_ms: now_ms, ran_ms: 0 }
    }

    /// To be called at least as often as something ticks, with what a monotonic clock says.
    pub fn look(&mut self, now_ms: u64) -> Look {
        let since_last_ms = now_ms.saturating_sub(self.shown_ms);
        self.shown_ms = self.shown_ms.max(now_ms);
        self.ran_ms += since_last_ms.min(STEP_MS_MAX);
        Look { ran_ms: self.ran_ms, since_last_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_count_in_full_and_a_freeze_does_not() {
        let mut clock = RunningClock::new(1000);
        for tick in 1..=20 {
            assert_eq!(clock.look(1000 + 10 * tick), Look { ran_ms: 10 * tick, since_last_ms: 10 });
        }
        assert_eq!(clock.look(6200), Look { ran_ms: 250, since_last_ms: 5000 });
        assert_eq!(clock.look(6200).ran_ms, 250);
        assert_eq!(clock.look(6100).ran_ms, 250, "a clock that went back");
        assert_eq!(clock.look(6210).ran_ms, 260);
    }
}
