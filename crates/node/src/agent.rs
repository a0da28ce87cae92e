//! Carries out what `ironcache_agent::next` says this node should do about its own binary.

use crate::app::App;
use crate::fetch::{Wanted, fetch};
use crate::launcher::LauncherView;
use ironcache_agent::{Action, LocalFacts, Waiting, next};
use ironcache_control::{Command, ControlState};
use ironcache_spine::{LinkSender, StepRef, ToLauncher};
use ironcache_types::{Digest, Epoch, WireRange};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// While a step concerns this node, facts change without the log telling: they are looked at this often.
const BUSY: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_millis(200);
/// After a download that failed.
const FETCH_AGAIN: Duration = Duration::from_millis(1_000);
/// How long an order to the launcher may go without a visible effect before it is given again.
const ORDER_AGAIN: Duration = Duration::from_millis(5_000);

/// Unix time in ms.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

pub struct Agent {
    app: Arc<App>,
    launcher: LinkSender,
    launcher_view: watch::Receiver<LauncherView>,
    held: BTreeSet<Digest>,
    fetching: Option<Digest>,
    fetched: (mpsc::UnboundedSender<Fetched>, mpsc::UnboundedReceiver<Fetched>),
    fetch_not_before: Instant,
    /// The step this node is out for, and since when this process knows.
    told: Option<(Epoch, Instant)>,
    /// The last order to the launcher, and when it was given.
    ordered: Option<(Epoch, Instant)>,
}

struct Fetched {
    digest: Digest,
    outcome: Result<(), String>,
}

impl Agent {
    /// `held`: the digests of the slots that were verified at start.
    pub fn new(
        app: Arc<App>,
        launcher: LinkSender,
        launcher_view: watch::Receiver<LauncherView>,
        held: BTreeSet<Digest>,
    ) -> Self {
        Self {
            launcher_view,
            app,
            launcher,
            held,
            fetching: None,
            fetched: mpsc::unbounded_channel(),
            fetch_not_before: Instant::now(),
            told: None,
            ordered: None,
        }
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        let mut views = self.app.raft.applied();
        let mut waited_for: Option<Waiting> = None;
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let action = if view.state.cluster_id.is_some() {
                let facts = self.facts(&view.state).await;
                next(&view.state, &facts)
            } else {
                Action::Nothing
            };
            if let Action::Wait(waiting) = &action {
                if waited_for.as_ref().map(std::mem::discriminant) != Some(std::mem::discriminant(waiting)) {
                    tracing::info!("waiting: {waiting}");
                }
                waited_for = Some(waiting.clone());
            } else {
                waited_for = None;
            }
            let pause = if self.told.is_some() { BUSY } else { IDLE };
            self.carry_out(action).await;
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                Ok(()) = self.launcher_view.changed() => {}
                Some(fetched) = self.fetched.1.recv() => self.note(fetched),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn facts(&mut self, state: &ControlState) -> LocalFacts {
        let me = self.app.me;
        let step = state.nodes.get(&me.node).and_then(|n| n.out.as_ref()).map(|o| o.epoch);
        self.told = match (step, self.told) {
            (None, _) => None,
            (Some(step), Some((known, since))) if known == step => Some((step, since)),
            (Some(step), _) => Some((step, Instant::now())),
        };
        let data = self.app.data.snapshot().await.ok();
        let primary_applied = data.filter(|d| d.status.link_up).map(|d| d.primary_applied);
        LocalFacts {
            me,
            running: self.app.release.clone(),
            log_is_current: *self.app.log_is_current.borrow(),
            launcher: self.launcher_view.borrow_and_update().facts.clone(),
            held: self.held.clone(),
            fetching: self.fetching,
            primary_applied,
            told_ms_ago: self.told.map_or(0, |(_, since)| since.elapsed().as_millis() as u64),
            now_wall_ms: wall_ms(),
        }
    }

    async fn carry_out(&mut self, action: Action) {
        match action {
            Action::Register => self.propose(self.registration()).await,
            Action::Fetch { digest, size_bytes, version, sources } => {
                self.start_fetch(Wanted { digest, size_bytes, version, sources });
            }
            Action::ReportStaged { digest } => {
                self.propose(Command::ReportStaged { node: self.app.me.node, digest }).await;
            }
            Action::Activate { step, plan, target } => {
                tracing::info!(%step, %target, "upgrading this node");
                let confirm_timeout_ms = self.app.config.confirm_timeout_ms;
                let step_ref = StepRef { plan, epoch: step };
                let order =
                    ToLauncher::Activate { digest: target.digest, step: step_ref, confirm_timeout_ms };
                self.order(step, &order);
            }
            Action::ConfirmTrial { step } => {
                if let Some(trial) = self.trial(step) {
                    self.order(step, &ToLauncher::Confirm { step: trial });
                }
            }
            Action::AbandonTrial { step, reason } => {
                if let Some(trial) = self.trial(step) {
                    tracing::warn!(%step, reason, "giving the trial up");
                    self.order(step, &ToLauncher::Abandon { step: trial, reason });
                }
            }
            Action::ReportConfirmed(command) | Action::ReportFailed(command) => self.propose(command).await,
            Action::Wait(_) | Action::Nothing => {}
        }
    }

    fn trial(&self, step: Epoch) -> Option<StepRef> {
        self.launcher_view.borrow().trial.filter(|trial| trial.epoch == step)
    }

    fn registration(&self) -> Command {
        let config = &self.app.config;
        Command::RegisterNode {
            member: self.app.me,
            client_addr: config.client_addr(),
            peer_addr: config.peer_addr(),
            http_addr: config.http_addr(),
            release: self.app.release.clone(),
            wire: WireRange::CURRENT,
        }
    }

    async fn propose(&self, command: Command) {
        match self.app.raft.propose(command.clone()).await {
            Ok(proposed) => {
                if let Err(rejection) = proposed.outcome {
                    tracing::info!(?command, %rejection, "the log rejects what this node proposed");
                    tokio::time::sleep(IDLE).await;
                }
            }
            // Asked again as long as it is what should be.
            Err(error) => tracing::warn!(%error, "a proposal has no outcome"),
        }
    }

    /// Gives the launcher an order; the same one not again before it had time to act.
    fn order(&mut self, step: Epoch, order: &ToLauncher) {
        if self.ordered.is_some_and(|(last, at)| last == step && at.elapsed() < ORDER_AGAIN) {
            return;
        }
        self.ordered = Some((step, Instant::now()));
        if let Err(error) = self.launcher.send(order) {
            tracing::error!(%error, "the launcher cannot be reached");
        }
    }

    fn start_fetch(&mut self, wanted: Wanted) {
        if self.fetching.is_some() || Instant::now() < self.fetch_not_before {
            return;
        }
        self.fetching = Some(wanted.digest);
        let (client, slots) = (self.app.client.clone(), Arc::clone(&self.app.slots));
        let done = self.fetched.0.clone();
        tokio::spawn(async move {
            let outcome =
                fetch(&client, &slots, &wanted).await.map(|_| ()).map_err(|error| error.to_string());
            // The agent ends with the process.
            let _ = done.send(Fetched { digest: wanted.digest, outcome });
        });
    }

    fn note(&mut self, fetched: Fetched) {
        let Fetched { digest, outcome } = fetched;
        self.fetching = None;
        match outcome {
            Ok(()) => {
                tracing::info!(digest = %digest.short(), "artifact staged");
                self.held.insert(digest);
            }
            Err(error) => {
                tracing::warn!(error, digest = %digest.short(), "artifact not fetched; trying again");
                self.fetch_not_before = Instant::now() + FETCH_AGAIN;
            }
        }
    }
}
