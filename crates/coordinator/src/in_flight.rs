//! What has begun is brought to its end, in every phase of the plan: trials are confirmed, and a node that
//! stays out for too long, or that disagrees about the state, holds the plan.

use crate::disagreement::{self, Odd};
use crate::view::{View, note};
use crate::waiting_on::{OutStage, WaitingOn};
use ironcache_control::{Command, HoldReason, Node, OutStep, Phase, Plan, TrialPhase};

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
        // On the way back a mismatch is what is left behind: it holds nobody.
        Phase::Rolling if plan.goes_back() => overdue,
        Phase::Staging if plan.goes_back() => None,
        Phase::Rolling => mismatch(view).or(overdue),
        Phase::Staging | Phase::Soaking { .. } => mismatch(view),
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
    view.in_service(node).map_err(|_| OutStage::NotReady)?;
    let (entries, max_entries) = (answer.raft_lag_entries, view.bars.raft_lag_entries_max);
    if entries > max_entries { Err(OutStage::RaftLag { entries, max_entries }) } else { Ok(()) }
}

/// A rollback is wanted: no trial is accepted any more.
fn turning_back(view: View<'_>) -> bool {
    view.state.plan.as_ref().is_some_and(|plan| matches!(plan.phase, Phase::TurningBack { .. }))
}

fn mismatch(view: View<'_>) -> Option<HoldReason> {
    let Odd { node, log_index } = disagreement::odd(view)?;
    Some(HoldReason::StateMismatch { node, log_index })
}
