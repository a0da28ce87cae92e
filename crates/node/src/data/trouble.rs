//! Why a node does not do for its clients what the log says it does: told in `/readyz`, in `CLUSTER INFO`, and to who asked.
//!
//! ```text
//!  no leader for longer than a lease ─► every node          ─┐
//!  its own lease is over             ─► a primary           ─┼─► not ready, cluster_state:fail, CLUSTERDOWN
//!  writes wait for longer than that  ─► a primary            ─► not ready
//! ```
//! *Invariant:* what is held back for a moment, in an election or a handover, is no trouble: only what outlasts a lease is.

use super::plane::Plane;
use ironcache_raft::NoLeader;
use std::fmt;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    NoLeader(NoLeader),
    /// The leader grants this primary none.
    NoLease,
    /// A write has waited for a member of the in-sync set.
    NotAcknowledged {
        for_ms: u64,
    },
    /// `min-in-sync`.
    FewInSync {
        in_sync: usize,
        needed: u16,
        for_ms: u64,
    },
}

impl Trouble {
    /// Is it the cluster that does not serve, and not only a write that waits?
    pub(crate) fn is_down(self) -> bool {
        match self {
            Trouble::NoLeader(_) | Trouble::NoLease => true,
            Trouble::NotAcknowledged { .. } | Trouble::FewInSync { .. } => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoLeader(none) => none.fmt(f),
            Trouble::NoLease => f.write_str(
                "this node is a primary without a lease: no leader says that it is the only one, so it answers nobody",
            ),
            Trouble::NotAcknowledged { for_ms } => write!(
                f,
                "the oldest write has waited for {for_ms} ms for a replica that is in the in-sync set and does not answer"
            ),
            Trouble::FewInSync { in_sync, needed, for_ms } => write!(
                f,
                "writes are refused for {for_ms} ms: {in_sync} of the {needed} nodes that a write needs are in sync \
                 (min-in-sync)"
            ),
        }
    }
}

/// Since when a primary's writes are held up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeldUp {
    /// The offset that the oldest reply waits for, and since when it is the oldest.
    oldest: Option<(u64, Instant)>,
    few_in_sync: Option<Instant>,
}

impl Plane {
    /// Looks whether writes are held up. To be called often, so that a moment is not taken for longer than it was.
    pub(crate) fn look_at_writes(&mut self) {
        let oldest = self.primary().and_then(|_| self.waiters.first());
        self.held_up.oldest = match (oldest, self.held_up.oldest) {
            (None, _) => None,
            (Some(offset), Some((known, since))) if known == offset => Some((offset, since)),
            (Some(offset), _) => Some((offset, Instant::now())),
        };
        self.held_up.few_in_sync = match self.has_enough_in_sync() {
            true => None,
            false => self.held_up.few_in_sync.or_else(|| Some(Instant::now())),
        };
    }

    /// The worst of it.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        // A node of no cluster has no leader to miss.
        self.view.state.cluster_id?;
        if let Err(none) = self.contact.check() {
            return Some(Trouble::NoLeader(none));
        }
        let primary = self.primary()?;
        if !self.is_leased() {
            return Some(Trouble::NoLease);
        }
        let lease_ms = self.view.state.policy.timers.lease_ms();
        let longer = |since: Instant| {
            let for_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            (for_ms > lease_ms).then_some(for_ms)
        };
        if let Some(for_ms) = self.held_up.few_in_sync.and_then(longer) {
            let needed = self.view.state.policy.min_in_sync;
            return Some(Trouble::FewInSync { in_sync: primary.in_sync(), needed, for_ms });
        }
        let for_ms = self.held_up.oldest.and_then(|(_, since)| longer(since))?;
        Some(Trouble::NotAcknowledged { for_ms })
    }

    /// Why keyed commands are not served here now, if it is not a moment's matter.
    pub(crate) fn is_down(&self) -> Option<Trouble> {
        self.trouble().filter(|trouble| trouble.is_down())
    }
}
