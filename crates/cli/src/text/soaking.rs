//! A plan that soaks: when it finalizes, and whether it could still go back.

use crate::output;
use ironcache_api::{Plan, Problem, RollbackBlocker, Soaking};
use ironcache_types::Version;

/// What `upgrade status` says below the plan. `now_ms` is the leader's clock: it tells since when, and not how long still.
pub fn soaking_lines(plan: &Plan, soaking: &Soaking, now_ms: u64) -> Vec<String> {
    let Soaking { since_ms, soaked_ms, finalize_after_s, level, finalizes_to, can_roll_back, blockers } =
        soaking;
    let since = output::duration(now_ms.saturating_sub(*since_ms));
    let finalizes = match finalize_after_s {
        Some(after_s) => match after_s.saturating_mul(1_000).saturating_sub(*soaked_ms) {
            0 => "finalizes by itself now".to_owned(),
            left_ms => format!("finalizes by itself in {}", output::duration(left_ms)),
        },
        None => "finalizes only by command: `ironcache cluster upgrade finalize`".to_owned(),
    };
    let mut lines = vec![format!("upgraded {since} ago, and not final; {finalizes}")];
    lines.push(if finalizes_to > level {
        format!(
            "finalize raises the level from {level} to {finalizes_to}: after that no rollback, and no release that does \
             not read level {finalizes_to}"
        )
    } else {
        format!("finalize leaves the level at {level}: an older target stays possible as a plan of its own")
    });
    let back_to = &plan.from;
    if *can_roll_back {
        lines.push(format!("until then `ironcache cluster upgrade rollback` goes back to {back_to}"));
    } else {
        lines.push(format!("rollback to {back_to} is blocked:"));
        lines.extend(blockers.iter().map(|blocker| format!("  {}", rollback_blocker(blocker, back_to))));
    }
    lines
}

/// What keeps the cluster from going back to `back_to`, and what clears it.
pub fn rollback_blocker(blocker: &RollbackBlocker, back_to: &Version) -> String {
    match blocker {
        RollbackBlocker::Preflight { node, problem } => {
            format!("node {node}: {back_to} would not start there: {}", problem_text(problem))
        }
        RollbackBlocker::NotChecked { node } => {
            format!("node {node}: {back_to} has not been tried there yet, as it is configured today")
        }
        RollbackBlocker::NotHeld { node } => {
            format!("node {node}: it does not hold {back_to}; stage it again")
        }
        RollbackBlocker::LevelRaised { level, reads_up_to } => format!(
            "the cluster writes level {level}, and {back_to} reads up to {reads_up_to}; only a release that reads {level} \
             can follow"
        ),
        RollbackBlocker::Unknown(unknown) => unknown.to_string(),
    }
}

pub(crate) fn problem_text(problem: &Problem) -> String {
    let Problem { code, key, text } = problem;
    match key {
        Some(key) => format!("key `{key}`: {text} ({code})"),
        None => format!("{text} ({code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::samples::plan;
    use expect_test::expect;
    use ironcache_api::{Phase, Unknown};
    use ironcache_types::{Level, NodeId};

    const HOUR_MS: u64 = 3_600_000;

    fn soaking(blockers: Vec<RollbackBlocker>) -> Soaking {
        Soaking {
            since_ms: HOUR_MS,
            soaked_ms: 5_400_000,
            finalize_after_s: Some(86_400),
            level: Level(1),
            finalizes_to: Level(2),
            can_roll_back: blockers.is_empty(),
            blockers,
        }
    }

    fn shown(soaking: &Soaking) -> String {
        let plan = plan(Phase::Soaking { since_ms: soaking.since_ms });
        soaking_lines(&plan, soaking, HOUR_MS + 5_400_000).join("\n")
    }

    #[test]
    fn what_finalize_takes_away_is_said_before_it() {
        expect![[r#"
            upgraded 1 h 30 min ago, and not final; finalizes by itself in 22 h 30 min
            finalize raises the level from 1 to 2: after that no rollback, and no release that does not read level 2
            until then `ironcache cluster upgrade rollback` goes back to 0.1.0"#]]
        .assert_eq(&shown(&soaking(Vec::new())));
    }

    #[test]
    fn what_is_left_is_what_was_counted_and_no_difference_of_clocks() {
        // The leader's clock is a day behind that of the one before it.
        let soaking = Soaking { since_ms: 25 * HOUR_MS, ..soaking(Vec::new()) };
        let plan = plan(Phase::Soaking { since_ms: soaking.since_ms });
        let first = soaking_lines(&plan, &soaking, HOUR_MS).remove(0);
        assert_eq!(first, "upgraded 0 s ago, and not final; finalizes by itself in 22 h 30 min");
    }

    #[test]
    fn a_soak_without_an_end_and_without_a_raise_says_both() {
        let soaking = Soaking { finalize_after_s: None, finalizes_to: Level(1), ..soaking(Vec::new()) };
        expect![[r#"
            upgraded 1 h 30 min ago, and not final; finalizes only by command: `ironcache cluster upgrade finalize`
            finalize leaves the level at 1: an older target stays possible as a plan of its own
            until then `ironcache cluster upgrade rollback` goes back to 0.1.0"#]]
        .assert_eq(&shown(&soaking));
    }

    #[test]
    fn every_blocker_of_a_rollback_is_named_with_its_node_and_key() {
        let problem = |key: Option<&str>| Problem {
            code: "unknown_key".to_owned(),
            key: key.map(str::to_owned),
            text: "is not a key of this release".to_owned(),
        };
        let node = NodeId(2);
        let blockers = vec![
            RollbackBlocker::Preflight { node, problem: problem(Some("zone")) },
            RollbackBlocker::Preflight { node, problem: problem(None) },
            RollbackBlocker::NotChecked { node },
            RollbackBlocker::NotHeld { node },
            RollbackBlocker::LevelRaised { level: Level(2), reads_up_to: Level(1) },
            RollbackBlocker::Unknown(Unknown(serde_json::json!({"frozen": {"node": "02"}}))),
        ];
        expect![[r#"
            upgraded 1 h 30 min ago, and not final; finalizes by itself in 22 h 30 min
            finalize raises the level from 1 to 2: after that no rollback, and no release that does not read level 2
            rollback to 0.1.0 is blocked:
              node 0000000000000002: 0.1.0 would not start there: key `zone`: is not a key of this release (unknown_key)
              node 0000000000000002: 0.1.0 would not start there: is not a key of this release (unknown_key)
              node 0000000000000002: 0.1.0 has not been tried there yet, as it is configured today
              node 0000000000000002: it does not hold 0.1.0; stage it again
              the cluster writes level 2, and 0.1.0 reads up to 1; only a release that reads 2 can follow
              frozen {"node":"02"}"#]]
        .assert_eq(&shown(&soaking(blockers)));
    }
}
