//! Nodes that join and leave: what is asked, and the change that is under way.

use crate::security::Admitted;
use crate::unknown::Unknown;
use ironcache_types::{Epoch, NodeId, ShardId};
use serde::{Deserialize, Serialize};

/// `POST /v1/cluster/nodes/add`: the node that answers at `http_addr`, which has to be pristine, is to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddNode {
    /// `host:port` of the node's HTTP port: everything else is asked there.
    pub http_addr: String,
    pub node: NodeId,
    /// `None` makes it a witness.
    pub shard: Option<ShardId>,
    /// Without a vote, even if one more could vote.
    #[serde(default)]
    pub learner: bool,
    /// In a cluster with keys.
    #[serde(default)]
    pub admitted: Option<Admitted>,
}

/// `POST /v1/cluster/nodes/replace`: as [`AddNode`], in the place of `old`, which leaves afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceNode {
    pub old: NodeId,
    pub http_addr: String,
    pub node: NodeId,
    /// In a cluster with keys.
    #[serde(default)]
    pub admitted: Option<Admitted>,
}

/// `POST /v1/cluster/nodes/remove`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveNode {
    pub node: NodeId,
}

/// The one change of the cluster's nodes that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipChange {
    pub epoch: Epoch,
    pub node: NodeId,
    pub stage: MembershipStage,
}

impl MembershipChange {
    /// Is `node` one of those that the change is about?
    pub fn is_about(&self, node: NodeId) -> bool {
        let replaced = match &self.stage {
            MembershipStage::Joining { voter: _, replaces } => *replaces,
            MembershipStage::Leaving | MembershipStage::Left | MembershipStage::Unknown(_) => None,
        };
        self.node == node || replaced == Some(node)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MembershipStage {
    /// Raft takes the node in.
    Joining { voter: bool, replaces: Option<NodeId> },
    /// It gives up what roles it has.
    Leaving,
    /// It is not of the cluster any more; raft lets it go.
    Left,
    #[serde(untagged)]
    Unknown(Unknown),
}
