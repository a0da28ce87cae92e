//! What a plan is started with, and why it is held.

use crate::parts::v1::plan::{HoldReason, PlanOptions, StartedBy};
use ironcache_control as live;
use ironcache_types::{NodeId, ShardId};

impl From<live::PlanOptions> for PlanOptions {
    fn from(options: live::PlanOptions) -> Self {
        let live::PlanOptions { max_parallel, settle_ms, step_timeout_ms, finalize_after, on_failure } =
            options;
        PlanOptions {
            max_parallel,
            settle_ms,
            step_timeout_ms,
            finalize_after: finalize_after.into(),
            on_failure: on_failure.into(),
        }
    }
}

impl From<PlanOptions> for live::PlanOptions {
    fn from(options: PlanOptions) -> Self {
        let PlanOptions { max_parallel, settle_ms, step_timeout_ms, finalize_after, on_failure } = options;
        live::PlanOptions {
            max_parallel,
            settle_ms,
            step_timeout_ms,
            finalize_after: finalize_after.into(),
            on_failure: on_failure.into(),
        }
    }
}

impl From<live::StartedBy> for StartedBy {
    fn from(by: live::StartedBy) -> Self {
        match by {
            live::StartedBy::Operator => StartedBy::Operator,
            live::StartedBy::Policy => StartedBy::Policy,
        }
    }
}

impl From<StartedBy> for live::StartedBy {
    fn from(by: StartedBy) -> Self {
        match by {
            StartedBy::Operator => live::StartedBy::Operator,
            StartedBy::Policy => live::StartedBy::Policy,
        }
    }
}

impl From<&live::HoldReason> for HoldReason {
    fn from(reason: &live::HoldReason) -> Self {
        match reason {
            live::HoldReason::StepFailed { node, reason } => {
                HoldReason::StepFailed { node: node.0, reason: reason.into() }
            }
            live::HoldReason::StepInconclusive { node, reason } => {
                HoldReason::StepInconclusive { node: node.0, reason: reason.into() }
            }
            live::HoldReason::StepTimedOut { node, waited_ms } => {
                HoldReason::StepTimedOut { node: node.0, waited_ms: *waited_ms }
            }
            live::HoldReason::StateMismatch { node, log_index } => {
                HoldReason::StateMismatch { node: node.0, log_index: *log_index }
            }
            live::HoldReason::Exposed { shard } => HoldReason::Exposed { shard: shard.0 },
        }
    }
}

impl From<HoldReason> for live::HoldReason {
    fn from(reason: HoldReason) -> Self {
        match reason {
            HoldReason::StepFailed { node, reason } => {
                live::HoldReason::StepFailed { node: NodeId(node), reason: reason.into() }
            }
            HoldReason::StepInconclusive { node, reason } => {
                live::HoldReason::StepInconclusive { node: NodeId(node), reason: reason.into() }
            }
            HoldReason::StepTimedOut { node, waited_ms } => {
                live::HoldReason::StepTimedOut { node: NodeId(node), waited_ms }
            }
            HoldReason::StateMismatch { node, log_index } => {
                live::HoldReason::StateMismatch { node: NodeId(node), log_index }
            }
            HoldReason::Exposed { shard } => live::HoldReason::Exposed { shard: ShardId(shard) },
        }
    }
}
