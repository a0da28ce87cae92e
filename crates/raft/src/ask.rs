//! What nodes ask of the leader, and of each other, and what is answered.

use crate::types::{PeerAddr, Proposed, Refusal};
use ironcache_formats::entry::EntryBytes;
use ironcache_types::{Member, NodeId};
use std::collections::BTreeSet;

/// What a node asks the leader to do for it. Each may be sent again without harm.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Propose(EntryBytes),
    /// A commit index that the leader confirms with a quorum round begun after the question.
    ConfirmIndex,
    AddLearner {
        node: NodeId,
        addr: PeerAddr,
    },
    ChangeMembership {
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    },
    TransferLeader {
        to: NodeId,
    },
    /// This life of a member listens at `addr` from now on.
    Move {
        member: Member,
        addr: PeerAddr,
    },
    /// Of anybody: to compare the lives that stand in front of the question. Whoever finds nothing says so.
    Compare,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Proposed(Proposed),
    Index(u64),
    Done,
    /// Not the leader: ask this one, if it is known.
    NotLeader(Option<(NodeId, PeerAddr)>),
    /// The outcome is not known, or the leader could not do it now: ask again.
    Retry(String),
    /// Asking again changes nothing.
    Refused(Refusal),
}
