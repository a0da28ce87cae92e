//! The replicated state as bytes, and its hash.
//!
//! ```text
//!  ControlState + remembered answers ── newest ── … ── the version of a level ──► bytes ──► FNV-1a
//! ```
//!
//! What is written at a level is the same on every release that admits it, so the hash is too (I17).
//!
//! *Invariant:* a state at level L is hashed and kept at L, whatever the release could do.

mod live;
#[cfg(feature = "next")]
mod next;
mod v1;
mod v2;

#[cfg(feature = "next")]
use next as newest;
#[cfg(not(feature = "next"))]
use v2 as newest;

use crate::levels::{self, Format};
use crate::wire::{self, WireError};
use crate::{AboveLevel, BadField};
use ironcache_control::ControlState;
use ironcache_types::{Level, RequestId};

/// What is remembered of a request, so that sending it twice is harmless. Part of the state and of its hash: so no
/// prose, which two releases may word differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub request: RequestId,
    /// Where it was applied first.
    pub index: u64,
    /// The code of its refusal, if it was refused.
    pub refused: Option<String>,
}

/// From here on a state is of version 2 or above.
const WITH_USERS: Level = Level(2);

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    AboveLevel(#[from] AboveLevel),
    #[error("the control state cannot be encoded")]
    Encode(#[from] WireError),
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("this release does not read a control state of level {level}")]
    Level { level: Level },
    #[error("the control state cannot be read")]
    Body(#[from] WireError),
    #[error("the control state cannot be used")]
    Field(#[from] BadField),
}

/// The level that a state is kept and hashed at. Before `InitCluster` it has none, and is written at the lowest that
/// this build admits.
pub fn level_of(state: &ControlState) -> Level {
    match state.cluster_id {
        Some(_) => state.cluster_level,
        None => levels::RANGE.min,
    }
}

/// The state and the answers, oldest first, as bytes of `level`.
///
/// # Errors
/// This build does not admit the level, or a field that came after it is set.
pub fn write<'a>(
    state: &ControlState,
    answers: impl IntoIterator<Item = &'a Answer>,
    level: Level,
) -> Result<Vec<u8>, WriteError> {
    levels::version_at(Format::State, level)
        .ok_or_else(|| AboveLevel { what: "the control state".to_owned(), level })?;
    let state = newest::State::new(state, answers);
    #[cfg(feature = "next")]
    let state = {
        if level >= ironcache_types::NEXT {
            return Ok(wire::encode(&state)?);
        }
        state.older(level)?
    };
    if level < WITH_USERS {
        return Ok(wire::encode(&state.older(level)?)?);
    }
    Ok(wire::encode(&state)?)
}

/// What [`write()`] wrote at `level`.
///
/// # Errors
/// The bytes are no state of that level.
pub fn read(bytes: &[u8], level: Level) -> Result<(ControlState, Vec<Answer>), ReadError> {
    levels::version_at(Format::State, level).ok_or(ReadError::Level { level })?;
    #[cfg(feature = "next")]
    if level >= ironcache_types::NEXT {
        return Ok(wire::decode::<newest::State>(bytes)?.into_live()?);
    }
    let state = match level < WITH_USERS {
        true => v2::State::from(wire::decode::<v1::State>(bytes)?),
        false => wire::decode::<v2::State>(bytes)?,
    };
    #[cfg(feature = "next")]
    let state = newest::State::from(state);
    Ok(state.into_live()?)
}

/// The hash of a state: of what [`write()`] makes of it at its own level.
///
/// # Errors
/// As [`write()`].
pub fn hash<'a>(
    state: &ControlState,
    answers: impl IntoIterator<Item = &'a Answer>,
) -> Result<u64, WriteError> {
    Ok(hash_of(&write(state, answers, level_of(state))?))
}

/// FNV-1a, 64 bits: plain, and independent of compiler and platform.
pub fn hash_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
