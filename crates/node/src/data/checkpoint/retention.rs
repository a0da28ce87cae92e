//! How long the checkpoint that a life began from is kept: it may be the last copy of its shard on any disk.
//!
//! *Invariant (I23):* it goes when the log says that another copy at least as new is held, not when it is read.
//! *Invariant:* what is of a branch that a later primary has cut off is set aside, and never removed: nobody else holds it.
//! *Invariant:* only what this life has read is removed: neither what it could not read, nor what it wrote itself.

use super::{super::DataNode, Begun, Copy};
use ironcache_control::{ControlState, Ownership, Shard};
use ironcache_host::exec::spawn_blocking;
use ironcache_replication::Lineage;
use ironcache_shard::Held;
use ironcache_store::{remove_durably, rename_durably};
use ironcache_types::{Member, Offset, chain};
use std::rc::Rc;

/// Is this process the trial of a release, which may still go back?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnTrial {
    Yes,
    No,
}

/// May `me` remove the checkpoint that its life began from? Only when nobody can go back to the time before this life,
/// and the log names this very life in an in-sync set of two or more: then it holds everything that was acknowledged,
/// which is at least what it began from, and so does another node.
pub(super) fn may_remove_checkpoint(state: &ControlState, me: Member, on_trial: OnTrial) -> bool {
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

/// Does the log know of no copy of its shard beside the one that `me` holds? Then nobody but `me` can give it to others,
/// and a life that ends without a checkpoint ends it.
pub(crate) fn is_only_copy(state: &ControlState, me: Member) -> bool {
    state.shard_of_node(me.node).is_some_and(|shard| {
        let (holds, owner) = match shard.ownership {
            Ownership::Serving(owner) => (owner == me || shard.in_sync.contains(&me), Some(owner)),
            Ownership::Recovering { last, .. } => (last.node == me.node || shard.in_sync.contains(&me), None),
        };
        let others = shard.in_sync.iter().copied().chain(owner).any(|member| member != me);
        holds && !others
    })
}

/// `<name>.cut-off`: where a copy of a branch that was cut off is kept, for whoever wants something back of it. One of each:
/// the newest.
const CUT_OFF: &str = "cut-off";

/// What becomes of the checkpoint now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    /// Others hold at least as much.
    Goes,
    /// The shard went on without a part of it.
    IsSetAside,
}

/// Has a later primary begun below `offset`, by the log? `lineage` is what the dataset of that end was written in.
pub(super) fn is_cut_off(shard: &Shard, lineage: &Lineage, offset: Offset) -> bool {
    let reached = lineage.entries().iter().rev().find(|(_, start)| *start <= offset);
    let Some((reached, _)) = reached else { return false };
    let later = shard.lineage.iter().filter(|entry| entry.epoch > *reached).filter_map(|entry| entry.start);
    later.min().is_some_and(|start| start < offset)
}

/// Removes the copy that was read, once it may go. A node that stops before leaves it where it is; its own checkpoint then
/// takes the place. A snapshot goes so only if none are taken any more: the next one takes its place, and until then it is
/// what outlives all nodes.
pub(crate) async fn let_go(node: Rc<DataNode>, begun: Begun) {
    let Begun { copy, held: Held { lineage, offset, .. } } = begun;
    loop {
        let changed = Rc::clone(&node.changed);
        let change = changed.notified();
        if node.plane.borrow().engine.is_sealed() {
            return;
        }
        let fate = fate(&node, &lineage, offset);
        let is_kept = copy == Copy::Snapshot && node.plane.borrow().config.snapshot_interval_s > 0;
        if fate == Fate::IsSetAside || fate == Fate::Goes && !is_kept {
            let _disk = node.disk.lock().await;
            // While it was waited for, the node may have begun to write its own.
            if node.plane.borrow().engine.is_sealed() || node.plane.borrow().snapshots.has_replaced(copy) {
                return;
            }
            let path = copy.path(&node.data_dir);
            let to = path.with_extension(CUT_OFF);
            let act = move || {
                if fate == Fate::IsSetAside { rename_durably(&path, &to) } else { remove_durably(&path) }
            };
            let name = copy.name();
            match spawn_blocking(act).await {
                Ok(Ok(())) if fate == Fate::IsSetAside => {
                    tracing::warn!(%offset, "the shard went on without a part of the {name}: it is kept as {name}.{CUT_OFF}");
                }
                Ok(Ok(())) => tracing::info!("the {name} is removed: others hold as much"),
                Ok(Err(error)) => tracing::warn!(error = chain(&error), "the {name} stays"),
                Err(error) => tracing::warn!(%error, "the {name} was not removed"),
            }
            return;
        }
        change.await;
    }
}

/// A trial ends before the log takes its node into a set: no change of the launcher's has to be waited for.
fn fate(node: &DataNode, lineage: &Lineage, offset: Offset) -> Fate {
    let on_trial = if node.launcher.borrow().trial.is_some() { OnTrial::Yes } else { OnTrial::No };
    let plane = node.plane.borrow();
    if plane.my_shard().is_some_and(|shard| is_cut_off(shard, lineage, offset)) {
        return Fate::IsSetAside;
    }
    match may_remove_checkpoint(&plane.view.state, plane.me, on_trial) {
        true => Fate::Goes,
        false => Fate::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{A, B, World};
    use ironcache_control::{AckMode, OutStep, TrialPhase};
    use ironcache_types::{Epoch, PlanId};

    fn may(world: &World, me: Member) -> bool {
        may_remove_checkpoint(&world.state, me, OnTrial::No)
    }

    #[test]
    fn the_checkpoint_of_a_set_of_one_stays() {
        let world = World::alone(AckMode::Primary);
        assert!(!may(&world, A), "what it serves is on no other node");
        assert!(!may(&world, B), "it is in no set");
    }

    #[test]
    fn a_member_of_a_set_of_two_lets_its_checkpoint_go_on_both_ends() {
        let world = World::pair(AckMode::InSync);
        assert!(may(&world, A) && may(&world, B));
    }

    #[test]
    fn the_role_of_an_earlier_life_says_nothing_of_this_one() {
        let mut world = World::pair(AckMode::InSync);
        let later = Member { incarnation: ironcache_types::Incarnation(99), ..B };
        assert!(!may(&world, later), "not registered");
        let me = world.restart(B);
        assert!(!may(&world, me), "registered, and in no set yet");
        assert!(!may(&world, A), "and the other one is alone now");
    }

    #[test]
    fn the_only_copy_is_that_of_whom_the_log_names_alone() {
        let alone = World::alone(AckMode::Primary);
        assert!(is_only_copy(&alone.state, A));
        assert!(!is_only_copy(&alone.state, B), "it holds nothing that anybody acknowledged");
        let pair = World::pair(AckMode::InSync);
        assert!(!is_only_copy(&pair.state, A) && !is_only_copy(&pair.state, B), "each has the other");
        // The replica stopped first, and its next life is in no set.
        let mut world = World::pair(AckMode::InSync);
        let replica = world.restart(B);
        assert!(is_only_copy(&world.state, A));
        assert!(!is_only_copy(&world.state, replica));
        // The last owner is back, and waits to be given its shard again.
        let me = world.restart(A);
        assert!(is_only_copy(&world.state, me));
        assert!(!is_only_copy(&world.state, replica));
    }

    #[test]
    fn a_trial_consumes_nothing() {
        let mut world = World::pair(AckMode::InSync);
        assert!(!may_remove_checkpoint(&world.state, B, OnTrial::Yes));
        let node = world.state.nodes.get_mut(&B.node).unwrap();
        node.out = Some(OutStep {
            plan: PlanId(1),
            epoch: Epoch(9),
            target: node.release.clone(),
            log_index: 1,
            phase: TrialPhase::Confirming { incarnation: B.incarnation },
            base_from: None,
        });
        assert!(!may(&world, B), "not until the log says that it is confirmed");
    }
}
