//! What the log says of the cluster, as far as anybody outside has a use for it.

use crate::members::MembershipChange;
use crate::plan::{HistoryEntry, Plan};
use crate::release::{Declined, Quarantine, ReleaseInfo};
use crate::security::{Operator, SecurityMode};
use crate::unknown::{Unknown, words};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, KeyHash, Level, LevelRange, MachineId, Member, NodeId, Offset,
    PlanId, Release, ShardId, SlotSet,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The applied control state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlView {
    pub cluster_id: Option<ClusterId>,
    /// The cluster's one counter.
    pub epoch: Epoch,
    /// The feature level that every node may write; it rises only at finalize.
    pub cluster_level: Level,
    pub nodes: BTreeMap<NodeId, Node>,
    pub shards: BTreeMap<ShardId, Shard>,
    pub releases: BTreeMap<Digest, ReleaseInfo>,
    pub quarantined: BTreeMap<Digest, Quarantine>,
    /// Releases that were rolled back, aborted or failed: no policy starts them again.
    #[serde(default)]
    pub declined: BTreeMap<Digest, Declined>,
    /// An aborted plan has left nodes on two releases.
    #[serde(default)]
    pub unfinished: Option<Unfinished>,
    pub plan: Option<Plan>,
    /// The number of the newest plan; 0 before the first.
    pub last_plan: PlanId,
    /// Ended plans, oldest first.
    pub history: Vec<HistoryEntry>,
    /// A node that joins or leaves.
    #[serde(default)]
    pub membership: Option<MembershipChange>,
    /// Nodes that left for good, oldest first.
    #[serde(default)]
    pub removed: Vec<NodeId>,
    /// By what the cluster knows its members; fixed when it is created.
    #[serde(default)]
    pub security: Option<SecurityMode>,
    /// Whoever may operate a cluster with keys, by name.
    #[serde(default)]
    pub operators: Vec<Operator>,
    /// The keys that its nodes prove; empty in a cluster without.
    #[serde(default)]
    pub pins: BTreeMap<NodeId, KeyHash>,
}

/// What an aborted plan left: the next one goes on to its target or back to its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    pub origin: Release,
    pub target: Release,
}

impl ControlView {
    pub fn shard_of_node(&self, node: NodeId) -> Option<&Shard> {
        self.shards.get(&self.nodes.get(&node)?.shard?)
    }

    pub fn voters(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.voter)
    }

    /// Is `node` the primary of a shard now?
    pub fn is_primary_node(&self, node: NodeId) -> bool {
        self.shard_of_node(node).and_then(Shard::primary).is_some_and(|primary| primary.node == node)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// `host:port` that clients are redirected to.
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    /// The port, on the same host as `client_addr`, that clients are sent to which came by TLS.
    #[serde(default)]
    pub tls_port: Option<u16>,
    pub role: NodeRole,
    /// Does the node count towards raft's majority?
    pub voter: bool,
    pub shard: Option<ShardId>,
    pub incarnation: Incarnation,
    /// What the registered process runs.
    pub release: Release,
    /// The levels that its release reads and writes at.
    pub levels: LevelRange,
    /// The oldest level of which the node still holds bytes, if it has said so.
    #[serde(default)]
    pub oldest: Option<Level>,
    /// Digests whose artifact the node holds, verified.
    pub staged: BTreeSet<Digest>,
    /// Set while the node is committed out for a step.
    pub out: Option<OutStep>,
    /// Where its process runs: nodes with the same one are lost together.
    #[serde(default)]
    pub machine: MachineId,
    /// Where it stands, in a cluster whose level has zones.
    #[cfg(feature = "next")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Node {
    pub fn member(&self) -> Member {
        Member { node: self.id, incarnation: self.incarnation }
    }
}

words! {
    pub enum NodeRole {
        Data = "data",
        /// Votes in raft and holds no data.
        Witness = "witness",
    }
}

/// The step that took a node out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutStep {
    pub plan: PlanId,
    /// The step's fence.
    pub epoch: Epoch,
    pub target: Release,
    /// Log index of the entry that took the node out.
    pub log_index: u64,
    pub phase: TrialPhase,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialPhase {
    /// Told to upgrade; the new binary has not registered yet.
    Told,
    /// The leader accepted the trial of this life: the node may make it final.
    Confirming { incarnation: Incarnation },
    /// The plan was ended without the node: it counts as out until it says that no trial of this step runs.
    SetAside,
    #[serde(untagged)]
    Unknown(Unknown),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub id: ShardId,
    pub slots: SlotSet,
    /// The nodes that hold this shard, in the order of the cluster's creation.
    pub nodes: Vec<NodeId>,
    pub ownership: Ownership,
    /// Ownership epoch: fresh at every start of a primary.
    pub epoch: Epoch,
    /// Epoch of the last change of the in-sync set or of the mode.
    pub isr_epoch: Epoch,
    /// The incarnations that a promotion may choose from, the primary's included while it serves.
    pub in_sync: BTreeSet<Member>,
    pub mode: AckMode,
    /// The mode between plans; a plan raises `mode` to in-sync.
    pub steady_mode: AckMode,
    /// Oldest first; bounded.
    pub lineage: Vec<LineageEntry>,
    pub handover: Option<Handover>,
    #[serde(default)]
    pub losses: Losses,
    /// Who holds the tail of its stream while it has one full member left.
    #[serde(default)]
    pub keeper: Option<Keeper>,
    /// Whom the leader wants to keep.
    #[serde(default)]
    pub keeper_wanted: Option<NodeId>,
    /// What it acknowledges is in one process only, while a node of it is out or since its keeper was lost.
    #[serde(default)]
    pub exposed: bool,
}

/// Who holds the tail of a shard's stream, from `from` on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeper {
    pub member: Member,
    pub from: Offset,
    pub base: KeeperBase,
}

words! {
    /// What the tail of a keeper continues.
    pub enum KeeperBase {
        /// What a member took along when it left.
        Leaver = "leaver",
        /// A whole dataset of the keeper's own.
        Own = "own",
    }
}

words! {
    /// Whose stream the candidate of a handover takes to its end.
    pub enum HandoverVia {
        /// The primary's own.
        Primary = "primary",
        /// The primary is gone: its keeper's.
        Keeper = "keeper",
    }
}

/// What a shard is known to have lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// How often it went on although no member of its in-sync set was left.
    pub recoveries: u64,
    /// Of all of them: the bytes of its stream that are known to be gone. There may have been more.
    pub bytes_min: u64,
    /// The newest, oldest first; bounded.
    pub newest: Vec<Recovery>,
}

/// One time that a shard went on with what was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The ownership epoch that began with it.
    pub epoch: Epoch,
    pub to: Member,
    /// Everything below it was kept; 0 is nothing.
    pub at: Offset,
    pub bytes_min: u64,
    /// The members whose data was not waited for any longer.
    pub given_up: BTreeSet<Member>,
    pub by: RecoveredBy,
    /// Unix ms.
    pub at_ms: u64,
    /// When what was kept had been written to a disk, Unix ms: whatever came later is lost. Absent: it was in memory.
    #[serde(default)]
    pub as_of_ms: Option<u64>,
}

words! {
    /// Who accepted a loss.
    pub enum RecoveredBy {
        Policy = "policy",
        Operator = "operator",
    }
}

impl Shard {
    pub fn primary(&self) -> Option<Member> {
        match self.ownership {
            Ownership::Serving(member) => Some(member),
            Ownership::Recovering { .. } | Ownership::Unknown(_) => None,
        }
    }
}

words! {
    /// When the primary may answer a write.
    pub enum AckMode {
        /// At once; an in-sync member may trail by at most the configured lag.
        Primary = "primary",
        /// After every in-sync member has applied it.
        InSync = "in-sync",
    }
}

/// Who executes a shard's commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    Serving(Member),
    /// The primary's process ended, and nobody has taken over yet.
    Recovering {
        last: Member,
    },
    #[serde(untagged)]
    Unknown(Unknown),
}

/// A start of a primary: the ownership epoch, and the offset at which it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageEntry {
    pub epoch: Epoch,
    /// `None` until the promoted node has published it.
    pub start: Option<Offset>,
}

/// A promotion in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Names the attempt.
    pub epoch: Epoch,
    pub from: Member,
    pub to: Member,
    /// Log index of the entry that began it.
    pub log_index: u64,
    #[serde(default = "via_primary")]
    pub via: HandoverVia,
}

fn via_primary() -> HandoverVia {
    HandoverVia::Primary
}
