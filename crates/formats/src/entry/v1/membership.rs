//! The cluster's creation, and processes that register.

use crate::parts::v1::security::NewSecurity;
use crate::parts::v1::{LevelRange, Member, NodeRole, Policy, ProtocolRange, Release, SlotRange};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InitCluster {
    pub cluster_id: u128,
    pub nodes: Vec<NodeSpec>,
    pub shards: Vec<ShardSpec>,
    pub policy: Policy,
    pub security: NewSecurity,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeSpec {
    pub member: Member,
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    pub role: NodeRole,
    pub voter: bool,
    pub shard: Option<u16>,
    pub release: Release,
    pub levels: LevelRange,
    pub launcher_protocol: ProtocolRange,
    pub machine: u128,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardSpec {
    pub id: u16,
    pub slots: Vec<SlotRange>,
    /// The first is the primary.
    pub nodes: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegisterNode {
    pub member: Member,
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    pub release: Release,
    pub levels: LevelRange,
    pub launcher_protocol: ProtocolRange,
    pub machine: u128,
}
