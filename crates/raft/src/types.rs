//! The types that openraft is instantiated with.
//!
//! Raft's node id is the number inside [`NodeId`]; the rest of the crate converts at its edge.

use ironcache_control::{Applied, Rejection};
use ironcache_formats::entry::EntryBytes;
use ironcache_types::NodeId;
use std::fmt;

/// `host:port` of a node's peer listener; kept in the membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddr(pub String);

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node is in the raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Voter,
    Learner,
}

/// What applying one log entry answered; blank and membership entries answer [`Response::Internal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    Internal,
    Command(Proposed),
}

/// A command's place in the log and what the control state said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The index at which the command was applied (the first time, if it was sent again).
    pub index: u64,
    /// Of a command that was sent again, an acceptance is [`Applied::Unchanged`].
    pub outcome: Result<Applied, Refusal>,
}

/// Why something was not done: a stable word for programs, and a sentence for people, made where it was refused.
/// Nothing branches on more than the code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub code: String,
    pub text: String,
}

/// The code of what raft itself would not do: a membership that cannot be, a transfer to a node without a vote.
pub(crate) const RAFT_REFUSED: &str = "raft_refused";

/// The code of the answer to a node that left the cluster for good.
pub const REMOVED: &str = "removed";

impl Refusal {
    pub(crate) fn new(code: &str, text: impl fmt::Display) -> Self {
        Refusal { code: code.to_owned(), text: text.to_string() }
    }
}

impl From<&Rejection> for Refusal {
    fn from(rejection: &Rejection) -> Self {
        Refusal::new(rejection.code(), rejection)
    }
}

openraft::declare_raft_types!(
    pub TypeConfig:
        D = EntryBytes,
        R = Response,
        NodeId = u64,
        Node = PeerAddr,
        Term = u64,
        // One leader a term: log ids of one term come from one node.
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, PeerAddr>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

pub(crate) fn node_id(raft: u64) -> NodeId {
    NodeId(raft)
}
