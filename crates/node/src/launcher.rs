//! The daemon's line to its launcher: heartbeats out, state and stop orders in.

use ironcache_agent::{LauncherFacts, LauncherPhase, StepOutcome, StepResult};
use ironcache_control::Reason;
use ironcache_spine::{
    LinkError, LinkReceiver, LinkSender, Phase, Refusal, Request, Snapshot, StepRef, StopReason, ToDaemon,
    ToLauncher, Verdict,
};
use ironcache_types::{Digest, WireRange};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// An order to end this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub reason: StopReason,
    pub deadline: Duration,
}

/// What the launcher said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct LauncherView {
    pub facts: LauncherFacts,
    pub trial: Option<Trial>,
    /// What the launcher speaks; `None` without one.
    pub protocol: Option<WireRange>,
    /// The launcher's process, as it has named itself.
    #[cfg(feature = "next")]
    pub pid: Option<u32>,
}

/// An activation that the launcher refused: no trial of that step follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedActivation {
    pub step: StepRef,
    /// Set if the reason is what lies in the slot of this release.
    pub unusable_slot: Option<Digest>,
}

/// The trial that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub step: StepRef,
    /// How long it may take from the start of this process on.
    pub confirm_timeout_ms: u64,
    /// When the launcher ends it, in unix ms; far away before the first process of the trial was started.
    pub deadline_unix_ms: u64,
}

/// What the launcher's snapshot says, in the agent's words.
pub(crate) fn view(snapshot: &Snapshot) -> LauncherView {
    let trial = match &snapshot.state.phase {
        Phase::Idle { .. } | Phase::RollingBack { .. } => None,
        Phase::Trial { step, confirm_timeout_ms, deadline_unix_ms, .. } => Some(Trial {
            step: *step,
            confirm_timeout_ms: *confirm_timeout_ms,
            deadline_unix_ms: deadline_unix_ms.unwrap_or(u64::MAX),
        }),
    };
    LauncherView {
        facts: facts(snapshot),
        trial,
        protocol: Some(snapshot.launcher_protocol),
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
                    StepResult::Failed { reason: Reason::new(failure.word(), text) }
                }
                Verdict::Inconclusive { cause } => {
                    StepResult::Inconclusive { reason: Reason::new(cause.word(), cause.to_string()) }
                }
            },
        }),
        degraded: snapshot.degraded.clone(),
        needs: state.needs(),
    }
}

/// Listens to a simulated launcher: as [`listen`], without a thread.
#[cfg(turmoil)]
pub(crate) fn listen(
    link: LinkReceiver,
    sender: LinkSender,
    known: watch::Sender<LauncherView>,
    stops: mpsc::UnboundedSender<Stop>,
    refused: mpsc::UnboundedSender<RefusedActivation>,
    orders: Option<mpsc::UnboundedReceiver<ToDaemon>>,
) -> std::io::Result<()> {
    let hears = Hears { sender, known, stops, refused };
    tokio::task::spawn_local(async move {
        let _link = link;
        if let Some(mut orders) = orders {
            while let Some(said) = orders.recv().await {
                hears.take(said);
            }
        }
        std::future::pending::<()>().await;
    });
    Ok(())
}

/// Listens on its own thread until the launcher closes the link; a launcher that is gone is an order to stop.
/// `refused` is told every activation that the launcher refused, whatever its reason.
#[cfg(not(turmoil))]
pub(crate) fn listen(
    mut link: LinkReceiver,
    sender: LinkSender,
    known: watch::Sender<LauncherView>,
    stops: mpsc::UnboundedSender<Stop>,
    refused: mpsc::UnboundedSender<RefusedActivation>,
) -> std::io::Result<()> {
    let hears = Hears { sender, known, stops, refused };
    std::thread::Builder::new().name("ironcache-link".to_owned()).spawn(move || {
        loop {
            match link.recv() {
                Ok(said) => hears.take(said),
                Err(LinkError::Closed) => return hears.nobody(),
                Err(error @ LinkError::Message(_)) => {
                    tracing::warn!(%error, "the launcher said something unknown");
                }
                Err(error) => {
                    // Nothing can be heard any more, and asking again at once would only fail again.
                    tracing::error!(%error, "the link to the launcher is of no use");
                    return hears.nobody();
                }
            }
        }
    })?;
    Ok(())
}

/// Whom what the launcher says concerns.
struct Hears {
    sender: LinkSender,
    known: watch::Sender<LauncherView>,
    stops: mpsc::UnboundedSender<Stop>,
    refused: mpsc::UnboundedSender<RefusedActivation>,
}

impl Hears {
    fn take(&self, said: ToDaemon) {
        match said {
            ToDaemon::Hello { protocol: _, snapshot } | ToDaemon::State { snapshot } => {
                #[cfg(not(feature = "next"))]
                self.known.send_replace(view(&snapshot));
                #[cfg(feature = "next")]
                self.known.send_modify(|known| *known = LauncherView { pid: known.pid, ..view(&snapshot) });
            }
            #[cfg(feature = "next")]
            ToDaemon::Launcher { pid } => self.known.send_modify(|known| known.pid = Some(pid)),
            ToDaemon::Stop { reason, deadline_ms } => {
                self.stop(Stop { reason, deadline: Duration::from_millis(deadline_ms) });
            }
            ToDaemon::Activating { step } => tracing::info!(%step, "the launcher starts the trial"),
            ToDaemon::Confirmed { step } => {
                tracing::info!(%step, "the trial is final");
                query(&self.sender);
            }
            ToDaemon::Refused { request, reason } => {
                tracing::warn!(?request, %reason, "the launcher refuses");
                if let Request::Activate { step } = request {
                    let refused = RefusedActivation { step, unusable_slot: unusable_slot(&reason) };
                    // The receiver ends with the process.
                    let _ = self.refused.send(refused);
                }
                query(&self.sender);
            }
        }
    }

    /// The launcher is gone, or cannot be heard.
    #[cfg(not(turmoil))]
    fn nobody(&self) {
        self.stop(Stop { reason: StopReason::Operator, deadline: Duration::from_secs(1) });
    }

    fn stop(&self, stop: Stop) {
        // The receiver ends with the process.
        let _ = self.stops.send(stop);
    }
}

fn unusable_slot(reason: &Refusal) -> Option<Digest> {
    match reason {
        Refusal::SlotUnusable { digest, problem: _ } => Some(*digest),
        Refusal::Illegal { .. }
        | Refusal::Level { .. }
        | Refusal::Degraded { .. }
        | Refusal::Stopping {}
        | Refusal::StateNotWritten { .. }
        | Refusal::Protocol { .. }
        | Refusal::NotUnderstood { .. } => None,
    }
}

fn query(sender: &LinkSender) {
    if let Err(error) = sender.send(&ToLauncher::QueryState {}) {
        tracing::warn!(%error, "the launcher cannot be asked for its state");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::{Epoch, PlanId};
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    const STEP: StepRef = StepRef { plan: PlanId(1), epoch: Epoch(9) };

    /// What the agent hears of refusals, one JSON line each.
    fn heard(refusals: &[(Request, Refusal)]) -> Vec<RefusedActivation> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (sender, receiver) = ironcache_spine::LauncherLink::new(ours).unwrap().split();
        let (known, _view) = watch::channel(LauncherView::default());
        let (stops, mut stopped) = mpsc::unbounded_channel();
        let (refused, mut heard) = mpsc::unbounded_channel();
        listen(receiver, sender, known, stops, refused).unwrap();
        for (request, reason) in refusals {
            let message = ToDaemon::Refused { request: *request, reason: reason.clone() };
            writeln!(theirs, "{}", serde_json::to_string(&message).unwrap()).unwrap();
        }
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        // An ended link is an order to stop, and everything before it was heard.
        stopped.blocking_recv().unwrap();
        std::iter::from_fn(|| heard.try_recv().ok()).collect()
    }

    #[test]
    fn every_refused_activation_is_told_whatever_its_reason() {
        let (activate, digest) = (Request::Activate { step: STEP }, Digest([3; 32]));
        let told = heard(&[
            (activate, Refusal::Stopping {}),
            (Request::Confirm { step: STEP }, Refusal::Stopping {}),
            (activate, Refusal::SlotUnusable { digest, problem: "altered".to_owned() }),
            (Request::Unknown {}, Refusal::NotUnderstood { problem: "?".to_owned() }),
        ]);
        let refused = |unusable_slot| RefusedActivation { step: STEP, unusable_slot };
        assert_eq!(told, [refused(None), refused(Some(digest))]);
    }
}
