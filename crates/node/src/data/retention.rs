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

use super::plane::{LinkState, Plane};
use super::role::Role;
use ironcache_types::Offset;

impl Plane {
    /// Somebody took some of the stream, came, went or stood still: finds anew what is kept, and whether writes wait.
    pub(crate) fn retain(&mut self) {
        let (now_ms, end) = (self.clock_ms(), self.offset());
        let timeout_ms = self.view.state.policy.isr_timeout_ms;
        self.tail_bytes_max = self.backlog.capacity_bytes() as u64 / 2;
        self.tail_bytes_max = self.tail_bytes_max.max(self.view.state.policy.max_lag_bytes);
        let Role::Primary(primary) = &self.role else {
            self.backlog.hold_from(None);
            self.tail_from = None;
            return;
        };
        let members = primary.gate.held_by_members();
        for link in self.links.values_mut().filter(|link| link.sent >= end) {
            link.moved_ms = now_ms;
        }
        let moving = |link: &&LinkState| now_ms.saturating_sub(link.moved_ms) < timeout_ms;
        let links = self.links.values().filter(|link| link.link.is_some()).filter(moving);
        let held_from = links.map(|link| link.sent).chain(members).min();
        self.backlog.hold_from(held_from);
        // What it holds of its predecessor's part of the stream a member has not said yet.
        let (_, start) = primary.lineage.last();
        self.tail_from = held_from.map(|from| from.max(start));
    }

    /// Do writes wait until replicas have taken more of what was written?
    #[inline]
    pub(crate) fn is_backed_up(&self) -> bool {
        self.tail_from.is_some_and(|Offset(from)| self.offset().0.saturating_sub(from) > self.tail_bytes_max)
    }
}
