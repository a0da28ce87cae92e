//! What is said on a replication link.
//!
//! *Invariant:* a handover's id ([`Fence`]) is never an ownership epoch: frames are checked by
//! [`Source`] alone.

use crate::handshake::{Accept, Hello, Refuse};
use crate::lineage::Lineage;
use crate::resync::SyncMode;
use ironcache_types::{Epoch, Incarnation, Level, Offset, SLOT_COUNT, ShardId, Slot};
use std::fmt;

/// One message. Bodies that carry data borrow from the buffer they were decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Replica: what I speak, who I am, and where.
    Hello(Hello),
    /// Source: welcome, and the version of what follows.
    Accept(Accept),
    /// Source: no, for this reason. The link closes.
    Refuse(Refuse<'a>),
    /// Replica: what I have applied.
    Ack(Ack),
    /// Replica: what I have not applied yet moves.
    Progress(Progress),
    /// Primary: how you get in step.
    SyncBegin(SyncBegin),
    /// Primary, full sync: a part of one slot's content.
    SyncChunk(SyncChunk<'a>),
    /// Primary, full sync: what you hold now is my state at this offset.
    SyncEnd(SyncEnd),
    /// Primary: one command's, or one EXEC's, effects; or the last of several parts of them.
    Effects(Effects<'a>),
    /// Primary: a part of them; more follows, see the module `group`.
    EffectsPart(Effects<'a>),
    /// Primary: nothing follows `offset` while this handover is undecided.
    Fence(Fence),
    /// Candidate to old primary: my promotion is committed, look at the log.
    Promoted(Promoted),
    /// Primary: are you there? Answered by an `Ack`. `applied_index` is the log index that the primary has
    /// applied: a replica that was taken out stops only when its removal is among that.
    Ping { now_ms: u64, applied_index: u64 },
    /// Primary: what my wall clock says, in unix ms.
    #[cfg(feature = "next")]
    Clock { unix_ms: u64 },
}

/// The primary that a stream comes from: one life of one process, in one ownership epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Ownership epoch.
    pub epoch: Epoch,
    /// Of the primary's process.
    pub incarnation: Incarnation,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, incarnation } = self;
        write!(f, "incarnation {incarnation} at epoch {epoch}")
    }
}

/// The replica has applied every effect below `applied`, contiguously, as `source` sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub source: Source,
    pub applied: Offset,
}

/// Where the replica is in what it cannot acknowledge yet: a frame that is still arriving, or one that takes long to
/// apply. Said while that lasts; numbers that grew are progress, and what they count is the replica's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of this link.
    pub received_bytes: u64,
    /// Effects applied, of frames that are applied in part as well.
    pub effects: u64,
}

/// How the replica gets in step: follows `Accept` on a link that is opened to follow, and the promotion on one to the
/// next source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncBegin {
    pub source: Source,
    pub mode: SyncMode,
    /// The primary's, whose last epoch is `source.epoch`.
    pub lineage: Lineage,
}

/// A part of a slot, as of its place in the stream. The first chunk of a slot replaces what the
/// replica has there; an empty slot is sent as one empty chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncChunk<'a> {
    /// At which `bytes` are written.
    pub level: Level,
    pub slot: Slot,
    pub bytes: &'a [u8],
}

/// The end of a full sync; frames follow, contiguous from `offset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncEnd {
    pub lineage: Lineage,
    pub offset: Offset,
}

/// The effects of one command or one EXEC, or a part of them: applied whole, or not at all. Kept verbatim by backlogs, and sent on by later
/// primaries: so these fields are the same at every version of the link, and what `bytes` mean is the level's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effects<'a> {
    /// At which `bytes` are written: the one that the primary had applied.
    pub level: Level,
    /// The ownership epoch in which they were executed.
    pub epoch: Epoch,
    /// The stream's offset of the frame's first byte.
    pub start: Offset,
    pub scope: Scope,
    /// Opaque here.
    pub bytes: &'a [u8],
}

impl Effects<'_> {
    /// The offset after this frame: its whole encoded length counts.
    pub fn end(&self) -> Offset {
        Offset(self.start.0 + (crate::frame::EFFECTS_OVERHEAD_BYTES + self.bytes.len()) as u64)
    }
}

/// Which slots a frame touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Slot(Slot),
    /// Several or all: a FLUSHALL, or an EXEC that contains one.
    All,
}

impl Scope {
    const ALL: u16 = 0xFFFF;

    pub(crate) fn to_wire(self) -> u16 {
        match self {
            Scope::Slot(slot) => slot.0,
            Scope::All => Self::ALL,
        }
    }

    pub(crate) fn from_wire(raw: u16) -> Option<Self> {
        match raw {
            Self::ALL => Some(Scope::All),
            slot if slot < SLOT_COUNT => Some(Scope::Slot(Slot(slot))),
            _ => None,
        }
    }
}

/// In-band: the old primary executed nothing past `offset` and will emit nothing after it until the
/// outcome of the handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub handover_epoch: Epoch,
    pub offset: Offset,
}

/// A hint, never a proof: the entry at `log_index` gave the shard to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promoted {
    pub shard: ShardId,
    /// The new ownership epoch.
    pub epoch: Epoch,
    pub log_index: u64,
}
