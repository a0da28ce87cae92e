//! How a step on this node ended, in the words that the log and people get.

use ironcache_types::{Epoch, PlanId, Release};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names the committed step that an activation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRef {
    pub plan: PlanId,
    pub epoch: Epoch,
}

impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, epoch } = self;
        write!(f, "plan {plan} step {epoch}")
    }
}

/// What became of the last step: the restarted daemon reports it to the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub step: StepRef,
    /// The release that was on trial.
    pub release: Release,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// The new release runs, and the log confirmed it.
    Confirmed {},
    /// The new release failed on this node, and is quarantined here.
    Failed { failure: Failure, attempts: u32 },
    /// The trial says nothing about the release: back to the old one, nothing quarantined.
    Inconclusive { cause: Cause },
}

/// Why a trial says nothing about the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case", deny_unknown_fields)]
pub enum Cause {
    /// The daemon gave it up: it was isolated, say, or the plan was aborted.
    Abandoned { reason: String },
    /// It ran and was ready, and no confirmation came in time: catching up may take long.
    NotConfirmed { confirm_timeout_ms: u64 },
    /// Its time passed while the node was down.
    TimePassed {},
    /// The slot could not be used when the attempt was due.
    SlotUnusable { problem: String },
    /// The data directory or the log is above what the release admits, or below.
    LevelNotAdmitted {},
    /// The release and the launcher have no version of their protocol in common.
    LauncherProtocol {},
}

impl Cause {
    /// The cause in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::Abandoned { .. } => "abandoned",
            Cause::NotConfirmed { .. } => "not_confirmed",
            Cause::TimePassed {} => "time_passed",
            Cause::SlotUnusable { .. } => "slot_unusable",
            Cause::LevelNotAdmitted {} => "level_not_admitted",
            Cause::LauncherProtocol {} => "launcher_protocol",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Abandoned { reason } => write!(f, "{reason}"),
            Cause::NotConfirmed { confirm_timeout_ms } => {
                write!(f, "it ran and was not confirmed within {confirm_timeout_ms} ms of its start")
            }
            Cause::TimePassed {} => write!(f, "its time passed while the node was down"),
            Cause::SlotUnusable { problem } => write!(f, "{problem}"),
            Cause::LevelNotAdmitted {} => write!(f, "it does not admit the level that this node is at"),
            Cause::LauncherProtocol {} => {
                write!(f, "it speaks no version of the launcher protocol that is spoken here")
            }
        }
    }
}

/// How one attempt of a release failed on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case", deny_unknown_fields)]
pub enum Failure {
    Exited {
        code: i32,
    },
    Killed {
        signal: i32,
    },
    /// No heartbeat for `silent_ms`.
    Hung {
        silent_ms: u64,
    },
    NotReady {
        waited_ms: u64,
    },
    /// The kernel would not execute it.
    CannotStart {
        problem: String,
    },
    /// What it said is no message of the launcher protocol.
    Protocol {
        problem: String,
    },
    /// The launcher ended during the last attempt that was allowed.
    Interrupted {},
}

impl Failure {
    /// The failure in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Failure::Exited { .. } => "exited",
            Failure::Killed { .. } => "killed",
            Failure::Hung { .. } => "hung",
            Failure::NotReady { .. } => "not_ready",
            Failure::CannotStart { .. } => "cannot_start",
            Failure::Protocol { .. } => "protocol",
            Failure::Interrupted {} => "interrupted",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Exited { code } => write!(f, "exited with code {code}"),
            Failure::Killed { signal } => write!(f, "was killed by signal {signal}"),
            Failure::Hung { silent_ms } => write!(f, "hung: no heartbeat for {silent_ms} ms"),
            Failure::NotReady { waited_ms } => write!(f, "was not ready after {waited_ms} ms"),
            Failure::CannotStart { problem } => write!(f, "could not be started: {problem}"),
            Failure::Protocol { problem } => write!(f, "broke the launcher protocol: {problem}"),
            Failure::Interrupted {} => {
                write!(f, "used up its attempts, the last one cut short with its launcher")
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Confirmed {} => write!(f, "confirmed"),
            Verdict::Failed { failure, attempts } => write!(f, "failed: it {failure} (attempt {attempts})"),
            Verdict::Inconclusive { cause } => write!(f, "inconclusive: {cause}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, release, verdict } = self;
        write!(f, "{step}: {release} {verdict}")
    }
}
