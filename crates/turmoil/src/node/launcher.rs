//! The launcher of one host: which release its daemon is, by the `state` on the host's disk.
//!
//! ```text
//!   boot: state ─► trial? attempt counted, durable ─► daemon ─┬─ Activate: slot verified, trial durable ─► stop ─┐
//!     ▲                                                       ├─ Confirm: idle durable                           │
//!     │                                                       ├─ Abandon, or time is up: back, durable ─► stop ──┤
//!     └────────────── the host is started anew ◄──────────────┴─ ended by itself: attempt failed, durable ◄──────┘
//! ```
//! Files, slots and the state machine are the released ones (`spine`), over the simulated disk. What stands in for the
//! launcher's process is this loop: a daemon is a task instead of a child, and launcher and daemon die together, since a
//! host has one process. A hang is not simulated, so nobody watches for one.
//!
//! *Invariant (I11):* whatever moment a host dies at, its launcher boots: on the very state that it last made durable, and
//! on a slot whose bytes are what its name says.
//! *Invariant:* no node that the log gives a role is flipped: who activates is out, no primary and in no in-sync set.

use super::release;
use super::world::World;
use ironcache_host::exec::disk_takes_its_time;
use ironcache_node::{Config, DaemonError, Shown, SimulatedLauncher, run_simulated};
use ironcache_spine::{
    Boot, Cause, DaemonExit, DataDir, Event, Failure, LAUNCHER_PROTOCOL, LevelFile, Phase, Refusal, Request,
    SlotStore, Snapshot, State, StateFile, StepRef, StopReason, ToDaemon, ToLauncher, boot, unix_ms,
};
use ironcache_store::disk;
use ironcache_types::{Digest, Release, chain};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::{Instant, sleep_until};

/// As a released launcher's.
const ATTEMPTS_MAX: u32 = 3;
const HEARTBEAT_MS: u64 = 1_000;
/// A released launcher kills what does not advance for so long after it was told to stop.
const STOP_MAX: Duration = Duration::from_millis(10_000);
/// Far away: what is not waited for.
const NEVER: Duration = Duration::from_secs(1_000_000);
/// What the machine was set up with.
const IMAGE_DIR: &str = "/image";

struct Launcher {
    world: Rc<World>,
    id: u64,
    store: SlotStore,
    data_dir: PathBuf,
    file: StateFile,
    state: State,
    running: Release,
    orders: UnboundedSender<ToDaemon>,
    stopping: Option<(StopReason, Instant)>,
    work_bytes: u64,
}

/// Boots, and runs one daemon to its end or until the host dies.
pub(crate) async fn run(world: Rc<World>, id: u64, config: Config, shown: Shown) -> turmoil::Result {
    let (order, orders) = mpsc::unbounded_channel();
    let (hears, mut said) = mpsc::unbounded_channel();
    let (stop, mut stops) = mpsc::unbounded_channel();
    let mut launcher = match Launcher::boot(Rc::clone(&world), id, &config, order) {
        Ok(launcher) => launcher,
        Err(problem) => {
            world.violate(format!("the launcher of n{id} does not start: {problem}"));
            return std::future::pending().await;
        }
    };
    launcher.next_release().await;
    world.begin_life(id, stop, launcher.running.clone());
    let trial_ends = match launcher.state.phase {
        Phase::Trial { confirm_timeout_ms, .. } => Instant::now() + Duration::from_millis(confirm_timeout_ms),
        Phase::Idle { .. } | Phase::RollingBack { .. } => Instant::now() + NEVER,
    };
    let given = SimulatedLauncher { snapshot: launcher.snapshot(), orders, hears };
    let mut daemon = std::pin::pin!(run_simulated(config, given, shown));
    if let Phase::RollingBack { .. } = launcher.state.phase {
        launcher.record(&Event::OldStarted).await;
    }
    let ended = loop {
        let stuck_at = launcher.stopping.map_or(Instant::now() + NEVER, |(_, since)| since + STOP_MAX);
        tokio::select! {
            ended = &mut daemon => break Some(ended),
            Some(message) = said.recv() => launcher.take(message).await,
            Some(()) = stops.recv() => launcher.stop(StopReason::Operator),
            () = sleep_until(trial_ends), if launcher.is_tried() => {
                launcher.record(&Event::DeadlineMissed).await;
                launcher.stop(StopReason::RollBack);
            }
            () = sleep_until(stuck_at), if launcher.stopping.is_some() => break None,
        }
    };
    launcher.settle(ended).await;
    // Whatever the daemon had spawned ends with its process: the host is started anew.
    world.ended(id);
    std::future::pending().await
}

impl Launcher {
    fn boot(
        world: Rc<World>,
        id: u64,
        config: &Config,
        orders: UnboundedSender<ToDaemon>,
    ) -> Result<Self, String> {
        let dir = DataDir::new(&config.data_dir);
        let image = image().map_err(|error| format!("its image: {error}"))?;
        let store = SlotStore::open(&dir).map_err(|error| chain(&error))?;
        let Boot { state, degraded } = boot(&dir, &store, &image).map_err(|error| chain(&error))?;
        if let Some(degraded) = degraded {
            return Err(degraded);
        }
        let durable = world.state_of(id).unwrap_or_else(|| state.clone());
        if durable != state {
            return Err(format!("its state went back from {durable:?} to {state:?}"));
        }
        world.note_state(id, &state);
        let running = state.to_run().clone();
        Ok(Launcher {
            world,
            id,
            store,
            data_dir: config.data_dir.clone(),
            file: StateFile::new(&dir),
            state,
            running,
            orders,
            stopping: None,
            work_bytes: 0,
        })
    }

    /// Makes durable what is about to run.
    async fn next_release(&mut self) {
        if let Phase::Trial { step, deadline_unix_ms: Some(deadline), .. } = self.state.phase
            && deadline <= unix_ms()
        {
            self.record(&Event::Abandon { step, cause: Cause::TimePassed {} }).await;
        }
        if let Phase::Trial { attempts, attempts_max, .. } = self.state.phase {
            if attempts >= attempts_max {
                self.record(&Event::AttemptFailed { failure: Failure::Interrupted {} }).await;
            } else {
                self.record(&Event::AttemptStarts { now_unix_ms: unix_ms() }).await;
            }
        }
        self.running = self.state.to_run().clone();
        if let Err(error) = self.store.open_verified(&self.running.digest) {
            let (id, running) = (self.id, &self.running);
            self.world.violate(format!("n{id} cannot run {running}: {}", chain(&error)));
        }
    }

    /// Is a release on trial in this process, and nobody about to end it?
    fn is_tried(&self) -> bool {
        matches!(self.state.phase, Phase::Trial { .. }) && self.stopping.is_none()
    }

    async fn take(&mut self, message: ToLauncher) {
        match message {
            ToLauncher::Hello { .. } | ToLauncher::Ready {} => {}
            ToLauncher::Heartbeat { ticks: _, work_bytes } => {
                if let (true, Some((_, since))) = (work_bytes != self.work_bytes, &mut self.stopping) {
                    *since = Instant::now();
                }
                self.work_bytes = work_bytes;
            }
            ToLauncher::QueryState {} => self.say(ToDaemon::State { snapshot: self.snapshot() }),
            ToLauncher::Activate { digest, step, confirm_timeout_ms } => {
                match self.activate(&digest, step, confirm_timeout_ms).await {
                    Ok(()) => {
                        self.say(ToDaemon::Activating { step });
                        self.stop(StopReason::Activate);
                    }
                    Err(reason) => {
                        self.say(ToDaemon::Refused { request: Request::Activate { step }, reason });
                    }
                }
            }
            ToLauncher::Confirm { step } => match self.try_record(&Event::Confirm { step }).await {
                Ok(()) => {
                    self.say(ToDaemon::Confirmed { step });
                    // The launcher follows the active release.
                    let launcher = self.running.digest;
                    self.record(&Event::LauncherIs { launcher }).await;
                }
                Err(reason) => self.say(ToDaemon::Refused { request: Request::Confirm { step }, reason }),
            },
            ToLauncher::Abandon { step, reason } => {
                match self.try_record(&Event::Abandon { step, cause: Cause::Abandoned { reason } }).await {
                    Ok(()) => self.stop(StopReason::RollBack),
                    Err(reason) => {
                        self.say(ToDaemon::Refused { request: Request::Abandon { step }, reason });
                    }
                }
            }
        }
    }

    async fn activate(
        &mut self,
        digest: &Digest,
        step: StepRef,
        confirm_timeout_ms: u64,
    ) -> Result<(), Refusal> {
        if self.stopping.is_some() {
            return Err(Refusal::Stopping {});
        }
        let (artifact, _) = self
            .store
            .artifact(digest)
            .map_err(|error| Refusal::SlotUnusable { digest: *digest, problem: chain(&error) })?;
        let admits = artifact.manifest.levels;
        if let Ok(Some(level)) = LevelFile::new(&self.data_dir).read()
            && !admits.admits(level)
        {
            return Err(Refusal::Level { level, admits });
        }
        self.world.check_flip(self.id);
        let release = artifact.release;
        self.try_record(&Event::Activate { release, step, attempts_max: ATTEMPTS_MAX, confirm_timeout_ms })
            .await
    }

    /// What the end of the daemon means; `None`: it was told to stop, nothing advanced, and it is killed.
    async fn settle(&mut self, ended: Option<Result<(), DaemonError>>) {
        let exit = match &ended {
            Some(Ok(())) => DaemonExit::Done,
            Some(Err(error)) => error.exit(),
            None => DaemonExit::CutShort,
        };
        match &ended {
            Some(Err(error)) => tracing::error!(error = chain(error), "the daemon has ended"),
            Some(Ok(())) | None => tracing::info!(?exit, "the daemon has ended"),
        }
        match (self.stopping, exit) {
            (
                _,
                DaemonExit::AboveLevel
                | DaemonExit::BelowLevel
                | DaemonExit::LauncherProtocol
                | DaemonExit::LogWentBack,
            ) => {
                let why = ended.and_then(Result::err).map(|error| chain(&error)).unwrap_or_default();
                self.world.violate(format!("n{} cannot go on: {why}", self.id));
            }
            (Some((StopReason::Operator, _)), _) => {
                if let Err(refusal) = self.try_record(&Event::AttemptWithdrawn).await {
                    tracing::debug!(%refusal, "no attempt is withdrawn");
                }
            }
            (Some((StopReason::Activate | StopReason::RollBack, _)), _) => {}
            (None, _) => {
                let failure = Failure::Exited { code: exit.code().into() };
                if let Err(refusal) = self.try_record(&Event::AttemptFailed { failure }).await {
                    tracing::debug!(%refusal, "no attempt has failed");
                }
            }
        }
    }

    /// Makes the state after `event` durable, which takes as long as a disk does.
    async fn try_record(&mut self, event: &Event) -> Result<(), Refusal> {
        let next = self.state.on(event).map_err(|why| Refusal::Illegal { why })?;
        if next == self.state {
            return Ok(());
        }
        disk_takes_its_time().await;
        self.file.write(&next).map_err(|error| Refusal::StateNotWritten { problem: chain(&error) })?;
        self.world.note_state(self.id, &next);
        tracing::info!(state = %next.phase, "the launcher's state");
        self.state = next;
        Ok(())
    }

    /// The same for an event that the phase admits.
    async fn record(&mut self, event: &Event) {
        if let Err(refusal) = self.try_record(event).await {
            self.world.violate(format!("the launcher of n{} cannot record {event:?}: {refusal}", self.id));
        }
    }

    fn stop(&mut self, reason: StopReason) {
        let since = self.stopping.map_or_else(Instant::now, |(_, since)| since);
        self.stopping.get_or_insert((reason, since));
        let deadline_ms = STOP_MAX.as_millis() as u64 / 2;
        self.say(ToDaemon::Stop { reason, deadline_ms });
    }

    fn say(&self, message: ToDaemon) {
        // A daemon that has ended hears nothing.
        let _ = self.orders.send(message);
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            running: self.running.clone(),
            state: self.state.clone(),
            degraded: None,
            heartbeat_ms: HEARTBEAT_MS,
            launcher_protocol: LAUNCHER_PROTOCOL,
        }
    }
}

/// The binary that a first start installs, as it lies in the machine's image: durable before anything happens to it.
fn image() -> std::io::Result<PathBuf> {
    let path = Path::new(IMAGE_DIR).join("ironcache");
    if !disk::exists(&path)? {
        disk::create_dir_all(Path::new(IMAGE_DIR))?;
        disk::write(&path, release::first().bytes)?;
    }
    Ok(path)
}
