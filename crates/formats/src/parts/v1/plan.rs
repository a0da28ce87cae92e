//! What a plan is started with, and why it is held.

use super::Reason;
use super::policy::{FinalizeAfter, OnFailure};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanOptions {
    pub max_parallel: u16,
    pub settle_ms: u64,
    pub step_timeout_ms: u64,
    pub finalize_after: FinalizeAfter,
    pub on_failure: OnFailure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StartedBy {
    Operator,
    Policy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HoldReason {
    StepFailed { node: u64, reason: Reason },
    StepInconclusive { node: u64, reason: Reason },
    StepTimedOut { node: u64, waited_ms: u64 },
    StateMismatch { node: u64, log_index: u64 },
    Exposed { shard: u16 },
}
