//! The change of the nodes that is under way.

use crate::state::v1::members::{MembershipChange, MembershipStage};
use ironcache_control as live;
use ironcache_types::{Epoch, NodeId};

impl From<&live::MembershipChange> for MembershipChange {
    fn from(live::MembershipChange { epoch, node, stage }: &live::MembershipChange) -> Self {
        MembershipChange {
            epoch: epoch.0,
            node: node.0,
            stage: match *stage {
                live::MembershipStage::Joining { voter, replaces } => {
                    MembershipStage::Joining { voter, replaces: replaces.map(|node| node.0) }
                }
                live::MembershipStage::Leaving => MembershipStage::Leaving,
                live::MembershipStage::Left => MembershipStage::Left,
            },
        }
    }
}

impl From<MembershipChange> for live::MembershipChange {
    fn from(MembershipChange { epoch, node, stage }: MembershipChange) -> Self {
        live::MembershipChange {
            epoch: Epoch(epoch),
            node: NodeId(node),
            stage: match stage {
                MembershipStage::Joining { voter, replaces } => {
                    live::MembershipStage::Joining { voter, replaces: replaces.map(NodeId) }
                }
                MembershipStage::Leaving => live::MembershipStage::Leaving,
                MembershipStage::Left => live::MembershipStage::Left,
            },
        }
    }
}
