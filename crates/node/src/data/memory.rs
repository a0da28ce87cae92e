//! What memory this node uses, and for what.
//!
//! ```text
//!   used = dataset ─┬─ keys and values            ┐ counted against `maxmemory`
//!                   └─ tables                     │
//!        + clients: what is kept for them         ┘
//!        + backlog: the stream for replicas         not counted: it would have keys leave for what replicas lag behind
//! ```
//! Above the limit a primary deletes keys, each by an effect of its own, a slice at a time: before each command, and with each
//! tick. A replica holds what its primary holds, and deletes nothing by itself.
//!
//! *Invariant:* every part is a book that is kept with each change: a look costs nothing, and is exact.
//! *Invariant:* no key goes for want of memory but on a primary that serves: not on a replica, not beyond the fence of a
//! handover, not without a lease, not while replicas lag too far behind, and not during `CLIENT PAUSE` or while a slow script
//! waits for its turn.

use super::plane::Plane;
use crate::allocator::{self, Figures};
use ironcache_keyspace::{AccessClock, EventClass, Evicted, EvictionPolicy, Evictor, Keyspace};
use ironcache_replication::Scope;

/// What is remembered between two looks.
pub(crate) struct Memory {
    peak_bytes: usize,
    evictor: Evictor,
    /// As of the last slice: no key may go, or too few went.
    exhausted: bool,
}

impl Memory {
    pub(super) fn new(seed: u64) -> Self {
        Memory { peak_bytes: 0, evictor: Evictor::new(seed), exhausted: false }
    }
}

/// Keys that go in one slice at most. A key takes 2 to 4 µs: a millisecond before a command, four with a tick. Larger, and
/// clients wait; smaller, and a pipeline of large writes outruns it.
pub(super) const OF_A_COMMAND: usize = 256;
pub(super) const OF_A_TICK: usize = 1024;
/// Elements that go in one slice, and the key that they are of: some milliseconds.
const ELEMENTS_MAX: usize = 20_000;
/// Above the limit by more than this part of it, what may take more memory is refused until slices have caught up.
const AHEAD_PART: usize = 10;

/// In bytes, of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
        self.keyspace.used_bytes() + self.clients.kept_bytes() + self.clients.tracking().bytes()
    }

    #[inline]
    pub(super) fn is_above_limit(&self) -> bool {
        let limit = self.config.maxmemory;
        limit != 0 && self.counted_bytes() as u64 > limit
    }

    /// Is what may take more memory refused?
    #[inline]
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.memory.exhausted && self.is_above_limit()
    }

    /// Above the limit: deletes keys until it is not, and `keys_max` at most.
    #[cold]
    pub(super) fn make_room(&mut self, keys_max: usize) {
        let (policy, samples) = (self.config.maxmemory_policy, self.config.maxmemory_samples as usize);
        self.memory.exhausted = false;
        if policy == EvictionPolicy::NoEviction {
            self.memory.exhausted = self.primary().is_some();
            return;
        }
        // A script that waits has read keys that it may read again.
        if self.scripts.is_busy() {
            return;
        }
        let mut elements_left = ELEMENTS_MAX;
        for _ in 0..keys_max {
            // Each time: what was written may have become too much for the replicas.
            if !self.is_serving() || self.is_backed_up() || self.pause.what().is_some() {
                return;
            }
            if !self.is_above_limit() || elements_left == 0 {
                break;
            }
            let Plane { keyspace, memory, effects, .. } = self;
            match keyspace.evict(&mut memory.evictor, policy, samples, effects) {
                Evicted::Key { slot, elements } => {
                    elements_left = elements_left.saturating_sub(elements);
                    self.stats.evicted += 1;
                    self.note_keys(EventClass::Evicted, "evicted");
                    // One frame a key: each touches its own slot.
                    self.commit(Scope::Slot(slot));
                    self.tell_of_keys();
                }
                Evicted::None => {
                    self.memory.exhausted = true;
                    return;
                }
            }
        }
        let limit = self.config.maxmemory as usize;
        self.memory.exhausted = self.counted_bytes() > limit.saturating_add(limit / AHEAD_PART);
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
        self.keyspace.tell_time(AccessClock::new(self.coarse_ms, self.config.tracking()));
    }

    pub(super) fn usage(&self) -> Usage {
        let clients = self.clients.kept_bytes() + self.clients.tracking().bytes();
        let backlog = self.backlog_bytes();
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
        for (bytes, text) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_572_864, "1.50M"), (1 << 30, "1.00G")]
        {
            assert_eq!(human(bytes), text);
        }
    }
}
