//! The wire codec of the replication link, both directions.
//!
//! ```text
//! [len u32][crc32 u32][kind u8][body: len - 1 bytes]        little-endian; the crc covers kind and body
//! ```
//!
//! *Invariant:* the length is checked before anything is kept for it, the crc before the body is looked
//! at, and no bytes whatever panic. A message has exactly one encoding: trailing bytes are an error.
//! *Invariant:* a kind's number and shape never change within a version; the golden test holds them.

use crate::lineage::{Lineage, LineageError};
use crate::message::{
    Accept, Ack, Effects, Fence, Hello, Message, Promoted, Purpose, Scope, Source, SyncChunk, SyncEnd,
};
use crate::position::Position;
use crate::resync::SyncMode;
use crate::wire::{Reader, put_u16, put_u64, put_u128};
use ironcache_types::{
    ClusterId, Epoch, Incarnation, Member, NodeId, Offset, SLOT_COUNT, ShardId, Slot, WireRange,
};

/// The link's versions that this build reads; it writes the highest that the cluster level allows.
pub const LINK_VERSIONS: WireRange = WireRange { min: 1, max: 1 };

/// `len`, `crc32` and `kind`.
pub const HEADER_BYTES: usize = 9;

/// What an [`Effects`] frame adds to its bytes: header, epoch, start and scope.
pub const EFFECTS_OVERHEAD_BYTES: usize = HEADER_BYTES + 8 + 8 + 2;

/// The largest body that carries data. Smaller, and an EXEC of two of Redis's largest values (512 MiB)
/// could not be replicated; larger, and damage in a length makes a reader buffer that much in vain.
pub const DATA_BODY_BYTES_MAX: usize = (1 << 30) + (64 << 10);

/// The largest body of any other kind: a full lineage is 1 KiB.
pub const CONTROL_BODY_BYTES_MAX: usize = 4 << 10;

/// Longer reasons of a `Refuse` are cut.
pub const REASON_BYTES_MAX: usize = 1 << 10;

mod kind {
    pub const HELLO: u8 = 1;
    pub const ACK: u8 = 2;
    pub const ACCEPT: u8 = 3;
    pub const REFUSE: u8 = 4;
    pub const SYNC_CHUNK: u8 = 5;
    pub const SYNC_END: u8 = 6;
    pub const EFFECTS: u8 = 7;
    pub const FENCE: u8 = 8;
    pub const PROMOTED: u8 = 9;
    pub const PING: u8 = 10;
}

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
    #[error("the replica speaks link version {found}; this release speaks {}", LINK_VERSIONS)]
    Version { found: u16 },
    #[error("the body of a frame of kind {kind} is malformed: {what}")]
    Malformed { kind: u8, what: &'static str },
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

/// Reads one message off the front of `input`: it and the length of its frame in bytes, or `None` if
/// the frame is not complete yet.
pub fn decode(input: &[u8]) -> Result<Option<(Message<'_>, usize)>, FrameError> {
    let mut reader = Reader::new(input);
    let (Some(len), Some(found), Some(kind)) = (reader.u32(), reader.u32(), reader.u8()) else {
        return Ok(None);
    };
    let body_bytes = (len as usize).checked_sub(1).ok_or(FrameError::Empty)?;
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
    Ok(Some((read_body(kind, &covered[1..])?, frame_bytes)))
}

/// Appends one message; gives the length of its frame in bytes.
pub fn encode(message: &Message<'_>, out: &mut Vec<u8>) -> Result<usize, FrameTooLarge> {
    match message {
        Message::Hello(hello) => frame(out, kind::HELLO, |out| write_hello(hello, out)),
        Message::Ack(Ack { source, applied }) => frame(out, kind::ACK, |out| {
            write_source(*source, out);
            put_u64(out, applied.0);
        }),
        Message::Accept(Accept { source, mode, lineage }) => frame(out, kind::ACCEPT, |out| {
            write_source(*source, out);
            match mode {
                SyncMode::Full => out.push(0),
                SyncMode::Partial { from } => {
                    out.push(1);
                    put_u64(out, from.0);
                }
            }
            lineage.write(out);
        }),
        Message::Refuse { reason } => frame(out, kind::REFUSE, |out| {
            out.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)]);
        }),
        Message::SyncChunk(SyncChunk { slot, bytes }) => {
            encode_sync_chunk(out, *slot, |out| out.extend(*bytes))
        }
        Message::SyncEnd(SyncEnd { lineage, offset }) => frame(out, kind::SYNC_END, |out| {
            put_u64(out, offset.0);
            lineage.write(out);
        }),
        Message::Effects(Effects { epoch, start, scope, bytes }) => {
            encode_effects(out, *epoch, *start, *scope, |out| out.extend_from_slice(bytes))
        }
        Message::Fence(Fence { handover_epoch, offset }) => frame(out, kind::FENCE, |out| {
            put_u64(out, handover_epoch.0);
            put_u64(out, offset.0);
        }),
        Message::Promoted(Promoted { shard, epoch, log_index }) => frame(out, kind::PROMOTED, |out| {
            put_u16(out, shard.0);
            put_u64(out, epoch.0);
            put_u64(out, *log_index);
        }),
        Message::Ping { now_ms, applied_index } => frame(out, kind::PING, |out| {
            put_u64(out, *now_ms);
            put_u64(out, *applied_index);
        }),
    }
}

/// Appends one [`Effects`] frame, whose bytes `write` appends in place: the hot path of every write.
/// Gives the frame's length in bytes, by which the stream's offset advances.
pub fn encode_effects(
    out: &mut Vec<u8>,
    epoch: Epoch,
    start: Offset,
    scope: Scope,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, FrameTooLarge> {
    frame(out, kind::EFFECTS, |out| {
        let mut head = [0; EFFECTS_OVERHEAD_BYTES - HEADER_BYTES];
        head[..8].copy_from_slice(&epoch.0.to_le_bytes());
        head[8..16].copy_from_slice(&start.0.to_le_bytes());
        head[16..].copy_from_slice(&scope.to_wire().to_le_bytes());
        out.extend_from_slice(&head);
        write(out);
    })
}

/// Appends one [`SyncChunk`] frame, whose bytes `write` appends in place.
pub fn encode_sync_chunk(
    out: &mut Vec<u8>,
    slot: Slot,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, FrameTooLarge> {
    frame(out, kind::SYNC_CHUNK, |out| {
        put_u16(out, slot.0);
        write(out);
    })
}

fn body_bytes_max(kind: u8) -> usize {
    match kind {
        kind::EFFECTS | kind::SYNC_CHUNK => DATA_BODY_BYTES_MAX,
        _ => CONTROL_BODY_BYTES_MAX,
    }
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

fn write_source(source: Source, out: &mut Vec<u8>) {
    let Source { epoch, incarnation } = source;
    put_u64(out, epoch.0);
    put_u64(out, incarnation.0);
}

fn write_hello(hello: &Hello, out: &mut Vec<u8>) {
    let Hello { version, cluster_id, shard, member: Member { node, incarnation }, purpose, position } = hello;
    put_u16(out, *version);
    put_u128(out, cluster_id.0);
    put_u16(out, shard.0);
    put_u64(out, node.0);
    put_u64(out, incarnation.0);
    out.push(match purpose {
        Purpose::Follow => 0,
        Purpose::NextSource => 1,
    });
    match position {
        None => out.push(0),
        Some(Position { lineage_epoch, offset }) => {
            out.push(1);
            put_u64(out, lineage_epoch.0);
            put_u64(out, offset.0);
        }
    }
}

fn read_body(kind: u8, bytes: &[u8]) -> Result<Message<'_>, FrameError> {
    let mut body = Body { kind, reader: Reader::new(bytes) };
    let message = match kind {
        kind::HELLO => Message::Hello(body.hello()?),
        kind::ACK => Message::Ack(Ack { source: body.source()?, applied: body.offset()? }),
        kind::ACCEPT => {
            Message::Accept(Accept { source: body.source()?, mode: body.mode()?, lineage: body.lineage()? })
        }
        kind::REFUSE => {
            let reason = std::str::from_utf8(body.reader.take_rest());
            Message::Refuse { reason: reason.map_err(|_| body.malformed("the reason is not UTF-8"))? }
        }
        kind::SYNC_CHUNK => {
            let slot = body.u16()?;
            if slot >= SLOT_COUNT {
                return Err(body.malformed("the slot does not exist"));
            }
            Message::SyncChunk(SyncChunk { slot: Slot(slot), bytes: body.reader.take_rest() })
        }
        kind::SYNC_END => {
            let offset = body.offset()?;
            Message::SyncEnd(SyncEnd { lineage: body.lineage()?, offset })
        }
        kind::EFFECTS => Message::Effects(body.effects()?),
        kind::FENCE => Message::Fence(Fence { handover_epoch: Epoch(body.u64()?), offset: body.offset()? }),
        kind::PROMOTED => Message::Promoted(Promoted {
            shard: ShardId(body.u16()?),
            epoch: Epoch(body.u64()?),
            log_index: body.u64()?,
        }),
        kind::PING => Message::Ping { now_ms: body.u64()?, applied_index: body.u64()? },
        _ => return Err(FrameError::UnknownKind { kind }),
    };
    if !body.reader.is_empty() {
        return Err(body.malformed("bytes follow the last field"));
    }
    Ok(message)
}

/// A body being read: a reader that knows which kind to blame.
struct Body<'a> {
    kind: u8,
    reader: Reader<'a>,
}

impl<'a> Body<'a> {
    fn malformed(&self, what: &'static str) -> FrameError {
        FrameError::Malformed { kind: self.kind, what }
    }

    fn short<T>(&self, field: Option<T>) -> Result<T, FrameError> {
        field.ok_or_else(|| self.malformed("it ends inside a field"))
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        let field = self.reader.u8();
        self.short(field)
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        let field = self.reader.u16();
        self.short(field)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        let field = self.reader.u64();
        self.short(field)
    }

    fn offset(&mut self) -> Result<Offset, FrameError> {
        self.u64().map(Offset)
    }

    fn source(&mut self) -> Result<Source, FrameError> {
        Ok(Source { epoch: Epoch(self.u64()?), incarnation: Incarnation(self.u64()?) })
    }

    fn lineage(&mut self) -> Result<Lineage, FrameError> {
        let lineage = Lineage::read(&mut self.reader);
        self.short(lineage)?.map_err(|source| FrameError::Lineage { kind: self.kind, source })
    }

    fn mode(&mut self) -> Result<SyncMode, FrameError> {
        match self.u8()? {
            0 => Ok(SyncMode::Full),
            1 => Ok(SyncMode::Partial { from: self.offset()? }),
            _ => Err(self.malformed("the sync mode is unknown")),
        }
    }

    fn hello(&mut self) -> Result<Hello, FrameError> {
        let version = self.u16()?;
        if !LINK_VERSIONS.contains(version) {
            return Err(FrameError::Version { found: version });
        }
        let cluster_id = self.reader.u128();
        let cluster_id = ClusterId(self.short(cluster_id)?);
        let shard = ShardId(self.u16()?);
        let member = Member { node: NodeId(self.u64()?), incarnation: Incarnation(self.u64()?) };
        let purpose = match self.u8()? {
            0 => Purpose::Follow,
            1 => Purpose::NextSource,
            _ => return Err(self.malformed("the purpose is unknown")),
        };
        let position = match self.u8()? {
            0 => None,
            1 => Some(Position { lineage_epoch: Epoch(self.u64()?), offset: self.offset()? }),
            _ => return Err(self.malformed("the position is neither absent nor present")),
        };
        Ok(Hello { version, cluster_id, shard, member, purpose, position })
    }

    fn effects(&mut self) -> Result<Effects<'a>, FrameError> {
        let (epoch, start, scope) = (Epoch(self.u64()?), self.offset()?, self.u16()?);
        let scope = Scope::from_wire(scope).ok_or_else(|| self.malformed("the slot does not exist"))?;
        let bytes = self.reader.take_rest();
        if start.0.checked_add((EFFECTS_OVERHEAD_BYTES + bytes.len()) as u64).is_none() {
            return Err(self.malformed("the offset overflows"));
        }
        Ok(Effects { epoch, start, scope, bytes })
    }
}
