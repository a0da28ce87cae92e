//! What a decision may look at.

use crate::event::Now;
use ironcache_control::{ControlState, Shard};
use ironcache_types::Member;

/// The applied state, who looks at it, and when.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub me: Member,
    pub state: &'a ControlState,
    pub shard: &'a Shard,
    pub now: Now,
}

impl At<'_> {
    /// Is this life the one that the log knows, in the cluster to stay, and not out for a step?
    pub(crate) fn is_admissible(&self, member: Member) -> bool {
        let node = self.state.nodes.get(&member.node);
        node.is_some_and(|n| n.member() == member && n.out.is_none()) && !self.state.is_leaving(member.node)
    }

    pub(crate) fn is_registered(&self, member: Member) -> bool {
        self.state.nodes.get(&member.node).is_some_and(|node| node.member() == member)
    }
}
