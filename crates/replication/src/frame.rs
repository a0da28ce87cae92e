//! The wire codec of the replication link, both directions.
//!
//! ```text
//! [len u32][crc32 u32][kind u8][body: len - 1 bytes]        little-endian; the crc covers kind and body
//! ```
//!
//! *Invariant:* the kind and the length are checked before anything is kept for them, the crc before the body is looked
//! at, and no bytes whatever panic. At a version a message has exactly one encoding, and trailing bytes are an error; only
//! the handshake, which has no version, ignores them.
//! *Invariant:* a kind's number and shape never change within a version; the golden files hold them.

use crate::body::{Body, write_mode, write_source};
use crate::handshake::{Accept, Hello, Refuse};
use crate::kind::{self, body_bytes_max};
use crate::lineage::LineageError;
use crate::message::{
    Ack, Effects, Fence, Message, Progress, Promoted, Scope, SyncBegin, SyncChunk, SyncEnd,
};
use crate::version::LinkVersion;
use crate::wire::{Reader, put_u16, put_u64};
use ironcache_types::{Epoch, Level, Offset, SLOT_COUNT, ShardId, Slot};

/// `len`, `crc32` and `kind`.
pub const HEADER_BYTES: usize = 9;

/// What an [`Effects`] frame adds to its bytes: header, level, epoch, start and scope.
pub const EFFECTS_OVERHEAD_BYTES: usize = HEADER_BYTES + 2 + 8 + 8 + 2;

/// Why bytes are not a message. The link that carried them is beyond repair: close it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of length 0: the smallest holds its kind")]
    Empty,
    #[error("a frame of kind {kind} announces a body of {body_bytes} bytes; at most {max_bytes} are allowed")]
    TooLong { kind: u8, body_bytes: usize, max_bytes: usize },
    #[error("a frame of kind {kind} carries checksum {found:08x}, and its bytes give {computed:08x}")]
    Checksum { kind: u8, found: u32, computed: u32 },
    #[error("frames of kind {kind} are unknown to this release")]
    UnknownKind { kind: u8 },
    #[error("frames of kind {kind} exist since link version {since}, and this link speaks version {version}")]
    AboveVersion { kind: u8, since: LinkVersion, version: LinkVersion },
    #[error("the replica opens the link for purpose {purpose}, which is unknown to this release")]
    UnknownPurpose { purpose: u8 },
    #[error("the body of a frame of kind {kind}, version {version}, is malformed: {what}")]
    Malformed { kind: u8, version: LinkVersion, what: &'static str },
    #[error("the lineage in a frame of kind {kind} is impossible")]
    Lineage { kind: u8, source: LineageError },
}

/// The message was not encoded, and nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a body of {body_bytes} bytes does not fit a frame, which holds {max_bytes}: refuse the command before it executes"
)]
pub struct FrameTooLarge {
    pub body_bytes: usize,
    pub max_bytes: usize,
}

/// The message was not encoded, and nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
    #[error(
        "messages of kind {kind} exist since link version {since}, and this link speaks version {version}"
    )]
    AboveVersion { kind: u8, since: LinkVersion, version: LinkVersion },
}

/// Reads one message off the front of `input`, on a link of this version: it and the length of its frame in bytes, or
/// `None` if the frame is not complete yet. The kind and the length are judged by the header alone.
pub fn decode(input: &[u8], version: LinkVersion) -> Result<Option<(Message<'_>, usize)>, FrameError> {
    let mut reader = Reader::new(input);
    let (Some(len), Some(found), Some(kind)) = (reader.u32(), reader.u32(), reader.u8()) else {
        return Ok(None);
    };
    let body_bytes = (len as usize).checked_sub(1).ok_or(FrameError::Empty)?;
    let since = kind::since(kind).ok_or(FrameError::UnknownKind { kind })?;
    if since > version {
        return Err(FrameError::AboveVersion { kind, since, version });
    }
    let max_bytes = body_bytes_max(kind);
    if body_bytes > max_bytes {
        return Err(FrameError::TooLong { kind, body_bytes, max_bytes });
    }
    let frame_bytes = HEADER_BYTES + body_bytes;
    let Some(covered) = input.get(HEADER_BYTES - 1..frame_bytes) else {
        return Ok(None);
    };
    let computed = crc32fast::hash(covered);
    if found != computed {
        return Err(FrameError::Checksum { kind, found, computed });
    }
    Ok(Some((read_body(Body::new(kind, version, &covered[1..]))?, frame_bytes)))
}

/// Appends one message for a link of this version; gives the length of its frame in bytes.
pub fn encode(message: &Message<'_>, version: LinkVersion, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    let kind = kind_of(message);
    exists(kind, version)?;
    let len = match message {
        Message::Hello(hello) => frame(out, kind, |out| hello.write(out)),
        Message::Accept(accept) => frame(out, kind, |out| accept.write(out)),
        Message::Refuse(refuse) => frame(out, kind, |out| refuse.write(out)),
        Message::Ack(Ack { source, applied }) => frame(out, kind, |out| {
            write_source(*source, out);
            put_u64(out, applied.0);
        }),
        Message::Progress(Progress { received_bytes, effects }) => frame(out, kind, |out| {
            put_u64(out, *received_bytes);
            put_u64(out, *effects);
        }),
        Message::SyncBegin(SyncBegin { source, mode, lineage }) => frame(out, kind, |out| {
            write_source(*source, out);
            write_mode(*mode, out);
            lineage.write(out);
        }),
        Message::SyncChunk(SyncChunk { level, slot, bytes }) => {
            return encode_sync_chunk(out, version, *level, *slot, |out| out.extend(*bytes));
        }
        Message::SyncEnd(SyncEnd { lineage, offset }) => frame(out, kind, |out| {
            put_u64(out, offset.0);
            lineage.write(out);
        }),
        Message::Effects(Effects { level, epoch, start, scope, bytes }) => {
            encode_effects(out, *level, *epoch, *start, *scope, |out| out.extend_from_slice(bytes))
        }
        Message::EffectsPart(Effects { level, epoch, start, scope, bytes }) => {
            encode_effects_part(out, *level, *epoch, *start, *scope, |out| out.extend_from_slice(bytes))
        }
        Message::Fence(Fence { handover_epoch, offset }) => frame(out, kind, |out| {
            put_u64(out, handover_epoch.0);
            put_u64(out, offset.0);
        }),
        Message::Promoted(Promoted { shard, epoch, log_index }) => frame(out, kind, |out| {
            put_u16(out, shard.0);
            put_u64(out, epoch.0);
            put_u64(out, *log_index);
        }),
        Message::Ping { now_ms, applied_index } => frame(out, kind, |out| {
            put_u64(out, *now_ms);
            put_u64(out, *applied_index);
        }),
        #[cfg(feature = "next")]
        Message::Clock { unix_ms } => frame(out, kind, |out| put_u64(out, *unix_ms)),
    };
    Ok(len?)
}

/// Appends one [`Effects`] frame, whose bytes `write` appends in place: the hot path of every write. It is the same at
/// every version of the link. Gives the frame's length in bytes, by which the stream's offset advances.
pub fn encode_effects(
    out: &mut Vec<u8>,
    level: Level,
    epoch: Epoch,
    start: Offset,
    scope: Scope,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, FrameTooLarge> {
    encode_effects_as(kind::EFFECTS, out, level, epoch, start, scope, write)
}

/// The same of a part that is not the last one.
pub(crate) fn encode_effects_part(
    out: &mut Vec<u8>,
    level: Level,
    epoch: Epoch,
    start: Offset,
    scope: Scope,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, FrameTooLarge> {
    encode_effects_as(kind::EFFECTS_PART, out, level, epoch, start, scope, write)
}

#[inline]
fn encode_effects_as(
    kind: u8,
    out: &mut Vec<u8>,
    level: Level,
    epoch: Epoch,
    start: Offset,
    scope: Scope,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, FrameTooLarge> {
    frame(out, kind, |out| {
        let mut head = [0; EFFECTS_OVERHEAD_BYTES - HEADER_BYTES];
        head[..2].copy_from_slice(&level.0.to_le_bytes());
        head[2..10].copy_from_slice(&epoch.0.to_le_bytes());
        head[10..18].copy_from_slice(&start.0.to_le_bytes());
        head[18..].copy_from_slice(&scope.to_wire().to_le_bytes());
        out.extend_from_slice(&head);
        write(out);
    })
}

/// The level of the [`Effects`] frame whose first bytes these are; `None` if they are of none, or too few.
pub(crate) fn level_of_frame(head: &[u8]) -> Option<Level> {
    let (kind, rest) = head.get(HEADER_BYTES - 1..)?.split_first()?;
    [kind::EFFECTS, kind::EFFECTS_PART].contains(kind).then(|| Reader::new(rest).u16().map(Level)).flatten()
}

/// How much of a frame [`level_of_frame`] looks at.
pub(crate) const LEVEL_HEAD_BYTES: usize = HEADER_BYTES + 2;

/// Appends one [`SyncChunk`] frame for a link of this version, whose bytes `write` appends in place.
pub fn encode_sync_chunk(
    out: &mut Vec<u8>,
    version: LinkVersion,
    level: Level,
    slot: Slot,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, EncodeError> {
    exists(kind::SYNC_CHUNK, version)?;
    let len = frame(out, kind::SYNC_CHUNK, |out| {
        put_u16(out, level.0);
        put_u16(out, slot.0);
        write(out);
    })?;
    Ok(len)
}

fn kind_of(message: &Message<'_>) -> u8 {
    match message {
        Message::Hello(_) => kind::HELLO,
        Message::Accept(_) => kind::ACCEPT,
        Message::Refuse(_) => kind::REFUSE,
        Message::Ack(_) => kind::ACK,
        Message::Progress(_) => kind::PROGRESS,
        Message::SyncBegin(_) => kind::SYNC_BEGIN,
        Message::SyncChunk(_) => kind::SYNC_CHUNK,
        Message::SyncEnd(_) => kind::SYNC_END,
        Message::Effects(_) => kind::EFFECTS,
        Message::EffectsPart(_) => kind::EFFECTS_PART,
        Message::Fence(_) => kind::FENCE,
        Message::Promoted(_) => kind::PROMOTED,
        Message::Ping { .. } => kind::PING,
        #[cfg(feature = "next")]
        Message::Clock { .. } => kind::CLOCK,
    }
}

/// May a message of this kind be said on a link of this version?
fn exists(kind: u8, version: LinkVersion) -> Result<(), EncodeError> {
    let since = kind::since(kind).expect("the table has every kind that a message has");
    if since > version { Err(EncodeError::AboveVersion { kind, since, version }) } else { Ok(()) }
}

fn frame(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, FrameTooLarge> {
    let begin = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out[begin + 8] = kind;
    write(out);
    let (body_bytes, max_bytes) = (out.len() - begin - HEADER_BYTES, body_bytes_max(kind));
    if body_bytes > max_bytes {
        out.truncate(begin);
        return Err(FrameTooLarge { body_bytes, max_bytes });
    }
    let len = u32::try_from(body_bytes + 1).expect("every limit is below 4 GiB");
    let crc = crc32fast::hash(&out[begin + 8..]);
    out[begin..begin + 4].copy_from_slice(&len.to_le_bytes());
    out[begin + 4..begin + 8].copy_from_slice(&crc.to_le_bytes());
    Ok(HEADER_BYTES + body_bytes)
}

fn read_body(mut body: Body<'_>) -> Result<Message<'_>, FrameError> {
    let message = match body.kind {
        // What follows their fields is of a later release, and ignored.
        kind::HELLO => return Ok(Message::Hello(Hello::read(&mut body)?)),
        kind::ACCEPT => return Ok(Message::Accept(Accept::read(&mut body)?)),
        kind::REFUSE => return Ok(Message::Refuse(Refuse::read(&mut body)?)),
        kind::ACK => Message::Ack(Ack { source: body.source()?, applied: body.offset()? }),
        kind::PROGRESS => Message::Progress(Progress { received_bytes: body.u64()?, effects: body.u64()? }),
        kind::SYNC_BEGIN => Message::SyncBegin(SyncBegin {
            source: body.source()?,
            mode: body.mode()?,
            lineage: body.lineage()?,
        }),
        kind::SYNC_CHUNK => {
            let (level, slot) = (Level(body.u16()?), body.u16()?);
            if slot >= SLOT_COUNT {
                return Err(body.malformed("the slot does not exist"));
            }
            Message::SyncChunk(SyncChunk { level, slot: Slot(slot), bytes: body.reader.take_rest() })
        }
        kind::SYNC_END => {
            let offset = body.offset()?;
            Message::SyncEnd(SyncEnd { lineage: body.lineage()?, offset })
        }
        kind::EFFECTS => Message::Effects(read_effects(&mut body)?),
        kind::EFFECTS_PART => Message::EffectsPart(read_effects(&mut body)?),
        kind::FENCE => Message::Fence(Fence { handover_epoch: Epoch(body.u64()?), offset: body.offset()? }),
        kind::PROMOTED => Message::Promoted(Promoted {
            shard: ShardId(body.u16()?),
            epoch: Epoch(body.u64()?),
            log_index: body.u64()?,
        }),
        kind::PING => Message::Ping { now_ms: body.u64()?, applied_index: body.u64()? },
        #[cfg(feature = "next")]
        kind::CLOCK => Message::Clock { unix_ms: body.u64()? },
        kind => return Err(FrameError::UnknownKind { kind }),
    };
    if !body.reader.is_empty() {
        return Err(body.malformed("bytes follow the last field"));
    }
    Ok(message)
}

fn read_effects<'a>(body: &mut Body<'a>) -> Result<Effects<'a>, FrameError> {
    let (level, epoch, start, scope) = (Level(body.u16()?), Epoch(body.u64()?), body.offset()?, body.u16()?);
    let scope = Scope::from_wire(scope).ok_or_else(|| body.malformed("the slot does not exist"))?;
    let bytes = body.reader.take_rest();
    if start.0.checked_add((EFFECTS_OVERHEAD_BYTES + bytes.len()) as u64).is_none() {
        return Err(body.malformed("the offset overflows"));
    }
    Ok(Effects { level, epoch, start, scope, bytes })
}
