//! Identifiers and counters.
//!
//! *Invariant:* what is drawn at random is text wherever a person or a script may read it. JavaScript and jq
//! round numbers above 2^53, and a rounded id names nobody. Counters stay numbers: they do not get there.

use crate::hex_id::hex_id;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A node's identity, drawn once when its data directory is made. Shown as 16 hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

hex_id!(NodeId(u64), "a node id");

impl NodeId {
    /// The 40 hex digits that `CLUSTER MYID` and `CLUSTER NODES` show: Redis clients expect this length.
    pub fn redis_id(self) -> String {
        format!("{:016x}{:024x}", self.0, 0)
    }
}

/// Drawn fresh at each start of a node's process; a role belongs to (node, incarnation), so that a
/// restarted process never inherits what its predecessor was trusted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

hex_id!(Incarnation(u64), "an incarnation");

/// One life of one node: what primaries and in-sync sets are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    pub node: NodeId,
    pub incarnation: Incarnation,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, incarnation } = self;
        write!(f, "{node}/{incarnation}")
    }
}

/// A shard's number, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A value of the cluster's one monotonic counter. Ownership, in-sync set and step epochs are
/// separate compare targets, all drawn from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    pub fn next(self) -> Self {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A position in a shard's replication stream, in bytes of frames since the shard was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A rollout's number, from 1, in the order in which plans were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlanId(pub u64);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names one attempt of one caller, so that a command whose outcome is unknown can be sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

hex_id!(RequestId(u128), "a request id");

/// Names one cluster, drawn when it is created. Every RPC, replication link and checkpoint carries it, so
/// that a node never takes part in two clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

hex_id!(ClusterId(u128), "a cluster id");
