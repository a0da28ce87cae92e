//! A walk over the dataset while others write: what it yields rebuilds the dataset as it is at the walk's *end*.
//!
//! ```text
//!  the stream ─► of a slot that was dumped: handed on ─┐
//!             ─► of the one that is half dumped: noted ├─► a replica's link, or a file
//!             ─► of one that is to come: skipped       │
//!  the slots  ─► dumped as they are now, in pieces ────┘
//! ```
//! *Invariant:* a piece of a slot is dumped only when everything before it was handed on, noted or skipped.
//! *Invariant:* what is done in one go is bounded, however large a slot or a value is.

use super::plane::Plane;
use ironcache_keyspace::{Dumped, Effect, EffectError, SlotDump, progress};
use ironcache_replication::{
    Duty, Effects, FrameError, FullSync, Group, LINK_VERSIONS, Message, NotOfOneGroup, PART_BYTES_MAX, Scope,
    decode,
};
use ironcache_types::{Offset, Slot, SlotSet, key_slot};

/// Looked through at a time: the largest frame fits. More would be copied for nothing where the backlog wraps around.
const FORWARD_BYTES: usize = 2 * PART_BYTES_MAX;

/// How far a walk came.
pub(super) struct Walk {
    slots: FullSync,
    /// The slot that is half dumped.
    slot: Option<SlotDump>,
    /// Of a command that was cut, what was read from the backlog.
    group: Group,
    /// Everything of the stream below it was handed on, noted or skipped.
    cursor: Offset,
    piece_bytes: usize,
}

/// One command of the stream, as far as it is about slots that were dumped.
pub(super) enum Onward<'a> {
    /// All of it, in the one frame that it lies in.
    Frame { frame: &'a [u8], command: Effects<'a> },
    /// All of it, in several frames.
    Frames { group: Group, command: Effects<'a> },
    /// A part of it.
    Some(Effects<'a>),
}

/// Where the walk's yield goes.
pub(super) trait Sink {
    type Error: From<WalkError>;
    /// Enough for now: what was taken has to go somewhere first.
    fn is_full(&self) -> bool;
    fn onward(&mut self, command: Onward<'_>) -> Result<(), Self::Error>;
    /// Effects that rebuild a part of the slot, at the level that the plane has applied.
    fn piece(&mut self, slot: Slot, effects: Vec<u8>) -> Result<(), Self::Error>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// The sink is full.
    More,
    /// Every slot was dumped, and everything of the stream so far was handed on: the dataset as it is now.
    Whole,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    #[error("the backlog no longer holds what the walk needs")]
    BacklogPassed,
    #[error("a frame of the backlog cannot be read")]
    Frame(#[from] FrameError),
    #[error("the parts of a command do not belong together")]
    Group(#[from] NotOfOneGroup),
    #[error("an effect cannot be read")]
    Effect(#[from] EffectError),
    #[error("the backlog holds something else than effects")]
    NotEffects,
}

impl Walk {
    /// Of these slots, from the dataset as it is at `end`; a slot that is larger than `piece_bytes`, or a value in it, goes
    /// in pieces of that.
    pub(super) fn new(slots: SlotSet, end: Offset, piece_bytes: usize) -> Self {
        let (slots, group) = (FullSync::new(slots), Group::default());
        Walk { slots, slot: None, group, cursor: end, piece_bytes }
    }

    pub(super) fn cursor(&self) -> Offset {
        self.cursor
    }

    /// Goes on until the sink is full, or the walk is through.
    pub(super) fn go_on<S: Sink>(&mut self, plane: &Plane, sink: &mut S) -> Result<Walked, S::Error> {
        self.forward(plane, sink)?;
        while self.cursor == plane.offset() && !sink.is_full() {
            if self.slot.is_none() {
                self.slot = self.slots.next_slot().map(|slot| SlotDump::new(slot, self.piece_bytes));
            }
            let Some(dump) = &mut self.slot else { return Ok(Walked::Whole) };
            let (slot, mut piece) = (dump.slot(), Vec::new());
            let dumped = dump.next_piece(&plane.keyspace, plane.level(), &mut piece);
            sink.piece(slot, piece)?;
            if dumped == Dumped::Whole {
                self.slot = None;
                self.slots.slot_done();
            }
        }
        Ok(Walked::More)
    }

    /// Hands on what touches slots that were dumped, and notes what touches the one that is half dumped.
    fn forward<S: Sink>(&mut self, plane: &Plane, sink: &mut S) -> Result<(), S::Error> {
        while self.cursor < plane.offset() && !sink.is_full() {
            let read = plane.backlog.read_from(self.cursor, FORWARD_BYTES);
            let (head, tail) = read.ok_or(WalkError::BacklogPassed)?;
            let joined;
            let frames = if tail.is_empty() {
                head
            } else {
                joined = [head, tail].concat();
                &joined
            };
            let mut at = 0;
            while let Some((message, len)) =
                decode(&frames[at..], LINK_VERSIONS.max).map_err(WalkError::from)?
            {
                let frame = &frames[at..at + len];
                match message {
                    Message::EffectsPart(part) => self.group.take(&part, frame).map_err(WalkError::from)?,
                    Message::Effects(last) => self.command(&last, frame, sink)?,
                    _ => return Err(WalkError::NotEffects.into()),
                }
                at += len;
                if at == frames.len() {
                    break;
                }
            }
            self.cursor.0 += at as u64;
            if at == 0 {
                return Err(WalkError::BacklogPassed.into());
            }
        }
        Ok(())
    }

    /// One command: this frame, or the group that it is the last one of.
    fn command<S: Sink>(&mut self, last: &Effects<'_>, frame: &[u8], sink: &mut S) -> Result<(), S::Error> {
        if self.group.is_open() {
            self.group.take(last, frame).map_err(WalkError::from)?;
        }
        let group = std::mem::take(&mut self.group);
        let joined = group.effects(progress::tick);
        let (start, bytes) =
            if group.is_open() { (group.start(), &joined[..]) } else { (last.start, last.bytes) };
        let command = Effects { start, bytes, ..*last };
        let Scope::Slot(slot) = last.scope else { return self.some(command, sink) };
        match (self.slots.duty(slot), &mut self.slot) {
            (Duty::Forward, _) if group.is_open() => sink.onward(Onward::Frames { group, command }),
            (Duty::Forward, _) => sink.onward(Onward::Frame { frame, command }),
            (Duty::Note, Some(dump)) => Ok(dump.note(bytes, last.level).map_err(WalkError::from)?),
            (Duty::Note, None) | (Duty::Skip, _) => Ok(()),
        }
    }

    /// A command that touches several slots: what is about those that were dumped. The rest would meet there what it was not
    /// executed on.
    fn some<S: Sink>(&mut self, command: Effects<'_>, sink: &mut S) -> Result<(), S::Error> {
        let Effects { level, bytes, .. } = command;
        if let Some(dump) = &mut self.slot {
            dump.note(bytes, level).map_err(WalkError::from)?;
        }
        let (mut some, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (effect, after) = Effect::decode(rest, level).map_err(WalkError::from)?;
            if effect.key().is_none_or(|key| self.slots.duty(key_slot(key)) == Duty::Forward) {
                some.extend_from_slice(&rest[..rest.len() - after.len()]);
            }
            rest = after;
        }
        if some.is_empty() { Ok(()) } else { sink.onward(Onward::Some(Effects { bytes: &some, ..command })) }
    }
}
