//! Follows one plan to its end.

use super::lines;
use super::view::View;
use crate::client::{Client, ClientError};
use crate::exit::{Failure, Format};
use crate::output;
use ironcache_control::{HistoryEntry, HoldReason, Outcome, Phase, Plan};
use ironcache_node::api::UpgradeStatus;
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

impl Ending {
    /// What is left to say when the watching is over. Lines have told the end already; a table shows nodes only.
    pub fn tell(&self, format: Format, view: &View) -> Result<(), Failure> {
        match (format, view, self) {
            (Format::Json, _, _) => self.print_json(),
            (Format::Text, View::Table(_), Ending::Ended(entry)) => {
                output::line(&lines::ended_line(&entry.plan, entry.outcome, entry.ended_at_ms))
            }
            // What is held is told as the error that it is.
            (Format::Text, _, Ending::Ended(_) | Ending::Held { .. }) => Ok(()),
        }
    }

    /// The one object that a script reads: a history entry, or the held plan with its reason.
    fn print_json(&self) -> Result<(), Failure> {
        match self {
            Ending::Ended(entry) => output::json(entry),
            Ending::Held { plan, reason } => {
                output::json(&HeldPlan { plan, outcome: "held", reason, detail: reason.to_string() })
            }
        }
    }

    /// A roll that ended on its target is done; everything else failed.
    pub fn into_result(self) -> Result<(), Failure> {
        match self {
            Ending::Ended(entry) => match entry.outcome {
                Outcome::Finalized => Ok(()),
                Outcome::Aborted => Err(Failure::failed(format!("plan {} was aborted", entry.plan.id))),
                Outcome::RolledBack => {
                    Err(Failure::failed(format!("plan {} was rolled back", entry.plan.id)))
                }
                Outcome::Superseded => {
                    Err(Failure::failed(format!("another plan took the place of plan {}", entry.plan.id)))
                }
            },
            Ending::Held { plan, reason } => {
                Err(Failure::failed(format!("plan {} is held: {reason}", plan.id)))
            }
        }
    }
}

/// Shows `plan` until it has ended or is held.
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
            Err(
                ClientError::Unreachable { .. }
                | ClientError::TimedOut { .. }
                | ClientError::Unavailable { .. },
            ) if give_up.is_some() => {}
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
        Phase::Staging
        | Phase::Rolling
        | Phase::Paused
        | Phase::TurningBack { .. }
        | Phase::Soaking { .. } => None,
    }
}
