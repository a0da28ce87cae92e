//! What a node knows of its raft group now.

use crate::types::{LogId, TypeConfig, node_id};
use ironcache_types::NodeId;
use openraft::async_runtime::Instant;
use openraft::{RaftMetrics, ServerState};
use std::collections::BTreeMap;

/// Who leads, as far as this node knows. Changes are rare: an election, a transfer, a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaderView {
    pub leader: Option<NodeId>,
    /// Does this node lead? An optimisation, never a safety argument: a new leader may exist already.
    pub is_leader: bool,
    pub term: u64,
}

/// One node's view of the group; indexes are `None` while there is no such entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftView {
    pub node: NodeId,
    pub leader: Option<NodeId>,
    pub is_leader: bool,
    pub term: u64,
    /// In node order.
    pub voters: Vec<NodeId>,
    pub learners: Vec<NodeId>,
    /// The voters are being changed: those of before and of after are both in `voters`, and both have to agree.
    pub is_joint: bool,
    pub last_log: Option<u64>,
    pub last_applied: Option<u64>,
    pub committed: Option<u64>,
    pub snapshot: Option<u64>,
    /// Entries up to here are only in the snapshot.
    pub purged: Option<u64>,
    /// The last entry that each follower is known to hold; empty unless this node leads.
    pub matched: BTreeMap<NodeId, u64>,
    /// Since when a quorum last answered, counted from the sending of the question. `None` unless this
    /// node leads and a quorum ever answered.
    pub quorum_ack_ms: Option<u64>,
    /// Set when raft has stopped on this node: why.
    pub stopped: Option<String>,
}

impl RaftView {
    pub(crate) fn new(metrics: &RaftMetrics<TypeConfig>) -> Self {
        let is_leader = metrics.state == ServerState::Leader;
        let membership = metrics.membership_config.membership();
        let matched = metrics.replication.iter().flatten();
        RaftView {
            node: node_id(metrics.id),
            leader: metrics.current_leader.map(node_id),
            is_leader,
            term: metrics.current_term,
            voters: membership.voter_ids().map(node_id).collect(),
            learners: membership.learner_ids().map(node_id).collect(),
            is_joint: membership.get_joint_config().len() > 1,
            last_log: metrics.last_log_index,
            last_applied: index(metrics.last_applied),
            committed: index(metrics.cluster_committed.max(metrics.local_committed)),
            snapshot: index(metrics.snapshot),
            purged: index(metrics.purged),
            matched: matched.filter_map(|(id, upto)| Some((node_id(*id), index(*upto)?))).collect(),
            quorum_ack_ms: metrics.last_quorum_acked.map(|at| at.elapsed().as_millis() as u64),
            stopped: metrics.running_state.as_ref().err().map(ToString::to_string),
        }
    }
}

fn index(id: Option<LogId>) -> Option<u64> {
    id.map(|id| id.index)
}
