//! The settings of the whole cluster.

use super::AckMode;
use ironcache_control as live;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub auto_rollout: AutoRollout,
    pub finalize_after: FinalizeAfter,
    pub on_failure: OnFailure,
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

impl From<&live::Policy> for Policy {
    fn from(policy: &live::Policy) -> Self {
        let live::Policy {
            auto_rollout,
            finalize_after,
            on_failure,
            settle_ms,
            step_timeout_s,
            max_parallel,
            handover_timeout_ms,
            steady_mode,
            min_in_sync,
            isr_timeout_ms,
            max_lag_bytes,
            max_lag_ops,
            park_ms_max,
            timers,
        } = *policy;
        Policy {
            auto_rollout: auto_rollout.into(),
            finalize_after: finalize_after.into(),
            on_failure: on_failure.into(),
            settle_ms,
            step_timeout_s,
            max_parallel,
            handover_timeout_ms,
            steady_mode: steady_mode.into(),
            min_in_sync,
            isr_timeout_ms,
            max_lag_bytes,
            max_lag_ops,
            park_ms_max,
            timers: timers.into(),
        }
    }
}

impl From<Policy> for live::Policy {
    fn from(policy: Policy) -> Self {
        let Policy {
            auto_rollout,
            finalize_after,
            on_failure,
            settle_ms,
            step_timeout_s,
            max_parallel,
            handover_timeout_ms,
            steady_mode,
            min_in_sync,
            isr_timeout_ms,
            max_lag_bytes,
            max_lag_ops,
            park_ms_max,
            timers,
        } = policy;
        live::Policy {
            auto_rollout: auto_rollout.into(),
            finalize_after: finalize_after.into(),
            on_failure: on_failure.into(),
            settle_ms,
            step_timeout_s,
            max_parallel,
            handover_timeout_ms,
            steady_mode: steady_mode.into(),
            min_in_sync,
            isr_timeout_ms,
            max_lag_bytes,
            max_lag_ops,
            park_ms_max,
            timers: timers.into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RaftTimers {
    pub heartbeat_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,
}

impl From<live::RaftTimers> for RaftTimers {
    fn from(timers: live::RaftTimers) -> Self {
        let live::RaftTimers { heartbeat_ms, election_min_ms, election_max_ms } = timers;
        RaftTimers { heartbeat_ms, election_min_ms, election_max_ms }
    }
}

impl From<RaftTimers> for live::RaftTimers {
    fn from(timers: RaftTimers) -> Self {
        let RaftTimers { heartbeat_ms, election_min_ms, election_max_ms } = timers;
        live::RaftTimers { heartbeat_ms, election_min_ms, election_max_ms }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AutoRollout {
    Off,
    Patch,
    Minor,
}

impl From<live::AutoRollout> for AutoRollout {
    fn from(auto: live::AutoRollout) -> Self {
        match auto {
            live::AutoRollout::Off => AutoRollout::Off,
            live::AutoRollout::Patch => AutoRollout::Patch,
            live::AutoRollout::Minor => AutoRollout::Minor,
        }
    }
}

impl From<AutoRollout> for live::AutoRollout {
    fn from(auto: AutoRollout) -> Self {
        match auto {
            AutoRollout::Off => live::AutoRollout::Off,
            AutoRollout::Patch => live::AutoRollout::Patch,
            AutoRollout::Minor => live::AutoRollout::Minor,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FinalizeAfter {
    Never,
    Seconds(u64),
}

impl From<live::FinalizeAfter> for FinalizeAfter {
    fn from(after: live::FinalizeAfter) -> Self {
        match after {
            live::FinalizeAfter::Never => FinalizeAfter::Never,
            live::FinalizeAfter::Seconds(seconds) => FinalizeAfter::Seconds(seconds),
        }
    }
}

impl From<FinalizeAfter> for live::FinalizeAfter {
    fn from(after: FinalizeAfter) -> Self {
        match after {
            FinalizeAfter::Never => live::FinalizeAfter::Never,
            FinalizeAfter::Seconds(seconds) => live::FinalizeAfter::Seconds(seconds),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OnFailure {
    Rollback,
    Hold,
}

impl From<live::OnFailure> for OnFailure {
    fn from(on_failure: live::OnFailure) -> Self {
        match on_failure {
            live::OnFailure::Rollback => OnFailure::Rollback,
            live::OnFailure::Hold => OnFailure::Hold,
        }
    }
}

impl From<OnFailure> for live::OnFailure {
    fn from(on_failure: OnFailure) -> Self {
        match on_failure {
            OnFailure::Rollback => live::OnFailure::Rollback,
            OnFailure::Hold => live::OnFailure::Hold,
        }
    }
}
