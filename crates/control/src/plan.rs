//! A rollout to one target, and what is remembered of it.

use crate::policy::{FinalizeAfter, OnFailure, Policy};
use crate::reason::Reason;
use ironcache_types::{Digest, Epoch, NodeId, PlanId, Release, ShardId};
use std::collections::BTreeMap;
use std::fmt;

/// What a plan copies of the policy when it starts, and what an operator may choose for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Nodes out at the same time, each in another shard. At least 1.
    pub max_parallel: u16,
    /// How long a replica must have been in sync before it counts as settled, in ms.
    pub settle_ms: u64,
    /// How long one node may be out before the plan is held, in ms.
    pub step_timeout_ms: u64,
    pub finalize_after: FinalizeAfter,
    pub on_failure: OnFailure,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Policy::default().plan_options()
    }
}

/// Who wanted a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedBy {
    Operator,
    /// A staged release that the policy admits.
    Policy,
}

/// Which way a plan goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    /// Turned round: the target is what the cluster ran before.
    Back {
        reason: Reason,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub id: PlanId,
    pub started_by: StartedBy,
    pub direction: Direction,
    /// What most nodes ran when the plan began: where a rollback leads. After a turn, what is left.
    pub origin: Release,
    pub target: Release,
    /// Fresh at the start and when the plan is turned round: what nodes prove for it (a preflight) names it.
    pub turn: Epoch,
    pub options: PlanOptions,
    pub phase: Phase,
    /// The plan's own epoch: fresh at every change of phase.
    pub epoch: Epoch,
    /// Who led raft when the plan began, or was turned round.
    pub start_leader: NodeId,
    /// Who was primary when the plan began, or was turned round: they go last.
    pub start_primaries: BTreeMap<ShardId, NodeId>,
    pub steps: Vec<StepRecord>,
    pub handovers: Vec<HandoverRecord>,
    /// The proposer's clock when the plan was accepted, Unix ms.
    pub started_at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every node fetches, verifies and preflights the artifact, every shard is raised to in-sync.
    Staging,
    Rolling,
    /// By an operator.
    Paused,
    /// By a failure; `resume` tries again, `abort` ends the plan where it stands.
    Held {
        reason: HoldReason,
    },
    /// A rollback is wanted: no step begins, and those under way come to their end; then the plan is turned round.
    TurningBack {
        reason: Reason,
    },
    /// Every node runs the target, and nothing is final: the cluster level has not risen, and a rollback is possible.
    ///
    /// How long it has soaked is what leaders counted, each by its own monotonic clock, and never a difference of two times
    /// of day: those of two nodes may be days apart.
    Soaking {
        /// The proposer's clock when the last node had been confirmed, Unix ms; for people.
        since_ms: u64,
        /// What leaders have counted of the soak so far, in ms. At most the whole of it.
        soaked_ms: u64,
    },
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Staging => f.write_str("staging"),
            Phase::Rolling => f.write_str("rolling"),
            Phase::Paused => f.write_str("paused"),
            Phase::Held { .. } => f.write_str("held"),
            Phase::TurningBack { .. } => f.write_str("turning back"),
            Phase::Soaking { .. } => f.write_str("soaking"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// The new binary failed on this node, which went back to the old one. The digest is quarantined.
    StepFailed { node: NodeId, reason: Reason },
    /// The node went back although the binary was not at fault (cut off during its trial, say).
    StepInconclusive { node: NodeId, reason: Reason },
    /// The node has been out for longer than the plan allows.
    StepTimedOut { node: NodeId, waited_ms: u64 },
    /// Nodes disagree on the state at the same log index.
    StateMismatch { node: NodeId, log_index: u64 },
    /// What the shard acknowledges is in one process only: another failure would lose it.
    Exposed { shard: ShardId },
}

impl HoldReason {
    /// The node that the plan waits for, if it is one.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            HoldReason::StepFailed { node, reason: _ }
            | HoldReason::StepInconclusive { node, reason: _ }
            | HoldReason::StepTimedOut { node, waited_ms: _ }
            | HoldReason::StateMismatch { node, log_index: _ } => Some(*node),
            HoldReason::Exposed { shard: _ } => None,
        }
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HoldReason::StepFailed { node, reason } => write!(
                f,
                "node {node} could not run the release and went back to its old binary: {reason}; the release is \
                 quarantined: `ironcache cluster upgrade rollback` takes everybody back (by itself, unless `on-failure` \
                 is `hold`), `ironcache cluster upgrade abort` ends the plan where it stands; then stage a mended release"
            ),
            HoldReason::StepInconclusive { node, reason } => write!(
                f,
                "node {node} went back to its old binary without proof against the release: {reason}; \
                 `ironcache cluster upgrade resume` tries again"
            ),
            HoldReason::StepTimedOut { node, waited_ms } => write!(
                f,
                "node {node} has been out for {waited_ms} ms; look at its log. Once it is back: `ironcache cluster \
                 upgrade resume`; if it is lost: `ironcache cluster replace-node OLD HOST:PORT` and \
                 `resume`, or `ironcache cluster upgrade abort`"
            ),
            HoldReason::StateMismatch { node, log_index } => write!(
                f,
                "node {node} holds another control state at log index {log_index}; `ironcache cluster upgrade rollback` \
                 takes everybody back to what they agreed on"
            ),
            HoldReason::Exposed { shard } => write!(
                f,
                "what shard {shard} acknowledges is in one process only; the plan goes on by itself as soon as another \
                 node keeps it, or two are in sync"
            ),
        }
    }
}

/// What a node was when its step began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepRole {
    Replica,
    /// The plan-start primary: demoted by a handover before its step.
    Primary,
    Witness,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Committed out; not confirmed yet.
    Out,
    Confirmed,
    Failed {
        reason: Reason,
    },
    Inconclusive {
        reason: Reason,
    },
    /// The plan was aborted while the node was out.
    SetAside,
}

/// One node's step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    pub node: NodeId,
    /// What the node was to run: after a turn, a plan has steps to either release.
    pub target: Digest,
    pub shard: Option<ShardId>,
    pub role: StepRole,
    /// Did this node lead raft when the plan began?
    pub led_raft: bool,
    pub epoch: Epoch,
    pub state: StepState,
    /// The proposers' clocks, Unix ms.
    pub began_at_ms: u64,
    pub ended_at_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoverRecord {
    pub shard: ShardId,
    pub from: NodeId,
    pub to: NodeId,
    pub epoch: Epoch,
    /// How long the old primary held commands back, in microseconds; `None` until it has reported.
    pub stall_us: Option<u64>,
}

/// A plan that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub plan: Plan,
    pub outcome: Outcome,
    pub ended_at_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Finalized,
    Aborted,
    /// Everybody is back on what the plan started from.
    RolledBack,
    /// An operator's plan took the place of one that the policy had started, before its first step.
    Superseded,
}

impl Plan {
    /// Does the plan hold every shard in mode `in-sync`? Soaking does not: no step is near.
    pub fn holds_mode(&self) -> bool {
        match self.phase {
            Phase::Staging
            | Phase::Rolling
            | Phase::Paused
            | Phase::Held { .. }
            | Phase::TurningBack { .. } => true,
            Phase::Soaking { .. } => false,
        }
    }

    pub fn goes_back(&self) -> bool {
        match self.direction {
            Direction::Forward => false,
            Direction::Back { .. } => true,
        }
    }

    /// The release that the plan was started for, whichever way it goes now.
    pub fn wanted(&self) -> &Release {
        if self.goes_back() { &self.origin } else { &self.target }
    }

    /// What ran before it was started.
    pub fn before(&self) -> &Release {
        if self.goes_back() { &self.target } else { &self.origin }
    }

    /// The phase in an operator's words.
    pub fn phase_word(&self) -> String {
        match (&self.direction, &self.phase) {
            (Direction::Back { .. }, Phase::Rolling) => "rolling back".to_owned(),
            (Direction::Back { .. } | Direction::Forward, phase) => phase.to_string(),
        }
    }
}
