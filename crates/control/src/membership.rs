//! A change of who belongs to the cluster, while it is under way.
//!
//! ```text
//!   AddNode ──► Joining ── raft has taken it in ──► MembershipDone ─┬─► a member
//!                                                                   └─ in another's place: ─┐
//!   RemoveNode ─────────────────────────────────────────────────────────────────────────► Leaving
//!   AddNode of what it is, while it is Leaving ──► a member as before
//!   no role is left to it ──► NodeLeft ──► Left ── raft has let it go ──► MembershipDone ──► gone for good
//! ```
//!
//! The control state says who is to belong to raft's group, and the leader makes the group so: it looks at both at
//! every moment, so whoever leads next goes on where the last one stopped.
//!
//! *Invariant:* one change at a time, and no step of a plan meanwhile.
//! *Invariant:* a node that left is never a member again: its disk may hold votes that nobody knows of any more.

use ironcache_types::{Epoch, NodeId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipChange {
    /// Names this stage of the change: fresh at each.
    pub epoch: Epoch,
    pub node: NodeId,
    pub stage: MembershipStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipStage {
    /// The node is known here, and has no vote. Raft takes it in, and gives it a vote if `voter` says so.
    Joining {
        voter: bool,
        /// The node in whose place it comes: it gives its vote away in the same change of raft, and leaves then.
        replaces: Option<NodeId>,
    },
    /// The node joins no in-sync set any more, and is taken out of the one that it is in.
    Leaving,
    /// The node is not of the cluster any more. Raft lets it go.
    Left,
}

impl MembershipStage {
    /// For people, after the node's name.
    pub fn word(&self) -> &'static str {
        match self {
            MembershipStage::Joining { .. } => "is joining",
            MembershipStage::Leaving => "is leaving",
            MembershipStage::Left => "has left, and raft lets it go",
        }
    }
}

impl MembershipChange {
    /// Does the change take `node` away?
    pub fn takes_away(&self, node: NodeId) -> bool {
        match self.stage {
            MembershipStage::Leaving | MembershipStage::Left => self.node == node,
            MembershipStage::Joining { .. } => false,
        }
    }

    /// Is `node` one of those that the change is about?
    pub fn is_about(&self, node: NodeId) -> bool {
        let replaced = match self.stage {
            MembershipStage::Joining { voter: _, replaces } => replaces,
            MembershipStage::Leaving | MembershipStage::Left => None,
        };
        self.node == node || replaced == Some(node)
    }
}
