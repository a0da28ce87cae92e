//! How much was read, received or written on the way to somewhere: to a dataset that is whole, or to a checkpoint.
//!
//! *Invariant:* it only grows, and only while something advances: whoever waits for this node counts from its last change
//! (see [`ToLauncher::Heartbeat`](ironcache_spine::ToLauncher)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clones share the count; any thread may read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work(Arc<AtomicU64>);

impl Work {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
