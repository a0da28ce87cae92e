//! What the leader sees: the answers of the nodes, and how long things have been going on.

use crate::cannot_keep::CannotKeep;
use ironcache_types::{Epoch, Member, NodeId, Offset, Release, ShardId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The observer's monotonic clock; compared with [`Timers::handover_not_before_ms`] only.
    pub now_ms: u64,
    /// The observer, which leads raft.
    pub leader: NodeId,
    /// Has the leader applied an entry of its own term? Before that its state may be an old one.
    pub leader_settled: bool,
    /// The term in which it leads; named by what may depose a primary.
    pub term: u64,
    /// The lease of each shard's owner, as far as this leader knows. A missing one runs.
    pub leases: BTreeMap<ShardId, LeaseObservation>,
    /// The newest answer of each node, the leader's own included. Nodes that never answered are missing.
    pub nodes: BTreeMap<NodeId, NodeObservation>,
    /// From [`crate::LeaderMemory::note`].
    pub timers: Timers,
    /// Who belongs to raft's group, by the newest entry of the leader's log that says so.
    pub raft: RaftGroup,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftGroup {
    pub voters: BTreeSet<NodeId>,
    /// Half of a change of the voters is done: those of before and of after are all in `voters`.
    pub is_joint: bool,
    pub learners: BTreeSet<NodeId>,
}

impl RaftGroup {
    pub fn contains(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learners.contains(&node)
    }
}

/// For how long the owner of a shard has asked in vain, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseObservation {
    pub unanswered_ms: u64,
    /// After which no lease of it can run any more.
    pub over_after_ms: u64,
}

impl LeaseObservation {
    pub fn is_over(self) -> bool {
        self.unanswered_ms >= self.over_after_ms
    }

    /// For how long nobody can have answered clients.
    pub fn over_for_ms(self) -> u64 {
        self.unanswered_ms.saturating_sub(self.over_after_ms)
    }

    /// Half of the time is gone, and an owner in order asks every quarter of a lease.
    pub fn is_running_out(self) -> bool {
        self.unanswered_ms >= self.over_after_ms / 2
    }
}

/// One node's newest answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeObservation {
    /// The age of the answer.
    pub seen_ms_ago: u64,
    /// The life of the node that answered.
    pub member: Member,
    pub release: Release,
    /// Does it serve its role? A witness: follows the log. What it does for a shard is in `data`.
    pub ready: bool,
    /// How far its applied log is behind the leader's commit index.
    pub raft_lag_entries: u64,
    /// At the newest indexes at which every node hashes its state; oldest first. Several, so that busy nodes meet.
    pub state_hashes: Vec<StateHash>,
    /// Why the node cannot change its binary (a degraded launcher, or none), if so.
    pub cannot_upgrade: Option<String>,
    /// Why the node cannot keep the tail of a shard, if so.
    pub cannot_keep: Option<CannotKeep>,
    /// `None` for a witness.
    pub data: Option<DataObservation>,
}

/// The hash of the replicated state after the entry at `log_index`. Only hashes of one index can be compared, so nodes
/// keep those of the newest indexes divisible by some agreed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateHash {
    pub log_index: u64,
    pub hash: u64,
}

/// What a data plane says of itself. It tells under which epochs: an answer from before a promotion says nothing about
/// the primary that the log names now, however young it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataObservation {
    pub shard: ShardId,
    pub duty: Duty,
    /// The epoch of the in-sync set that it acts by.
    pub isr_epoch: Epoch,
    /// A primary: the end of its stream. A replica: what it has applied.
    pub offset: Offset,
    /// What it could begin with as a primary. `None`: it reads its dataset still, or has not said.
    pub holds: Option<Holding>,
    /// Attached replicas; only a primary reports them.
    pub replicas: Vec<ReplicaObservation>,
}

/// What a node holds of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    Nothing,
    /// Everything below `offset`; `epoch` is of the newest primary whose start it has reached.
    UpTo {
        epoch: Epoch,
        offset: Offset,
        /// When it was written to the node's disk, Unix ms, if it was read from there and is unchanged.
        as_of_ms: Option<u64>,
    },
    /// All that the shard's last owner had when it stopped in order: the node takes the shard back by itself.
    Sealed {
        offset: Offset,
    },
}

/// What a node does for its shard, and under which ownership epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It has taken up the role of primary.
    Serves(Epoch),
    /// Its dataset is whole, and its link to the primary of this epoch is up.
    Follows(Epoch),
    /// It loads, connects or syncs; or it has not said.
    Neither,
}

/// A replica as its primary sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaObservation {
    pub member: Member,
    pub applied: Offset,
    pub lag_bytes: u64,
    /// Is it still receiving the dataset?
    pub syncing: bool,
    /// How long it has been in sync without a break, in ms.
    pub in_sync_for_ms: u64,
}

/// How long things have been going on, as the present leader saw them. Missing means: just begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// Nodes that are out.
    pub out_for_ms: BTreeMap<NodeId, u64>,
    /// Shards without a primary.
    pub recovering_ms: BTreeMap<ShardId, u64>,
    /// Handovers in flight.
    pub handover_age_ms: BTreeMap<ShardId, u64>,
    /// After failed attempts: no new handover before this time of [`Observation::now_ms`].
    pub handover_not_before_ms: BTreeMap<ShardId, u64>,
    /// A plan that soaks: what the log had counted when this leader saw it first, and what has passed since.
    pub soaked_ms: Option<u64>,
}
