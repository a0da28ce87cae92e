//! One daemon after the other: which binary is next, and what the end of the last one means.

use super::child::{Daemon, Inheritance};
use super::config::LauncherConfig;
use super::listeners;
use super::notify::Notify;
use super::orphans;
use super::signals::StopSignals;
use super::watch::{Watch, Why};
use super::{LauncherError, Stopped};
use crate::binary;
use crate::boot::Boot;
use crate::clock;
use crate::data_dir::{DataDir, DataDirLock};
use crate::exit::DaemonExit;
use crate::outcome::{Cause, Failure};
use crate::protocol::{LAUNCHER_PROTOCOL, Refusal, Snapshot, StopReason};
use crate::slot_store::{SlotError, SlotStore, VerifiedBinary};
use crate::state::{Event, Phase, State};
use crate::state_file::StateFile;
use ironcache_types::{Digest, Release, chain};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

pub(super) struct Supervisor {
    pub(super) config: LauncherConfig,
    pub(super) lock: DataDirLock,
    pub(super) signals: StopSignals,
    /// None while the node cannot start: then clients and peers are refused.
    pub(super) listeners: Vec<(String, OwnedFd)>,
    pub(super) store: SlotStore,
    file: StateFile,
    pub(super) state: State,
    /// What the daemon was started from; an activation that waits for it to end is already in `state`.
    pub(super) running: Release,
    pub(super) degraded: Option<String>,
    /// Hashed when its activation was asked for, so that the time without a daemon is not spent on it.
    pub(super) verified: Option<VerifiedBinary>,
    /// When the attempt under way is over, on the clock that nobody sets: it starts with the new process.
    pub(super) trial_ends: Option<Instant>,
    last_pause: Option<Duration>,
    /// A daemon that another launcher started in this process.
    pub(super) adopted: Option<Watch>,
    /// The active release whose launcher could not take over.
    pub(super) stays_for: Option<Digest>,
    pub(super) hand_over_not_before: Option<Instant>,
    pub(super) notify: Notify,
}

/// Why the supervisor's work is over.
pub(super) enum End {
    Stopped(Stopped),
    Failed(Box<LauncherError>),
}

impl<E: Into<LauncherError>> From<E> for End {
    fn from(error: E) -> Self {
        End::Failed(Box::new(error.into()))
    }
}

/// Between attempts to write a state that must be durable before anything else happens.
const WRITE_RETRY: Duration = Duration::from_secs(1);

impl Supervisor {
    pub(super) fn new(
        config: LauncherConfig,
        dir: &DataDir,
        lock: DataDirLock,
        signals: StopSignals,
        listeners: Vec<(String, OwnedFd)>,
        store: SlotStore,
        boot: Boot,
    ) -> Self {
        let Boot { state, degraded } = boot;
        Supervisor {
            config,
            lock,
            signals,
            listeners,
            store,
            file: StateFile::new(dir),
            running: state.to_run().clone(),
            state,
            degraded,
            verified: None,
            trial_ends: None,
            last_pause: None,
            adopted: None,
            stays_for: None,
            hand_over_not_before: None,
            notify: Notify::of_this_process(),
        }
    }

    pub(super) fn run(mut self) -> Result<Stopped, LauncherError> {
        if let Some(degraded) = &self.degraded {
            tracing::error!(%degraded, "the node runs degraded");
        }
        tracing::info!(state = %self.state.phase, "launcher started");
        match self.resume_trial().and_then(|()| self.supervise()) {
            Ok(stopped) | Err(End::Stopped(stopped)) => {
                tracing::info!(?stopped, "launcher stopped");
                Ok(stopped)
            }
            Err(End::Failed(error)) => Err(*error),
        }
    }

    /// A trial that a former launcher left goes on, unless its time is over.
    fn resume_trial(&mut self) -> Result<(), End> {
        let Phase::Trial { step, deadline_unix_ms, .. } = self.state.phase else {
            return Ok(());
        };
        match deadline_unix_ms {
            // Whatever kept this node down says nothing about the release.
            Some(deadline) if deadline <= clock::unix_ms() => {
                self.record(&Event::Abandon { step, cause: Cause::TimePassed {} })
            }
            // The next attempt has all its time.
            Some(_) | None => Ok(()),
        }
    }

    fn supervise(&mut self) -> Result<Stopped, End> {
        if let Some(watch) = self.adopted.take() {
            let (why, served) = self.watch(watch)?;
            if let Some(stopped) = self.settle(why, served)? {
                return Ok(stopped);
            }
        }
        loop {
            let binary = self.next_binary()?;
            self.running = self.state.to_run().clone();
            if let Err(error) = self.listen() {
                let problem = chain(&error);
                if let Some(stopped) =
                    self.settle(Why::Failed(Failure::CannotStart { problem }), Duration::ZERO)?
                {
                    return Ok(stopped);
                }
                continue;
            }
            let inheritance = Inheritance {
                listeners: &self.listeners,
                lock: self.lock.as_fd(),
                args: &self.config.child_args,
                env: &self.config.child_env,
            };
            let spawned = Daemon::spawn(&binary, &inheritance);
            drop(binary);
            let (why, served) = match spawned {
                Ok(daemon) => {
                    tracing::info!(pid = daemon.id(), release = %self.running, "daemon started");
                    self.note_old_started();
                    let started = daemon.started;
                    self.trial_ends = match self.state.phase {
                        Phase::Trial { confirm_timeout_ms, .. } => {
                            started.checked_add(Duration::from_millis(confirm_timeout_ms))
                        }
                        Phase::Idle { .. } | Phase::RollingBack { .. } => None,
                    };
                    self.watch(Watch::of(daemon))?
                }
                Err(error) => (Why::Failed(Failure::CannotStart { problem: chain(&error) }), Duration::ZERO),
            };
            if let Some(stopped) = self.settle(why, served)? {
                return Ok(stopped);
            }
        }
    }

    /// Binds the sockets anew if nobody was to wait for this daemon.
    fn listen(&mut self) -> Result<(), listeners::ListenersError> {
        if self.listeners.is_empty() {
            self.listeners = listeners::bind(&self.config.listeners)?;
        }
        Ok(())
    }

    /// Whoever waits is reset, and whoever comes is refused: a node that cannot start looks like one that is dead. No
    /// daemon holds the sockets at this moment.
    fn refuse_connections(&mut self) {
        if !self.listeners.is_empty() {
            tracing::error!(release = %self.running, "the node cannot start: clients and peers are refused until it is tried again");
            self.listeners.clear();
        }
    }

    /// Opens the binary that the state says, having made durable that it is about to run.
    fn next_binary(&mut self) -> Result<VerifiedBinary, End> {
        loop {
            match self.state.phase.clone() {
                Phase::Idle { active, .. } | Phase::RollingBack { to: active, .. } => {
                    return match self.open(&active.digest) {
                        Ok(binary) => Ok(binary),
                        Err(source) => {
                            Err(LauncherError::NoBinary { release: active, source: Box::new(source) }.into())
                        }
                    };
                }
                // Only after a restart of the launcher: in its life, settle has seen to it.
                Phase::Trial { attempts, attempts_max, .. } if attempts >= attempts_max => {
                    self.record(&Event::AttemptFailed { failure: Failure::Interrupted {} })?;
                }
                Phase::Trial { active, step, .. } => match self.open(&active.digest) {
                    Ok(binary) => {
                        self.record(&Event::AttemptStarts { now_unix_ms: clock::unix_ms() })?;
                        return Ok(binary);
                    }
                    Err(error) => {
                        let cause = Cause::SlotUnusable { problem: chain(&error) };
                        self.record(&Event::Abandon { step, cause })?;
                    }
                },
            }
        }
    }

    fn open(&mut self, digest: &Digest) -> Result<VerifiedBinary, SlotError> {
        if let Some(binary) = self.verified.take().filter(|binary| binary.digest == *digest) {
            return Ok(binary);
        }
        self.store.open_verified(digest).or_else(|error| {
            // The launcher's own file is as good a source as any, if its bytes are those.
            let own_exe = &self.config.own_exe;
            let own = std::fs::File::open(own_exe).and_then(|mut file| binary::inspect(&mut file));
            if !own.is_ok_and(|own| own.digest == *digest) || self.store.install_file(own_exe).is_err() {
                return Err(error);
            }
            tracing::warn!(error = %chain(&error), "the slot was filled again from the launcher's own binary");
            self.store.open_verified(digest)
        })
    }

    /// What the end of a daemon means; `Some` ends the launcher.
    fn settle(&mut self, why: Why, served: Duration) -> Result<Option<Stopped>, End> {
        let on_trial = matches!(self.state.phase, Phase::Trial { .. });
        let failure = match why {
            Why::Asked { reason: StopReason::Operator, exit } => {
                if exit != DaemonExit::Done {
                    return Err(LauncherError::StoppedBadly { exit }.into());
                }
                if on_trial {
                    // Refused if the attempt had not begun; a failed write costs the release one attempt.
                    if let Err(refusal) = self.try_record(&Event::AttemptWithdrawn) {
                        tracing::debug!(%refusal, "the attempt stays counted");
                    }
                }
                return Ok(Some(Stopped::BySignal));
            }
            Why::Asked { reason: StopReason::Activate | StopReason::RollBack, exit } => {
                if exit != DaemonExit::Done {
                    tracing::error!(release = %self.running, code = exit.code(), "the daemon did not stop in good order");
                }
                self.last_pause = None;
                return Ok(None);
            }
            Why::DoesNotRun { exit, cause } => {
                tracing::warn!(release = %self.running, %cause, "the release does not run here");
                let Phase::Trial { step, .. } = self.state.phase else {
                    let release = self.running.clone();
                    return Err(LauncherError::DoesNotRun { release, exit, cause }.into());
                };
                self.record(&Event::Abandon { step, cause })?;
                self.last_pause = None;
                return Ok(None);
            }
            // Whatever is on trial is not to blame, and another start finds the same.
            Why::WentBack => return Err(LauncherError::WentBack.into()),
            Why::ExitedCleanly if !on_trial => return Ok(Some(Stopped::ByDaemon)),
            Why::ExitedCleanly => Failure::Exited { code: 0 },
            Why::Failed(failure) => failure,
        };
        tracing::warn!(release = %self.running, "the daemon {failure}");
        if on_trial {
            self.record(&Event::AttemptFailed { failure })?;
            if let Phase::RollingBack { outcome, .. } = &self.state.phase {
                tracing::error!(%outcome, "rolling back");
                self.last_pause = None;
                return Ok(None);
            }
        }
        let pause = self.config.limits.restart_pause(self.last_pause, served);
        self.last_pause = Some(pause);
        if self.config.limits.refuses_in(pause) {
            self.refuse_connections();
        }
        if self.stopped_within(pause) { Err(End::Stopped(Stopped::BySignal)) } else { Ok(None) }
    }

    /// The old release runs again: the rollback is over. A failed write is made up for by the next start.
    fn note_old_started(&mut self) {
        if !matches!(self.state.phase, Phase::RollingBack { .. }) {
            return;
        }
        if let Err(refusal) = self.try_record(&Event::OldStarted) {
            tracing::warn!(%refusal, "the end of the rollback is not recorded yet");
        }
    }

    /// Makes the state after `event` durable, or leaves everything as it is.
    pub(super) fn try_record(&mut self, event: &Event) -> Result<(), Refusal> {
        let next = self.state.on(event).map_err(|why| Refusal::Illegal { why })?;
        if next == self.state {
            return Ok(());
        }
        if let Err(error) = self.file.write(&next) {
            // The new state may be on the disk; the old one, that stays in force, goes over it.
            if let Err(again) = self.file.write(&self.state) {
                tracing::error!(error = %chain(&again), "the state on the disk may be ahead of the one in force");
            }
            return Err(Refusal::StateNotWritten { problem: chain(&error) });
        }
        self.state = next;
        tracing::info!(state = %self.state.phase, "state");
        Ok(())
    }

    /// Makes the state after `event` durable, however long the disk takes to allow it. `event`
    /// must be one that the phase admits.
    fn record(&mut self, event: &Event) -> Result<(), End> {
        loop {
            match self.try_record(event) {
                Ok(()) => return Ok(()),
                Err(refusal @ Refusal::Illegal { .. }) => {
                    unreachable!("the supervisor records what its phase admits: {event:?}: {refusal}")
                }
                Err(refusal) => tracing::error!(%refusal, "the node waits for its disk"),
            }
            self.refuse_connections();
            if self.stopped_within(WRITE_RETRY) {
                return Err(End::Stopped(Stopped::BySignal));
            }
        }
    }

    /// Waits; true if the operator's signal came meanwhile.
    fn stopped_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let now = Instant::now();
            self.notify.beat(now);
            let next = self.notify.next_beat().map_or(until, |beat| until.min(beat));
            poll(&mut [PollFd::new(&self.signals, PollFlags::IN)], Some(next.saturating_duration_since(now)));
            if self.signals.take().stop {
                self.notify.stopping(Duration::ZERO, now);
                return true;
            }
            orphans::reap(None);
            if Instant::now() >= until {
                return false;
            }
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            running: self.running.clone(),
            state: self.state.clone(),
            degraded: self.degraded.clone(),
            heartbeat_ms: self.config.limits.heartbeat_ms,
            launcher_protocol: LAUNCHER_PROTOCOL,
        }
    }
}

/// Waits for one of `fds`, at most `timeout`. An interruption is as good as a timeout: whoever
/// waits looks again.
pub(super) fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match rustix::event::poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => {
            tracing::error!(%error, "poll failed");
            // Out of kernel memory at worst: not to be met with a busy loop.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
