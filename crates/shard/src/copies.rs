//! Who else holds what this node holds, by the log; and what becomes of a checkpoint by that.
//!
//! *Invariant (I23):* nobody discards the last known copy of a dataset: a checkpoint goes only while the log names this very
//! life in an in-sync set of two or more, and never while a trial may still go back to the time before it.
//! *Invariant:* what is of a branch that a later primary has cut off is set aside, and never removed: nobody else holds it.

use ironcache_control::{ControlState, Ownership, Shard};
use ironcache_replication::Lineage;
use ironcache_types::{Member, Offset};

/// Is this process the trial of a release, which may still go back?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrial {
    Yes,
    No,
}

/// What becomes of the checkpoint from which a life began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointFate {
    Stays,
    /// Others hold at least as much.
    Goes,
    /// The shard went on without a part of it.
    IsSetAside,
}

/// What becomes of the checkpoint of `me` that ended at `offset`, written in `lineage`.
pub fn fate_of_checkpoint(
    state: &ControlState,
    me: Member,
    lineage: &Lineage,
    offset: Offset,
    on_trial: OnTrial,
) -> CheckpointFate {
    if state.shard_of_node(me.node).is_some_and(|shard| is_cut_off(shard, lineage, offset)) {
        return CheckpointFate::IsSetAside;
    }
    match may_remove(state, me, on_trial) {
        true => CheckpointFate::Goes,
        false => CheckpointFate::Stays,
    }
}

/// Does the log know of no copy of its shard beside the one that `me` holds? Then nobody but `me` can give it to others,
/// and a life that ends without a checkpoint ends it.
pub fn is_only_copy(state: &ControlState, me: Member) -> bool {
    state.shard_of_node(me.node).is_some_and(|shard| {
        let (holds, owner) = match shard.ownership {
            Ownership::Serving(owner) => (owner == me || shard.in_sync.contains(&me), Some(owner)),
            Ownership::Recovering { last, .. } => (last.node == me.node || shard.in_sync.contains(&me), None),
        };
        let others = shard.in_sync.iter().copied().chain(owner).any(|member| member != me);
        holds && !others
    })
}

/// May `me` remove the checkpoint that its life began from? Only when nobody can go back to the time before this life,
/// and the log names this very life in an in-sync set of two or more: then it holds everything that was acknowledged,
/// which is at least what it began from, and so does another node.
fn may_remove(state: &ControlState, me: Member, on_trial: OnTrial) -> bool {
    let confirmed = match on_trial {
        OnTrial::Yes => false,
        OnTrial::No => {
            state.nodes.get(&me.node).is_some_and(|node| node.member() == me && node.out.is_none())
        }
    };
    let is_held_by_two = state
        .shard_of_node(me.node)
        .is_some_and(|shard| shard.in_sync.contains(&me) && shard.in_sync.len() >= 2);
    confirmed && is_held_by_two
}

/// Has a later primary begun below `offset`, by the log? `lineage` is what the dataset of that end was written in.
fn is_cut_off(shard: &Shard, lineage: &Lineage, offset: Offset) -> bool {
    let reached = lineage.entries().iter().rev().find(|(_, start)| *start <= offset);
    let Some((reached, _)) = reached else { return false };
    let later = shard.lineage.iter().filter(|entry| entry.epoch > *reached).filter_map(|entry| entry.start);
    later.min().is_some_and(|start| start < offset)
}
