//! A node that is out: activate, wait for the verdict, report.

use crate::action::{Action, Waiting};
use crate::facts::{LauncherPhase, LocalFacts, StepResult};
use crate::staging;
use ironcache_control::{Command, ControlState, OutStep, Phase, Reason, TrialPhase};

/// A primary that cannot be asked for this long has no say: it either is gone, or has missed this node's
/// acknowledgements for longer than it tolerates and has applied the removal before it can acknowledge more.
/// Longer only slows a roll down while a primary is away; shorter takes a slow link for a dead one.
const PRIMARY_SILENT_MS_MAX: u64 = 2_000;

/// The running binary is on trial for the step that this node is out for.
pub(crate) fn on_trial(state: &ControlState, facts: &LocalFacts, out: &OutStep) -> Action {
    let step = out.epoch;
    if out.phase == TrialPhase::SetAside {
        let reason = "the plan was aborted while this node was out".to_owned();
        return Action::AbandonTrial { step, reason };
    }
    if facts.running.digest != out.target.digest {
        return Action::Wait(Waiting::TrialRunsOther { step, running: facts.running.clone() });
    }
    match out.phase {
        TrialPhase::Confirming { incarnation } if incarnation == facts.me.incarnation => {
            Action::ConfirmTrial { step }
        }
        TrialPhase::Told | TrialPhase::Confirming { .. } if turning_back(state) => {
            Action::AbandonTrial { step, reason: TURNED.to_owned() }
        }
        // Told, or accepted for an earlier process of the same trial: this one needs its own acceptance.
        TrialPhase::Told | TrialPhase::Confirming { .. } | TrialPhase::SetAside => match state
            .quarantined
            .get(&out.target.digest)
        {
            Some(q) => Action::AbandonTrial {
                step,
                reason: format!("the release was quarantined meanwhile: on node {}: {}", q.node, q.reason),
            },
            None => Action::Wait(Waiting::TrialNotAccepted { step }),
        },
    }
}

const TURNED: &str = "a rollback was ordered meanwhile";

/// A rollback is wanted: what has not become final does not.
fn turning_back(state: &ControlState) -> bool {
    state.plan.as_ref().is_some_and(|plan| matches!(plan.phase, Phase::TurningBack { .. }))
}

/// No trial runs: it has not begun, or it is over.
pub(crate) fn not_on_trial(state: &ControlState, facts: &LocalFacts, out: &OutStep) -> Action {
    match out.phase {
        TrialPhase::SetAside => return rejoin(facts, out),
        TrialPhase::Confirming { .. } if facts.running.digest == out.target.digest => {
            return confirmed(facts, out);
        }
        TrialPhase::Told if facts.running.digest == out.target.digest => {
            return Action::Wait(Waiting::TrialNotAccepted { step: out.epoch });
        }
        TrialPhase::Told | TrialPhase::Confirming { .. } => {}
    }
    let outcome = facts.launcher.last_outcome.as_ref().filter(|outcome| outcome.step == out.epoch);
    match outcome.map(|outcome| &outcome.result) {
        Some(StepResult::Failed { reason }) => failed(facts, out, reason.clone(), Fault::TheRelease),
        Some(StepResult::Inconclusive { reason }) => failed(facts, out, reason.clone(), Fault::NotTheRelease),
        Some(StepResult::Done) => {
            let reason = format!("the launcher made the step final, and {} runs", facts.running);
            let reason = Reason::new("runs_other", reason);
            failed(facts, out, reason, Fault::NotTheRelease)
        }
        None if facts.launcher.last_done >= out.epoch => {
            let reason =
                format!("the launcher is at step {} and knows nothing of this one", facts.launcher.last_done);
            let reason = Reason::new("outcome_unknown", reason);
            failed(facts, out, reason, Fault::NotTheRelease)
        }
        None => activate(state, facts, out),
    }
}

/// The plan went on without this node. Whatever it runs now, it is on no trial; but a trial may still begin if this
/// process has ordered one.
fn rejoin(facts: &LocalFacts, out: &OutStep) -> Action {
    let step = out.epoch;
    if facts.activation_ordered == Some(step) {
        return Action::Wait(Waiting::ActivationMayFollow { step });
    }
    Action::Rejoin(Command::Rejoin { step, member: facts.me })
}

fn activate(state: &ControlState, facts: &LocalFacts, out: &OutStep) -> Action {
    if let Some(reason) = cannot_activate(state, facts, out) {
        return failed(facts, out, reason, Fault::NotTheRelease);
    }
    let holds_a_role = state.shards.values().any(|shard| {
        shard.in_sync.contains(&facts.me) || shard.primary().is_some_and(|p| p.node == facts.me.node)
    });
    if holds_a_role {
        return Action::Wait(Waiting::HoldsARole);
    }
    if !facts.held.contains(&out.target.digest) {
        return staging::fetch(state, facts, out.target.digest);
    }
    if state.shard_of_node(facts.me.node).is_some() {
        match facts.primary_applied {
            Some(applied) if applied < out.log_index => {
                return Action::Wait(Waiting::PrimaryHasNotApplied { applied, needed: out.log_index });
            }
            None if facts.told_ms_ago < PRIMARY_SILENT_MS_MAX => {
                let (told_ms_ago, max_ms) = (facts.told_ms_ago, PRIMARY_SILENT_MS_MAX);
                return Action::Wait(Waiting::PrimarySilent { told_ms_ago, max_ms });
            }
            Some(_) | None => {}
        }
    }
    Action::Activate { step: out.epoch, plan: out.plan, target: out.target.clone() }
}

/// What stands against the step for good: reporting it brings the node back, waiting would not.
fn cannot_activate(state: &ControlState, facts: &LocalFacts, out: &OutStep) -> Option<Reason> {
    if turning_back(state) && facts.activation_ordered != Some(out.epoch) {
        return Some(Reason::new("turned_back", TURNED));
    }
    if let Some(q) = state.quarantined.get(&out.target.digest) {
        let text =
            format!("the release was quarantined before this node ran it: on node {}: {}", q.node, q.reason);
        return Some(Reason::new("quarantined", text));
    }
    if let Some(reason) = &facts.launcher.degraded {
        return Some(Reason::new("degraded", format!("the launcher refuses upgrades: {reason}")));
    }
    match facts.launcher.phase {
        LauncherPhase::Absent => {
            let text = "the node runs without a launcher and cannot change its binary";
            Some(Reason::new("no_launcher", text))
        }
        LauncherPhase::Idle | LauncherPhase::Trial { .. } => None,
    }
}

fn confirmed(facts: &LocalFacts, out: &OutStep) -> Action {
    Action::ReportConfirmed(Command::Confirmed {
        plan: out.plan,
        step: out.epoch,
        member: facts.me,
        digest: out.target.digest,
        at_ms: facts.now_wall_ms,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    TheRelease,
    NotTheRelease,
}

fn failed(facts: &LocalFacts, out: &OutStep, reason: Reason, fault: Fault) -> Action {
    Action::ReportFailed(Command::StepFailed {
        plan: out.plan,
        step: out.epoch,
        member: facts.me,
        reason,
        quarantine: fault == Fault::TheRelease,
        at_ms: facts.now_wall_ms,
    })
}
