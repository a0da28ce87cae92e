//! Unix time that nobody sets: what the log is dated by, and a trial's end.
//!
//! ```text
//!   first launcher:  offset = wall clock − CLOCK_BOOTTIME, once ──environment──► every daemon it starts,
//!                                                                               every launcher it becomes
//!   each of them:    unix_ms() = offset + CLOCK_BOOTTIME
//! ```
//! A roll lasts from the time in one entry to the time in another, and is told so to people. By the wall clock it would
//! last an hour, or a negative time, when NTP steps the clock of a node in between. CLOCK_BOOTTIME only goes forward, also
//! while the machine sleeps, and is the same in every process: so the offset is the only thing to be handed on, and a
//! daemon that is replaced in the middle of a roll goes on counting where the one before it was.
//!
//! What it costs: a node whose wall clock was wrong when it was started dates the log wrongly until its *launcher* is
//! started again. What clients mean by a time (`EXPIREAT`) therefore goes by the wall clock.
//!
//! *Invariant:* the offset is taken once for a launcher and everything that descends from it.

use ironcache_store::clock::wall_ms;
use std::sync::OnceLock;

pub use ironcache_store::clock::boottime_ms;

/// The offset in ms, as a decimal number with a sign; set by a launcher for its daemons and its successors.
pub const CLOCK_VARIABLE: &str = "IRONCACHE_CLOCK_OFFSET_MS";

/// Unix time in ms, by this node's steady clock.
pub fn unix_ms() -> u64 {
    offset().unix_ms(boottime_ms())
}

/// The value of [`CLOCK_VARIABLE`] for whatever this process starts or becomes.
pub(crate) fn handed_on() -> String {
    let Offset(ms) = offset();
    ms.to_string()
}

/// What is added to the time since the machine was started, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset(i64);

fn offset() -> Offset {
    static OFFSET: OnceLock<Offset> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        let inherited = std::env::var(CLOCK_VARIABLE).ok().as_deref().and_then(Offset::from_text);
        inherited.unwrap_or_else(|| Offset::between(wall_ms(), boottime_ms()))
    })
}

impl Offset {
    fn between(wall_ms: u64, boottime_ms: u64) -> Self {
        // A wall clock before the machine's start gives a negative one.
        Offset(wall_ms.cast_signed().wrapping_sub(boottime_ms.cast_signed()))
    }

    /// `None` for what no launcher wrote: this process then takes its own.
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Offset)
    }

    fn unix_ms(self, boottime_ms: u64) -> u64 {
        boottime_ms.saturating_add_signed(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_jumps_changes_no_duration() {
        let offset = Offset::between(1_700_000_000_000, 5_000_000);
        assert_eq!(offset.unix_ms(5_000_000), 1_700_000_000_000);
        // An hour back or a year forth: nobody asks the wall clock again.
        assert_eq!(offset.unix_ms(5_002_500) - offset.unix_ms(5_000_000), 2_500);
        // The daemon that is started next reads what this one was given.
        let Offset(ms) = offset;
        let next = Offset::from_text(&ms.to_string()).unwrap();
        assert_eq!(next.unix_ms(5_009_000) - offset.unix_ms(5_000_000), 9_000);
    }

    #[test]
    fn a_clock_before_the_machines_start_is_no_problem() {
        let offset = Offset::between(1_000, 60_000);
        assert_eq!(offset, Offset(-59_000));
        assert_eq!(offset.unix_ms(60_500), 1_500);
        assert_eq!(Offset::from_text("-59000"), Some(offset));
        assert_eq!(offset.unix_ms(0), 0);
    }

    #[test]
    fn what_no_launcher_wrote_is_not_believed() {
        for text in ["", "soon", "1.5", "99999999999999999999"] {
            assert_eq!(Offset::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_steady_clock_begins_at_the_wall_clock_and_only_goes_forward() {
        let (before, now, later) = (wall_ms(), unix_ms(), unix_ms());
        assert!(now.abs_diff(before) < 60_000, "{now} ms against {before} ms");
        assert!(later >= now);
    }
}
