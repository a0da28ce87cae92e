//! How a replica gets in step: from the backlog, or from scratch, and why.

use ironcache_types::{Epoch, Level, LevelRange, Offset};
use std::fmt;

/// What a primary decides for a replica that said hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// The replica holds a prefix of the primary's stream: send it the backlog from `from`.
    Partial {
        from: Offset,
    },
    Full {
        reason: FullReason,
    },
}

impl Resync {
    /// The same for a replica whose release admits these levels. `oldest` is the level of the first frame that it would be
    /// sent; levels rise along a stream, so that all others are at or above it. One that is too old is in no dump: those are
    /// written at the present level.
    pub fn for_levels(self, admits: LevelRange, oldest: Option<Level>) -> Resync {
        match (self, oldest) {
            (Resync::Partial { from: _ }, Some(level)) if !admits.admits(level) => {
                Resync::Full { reason: FullReason::LevelNotAdmitted { level, admits } }
            }
            (Resync::Partial { .. } | Resync::Full { .. }, _) => self,
        }
    }

    /// What the wire says of it.
    pub fn mode(self) -> SyncMode {
        match self {
            Resync::Partial { from } => SyncMode::Partial { from },
            Resync::Full { reason: _ } => SyncMode::Full,
        }
    }
}

/// A [`Resync`] as the replica is told it: the reason stays in the primary's log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Frames follow from `from` on.
    Partial { from: Offset },
    /// Drop the dataset; slots follow.
    Full,
}

/// Why a partial resync is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullReason {
    /// The replica holds no dataset of this shard.
    NoPosition,
    /// The replica's epoch is not in the lineage: it is older than what is remembered, or another history's.
    UnknownEpoch { epoch: Epoch, oldest_known: Epoch },
    /// The replica claims an offset at which its epoch had not begun.
    BeforeItsEpoch { epoch: Epoch, offset: Offset, epoch_start: Offset },
    /// The replica holds effects which the primary's history lacks.
    Diverged { epoch: Epoch, offset: Offset, epoch_end: Offset },
    /// What the replica lacks was written at a level that its release does not read any more.
    LevelNotAdmitted { level: Level, admits: LevelRange },
    /// The backlog no longer holds what the replica lacks.
    BacklogPassed { offset: Offset, backlog_start: Offset },
}

impl fmt::Display for FullReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FullReason::NoPosition => write!(f, "the replica holds no dataset of this shard"),
            FullReason::UnknownEpoch { epoch, oldest_known } => {
                write!(
                    f,
                    "the replica's epoch {epoch} is not in the lineage, whose oldest epoch is {oldest_known}"
                )
            }
            FullReason::BeforeItsEpoch { epoch, offset, epoch_start } => {
                write!(
                    f,
                    "the replica claims offset {offset} in epoch {epoch}, which started at {epoch_start}"
                )
            }
            FullReason::Diverged { epoch, offset, epoch_end } => {
                write!(f, "the replica holds offset {offset} of epoch {epoch}, which ended at {epoch_end}")
            }
            FullReason::LevelNotAdmitted { level, admits } => {
                write!(
                    f,
                    "the backlog holds effects of level {level}, and the replica's release admits levels {admits}"
                )
            }
            FullReason::BacklogPassed { offset, backlog_start } => {
                write!(f, "the replica is at {offset}, and the backlog starts at {backlog_start}")
            }
        }
    }
}
