//! When this node last heard of a leader with a majority behind it.
//!
//! ```text
//!  follower:  the leader's append was taken        leader:  a majority answered, counted from the question
//!                        └──────────────── silence, longer than a lease: lost ───────┘
//! ```
//! A leader that reaches no majority goes quiet by itself, so a follower that hears one hears a majority.
//!
//! *Invariant:* it says less than is true, never more: before anything was heard, it counts from this process's start.

use crate::machine::StateMachine;
use crate::types::TypeConfig;
use crate::view::RaftView;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Clones share it.
#[derive(Clone)]
pub struct Contact {
    lease_ms: u64,
    heard: Arc<Mutex<Instant>>,
    /// What this node knows as a leader.
    raft: Arc<OnceLock<Raft<TypeConfig, StateMachine>>>,
}

/// No leader with a majority behind it was heard of for longer than a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this node has heard of no leader with a majority behind it for {silence_ms} ms; {lease_ms} ms are allowed"
)]
pub struct NoLeader {
    pub silence_ms: u64,
    pub lease_ms: u64,
}

impl Contact {
    /// Of a node that was just started.
    pub fn new(lease_ms: u64) -> Self {
        Contact { lease_ms, heard: Arc::new(Mutex::new(Instant::now())), raft: Arc::default() }
    }

    pub(crate) fn leads_by(&self, raft: Raft<TypeConfig, StateMachine>) {
        // A second handle would be of the same raft.
        let _ = self.raft.set(raft);
    }

    /// A leader's append was taken.
    pub(crate) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// # Errors
    /// The silence has lasted longer than a lease.
    pub fn check(&self) -> Result<(), NoLeader> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let silence = self.led().map_or(heard, |led| led.min(heard));
        let silence_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        let lease_ms = self.lease_ms;
        if silence_ms > lease_ms { Err(NoLeader { silence_ms, lease_ms }) } else { Ok(()) }
    }

    /// As a leader: since when a majority has not answered.
    fn led(&self) -> Option<Duration> {
        let metrics = self.raft.get()?.metrics();
        let view = RaftView::new(&metrics.borrow_watched());
        if !view.is_leader {
            return None;
        }
        // The only voter has nobody to ask.
        if view.voters == [view.node] {
            return Some(Duration::ZERO);
        }
        view.quorum_ack_ms.map(Duration::from_millis)
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact").field("lease_ms", &self.lease_ms).field("now", &self.check()).finish()
    }
}
