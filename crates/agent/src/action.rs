//! What a node does next.

use ironcache_control::Command;
use ironcache_types::{Digest, Epoch, Incarnation, PlanId, Release, Version};
use std::fmt;

/// One action. The caller carries it out, takes fresh facts and asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Propose `RegisterNode` for this process.
    Register,
    /// Propose `RegisterRelease` for what this process runs: a cluster knows, and can go back to, what it began with.
    RegisterRunning,
    /// Download an artifact and verify it: length, digest, signature.
    Fetch {
        digest: Digest,
        size_bytes: u64,
        version: Version,
        /// Peer addresses of nodes that hold it, in the order to try them.
        sources: Vec<String>,
    },
    /// Propose `ReportStaged`.
    ReportStaged {
        digest: Digest,
    },
    /// Ask the unstarted binary whether it would start here.
    Preflight {
        digest: Digest,
        turn: Epoch,
    },
    /// Propose this `ReportPreflight`.
    ReportPreflight(Command),
    /// Write anew what is older than the cluster's level: a snapshot, and the log behind it goes.
    Compact,
    /// Propose this `LevelReached`.
    ReportLevelReached(Command),
    /// Drain, checkpoint, and ask the launcher to run `target` on trial for `step`.
    Activate {
        step: Epoch,
        plan: PlanId,
        target: Release,
    },
    /// Ask the launcher to make the trial final, durably.
    ConfirmTrial {
        step: Epoch,
    },
    /// Ask the launcher to go back to the old binary; the outcome is inconclusive.
    AbandonTrial {
        step: Epoch,
        reason: String,
    },
    /// Propose this `Confirmed`.
    ReportConfirmed(Command),
    /// Propose this `StepFailed`.
    ReportFailed(Command),
    /// Propose this `Rejoin`.
    Rejoin(Command),
    Wait(Waiting),
    /// Everything is as it should be.
    Nothing,
}

/// Why the agent does nothing now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The applied state may be an old one.
    LogNotCurrent,
    NotAMember,
    /// A newer process of this node is registered: this one has no role any more.
    Superseded {
        mine: Incarnation,
        registered: Incarnation,
    },
    Fetching {
        digest: Digest,
    },
    NoSource {
        version: Version,
    },
    /// The primary may still count on this node's acknowledgement.
    PrimaryHasNotApplied {
        applied: u64,
        needed: u64,
    },
    PrimarySilent {
        told_ms_ago: u64,
        max_ms: u64,
    },
    /// The role has not left this node: a step for it should not exist.
    HoldsARole,
    /// On the new binary; the leader has not accepted the trial yet.
    TrialNotAccepted {
        step: Epoch,
    },
    /// On trial for the right step, and not with the binary that the step names.
    TrialRunsOther {
        step: Epoch,
        running: Release,
    },
    /// The plan was aborted after this process had ordered the activation: the launcher may still carry it out.
    ActivationMayFollow {
        step: Epoch,
    },
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogNotCurrent => {
                f.write_str("catching up with the log; the present leader's commit index counts")
            }
            Self::NotAMember => f.write_str("this node is not part of the cluster"),
            Self::Superseded { mine, registered } => {
                write!(
                    f,
                    "process {registered} of this node is registered, and this one is {mine}; stop this one"
                )
            }
            Self::Fetching { digest } => write!(f, "downloading artifact {}", digest.short()),
            Self::NoSource { version } => write!(f, "0 nodes hold the artifact of {version}; 1 needed"),
            Self::PrimaryHasNotApplied { applied, needed } => {
                write!(
                    f,
                    "the primary has applied log entry {applied}; {needed} needed before this node stops"
                )
            }
            Self::PrimarySilent { told_ms_ago, max_ms } => {
                write!(
                    f,
                    "the primary cannot be asked since {told_ms_ago} ms; going without it at {max_ms} ms"
                )
            }
            Self::HoldsARole => {
                f.write_str("this node is still primary or in sync; the role has to leave first")
            }
            Self::TrialNotAccepted { step } => {
                write!(f, "on trial for step {step}; the leader has not accepted it yet")
            }
            Self::ActivationMayFollow { step } => {
                write!(
                    f,
                    "step {step} was aborted, and the launcher has been told to carry it out; it may still"
                )
            }
            Self::TrialRunsOther { step, running } => {
                write!(f, "on trial for step {step}, but running {running}, which is not what the step names")
            }
        }
    }
}
