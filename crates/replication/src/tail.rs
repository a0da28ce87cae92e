//! The end of a stream that a keeper keeps: which frames may go into its file, and what of them it may acknowledge.
//!
//! ```text
//!  from                        whole        end
//!   │ frame │ frame │ [part][part][last] │ [part][part]          as they came, back to back
//!   └──────── acknowledged, served ──────┘ └ of a command that is not complete: cut off when its link ends
//! ```
//!
//! One checker for both ways in: what arrives on a link is admitted frame by frame, and what is read back from a file is
//! run through the same.
//!
//! *Invariant:* the frames follow each other without a gap from `from` on, each of the epoch that the lineage has at its
//! offset and with the checksum it was sent with; anything else changes nothing.
//! *Invariant:* what is acknowledged ends with whole commands.

use crate::frame::{FrameError, decode};
use crate::lineage::Lineage;
use crate::message::{Effects, Message, Scope, Source};
use crate::position::Position;
use crate::resync::{FullReason, Resync};
use crate::version::LINK_VERSIONS;
use ironcache_types::{Epoch, Level, Offset};

/// How far one keeper's copy of one primary's stream reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTail {
    source: Source,
    lineage: Lineage,
    from: Offset,
    whole: Offset,
    end: Offset,
    /// Of the command whose parts have begun to arrive.
    open: Option<(Level, Epoch, Scope)>,
}

/// How far a tail had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailMark {
    whole: Offset,
    end: Offset,
    open: Option<(Level, Epoch, Scope)>,
}

impl TailMark {
    /// Everything up to here was in the file.
    pub fn end(self) -> Offset {
        self.end
    }
}

/// Why a frame is not kept, or a file is not the tail that it says it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    #[error("the frame after {end} is none")]
    Frame {
        end: Offset,
        #[source]
        source: FrameError,
    },
    #[error("what follows {end} is a message, and no effects")]
    NotEffects { end: Offset },
    #[error(
        "a frame starts at {start}, and the tail ends at {end}: part of the stream is missing or repeated"
    )]
    Gap { end: Offset, start: Offset },
    #[error("a frame at {start} is of epoch {got}; the lineage says epoch {expected}")]
    OtherEpoch { start: Offset, got: Epoch, expected: Epoch },
    #[error("a part at {start} is of another command than those before it")]
    NotOfOneGroup { start: Offset },
    #[error("the primary goes on from {from}, and the tail reaches from {start} to {end}")]
    OtherPlace { from: Offset, start: Offset, end: Offset },
}

impl KeptTail {
    /// Nothing yet of what `source` writes from `from` on.
    pub fn new(source: Source, lineage: Lineage, from: Offset) -> Self {
        KeptTail { source, lineage, from, whole: from, end: from, open: None }
    }

    /// The primary that wrote it.
    pub fn source(&self) -> Source {
        self.source
    }

    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Where it begins.
    pub fn from(&self) -> Offset {
        self.from
    }

    /// Whole commands up to here: what is acknowledged, and what is served.
    pub fn whole(&self) -> Offset {
        self.whole
    }

    /// Everything up to here is to be in the file.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// What a keeper says of itself when it opens a link anew.
    pub fn position(&self) -> Option<Position> {
        self.lineage.position_at(self.whole)
    }

    /// Admits a frame that arrived, or a part of a command: it is to be appended as it came.
    ///
    /// # Errors
    /// It is not what follows. Nothing has changed.
    pub fn admit(&mut self, message: &Message<'_>) -> Result<(), TailError> {
        let end = self.end;
        let (frame, is_part) = match message {
            Message::Effects(frame) => (frame, false),
            Message::EffectsPart(part) => (part, true),
            _ => return Err(TailError::NotEffects { end }),
        };
        let Effects { level, epoch, start, scope, bytes: _ } = *frame;
        if start != end {
            return Err(TailError::Gap { end, start });
        }
        let expected = self.lineage.epoch_of_frame_at(start).unwrap_or(self.source.epoch);
        if epoch != expected {
            return Err(TailError::OtherEpoch { start, got: epoch, expected });
        }
        if self.open.is_some_and(|open| open != (level, epoch, scope)) {
            return Err(TailError::NotOfOneGroup { start });
        }
        self.end = frame.end();
        if is_part {
            self.open = Some((level, epoch, scope));
        } else {
            self.open = None;
            self.whole = self.end;
        }
        Ok(())
    }

    /// Takes the whole frames at the front of `input`, as they lie in a file; gives how many bytes they are. What is left
    /// is a frame that is not complete yet: at the end of the file, a cut one.
    ///
    /// # Errors
    /// A frame is damaged, or is not what follows. The frames before it are taken.
    pub fn read_back(&mut self, input: &[u8]) -> Result<usize, TailError> {
        let mut taken = 0;
        while let Some((message, len)) = decode(&input[taken..], LINK_VERSIONS.max)
            .map_err(|source| TailError::Frame { end: self.end, source })?
        {
            self.admit(&message)?;
            taken += len;
        }
        Ok(taken)
    }

    /// What is admitted from here on may have to be taken back.
    pub fn mark(&self) -> TailMark {
        TailMark { whole: self.whole, end: self.end, open: self.open }
    }

    /// What was admitted since could not be kept.
    pub fn take_back(&mut self, mark: TailMark) {
        TailMark { whole: self.whole, end: self.end, open: self.open } = mark;
    }

    /// The link, or the file, ended here: what is not a whole command is to be cut off.
    pub fn cut(&mut self) {
        self.open = None;
        self.end = self.whole;
    }

    /// The same primary goes on from `from`, which is where this tail ends, by its present lineage.
    ///
    /// # Errors
    /// It goes on elsewhere: this tail is to be forgotten, or the link.
    pub fn go_on(&mut self, source: Source, lineage: &Lineage, from: Offset) -> Result<(), TailError> {
        if from != self.whole || source != self.source || *lineage != self.lineage {
            return Err(TailError::OtherPlace { from, start: self.from, end: self.whole });
        }
        self.cut();
        Ok(())
    }

    /// How a node at `position` gets in step by this tail: never by a full sync, since there is no dataset here. One that
    /// holds more of the very epoch than was kept holds all of what was kept: one primary wrote it.
    ///
    /// # Errors
    /// It would need a dataset.
    pub fn serve(&self, position: Option<Position>) -> Result<Offset, FullReason> {
        let ahead = position.filter(|position| position.lineage_epoch == self.source.epoch);
        let end = ahead.map_or(self.whole, |position| position.offset.max(self.whole));
        match self.lineage.can_resume(position, self.from, end) {
            Resync::Partial { from } => Ok(from),
            Resync::Full { reason } => Err(reason),
        }
    }
}
