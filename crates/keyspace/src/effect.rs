//! Effects: the changes of a keyspace, and their encoding.
//!
//! One encoding serves the replication stream, full syncs and checkpoints. It is persisted and sent
//! between releases: an opcode, once released, keeps its number and its fields for good
//! (`tests/golden/effects-LEVEL.hex` pins those that came with a level). An effect is an opcode byte and its
//! fields; numbers are LEB128, strings are length-prefixed, scores are 8 little-endian bytes.
//!
//! A **level** is a set of opcodes: whoever writes names the level that it has applied, and whatever holds effects
//! (a frame, a part of a full sync, a checkpoint) says theirs. A new effect, or another form of one, is an
//! opcode more with its line in [`since`].
//!
//! Effects say results, not intentions: expiry is absolute, `INCR` is a `SetString`, `APPEND` is a
//! `SetRange` at the old length, `SPOP` names its members. The list effects and `Rename` are not
//! idempotent; replication applies each effect exactly once, at its offset.
//!
//! *Invariant:* nothing is written that its level does not have, and nothing is read that its level does not have.
//! *Invariant:* decoding is total and allocates nothing: any bytes give an effect or an [`EffectError`],
//! never a panic. (Applying a `SetRange` may take up to [`MAX_STRING_BYTES`], as `SETRANGE` may.)

use crate::items::Items;
use crate::stream::{self, StreamChange, StreamHead, StreamId};
use crate::value::{Kind, MAX_STRING_BYTES};
use crate::wire::{Reader, put_number, put_string, unzigzag, zigzag};
use ironcache_types::Level;

/// What `SetString` does to the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetExpiry {
    Never,
    /// Unix time in ms.
    At(u64),
    Keep,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Head,
    Tail,
}

/// The whole of a collection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content<'a> {
    /// (field, value) pairs.
    Hash(Items<'a, [&'a [u8]; 2]>),
    /// From head to tail.
    List(Items<'a, &'a [u8]>),
    Set(Items<'a, &'a [u8]>),
    Zset(Items<'a, (f64, &'a [u8])>),
    /// Without entries and groups, which follow as changes of it.
    Stream(StreamHead),
}

/// One change of one key, or of all (`Clear`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect<'a> {
    SetString {
        key: &'a [u8],
        value: &'a [u8],
        expiry: SetExpiry,
    },
    /// Overwrites from `offset` on; the string is first filled up to it with zero bytes.
    SetRange {
        key: &'a [u8],
        offset: u64,
        value: &'a [u8],
    },
    Delete {
        key: &'a [u8],
    },
    /// Moves value and expiry to `to`, replacing what is there.
    Rename {
        key: &'a [u8],
        to: &'a [u8],
    },
    ExpireAt {
        key: &'a [u8],
        at_ms: u64,
    },
    Persist {
        key: &'a [u8],
    },
    HashSet {
        key: &'a [u8],
        fields: Items<'a, [&'a [u8]; 2]>,
    },
    HashRemove {
        key: &'a [u8],
        fields: Items<'a, &'a [u8]>,
    },
    /// Pushes one after the other, so the last of `values` ends up outermost.
    ListPush {
        key: &'a [u8],
        side: Side,
        values: Items<'a, &'a [u8]>,
    },
    ListPop {
        key: &'a [u8],
        side: Side,
        count: u64,
    },
    /// `index` counts from the head, from 0, and exists.
    ListSet {
        key: &'a [u8],
        index: u64,
        value: &'a [u8],
    },
    /// Inserts before `index`, which is at most the length.
    ListInsert {
        key: &'a [u8],
        index: u64,
        value: &'a [u8],
    },
    /// Keeps `len` items from `from` on.
    ListTrim {
        key: &'a [u8],
        from: u64,
        len: u64,
    },
    /// As `LREM`: all equal items (0), the first `count`, or the last `-count`.
    ListRemove {
        key: &'a [u8],
        count: i64,
        value: &'a [u8],
    },
    SetAdd {
        key: &'a [u8],
        members: Items<'a, &'a [u8]>,
    },
    SetRemove {
        key: &'a [u8],
        members: Items<'a, &'a [u8]>,
    },
    ZsetAdd {
        key: &'a [u8],
        members: Items<'a, (f64, &'a [u8])>,
    },
    ZsetRemove {
        key: &'a [u8],
        members: Items<'a, &'a [u8]>,
    },
    /// See [`StreamChange`].
    Stream {
        key: &'a [u8],
        change: StreamChange<'a>,
    },
    /// Replaces whatever the key holds; empty content deletes it, but for a stream, which may be empty.
    Put {
        key: &'a [u8],
        expire_at_ms: Option<u64>,
        content: Content<'a>,
    },
    /// Deletes every key.
    Clear,
    /// The key holds how often it was touched, and keeps its expiry.
    #[cfg(feature = "next")]
    Touched {
        key: &'a [u8],
        times: u64,
    },
}

/// Why bytes are no effects, or why effects do not fit this keyspace. Either way the keyspace is not
/// what the sender believes: discard it and take a full copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    #[error("the bytes end inside an effect")]
    Truncated,
    #[error("effect opcode {opcode} is unknown to this release; a newer release wrote it, or it is corrupt")]
    UnknownOpcode { opcode: u8 },
    #[error(
        "effect opcode {opcode} exists since level {since}, and these effects say that they are of level {level}"
    )]
    OpcodeAboveLevel { opcode: u8, since: Level, level: Level },
    #[error("a number in an effect exceeds its range")]
    NumberTooLarge,
    #[error("a sorted set score is not a number")]
    ScoreIsNan,
    #[error("a string of {bytes} bytes exceeds the limit of {MAX_STRING_BYTES}")]
    StringTooLong { bytes: u64 },
    #[error("the key {key:?} holds a {found}, and the effect is for a {expected}: take a full copy")]
    WrongKind { key: String, expected: Kind, found: Kind },
    #[error("index {index} lies outside a list of {len}: take a full copy")]
    IndexOutside { index: u64, len: u64 },
    #[error("an entry {id} is to be added to a stream that has seen {last_id}: take a full copy")]
    StreamOrder { id: StreamId, last_id: StreamId },
    #[error("the block {id} of a stream is damaged, or there already: take a full copy")]
    StreamBlock { id: StreamId },
    #[error("a stream has no {blocks} blocks and {entries} entries more: take a full copy")]
    StreamTrim { blocks: u64, entries: u64 },
    #[error("a stream lacks the group or consumer that an effect is about: take a full copy")]
    NoConsumer,
}

/// The effect was not encoded: the level at which it was to be written does not have it. Whoever executes commands
/// refuses one that needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("effect opcode {opcode} exists since level {since}, and level {level} was to be written")]
pub struct AboveLevel {
    pub opcode: u8,
    pub since: Level,
    pub level: Level,
}

mod op {
    pub(super) const SET_STRING: u8 = 1;
    pub(super) const SET_STRING_UNTIL: u8 = 2;
    pub(super) const SET_STRING_KEEP_EXPIRY: u8 = 3;
    pub(super) const SET_RANGE: u8 = 4;
    pub(super) const DELETE: u8 = 5;
    pub(super) const RENAME: u8 = 6;
    pub(super) const EXPIRE_AT: u8 = 7;
    pub(super) const PERSIST: u8 = 8;
    pub(super) const CLEAR: u8 = 9;
    pub(super) const HASH_SET: u8 = 16;
    pub(super) const HASH_REMOVE: u8 = 17;
    pub(super) const LIST_PUSH_HEAD: u8 = 24;
    pub(super) const LIST_PUSH_TAIL: u8 = 25;
    pub(super) const LIST_POP_HEAD: u8 = 26;
    pub(super) const LIST_POP_TAIL: u8 = 27;
    pub(super) const LIST_SET: u8 = 28;
    pub(super) const LIST_INSERT: u8 = 29;
    pub(super) const LIST_TRIM: u8 = 30;
    pub(super) const LIST_REMOVE: u8 = 31;
    pub(super) const SET_ADD: u8 = 40;
    pub(super) const SET_REMOVE: u8 = 41;
    pub(super) const ZSET_ADD: u8 = 48;
    pub(super) const ZSET_REMOVE: u8 = 49;
    pub(super) const PUT_HASH: u8 = 64;
    pub(super) const PUT_LIST: u8 = 65;
    pub(super) const PUT_SET: u8 = 66;
    pub(super) const PUT_ZSET: u8 = 67;
    #[cfg(feature = "next")]
    pub(super) const TOUCHED: u8 = 128;
}

impl<'a> Effect<'a> {
    /// The key that changes; of `Rename` the source, of `Clear` none.
    pub fn key(&self) -> Option<&'a [u8]> {
        use Effect::*;
        match *self {
            SetString { key, .. } | SetRange { key, .. } | Delete { key } | Rename { key, .. } => Some(key),
            ExpireAt { key, .. } | Persist { key } | Put { key, .. } => Some(key),
            HashSet { key, .. } | HashRemove { key, .. } => Some(key),
            ListPush { key, .. } | ListPop { key, .. } | ListSet { key, .. } => Some(key),
            ListInsert { key, .. } | ListTrim { key, .. } | ListRemove { key, .. } => Some(key),
            SetAdd { key, .. } | SetRemove { key, .. } | ZsetAdd { key, .. } | ZsetRemove { key, .. } => {
                Some(key)
            }
            Stream { key, .. } => Some(key),
            Clear => None,
            #[cfg(feature = "next")]
            Touched { key, .. } => Some(key),
        }
    }

    fn opcode(&self) -> u8 {
        use Effect::*;
        match self {
            SetString { expiry: SetExpiry::Never, .. } => op::SET_STRING,
            SetString { expiry: SetExpiry::At(_), .. } => op::SET_STRING_UNTIL,
            SetString { expiry: SetExpiry::Keep, .. } => op::SET_STRING_KEEP_EXPIRY,
            SetRange { .. } => op::SET_RANGE,
            Delete { .. } => op::DELETE,
            Rename { .. } => op::RENAME,
            ExpireAt { .. } => op::EXPIRE_AT,
            Persist { .. } => op::PERSIST,
            Clear => op::CLEAR,
            HashSet { .. } => op::HASH_SET,
            HashRemove { .. } => op::HASH_REMOVE,
            ListPush { side: Side::Head, .. } => op::LIST_PUSH_HEAD,
            ListPush { side: Side::Tail, .. } => op::LIST_PUSH_TAIL,
            ListPop { side: Side::Head, .. } => op::LIST_POP_HEAD,
            ListPop { side: Side::Tail, .. } => op::LIST_POP_TAIL,
            ListSet { .. } => op::LIST_SET,
            ListInsert { .. } => op::LIST_INSERT,
            ListTrim { .. } => op::LIST_TRIM,
            ListRemove { .. } => op::LIST_REMOVE,
            SetAdd { .. } => op::SET_ADD,
            SetRemove { .. } => op::SET_REMOVE,
            ZsetAdd { .. } => op::ZSET_ADD,
            ZsetRemove { .. } => op::ZSET_REMOVE,
            Put { content: Content::Hash(_), .. } => op::PUT_HASH,
            Put { content: Content::List(_), .. } => op::PUT_LIST,
            Put { content: Content::Set(_), .. } => op::PUT_SET,
            Put { content: Content::Zset(_), .. } => op::PUT_ZSET,
            Put { content: Content::Stream(_), .. } => stream::op::PUT,
            Stream { change, .. } => change.opcode(),
            #[cfg(feature = "next")]
            Touched { .. } => op::TOUCHED,
        }
    }

    /// Hands it over in parts of bounded size, which do the same one after the other; mostly that is itself.
    pub(crate) fn parts(&self, mut each: impl FnMut(&Effect<'_>)) {
        use Effect::*;
        match *self {
            HashSet { key, fields } => fields.parts(|fields| each(&HashSet { key, fields })),
            HashRemove { key, fields } => fields.parts(|fields| each(&HashRemove { key, fields })),
            ListPush { key, side, values } => values.parts(|values| each(&ListPush { key, side, values })),
            SetAdd { key, members } => members.parts(|members| each(&SetAdd { key, members })),
            SetRemove { key, members } => members.parts(|members| each(&SetRemove { key, members })),
            ZsetAdd { key, members } => members.parts(|members| each(&ZsetAdd { key, members })),
            ZsetRemove { key, members } => members.parts(|members| each(&ZsetRemove { key, members })),
            Stream { key, change } => change.parts(|change| each(&Stream { key, change })),
            SetString { .. } | SetRange { .. } | Delete { .. } | Rename { .. } => each(self),
            ExpireAt { .. } | Persist { .. } | Clear | Put { .. } => each(self),
            ListPop { .. } | ListSet { .. } | ListInsert { .. } | ListTrim { .. } | ListRemove { .. } => {
                each(self);
            }
            #[cfg(feature = "next")]
            Touched { .. } => each(self),
        }
    }

    /// Appends the encoding, as `level` has it.
    ///
    /// # Errors
    /// The level has no such effect; nothing was appended.
    pub fn encode(&self, level: Level, out: &mut Vec<u8>) -> Result<(), AboveLevel> {
        use Effect::*;
        let opcode = self.opcode();
        let since = since(opcode).expect("the table has every opcode that an effect has");
        if since > level {
            return Err(AboveLevel { opcode, since, level });
        }
        out.push(opcode);
        if let Some(key) = self.key() {
            put_string(out, key);
        }
        match *self {
            SetString { key: _, value, expiry } => {
                match expiry {
                    SetExpiry::Never | SetExpiry::Keep => {}
                    SetExpiry::At(at_ms) => put_number(out, at_ms),
                }
                put_string(out, value);
            }
            SetRange { key: _, offset, value } => {
                put_number(out, offset);
                put_string(out, value);
            }
            Delete { key: _ } | Persist { key: _ } | Clear => {}
            Rename { key: _, to } => put_string(out, to),
            ExpireAt { key: _, at_ms } => put_number(out, at_ms),
            HashSet { key: _, fields } => fields.encode(out),
            HashRemove { key: _, fields } => fields.encode(out),
            ListPush { key: _, side: _, values } => values.encode(out),
            ListPop { key: _, side: _, count } => put_number(out, count),
            ListSet { key: _, index, value } | ListInsert { key: _, index, value } => {
                put_number(out, index);
                put_string(out, value);
            }
            ListTrim { key: _, from, len } => {
                put_number(out, from);
                put_number(out, len);
            }
            ListRemove { key: _, count, value } => {
                put_number(out, zigzag(count));
                put_string(out, value);
            }
            SetAdd { key: _, members } | SetRemove { key: _, members } => members.encode(out),
            ZsetAdd { key: _, members } => members.encode(out),
            ZsetRemove { key: _, members } => members.encode(out),
            Put { key: _, expire_at_ms, content } => {
                // 0 is "never"; a moment is one more than itself.
                put_number(out, expire_at_ms.map_or(0, |at_ms| at_ms.saturating_add(1)));
                match content {
                    Content::Hash(items) => items.encode(out),
                    Content::List(items) | Content::Set(items) => items.encode(out),
                    Content::Zset(items) => items.encode(out),
                    Content::Stream(head) => head.encode(out),
                }
            }
            Stream { key: _, change } => change.encode(out),
            #[cfg(feature = "next")]
            Touched { key: _, times } => put_number(out, times),
        }
        Ok(())
    }

    /// Decodes the first effect of `bytes`, which were written at `level`; answers it and the bytes after it.
    ///
    /// # Errors
    /// The codec's part of [`EffectError`].
    pub fn decode(bytes: &'a [u8], level: Level) -> Result<(Self, &'a [u8]), EffectError> {
        let mut reader = Reader { bytes };
        let r = &mut reader;
        let opcode = r.byte()?;
        // Told before its key is read: what follows an unknown opcode is not known to be one.
        let since = since(opcode).ok_or(EffectError::UnknownOpcode { opcode })?;
        if since > level {
            return Err(EffectError::OpcodeAboveLevel { opcode, since, level });
        }
        if opcode == op::CLEAR {
            return Ok((Effect::Clear, reader.bytes));
        }
        let key = r.string()?;
        let effect = match opcode {
            op::SET_STRING => Effect::SetString { key, value: r.string()?, expiry: SetExpiry::Never },
            op::SET_STRING_UNTIL => {
                let expiry = SetExpiry::At(moment(r.number()?)?);
                Effect::SetString { key, expiry, value: r.string()? }
            }
            op::SET_STRING_KEEP_EXPIRY => {
                Effect::SetString { key, value: r.string()?, expiry: SetExpiry::Keep }
            }
            op::SET_RANGE => {
                let (offset, value) = (r.number()?, r.string()?);
                let bytes = offset.saturating_add(value.len() as u64);
                if bytes > MAX_STRING_BYTES {
                    return Err(EffectError::StringTooLong { bytes });
                }
                Effect::SetRange { key, offset, value }
            }
            op::DELETE => Effect::Delete { key },
            op::RENAME => Effect::Rename { key, to: r.string()? },
            op::EXPIRE_AT => Effect::ExpireAt { key, at_ms: moment(r.number()?)? },
            op::PERSIST => Effect::Persist { key },
            op::HASH_SET => Effect::HashSet { key, fields: Items::decode(r)? },
            op::HASH_REMOVE => Effect::HashRemove { key, fields: Items::decode(r)? },
            op::LIST_PUSH_HEAD => Effect::ListPush { key, side: Side::Head, values: Items::decode(r)? },
            op::LIST_PUSH_TAIL => Effect::ListPush { key, side: Side::Tail, values: Items::decode(r)? },
            op::LIST_POP_HEAD => Effect::ListPop { key, side: Side::Head, count: r.number()? },
            op::LIST_POP_TAIL => Effect::ListPop { key, side: Side::Tail, count: r.number()? },
            op::LIST_SET => Effect::ListSet { key, index: r.number()?, value: r.string()? },
            op::LIST_INSERT => Effect::ListInsert { key, index: r.number()?, value: r.string()? },
            op::LIST_TRIM => Effect::ListTrim { key, from: r.number()?, len: r.number()? },
            op::LIST_REMOVE => Effect::ListRemove { key, count: unzigzag(r.number()?), value: r.string()? },
            op::SET_ADD => Effect::SetAdd { key, members: Items::decode(r)? },
            op::SET_REMOVE => Effect::SetRemove { key, members: Items::decode(r)? },
            op::ZSET_ADD => Effect::ZsetAdd { key, members: Items::decode(r)? },
            op::ZSET_REMOVE => Effect::ZsetRemove { key, members: Items::decode(r)? },
            #[cfg(feature = "next")]
            op::TOUCHED => Effect::Touched { key, times: r.number()? },
            _ => {
                if let Some(change) = StreamChange::decode(opcode, r)? {
                    return Ok((Effect::Stream { key, change }, reader.bytes));
                }
                let expire_at_ms = r.number()?.checked_sub(1).map(moment).transpose()?;
                let content = match opcode {
                    op::PUT_HASH => Content::Hash(Items::decode(r)?),
                    op::PUT_LIST => Content::List(Items::decode(r)?),
                    op::PUT_SET => Content::Set(Items::decode(r)?),
                    op::PUT_ZSET => Content::Zset(Items::decode(r)?),
                    stream::op::PUT => Content::Stream(StreamHead::decode(r)?),
                    _ => return Err(EffectError::UnknownOpcode { opcode }),
                };
                Effect::Put { key, expire_at_ms, content }
            }
        };
        Ok((effect, reader.bytes))
    }
}

/// The level since which an opcode exists; `None`: this release knows no such effect.
const fn since(opcode: u8) -> Option<Level> {
    match opcode {
        op::SET_STRING..=op::CLEAR
        | op::HASH_SET..=op::HASH_REMOVE
        | op::LIST_PUSH_HEAD..=op::LIST_REMOVE
        | op::SET_ADD..=op::SET_REMOVE
        | op::ZSET_ADD..=op::ZSET_REMOVE
        | op::PUT_HASH..=op::PUT_ZSET => Some(Level(1)),
        #[cfg(feature = "next")]
        op::TOUCHED => Some(ironcache_types::NEXT),
        _ => stream::since(opcode),
    }
}

/// Commands cannot ask for a moment beyond i64, so effects have none.
fn moment(at_ms: u64) -> Result<u64, EffectError> {
    if at_ms <= i64::MAX as u64 { Ok(at_ms) } else { Err(EffectError::NumberTooLarge) }
}
