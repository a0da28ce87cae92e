//! When everybody goes back, and when the plan can be turned round for it.

use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, HoldReason, OnFailure, Plan, Reason};

/// A step failed, and the plan is one that goes back by itself then.
pub(crate) fn after_failure(view: View<'_>, plan: &Plan, held: &HoldReason) -> Option<Command> {
    match held {
        HoldReason::StepFailed { .. } => {}
        // None of these says anything about the release: somebody has to look.
        HoldReason::StepInconclusive { .. }
        | HoldReason::StepTimedOut { .. }
        | HoldReason::StateMismatch { .. }
        | HoldReason::Exposed { .. } => return None,
    }
    match plan.options.on_failure {
        OnFailure::Rollback => {}
        OnFailure::Hold => return None,
    }
    if plan.goes_back() || view.state.rollback_blockers(plan).is_some() {
        return None;
    }
    let HoldReason::StepFailed { node, reason } = held else { return None };
    let reason = Reason::new("step_failed", format!("node {node} could not run it: {reason}"));
    Some(Command::Rollback { plan: plan.id, plan_epoch: plan.epoch, reason })
}

/// The plan is turned round as soon as nothing is under way; `in_flight` has noted what is.
pub(crate) fn turn(view: View<'_>, plan: &Plan, waiting: &mut Vec<WaitingOn>) -> Option<Command> {
    let out = view.state.nodes.values().any(|n| n.out.is_some());
    let handover = view.state.shards.values().any(|s| s.handover.is_some());
    if out || handover {
        return None;
    }
    for shard in view.state.shards.values().filter(|s| s.primary().is_none()) {
        note(waiting, view.no_primary(shard));
    }
    if !waiting.is_empty() {
        return None;
    }
    Some(Command::TurnBack { plan: plan.id, plan_epoch: plan.epoch, leader: view.obs.leader })
}
