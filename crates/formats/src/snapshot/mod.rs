//! A snapshot: the state, its hash, and the level that both are of.
//!
//! ```text
//! envelope(kind Snapshot, level = the state's) [ hash u64 | state bytes ]        see `wire` and `state`
//! ```
//!
//! *Invariant:* a snapshot is sealed at the level of the state that it holds.
//! *Invariant:* what is opened hashes to what its writer said, and is of the level that its envelope says.

mod v1;

use crate::state::{self, Answer, ReadError, WriteError};
use crate::wire::{self, Header, Kind, WireError};
use ironcache_control::ControlState;
use ironcache_types::{Level, LevelRange};

/// A snapshot that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub state: ControlState,
    /// Oldest first.
    pub answers: Vec<Answer>,
    pub hash: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing of it is read: this release must not go on.
    #[error("the snapshot is of level {level}, and this release admits levels {admits}")]
    AboveLevel { level: Level, admits: LevelRange },
    #[error("the snapshot cannot be read")]
    Wire(#[from] WireError),
    #[error("the snapshot's state has the hash {found:016x}, and its writer said {said:016x}")]
    Hash { said: u64, found: u64 },
    #[error("the snapshot says level {said}, and its state is at level {found}")]
    Level { said: Level, found: Level },
    #[error(transparent)]
    State(#[from] ReadError),
}

/// Seals a state at its own level.
///
/// # Errors
/// This build does not admit that level.
pub fn seal<'a>(
    control: &ControlState,
    answers: impl IntoIterator<Item = &'a Answer>,
) -> Result<Vec<u8>, WriteError> {
    let level = state::level_of(control);
    let state = state::write(control, answers, level)?;
    let body = v1::Body { hash: state::hash_of(&state), state };
    Ok(wire::seal(Header::at(Kind::Snapshot, level)?, &body)?)
}

/// Opens a snapshot of any release, for one that admits `admits`. The level is looked at before anything else.
///
/// # Errors
/// What keeps it from being used.
pub fn open(bytes: &[u8], admits: LevelRange) -> Result<Snapshot, OpenError> {
    let level = wire::level_of(bytes)?;
    if level > admits.max {
        return Err(OpenError::AboveLevel { level, admits });
    }
    let opened = wire::open(Kind::Snapshot, bytes)?;
    // Every level is at version 1 so far.
    let v1::Body { hash, state } = opened.body()?;
    let found = state::hash_of(&state);
    if found != hash {
        return Err(OpenError::Hash { said: hash, found });
    }
    let (control, answers) = state::read(&state, level)?;
    let found = if control.cluster_id.is_some() { state::level_of(&control) } else { level };
    if found != level {
        return Err(OpenError::Level { said: level, found });
    }
    Ok(Snapshot { state: control, answers, hash })
}
