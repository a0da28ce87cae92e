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
    Inconclusive { reason: String },
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
    /// It does not speak the launcher's protocol.
    Protocol {
        problem: String,
    },
    /// It ran, and no confirmation came in time.
    DeadlineMissed {
        confirm_timeout_ms: u64,
    },
    /// The launcher ended during the last attempt that was allowed.
    Interrupted {},
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
            Failure::DeadlineMissed { confirm_timeout_ms } => {
                write!(f, "was not confirmed within {confirm_timeout_ms} ms")
            }
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
            Verdict::Inconclusive { reason } => write!(f, "inconclusive: {reason}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, release, verdict } = self;
        write!(f, "{step}: {release} {verdict}")
    }
}
