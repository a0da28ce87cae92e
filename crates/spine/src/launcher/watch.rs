//! One daemon's life under the launcher's eye: its messages, its silence, its end.
//!
//! ```text
//!   ticks grow       ──> it does not hang            (a slow command ticks, too)
//!   work_bytes grow  ──> Ready, a confirmation, its end: whatever it is waited for, the time begins anew
//! ```
//! *Invariant:* a deadline runs only while nothing advances.
//! *Invariant:* within a turn messages are read before timers are looked at, and time in which the
//! launcher itself did not run is held against nobody: perhaps the whole machine stood still, and the daemon with it. It is
//! judged by the time at which the launcher woke, and every deadline is moved by what the launcher overslept.
//! *Invariant:* what a daemon said before it died is acted on.

use super::LauncherError;
use super::child::{Daemon, Heard};
use super::orphans;
use super::supervisor::{End, Supervisor, poll};
use crate::exit::DaemonExit;
use crate::outcome::{Cause, Failure, StepRef};
use crate::protocol::{self, LAUNCHER_PROTOCOL, Refusal, Request, StopReason, ToDaemon, ToLauncher};
use crate::state::{Event, Phase};
use ironcache_store::LevelFile;
use ironcache_types::{Digest, Manifest, WireRange, chain};
use rustix::event::{PollFd, PollFlags};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How a daemon's life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Asked {
        reason: StopReason,
        exit: DaemonExit,
    },
    /// Code 0, and nobody had asked.
    ExitedCleanly,
    /// The node must not go on under its id.
    WentBack,
    Failed(Failure),
    /// This release and this node do not go together. Nobody is to blame: no crash, no attempt, no quarantine.
    DoesNotRun {
        exit: DaemonExit,
        cause: Cause,
    },
}

pub(super) struct Watch {
    pub(super) daemon: Daemon,
    /// The version of the protocol that was agreed on, once the daemon has greeted.
    greeted: Option<u16>,
    ready_since: Option<Instant>,
    /// When the work last advanced: at first the start of the daemon.
    advanced: Instant,
    work_bytes: u64,
    /// When the ticks last grew, or something else proved that the daemon runs.
    ticked: Instant,
    ticks: Option<u64>,
    /// When the launcher last woke.
    woke: Instant,
    stopping: Option<Stopping>,
    /// Set when SIGKILL was sent: why.
    condemned: Option<Why>,
}

struct Stopping {
    reason: StopReason,
    terminate_at: Option<Instant>,
    kill_at: Option<Instant>,
}

/// A daemon ends by itself when its time is over, and says what that cost; only one that does not even do that is killed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The launcher wakes at least so many times in the time of a hang: of a pause no more than one of these parts counts.
const LOOKS: u32 = 8;

/// What a timer asks for.
#[derive(Clone, Copy)]
enum Due {
    Terminate,
    Kill,
    NotReady,
    Hung,
    TrialOver,
}

impl Supervisor {
    /// Serves the daemon until it is gone; also says for how long it was ready.
    pub(super) fn watch(&mut self, mut watch: Watch) -> Result<(Why, Duration), End> {
        if watch.is_ready() {
            // Another launcher had told it, in this process; said twice it is as true.
            self.tell_ready();
        }
        loop {
            self.notify.beat(Instant::now());
            self.wait(&mut watch);
            let asked = self.signals.take();
            // Before it is ready it has yet to read them, and may not know the signal yet, whose default would end it.
            if asked.reread && watch.is_ready() {
                watch.daemon.hang_up();
                self.notify.reloaded();
            }
            if asked.stop {
                self.stop(&mut watch, StopReason::Operator);
            }
            // Looked at before the messages are: whatever an ended daemon said is there by then.
            let ended = watch.daemon.has_ended();
            orphans::reap(Some(watch.daemon.id()));
            self.hear(&mut watch);
            if ended {
                let status = watch.daemon.reap().map_err(LauncherError::Wait)?;
                let served = watch.ready_since.map_or(Duration::ZERO, |since| since.elapsed());
                return Ok((watch.why(status), served));
            }
            let woke = watch.woke;
            for (at, due) in self.timers(&watch) {
                if at <= woke {
                    self.act(&mut watch, due, woke);
                }
            }
            self.hand_over_if_due(&watch);
        }
    }

    fn wait(&mut self, watch: &mut Watch) {
        let began = Instant::now();
        let timers = self.timers(watch);
        let due = timers.iter().map(|(at, _)| *at).chain(self.notify.next_beat()).min();
        let look = self.config.limits.hang_timeout() / LOOKS;
        let timeout = due.map_or(look, |at| at.saturating_duration_since(began).min(look));
        let mut fds = vec![
            PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(&self.signals), PollFlags::IN),
            PollFd::from_borrowed_fd(watch.daemon.pidfd(), PollFlags::IN),
        ];
        if let Some(stream) = watch.daemon.stream() {
            fds.push(PollFd::from_borrowed_fd(stream, PollFlags::IN));
        }
        poll(&mut fds, Some(timeout));
        let woke = Instant::now();
        // Exactly what lies beyond the timer: a deadline that is due is so still. And of a turn what is longer than a look, for the
        // machine may stand still in the middle of one.
        let turn = began.duration_since(watch.woke);
        let overslept = woke.duration_since(began).saturating_sub(timeout) + turn.saturating_sub(look);
        watch.woke = woke;
        watch.postpone(overslept);
        self.trial_ends = self.trial_ends.and_then(|at| at.checked_add(overslept));
    }

    fn timers(&self, watch: &Watch) -> Vec<(Instant, Due)> {
        let limits = &self.config.limits;
        if watch.condemned.is_some() {
            return Vec::new();
        }
        if let Some(Stopping { reason: _, terminate_at, kill_at }) = &watch.stopping {
            let terminate = terminate_at.map(|at| (at, Due::Terminate));
            let kill = kill_at.map(|at| (at, Due::Kill));
            return terminate.into_iter().chain(kill).collect();
        }
        let on_trial = matches!(self.state.phase, Phase::Trial { .. });
        let mut timers = Vec::new();
        if watch.greeted.is_some() {
            timers.push((watch.ticked + limits.hang_timeout(), Due::Hung));
        }
        if watch.greeted.is_none() || on_trial && !watch.is_ready() {
            timers.push((watch.advanced + limits.ready_timeout(), Due::NotReady));
        }
        // One that is not ready in time has a timer of its own, and is judged by it.
        if let Some(at) = self.trial_ends.filter(|_| on_trial && watch.is_ready()) {
            timers.push((at, Due::TrialOver));
        }
        timers
    }

    fn act(&mut self, watch: &mut Watch, due: Due, now: Instant) {
        match due {
            Due::Terminate => {
                watch.daemon.terminate();
                if let Some(stopping) = &mut watch.stopping {
                    stopping.terminate_at = None;
                }
            }
            Due::Kill => {
                tracing::warn!(pid = watch.daemon.id(), "the daemon did not stop in time and is killed");
                watch.daemon.kill();
                if let Some(stopping) = &mut watch.stopping {
                    stopping.kill_at = None;
                }
            }
            Due::NotReady => {
                watch.condemn(Failure::NotReady { waited_ms: ms(now.duration_since(watch.daemon.started)) })
            }
            Due::Hung => watch.condemn(Failure::Hung { silent_ms: ms(now.duration_since(watch.ticked)) }),
            Due::TrialOver => match self.try_record(&Event::DeadlineMissed) {
                Ok(()) => self.stop(watch, StopReason::RollBack),
                Err(refusal) => {
                    tracing::error!(%refusal, "the missed deadline is not recorded yet");
                    self.trial_ends = Some(now + Duration::from_secs(1));
                }
            },
        }
    }

    /// Asks the daemon to stop. An operator's wish outranks another reason to stop, and keeps its timers; a second one
    /// is told the daemon, and takes no time from what advances.
    fn stop(&mut self, watch: &mut Watch, reason: StopReason) {
        let timeout = self.config.limits.stop_timeout();
        if reason == StopReason::Operator {
            self.notify.stopping(timeout + LAST_WORDS, Instant::now());
        }
        let order = ToDaemon::Stop { reason, deadline_ms: ms(timeout) };
        match (&mut watch.stopping, reason) {
            (Some(stopping), StopReason::Operator) => {
                if stopping.reason == StopReason::Operator {
                    tracing::warn!(
                        pid = watch.daemon.id(),
                        "asked to stop again: nothing keeps the daemon now but what advances"
                    );
                    watch.daemon.tell(&order);
                }
                stopping.reason = reason;
            }
            (Some(_), StopReason::Activate | StopReason::RollBack) => {}
            (None, reason) => {
                let now = Instant::now();
                watch.daemon.tell(&order);
                // Whoever has not greeted may not be reading yet; a signal reaches it all the same.
                let terminate_at = if watch.greeted.is_some() { now + timeout / 2 } else { now };
                watch.stopping = Some(Stopping {
                    reason,
                    terminate_at: Some(terminate_at),
                    kill_at: Some(now + timeout + LAST_WORDS),
                });
            }
        }
    }

    /// The daemon has come further: whatever is waited for has all its time again.
    fn advance(&mut self, watch: &mut Watch, ticks: u64, work_bytes: u64) {
        let now = Instant::now();
        if watch.ticks.replace(ticks) != Some(ticks) {
            watch.ticked = now;
        }
        if work_bytes <= watch.work_bytes {
            return;
        }
        watch.work_bytes = work_bytes;
        watch.advanced = now;
        let limits = &self.config.limits;
        let is_stopping =
            watch.stopping.as_ref().is_some_and(|stopping| stopping.reason == StopReason::Operator);
        let within = if is_stopping { limits.stop_timeout() + LAST_WORDS } else { limits.ready_timeout() };
        self.notify.advanced(is_stopping, within, now);
        if let Phase::Trial { confirm_timeout_ms, .. } = self.state.phase {
            self.trial_ends = now.checked_add(Duration::from_millis(confirm_timeout_ms));
        }
        if let Some(Stopping { reason: _, terminate_at, kill_at }) = &mut watch.stopping {
            let timeout = self.config.limits.stop_timeout();
            // What was sent already is not sent again.
            *terminate_at = terminate_at.map(|_| now + timeout / 2);
            *kill_at = kill_at.map(|_| now + timeout + LAST_WORDS);
        }
    }

    fn tell_ready(&mut self) {
        self.notify.ready(&format!("started with release {}", self.running));
    }

    fn hear(&mut self, watch: &mut Watch) {
        match watch.daemon.hear() {
            Heard::Lines(lines) => {
                for line in lines {
                    self.answer(watch, &line);
                }
            }
            Heard::Overlong { len_bytes } => {
                watch.condemn(Failure::Protocol { problem: format!("a message of {len_bytes} bytes") });
            }
        }
    }

    fn answer(&mut self, watch: &mut Watch, line: &[u8]) {
        if let (None, Some(theirs)) = (watch.greeted, protocol::decode_hello(line)) {
            return self.greet(watch, theirs);
        }
        let message = match protocol::decode::<ToLauncher>(line) {
            Ok(message) => message,
            Err(error) if watch.greeted.is_some() => {
                let problem = chain(&error);
                tracing::warn!(pid = watch.daemon.id(), %problem, "a message of the daemon is refused");
                watch.refuse(Request::Unknown {}, Refusal::NotUnderstood { problem });
                return;
            }
            Err(error) => return watch.condemn(Failure::Protocol { problem: chain(&error) }),
        };
        match (watch.greeted.is_some(), message) {
            (false, message) => {
                watch.condemn(Failure::Protocol { problem: format!("{message:?} came before Hello") });
            }
            (true, ToLauncher::Hello { .. }) => {
                let reason = Refusal::NotUnderstood { problem: "a second Hello".to_owned() };
                watch.refuse(Request::Hello {}, reason);
            }
            (true, ToLauncher::Ready {}) => {
                if !watch.is_ready() {
                    tracing::info!(pid = watch.daemon.id(), release = %self.running, "daemon ready");
                    let now = Instant::now();
                    (watch.ready_since, watch.ticked) = (Some(now), now);
                    self.tell_ready();
                }
            }
            (true, ToLauncher::Heartbeat { ticks, work_bytes }) => self.advance(watch, ticks, work_bytes),
            (true, ToLauncher::QueryState {}) => {
                watch.daemon.tell(&ToDaemon::State { snapshot: self.snapshot() });
            }
            (true, ToLauncher::Activate { digest, step, confirm_timeout_ms }) => {
                match self.activate(watch, &digest, step, confirm_timeout_ms) {
                    Ok(()) => {
                        watch.daemon.tell(&ToDaemon::Activating { step });
                        self.stop(watch, StopReason::Activate);
                    }
                    Err(refusal) => watch.refuse(Request::Activate { step }, refusal),
                }
            }
            (true, ToLauncher::Confirm { step }) => match self.try_record(&Event::Confirm { step }) {
                Ok(()) => watch.daemon.tell(&ToDaemon::Confirmed { step }),
                Err(refusal) => watch.refuse(Request::Confirm { step }, refusal),
            },
            (true, ToLauncher::Abandon { step, reason }) => {
                match self.try_record(&Event::Abandon { step, cause: Cause::Abandoned { reason } }) {
                    Ok(()) => self.stop(watch, StopReason::RollBack),
                    Err(refusal) => watch.refuse(Request::Abandon { step }, refusal),
                }
            }
        }
    }

    fn greet(&self, watch: &mut Watch, theirs: WireRange) {
        match protocol::agree(theirs, LAUNCHER_PROTOCOL) {
            Some(version) => {
                watch.greeted = Some(version);
                watch.ticked = Instant::now();
                watch.daemon.tell(&ToDaemon::Hello { protocol: version, snapshot: self.snapshot() });
                #[cfg(feature = "next")]
                if version == LAUNCHER_PROTOCOL.max {
                    watch.daemon.tell(&ToDaemon::Launcher { pid: std::process::id() });
                }
            }
            None => {
                let reason = Refusal::Protocol { theirs, ours: LAUNCHER_PROTOCOL };
                tracing::warn!(pid = watch.daemon.id(), %reason, "the daemon is ended");
                watch.refuse(Request::Hello {}, reason);
                // Without waiting for it to end by itself: it has nothing to put in order.
                let exit = DaemonExit::LauncherProtocol;
                watch.end(Why::DoesNotRun { exit, cause: Cause::LauncherProtocol {} });
            }
        }
    }

    /// Verifies the slot and makes the trial durable.
    fn activate(
        &mut self,
        watch: &Watch,
        digest: &Digest,
        step: StepRef,
        confirm_timeout_ms: u64,
    ) -> Result<(), Refusal> {
        if watch.stopping.is_some() || watch.condemned.is_some() {
            return Err(Refusal::Stopping {});
        }
        if let Some(why) = &self.degraded {
            return Err(Refusal::Degraded { why: why.clone() });
        }
        let (artifact, binary) = self
            .store
            .artifact(digest)
            .map_err(|error| Refusal::SlotUnusable { digest: *digest, problem: chain(&error) })?;
        let Manifest { version: _, levels: admits, launcher_protocol: theirs, min_from: _, critical: _ } =
            artifact.manifest;
        // Found out while the old daemon still runs, and not by stopping it.
        if protocol::agree(theirs, LAUNCHER_PROTOCOL).is_none() {
            return Err(Refusal::Protocol { theirs, ours: LAUNCHER_PROTOCOL });
        }
        match LevelFile::new(&self.config.data_dir).read() {
            Ok(Some(level)) if !admits.admits(level) => return Err(Refusal::Level { level, admits }),
            // One that cannot be read is the daemon's to refuse.
            Ok(_) | Err(_) => {}
        }
        self.try_record(&Event::Activate {
            release: artifact.release,
            step,
            attempts_max: self.config.limits.attempts_max,
            confirm_timeout_ms,
        })?;
        self.verified = Some(binary);
        Ok(())
    }
}

impl Watch {
    pub(super) fn of(daemon: Daemon) -> Self {
        let started = daemon.started;
        Watch {
            daemon,
            greeted: None,
            ready_since: None,
            advanced: started,
            work_bytes: 0,
            ticked: started,
            ticks: None,
            woke: Instant::now(),
            stopping: None,
            condemned: None,
        }
    }

    /// A daemon that has greeted another launcher, in version `protocol`.
    pub(super) fn adopted(daemon: Daemon, protocol: u16, ready: bool) -> Self {
        // The other launcher heard it until a moment ago.
        let ticked = Instant::now();
        let ready_since = ready.then_some(daemon.started);
        Watch { greeted: Some(protocol), ready_since, ticked, ..Watch::of(daemon) }
    }

    /// The version of the protocol that is spoken with the daemon, if that is all there is to say: it has greeted, is heard,
    /// and nobody is about to end it.
    pub(super) fn settled(&self) -> Option<u16> {
        let undisturbed =
            self.stopping.is_none() && self.condemned.is_none() && self.daemon.stream().is_some();
        self.greeted.filter(|_| undisturbed)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// Whatever is waited for has so much longer.
    fn postpone(&mut self, by: Duration) {
        self.advanced += by;
        self.ticked += by;
        if let Some(Stopping { reason: _, terminate_at, kill_at }) = &mut self.stopping {
            for at in [terminate_at, kill_at].into_iter().flatten() {
                *at += by;
            }
        }
    }

    fn refuse(&mut self, request: Request, reason: Refusal) {
        self.daemon.tell(&ToDaemon::Refused { request, reason });
    }

    /// Kills a daemon that failed; the failure stands whatever status it leaves.
    fn condemn(&mut self, failure: Failure) {
        if self.condemned.is_none() {
            tracing::warn!(pid = self.daemon.id(), "the daemon {failure}: it is killed");
            self.end(Why::Failed(failure));
        }
    }

    fn end(&mut self, why: Why) {
        self.daemon.kill();
        self.condemned = Some(why);
    }

    fn why(self, status: ExitStatus) -> Why {
        if let Some(Stopping { reason, .. }) = self.stopping {
            let exit = match status.code() {
                Some(code) => DaemonExit::of(code).unwrap_or(DaemonExit::Failed),
                // What it had not loaded yet is still on the disk.
                None if self.ready_since.is_none() => DaemonExit::Done,
                None => DaemonExit::CutShort,
            };
            return Why::Asked { reason, exit };
        }
        if let Some(why) = self.condemned {
            return why;
        }
        let Some(code) = status.code() else {
            return Why::Failed(Failure::Killed { signal: status.signal().unwrap_or(0) });
        };
        match DaemonExit::of(code) {
            Some(DaemonExit::Done) => Why::ExitedCleanly,
            Some(exit @ (DaemonExit::AboveLevel | DaemonExit::BelowLevel)) => {
                Why::DoesNotRun { exit, cause: Cause::LevelNotAdmitted {} }
            }
            Some(exit @ DaemonExit::LauncherProtocol) => {
                Why::DoesNotRun { exit, cause: Cause::LauncherProtocol {} }
            }
            Some(DaemonExit::LogWentBack) => Why::WentBack,
            Some(DaemonExit::Failed | DaemonExit::Usage | DaemonExit::DatasetLost | DaemonExit::CutShort)
            | None => Why::Failed(Failure::Exited { code }),
        }
    }
}

fn ms(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
