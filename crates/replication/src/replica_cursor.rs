//! The replica's side of the stream: what it holds, and which messages may change that.
//!
//! ```text
//!            begin Partial             sync end
//! Detached ─────────────────► Streaming ◄──────── Syncing
//!     │  ▲                        │                ▲ │
//!     │  └────────── detach ──────┴────────────────┼─┘ (the dataset is then no dataset)
//!     └───────────── begin Full ───────────────────┘
//! ```
//!
//! The caller's duties:
//! 1. Hand every message of a link in with the [`Source`] of that link's `SyncBegin`.
//! 2. Apply what `accept` admitted, whole and in order, then call `applied`. Do so for everything admitted
//!    before opening another link: what is still being applied must not be asked for again. Of a group of frames
//!    `accept_part` admits all but the last; they are applied with it, and forgotten with their link.
//! 3. Send [`ReplicaCursor::ack`] after applying, and on `Ping`.
//!
//! *Invariant:* what is acknowledged was applied; a frame that does not follow the last one without a gap,
//! or is not of the lineage's epoch at its offset, changes nothing.
//! *Invariant:* while a full sync runs there is no position, no acknowledgement and no fence.
//! *Invariant:* a handover's id never changes the epochs that frames are checked by.

use crate::lineage::{Lineage, LineageError};
use crate::message::{Ack, Effects, Fence, Source, SyncBegin, SyncChunk, SyncEnd};
use crate::position::{Position, SavedPosition};
use crate::resync::{FullReason, Resync, SyncMode};
use ironcache_types::{Epoch, Offset, Slot};

/// What one replica of one shard holds, and from whom it hears.
#[derive(Clone, Debug)]
pub struct ReplicaCursor {
    state: State,
    /// Admitted frames that are not applied yet.
    in_flight: u64,
    fence: Option<FenceMet>,
    /// As `fence`, and kept when the link goes.
    met: Option<FenceMet>,
}

#[derive(Clone, Debug)]
enum State {
    Detached { held: Option<Held> },
    Streaming { source: Source, held: Held },
    Syncing { source: Source, received: Offset, last_slot: Option<Slot> },
}

/// A dataset: everything below `applied`; frames up to `received` were admitted.
#[derive(Clone, Debug)]
struct Held {
    lineage: Lineage,
    received: Offset,
    applied: Offset,
}

/// Whether the replica may throw its dataset away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the in-sync set by the state this node has applied: its dataset may be what saves the shard.
    InSync,
    /// Not in the set, or its removal was applied.
    Outside,
}

/// What to do upon an admitted [`SyncBegin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Begin {
    /// Keep the dataset; frames follow from here.
    Continue { from: Offset },
    /// Empty the dataset (and the backlog); slots follow.
    Discard,
}

/// How to apply an admitted [`SyncChunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ChunkAct {
    /// Empty the slot, then load the chunk.
    Replace,
    /// Load the chunk into the slot.
    Append,
}

/// An admitted frame, to be applied whole; then it goes to [`ReplicaCursor::applied`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an admitted frame is applied, and then reported by `applied`"]
pub struct Admitted {
    end: Offset,
}

/// This replica has applied everything below the fence of this handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceMet {
    pub handover_epoch: Epoch,
    pub source: Source,
    pub offset: Offset,
}

/// Why a message was not admitted. Except for `FenceAhead` and `InFlight`, which pass, close the link and
/// open a new one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("nothing may be streamed to this replica: no primary accepted it")]
    Detached,
    #[error("this replica follows {followed}, and the message is from {got}")]
    OtherSource { followed: Source, got: Source },
    #[error(
        "a frame starts at {start}, and this replica is at {received}: part of the stream is missing or repeated"
    )]
    Gap { received: Offset, start: Offset },
    #[error("a frame at {start} is of epoch {got}; the lineage says epoch {expected}")]
    EpochMismatch { start: Offset, got: Epoch, expected: Epoch },
    #[error("a full sync is under way, and this message is only for replicas that finished theirs")]
    Syncing,
    #[error("no full sync is under way, and this message is part of one")]
    NotSyncing,
    #[error("slot {slot} was sent after slot {last}")]
    SlotOrder { last: Slot, slot: Slot },
    #[error("{frames} admitted frames are not applied yet: apply them first")]
    InFlight { frames: u64 },
    #[error("a full sync was offered to a member of the in-sync set: its removal must be applied first")]
    DiscardWhileInSync,
    #[error("the primary offers to continue from {from}, and this replica is not there: {reason}")]
    CannotContinue { from: Offset, reason: FullReason },
    #[error("the primary offers to continue from {from}, and this replica is at {applied}")]
    OtherPlace { from: Offset, applied: Offset },
    #[error(
        "the lineage ends with epoch {lineage_epoch}, and its sender is the primary of epoch {source_epoch}"
    )]
    LineageOfOther { lineage_epoch: Epoch, source_epoch: Epoch },
    #[error("the fence is at {offset}, and this replica has applied {applied}: not met yet")]
    FenceAhead { offset: Offset, applied: Offset },
    #[error(
        "the fence is at {offset}, and this replica has already received {received}: it is of another stream"
    )]
    FenceBehind { offset: Offset, received: Offset },
    #[error("frames are reported out of order: {end} after {applied}")]
    AppliedOutOfOrder { end: Offset, applied: Offset },
    #[error("the promotion does not fit the lineage")]
    Lineage(#[from] LineageError),
}

impl ReplicaCursor {
    /// A replica without a dataset of this shard.
    pub fn empty() -> Self {
        ReplicaCursor { state: State::Detached { held: None }, in_flight: 0, fence: None, met: None }
    }

    /// A replica that holds everything below `applied`: a deposed primary, or one that loaded a checkpoint.
    pub fn holding(lineage: Lineage, applied: Offset) -> Self {
        let held = Some(Held { lineage, received: applied, applied });
        ReplicaCursor { state: State::Detached { held }, in_flight: 0, fence: None, met: None }
    }

    /// Where the dataset is, for `Hello` and for a checkpoint; `None` if there is none (a full sync that
    /// has not ended counts as none). Fails while admitted frames are not applied.
    pub fn position(&self) -> Result<Option<Position>, StreamError> {
        Ok(self.saved_position()?.map(|saved| saved.position))
    }

    /// The same with its lineage.
    pub fn saved_position(&self) -> Result<Option<SavedPosition>, StreamError> {
        self.nothing_in_flight()?;
        Ok(self.held().and_then(|held| SavedPosition::at(&held.lineage, held.applied)))
    }

    /// The primary that this replica hears from.
    pub fn source(&self) -> Option<Source> {
        match &self.state {
            State::Detached { .. } => None,
            State::Streaming { source, .. } | State::Syncing { source, .. } => Some(*source),
        }
    }

    /// Everything below it was applied; `None` without a dataset.
    pub fn applied_offset(&self) -> Option<Offset> {
        self.held().map(|held| held.applied)
    }

    /// Follows the primary that sent `message`, which the caller has found to be `expected`: the primary
    /// that the applied state names. Whatever was followed before is not any more.
    pub fn follow(
        &mut self,
        expected: Source,
        message: &SyncBegin,
        standing: Standing,
    ) -> Result<Begin, StreamError> {
        let SyncBegin { source, mode, lineage } = message;
        if *source != expected {
            return Err(StreamError::OtherSource { followed: expected, got: *source });
        }
        check_lineage(lineage, *source)?;
        self.nothing_in_flight()?;
        match *mode {
            SyncMode::Partial { from } => {
                let here = self.held().map(|held| held.applied);
                let position = self.held().and_then(|held| held.lineage.position_at(held.applied));
                // The primary decided this already; a second look costs nothing and guards our dataset.
                // Its end is unknown here: it cannot be before what it offers to continue from.
                if let Resync::Full { reason } = lineage.can_resume(position, Offset(0), from) {
                    return Err(StreamError::CannotContinue { from, reason });
                }
                let applied = here.expect("without a dataset there is no position to resume from");
                if from != applied {
                    return Err(StreamError::OtherPlace { from, applied });
                }
                let held = Held { lineage: lineage.clone(), received: applied, applied };
                self.enter(State::Streaming { source: *source, held });
                Ok(Begin::Continue { from })
            }
            SyncMode::Full => {
                if standing == Standing::InSync {
                    return Err(StreamError::DiscardWhileInSync);
                }
                let (_, received) = lineage.last();
                self.enter(State::Syncing { source: *source, received, last_slot: None });
                Ok(Begin::Discard)
            }
        }
    }

    /// Admits a frame. While streaming it must start where the last one ended, in the epoch that the
    /// lineage has there. During a full sync frames on slots not yet dumped are missing, so that gaps
    /// are right, and only going back is not.
    pub fn accept(&mut self, from: Source, frame: &Effects<'_>) -> Result<Admitted, StreamError> {
        let end = self.receive(from, frame)?;
        self.in_flight += 1;
        Ok(Admitted { end })
    }

    /// Admits a part of a group by the same rules. It is neither applied nor acknowledged before the last one, which is
    /// an ordinary frame.
    pub fn accept_part(&mut self, from: Source, part: &Effects<'_>) -> Result<(), StreamError> {
        self.receive(from, part).map(drop)
    }

    fn receive(&mut self, from: Source, frame: &Effects<'_>) -> Result<Offset, StreamError> {
        self.check_source(from)?;
        let (start, end) = (frame.start, frame.end());
        match &mut self.state {
            State::Detached { .. } => return Err(StreamError::Detached),
            State::Streaming { held, .. } => {
                if start != held.received {
                    return Err(StreamError::Gap { received: held.received, start });
                }
                let expected = held.lineage.epoch_of_frame_at(start).unwrap_or(from.epoch);
                if frame.epoch != expected {
                    return Err(StreamError::EpochMismatch { start, got: frame.epoch, expected });
                }
                held.received = end;
            }
            State::Syncing { source, received, .. } => {
                if start < *received {
                    return Err(StreamError::Gap { received: *received, start });
                }
                if frame.epoch != source.epoch {
                    let expected = source.epoch;
                    return Err(StreamError::EpochMismatch { start, got: frame.epoch, expected });
                }
                *received = end;
            }
        }
        self.fence = None;
        self.met = None;
        Ok(end)
    }

    /// The frame was applied, whole. Frames are reported in the order in which they were admitted.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a frame is reported once: the caller gives its token up"
    )]
    pub fn applied(&mut self, frame: Admitted) -> Result<(), StreamError> {
        let Admitted { end } = frame;
        match &mut self.state {
            State::Detached { held: Some(held) } | State::Streaming { held, .. } => {
                if end <= held.applied {
                    return Err(StreamError::AppliedOutOfOrder { end, applied: held.applied });
                }
                held.applied = end;
            }
            State::Detached { held: None } | State::Syncing { .. } => {}
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        Ok(())
    }

    /// What to tell the primary; `None` while detached or in a full sync.
    pub fn ack(&self) -> Option<Ack> {
        match &self.state {
            State::Streaming { source, held } => Some(Ack { source: *source, applied: held.applied }),
            State::Detached { .. } | State::Syncing { .. } => None,
        }
    }

    /// Admits a part of a slot. Slots come one after the other; between a slot's parts there may be frames on those before.
    pub fn on_sync_chunk(&mut self, from: Source, chunk: &SyncChunk<'_>) -> Result<ChunkAct, StreamError> {
        self.check_source(from)?;
        let State::Syncing { last_slot, .. } = &mut self.state else {
            return Err(StreamError::NotSyncing);
        };
        let slot = chunk.slot;
        let act = match *last_slot {
            None => ChunkAct::Replace,
            Some(last) if slot > last => ChunkAct::Replace,
            Some(last) if slot == last => ChunkAct::Append,
            Some(last) => return Err(StreamError::SlotOrder { last, slot }),
        };
        *last_slot = Some(slot);
        Ok(act)
    }

    /// The full sync is over: the dataset is the primary's at the end's offset. Reset the backlog to it.
    pub fn on_sync_end(&mut self, from: Source, end: &SyncEnd) -> Result<(), StreamError> {
        self.check_source(from)?;
        let State::Syncing { source, received, .. } = &self.state else {
            return Err(StreamError::NotSyncing);
        };
        let SyncEnd { lineage, offset } = end;
        check_lineage(lineage, *source)?;
        let earliest = lineage.last().1.max(*received);
        if *offset < earliest {
            return Err(StreamError::Gap { received: earliest, start: *offset });
        }
        self.nothing_in_flight()?;
        let held = Held { lineage: lineage.clone(), received: *offset, applied: *offset };
        self.enter(State::Streaming { source: *source, held });
        Ok(())
    }

    /// The fence of a handover: met if everything below it was applied. On `FenceAhead` with frames in
    /// flight, try again when they are applied; without, part of the stream was lost.
    pub fn on_fence(&mut self, from: Source, fence: &Fence) -> Result<FenceMet, StreamError> {
        self.check_source(from)?;
        let Fence { handover_epoch, offset } = *fence;
        let State::Streaming { source, held } = &self.state else {
            return Err(StreamError::Syncing);
        };
        if offset < held.received {
            return Err(StreamError::FenceBehind { offset, received: held.received });
        }
        if held.applied != offset {
            return Err(StreamError::FenceAhead { offset, applied: held.applied });
        }
        let met = FenceMet { handover_epoch, source: *source, offset };
        self.fence = Some(met);
        self.met = Some(met);
        Ok(met)
    }

    /// The fence that still holds: any frame, any other primary and any lost link ends it.
    pub fn fence(&self) -> Option<FenceMet> {
        self.fence
    }

    /// The newest fence that was met and that no frame has followed. The old primary closes the link when it learns of
    /// its successor, which may be sooner than the successor does: that unmakes nothing.
    pub fn met_last(&self) -> Option<FenceMet> {
        self.met
    }

    /// The link is gone. A dataset stays; half of a full sync is none.
    pub fn detach(&mut self) {
        let held = match std::mem::replace(&mut self.state, State::Detached { held: None }) {
            State::Detached { held } => held,
            State::Streaming { held, .. } => Some(held),
            State::Syncing { .. } => None,
        };
        self.enter(State::Detached { held });
    }

    /// This replica's promotion was applied: the lineage of the primary it becomes, which starts at
    /// everything it applied. Fails without a dataset, and while admitted frames are not applied.
    pub fn promote(&self, epoch: Epoch) -> Result<(Lineage, Offset), StreamError> {
        self.nothing_in_flight()?;
        let held = match &self.state {
            State::Streaming { held, .. } | State::Detached { held: Some(held) } => held,
            State::Syncing { .. } => return Err(StreamError::Syncing),
            State::Detached { held: None } => return Err(StreamError::Detached),
        };
        // A predecessor whose start this replica never reached wrote nothing that it holds.
        let reached = held.lineage.entries().iter().copied().filter(|(_, start)| *start <= held.applied);
        let mut lineage = Lineage::from_entries(&reached.collect::<Vec<_>>())?;
        lineage.push(epoch, held.applied)?;
        Ok((lineage, held.applied))
    }

    fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Detached { held } => held.as_ref(),
            State::Streaming { held, .. } => Some(held),
            State::Syncing { .. } => None,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.fence = None;
    }

    fn check_source(&self, got: Source) -> Result<(), StreamError> {
        let followed = self.source().ok_or(StreamError::Detached)?;
        if followed == got { Ok(()) } else { Err(StreamError::OtherSource { followed, got }) }
    }

    fn nothing_in_flight(&self) -> Result<(), StreamError> {
        match self.in_flight {
            0 => Ok(()),
            frames => Err(StreamError::InFlight { frames }),
        }
    }
}

fn check_lineage(lineage: &Lineage, source: Source) -> Result<(), StreamError> {
    let (lineage_epoch, _) = lineage.last();
    if lineage_epoch == source.epoch {
        Ok(())
    } else {
        Err(StreamError::LineageOfOther { lineage_epoch, source_epoch: source.epoch })
    }
}
