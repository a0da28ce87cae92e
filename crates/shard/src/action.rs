//! What the engine asks of its shell.
//!
//! *Invariant:* actions are done in their order, and before anything else is handed in.

use crate::asked::Ask;
use crate::role::CannotServe;
use ironcache_control::{Command, Handover};
use ironcache_replication::Silence;
use ironcache_types::{Epoch, Member, Offset, ShardId};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have the log decide. With an `ask`, a rejection comes back as [`Event::Rejected`](crate::Event::Rejected).
    Propose {
        command: Box<Command>,
        ask: Option<Ask>,
    },
    /// The dataset begins empty.
    ClearKeyspace,
    /// The stream goes on here. What the backlog keeps goes, unless it ends there.
    BeginStream {
        at: Offset,
    },
    /// What this node wrote under an earlier role says nothing any more: everything it holds is held by the whole set.
    ForgetWritten,
    /// Replies that wait for an acknowledgement may be free to leave.
    SettleReplies,
    /// They never leave: the role under which their commands were executed is lost.
    LoseReplies,
    /// Say [`Event::RepliesLeft`](crate::Event::RepliesLeft) when what was settled is on its way.
    TellRepliesLeft {
        handover: Epoch,
    },
    /// Role, routing, lease or a handover changed: what is held back tries again.
    Wake,
    /// A link has something to send.
    Feed,
    /// [`Event::Tick`](crate::Event::Tick) is due then, however seldom others are.
    TickAfter {
        ms: u64,
    },
    /// Commands are held back from now on.
    HandoverBegan(Handover),
    /// They are not any more.
    HandoverEnded(HandedOver),
    /// The log names this life as primary, and it cannot be that. No role is left to it: the process has to end, and its
    /// next life says anew what it holds.
    End,
    Tell(Note),
}

/// How a handover ended on the old primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandedOver {
    pub shard: ShardId,
    pub handover: Handover,
    /// The epoch in which the candidate owns the shard; `None`: it does not.
    pub promoted: Option<Epoch>,
}

/// What happened, for whoever reads the node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    BecamePrimary { shard: ShardId, epoch: Epoch, start: Offset },
    Deposed { shard: ShardId, epoch: Epoch, end: Offset },
    CannotServe { shard: ShardId, epoch: Epoch, why: CannotServe },
    HandoverAborted { shard: ShardId },
    HandoverGivenUp { shard: ShardId, handover: Epoch },
    Fenced { handover: Epoch, offset: Offset },
    ProposesItself { handover: Epoch, offset: Offset },
    StopsInstead,
    OutcomeUnknown { shard: ShardId, member: Member },
    ToLeave { shard: ShardId, member: Member, silence: Silence },
    LeaseOver { shard: ShardId },
    KeeperToGo { shard: ShardId, member: Member },
}

/// How loud a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Detail,
    Normal,
    Warning,
    Error,
}

impl Note {
    pub fn weight(&self) -> Weight {
        match self {
            Note::Fenced { .. } | Note::ProposesItself { .. } => Weight::Detail,
            Note::BecamePrimary { .. }
            | Note::KeeperToGo { .. }
            | Note::Deposed { .. }
            | Note::HandoverAborted { .. }
            | Note::StopsInstead => Weight::Normal,
            Note::HandoverGivenUp { .. }
            | Note::OutcomeUnknown { .. }
            | Note::ToLeave { .. }
            | Note::LeaseOver { .. } => Weight::Warning,
            Note::CannotServe { .. } => Weight::Error,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::BecamePrimary { shard, epoch, start } => {
                write!(f, "this node is primary of shard {shard} from epoch {epoch} on, at {start}")
            }
            Note::Deposed { shard, epoch, end } => {
                write!(f, "this node is primary of shard {shard} no more: epoch {epoch}, up to {end}")
            }
            Note::CannotServe { shard, epoch, why } => {
                write!(f, "made primary of shard {shard} in epoch {epoch}, this node cannot serve: {why}")
            }
            Note::HandoverAborted { shard } => {
                write!(f, "the handover of shard {shard} was aborted; serving again")
            }
            Note::HandoverGivenUp { shard, handover } => {
                write!(f, "a member does not acknowledge; handover {handover} of shard {shard} is given up")
            }
            Note::Fenced { handover, offset } => {
                write!(f, "the fence of handover {handover} is on its way, at {offset}")
            }
            Note::ProposesItself { handover, offset } => {
                write!(f, "proposing the promotion of handover {handover}, at {offset}")
            }
            Note::StopsInstead => f.write_str("this node is being stopped, and is not promoted"),
            Note::OutcomeUnknown { shard, member } => write!(
                f,
                "the outcome of proposing {member} for shard {shard} is unknown; proposing it again"
            ),
            Note::ToLeave { shard, member, silence } => {
                write!(f, "{member} is to leave the in-sync set of shard {shard}: {silence}")
            }
            Note::KeeperToGo { shard, member } => {
                write!(f, "{member}, which keeps the tail of shard {shard}, is to be dropped")
            }
            Note::LeaseOver { shard } => {
                write!(f, "the lease of shard {shard} is over: clients wait until the leader grants another")
            }
        }
    }
}
