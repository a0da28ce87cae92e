//! The types that openraft is instantiated with.
//!
//! Raft's node id is the number inside [`NodeId`]; the rest of the crate converts at its edge.

use ironcache_control::{Applied, Command, Rejection};
use ironcache_types::{NodeId, RequestId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// `host:port` of a node's peer listener; kept in the membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerAddr(pub String);

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node is in the raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    Voter,
    Learner,
}

/// A command with the id that makes sending it twice harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: RequestId,
    pub command: Command,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, command } = self;
        write!(f, "{id} {command:?}")
    }
}

/// What applying one log entry answered; blank and membership entries answer [`Response::Internal`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    Internal,
    Command(Proposed),
}

/// A command's place in the log and what the control state said to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposed {
    /// The index at which the command was applied (the first time, if it was sent again).
    pub index: u64,
    pub outcome: Result<Applied, Rejection>,
}

openraft::declare_raft_types!(
    pub TypeConfig:
        D = Request,
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
