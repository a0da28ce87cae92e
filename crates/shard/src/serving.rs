//! Who executes a command, and who redirects it.
//!
//! *Invariant:* a command is executed only while this life is named as primary by the applied state, the log says where its
//! ownership begins, no handover holds commands back, and its lease runs.
//! *Invariant:* a command without keys goes where one with a key of this node's shard goes: a node that is about to serve
//! refuses neither.

use crate::engine::Engine;
use crate::role::{Primary, Role};
use crate::routing::ShardRoute;
use ironcache_types::{NodeId, ReadFrom, Slot};

/// What to do with a keyed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Execute,
    /// Hold it back, unexecuted: who serves it is being decided.
    Park,
    /// The primary is on this node. Which of its ports is for whoever knows how the client came.
    Moved(NodeId),
    /// Nobody owns the slot.
    Unowned,
}

impl Engine {
    /// Where a command on `slot` goes.
    #[inline]
    pub fn route(&self, slot: Slot, read: ReadFrom) -> Route {
        let Some((index, shard)) = self.routing.shard_of(slot) else {
            return Route::Unowned;
        };
        self.route_to(shard, self.routing.is_mine(index), read)
    }

    /// Where a write without keys goes: to the primary of this node's own shard, as any of its keys would.
    pub fn route_without_keys(&self) -> Route {
        self.routing.mine().map_or(Route::Unowned, |shard| self.route_to(shard, true, ReadFrom::Primary))
    }

    #[inline]
    fn route_to(&self, shard: &ShardRoute, is_mine: bool, read: ReadFrom) -> Route {
        if is_mine {
            match &self.role {
                Role::Primary(_) if self.is_serving() => return Route::Execute,
                // Held back until the outcome, or until the candidate said that it is promoted.
                Role::Primary(primary) if shard.epoch <= primary.epoch => return Route::Park,
                Role::Replica(_) if read == ReadFrom::Replica && self.in_sync() => return Route::Execute,
                Role::Replica(_) if self.is_fenced_candidate() => return Route::Park,
                Role::Loading | Role::Replica(_) | Role::Primary(_) => {}
            }
            if shard.candidate == Some(self.me) {
                return Route::Park;
            }
        }
        match shard.primary {
            // Never to itself: an earlier life of this node is no address for the present one.
            Some(primary) if primary.node != self.me.node => Route::Moved(primary.node),
            Some(_) | None => Route::Park,
        }
    }

    /// A primary whose start is in the log, that no handover holds back, and whose lease runs.
    #[inline]
    pub fn is_serving(&self) -> bool {
        let serves = matches!(&self.role, Role::Primary(p) if p.begun && p.handover.is_none());
        serves && !self.sealed && self.leased
    }

    /// Does this node hold everything that was acknowledged: a serving primary, or a replica that the log
    /// names in sync and whose link is up?
    pub fn in_sync(&self) -> bool {
        match &self.role {
            Role::Loading => false,
            Role::Primary(_) => true,
            Role::Replica(replica) => {
                let whole = replica.link_up && replica.cursor.ack().is_some() && !self.sealed;
                whole && self.my_shard().is_some_and(|s| s.in_sync.contains(&self.me))
            }
        }
    }

    /// Has this node met the fence of a handover whose outcome it has not applied?
    fn is_fenced_candidate(&self) -> bool {
        let Role::Replica(replica) = &self.role else { return false };
        replica.cursor.met_last().is_some_and(|met| {
            let in_flight = self.my_shard().and_then(|s| s.handover).map(|h| h.epoch);
            // The fence may have overtaken the entry that began the handover. A fence is not in force any more
            // once its handover is neither in flight nor yet to come, even if no frame has followed it.
            in_flight == Some(met.handover_epoch) || met.handover_epoch > self.state.epoch
        })
    }

    /// May a write be acknowledged with the present in-sync set (`min-in-sync`)?
    #[inline]
    pub fn has_enough_in_sync(&self) -> bool {
        let needed = usize::from(self.state.policy.min_in_sync);
        self.primary().is_none_or(|Primary { in_sync, .. }| *in_sync >= needed)
    }
}
