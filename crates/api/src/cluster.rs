//! A cluster: how one is asked for, and how its leader sees it.

use crate::control::{AckMode, ControlView};
use crate::node::DataStatus;
use crate::security::CreateKeys;
use crate::waiting_on::WaitingOn;
use ironcache_types::{NodeId, Release, ShardId, SlotRange, SlotSet};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// `POST /v1/cluster/create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateCluster {
    pub nodes: Vec<CreateNode>,
    pub shards: Vec<CreateShard>,
    /// The steady mode of acknowledgement.
    pub mode: AckMode,
    /// Settings of the cluster that differ from their defaults, as text by key.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// `None` makes an insecure cluster, which each of its nodes has to permit.
    #[serde(default)]
    pub security: Option<CreateKeys>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateNode {
    /// `host:port` of the node's HTTP port: everything else is asked there.
    pub http_addr: String,
    pub node: NodeId,
    pub voter: bool,
    /// `None` makes it a witness.
    pub shard: Option<ShardId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateShard {
    pub id: ShardId,
    #[serde(deserialize_with = "strict_slots")]
    pub slots: SlotSet,
    /// The first is the primary.
    pub nodes: Vec<NodeId>,
}

/// `POST /v1/cluster/recover`: a shard that lost every member of its in-sync set goes on with what is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    pub shard: ShardId,
    pub accept_loss: bool,
}

/// A slot set as a request has it: the type itself is in answers too, and lenient.
fn strict_slots<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SlotSet, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Range {
        start: u16,
        end: u16,
    }
    let ranges = Vec::<Range>::deserialize(deserializer)?;
    Ok(SlotSet(ranges.into_iter().map(|Range { start, end }| SlotRange { start, end }).collect()))
}

/// `GET /v1/cluster`: the leader's view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub leader: NodeId,
    pub term: u64,
    pub control: ControlView,
    /// What each node last said of itself; nodes that have not answered for some seconds are missing.
    pub nodes: BTreeMap<NodeId, NodeBrief>,
    /// What the leader waits for before it does more.
    #[serde(default)]
    pub waiting_on: Vec<WaitingOn>,
    /// Where the cluster's nodes serve clients: reasons and steps name nodes by their ids.
    #[serde(default)]
    pub addresses: BTreeMap<NodeId, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBrief {
    pub release: Release,
    pub data: DataStatus,
    pub ready: bool,
    /// How old this answer is, in ms.
    pub seen_ms_ago: u64,
}
