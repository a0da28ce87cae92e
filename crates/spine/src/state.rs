//! Which binary this node runs, and how it changes: a pure state machine.
//!
//! ```text
//!            Activate                    Confirm
//!   Idle ──────────────> Trial ─────────────────────────> Idle (the new one)
//!    ^                     │ attempts used up: quarantine
//!    │     OldStarted      v not confirmed in time, abandoned: no quarantine
//!    └──────────────── RollingBack
//! ```
//!
//! *Invariant:* a step whose epoch is not above `last_done` never starts a trial, so no step flips
//! the binary twice.
//! *Invariant:* `attempts` counts starts, and is raised before each.
//! *Invariant:* a release that failed is in `quarantined` from the moment it stops being run.
//! *Invariant:* the binary changes by `Activate`, and back by `RollingBack`; by nothing else.
//! *Invariant:* the launcher changes only between trials, and never by a trial.
//!
//! The caller's duty: make what [`State::on`] returns durable before acting on it.

use crate::outcome::{Cause, Failure, Outcome, StepRef, Verdict};
use ironcache_types::{Digest, Epoch, Release};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub phase: Phase,
    /// The slot whose launcher is to run. After a trial it follows the active release.
    pub launcher: Digest,
    /// What failed here; the newest last, at most `QUARANTINED_MAX`.
    pub quarantined: Vec<Quarantined>,
    /// The highest epoch of a step that this node ever acted on.
    pub last_done: Epoch,
    pub last_outcome: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    Idle {
        active: Release,
        /// What ran before, kept to go back to.
        rollback: Option<Release>,
    },
    Trial {
        /// The new release.
        active: Release,
        /// The old one: where a failure leads.
        rollback: Release,
        /// What the old one would roll back to, restored if the trial does not end well.
        previous: Option<Release>,
        attempts: u32,
        attempts_max: u32,
        step: StepRef,
        /// How long an attempt may take from its start to its confirmation; bounds the deadline if the clock was set. The
        /// launcher that sees the work advance counts from there: what is on the disk is for one that did not.
        confirm_timeout_ms: u64,
        /// Of the last attempt, in milliseconds since the Unix epoch. None has begun before the old daemon is gone, and its
        /// drain is no part of the trial.
        deadline_unix_ms: Option<u64>,
    },
    RollingBack {
        /// The old release, that runs again.
        to: Release,
        previous: Option<Release>,
        /// The release that is left, and why.
        outcome: Outcome,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    pub digest: Digest,
    pub failure: Failure,
}

/// The log keeps the cluster's quarantine for ever; this is one node's memory of its own failures.
pub(crate) const QUARANTINED_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The daemon asks for the new release, whose slot was verified.
    Activate {
        release: Release,
        step: StepRef,
        attempts_max: u32,
        confirm_timeout_ms: u64,
    },
    /// The release on trial is about to be started.
    AttemptStarts {
        /// Milliseconds since the Unix epoch.
        now_unix_ms: u64,
    },
    /// The operator stopped the node during an attempt, which therefore does not count.
    AttemptWithdrawn,
    AttemptFailed {
        failure: Failure,
    },
    /// The confirmation did not come in time though the release on trial ran and was ready.
    DeadlineMissed,
    /// The log confirmed the step.
    Confirm {
        step: StepRef,
    },
    /// The trial cannot tell anything: back, without quarantine.
    Abandon {
        step: StepRef,
        cause: Cause,
    },
    /// The old release was started after a rollback.
    OldStarted,
    /// The launcher of this slot is the one to run: it is about to take over, or it stays.
    LauncherIs {
        launcher: Digest,
    },
}

/// Why an event does not apply to a state. The state stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "illegal", rename_all = "snake_case", deny_unknown_fields)]
pub enum IllegalTransition {
    #[error("step epoch {epoch} is not above {last_done}, the last one done here: it is not done twice")]
    StepDone { epoch: Epoch, last_done: Epoch },
    #[error("{} is quarantined on this node: it {failure}", digest.short())]
    Quarantined { digest: Digest, failure: Failure },
    #[error("{release} is already the active release")]
    AlreadyActive { release: Release },
    #[error("a trial of {release} for {step} is under way")]
    TrialUnderWay { release: Release, step: StepRef },
    #[error("the node is rolling back from {release} after {step}")]
    RollingBack { release: Release, step: StepRef },
    #[error("no release is on trial")]
    NoTrial {},
    #[error("the release on trial was not started yet")]
    NoAttempt {},
    #[error("all {attempts_max} attempts are used up")]
    AttemptsUsedUp { attempts_max: u32 },
    #[error("the trial under way is for {expected}, not for {step}")]
    OtherStep { step: StepRef, expected: StepRef },
}

impl State {
    /// A node that was never upgraded.
    pub fn new(active: Release) -> Self {
        State {
            launcher: active.digest,
            phase: Phase::Idle { active, rollback: None },
            quarantined: Vec::new(),
            last_done: Epoch(0),
            last_outcome: None,
        }
    }

    /// The release to run in this state.
    pub fn to_run(&self) -> &Release {
        match &self.phase {
            Phase::Idle { active, .. } | Phase::Trial { active, .. } => active,
            Phase::RollingBack { to, .. } => to,
        }
    }

    /// The releases whose slots this state needs.
    pub fn needs(&self) -> Vec<Digest> {
        let (first, others) = match &self.phase {
            Phase::Idle { active, rollback } => (active, [rollback.as_ref(), None]),
            Phase::Trial { active, rollback, previous, .. } => (active, [Some(rollback), previous.as_ref()]),
            Phase::RollingBack { to, previous, .. } => (to, [previous.as_ref(), None]),
        };
        let mut needed: Vec<_> = std::iter::once(first)
            .chain(others.into_iter().flatten())
            .map(|release| release.digest)
            .collect();
        if !needed.contains(&self.launcher) {
            needed.push(self.launcher);
        }
        needed
    }

    /// The state after `event`.
    pub fn on(&self, event: &Event) -> Result<State, IllegalTransition> {
        match (&self.phase, event) {
            (
                Phase::Idle { active, rollback },
                Event::Activate { release, step, attempts_max, confirm_timeout_ms },
            ) => {
                if step.epoch <= self.last_done {
                    return Err(IllegalTransition::StepDone { epoch: step.epoch, last_done: self.last_done });
                }
                if let Some(Quarantined { digest, failure }) =
                    self.quarantined.iter().find(|q| q.digest == release.digest)
                {
                    return Err(IllegalTransition::Quarantined { digest: *digest, failure: failure.clone() });
                }
                if release.digest == active.digest {
                    return Err(IllegalTransition::AlreadyActive { release: active.clone() });
                }
                let phase = Phase::Trial {
                    active: release.clone(),
                    rollback: active.clone(),
                    previous: rollback.clone(),
                    attempts: 0,
                    attempts_max: (*attempts_max).max(1),
                    step: *step,
                    confirm_timeout_ms: *confirm_timeout_ms,
                    deadline_unix_ms: None,
                };
                Ok(State { phase, last_done: step.epoch, ..self.clone() })
            }
            // The answer to the first Confirm may have been lost with the daemon that asked.
            (Phase::Idle { .. }, Event::Confirm { step }) => match &self.last_outcome {
                Some(Outcome { step: done, verdict: Verdict::Confirmed {}, .. }) if done == step => {
                    Ok(self.clone())
                }
                Some(_) | None => Err(IllegalTransition::NoTrial {}),
            },
            (Phase::Idle { .. }, Event::LauncherIs { launcher }) => {
                Ok(State { launcher: *launcher, ..self.clone() })
            }
            (
                Phase::Idle { .. },
                Event::AttemptStarts { .. }
                | Event::AttemptWithdrawn
                | Event::AttemptFailed { .. }
                | Event::DeadlineMissed
                | Event::Abandon { .. }
                | Event::OldStarted,
            ) => Err(IllegalTransition::NoTrial {}),

            (
                Phase::Trial { active, step, .. },
                Event::Activate { .. } | Event::OldStarted | Event::LauncherIs { .. },
            ) => Err(IllegalTransition::TrialUnderWay { release: active.clone(), step: *step }),
            (
                Phase::Trial { attempts, attempts_max, confirm_timeout_ms, .. },
                Event::AttemptStarts { now_unix_ms },
            ) => {
                if attempts >= attempts_max {
                    return Err(IllegalTransition::AttemptsUsedUp { attempts_max: *attempts_max });
                }
                let deadline = now_unix_ms.saturating_add(*confirm_timeout_ms);
                Ok(self.with_attempts(attempts + 1, Some(deadline)))
            }
            // A node that was stopped in order may stay down for as long as it likes.
            (Phase::Trial { attempts, .. }, Event::AttemptWithdrawn) => match attempts.checked_sub(1) {
                Some(attempts) => Ok(self.with_attempts(attempts, None)),
                None => Err(IllegalTransition::NoAttempt {}),
            },
            (Phase::Trial { attempts, attempts_max, .. }, Event::AttemptFailed { failure }) => {
                if *attempts == 0 {
                    Err(IllegalTransition::NoAttempt {})
                } else if attempts < attempts_max {
                    Ok(self.clone())
                } else {
                    Ok(self.failed(failure))
                }
            }
            (Phase::Trial { confirm_timeout_ms, .. }, Event::DeadlineMissed) => {
                let cause = Cause::NotConfirmed { confirm_timeout_ms: *confirm_timeout_ms };
                Ok(self.rolling_back(Verdict::Inconclusive { cause }))
            }
            (Phase::Trial { active, rollback, attempts, step: expected, .. }, Event::Confirm { step }) => {
                if step != expected {
                    return Err(IllegalTransition::OtherStep { step: *step, expected: *expected });
                }
                if *attempts == 0 {
                    return Err(IllegalTransition::NoAttempt {});
                }
                let outcome =
                    Outcome { step: *step, release: active.clone(), verdict: Verdict::Confirmed {} };
                Ok(State {
                    phase: Phase::Idle { active: active.clone(), rollback: Some(rollback.clone()) },
                    last_outcome: Some(outcome),
                    ..self.clone()
                })
            }
            (Phase::Trial { step: expected, .. }, Event::Abandon { step, cause }) => {
                if step != expected {
                    return Err(IllegalTransition::OtherStep { step: *step, expected: *expected });
                }
                Ok(self.rolling_back(Verdict::Inconclusive { cause: cause.clone() }))
            }

            (Phase::RollingBack { to, previous, outcome }, Event::OldStarted) => Ok(State {
                phase: Phase::Idle { active: to.clone(), rollback: previous.clone() },
                last_outcome: Some(outcome.clone()),
                ..self.clone()
            }),
            (
                Phase::RollingBack { outcome, .. },
                Event::Activate { .. }
                | Event::AttemptStarts { .. }
                | Event::AttemptWithdrawn
                | Event::AttemptFailed { .. }
                | Event::DeadlineMissed
                | Event::Confirm { .. }
                | Event::Abandon { .. }
                | Event::LauncherIs { .. },
            ) => Err(IllegalTransition::RollingBack { release: outcome.release.clone(), step: outcome.step }),
        }
    }

    fn with_attempts(&self, count: u32, deadline: Option<u64>) -> State {
        let mut next = self.clone();
        match &mut next.phase {
            Phase::Trial { attempts, deadline_unix_ms, .. } => {
                *attempts = count;
                *deadline_unix_ms = deadline;
            }
            Phase::Idle { .. } | Phase::RollingBack { .. } => {}
        }
        next
    }

    fn failed(&self, failure: &Failure) -> State {
        let attempts = match &self.phase {
            Phase::Trial { attempts, .. } => *attempts,
            Phase::Idle { .. } | Phase::RollingBack { .. } => 0,
        };
        let mut next = self.rolling_back(Verdict::Failed { failure: failure.clone(), attempts });
        let digest = self.to_run().digest;
        next.quarantined.retain(|quarantined| quarantined.digest != digest);
        next.quarantined.push(Quarantined { digest, failure: failure.clone() });
        let excess = next.quarantined.len().saturating_sub(QUARANTINED_MAX);
        next.quarantined.drain(..excess);
        next
    }

    /// From a trial back to the old release; any other phase stays.
    fn rolling_back(&self, verdict: Verdict) -> State {
        let mut next = self.clone();
        if let Phase::Trial { active, rollback, previous, step, .. } = &self.phase {
            let outcome = Outcome { step: *step, release: active.clone(), verdict };
            next.last_outcome = Some(outcome.clone());
            next.phase = Phase::RollingBack { to: rollback.clone(), previous: previous.clone(), outcome };
        }
        next
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Idle { active, rollback: _ } => write!(f, "idle on {active}"),
            Phase::Trial { active, rollback, previous: _, attempts, attempts_max, step, .. } => {
                write!(
                    f,
                    "trial of {active} for {step}, attempt {attempts} of {attempts_max}, back to {rollback}"
                )
            }
            Phase::RollingBack { to, previous: _, outcome } => write!(f, "rolling back to {to} ({outcome})"),
        }
    }
}
