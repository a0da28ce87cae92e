//! The daemon's line to its launcher: heartbeats out, state and stop orders in.

use ironcache_agent::{LauncherFacts, LauncherPhase, StepOutcome, StepResult};
use ironcache_control::Reason;
use ironcache_spine::{
    Failure, LinkError, LinkReceiver, LinkSender, Phase, Refusal, Snapshot, StepRef, StopReason, ToDaemon,
    ToLauncher, Verdict,
};
use ironcache_types::Digest;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// An order to end this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub reason: StopReason,
    pub deadline: Duration,
}

/// What the launcher said last.
#[derive(Clone, Debug, Default)]
pub struct LauncherView {
    pub facts: LauncherFacts,
    pub trial: Option<Trial>,
    /// The launcher's process, as it has named itself.
    #[cfg(feature = "next")]
    pub pid: Option<u32>,
}

/// The trial that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    pub step: StepRef,
    /// How long it may take as a whole.
    pub confirm_timeout_ms: u64,
    /// When the launcher ends it, in unix ms.
    pub deadline_unix_ms: u64,
}

/// What the launcher's snapshot says, in the agent's words.
pub fn view(snapshot: &Snapshot) -> LauncherView {
    let trial = match &snapshot.state.phase {
        Phase::Idle { .. } | Phase::RollingBack { .. } => None,
        Phase::Trial { step, confirm_timeout_ms, deadline_unix_ms, .. } => Some(Trial {
            step: *step,
            confirm_timeout_ms: *confirm_timeout_ms,
            deadline_unix_ms: *deadline_unix_ms,
        }),
    };
    LauncherView {
        facts: facts(snapshot),
        trial,
        #[cfg(feature = "next")]
        pid: None,
    }
}

fn facts(snapshot: &Snapshot) -> LauncherFacts {
    let state = &snapshot.state;
    LauncherFacts {
        phase: match &state.phase {
            Phase::Idle { .. } | Phase::RollingBack { .. } => LauncherPhase::Idle,
            Phase::Trial { step, .. } => LauncherPhase::Trial { step: step.epoch },
        },
        last_done: state.last_done,
        last_outcome: state.last_outcome.as_ref().map(|outcome| StepOutcome {
            step: outcome.step.epoch,
            result: match &outcome.verdict {
                Verdict::Confirmed {} => StepResult::Done,
                Verdict::Failed { failure, attempts } => {
                    let text = format!("{failure} ({attempts} attempts)");
                    StepResult::Failed { reason: Reason::new(code(failure), text) }
                }
                Verdict::Inconclusive { reason } => {
                    StepResult::Inconclusive { reason: Reason::new("inconclusive", reason.clone()) }
                }
            },
        }),
        degraded: snapshot.degraded.clone(),
        needs: state.needs(),
    }
}

/// How a trial failed, in a word.
fn code(failure: &Failure) -> &'static str {
    match failure {
        Failure::Exited { .. } => "exit",
        Failure::Killed { .. } => "killed",
        Failure::Hung { .. } => "hang",
        Failure::NotReady { .. } => "not_ready",
        Failure::CannotStart { .. } => "cannot_start",
        Failure::Protocol { .. } => "protocol",
        Failure::DeadlineMissed { .. } => "deadline",
        Failure::Interrupted {} => "interrupted",
    }
}

/// Listens on its own thread until the launcher closes the link; a launcher that is gone is an order to stop.
/// `unusable` is told which releases the launcher refused to run because of what is in their slots.
pub fn listen(
    mut link: LinkReceiver,
    sender: LinkSender,
    known: watch::Sender<LauncherView>,
    stops: mpsc::UnboundedSender<Stop>,
    unusable: mpsc::UnboundedSender<Digest>,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("ironcache-link".to_owned()).spawn(move || {
        loop {
            match link.recv() {
                Ok(ToDaemon::Hello { protocol: _, snapshot } | ToDaemon::State { snapshot }) => {
                    #[cfg(not(feature = "next"))]
                    known.send_replace(view(&snapshot));
                    #[cfg(feature = "next")]
                    known.send_modify(|known| *known = LauncherView { pid: known.pid, ..view(&snapshot) });
                }
                #[cfg(feature = "next")]
                Ok(ToDaemon::Launcher { pid }) => known.send_modify(|known| known.pid = Some(pid)),
                Ok(ToDaemon::Stop { reason, deadline_ms }) => {
                    // The receiver ends with the process.
                    let _ = stops.send(Stop { reason, deadline: Duration::from_millis(deadline_ms) });
                }
                Ok(ToDaemon::Activating { step }) => tracing::info!(%step, "the launcher starts the trial"),
                Ok(ToDaemon::Confirmed { step }) => {
                    tracing::info!(%step, "the trial is final");
                    query(&sender);
                }
                Ok(ToDaemon::Refused { reason }) => {
                    tracing::warn!(%reason, "the launcher refuses");
                    if let Refusal::SlotUnusable { digest, problem: _ } = reason {
                        // The receiver ends with the process.
                        let _ = unusable.send(digest);
                    }
                    query(&sender);
                }
                Err(LinkError::Closed) => {
                    let _ =
                        stops.send(Stop { reason: StopReason::Operator, deadline: Duration::from_secs(1) });
                    return;
                }
                Err(error @ LinkError::Message(_)) => {
                    tracing::warn!(%error, "the launcher said something unknown");
                }
                Err(error) => {
                    // Nothing can be heard any more, and asking again at once would only fail again.
                    tracing::error!(%error, "the link to the launcher is of no use");
                    let _ =
                        stops.send(Stop { reason: StopReason::Operator, deadline: Duration::from_secs(1) });
                    return;
                }
            }
        }
    })?;
    Ok(())
}

fn query(sender: &LinkSender) {
    if let Err(error) = sender.send(&ToLauncher::QueryState {}) {
        tracing::warn!(%error, "the launcher cannot be asked for its state");
    }
}
