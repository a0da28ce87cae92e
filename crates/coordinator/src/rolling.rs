//! The order of a roll: replicas and witnesses, then a handover to one of them, then the old primary; the
//! leader of raft when nobody else is left.
//!
//! The order of acts is by kind, then by shard, then by the shard's own order of nodes, so that two leaders
//! that see the same choose the same. An act whose gates do not pass is passed over, with its reasons noted.
//! While a handover holds clients back, nothing else begins: on a crowded machine a process that starts, or a
//! second handover, would lengthen it several times over.

use crate::decision::Decision;
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use crate::{handover, take_out, transfer};
use ironcache_control::{Command, NodeRole, Plan, Shard};
use ironcache_types::{NodeId, ShardId};

pub(crate) fn next(
    view: View<'_>,
    plan: &Plan,
    now_wall_ms: u64,
    waiting: &mut Vec<WaitingOn>,
) -> Option<Decision> {
    let in_flight = view.state.nodes.values().any(|n| n.out.is_some())
        || view.state.shards.values().any(|s| s.handover.is_some());
    if !in_flight && view.state.all_on(plan.target.digest) {
        let (id, plan_epoch, at_ms) = (plan.id, plan.epoch, now_wall_ms);
        return Some(Decision::Propose(if plan.goes_back() {
            // What everybody ran before needs no soak.
            Command::Finalize { plan: id, plan_epoch, level: view.state.cluster_level, at_ms }
        } else {
            Command::BeginSoaking { plan: id, plan_epoch, at_ms }
        }));
    }
    if clients_are_held_back(view) {
        return None;
    }
    let left = Left::of(view, plan);
    let leader = view.obs.leader;
    let may_go = |nodes: &[NodeId], waiting: &mut Vec<WaitingOn>| {
        nodes
            .iter()
            .filter(|id| **id != leader)
            .find_map(|id| take_out::propose(view, plan, *id, now_wall_ms, waiting))
    };
    let command = may_go(&left.replicas, waiting)
        .or_else(|| left.handovers.iter().find_map(|h| handover::propose(view, plan, h, waiting)))
        .or_else(|| may_go(&left.old_primaries, waiting));
    if let Some(command) = command {
        return Some(Decision::Propose(command));
    }
    if left.is_only(leader) && !in_flight {
        match transfer::choose(view, plan) {
            Some(to) => return Some(Decision::TransferLeader { to }),
            None => note(waiting, WaitingOn::NoOtherLeader { leader }),
        }
    }
    None
}

/// Is a handover under way that will be over in a moment? `in_flight` has noted that it is waited for.
fn clients_are_held_back(view: View<'_>) -> bool {
    view.state.shards.values().filter(|shard| shard.handover.is_some()).any(|shard| {
        let age_ms = view.obs.timers.handover_age_ms.get(&shard.id).copied().unwrap_or(0);
        age_ms <= view.bars.handover_alone_ms
    })
}

/// The nodes of the shard whose step the order of the plan allows next, gates aside.
pub(crate) fn next_steps(view: View<'_>, plan: &Plan, shard: &Shard) -> Vec<NodeId> {
    let mut left = Left::default();
    left.add_shard(view, plan, shard);
    let Left { replicas, handovers: _, old_primaries } = left;
    [replicas, old_primaries].concat()
}

/// What the order of the plan allows next, gates aside.
#[derive(Debug, Default)]
struct Left {
    replicas: Vec<NodeId>,
    handovers: Vec<PlannedHandover>,
    old_primaries: Vec<NodeId>,
}

/// A shard whose primary has to leave its role.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedHandover {
    pub shard: ShardId,
    pub to: HandoverTo,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum HandoverTo {
    /// The best replica on the target.
    Upgraded,
    /// The plan-start primary lost its role to a failover, and it alone is not the primary: it takes the
    /// role back, so that the present primary can go before it.
    PlanStartPrimary(NodeId),
}

impl Left {
    fn of(view: View<'_>, plan: &Plan) -> Left {
        let mut left = Left::default();
        for shard in view.state.shards.values() {
            left.add_shard(view, plan, shard);
        }
        let witnesses = view.state.nodes.values().filter(|n| n.role == NodeRole::Witness);
        let waits = |n: &&ironcache_control::Node| n.out.is_none() && n.release.digest != plan.target.digest;
        left.replicas.extend(witnesses.filter(waits).map(|n| n.id));
        left
    }

    /// Does the plan wait for this node's step alone? Not if nothing is left that may go now: the steps of a shard without a
    /// primary come later, whoever leads, and a leadership that is handed on and on finds it none.
    fn is_only(&self, node: NodeId) -> bool {
        let mut steps = self.replicas.iter().chain(&self.old_primaries).peekable();
        self.handovers.is_empty() && steps.peek().is_some() && steps.all(|id| *id == node)
    }

    fn add_shard(&mut self, view: View<'_>, plan: &Plan, shard: &Shard) {
        let Some(primary) = shard.primary() else { return };
        let out = view.nodes_of(shard).any(|n| n.out.is_some());
        if out || shard.handover.is_some() {
            return;
        }
        let start_primary = plan.start_primaries.get(&shard.id).copied();
        let waits = |n: &&NodeId| !view.is_on(**n, plan.target.digest);
        let first: Vec<NodeId> = shard
            .nodes
            .iter()
            .filter(waits)
            .copied()
            .filter(|n| *n != primary.node && Some(*n) != start_primary)
            .collect();
        if !first.is_empty() {
            self.replicas.extend(first);
        } else if !view.is_on(primary.node, plan.target.digest) {
            let anybody_on_target = shard.nodes.iter().any(|n| view.is_on(*n, plan.target.digest));
            let to = match start_primary {
                Some(start) if !anybody_on_target && start != primary.node => {
                    HandoverTo::PlanStartPrimary(start)
                }
                Some(_) | None => HandoverTo::Upgraded,
            };
            self.handovers.push(PlannedHandover { shard: shard.id, to });
        } else {
            self.old_primaries.extend(shard.nodes.iter().filter(waits));
        }
    }
}
