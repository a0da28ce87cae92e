//! A plan in one line: where it stands, or how it ended.

use super::held;
use crate::output;
use ironcache_api::{Direction, HistoryEntry, Outcome, Phase, Plan, StartedBy};

/// `plan 1: 0.1.0 to 0.2.0: rolling`, and why, where there is a why.
pub fn phase_line(plan: &Plan) -> String {
    let head = format!("{}: {}", subject(plan), phase_word(plan));
    match (&plan.phase, &plan.direction) {
        (Phase::Held { reason }, _) => format!("{head}: {}", held(plan, reason)),
        (_, Direction::Back { reason }) => format!("{head}: {}", reason.reason),
        (_, Direction::Forward | Direction::Unknown(_)) => head,
    }
}

/// `plan 1: 0.1.0 to 0.2.0: finalized after 2.50 s`.
pub fn ended_line(entry: &HistoryEntry) -> String {
    let HistoryEntry { plan, outcome, ended_at_ms } = entry;
    let took = output::seconds(ended_at_ms.saturating_sub(plan.started_at_ms));
    let subject = subject(plan);
    match (outcome, &plan.direction) {
        (Outcome::RolledBack, Direction::Back { reason }) => {
            format!("{subject}: rolled back after {took}: {}", reason.reason)
        }
        (Outcome::RolledBack, Direction::Forward | Direction::Unknown(_)) => {
            format!("{subject}: rolled back after {took}")
        }
        (Outcome::Finalized | Outcome::Aborted | Outcome::Superseded | Outcome::Unknown(_), _) => {
            format!("{subject}: {outcome} after {took}")
        }
    }
}

fn subject(plan: &Plan) -> String {
    let to = match plan.direction {
        Direction::Forward | Direction::Unknown(_) => "to",
        Direction::Back { .. } => "back to",
    };
    // By an operator goes without saying; by another hand than these two is said as the cluster says it.
    let by = match &plan.started_by {
        StartedBy::Operator => String::new(),
        by @ (StartedBy::Policy | StartedBy::Unknown(_)) => format!(", started by {by}"),
    };
    format!("plan {}{by}: {} {to} {}", plan.id, plan.from, plan.target.version)
}

/// A plan that goes back has the same phases under another name.
pub(crate) fn phase_word(plan: &Plan) -> String {
    let goes_back = matches!(plan.direction, Direction::Back { .. });
    match &plan.phase {
        Phase::Staging => if goes_back { "staging what it goes back to" } else { "staging" }.to_owned(),
        Phase::Rolling => if goes_back { "rolling back" } else { "rolling" }.to_owned(),
        Phase::Paused => "paused".to_owned(),
        Phase::Held { .. } => "held".to_owned(),
        Phase::TurningBack => "turning back".to_owned(),
        Phase::Soaking { .. } => "soaking".to_owned(),
        Phase::Unknown(unknown) => unknown.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::samples::{plan, reason};
    use expect_test::expect;
    use ironcache_api::{HoldReason, Unknown};
    use ironcache_types::{NodeId, Version};

    #[test]
    fn a_plan_that_no_operator_started_says_who_did() {
        let by = |started_by| phase_line(&Plan { started_by, ..plan(Phase::Rolling) });
        let lines = [by(StartedBy::Policy), by(StartedBy::Unknown("window".to_owned()))];
        expect![[r#"
            plan 1, started by policy: 0.1.0 to 0.2.0: rolling
            plan 1, started by window: 0.1.0 to 0.2.0: rolling"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_plan_that_goes_back_says_so_and_why() {
        let back = |phase| {
            let mut plan = plan(phase);
            std::mem::swap(&mut plan.from, &mut plan.target.version);
            plan.direction = Direction::Back { reason: reason("node 2 exited with code 3") };
            plan
        };
        let lines = [
            phase_line(&plan(Phase::Rolling)),
            phase_line(&plan(Phase::Soaking { since_ms: 0 })),
            phase_line(&plan(Phase::Unknown(Unknown("rehearsing".into())))),
            phase_line(&back(Phase::TurningBack)),
            phase_line(&back(Phase::Staging)),
            phase_line(&back(Phase::Rolling)),
            ended_line(&HistoryEntry {
                plan: back(Phase::Rolling),
                outcome: Outcome::RolledBack,
                ended_at_ms: 3_500,
            }),
        ];
        assert_eq!(plan(Phase::Rolling).from, Version::new(0, 1, 0));
        expect![[r#"
            plan 1: 0.1.0 to 0.2.0: rolling
            plan 1: 0.1.0 to 0.2.0: soaking
            plan 1: 0.1.0 to 0.2.0: rehearsing
            plan 1: 0.2.0 back to 0.1.0: turning back: node 2 exited with code 3
            plan 1: 0.2.0 back to 0.1.0: staging what it goes back to: node 2 exited with code 3
            plan 1: 0.2.0 back to 0.1.0: rolling back: node 2 exited with code 3
            plan 1: 0.2.0 back to 0.1.0: rolled back after 2.50 s: node 2 exited with code 3"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_plan_that_is_held_on_its_way_back_is_not_advised_to_go_back() {
        let node = NodeId(2);
        let failed = HoldReason::StepFailed { node, reason: reason("exited with code 3") };
        for held in [failed, HoldReason::StateMismatch { node, log_index: 7 }] {
            let mut plan = plan(Phase::Held { reason: held });
            assert!(phase_line(&plan).contains("upgrade rollback`"), "{}", phase_line(&plan));
            plan.direction = Direction::Back { reason: reason("node 2 exited with code 3") };
            let line = phase_line(&plan);
            assert!(line.contains("upgrade abort`") && !line.contains("upgrade rollback`"), "{line}");
        }
    }
}
