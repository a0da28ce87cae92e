//! The change of the nodes that is under way.

use ironcache_api::{ControlView, MembershipStage};
use ironcache_types::NodeId;

/// One line; `None` while nobody joins or leaves.
pub fn change(control: &ControlView) -> Option<String> {
    let change = control.membership.as_ref()?;
    let named = |node: NodeId| match control.nodes.get(&node) {
        Some(known) => format!("{node} ({})", known.client_addr),
        None => node.to_string(),
    };
    let node = named(change.node);
    Some(match &change.stage {
        MembershipStage::Joining { voter: _, replaces: Some(old) } => {
            format!("node {node} joins in the place of node {}", named(*old))
        }
        MembershipStage::Joining { voter: _, replaces: None } => format!("node {node} joins"),
        MembershipStage::Leaving => format!("node {node} leaves"),
        MembershipStage::Left => format!("node {node} has left; raft lets it go"),
        MembershipStage::Unknown(unknown) => format!("node {node}: {unknown}"),
    })
}
