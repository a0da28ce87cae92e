//! Nodes that join and leave.

use crate::BadField;
use crate::entry::v1::members::{AddNode, MembershipDone, NodeLeft, RemoveNode};
use ironcache_control::Command;
use ironcache_types::{Epoch, NodeId};

impl TryFrom<AddNode> for Command {
    type Error = BadField;

    fn try_from(AddNode { spec, replaces, admitted }: AddNode) -> Result<Self, BadField> {
        let (spec, replaces) = (spec.try_into()?, replaces.map(NodeId));
        Ok(Command::AddNode { spec, replaces, admitted: admitted.map(Into::into) })
    }
}

impl From<RemoveNode> for Command {
    fn from(RemoveNode { node }: RemoveNode) -> Self {
        Command::RemoveNode { node: NodeId(node) }
    }
}

impl From<NodeLeft> for Command {
    fn from(NodeLeft { change, node }: NodeLeft) -> Self {
        Command::NodeLeft { change: Epoch(change), node: NodeId(node) }
    }
}

impl From<MembershipDone> for Command {
    fn from(MembershipDone { change }: MembershipDone) -> Self {
        Command::MembershipDone { change: Epoch(change) }
    }
}
