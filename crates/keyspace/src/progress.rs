//! How the thread that works on the data shows that it does: a count that a watchdog on another thread looks at.
//!
//! ```text
//!   thread with the data: tick() a command, tick() every 1024 elements ──> count ──> heartbeat, lease, links
//! ```
//! A slow command is not a hang: whoever judges a thread looks whether its count moves, and not at the time. The count is
//! the thread's own, so that no function has to pass it on.
//!
//! *Invariant:* whatever walks elements without a bound ticks on its way; a count that stands still for long while the
//! thread is busy means that nothing happens any more.
//! *Invariant:* nothing here decides by it, and nothing that a client or a replica sees depends on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Elements between two ticks. An element takes some tens of nanoseconds, a microsecond at worst: below a millisecond
/// in all. Fewer would cost a tenth of what a short element costs.
const EVERY: u32 = 1024;

thread_local! {
    static COUNT: Arc<AtomicU64> = Arc::default();
}

/// This thread's count, for others to read; it only grows.
pub fn of_this_thread() -> Ticks {
    COUNT.with(|count| Ticks(Arc::clone(count)))
}

/// Something was done.
#[inline]
pub fn tick() {
    // Only this thread writes: no read-modify-write, which would cost more than a short command's share.
    COUNT.with(|count| count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed));
}

/// The same elements, with a tick now and then.
#[inline]
pub fn ticking<I: IntoIterator>(elements: I) -> impl Iterator<Item = I::Item> {
    let mut walked = 0_u32;
    elements.into_iter().inspect(move |_| {
        walked = walked.wrapping_add(1);
        if walked.is_multiple_of(EVERY) {
            tick();
        }
    })
}

/// The count of some thread.
#[derive(Clone, Debug)]
pub struct Ticks(Arc<AtomicU64>);

impl Ticks {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_walk_ticks_and_a_short_one_costs_none() {
        let mine = of_this_thread();
        let before = mine.count();
        assert_eq!(ticking(0..100).sum::<u64>(), 4_950);
        assert_eq!(mine.count(), before);
        assert_eq!(ticking(vec![1_u64; 10_000]).sum::<u64>(), 10_000);
        assert_eq!(mine.count(), before + 9);
        tick();
        assert_eq!(of_this_thread().count(), before + 10);
    }
}
