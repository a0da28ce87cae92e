//! One node, as it sees itself.

use crate::control::ControlView;
use crate::security::Believes;
use crate::unknown::{Unknown, words};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, LevelRange, MachineId, NodeId, Offset, Release, ShardId, WireRange,
};
use serde::{Deserialize, Serialize};

/// `GET /status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub release: Release,
    pub pid: u32,
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    /// The port, on the same host as `client_addr`, that clients are sent to which came by TLS.
    #[serde(default)]
    pub tls_port: Option<u16>,
    /// The levels that its release reads and writes at.
    pub levels: LevelRange,
    /// The protocols that the running launcher speaks.
    #[serde(default)]
    pub launcher_protocol: Option<WireRange>,
    /// Where it runs.
    #[serde(default)]
    pub machine: MachineId,
    /// What its raft runs by, which all nodes of a cluster have to have in common.
    #[serde(default)]
    pub timers: Option<RaftTimers>,
    /// `true` until the node has become part of a cluster.
    pub pristine: bool,
    /// Its settings permit that it belongs to an insecure cluster.
    #[serde(default)]
    pub insecure: bool,
    /// Whom it believes now, whatever its settings would permit.
    #[serde(default)]
    pub believes: Option<Believes>,
    pub launcher: LauncherStatus,
    pub raft: RaftStatus,
    pub data: DataStatus,
    /// Digests of the artifacts this node holds, verified.
    pub staged: Vec<Digest>,
    /// `None` before the cluster exists.
    pub control: Option<ControlView>,
    /// Hash of the control state at `raft.last_applied`, in hex.
    pub state_hash: String,
    /// What `/readyz` answers instead of "ok", at the same moment as the rest.
    #[serde(default)]
    pub not_ready: Option<String>,
}

/// In ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftTimers {
    pub heartbeat_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LauncherStatus {
    pub phase: LauncherPhase,
    /// Why upgrades are refused on this node, if they are.
    pub degraded: Option<String>,
    /// Its process, as it says itself.
    #[cfg(feature = "next")]
    #[serde(default)]
    pub pid: Option<u32>,
}

words! {
    pub enum LauncherPhase {
        /// The daemon runs without a launcher.
        Absent = "none",
        Idle = "idle",
        /// A new binary is being tried.
        Trial = "trial",
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Why the node counts for no vote and no acknowledgement, if its log is older than what the cluster has heard of it,
    /// and how it comes back.
    #[serde(default)]
    pub went_back: Option<String>,
    /// A majority has compared this process' log, and that is on its disk: the log may name its life.
    #[serde(default)]
    pub admitted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataStatus {
    pub role: DataRole,
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
    /// What it could begin with as a primary; nothing is said while it reads its dataset.
    #[serde(default)]
    pub holds: Option<Holding>,
    /// `None` without a TLS port.
    #[serde(default)]
    pub tls: Option<TlsStatus>,
    /// On a replica: how often its primary has told it the time.
    #[cfg(feature = "next")]
    #[serde(default)]
    pub clocks_heard: u64,
}

/// What clients by TLS are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsStatus {
    /// Of the certificate in force; `None` while there is none that can be used.
    pub certificate_sha256: Option<String>,
    /// Why the files as they are now are not in force.
    pub problem: Option<String>,
}

/// Why a node cannot keep the tail of another shard's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CannotKeep {
    /// Its disk has so much free, and so much of it is left to the node itself.
    Full { free_bytes: u64, reserve_bytes: u64 },
    /// Its disk takes nothing.
    Disk { error: String },
    #[serde(untagged)]
    Unknown(Unknown),
}

/// What a node holds of its shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holding {
    Nothing,
    /// Everything below `offset`; `epoch` is of the newest primary whose start it has reached.
    UpTo {
        epoch: Epoch,
        offset: Offset,
        /// When it was written to the node's disk, Unix ms, if it was read from there and is unchanged.
        #[serde(default)]
        as_of_ms: Option<u64>,
    },
    /// All that the shard's last owner had when it stopped in order: the node takes the shard back by itself.
    Sealed {
        offset: Offset,
    },
    #[serde(untagged)]
    Unknown(Unknown),
}

words! {
    /// What a node does with its dataset at this moment.
    pub enum DataRole {
        /// It holds none: a witness, or no cluster yet.
        Absent = "none",
        /// It reads its dataset in.
        Loading = "loading",
        Primary = "primary",
        Replica = "replica",
        /// A replica that is being handed its shard.
        Candidate = "candidate",
        /// A replica that receives the dataset.
        Syncing = "syncing",
        /// A replica that its primary has told the time.
        Timed = "timed-replica" if feature "next",
    }
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
