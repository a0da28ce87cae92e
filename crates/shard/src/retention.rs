//! How much of the stream is kept for replicas, and when writes wait for them.
//!
//! ```text
//!  backlog    ───────[═══════════════════════════[ end
//!                    │                           │
//!                    └ what a member acknowledged, or a link was sent: the least of them
//!                    └───── the tail ────────────┘    longer than the bound: writes are held back, unexecuted
//! ```
//!
//! A frame leaves the backlog when every member of the in-sync set has applied it and every link was sent it. So one
//! write that is larger than the backlog costs no replica its place. What bounds the memory is that nothing is written
//! while the tail is longer than half of `backlog-bytes` (or than `max-lag-bytes`, if that is more): at most that and one
//! write is kept beyond the backlog. Commands that write nothing go on.
//!
//! *Invariant:* no link is dropped because a write was large, or because replicas are slower than clients.
//! *Invariant:* nobody is waited for without an end. A member that stands still leaves the set by a committed entry
//! ([`AckGate`](ironcache_replication::AckGate)); a link of another replica keeps nothing once it has not moved for
//! `isr-timeout-ms`, and one that is gone never does.

use crate::engine::Engine;
use crate::event::Now;
use crate::link::{Flow, Link};
use crate::role::Role;
use ironcache_types::Offset;

/// What somebody still asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The backlog keeps everything from here on, however large.
    pub hold_from: Option<Offset>,
    /// From here on somebody has yet to take this primary's part of the stream; and how much that may be while writes are
    /// executed.
    tail_from: Option<Offset>,
    tail_bytes_max: u64,
}

impl Retention {
    /// Do writes wait until replicas have taken more of what was written?
    #[inline]
    pub fn is_backed_up(&self, end: Offset) -> bool {
        self.tail_from.is_some_and(|Offset(from)| end.0.saturating_sub(from) > self.tail_bytes_max)
    }
}

impl Engine {
    /// Somebody took some of the stream, came, went or stood still: finds anew what is kept, and whether writes wait.
    pub fn retention(&mut self, backlog_bytes: u64, now: Now) -> Retention {
        let policy = &self.state.policy;
        let timeout_ms = policy.isr_timeout_ms;
        let tail_bytes_max = (backlog_bytes / 2).max(policy.max_lag_bytes);
        let Role::Primary(primary) = &self.role else {
            return Retention { hold_from: None, tail_from: None, tail_bytes_max };
        };
        let end = primary.gate.end();
        for flow in self.links.values_mut().filter_map(|a| a.link.flow_mut()).filter(|f| f.sent >= end) {
            flow.moved_ms = now.ran_ms;
        }
        let moving = |flow: &&Flow| now.ran_ms.saturating_sub(flow.moved_ms) < timeout_ms;
        let flows = self.links.values().map(|a| &a.link).filter_map(Link::flow).filter(moving);
        let hold_from = flows.map(|flow| flow.sent).chain(primary.gate.held_by_members()).min();
        // What it holds of its predecessor's part of the stream a member has not said yet.
        let (_, start) = primary.lineage.last();
        Retention { hold_from, tail_from: hold_from.map(|from| from.max(start)), tail_bytes_max }
    }
}
