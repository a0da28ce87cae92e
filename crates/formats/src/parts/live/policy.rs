//! The settings of the whole cluster.

use crate::parts::v1::policy::{AutoRollout, FinalizeAfter, OnFailure, OnTotalLoss, Policy, RaftTimers};
use ironcache_control as live;

impl From<&live::Policy> for Policy {
    fn from(policy: &live::Policy) -> Self {
        let live::Policy {
            auto_rollout,
            finalize_after,
            on_failure,
            on_total_loss,
            recover_wait_s,
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
            on_total_loss: on_total_loss.into(),
            recover_wait_s,
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
            on_total_loss,
            recover_wait_s,
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
            on_total_loss: on_total_loss.into(),
            recover_wait_s,
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

impl From<live::OnTotalLoss> for OnTotalLoss {
    fn from(on_total_loss: live::OnTotalLoss) -> Self {
        match on_total_loss {
            live::OnTotalLoss::ServeWhatIsLeft => OnTotalLoss::ServeWhatIsLeft,
            live::OnTotalLoss::Wait => OnTotalLoss::Wait,
        }
    }
}

impl From<OnTotalLoss> for live::OnTotalLoss {
    fn from(on_total_loss: OnTotalLoss) -> Self {
        match on_total_loss {
            OnTotalLoss::ServeWhatIsLeft => live::OnTotalLoss::ServeWhatIsLeft,
            OnTotalLoss::Wait => live::OnTotalLoss::Wait,
        }
    }
}
