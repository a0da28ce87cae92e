//! What has begun is brought to its end, in every phase of the plan: trials are confirmed, and a node that
//! stays out for too long, or that disagrees about the state, holds the plan.

use crate::view::{View, note};
use crate::waiting_on::{OutStage, WaitingOn};
use ironcache_control::{Command, HoldReason, Node, OutStep, Phase, Plan, TrialPhase};
use ironcache_types::NodeId;
use std::collections::BTreeMap;

pub(crate) fn next(view: View<'_>, plan: &Plan, waiting: &mut Vec<WaitingOn>) -> Option<Command> {
    let mut overdue = None;
    for node in view.state.nodes.values() {
        let Some(out) = &node.out else { continue };
        let Err(stage) = confirmable(view, node, out) else {
            return Some(Command::Confirm {
                plan: plan.id,
                step: out.epoch,
                member: node.member(),
                digest: out.target.digest,
            });
        };
        let out_for_ms = view.obs.timers.out_for_ms.get(&node.id).copied().unwrap_or(0);
        let max_ms = plan.options.step_timeout_ms;
        if out_for_ms > max_ms && overdue.is_none() {
            overdue = Some(HoldReason::StepTimedOut { node: node.id, waited_ms: out_for_ms });
        }
        note(waiting, WaitingOn::NodeOut { node: node.id, out_for_ms, max_ms, stage });
    }
    for (id, shard) in &view.state.shards {
        if let Some(handover) = shard.handover {
            let age_ms = view.obs.timers.handover_age_ms.get(id).copied().unwrap_or(0);
            let (to, timeout_ms) = (handover.to.node, view.state.policy.handover_timeout_ms);
            note(waiting, WaitingOn::HandoverInFlight { shard: *id, to, age_ms, timeout_ms });
        }
    }
    let reason = match plan.phase {
        Phase::Rolling => disagreement(view).or(overdue),
        Phase::Staging | Phase::Soaking { .. } => disagreement(view),
        Phase::Paused | Phase::Held { .. } | Phase::TurningBack { .. } => None,
    };
    reason.map(|reason| Command::Hold { plan: plan.id, plan_epoch: plan.epoch, reason })
}

/// May the node's trial be accepted? How far it is, if not.
fn confirmable(view: View<'_>, node: &Node, out: &OutStep) -> Result<(), OutStage> {
    match out.phase {
        TrialPhase::Confirming { incarnation } if incarnation == node.incarnation => {
            return Err(OutStage::Confirming);
        }
        TrialPhase::Confirming { .. } | TrialPhase::Told => {}
        // Of an ended plan: nothing is accepted any more.
        TrialPhase::SetAside => return Err(OutStage::GoingBack),
    }
    if view.state.quarantined.contains_key(&out.target.digest) || turning_back(view) {
        return Err(OutStage::GoingBack);
    }
    if node.release.digest != out.target.digest {
        return Err(OutStage::Replacing);
    }
    let answer = view.answer(node).map_err(|_| OutStage::Silent)?;
    if answer.release.digest != out.target.digest {
        return Err(OutStage::Silent);
    }
    if !answer.ready {
        return Err(OutStage::NotReady);
    }
    let (entries, max_entries) = (answer.raft_lag_entries, view.bars.raft_lag_entries_max);
    if entries > max_entries { Err(OutStage::RaftLag { entries, max_entries }) } else { Ok(()) }
}

/// A rollback is wanted: no trial is accepted any more.
fn turning_back(view: View<'_>) -> bool {
    view.state.plan.as_ref().is_some_and(|plan| matches!(plan.phase, Phase::TurningBack { .. }))
}

/// A node that holds another state than most others at one log index.
fn disagreement(view: View<'_>) -> Option<HoldReason> {
    let mut by_index: BTreeMap<u64, BTreeMap<u64, Vec<NodeId>>> = BTreeMap::new();
    for (id, answer) in &view.obs.nodes {
        if !view.state.nodes.contains_key(id) {
            continue;
        }
        for at in &answer.state_hashes {
            by_index.entry(at.log_index).or_default().entry(at.hash).or_default().push(*id);
        }
    }
    by_index.into_iter().find_map(|(log_index, holders)| {
        let (common, _) =
            holders.iter().max_by_key(|(_, nodes)| (nodes.len(), nodes.contains(&view.obs.leader)))?;
        let odd = holders.iter().filter(|(hash, _)| *hash != common).flat_map(|(_, nodes)| nodes).min()?;
        Some(HoldReason::StateMismatch { node: *odd, log_index })
    })
}
