//! Log entries: a frozen header and a body, sealed once by the proposer and decoded at apply, nowhere else. Between the two
//! stands who asked for it, where somebody did, whatever the kind.
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
mod v2;

pub use header::{EntryBytes, FLAG_ORIGIN, HEADER_BYTES, Header, HeaderError, peek};
pub use kind::EntryKind;

use crate::levels::{self, Format};
use crate::parts::v1::origin as v1_origin;
use crate::wire::{self, WireError, u16_at};
use crate::{AboveLevel, BadField};
use ironcache_control::{Command, Origin, Proposal};
use ironcache_types::{Level, RequestId};

/// The code of the refusal of an entry above the state's level.
pub const NOT_YET: &str = "not_yet";

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    AboveLevel(#[from] AboveLevel),
    #[error("the command cannot be encoded")]
    Encode(#[from] WireError),
    #[error("who asked for the command takes {bytes} bytes to say, more than an entry has room for")]
    Origin { bytes: usize },
}

/// Makes the entry of `command` that `request` names, at the level that the proposer has applied.
///
/// # Errors
/// The command, or a field of it that is set, came after `level`.
pub fn seal(command: &Command, request: RequestId, level: Level) -> Result<EntryBytes, SealError> {
    seal_of(command, None, request, level)
}

/// As [`seal`], of what somebody asked for.
///
/// # Errors
/// As [`seal`].
pub fn seal_proposal(proposal: &Proposal, request: RequestId, level: Level) -> Result<EntryBytes, SealError> {
    let Proposal { command, origin } = proposal;
    seal_of(command, origin.as_ref(), request, level)
}

fn seal_of(
    command: &Command,
    origin: Option<&Origin>,
    request: RequestId,
    level: Level,
) -> Result<EntryBytes, SealError> {
    let kind = EntryKind::of(command);
    let version = levels::version_at(Format::Entry(kind), level)
        .ok_or_else(|| AboveLevel { what: format!("the command {kind}"), level })?;
    let body = live::encode(command, level)?;
    let Some(origin) = origin else {
        let header = Header { kind: kind.number(), version, level, flags: 0, request };
        return Ok(EntryBytes::new(header, &body));
    };
    let origin = wire::encode(&v1_origin::Origin::from(origin))?;
    let length = u16::try_from(origin.len()).map_err(|_| SealError::Origin { bytes: origin.len() })?;
    let header = Header { kind: kind.number(), version, level, flags: FLAG_ORIGIN, request };
    Ok(EntryBytes::new(header, &[&length.to_le_bytes()[..], &origin, &body].concat()))
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
    #[error("who asked for an entry of kind {kind} and level {level} cannot be read")]
    Origin { kind: EntryKind, level: Level, source: WireError },
    #[error("an entry of kind {kind} and level {level} ends within who asked for it")]
    OriginCut { kind: EntryKind, level: Level },
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
    let (request, Proposal { command, origin: _ }) = open_proposal(entry, state)?;
    Ok((request, command))
}

/// As [`open`], with who asked for it.
///
/// # Errors
/// As [`open`].
pub fn open_proposal(entry: &EntryBytes, state: Level) -> Result<(RequestId, Proposal), EntryError> {
    let Header { kind, version, level, flags, request } = entry.header();
    if level > state {
        return Err(EntryError::NotYet { level, state });
    }
    let kind = EntryKind::from_number(kind).ok_or(EntryError::UnknownKind { kind, level })?;
    if levels::version_at(Format::Entry(kind), level) != Some(version) {
        return Err(EntryError::UnknownVersion { kind, version, level });
    }
    if flags & !FLAG_ORIGIN != 0 {
        return Err(EntryError::UnknownFlags { kind, flags, level });
    }
    let (origin, body) = match flags & FLAG_ORIGIN {
        0 => (None, entry.body()),
        _ => split_origin(kind, level, entry.body())?,
    };
    let command = live::decode(kind, level, body).map_err(|error| match error {
        live::DecodeError::Body(source) => EntryError::Body { kind, version, source },
        live::DecodeError::Field(source) => EntryError::Field { kind, version, source },
    })?;
    Ok((request, Proposal { command, origin }))
}

/// Who asked, and the body.
fn split_origin(kind: EntryKind, level: Level, bytes: &[u8]) -> Result<(Option<Origin>, &[u8]), EntryError> {
    let cut = || EntryError::OriginCut { kind, level };
    let (length, rest) = bytes.split_at_checked(2).ok_or_else(cut)?;
    let (origin, body) = rest.split_at_checked(u16_at(length, 0).into()).ok_or_else(cut)?;
    let origin = wire::decode::<v1_origin::Origin>(origin).map_err(|source| EntryError::Origin {
        kind,
        level,
        source,
    })?;
    Ok((Some(origin.into()), body))
}
