//! Log entries: a frozen header and a body, sealed once by the proposer and decoded at apply, nowhere else.
//!
//! ```text
//!  Command ── seal, at the level applied ──► EntryBytes ── verbatim: WAL, RPC, forward, compaction ──► open ──► Command
//! ```
//!
//! The entry's level picks the decoder, the state's level the rules. Above the state's level an entry is `not_yet`,
//! undecoded, on every release alike. At or below it every node has to read it: what cannot be read stops the node.
//!
//! *Invariant:* no body is parsed that is above the state's level.

mod header;
mod kind;
mod live;
#[cfg(feature = "next")]
mod next;
mod v1;

pub use header::{EntryBytes, HEADER_BYTES, Header, HeaderError, peek};
pub use kind::EntryKind;

use crate::levels::{self, Format};
use crate::wire::WireError;
use crate::{AboveLevel, BadField};
use ironcache_control::Command;
use ironcache_types::{Level, RequestId};

/// The code of the refusal of an entry above the state's level.
pub const NOT_YET: &str = "not_yet";

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    AboveLevel(#[from] AboveLevel),
    #[error("the command cannot be encoded")]
    Encode(#[from] WireError),
}

/// Makes the entry of `command` that `request` names, at the level that the proposer has applied.
///
/// # Errors
/// The command, or a field of it that is set, came after `level`.
pub fn seal(command: &Command, request: RequestId, level: Level) -> Result<EntryBytes, SealError> {
    let kind = EntryKind::of(command);
    let version = levels::version_at(Format::Entry(kind), level)
        .ok_or_else(|| AboveLevel { what: format!("the command {kind}"), level })?;
    let body = live::encode(command, level)?;
    let header = Header { kind: kind.number(), version, level, flags: 0, request };
    Ok(EntryBytes::new(header, &body))
}

/// Why an entry has no command.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A rejection like another: remembered, and part of the hash. All others stop the node.
    #[error(
        "the command is of level {level}, and the cluster is at level {state}: finalize the upgrade first \
         (`ironcache cluster upgrade finalize`)"
    )]
    NotYet { level: Level, state: Level },
    #[error("an entry of level {level} is of the unknown kind {kind}")]
    UnknownKind { kind: u16, level: Level },
    #[error(
        "an entry of kind {kind} and level {level} says version {version}, which is not the one of that level"
    )]
    UnknownVersion { kind: EntryKind, version: u16, level: Level },
    #[error("an entry of kind {kind} and level {level} has the unknown flags {flags:#06x}")]
    UnknownFlags { kind: EntryKind, flags: u16, level: Level },
    #[error("the body of an entry of kind {kind} and version {version} cannot be read")]
    Body { kind: EntryKind, version: u16, source: WireError },
    #[error("the body of an entry of kind {kind} and version {version} cannot be used")]
    Field { kind: EntryKind, version: u16, source: BadField },
}

/// What was proposed, for a state that is at level `state`.
///
/// # Errors
/// [`EntryError::NotYet`] is for the proposer; all others mean that this release cannot go on.
pub fn open(entry: &EntryBytes, state: Level) -> Result<(RequestId, Command), EntryError> {
    let Header { kind, version, level, flags, request } = entry.header();
    if level > state {
        return Err(EntryError::NotYet { level, state });
    }
    let kind = EntryKind::from_number(kind).ok_or(EntryError::UnknownKind { kind, level })?;
    if levels::version_at(Format::Entry(kind), level) != Some(version) {
        return Err(EntryError::UnknownVersion { kind, version, level });
    }
    if flags != 0 {
        return Err(EntryError::UnknownFlags { kind, flags, level });
    }
    let command = live::decode(kind, level, entry.body()).map_err(|error| match error {
        live::DecodeError::Body(source) => EntryError::Body { kind, version, source },
        live::DecodeError::Field(source) => EntryError::Field { kind, version, source },
    })?;
    Ok((request, command))
}
