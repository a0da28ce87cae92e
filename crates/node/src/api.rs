//! The administration API of the HTTP port, as JSON. The command line and scripts speak it.
//!
//! | method and path | body | answer |
//! | --- | --- | --- |
//! | `GET /livez` `/readyz` | | 200, or 503 with the reason as text |
//! | `GET /metrics` | | Prometheus exposition |
//! | `GET /status` | | [`NodeStatus`]: this node's own view |
//! | `POST /v1/cluster/create` | [`CreateCluster`] | [`Done`]; to one pristine node, which becomes the first leader |
//! | `GET /v1/cluster` | | [`ClusterStatus`]: the leader's view |
//! | `POST /v1/releases` | the binary itself | [`StagedRelease`] |
//! | `GET /v1/releases` | | `Vec<`[`StagedRelease`]`>` |
//! | `POST /v1/upgrade/plan` | [`PlanRequest`] | [`PlanAnswer`] |
//! | `GET /v1/upgrade` | | [`UpgradeStatus`] |
//! | `POST /v1/upgrade/pause` `resume` `abort` | | [`Done`] |
//!
//! Every node answers every path; what only the leader knows is forwarded to it. Errors are
//! [`ApiError`]: 409 with `refused` for a guardrail, 503 when the leader cannot be reached, 400 for a bad
//! request.
//!
//! Ids (nodes, incarnations, clusters) and digests are hex text, as people see them; epochs, offsets and other
//! counters are numbers.

use ironcache_control::{ControlState, HistoryEntry, Plan};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, NodeId, Offset, PlanId, Release, ShardId, SlotSet, Version,
    WireRange,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiError {
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<Refused>,
}

/// A guardrail's answer. `code` is stable for scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub code: String,
    pub detail: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    pub done: String,
}

/// One node, as it sees itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub release: Release,
    pub pid: u32,
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    pub wire: WireRange,
    /// `true` until the node has become part of a cluster.
    pub pristine: bool,
    pub launcher: LauncherStatus,
    pub raft: RaftStatus,
    pub data: DataStatus,
    /// Digests of the artifacts this node holds, verified.
    pub staged: Vec<Digest>,
    /// `None` before the cluster exists.
    pub control: Option<ControlState>,
    /// Hash of the control state at `raft.last_applied`, in hex.
    pub state_hash: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LauncherStatus {
    /// `idle`, `trial`, `rolling-back`, or `none` when the daemon runs without a launcher.
    pub phase: String,
    /// Why upgrades are refused on this node, if they are.
    pub degraded: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RaftStatus {
    /// The cluster whose raft group this node has joined; it may not be founded yet.
    #[serde(default)]
    pub cluster: Option<ClusterId>,
    pub leader: Option<NodeId>,
    pub is_leader: bool,
    pub term: u64,
    pub voters: Vec<NodeId>,
    pub learners: Vec<NodeId>,
    pub last_log: u64,
    pub last_applied: u64,
    pub committed: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataStatus {
    /// `primary`, `replica`, `candidate`, `syncing` or `none`.
    pub role: String,
    pub shard: Option<ShardId>,
    pub keys: u64,
    pub offset: Offset,
    pub clients: u64,
    /// On a primary: every attached replica.
    pub replicas: Vec<ReplicaStatus>,
    /// On a replica: is the link to the primary up, and the dataset whole?
    pub link_up: bool,
    pub in_sync: bool,
    /// The ownership epoch under which it serves as primary, if it does.
    #[serde(default)]
    pub serves: Option<Epoch>,
    /// The ownership epoch of the primary that it follows with its dataset whole, if it does.
    #[serde(default)]
    pub follows: Option<Epoch>,
    /// The epoch of the in-sync set that it acts by; 0 without a shard.
    #[serde(default)]
    pub isr_epoch: Epoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub applied: Offset,
    pub lag_bytes: u64,
    pub syncing: bool,
    pub in_sync: bool,
    /// How long it has been in sync without a break, in ms.
    pub in_sync_for_ms: u64,
}

/// `POST /v1/cluster/create`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateCluster {
    pub nodes: Vec<CreateNode>,
    pub shards: Vec<CreateShard>,
    /// `primary` or `in-sync`: the steady mode of acknowledgement.
    pub mode: ironcache_control::AckMode,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateNode {
    /// `host:port` of the node's HTTP port: everything else is asked there.
    pub http_addr: String,
    pub node: NodeId,
    pub voter: bool,
    /// `None` makes it a witness.
    pub shard: Option<ShardId>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateShard {
    pub id: ShardId,
    pub slots: SlotSet,
    /// The first is the primary.
    pub nodes: Vec<NodeId>,
}

/// The leader's view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub leader: NodeId,
    pub term: u64,
    pub control: ControlState,
    /// What each node last said of itself; nodes that have not answered for some seconds are missing.
    pub nodes: BTreeMap<NodeId, NodeBrief>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeBrief {
    pub release: Release,
    pub data: DataStatus,
    pub ready: bool,
    /// How old this answer is, in ms.
    pub seen_ms_ago: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StagedRelease {
    pub release: Release,
    pub size_bytes: u64,
    /// How many nodes hold it, of how many.
    pub held_by: usize,
    pub nodes: usize,
    pub quarantined: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanRequest {
    pub target: Version,
    pub dry_run: bool,
    pub max_parallel: Option<u16>,
    pub settle_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// `None` for a dry run.
    pub plan: Option<PlanId>,
    pub from: Version,
    pub target: Release,
    /// What will happen, in order, for people.
    pub steps: Vec<String>,
}

/// `GET /v1/upgrade`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpgradeStatus {
    pub leader: NodeId,
    /// The active plan.
    pub plan: Option<Plan>,
    /// What the coordinator waits for now, for people: each with its numbers.
    pub waiting_on: Vec<String>,
    /// Ended plans, oldest first.
    pub history: Vec<HistoryEntry>,
    pub nodes: Vec<UpgradeNode>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpgradeNode {
    pub node: NodeId,
    pub client_addr: String,
    pub shard: Option<ShardId>,
    /// `primary`, `replica` or `witness`.
    pub role: String,
    pub leader: bool,
    pub release: Release,
    /// `waiting`, `staged`, `out`, `trial`, `confirmed` (on the target), `failed`.
    pub step: String,
    pub in_sync: bool,
    pub reachable: bool,
}
