//! Would a release start on this node as it is configured now? The release itself is asked, unstarted.
//!
//! Asked of the target before the first step, either way; and, while a plan soaks, of the release that a rollback would
//! lead to, so that an operator knows before it is needed.

use crate::action::Action;
use crate::facts::{LocalFacts, PreflightResult};
use ironcache_control::{Command, ControlState, Node, Phase, Plan, Preflight};
use ironcache_types::Digest;

/// Comes after staging: what is asked is here, verified.
pub(crate) fn next(state: &ControlState, facts: &LocalFacts, node: &Node) -> Action {
    let Some(plan) = &state.plan else { return Action::Nothing };
    let Some(digest) = wanted(plan).filter(|digest| *digest != facts.running.digest) else {
        return Action::Nothing;
    };
    if !facts.held.contains(&digest) {
        return Action::Nothing;
    }
    let turn = plan.turn;
    let result = facts.preflight.as_ref().filter(|result| result.digest == digest && result.turn == turn);
    let Some(PreflightResult { digest, turn, problem }) = result.cloned() else {
        return Action::Preflight { digest, turn };
    };
    if node.preflight == Some(Preflight { digest, turn, problem: problem.clone() }) {
        return Action::Nothing;
    }
    Action::ReportPreflight(Command::ReportPreflight { member: facts.me, digest, turn, problem })
}

fn wanted(plan: &Plan) -> Option<Digest> {
    match plan.phase {
        Phase::Staging => Some(plan.target.digest),
        Phase::Soaking { .. } => Some(plan.before().digest),
        Phase::Rolling | Phase::Paused | Phase::Held { .. } | Phase::TurningBack { .. } => None,
    }
}
