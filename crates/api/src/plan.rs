//! A rollout: where it stands, what it did, how it ended.

use crate::hold::{HoldReason, Reason};
use crate::unknown::{Unknown, words};
use ironcache_types::{Epoch, NodeId, PlanId, Release, ShardId, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    /// The version that the plan leaves behind.
    pub from: Version,
    /// The release that the nodes are taken to: the older one while the plan goes back.
    pub target: Release,
    #[serde(default)]
    pub started_by: StartedBy,
    #[serde(default)]
    pub direction: Direction,
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

words! {
    #[derive(Default)]
    pub enum StartedBy {
        #[default]
        Operator = "operator",
        /// `auto-rollout` admitted the release.
        Policy = "policy",
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    #[default]
    Forward,
    /// What was upgraded goes back.
    Back { reason: Reason },
    #[serde(untagged)]
    Unknown(Unknown),
}

/// What the plan was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOptions {
    /// Nodes out at the same time, each in another shard.
    pub max_parallel: u16,
    /// How long a replica must have been in sync before it counts as settled, in ms.
    pub settle_ms: u64,
    /// How long one node may be out before the plan is held, in ms.
    pub step_timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Every node fetches and verifies the artifact, every shard is raised to in-sync.
    Staging,
    Rolling,
    /// By an operator.
    Paused,
    /// By a failure; it goes no further by itself.
    Held {
        reason: HoldReason,
    },
    /// On its way from forward to back: what is under way ends first.
    TurningBack,
    /// Every node runs the target, and the level has not been raised. `since_ms` is Unix ms.
    Soaking {
        since_ms: u64,
    },
    #[serde(untagged)]
    Unknown(Unknown),
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

words! {
    /// What a node was when its step began.
    pub enum StepRole {
        Replica = "replica",
        /// The plan-start primary: demoted by a handover before its step.
        Primary = "primary",
        Witness = "witness",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Committed out; not confirmed yet.
    Out,
    Confirmed,
    Failed {
        #[serde(flatten)]
        reason: Reason,
    },
    Inconclusive {
        #[serde(flatten)]
        reason: Reason,
    },
    /// The plan was aborted while the node was out.
    SetAside,
    #[serde(untagged)]
    Unknown(Unknown),
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

words! {
    pub enum Outcome {
        Finalized = "finalized",
        Aborted = "aborted",
        /// Every node is back on what it ran before.
        RolledBack = "rolled-back",
        /// An operator's plan took the place of one that the policy had started, before its first step.
        Superseded = "superseded",
    }
}
