//! The settings of the whole cluster.

use super::AckMode;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub auto_rollout: AutoRollout,
    pub finalize_after: FinalizeAfter,
    pub on_failure: OnFailure,
    pub on_total_loss: OnTotalLoss,
    pub recover_wait_s: u64,
    pub settle_ms: u64,
    pub step_timeout_s: u64,
    pub max_parallel: u16,
    pub handover_timeout_ms: u64,
    pub steady_mode: AckMode,
    pub min_in_sync: u16,
    pub isr_timeout_ms: u64,
    pub max_lag_bytes: u64,
    pub max_lag_ops: u64,
    pub park_ms_max: u64,
    pub timers: RaftTimers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RaftTimers {
    pub heartbeat_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AutoRollout {
    Off,
    Patch,
    Minor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FinalizeAfter {
    Never,
    Seconds(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OnFailure {
    Rollback,
    Hold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OnTotalLoss {
    ServeWhatIsLeft,
    Wait,
}
