//! What a node knows of itself.

use ironcache_control::Reason;
use ironcache_types::{Digest, Epoch, Level, Member, Release};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFacts {
    /// This process.
    pub me: Member,
    pub running: Release,
    /// Has this process applied up to a commit index that the present leader confirmed? Before that the
    /// state may be an old one.
    pub log_is_current: bool,
    pub launcher: LauncherFacts,
    /// Artifacts here, verified.
    pub held: BTreeSet<Digest>,
    /// The download that is under way.
    pub fetching: Option<Digest>,
    /// The log index that my shard's primary has applied, as it said on the link; `None` while it cannot be
    /// asked.
    pub primary_applied: Option<u64>,
    /// The step whose activation this process has ordered from the launcher, and which the launcher has not refused.
    /// The launcher may carry it out at any time from then on, and this process will not live to see it.
    pub activation_ordered: Option<Epoch>,
    /// How long this process has known the step that it is out for, in ms; 0 without one.
    pub told_ms_ago: u64,
    /// On trial: its time is nearly up, and no leader that a majority follows has answered this node lately.
    pub cut_off: bool,
    /// The newest answer of an unstarted binary.
    pub preflight: Option<PreflightResult>,
    /// The lowest level of anything in this node's log and snapshot.
    pub oldest: Level,
    /// Unix ms, for the times that commands keep for people.
    pub now_wall_ms: u64,
}

/// What a binary that is not started said to this node's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreflightResult {
    pub digest: Digest,
    /// Of the plan it was asked for.
    pub turn: Epoch,
    pub problem: Option<Reason>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LauncherFacts {
    pub phase: LauncherPhase,
    /// The newest step that the launcher has carried out, to whatever end.
    pub last_done: Epoch,
    pub last_outcome: Option<StepOutcome>,
    /// Why it refuses upgrades, if it does.
    pub degraded: Option<String>,
    /// The releases whose slots it needs: what it runs, and what it may go back to.
    pub needs: Vec<Digest>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LauncherPhase {
    /// The daemon runs without a launcher: its binary cannot be changed from inside.
    #[default]
    Absent,
    Idle,
    /// The running binary is on trial for this step.
    Trial {
        step: Epoch,
    },
}

/// How the launcher's newest step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOutcome {
    pub step: Epoch,
    pub result: StepResult,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// The new binary is final.
    Done,
    /// The binary is at fault (exit, hang, not ready): back on the old one, and the digest is bad.
    Failed { reason: Reason },
    /// Back on the old binary for a reason that says nothing about the new one.
    Inconclusive { reason: Reason },
}
