//! What tells two states of a node apart: everything that it says of itself by `Debug`, times as how long ago they are.
//!
//! *Invariant:* nothing is left out but what is a function of the rest (the applied state, which the log has), so two nodes of
//! one print do the same for ever. A time that is older than any wait counts as old, however old it is; a number whose field
//! is not named `…_ms` is compared as it is.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Older than this a time counts as old: longer than anything waits that a model plays.
pub(super) const OLD_MS: u64 = 200_000;

/// The print of `what`, whose clock is at `now_ms`.
pub(super) fn print(now_ms: u64, what: &impl fmt::Debug) -> u64 {
    let mut printer = Printer { hasher: DefaultHasher::new(), now_ms, is_time: false };
    write!(printer, "{what:?}").expect("a hasher takes everything");
    printer.hasher.finish()
}

struct Printer {
    hasher: DefaultHasher,
    now_ms: u64,
    /// The last field that was named holds a time.
    is_time: bool,
}

impl fmt::Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.ends_with("_ms") || text == "in_force" {
            self.is_time = true;
        } else if text.starts_with(',') || text.starts_with(" }") {
            self.is_time = false;
        } else if self.is_time
            && let Ok(time_ms) = text.parse::<u64>()
        {
            self.age(time_ms).hash(&mut self.hasher);
            return Ok(());
        }
        self.hasher.write(text.as_bytes());
        Ok(())
    }
}

impl Printer {
    /// `None` if it is old.
    fn age(&self, time_ms: u64) -> Option<i64> {
        let is_old = time_ms.saturating_add(OLD_MS) < self.now_ms;
        (!is_old).then(|| time_ms.wrapping_sub(self.now_ms).cast_signed())
    }
}
