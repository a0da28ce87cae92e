//! How long a member may be silent while writes wait for it: as long as pauses last here, and not longer.
//!
//! ```text
//!  patience = isr-timeout / 10  +  the longest pause of the last minute or two          at most isr-timeout
//!             200 ms by default    next to nothing on a quiet machine
//! ```
//!
//! Pauses are gaps beyond what was due: between this process's own ticks, and between what a link says. A silence that
//! ended soon was a pause, and the next one like it is to be waited out. One that lasted was an outage: it says nothing
//! about how long pauses last, and its member was rightly given up. So a replica that is frozen again and again does
//! not teach its primary to wait for it, and a machine that stutters does.

/// A silence that lasted up to this many times the patience in force was a pause. Larger: outages teach patience, and
/// the next one holds writes back for longer. Below 2, a machine on which pauses grow is never caught up with.
const PAUSE_PATIENCES_MAX: u64 = 2;

/// Before anything was seen: what a process waits for its turn on a machine with several busy threads a core. Smaller: a
/// primary that has just started, among nodes that have just started, drops members for nothing.
const ASSUMED_MS: u64 = 150;

/// Pauses are remembered for one to two of these. Longer: one bad moment holds writes back for long in the next outage.
/// Shorter: a job that comes every minute is a surprise each time.
const WINDOW_MS: u64 = 60_000;

/// Learns how long pauses last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The longest pause of this window, and of the one before.
    longest_ms: u64,
    before_ms: u64,
    window_began_ms: u64,
}

impl Patience {
    pub fn new(now_ms: u64) -> Self {
        Patience { longest_ms: 0, before_ms: ASSUMED_MS, window_began_ms: now_ms }
    }

    /// How long a member that holds somebody back may be silent, where one that holds nobody back may be for
    /// `isr_timeout_ms`.
    pub fn ms(&self, isr_timeout_ms: u64) -> u64 {
        let pause_ms = self.longest_ms.max(self.before_ms);
        (isr_timeout_ms / 10 + pause_ms).clamp(1, isr_timeout_ms.max(1))
    }

    /// Something came this much later than it was due.
    pub fn observe(&mut self, pause_ms: u64, isr_timeout_ms: u64, now_ms: u64) {
        let windows = now_ms.saturating_sub(self.window_began_ms) / WINDOW_MS;
        if windows > 0 {
            self.before_ms = if windows == 1 { self.longest_ms } else { 0 };
            self.longest_ms = 0;
            self.window_began_ms = now_ms;
        }
        if pause_ms <= PAUSE_PATIENCES_MAX.saturating_mul(self.ms(isr_timeout_ms)) {
            self.longest_ms = self.longest_ms.max(pause_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT_MS: u64 = 2_000;

    /// Of a machine that has been quiet for long.
    fn quiet() -> (Patience, u64) {
        let mut patience = Patience::new(0);
        let mut now_ms = 0;
        while now_ms < 3 * WINDOW_MS {
            now_ms += 50;
            patience.observe(2, TIMEOUT_MS, now_ms);
        }
        (patience, now_ms)
    }

    #[test]
    fn on_a_quiet_machine_it_is_a_tenth_of_the_timeout() {
        assert_eq!(quiet().0.ms(TIMEOUT_MS), 202);
        assert_eq!(Patience::new(0).ms(TIMEOUT_MS), 350, "before anything was seen");
    }

    #[test]
    fn a_member_that_is_frozen_again_and_again_is_not_waited_for_longer() {
        let (mut patience, mut now_ms) = quiet();
        for _ in 0..20 {
            now_ms += 5_000;
            patience.observe(1_450, TIMEOUT_MS, now_ms);
            assert_eq!(patience.ms(TIMEOUT_MS), 202);
        }
    }

    #[test]
    fn pauses_that_grow_are_followed_after_at_most_one_silence_that_was_too_long() {
        let (mut patience, mut now_ms) = quiet();
        let mut given_up = 0;
        for pause_ms in [90, 130, 180, 300, 300, 480, 650, 650, 840] {
            now_ms += 1_000;
            given_up += u32::from(pause_ms > patience.ms(TIMEOUT_MS));
            patience.observe(pause_ms, TIMEOUT_MS, now_ms);
        }
        assert_eq!(given_up, 0);
        assert_eq!(patience.ms(TIMEOUT_MS), 1_040);
        let (mut patience, now_ms) = quiet();
        patience.observe(390, TIMEOUT_MS, now_ms);
        assert_eq!(
            patience.ms(TIMEOUT_MS),
            590,
            "the next one of 390 ms is waited out, with the same to spare"
        );
    }

    #[test]
    fn it_forgets_within_two_windows() {
        let (mut patience, now_ms) = quiet();
        patience.observe(300, TIMEOUT_MS, now_ms);
        let learned = patience.ms(TIMEOUT_MS);
        for ms in (0..WINDOW_MS - 1_000).step_by(50) {
            patience.observe(1, TIMEOUT_MS, now_ms + ms);
        }
        assert_eq!(patience.ms(TIMEOUT_MS), learned);
        for ms in (0..2 * WINDOW_MS + 200).step_by(50) {
            patience.observe(1, TIMEOUT_MS, now_ms + WINDOW_MS + ms);
        }
        assert_eq!(patience.ms(TIMEOUT_MS), 201);
    }

    #[test]
    fn it_is_never_above_the_timeout_and_never_nothing() {
        let mut patience = Patience::new(0);
        assert_eq!((patience.ms(30), patience.ms(1), patience.ms(0)), (30, 1, 1));
        for now_ms in 0..100 {
            patience.observe(patience.ms(TIMEOUT_MS), TIMEOUT_MS, now_ms);
        }
        assert_eq!(patience.ms(TIMEOUT_MS), TIMEOUT_MS);
    }
}
