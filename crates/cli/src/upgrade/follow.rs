//! Follows one plan to its end.

use super::view::View;
use crate::exit::{Failure, Format};
use crate::output;
use crate::text;
use ironcache_api::{Direction, HistoryEntry, HoldReason, Outcome, Phase, Plan, Soaking, UpgradeStatus};
use ironcache_client::Client;
use ironcache_types::PlanId;
use std::time::{Duration, Instant};

/// A step takes some hundred milliseconds; watching is cheap and has to show each.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a plan that was followed came out.
#[derive(Clone, Debug)]
pub enum Ending {
    Ended(Box<HistoryEntry>),
    /// It goes no further by itself.
    Held {
        plan: Box<Plan>,
        reason: HoldReason,
    },
    /// Every node runs the target; what is left is time, or a command.
    Soaks {
        plan: Box<Plan>,
        soaking: Box<Soaking>,
        /// The leader's clock, Unix ms.
        now_ms: u64,
    },
}

/// A held plan, as JSON: the shape of one that ended, with why it goes no further.
#[derive(Debug, serde::Serialize)]
struct HeldPlan<'a> {
    plan: &'a Plan,
    /// Always `held`.
    outcome: &'static str,
    reason: &'a HoldReason,
    /// The reason for people: with its numbers, and what to do.
    detail: String,
}

/// A plan that soaks, as JSON: as above.
#[derive(Debug, serde::Serialize)]
struct SoakingPlan<'a> {
    plan: &'a Plan,
    /// Always `soaking`.
    outcome: &'static str,
    soaking: &'a Soaking,
}

impl Ending {
    /// What is left to say when the watching is over. Lines have told the end already; a table shows nodes only.
    pub fn tell(&self, format: Format, view: &View) -> Result<(), Failure> {
        match (format, view, self) {
            (Format::Json, _, _) => self.print_json(),
            (Format::Text, View::Table(_), Ending::Ended(entry)) => output::line(&text::ended_line(entry)),
            (Format::Text, View::Table(_) | View::Lines(_), Ending::Soaks { plan, soaking, now_ms }) => {
                text::soaking_lines(plan, soaking, *now_ms).iter().try_for_each(|line| output::line(line))
            }
            // What is held is told as the error that it is.
            (Format::Text, _, Ending::Ended(_) | Ending::Held { .. } | Ending::Soaks { .. }) => Ok(()),
        }
    }

    /// The one object that a script reads: a history entry, or the held plan with its reason.
    fn print_json(&self) -> Result<(), Failure> {
        match self {
            Ending::Ended(entry) => output::json(entry),
            Ending::Held { plan, reason } => {
                output::json(&HeldPlan { plan, outcome: "held", reason, detail: text::held(plan, reason) })
            }
            Ending::Soaks { plan, soaking, now_ms: _ } => {
                output::json(&SoakingPlan { plan, outcome: "soaking", soaking })
            }
        }
    }

    /// A roll whose nodes all run its target is done, whether or not it is final; everything else failed.
    pub fn into_result(self) -> Result<(), Failure> {
        match self {
            Ending::Ended(entry) => match (&entry.outcome, &entry.plan.direction) {
                (Outcome::Finalized, _) => Ok(()),
                (Outcome::RolledBack, Direction::Back { reason }) => {
                    let why = &reason.reason;
                    Err(Failure::failed(format!("plan {} was rolled back: {why}", entry.plan.id)))
                }
                (Outcome::Superseded, _) => {
                    Err(Failure::failed(format!("another plan took the place of plan {}", entry.plan.id)))
                }
                (outcome @ (Outcome::Aborted | Outcome::RolledBack | Outcome::Unknown(_)), _) => {
                    Err(Failure::failed(format!("plan {} was {outcome}", entry.plan.id)))
                }
            },
            Ending::Held { plan, reason } => {
                let why = text::held(&plan, &reason);
                Err(Failure::failed(format!("plan {} is held: {why}", plan.id)))
            }
            Ending::Soaks { .. } => Ok(()),
        }
    }
}

/// Shows `plan` until it has ended, is held, or has every node on its target and more than a moment to soak.
///
/// # Errors
/// The cluster cannot be reached, or the plan has not ended within `limit` (it goes on).
pub async fn follow(
    client: &Client,
    plan: PlanId,
    view: &mut View,
    limit: Option<Duration>,
) -> Result<Ending, Failure> {
    let give_up = limit.map(|limit| Instant::now() + limit);
    loop {
        match client.upgrade().await {
            Ok(status) => {
                view.show(&status)?;
                if let Some(ending) = ending_of(&status, plan) {
                    view.finish();
                    return Ok(ending);
                }
            }
            // Nobody leads just now: with a limit, that says how long to bear it; without, the client's
            // own patience has been enough.
            Err(error) if give_up.is_some() && error.may_pass() => {}
            Err(error) => return Err(error.into()),
        }
        if give_up.is_some_and(|at| Instant::now() >= at) {
            view.finish();
            let waited = limit.map_or(0, |l| l.as_secs());
            return Err(Failure::Unreachable(format!(
                "plan {plan} has not ended within {waited} s; it goes on"
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `None` while the plan is on its way.
fn ending_of(status: &UpgradeStatus, plan: PlanId) -> Option<Ending> {
    if let Some(entry) = status.history.iter().find(|entry| entry.plan.id == plan) {
        return Some(Ending::Ended(Box::new(entry.clone())));
    }
    let active = status.plan.as_ref().filter(|active| active.id == plan)?;
    match &active.phase {
        Phase::Held { reason } => {
            Some(Ending::Held { plan: Box::new(active.clone()), reason: reason.clone() })
        }
        // One that finalizes at once is as good as ended: its end is worth the wait.
        Phase::Soaking { .. } => {
            let soaking = status.soaking.clone().filter(|soaking| soaking.finalize_after_s != Some(0))?;
            let now_ms = status.now_ms.unwrap_or(soaking.since_ms);
            Some(Ending::Soaks { plan: Box::new(active.clone()), soaking: Box::new(soaking), now_ms })
        }
        Phase::Staging | Phase::Rolling | Phase::Paused | Phase::TurningBack | Phase::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::samples::{plan, reason, status};
    use ironcache_api::Unknown;
    use ironcache_types::Level;

    fn soaking(finalize_after_s: Option<u64>) -> UpgradeStatus {
        let mut status = status(Some(plan(Phase::Soaking { since_ms: 4_000 })), &[]);
        status.soaking = Some(Soaking {
            since_ms: 4_000,
            soaked_ms: 6_000,
            finalize_after_s,
            level: Level(1),
            finalizes_to: Level(1),
            can_roll_back: true,
            blockers: Vec::new(),
        });
        status
    }

    fn ended(outcome: Outcome) -> Ending {
        let mut status = status(None, &[]);
        let mut plan = plan(Phase::Rolling);
        if outcome == Outcome::RolledBack {
            plan.direction = Direction::Back { reason: reason("too slow") };
        }
        status.history.push(HistoryEntry { plan, outcome, ended_at_ms: 3_500 });
        ending_of(&status, PlanId(1)).expect("it has ended")
    }

    #[test]
    fn a_plan_that_soaks_for_long_is_followed_no_further_and_is_done() {
        for long in [Some(86_400), None] {
            let ending = ending_of(&soaking(long), PlanId(1)).expect("nobody waits for a day");
            assert!(matches!(ending, Ending::Soaks { now_ms: 10_000, .. }), "{ending:?}");
            assert!(ending.into_result().is_ok());
        }
    }

    #[test]
    fn a_plan_that_finalizes_at_once_is_followed_to_its_end() {
        assert!(ending_of(&soaking(Some(0)), PlanId(1)).is_none());
        assert!(ended(Outcome::Finalized).into_result().is_ok());
    }

    #[test]
    fn every_other_end_is_exit_code_1_with_its_reason() {
        let said = |ending: Ending| {
            let failure = ending.into_result().unwrap_err();
            assert_eq!(failure.code(), 1);
            failure.to_string()
        };
        assert_eq!(said(ended(Outcome::Aborted)), "plan 1 was aborted");
        assert_eq!(said(ended(Outcome::RolledBack)), "plan 1 was rolled back: too slow");
        assert_eq!(said(ended(Outcome::Unknown("superseded".to_owned()))), "plan 1 was superseded");
        let held = HoldReason::Unknown(Unknown("moonrise".into()));
        let held = status(Some(plan(Phase::Held { reason: held })), &[]);
        assert_eq!(said(ending_of(&held, PlanId(1)).expect("held")), "plan 1 is held: moonrise");
    }

    #[test]
    fn a_phase_of_a_later_release_is_followed_on() {
        let later = status(Some(plan(Phase::Unknown(Unknown("rehearsing".into())))), &[]);
        assert!(ending_of(&later, PlanId(1)).is_none());
    }
}
