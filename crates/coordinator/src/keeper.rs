//! Who keeps the tail of a shard's stream while a step leaves it with one full member.
//!
//! ```text
//!   rolling, and the next step of the shard leaves one member ──► WantKeeper{node}
//!   the primary records it (SetKeeper), and the step begins ──► … ──► two in sync again ──► WantKeeper{none}
//!   the wanted one answers no more, or says that it cannot keep ──► WantKeeper{another}
//! ```
//! The wish comes as soon as the plan rolls, for every such shard, so that no step has to wait for a keeper that attaches.
//! It goes before the shard is handed over: the new owner's stream is another one.
//!
//! *Invariant:* a wish is never a reason to stop a node, and never keeps one that could be spared: who keeps a tail is not
//! taken out, so nodes that would wait for each other do not keep, neither chosen so nor become so since: whose step is next
//! changes with the leader and with who answers. If nobody else could keep, the wish ends until the other shard's step is over.
//! *Invariant:* one that answers is not exchanged for a better one: each change costs the primary an attachment.

use crate::cannot_keep::CannotKeep;
use crate::disagreement;
use crate::observation::NodeObservation;
use crate::rolling;
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Keeper, KeeperBase, Node, NodeRole, Phase, Shard};
use ironcache_types::{Member, NodeId};
use std::collections::BTreeSet;

/// The first wish that is not what it should be.
pub(crate) fn next(view: View<'_>) -> Option<Command> {
    view.state.shards.values().find_map(|shard| {
        // Without an owner nobody could make it so, and the keeper on record is what is left.
        shard.primary()?;
        let wanted = wanted(view, shard);
        (wanted != shard.keeper_wanted).then_some(Command::WantKeeper {
            shard: shard.id,
            shard_epoch: shard.epoch,
            node: wanted,
        })
    })
}

/// Who should keep; `None` if nobody need, or nobody can.
fn wanted(view: View<'_>, shard: &Shard) -> Option<NodeId> {
    if !is_needed(view, shard) {
        return None;
    }
    let waits = |id: &NodeId| waits_for_itself(view, shard, *id);
    let fits = |id: &NodeId| {
        view.state.nodes.get(id).is_some_and(|node| could_keep(view, shard, node)) && !waits(id)
    };
    let on_record = shard.keeper.map(|keeper| keeper.member.node);
    // Whoever is wanted comes first: the one on record may be the one that it takes the place of.
    let present = shard.keeper_wanted.into_iter().chain(on_record).find(fits);
    present.or_else(|| choose(view, shard)).or_else(|| shard.keeper_wanted.filter(|id| !waits(id)))
}

/// Has the shard one full member left, or will it have with its next step? Whoever was out is back in the set before the
/// wish ends.
fn is_needed(view: View<'_>, shard: &Shard) -> bool {
    if shard.in_sync.len() < shard.members_min() {
        let was_wanted = view.state.plan.is_some() && shard.keeper_wanted.is_some();
        if was_wanted || view.state.has_node_out(shard) {
            return true;
        }
    }
    !next_to_go(view, shard).is_empty()
}

/// The nodes of the shard whose step is next, if each of them leaves one member: the leader goes later, and hands
/// leadership over before.
fn next_to_go(view: View<'_>, shard: &Shard) -> Vec<NodeId> {
    let Some(plan) = view.state.plan.as_ref().filter(|plan| plan.phase == Phase::Rolling) else {
        return Vec::new();
    };
    let leaves_two = shard.nodes.len() > 2;
    if leaves_two || view.state.membership.is_some() {
        return Vec::new();
    }
    let mut next = rolling::next_steps(view, plan, shard);
    next.retain(|id| *id != view.obs.leader);
    next
}

/// Is it a node of another shard, or a witness, that answers and stays, and has room?
fn could_keep(view: View<'_>, shard: &Shard, node: &Node) -> bool {
    let would = would_keep(view, shard, node);
    would.is_some_and(|answer| answer.cannot_keep.is_none() && !is_silent(view, shard, answer))
}

/// The answer of a node that has only its disk to keep it from being one.
fn would_keep<'a>(view: View<'a>, shard: &Shard, node: &Node) -> Option<&'a NodeObservation> {
    let is_odd = disagreement::odd(view).is_some_and(|odd| odd.node == node.id);
    let stays = node.out.is_none() && !view.state.is_leaving(node.id) && !shard.nodes.contains(&node.id);
    view.answer(node).ok().filter(|_| stays && !is_odd)
}

/// Where a primary gave its keeper up already, less silence is enough.
fn is_silent(view: View<'_>, shard: &Shard, answer: &NodeObservation) -> bool {
    shard.exposed && shard.keeper.is_none() && answer.seen_ms_ago > view.bars.dropped_seen_ms_max
}

/// Whose disk it is for which nobody keeps the shard's tail: that of whoever is wanted, or else of the first who would.
fn full(view: View<'_>, shard: &Shard) -> Option<(NodeId, CannotKeep)> {
    let why = |node: &Node| Some((node.id, would_keep(view, shard, node)?.cannot_keep.clone()?));
    match shard.keeper_wanted {
        Some(wanted) => view.state.nodes.get(&wanted).and_then(why),
        None => view.state.nodes.values().find_map(why),
    }
}

/// Nobody is on record who keeps the tail: why.
fn nobody(view: View<'_>, shard: &Shard) -> WaitingOn {
    match full(view, shard) {
        Some((node, why)) => WaitingOn::CannotKeep { shard: shard.id, node, why },
        None => WaitingOn::Keeper { shard: shard.id, wanted: shard.keeper_wanted },
    }
}

/// Notes of whom it is that a shard lacks: its keeper stays until they are in its set.
///
/// *Invariant:* whoever waits for a keeper to go says for whom the keeper waits.
pub(crate) fn note_missing<'a>(view: View<'a>, shard: &'a Shard, reasons: &mut Vec<WaitingOn>) {
    for node in view.nodes_of(shard).filter(|node| !shard.in_sync.contains(&node.member())) {
        let reason = view.in_service(node).err();
        note(reasons, reason.unwrap_or(WaitingOn::NotInSync { shard: shard.id, node: node.id }));
    }
}

/// Notes whose disk it is for which a shard stays exposed.
pub(crate) fn note_full(view: View<'_>, reasons: &mut Vec<WaitingOn>) {
    for shard in view.state.shards.values().filter(|shard| shard.exposed) {
        if let Some((node, why)) = full(view, shard) {
            note(reasons, WaitingOn::CannotKeep { shard: shard.id, node, why });
        }
    }
}

/// On another machine than the primary, then not the leader, then a witness, then a node that is on the target already,
/// then one whose turn comes later; of equals the first.
fn choose(view: View<'_>, shard: &Shard) -> Option<NodeId> {
    let machine = shard.primary().and_then(|primary| view.state.nodes.get(&primary.node)).map(|n| n.machine);
    let rank = |node: &&Node| {
        let same_machine = machine.is_some_and(|machine| machine.is_same(node.machine));
        (same_machine, node.id == view.obs.leader, node.role != NodeRole::Witness, turn(view, node), node.id)
    };
    let fits = |node: &&Node| could_keep(view, shard, node) && !waits_for_itself(view, shard, node.id);
    view.state.nodes.values().filter(fits).min_by_key(rank).map(|node| node.id)
}

/// How soon the node has to go itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Over,
    Later,
    Next,
}

fn turn(view: View<'_>, node: &Node) -> Turn {
    let Some(plan) = &view.state.plan else { return Turn::Over };
    let is_next = view.state.shard_of_node(node.id).is_some_and(|s| next_to_go(view, s).contains(&node.id));
    match view.is_on(node.id, plan.target.digest) {
        true => Turn::Over,
        false if is_next => Turn::Next,
        false => Turn::Later,
    }
}

/// With `keeper` as keeper of `shard`: would it wait for the shard's step, that for the shard that its node keeps, and so
/// on, until somebody waits for `keeper`?
fn waits_for_itself(view: View<'_>, shard: &Shard, keeper: NodeId) -> bool {
    let mut to_see = next_to_go(view, shard);
    let mut seen = BTreeSet::new();
    while let Some(id) = to_see.pop() {
        if id == keeper {
            return true;
        }
        if seen.insert(id) {
            to_see.extend(kept_by(view, id).flat_map(|kept| next_to_go(view, kept)));
        }
    }
    false
}

/// The shards whose tail the node keeps, or is to keep.
pub(crate) fn kept_by<'a>(view: View<'a>, id: NodeId) -> impl Iterator<Item = &'a Shard> {
    let keeps = move |shard: &&Shard| {
        shard.keeper_wanted == Some(id) || shard.keeper.is_some_and(|keeper| keeper.member.node == id)
    };
    view.state.shards.values().filter(keeps)
}

/// The gate of a step that leaves so many other nodes of the shard behind, all of them in the set.
pub(crate) fn covers(view: View<'_>, shard: &Shard, leaver: Member, others: usize) -> Result<(), WaitingOn> {
    if others >= 2 {
        return Ok(());
    }
    let keeper = alive(view, shard);
    let keeper = keeper.ok_or_else(|| nobody(view, shard))?;
    match keeper.base {
        KeeperBase::Own => Ok(()),
        KeeperBase::Leaver if shard.in_sync.contains(&leaver) => Ok(()),
        KeeperBase::Leaver => Err(WaitingOn::NotInSync { shard: shard.id, node: leaver.node }),
    }
}

/// The keeper, if it counts, and answers as the very life that is recorded.
pub(crate) fn alive<'a>(view: View<'_>, shard: &'a Shard) -> Option<&'a Keeper> {
    registered(view, shard).filter(|keeper| {
        let node = view.state.nodes.get(&keeper.member.node);
        node.is_some_and(|node| view.answer(node).is_ok())
    })
}

/// The keeper, if it counts and the life that is recorded is the newest that its node registered.
pub(crate) fn registered<'a>(view: View<'_>, shard: &'a Shard) -> Option<&'a Keeper> {
    shard.keeper_that_counts().filter(|keeper| {
        view.state.nodes.get(&keeper.member.node).is_some_and(|node| node.member() == keeper.member)
    })
}
