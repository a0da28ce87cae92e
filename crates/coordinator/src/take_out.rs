//! The gates before a node is taken out.

use crate::keeper;
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{AckMode, Command, Node, Plan};
use ironcache_types::NodeId;

/// The command that takes `id` out, if every gate passes; else the reasons are noted.
pub(crate) fn propose(
    view: View<'_>,
    plan: &Plan,
    id: NodeId,
    now_wall_ms: u64,
    waiting: &mut Vec<WaitingOn>,
) -> Option<Command> {
    let node = view.state.nodes.get(&id)?;
    let mut reasons = Vec::new();
    gates(view, plan, node, &mut reasons);
    if !reasons.is_empty() {
        reasons.into_iter().for_each(|reason| note(waiting, reason));
        return None;
    }
    Some(Command::UpgradeSelf {
        plan: plan.id,
        plan_epoch: plan.epoch,
        member: node.member(),
        at_ms: now_wall_ms,
    })
}

fn gates(view: View<'_>, plan: &Plan, node: &Node, reasons: &mut Vec<WaitingOn>) {
    let state = view.state;
    let digest = plan.target.digest;
    if let Some(q) = state.quarantined.get(&digest) {
        note(reasons, WaitingOn::Quarantined { node: q.node, reason: q.reason.clone() });
    }
    if !node.staged.contains(&digest) {
        let held_by = state.nodes.values().filter(|n| n.staged.contains(&digest)).count();
        note(reasons, WaitingOn::Artifact { node: node.id, held_by, nodes: state.nodes.len() });
    }
    let (out, max) = (state.nodes.values().filter(|n| n.out.is_some()).count(), plan.options.max_parallel);
    if out >= usize::from(max.max(1)) {
        note(reasons, WaitingOn::Parallel { out, max: max.max(1) });
    }
    // A dead node would only run into the step's time limit. It may lag: that is why it may be taken out.
    if let Err(reason) = view.can_upgrade(node) {
        note(reasons, reason);
    }
    voters(view, node, reasons);
    for shard in keeper::kept_by(view, node.id) {
        note(reasons, WaitingOn::KeepsShard { shard: shard.id, node: node.id });
        keeper::note_missing(view, shard, reasons);
    }
    for shard in state.shards.values() {
        if shard.exposed {
            note(reasons, WaitingOn::Exposed { shard: shard.id });
        }
        if let Err(reason) = view.primary(shard) {
            note(reasons, reason);
        }
    }
    siblings(view, node, reasons);
}

/// A majority has to stay in service without this node.
fn voters(view: View<'_>, node: &Node, reasons: &mut Vec<WaitingOn>) {
    let voters = view.state.voters().count();
    let majority = view.state.majority();
    let reachable = view.voters_in_service().count();
    let left = view.voters_in_service().filter(|n| n.id != node.id).count();
    if left < majority {
        let needed = majority + usize::from(node.voter);
        note(reasons, WaitingOn::Voters { reachable, voters, needed });
    }
}

/// The other nodes of its shard have to hold the data meanwhile.
fn siblings(view: View<'_>, node: &Node, reasons: &mut Vec<WaitingOn>) {
    let Some(shard) = view.state.shard_of_node(node.id) else { return };
    if shard.mode != AckMode::InSync {
        note(reasons, WaitingOn::WeakMode { shard: shard.id });
    }
    for other in view.nodes_of(shard).filter(|n| n.id != node.id) {
        if let Err(reason) = view.in_service(other) {
            note(reasons, reason);
        } else if !shard.in_sync.contains(&other.member()) {
            note(reasons, WaitingOn::NotInSync { shard: shard.id, node: other.id });
        }
    }
    let others = shard.nodes.iter().filter(|id| **id != node.id).count();
    if let Err(reason) = keeper::covers(view, shard, node.member(), others) {
        note(reasons, reason);
    }
}
