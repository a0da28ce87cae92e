//! A rollout to one target, and what is remembered of it.

use ironcache_types::{Epoch, NodeId, PlanId, Release, ShardId, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What the operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOptions {
    /// Nodes out at the same time, each in another shard. At least 1.
    pub max_parallel: u16,
    /// How long a replica must have been in sync before it counts as settled, in ms.
    pub settle_ms: u64,
    /// How long one node may be out before the plan is held, in ms.
    pub step_timeout_ms: u64,
}

impl Default for PlanOptions {
    fn default() -> Self {
        // Eight shards at a time keeps a large cluster's roll short; the voters' majority bounds it in
        // a small one. 100 ms in sync tells a replica that keeps up from one that is about to fall out.
        // Two minutes cover a full sync of tens of millions of keys.
        Self { max_parallel: 8, settle_ms: 100, step_timeout_ms: 120_000 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    /// The version that most nodes ran when the plan began.
    pub from: Version,
    pub target: Release,
    pub options: PlanOptions,
    pub phase: Phase,
    /// The plan's own epoch: fresh at every change of phase.
    pub epoch: Epoch,
    /// Who led raft when the plan began.
    pub start_leader: NodeId,
    /// Who was primary when the plan began: they go last.
    pub start_primaries: BTreeMap<ShardId, NodeId>,
    pub steps: Vec<StepRecord>,
    pub handovers: Vec<HandoverRecord>,
    /// The proposer's clock when the plan was accepted, Unix ms.
    pub started_at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Every node fetches and verifies the artifact, every shard is raised to in-sync.
    Staging,
    Rolling,
    /// By an operator.
    Paused,
    /// By a failure; `resume` tries again, `abort` ends the plan where it stands.
    Held {
        reason: HoldReason,
    },
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Staging => f.write_str("staging"),
            Phase::Rolling => f.write_str("rolling"),
            Phase::Paused => f.write_str("paused"),
            Phase::Held { .. } => f.write_str("held"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldReason {
    /// The new binary failed on this node, which went back to the old one. The digest is quarantined.
    StepFailed { node: NodeId, reason: String },
    /// The node went back although the binary was not at fault (cut off during its trial, say).
    StepInconclusive { node: NodeId, reason: String },
    /// The node has been out for longer than the plan allows.
    StepTimedOut { node: NodeId, waited_ms: u64 },
    /// Nodes disagree on the state at the same log index.
    StateMismatch { node: NodeId, log_index: u64 },
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HoldReason::StepFailed { node, reason } => write!(
                f,
                "node {node} could not run the release and went back to its old binary: {reason}; the release is \
                 quarantined: `ironcache cluster upgrade abort` ends the plan, then stage a mended release"
            ),
            HoldReason::StepInconclusive { node, reason } => write!(
                f,
                "node {node} went back to its old binary without proof against the release: {reason}; \
                 `ironcache cluster upgrade resume` tries again"
            ),
            HoldReason::StepTimedOut { node, waited_ms } => write!(
                f,
                "node {node} has been out for {waited_ms} ms; look at its log. Once it is back: `ironcache cluster \
                 upgrade resume`; if it is lost: `ironcache cluster upgrade abort`"
            ),
            HoldReason::StateMismatch { node, log_index } => write!(
                f,
                "node {node} holds another control state at log index {log_index}; take it out of service"
            ),
        }
    }
}

/// What a node was when its step began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepRole {
    Replica,
    /// The plan-start primary: demoted by a handover before its step.
    Primary,
    Witness,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Committed out; not confirmed yet.
    Out,
    Confirmed,
    Failed {
        reason: String,
    },
    Inconclusive {
        reason: String,
    },
}

/// One node's step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    pub node: NodeId,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverRecord {
    pub shard: ShardId,
    pub from: NodeId,
    pub to: NodeId,
    pub epoch: Epoch,
    /// How long the old primary held commands back, in microseconds; `None` until it has reported.
    pub stall_us: Option<u64>,
}

/// A plan that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub plan: Plan,
    pub outcome: Outcome,
    pub ended_at_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Finalized,
    Aborted,
}
