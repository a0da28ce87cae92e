//! What memory this node uses, and for what.
//!
//! ```text
//!   used = dataset ─┬─ keys and values            ┐ counted against `maxmemory`
//!                   └─ tables                     │
//!        + clients: what is kept for them         ┘
//!        + backlog: the stream for replicas         not counted: it would have keys leave for what replicas lag behind
//! ```
//! *Invariant:* every part is a book that is kept with each change: a look costs nothing, and is exact.

use super::plane::Plane;
use crate::allocator::{self, Figures};
use ironcache_keyspace::{AccessClock, Keyspace, Tracking};

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    peak_bytes: usize,
}

/// In bytes, of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub used: usize,
    pub peak: usize,
    /// What a node without keys uses.
    pub startup: usize,
    /// What of `used` is no key and no value.
    pub overhead: usize,
    pub clients: usize,
    pub backlog: usize,
    pub resident: usize,
    /// What the allocator says, if it says anything.
    pub allocator: Option<Figures>,
}

impl Plane {
    /// What counts against the limit.
    #[inline]
    pub(super) fn counted_bytes(&self) -> usize {
        self.keyspace.used_bytes() + self.clients.kept_bytes()
    }

    fn backlog_bytes(&self) -> usize {
        (self.backlog.end().0 - self.backlog.start().0) as usize
    }

    /// Between two looks it may have been higher: they are as far apart as the clockwork's ticks.
    pub(super) fn look_at_memory(&mut self) {
        let used = self.counted_bytes() + self.backlog_bytes();
        self.memory.peak_bytes = self.memory.peak_bytes.max(used);
    }

    /// Keys note their use by the present time until this is called again.
    pub(crate) fn tell_time(&mut self) {
        self.keyspace.tell_time(AccessClock::new(self.coarse_ms, Tracking::Recency));
    }

    pub(super) fn usage(&self) -> Usage {
        let (clients, backlog) = (self.clients.kept_bytes(), self.backlog_bytes());
        let used = self.keyspace.used_bytes() + clients + backlog;
        Usage {
            used,
            peak: self.memory.peak_bytes.max(used),
            startup: Keyspace::EMPTY_BYTES,
            overhead: self.keyspace.overhead_bytes() + clients + backlog,
            clients,
            backlog,
            resident: crate::process::resident_bytes() as usize,
            allocator: allocator::told().map(|allocator| (allocator.figures)()),
        }
    }
}

impl Usage {
    pub(crate) fn dataset(&self) -> usize {
        self.used - self.overhead
    }

    /// Of what was used for data, and not before there was any.
    pub(crate) fn dataset_percent(&self) -> f64 {
        percent(self.dataset(), self.used - self.startup)
    }

    pub(crate) fn peak_percent(&self) -> f64 {
        percent(self.used, self.peak)
    }

    /// How much more is in memory than is used.
    pub(crate) fn fragmentation(&self) -> f64 {
        self.resident as f64 / self.used.max(1) as f64
    }

    pub(crate) fn fragmentation_bytes(&self) -> i64 {
        self.resident as i64 - self.used as i64
    }
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

/// As Redis writes sizes for people: `1.50M`.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn sizes_are_written_as_redis_writes_them() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_572_864, "1.50M"), (1 << 30, "1.00G")] {
            assert_eq!(human(bytes), text);
        }
    }
}
