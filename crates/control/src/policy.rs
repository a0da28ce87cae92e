//! The settings of the whole cluster: one value for everybody, in the log.

use crate::plan::PlanOptions;
use crate::shard::AckMode;
use ironcache_types::Version;
use std::fmt;

/// What an operator decides for all nodes (`ironcache cluster policy set`). A plan copies what it needs when it
/// starts; everybody else reads the applied state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub auto_rollout: AutoRollout,
    pub finalize_after: FinalizeAfter,
    pub on_failure: OnFailure,
    pub on_total_loss: OnTotalLoss,
    /// How long a shard without any member of its set waits for who may hold more, in s.
    pub recover_wait_s: u64,
    /// How long a replica must have been in sync before it counts as settled, in ms.
    pub settle_ms: u64,
    /// How long one node may be out before its plan is held, in s.
    pub step_timeout_s: u64,
    /// Nodes out at the same time, each in another shard.
    pub max_parallel: u16,
    /// A handover without an outcome is aborted after this, in ms.
    pub handover_timeout_ms: u64,
    /// How writes are acknowledged while no plan raises it.
    pub steady_mode: AckMode,
    /// Members in sync, the primary included, that a write needs.
    pub min_in_sync: u16,
    /// A member that has not acknowledged for this long leaves the in-sync set, in ms.
    pub isr_timeout_ms: u64,
    /// Acknowledged bytes that a member may lack in mode `primary`.
    pub max_lag_bytes: u64,
    /// Acknowledged writes that a member may lack in mode `primary`.
    pub max_lag_ops: u64,
    /// How long a command is held back before it is answered `TRYAGAIN`, in ms.
    pub park_ms_max: u64,
    /// Fixed when the cluster is created.
    pub timers: RaftTimers,
}

/// Raft's timers, in ms: the same on every node, or nodes elect for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTimers {
    pub heartbeat_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,
}

impl Default for RaftTimers {
    /// For small or shared machines.
    fn default() -> Self {
        RaftTimers { heartbeat_ms: 100, election_min_ms: 500, election_max_ms: 1_000 }
    }
}

impl RaftTimers {
    /// For so long after it asked a leader a primary may answer clients, in ms: long enough that a lost leader stops no
    /// shard. A primary asks every quarter of it, so three quarters are left when a leader is lost, and they have to last
    /// for two elections and the heartbeat after them. Longer only leaves a shard whose primary is gone down for longer.
    pub fn lease_ms(&self) -> u64 {
        let RaftTimers { heartbeat_ms, election_min_ms: _, election_max_ms } = *self;
        (4 * (2 * election_max_ms + heartbeat_ms)).div_ceil(300) * 100
    }
}

/// Which staged release starts a plan by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoRollout {
    Off,
    /// A newer patch of what runs.
    Patch,
    /// A newer minor release, or patch, of the same major one.
    Minor,
}

/// When a plan whose every node runs the target becomes final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalizeAfter {
    /// By command only.
    Never,
    /// So long after the last node was confirmed, in s; 0 is at once.
    Seconds(u64),
}

/// What follows a step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Everybody goes back.
    Rollback,
    /// The plan is held where it stands, for an operator.
    Hold,
}

/// What follows when no member of a shard's set is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTotalLoss {
    /// The node that holds most becomes primary: a cache that lost something is better than none.
    ServeWhatIsLeft,
    /// The shard stays without a primary until an operator accepts the loss.
    Wait,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            auto_rollout: AutoRollout::Off,
            // A day: a release that misbehaves under the load of an evening is still rolled back.
            finalize_after: FinalizeAfter::Seconds(86_400),
            on_failure: OnFailure::Rollback,
            on_total_loss: OnTotalLoss::ServeWhatIsLeft,
            // A process that was killed is back within a second or two, and a small machine has booted within twenty. What
            // returns later may hold more, and every second until then is one without the shard.
            recover_wait_s: 10,
            // Tells a replica that keeps up from one that is about to fall out.
            settle_ms: 100,
            // Covers a full sync of tens of millions of keys.
            step_timeout_s: 120,
            // Keeps a large cluster's roll short; the voters' majority bounds it in a small one.
            max_parallel: 8,
            handover_timeout_ms: 100,
            steady_mode: AckMode::Primary,
            min_in_sync: 1,
            isr_timeout_ms: 2_000,
            max_lag_bytes: 1 << 20,
            max_lag_ops: 10_000,
            park_ms_max: 2_000,
            timers: RaftTimers::default(),
        }
    }
}

impl Policy {
    /// Every setting by its name, and its value as people write it: part of what the audit chain hashes.
    pub fn words(&self) -> [(&'static str, String); 18] {
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
            timers: RaftTimers { heartbeat_ms, election_min_ms, election_max_ms },
        } = self;
        [
            ("auto-rollout", auto_rollout.to_string()),
            ("finalize-after-s", finalize_after.to_string()),
            ("on-failure", on_failure.to_string()),
            ("on-total-loss", on_total_loss.to_string()),
            ("recover-wait-s", recover_wait_s.to_string()),
            ("settle-ms", settle_ms.to_string()),
            ("step-timeout-s", step_timeout_s.to_string()),
            ("max-parallel", max_parallel.to_string()),
            ("handover-timeout-ms", handover_timeout_ms.to_string()),
            ("steady-mode", steady_mode.to_string()),
            ("min-in-sync", min_in_sync.to_string()),
            ("isr-timeout-ms", isr_timeout_ms.to_string()),
            ("max-lag-bytes", max_lag_bytes.to_string()),
            ("max-lag-ops", max_lag_ops.to_string()),
            ("park-ms-max", park_ms_max.to_string()),
            ("heartbeat-ms", heartbeat_ms.to_string()),
            ("election-min-ms", election_min_ms.to_string()),
            ("election-max-ms", election_max_ms.to_string()),
        ]
    }

    /// What a plan that starts now copies.
    pub fn plan_options(&self) -> PlanOptions {
        PlanOptions {
            max_parallel: self.max_parallel,
            settle_ms: self.settle_ms,
            step_timeout_ms: self.step_timeout_s.saturating_mul(1000),
            finalize_after: self.finalize_after,
            on_failure: self.on_failure,
        }
    }
}

impl AutoRollout {
    /// Does the policy take a cluster from `running` to `next` by itself? Pre-releases never.
    pub fn admits(self, running: &Version, next: &Version) -> bool {
        if next <= running || !next.pre.is_empty() || next.major != running.major {
            return false;
        }
        match self {
            AutoRollout::Off => false,
            AutoRollout::Patch => next.minor == running.minor,
            AutoRollout::Minor => true,
        }
    }
}

impl fmt::Display for AutoRollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AutoRollout::Off => "off",
            AutoRollout::Patch => "patch",
            AutoRollout::Minor => "minor",
        })
    }
}

impl FinalizeAfter {
    /// How long a plan soaks, in ms; `None`: until a command.
    pub fn soak_ms(self) -> Option<u64> {
        match self {
            FinalizeAfter::Never => None,
            FinalizeAfter::Seconds(seconds) => Some(seconds.saturating_mul(1_000)),
        }
    }
}

impl fmt::Display for FinalizeAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FinalizeAfter::Never => f.write_str("never"),
            FinalizeAfter::Seconds(seconds) => write!(f, "{seconds}"),
        }
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OnFailure::Rollback => "rollback",
            OnFailure::Hold => "hold",
        })
    }
}

impl fmt::Display for OnTotalLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OnTotalLoss::ServeWhatIsLeft => "serve-what-is-left",
            OnTotalLoss::Wait => "wait",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_admits_newer_releases_of_its_kind_only() {
        let v = |text: &str| Version::parse(text).unwrap();
        let runs = v("0.1.3");
        for (next, patch, minor) in [
            ("0.1.3", false, false),
            ("0.1.2", false, false),
            ("0.1.4", true, true),
            ("0.2.0", false, true),
            ("1.0.0", false, false),
            ("0.1.4-rc.1", false, false),
        ] {
            assert_eq!(AutoRollout::Patch.admits(&runs, &v(next)), patch, "{next}");
            assert_eq!(AutoRollout::Minor.admits(&runs, &v(next)), minor, "{next}");
            assert!(!AutoRollout::Off.admits(&runs, &v(next)));
        }
    }
}
