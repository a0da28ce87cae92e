//! The settings of the whole cluster.

use super::{Result, stale};
use crate::policy::{Policy, RaftTimers};
use crate::rejection::{Applied, Rejection};
use crate::state::ControlState;
use ironcache_types::Epoch;

impl ControlState {
    pub(super) fn set_policy(&mut self, seen: Epoch, policy: &Policy) -> Result {
        if *policy == self.policy {
            return Ok(Applied::Unchanged);
        }
        if seen != self.policy_epoch {
            return Err(stale("the policy".to_owned(), seen, self.policy_epoch));
        }
        check_policy(policy)?;
        if policy.timers != self.policy.timers {
            let why = "raft's timers are fixed when the cluster is created";
            bad("heartbeat-ms, election-min-ms, election-max-ms", "changed", why)?;
        }
        if policy.min_in_sync != self.policy.min_in_sync {
            self.check_min_in_sync(policy.min_in_sync)?;
        }
        self.policy = *policy;
        self.policy_epoch = self.fresh_epoch();
        self.changed()
    }

    /// A bar that no shard can reach would refuse every write; one that a plan's steps break, those of the plan.
    fn check_min_in_sync(&self, min_in_sync: u16) -> Result<()> {
        let sizes = || self.shards.values().map(|s| s.nodes.len());
        check_reachable(min_in_sync, sizes())?;
        if self.plan.is_some() && sizes().any(|nodes| nodes <= usize::from(min_in_sync)) {
            return Err(Rejection::DuringPlan {
                what: "raising `min-in-sync` to all nodes of a shard".to_owned(),
            });
        }
        Ok(())
    }
}

/// Can every shard, of so many nodes each, have as many members in sync?
pub(super) fn check_reachable(min_in_sync: u16, nodes: impl Iterator<Item = usize>) -> Result<()> {
    match nodes.min() {
        Some(fewest) if fewest < usize::from(min_in_sync) => {
            let why = format!("a shard has {fewest} nodes, so every write to it would be refused");
            bad("min-in-sync", &min_in_sync.to_string(), &why)
        }
        Some(_) | None => Ok(()),
    }
}

fn bad(key: &str, value: &str, why: &str) -> Result<()> {
    Err(Rejection::BadSetting { key: key.to_owned(), value: value.to_owned(), why: why.to_owned() })
}

/// Is the policy one that a cluster can live with? Its bounds, whoever proposed it.
pub(super) fn check_policy(policy: &Policy) -> Result<()> {
    let Policy {
        auto_rollout: _,
        finalize_after: _,
        on_failure: _,
        on_total_loss: _,
        recover_wait_s: _,
        settle_ms: _,
        step_timeout_s,
        max_parallel,
        handover_timeout_ms,
        steady_mode: _,
        min_in_sync,
        isr_timeout_ms,
        max_lag_bytes: _,
        max_lag_ops: _,
        park_ms_max,
        timers: RaftTimers { heartbeat_ms, election_min_ms, election_max_ms },
    } = *policy;
    let never_zero = [
        ("step-timeout-s", step_timeout_s, "every step would be held at once; at least 1"),
        ("max-parallel", u64::from(max_parallel), "no node could ever go; at least 1"),
        ("handover-timeout-ms", handover_timeout_ms, "every handover would be aborted at once; at least 1"),
        ("min-in-sync", u64::from(min_in_sync), "the primary itself counts; at least 1"),
        ("isr-timeout-ms", isr_timeout_ms, "every replica would leave the in-sync set at once; at least 1"),
        ("park-ms-max", park_ms_max, "clients would get TRYAGAIN in every handover; at least 1"),
        ("heartbeat-ms", heartbeat_ms, "a leader would do nothing but beat; at least 1"),
    ];
    if let Some((key, value, why)) = never_zero.into_iter().find(|(_, value, _)| *value == 0) {
        return bad(key, &value.to_string(), why);
    }
    if election_min_ms < 2 * heartbeat_ms {
        let why = "at least twice heartbeat-ms is needed, or leaders come and go";
        return bad("election-min-ms", &election_min_ms.to_string(), why);
    }
    if election_max_ms <= election_min_ms {
        let why = "it has to be above election-min-ms";
        return bad("election-max-ms", &election_max_ms.to_string(), why);
    }
    Ok(())
}
