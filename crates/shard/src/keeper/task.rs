//! What the applied state asks of a node that may keep a shard's tail.
//!
//! *Invariant:* a wish and a record are followed alike: a primary that proposed a record may have had it accepted, whatever
//! the leader wishes meanwhile.

use ironcache_control::{ControlState, HandoverVia, Shard};
use ironcache_types::{Epoch, Member};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Keep what this primary writes.
    Keep {
        primary: Member,
        epoch: Epoch,
    },
    /// The shard is recovered through what is kept: nothing comes to it any more.
    Fence {
        handover: Epoch,
    },
    Nothing,
}

pub(super) fn of(state: &ControlState, me: Member, shard: &Shard) -> Task {
    if let Some(handover) = shard.handover
        && handover.via == HandoverVia::Keeper
        && handover.from == me
    {
        return Task::Fence { handover: handover.epoch };
    }
    let is_registered = state.nodes.get(&me.node).is_some_and(|node| node.member() == me);
    let is_asked = shard.keeper_wanted == Some(me.node) || recorded_epoch(shard, me) == Some(shard.epoch);
    match shard.primary() {
        Some(primary) if is_registered && is_asked && primary.node != me.node => {
            Task::Keep { primary, epoch: shard.epoch }
        }
        Some(_) | None => Task::Nothing,
    }
}

/// The epoch of the tail that the log records for a life of this node.
pub(super) fn recorded_epoch(shard: &Shard, me: Member) -> Option<Epoch> {
    shard.keeper.filter(|keeper| keeper.member.node == me.node).map(|keeper| keeper.epoch)
}
