//! The cluster's settings between the table, which knows texts and bounds, and the log, which knows types.

use ironcache_control::{AckMode, AutoRollout, FinalizeAfter, OnFailure, OnTotalLoss, Policy, RaftTimers};
use ironcache_settings::{BadSetting, ClusterKey, Value, cluster};

/// What is in force of the setting.
pub(crate) fn value(policy: &Policy, key: ClusterKey) -> Value {
    // Destructured, so that a new field does not compile until it has its row of the table.
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
    } = *policy;
    match key {
        ClusterKey::AutoRollout => Value::Word(match auto_rollout {
            AutoRollout::Off => "off",
            AutoRollout::Patch => "patch",
            AutoRollout::Minor => "minor",
        }),
        ClusterKey::FinalizeAfterS => match finalize_after {
            FinalizeAfter::Never => Value::Never,
            FinalizeAfter::Seconds(seconds) => Value::Number(seconds),
        },
        ClusterKey::OnFailure => Value::Word(match on_failure {
            OnFailure::Rollback => "rollback",
            OnFailure::Hold => "hold",
        }),
        ClusterKey::OnTotalLoss => Value::Word(match on_total_loss {
            OnTotalLoss::ServeWhatIsLeft => "serve-what-is-left",
            OnTotalLoss::Wait => "wait",
        }),
        ClusterKey::RecoverWaitS => Value::Number(recover_wait_s),
        ClusterKey::SteadyMode => Value::Word(match steady_mode {
            AckMode::Primary => "primary",
            AckMode::InSync => "in-sync",
        }),
        ClusterKey::SettleMs => Value::Number(settle_ms),
        ClusterKey::StepTimeoutS => Value::Number(step_timeout_s),
        ClusterKey::MaxParallel => Value::Number(max_parallel.into()),
        ClusterKey::HandoverTimeoutMs => Value::Number(handover_timeout_ms),
        ClusterKey::ParkMsMax => Value::Number(park_ms_max),
        ClusterKey::MinInSync => Value::Number(min_in_sync.into()),
        ClusterKey::IsrTimeoutMs => Value::Number(isr_timeout_ms),
        ClusterKey::MaxLagBytes => Value::Number(max_lag_bytes),
        ClusterKey::MaxLagOps => Value::Number(max_lag_ops),
        ClusterKey::HeartbeatMs => Value::Number(heartbeat_ms),
        ClusterKey::ElectionMinMs => Value::Number(election_min_ms),
        ClusterKey::ElectionMaxMs => Value::Number(election_max_ms),
    }
}

/// Puts a value of the table into the policy.
pub(crate) fn set(policy: &mut Policy, key: ClusterKey, value: &Value) {
    let number = || value.number().unwrap_or_default();
    // The table bounds both far below it.
    let small = || u16::try_from(number()).unwrap_or(u16::MAX);
    let word = value.to_string();
    match key {
        ClusterKey::AutoRollout => {
            policy.auto_rollout = match word.as_str() {
                "patch" => AutoRollout::Patch,
                "minor" => AutoRollout::Minor,
                _ => AutoRollout::Off,
            };
        }
        ClusterKey::FinalizeAfterS => {
            policy.finalize_after = value.number().map_or(FinalizeAfter::Never, FinalizeAfter::Seconds);
        }
        ClusterKey::OnFailure => {
            policy.on_failure = if word == "hold" { OnFailure::Hold } else { OnFailure::Rollback };
        }
        ClusterKey::OnTotalLoss => {
            policy.on_total_loss =
                if word == "wait" { OnTotalLoss::Wait } else { OnTotalLoss::ServeWhatIsLeft };
        }
        ClusterKey::RecoverWaitS => policy.recover_wait_s = number(),
        ClusterKey::SteadyMode => {
            policy.steady_mode = if word == "in-sync" { AckMode::InSync } else { AckMode::Primary };
        }
        ClusterKey::SettleMs => policy.settle_ms = number(),
        ClusterKey::StepTimeoutS => policy.step_timeout_s = number(),
        ClusterKey::MaxParallel => policy.max_parallel = small(),
        ClusterKey::HandoverTimeoutMs => policy.handover_timeout_ms = number(),
        ClusterKey::ParkMsMax => policy.park_ms_max = number(),
        ClusterKey::MinInSync => policy.min_in_sync = small(),
        ClusterKey::IsrTimeoutMs => policy.isr_timeout_ms = number(),
        ClusterKey::MaxLagBytes => policy.max_lag_bytes = number(),
        ClusterKey::MaxLagOps => policy.max_lag_ops = number(),
        ClusterKey::HeartbeatMs => policy.timers.heartbeat_ms = number(),
        ClusterKey::ElectionMinMs => policy.timers.election_min_ms = number(),
        ClusterKey::ElectionMaxMs => policy.timers.election_max_ms = number(),
    }
}

/// The policy with these changes, each a name and a text, or what is wrong with the first bad one.
///
/// # Errors
/// Names the setting, its value and what is wrong with it.
pub(crate) fn changed<'a>(
    policy: &Policy,
    changes: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Policy, BadSetting> {
    with(policy, changes, cluster::parse_change)
}

/// As [`changed`], for a cluster that is being created: nothing is fixed yet.
///
/// # Errors
/// As of [`changed`].
pub(crate) fn at_create<'a>(
    policy: &Policy,
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Policy, BadSetting> {
    with(policy, settings, cluster::parse)
}

/// A setting of the cluster, and what it is to be.
type Parsed = Result<(ClusterKey, Value), BadSetting>;

fn with<'a>(
    policy: &Policy,
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    parse: fn(&str, &str) -> Parsed,
) -> Result<Policy, BadSetting> {
    let mut next = *policy;
    for (name, text) in settings {
        let (key, value) = parse(name, text)?;
        set(&mut next, key, &value);
    }
    cluster::together(|key| self::value(&next, key))?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_and_the_table_have_the_same_defaults() {
        for key in cluster::keys() {
            assert_eq!(value(&Policy::default(), key), key.setting().default_value(), "{}", key.name());
        }
    }

    #[test]
    fn the_audit_chain_names_a_setting_as_the_table_does() {
        let mut audited: Vec<&str> = Policy::default().words().iter().map(|(name, _)| *name).collect();
        let mut known: Vec<&str> = cluster::keys().map(ClusterKey::name).collect();
        audited.sort_unstable();
        known.sort_unstable();
        assert_eq!(audited, known);
    }

    #[test]
    fn what_is_set_is_shown() {
        for (name, text) in [
            ("auto-rollout", "patch"),
            ("auto-rollout", "minor"),
            ("finalize-after-s", "never"),
            ("finalize-after-s", "0"),
            ("on-failure", "hold"),
            ("on-total-loss", "wait"),
            ("recover-wait-s", "0"),
            ("steady-mode", "in-sync"),
            ("min-in-sync", "2"),
            ("settle-ms", "7"),
            ("step-timeout-s", "9"),
            ("max-parallel", "3"),
            ("handover-timeout-ms", "250"),
            ("isr-timeout-ms", "900"),
            ("max-lag-bytes", "77000"),
            ("max-lag-ops", "8"),
            ("park-ms-max", "1500"),
        ] {
            let next = changed(&Policy::default(), [(name, text)]).unwrap();
            let (key, _) = cluster::parse(name, text).unwrap();
            assert_eq!(value(&next, key).to_string(), text, "{name}");
            let others = cluster::keys().filter(|other| *other != key);
            assert!(others.into_iter().all(|o| value(&next, o) == value(&Policy::default(), o)), "{name}");
        }
    }

    #[test]
    fn what_is_fixed_or_unknown_or_out_of_bounds_is_refused_by_name() {
        for (name, text) in [("heartbeat-ms", "50"), ("settle", "1"), ("max-parallel", "0"), ("port", "1")] {
            let error = changed(&Policy::default(), [(name, text)]).unwrap_err();
            assert_eq!(error.key, name);
        }
    }
}
