//! Why a plan is held, and what to do about it.

use super::soaking::problem_text;
use ironcache_api::{Direction, HoldReason, Plan};

/// Why this plan is held. One that goes back already is not advised to: where the old release is the one that fails, the way
/// out is to end the plan.
pub fn held(plan: &Plan, reason: &HoldReason) -> String {
    match (&plan.direction, reason) {
        (Direction::Back { .. }, HoldReason::StepFailed { node, reason }) => format!(
            "node {node} could not go back and stayed with the newer binary: {}; `ironcache cluster upgrade abort` ends the \
             plan where it stands; then stage a mended release",
            reason.reason
        ),
        (Direction::Back { .. }, HoldReason::StateMismatch { node, log_index }) => format!(
            "node {node} holds another control state at log index {log_index}: a defect, to be reported; `ironcache \
             cluster upgrade abort` ends the plan where it stands"
        ),
        (Direction::Back { .. } | Direction::Forward | Direction::Unknown(_), reason) => hold_reason(reason),
    }
}

pub fn hold_reason(hold: &HoldReason) -> String {
    match hold {
        HoldReason::StepFailed { node, reason } => format!(
            "node {node} could not run the release and went back to its old binary: {}; the release is quarantined: \
             `ironcache cluster upgrade rollback` takes everybody back, `ironcache cluster upgrade abort` ends the plan \
             where it stands; then stage a mended release",
            reason.reason
        ),
        HoldReason::StepInconclusive { node, reason } => format!(
            "node {node} went back to its old binary without proof against the release: {}; `ironcache cluster upgrade \
             resume` tries again",
            reason.reason
        ),
        HoldReason::StepTimedOut { node, waited_ms } => format!(
            "node {node} has been out for {waited_ms} ms; look at its log. Once it is back: `ironcache cluster upgrade \
             resume`; if it is lost: `ironcache cluster replace-node OLD HOST:PORT` and \
                 `resume`, or `ironcache cluster upgrade abort`"
        ),
        HoldReason::StateMismatch { node, log_index } => {
            format!(
                "node {node} holds another control state at log index {log_index}: a defect, to be reported; nothing \
                 becomes final, and `ironcache cluster upgrade rollback` takes everybody back"
            )
        }
        HoldReason::Exposed { shard } => format!(
            "what shard {shard} acknowledges is in one process only; the plan goes on by itself as soon as another node \
             keeps it, or two are in sync (`ironcache cluster status` shows who is)"
        ),
        HoldReason::PreflightFailed { node, problem } => format!(
            "the binary would not start on node {node}: {}; mend that and `ironcache cluster upgrade resume`",
            problem_text(problem)
        ),
        HoldReason::Unknown(unknown) => unknown.to_string(),
    }
}
