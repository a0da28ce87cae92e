//! Carries out what `ironcache_agent::next` says this node should do about its own binary.

use crate::app::App;
use crate::background;
use crate::clock::unix_ms;
use crate::fetch::{Wanted, fetch};
use crate::launcher::{LauncherView, RefusedActivation, Trial};
use crate::preflight::{self, Asked};
use crate::tasks::share_panic;
use ironcache_agent::{Action, LocalFacts, PreflightResult, Waiting, kept_slots, next};
use ironcache_control::{Command, ControlState, Origin, Proposal, ReleaseInfo, StageHold};
#[cfg(not(turmoil))]
use ironcache_spine::inspect;
use ironcache_spine::{Artifact, LinkSender, StepRef, ToLauncher};
use ironcache_types::{Digest, Epoch, LEVELS, Level, Manifest, chain};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// While a step concerns this node, facts change without the log telling: they are looked at this often.
const BUSY: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_millis(200);
/// After a download that failed.
const FETCH_AGAIN: Duration = Duration::from_millis(1_000);
/// After an answer that named a problem: whoever mends a configuration looks for the effect.
const PREFLIGHT_AGAIN: Duration = Duration::from_millis(5_000);
/// After an answer that named none: a configuration may be changed at any time of a day of soaking, and whoever reads that
/// a rollback is possible should be able to believe it. Sooner would start processes for nothing.
const PREFLIGHT_ANEW: Duration = Duration::from_millis(60_000);
/// A snapshot and a purge take milliseconds; both are done in the background.
const COMPACT_AGAIN: Duration = Duration::from_millis(500);
/// How long an order to the launcher may go without a visible effect before it is given again.
const ORDER_AGAIN: Duration = Duration::from_millis(5_000);

/// A proposal is given up after this, and made again if it is still due: the agent has to look at the clock of a trial
/// in between.
const PROPOSE_MAX: Duration = Duration::from_millis(1_000);
/// How often a node on trial asks whether it still reaches the cluster, and how long it waits for the answer.
const CONTACT_EVERY: Duration = Duration::from_millis(250);
const CONTACT_MAX: Duration = Duration::from_millis(1_000);
/// The last part of a trial's time in which a node that is cut off gives up by itself: a quarter. Less, and a slow
/// machine misses the deadline first, whose reason does not name the isolation; more, and a short partition ends a trial.
const GIVE_UP_FRACTION: u64 = 4;

pub(crate) struct Agent {
    app: Arc<App>,
    launcher: LinkSender,
    launcher_view: watch::Receiver<LauncherView>,
    /// Activations that the launcher refused.
    refusals: mpsc::UnboundedReceiver<RefusedActivation>,
    /// What this process knows to be whole: what it runs, which its launcher hashed, and what it fetched. Whatever
    /// else the slots hold is hashed when it is wanted, and not at each start, when everybody waits for the node.
    held: BTreeSet<Digest>,
    /// The slots that stayed when they were last tidied.
    kept: BTreeSet<Digest>,
    fetching: Option<Digest>,
    fetched: (mpsc::UnboundedSender<Fetched>, mpsc::UnboundedReceiver<Fetched>),
    fetch_not_before: Instant,
    /// The step this node is out for, and since when this process knows.
    told: Option<(Epoch, Instant)>,
    /// The step whose activation the launcher was told to carry out, and has not refused.
    activating: Option<Epoch>,
    /// The last order to the launcher, and when it was given.
    ordered: Option<(Epoch, Instant)>,
    /// The newest answer of an unstarted binary, the question under way, and where its answer comes.
    preflight: Option<PreflightResult>,
    asking: Option<Digest>,
    preflights: (mpsc::UnboundedSender<PreflightAnswer>, mpsc::UnboundedReceiver<PreflightAnswer>),
    preflight_not_before: Instant,
    compact_not_before: Instant,
    /// When a leader with a majority behind it last answered; at first, when this process started. Kept only while
    /// on trial.
    contact: watch::Receiver<Instant>,
    /// What runs beside the agent for it: a panic there is its own.
    helpers: JoinSet<()>,
}

/// What was asked, for which turn of the plan, and what became of it.
type PreflightAnswer = (Digest, Epoch, Asked);

struct Fetched {
    digest: Digest,
    outcome: Result<(), String>,
}

impl Agent {
    pub(crate) fn new(
        app: Arc<App>,
        launcher: LinkSender,
        launcher_view: watch::Receiver<LauncherView>,
        refusals: mpsc::UnboundedReceiver<RefusedActivation>,
    ) -> Self {
        let (heard, contact) = watch::channel(Instant::now());
        let mut helpers = JoinSet::new();
        if launcher_view.borrow().trial.is_some() {
            helpers.spawn(keep_contact(Arc::clone(&app), heard));
        }
        Self {
            helpers,
            contact,
            launcher_view,
            refusals,
            held: BTreeSet::from([app.release.digest]),
            app,
            launcher,
            kept: BTreeSet::new(),
            fetching: None,
            fetched: mpsc::unbounded_channel(),
            fetch_not_before: Instant::now(),
            told: None,
            activating: None,
            ordered: None,
            preflight: None,
            asking: None,
            preflights: mpsc::unbounded_channel(),
            preflight_not_before: Instant::now(),
            compact_not_before: Instant::now(),
        }
    }

    /// Runs until the process ends.
    pub(crate) async fn run(mut self) {
        let mut views = self.app.raft.applied();
        let mut waited_for: Option<Waiting> = None;
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let action = if view.state.cluster_id.is_some() {
                self.forget_old_preflight();
                let facts = self.facts(&view.state).await;
                self.tidy_slots(&facts).await;
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
                Some(refused) = self.refusals.recv() => self.refused(refused),
                Some((digest, turn, asked)) = self.preflights.1.recv() => self.note_preflight(digest, turn, asked),
                Some(ended) = self.helpers.join_next() => drop(share_panic(ended)),
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
        // Asked only by a node that is out: otherwise every entry of the log would interrupt every data thread.
        let data = if step.is_some() { self.app.data.snapshot().await.ok() } else { None };
        let primary_applied = data.and_then(|data| data.primary_applied);
        let now_wall_ms = unix_ms();
        let unheard_ms = self.contact.borrow().elapsed().as_millis() as u64;
        let trial = self.launcher_view.borrow().trial;
        let oldest = self.oldest(state);
        LocalFacts {
            me,
            running: self.app.release.clone(),
            log_is_current: *self.app.log_is_current.borrow(),
            launcher: self.launcher_view.borrow_and_update().facts.clone(),
            held: self.held.clone(),
            fetching: self.fetching,
            primary_applied,
            activation_ordered: self.activating,
            told_ms_ago: self.told.map_or(0, |(_, since)| since.elapsed().as_millis() as u64),
            cut_off: trial.is_some_and(|trial| is_cut_off(trial, now_wall_ms, unheard_ms)),
            preflight: self.preflight.clone(),
            oldest,
            now_wall_ms,
        }
    }

    /// The lowest level of anything here. Looked at only while the log waits for it to rise: it means a look at every
    /// entry that is kept.
    fn oldest(&self, state: &ControlState) -> Level {
        let level = state.cluster_level;
        let waits = state.nodes.get(&self.app.me.node).is_some_and(|node| node.oldest < level);
        if waits { self.app.raft.oldest_level() } else { level }
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
                let confirm_timeout_ms = self.app.config.confirm_timeout_ms;
                let step_ref = StepRef { plan, epoch: step };
                let order =
                    ToLauncher::Activate { digest: target.digest, step: step_ref, confirm_timeout_ms };
                self.activating = Some(step);
                self.order(step, &order);
            }
            Action::ConfirmTrial { step } => {
                if let Some(trial) = self.trial(step) {
                    self.order(step, &ToLauncher::Confirm { step: trial });
                }
            }
            Action::AbandonTrial { step, reason } => {
                if let Some(trial) = self.trial(step) {
                    self.order(step, &ToLauncher::Abandon { step: trial, reason });
                }
            }
            Action::ReportConfirmed(command)
            | Action::ReportFailed(command)
            | Action::ReportPreflight(command)
            | Action::ReportLevelReached(command)
            | Action::Rejoin(command) => self.propose(command).await,
            Action::RegisterRunning => match own_info(&self.app).await {
                Ok(info) => {
                    let own = Origin::node(self.app.me.node, unix_ms());
                    self.propose(own.asks(Command::RegisterRelease { info })).await;
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&*error), "the running binary cannot be made known to the log");
                }
            },
            Action::Preflight { digest, turn } => self.start_preflight(digest, turn),
            Action::Compact => self.compact().await,
            Action::Wait(_) | Action::Nothing => {}
        }
    }

    fn trial(&self, step: Epoch) -> Option<StepRef> {
        self.launcher_view.borrow().trial.map(|trial| trial.step).filter(|trial| trial.epoch == step)
    }

    fn registration(&self) -> Command {
        let config = &self.app.config;
        Command::RegisterNode {
            member: self.app.me,
            client_addr: config.client_addr(),
            peer_addr: config.peer_addr(),
            http_addr: config.http_addr(),
            tls_port: config.announced_tls_port(),
            release: self.app.release.clone(),
            levels: LEVELS,
            launcher_protocol: self.app.launcher_protocol(),
            machine: self.app.machine,
            #[cfg(feature = "next")]
            zone: self.zone(),
        }
    }

    /// The configured zone, where the cluster has zones.
    #[cfg(feature = "next")]
    fn zone(&self) -> Option<String> {
        let zone = &self.app.config.next_zone;
        (self.app.raft.level() >= ironcache_types::NEXT && !zone.is_empty()).then(|| zone.clone())
    }

    async fn propose(&self, proposal: impl Into<Proposal>) {
        let proposal = proposal.into();
        let command = proposal.command.clone();
        let proposing = self.app.raft.propose(proposal);
        let Ok(outcome) = tokio::time::timeout(PROPOSE_MAX, proposing).await else {
            tracing::warn!(?command, "a proposal has no outcome yet");
            return;
        };
        match outcome {
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
        tracing::info!(%step, ?order, "telling the launcher");
        if let Err(error) = self.launcher.send(order) {
            tracing::error!(%error, "the launcher cannot be reached");
        }
    }

    /// No trial follows from what was ordered: nobody has to wait for one.
    fn refused(&mut self, refused: RefusedActivation) {
        let RefusedActivation { step, unusable_slot } = refused;
        if self.activating == Some(step.epoch) {
            self.activating = None;
        }
        // The launcher found something else in the slot than what was verified once: it is fetched anew, and then ordered
        // at once. For any other reason it is ordered again after a while, if it is still due.
        if let Some(digest) = unusable_slot {
            self.held.remove(&digest);
            self.ordered = None;
        }
    }

    /// Nothing of an earlier level stays: a snapshot is written, and the log behind it goes.
    async fn compact(&mut self) {
        if Instant::now() < self.compact_not_before {
            return;
        }
        self.compact_not_before = Instant::now() + COMPACT_AGAIN;
        match self.app.raft.compact().await {
            Ok(()) => tracing::info!("writing the log anew, at the cluster's level"),
            Err(error) => tracing::warn!(%error, "the log cannot be written anew"),
        }
    }

    /// Asks the unstarted binary on a thread of its own; the answer wakes the agent.
    fn start_preflight(&mut self, digest: Digest, turn: Epoch) {
        if self.asking.is_some() {
            return;
        }
        self.asking = Some(digest);
        let (slots, answers) = (Arc::clone(&self.app.slots), self.preflights.0.clone());
        let launcher_protocol = self.app.launcher_protocol();
        self.helpers.spawn(async move {
            let asked = preflight::ask(slots, digest, launcher_protocol).await;
            // The agent ends with the process.
            let _ = answers.send((digest, turn, asked));
        });
    }

    fn note_preflight(&mut self, digest: Digest, turn: Epoch, asked: Asked) {
        self.asking = None;
        let problem = match asked {
            Asked::Answered(problem) => problem,
            Asked::SlotUnusable(problem) => {
                tracing::warn!(digest = %digest.short(), problem, "the slot was altered: fetching the artifact anew");
                self.held.remove(&digest);
                return;
            }
        };
        let answer = PreflightResult { digest, turn, problem };
        if let Some(problem) = &answer.problem {
            tracing::warn!(digest = answer.digest.short(), %problem, "the release would not start here");
        }
        let keeps = if answer.problem.is_some() { PREFLIGHT_AGAIN } else { PREFLIGHT_ANEW };
        self.preflight = Some(answer);
        self.preflight_not_before = Instant::now() + keeps;
    }

    /// A problem may have been mended since, or made: the binary is asked again, if its answer still matters.
    fn forget_old_preflight(&mut self) {
        if self.asking.is_none() && Instant::now() >= self.preflight_not_before {
            self.preflight = None;
        }
    }

    fn start_fetch(&mut self, wanted: Wanted) {
        if self.fetching.is_some() || Instant::now() < self.fetch_not_before {
            return;
        }
        self.fetching = Some(wanted.digest);
        let (client, slots) = (self.app.client.clone(), Arc::clone(&self.app.slots));
        let done = self.fetched.0.clone();
        self.helpers.spawn(async move {
            let outcome = fetch(&client, &slots, &wanted).await.map(|_| ()).map_err(|error| chain(&error));
            // The agent ends with the process.
            let _ = done.send(Fetched { digest: wanted.digest, outcome });
        });
    }

    /// Removes the slots that nobody needs any more, when what has to stay has changed: those of quarantined releases,
    /// say. Nothing else of this agent happens meanwhile.
    async fn tidy_slots(&mut self, facts: &LocalFacts) {
        let app = Arc::clone(&self.app);
        let Ok(_alone) = app.incoming.try_write() else { return };
        // Looked at only now: what has come in before is in it.
        let view = Arc::clone(&app.raft.applied().borrow());
        let Some(kept) = kept_slots(&view.state, facts) else { return };
        if kept == self.kept {
            return;
        }
        let (slots, keep) = (Arc::clone(&app.slots), kept.iter().copied().collect::<Vec<_>>());
        let removed = ironcache_host::exec::spawn_blocking(move || slots.collect_garbage(&keep)).await;
        // Also after a failure: it is tried again at the next change, not all the time.
        self.kept = kept;
        match removed {
            Ok(Ok(removed)) => {
                for digest in removed {
                    tracing::info!(digest = %digest.short(), "slot removed: nobody needs it any more");
                    self.held.remove(&digest);
                }
            }
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "slots that nobody needs stay"),
            Err(error) => tracing::error!(%error, "tidying the slots ended badly"),
        }
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

/// Is a trial about to end for want of a cluster?
fn is_cut_off(trial: Trial, now_unix_ms: u64, unheard_ms: u64) -> bool {
    let Trial { step: _, confirm_timeout_ms, deadline_unix_ms } = trial;
    let patience_ms = confirm_timeout_ms / GIVE_UP_FRACTION;
    // A clock that was set back does not make the trial longer than it is.
    let left_ms = deadline_unix_ms.saturating_sub(now_unix_ms).min(confirm_timeout_ms);
    left_ms <= patience_ms && unheard_ms >= patience_ms / 2
}

async fn keep_contact(app: Arc<App>, heard: watch::Sender<Instant>) {
    while !heard.is_closed() {
        let asked = Instant::now();
        if let Ok(Ok(_)) = tokio::time::timeout(CONTACT_MAX, app.raft.confirm_index()).await {
            heard.send_replace(asked);
        }
        tokio::time::sleep(CONTACT_EVERY).await;
    }
}

/// What the cluster is told of the binary that this process runs: what its own manifest says.
async fn own_info(app: &App) -> Result<ReleaseInfo, Box<dyn std::error::Error + Send + Sync>> {
    #[cfg(not(turmoil))]
    let artifact =
        background::run(|| inspect(&mut std::fs::File::open("/proc/self/exe")?)).await??.artifact()?;
    // A simulated process runs no file; its launcher started it from this slot.
    #[cfg(turmoil)]
    let (artifact, _) = {
        let (slots, digest) = (Arc::clone(&app.slots), app.release.digest);
        background::run(move || slots.artifact(&digest)).await??
    };
    let Artifact { release: _, size_bytes, manifest } = artifact;
    let Manifest { version: _, levels, launcher_protocol, min_from, critical: _ } = manifest;
    let (release, hold) = (app.release.clone(), StageHold::None);
    Ok(ReleaseInfo { release, size_bytes, min_from, levels, launcher_protocol, hold })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::PlanId;

    #[test]
    fn only_a_silent_cluster_near_the_end_of_a_trial_cuts_it_off() {
        let step = StepRef { plan: PlanId(1), epoch: Epoch(9) };
        let trial = Trial { step, confirm_timeout_ms: 60_000, deadline_unix_ms: 1_060_000 };
        let cases = [
            (1_000_000, 60_000, false, "there is time left for the cluster to come back"),
            (1_044_999, 60_000, false, "still"),
            (1_045_000, 60_000, true, "a quarter is left: in time for the launcher to hear of it"),
            (
                1_059_999,
                300,
                false,
                "the cluster is there, and does not accept the trial: that is no isolation",
            ),
            (1_070_000, 60_000, true, "the deadline has passed by this clock"),
            (5, 60_000, false, "the clock was set back"),
        ];
        for (now_unix_ms, unheard_ms, expected, why) in cases {
            assert_eq!(is_cut_off(trial, now_unix_ms, unheard_ms), expected, "{why}");
        }
    }
}
