//! Planned promotions: when one begins, to whom, and when one that hangs is aborted.
//!
//! The fence makes a promotion exact, so the gates here only keep the time short in which clients are held
//! back. A replica that lags is not promoted: the plan waits, and says how far behind it is.

use crate::disagreement::{self, Odd};
use crate::keeper;
use crate::observation::ReplicaObservation;
use crate::rolling::{HandoverTo, PlannedHandover};
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Plan, Shard};
use ironcache_types::{Member, NodeId};
use std::cmp::Reverse;

/// Clients are parked during a handover: one that hangs is ended, plan or none, whatever the phase.
pub(crate) fn abort_overdue(view: View<'_>) -> Option<Command> {
    view.state.shards.values().find_map(|shard| {
        let handover = shard.handover?;
        let age_ms = view.obs.timers.handover_age_ms.get(&shard.id).copied().unwrap_or(0);
        (age_ms > view.state.policy.handover_timeout_ms)
            .then_some(Command::AbortHandover { shard: shard.id, handover: handover.epoch })
    })
}

pub(crate) fn propose(
    view: View<'_>,
    plan: &Plan,
    planned: &PlannedHandover,
    waiting: &mut Vec<WaitingOn>,
) -> Option<Command> {
    let shard = view.state.shards.get(&planned.shard)?;
    let from = shard.primary()?;
    let not_before_ms = view.obs.timers.handover_not_before_ms.get(&shard.id).copied().unwrap_or(0);
    if let Some(remaining_ms) = not_before_ms.checked_sub(view.obs.now_ms).filter(|ms| *ms > 0) {
        note(waiting, WaitingOn::HandoverBackoff { shard: shard.id, remaining_ms });
        return None;
    }
    // What it keeps is of this owner's stream, which ends here.
    if let Some(keeper) = shard.keeper {
        note(waiting, WaitingOn::KeeperStays { shard: shard.id, node: keeper.member.node });
        keeper::note_missing(view, shard, waiting);
        return None;
    }
    let may_take_over = |id: NodeId| match planned.to {
        HandoverTo::Upgraded => view.is_on(id, plan.target.digest),
        HandoverTo::PlanStartPrimary(start) => id == start,
    };
    let mut fit: Vec<&ReplicaObservation> = Vec::new();
    for id in shard.nodes.iter().copied().filter(|id| *id != from.node && may_take_over(*id)) {
        match candidate(view, plan, shard, id) {
            Ok(replica) => fit.push(replica),
            Err(reason) => note(waiting, reason),
        }
    }
    // Of equals the first of the shard's nodes: `min_by_key` keeps it.
    let best = fit.into_iter().min_by_key(|r| (r.lag_bytes, Reverse(r.applied)))?;
    Some(begin(plan, shard, from, best.member))
}

fn begin(plan: &Plan, shard: &Shard, from: Member, to: Member) -> Command {
    Command::BeginHandover { shard: shard.id, shard_epoch: shard.epoch, from, to, plan: Some(plan.id) }
}

/// Is the node ready to be promoted? As its primary sees it, or the first reason against it.
fn candidate<'a>(
    view: View<'a>,
    plan: &Plan,
    shard: &Shard,
    id: NodeId,
) -> Result<&'a ReplicaObservation, WaitingOn> {
    let primary = view.primary(shard)?;
    let (shard_id, max_ms) = (shard.id, view.bars.seen_ms_max);
    let Some(node) = view.state.nodes.get(&id) else {
        return Err(WaitingOn::Unreachable { node: id, seen_ms_ago: None, max_ms });
    };
    view.in_service(node)?;
    if let Some(Odd { node, log_index }) = disagreement::odd(view).filter(|odd| odd.node == id) {
        return Err(WaitingOn::StateDiffers { node, log_index });
    }
    // For how long it is in sync may be of an earlier stay in the set, if it was told before the set's last change.
    let replicas = &View::data_of_set(primary, shard)?.replicas;
    let Some(replica) = replicas.iter().find(|r| r.member == node.member()) else {
        return Err(WaitingOn::NotAttached { shard: shard_id, node: id });
    };
    let ReplicaObservation { member: _, applied: _, lag_bytes, syncing, in_sync_for_ms } = *replica;
    let (max_bytes, settle_ms) = (view.bars.handover_lag_bytes_max, plan.options.settle_ms);
    if syncing {
        return Err(WaitingOn::Syncing { shard: shard_id, node: id });
    }
    if lag_bytes > max_bytes {
        return Err(WaitingOn::Lag { shard: shard_id, node: id, lag_bytes, max_bytes });
    }
    if !shard.in_sync.contains(&node.member()) {
        return Err(WaitingOn::NotInSync { shard: shard_id, node: id });
    }
    if in_sync_for_ms < settle_ms {
        return Err(WaitingOn::Settling { shard: shard_id, node: id, in_sync_for_ms, settle_ms });
    }
    Ok(replica)
}
