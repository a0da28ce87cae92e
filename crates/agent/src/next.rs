//! The order of things: be registered, deal with a step or a left-over trial, stage.
//!
//! *Invariant:* a node that is cut off during a trial goes back by itself, and blames nobody.

use crate::action::{Action, Waiting};
use crate::facts::{LauncherPhase, LocalFacts};
use crate::{level, preflight, staging, step};
use ironcache_control::{ControlState, Node, StepState};
use ironcache_types::Epoch;

/// What this node does now.
pub fn next(state: &ControlState, facts: &LocalFacts) -> Action {
    match (in_order(state, facts), facts.launcher.phase) {
        // The launcher would take a missed deadline for the release's fault, and quarantine it everywhere. What
        // needs no answer of the cluster (a trial that it has accepted) is done all the same.
        (Action::Wait(_) | Action::Register, LauncherPhase::Trial { step }) if facts.cut_off => {
            let reason = "no leader of a majority could be reached before the trial's time was up".to_owned();
            Action::AbandonTrial { step, reason }
        }
        (action, _) => action,
    }
}

fn in_order(state: &ControlState, facts: &LocalFacts) -> Action {
    if !facts.log_is_current {
        return Action::Wait(Waiting::LogNotCurrent);
    }
    let Some(node) = state.nodes.get(&facts.me.node) else {
        return Action::Wait(Waiting::NotAMember);
    };
    if let Some(action) = registration(node, facts) {
        return action;
    }
    match (&node.out, facts.launcher.phase) {
        (Some(out), LauncherPhase::Trial { step }) if step == out.epoch => step::on_trial(state, facts, out),
        (Some(_) | None, LauncherPhase::Trial { step }) => left_over_trial(state, step),
        (Some(out), LauncherPhase::Idle | LauncherPhase::Absent) => step::not_on_trial(state, facts, out),
        (None, LauncherPhase::Idle | LauncherPhase::Absent) => at_rest(state, facts, node),
    }
}

/// No step and no trial: what makes the node ready for one, the first thing that is left to do.
fn at_rest(state: &ControlState, facts: &LocalFacts, node: &Node) -> Action {
    [staging::next, preflight::next, level::next]
        .into_iter()
        .map(|duty| duty(state, facts, node))
        .find(|action| *action != Action::Nothing)
        .unwrap_or(Action::Nothing)
}

fn registration(node: &Node, facts: &LocalFacts) -> Option<Action> {
    let (mine, registered) = (facts.me.incarnation, node.incarnation);
    if registered > mine {
        return Some(Action::Wait(Waiting::Superseded { mine, registered }));
    }
    (registered != mine || node.release != facts.running).then_some(Action::Register)
}

/// A trial whose step the node is not out for.
fn left_over_trial(state: &ControlState, step: Epoch) -> Action {
    let ended = state.history.iter().map(|entry| &entry.plan).chain(&state.plan);
    let record = ended.flat_map(|plan| &plan.steps).find(|record| record.epoch == step);
    let reason = match record.map(|record| &record.state) {
        // The log took it as final before this launcher's answer was seen: it is.
        Some(StepState::Confirmed) => return Action::ConfirmTrial { step },
        Some(StepState::Failed { .. } | StepState::Inconclusive { .. } | StepState::SetAside) => {
            format!("step {step} ended without success in the log")
        }
        Some(StepState::Out) | None => format!("step {step} is not in force any more"),
    };
    Action::AbandonTrial { step, reason }
}
