//! `tcp-keepalive`, as it was last set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// After how many seconds of silence a connection that begins now is probed; 0: never. One for all sockets of a process.
#[derive(Clone, Debug)]
pub(crate) struct Keepalive(Arc<AtomicU64>);

impl Keepalive {
    pub(crate) fn new(seconds: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seconds)))
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
