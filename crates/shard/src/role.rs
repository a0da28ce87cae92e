//! What this node is to its shard.
//!
//! ```text
//!            checkpoint read           promoted by the log
//!  Loading ─────────────────► Replica ─────────────────────► Primary
//!                                ▲                               │
//!                                └──────── deposed by the log ───┘
//! ```
//! *Invariant:* deposed, a primary keeps its dataset and position: it resumes where its stream ended.

use crate::asked::Asked;
use crate::handover::{Candidacy, HandingOver};
use crate::holding::Held;
use crate::keeping::Keeping;
use crate::set::SetAsked;
use ironcache_control::AckMode;
use ironcache_replication::{AckGate, Lineage, ReplicaCursor, StreamError};
use ironcache_types::{Epoch, Member, Offset, ShardId};
use std::collections::BTreeMap;
use std::fmt;

// One value a node: its size does not matter, an indirection on every command would.
#[expect(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Role {
    /// The checkpoint is not read yet.
    Loading,
    Replica(Replica),
    Primary(Primary),
}

#[derive(Clone, Debug)]
pub struct Replica {
    pub(crate) cursor: ReplicaCursor,
    /// Is the link to the source up: to the primary, or to the keeper that stands in for one that is gone?
    pub(crate) link_up: bool,
    /// The log index that the source has applied, as it said last on this link.
    pub(crate) primary_applied: u64,
    /// What was read from this node's disk, until a primary is followed.
    pub(crate) read: Option<Held>,
    /// When the shard was last asked back.
    pub(crate) reclaim: Option<Asked>,
    /// It has met a fence, and has not proposed itself yet.
    pub(crate) candidacy: Option<Candidacy>,
}

impl Replica {
    pub(crate) fn new(cursor: ReplicaCursor, read: Option<Held>) -> Self {
        Replica { cursor, link_up: false, primary_applied: 0, read, reclaim: None, candidacy: None }
    }

    /// What was read, if that is the dataset still.
    pub(crate) fn unchanged(&self) -> Option<&Held> {
        self.read.as_ref().filter(|read| self.cursor.applied_offset() == Some(read.offset))
    }

    pub fn cursor(&self) -> &ReplicaCursor {
        &self.cursor
    }

    pub fn is_linked(&self) -> bool {
        self.link_up
    }
}

#[derive(Clone, Debug)]
pub struct Primary {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) lineage: Lineage,
    pub(crate) gate: AckGate,
    pub(crate) mode: AckMode,
    /// Size of the committed in-sync set, this node included, and the keeper: in so many places a write is held.
    pub(crate) in_sync: usize,
    /// Does the log say where this ownership begins? Nothing is served before: until then another holder of everything may
    /// take the shard, if this life ends.
    pub(crate) begun: bool,
    /// A handover that holds commands back.
    pub(crate) handover: Option<HandingOver>,
    /// Changes of the set that are under way.
    pub(crate) set: BTreeMap<Member, SetAsked>,
    pub(crate) mode_asked: Option<Asked>,
    /// The start of this ownership.
    pub(crate) start_asked: Option<Asked>,
    /// Of the proposals made in this role.
    pub(crate) asks: u64,
    pub(crate) keeping: Keeping,
}

impl Primary {
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    pub fn gate(&self) -> &AckGate {
        &self.gate
    }

    /// Size of the committed in-sync set, this node included, and the keeper.
    pub fn in_sync(&self) -> usize {
        self.in_sync
    }

    pub(crate) fn next_ask(&mut self) -> u64 {
        self.asks += 1;
        self.asks
    }
}

/// Why a node cannot be the primary that the log has made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotServe {
    /// It holds no whole dataset.
    HoldsNothing,
    /// What it holds does not fit what the log knows of the shard's history.
    OtherHistory,
    /// It holds everything up to another offset than the one at which the log has it begin.
    OtherOffset { committed: Offset, held: Offset },
}

impl From<StreamError> for CannotServe {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Detached | StreamError::Syncing | StreamError::InFlight { .. } => {
                CannotServe::HoldsNothing
            }
            StreamError::OtherSource { .. }
            | StreamError::Gap { .. }
            | StreamError::EpochMismatch { .. }
            | StreamError::NotSyncing
            | StreamError::SlotOrder { .. }
            | StreamError::DiscardWhileInSync
            | StreamError::CannotContinue { .. }
            | StreamError::OtherPlace { .. }
            | StreamError::LineageOfOther { .. }
            | StreamError::FenceAhead { .. }
            | StreamError::FenceBehind { .. }
            | StreamError::AppliedOutOfOrder { .. }
            | StreamError::Lineage(_) => CannotServe::OtherHistory,
        }
    }
}

impl fmt::Display for CannotServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CannotServe::HoldsNothing => f.write_str("it holds no whole dataset"),
            CannotServe::OtherHistory => f.write_str("what it holds is of another history"),
            CannotServe::OtherOffset { committed, held } => {
                write!(f, "it holds everything up to {held}, and the log has it begin at {committed}")
            }
        }
    }
}
