//! Changes of a stream, and their encoding: the effects of the stream commands.
//!
//! As all effects they say what happened: ids and times are resolved, trimming says what went, and a block of entries is the
//! bytes that it is held in.
//!
//! *Invariant:* as of all effects: numbers and fields of an opcode stay as they are for good.

use super::id::StreamId;
use crate::effect::EffectError;
use crate::items::{Item, Items, sealed::Coded};
use crate::wire::{Reader, put_number, put_string, unzigzag, zigzag};
use ironcache_types::Level;

/// What a stream says of itself beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamHead {
    /// No entry with this id or a lower one is added any more.
    pub last_id: StreamId,
    /// The highest id that was ever deleted by name.
    pub max_deleted: StreamId,
    /// How many entries were ever added.
    pub added: u64,
}

/// An entry that was given to a consumer, and when, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: StreamId,
    /// Unix time in ms.
    pub delivered_ms: i64,
    pub deliveries: u64,
}

/// One change of one stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StreamChange<'a> {
    /// An entry more, after all others; creates the stream.
    Add {
        id: StreamId,
        fields: Items<'a, [&'a [u8]; 2]>,
    },
    /// Entries that were added elsewhere: the bytes of a block, under its id.
    Block {
        id: StreamId,
        bytes: &'a [u8],
    },
    Head(StreamHead),
    Delete {
        ids: Items<'a, StreamId>,
    },
    /// Drops so many blocks at the front, and deletes so many entries of the one that is then the first.
    Trim {
        blocks: u64,
        entries: u64,
    },
    /// Creates a group, or sets where it is.
    Group {
        name: &'a [u8],
        last_id: StreamId,
        entries_read: i64,
    },
    RemoveGroup {
        name: &'a [u8],
    },
    /// Creates a consumer, or says when it was last seen.
    Consumer {
        group: &'a [u8],
        name: &'a [u8],
        seen_ms: i64,
    },
    /// With what is pending for it.
    RemoveConsumer {
        group: &'a [u8],
        name: &'a [u8],
    },
    /// Makes entries pending for this consumer, and for no other.
    Pend {
        group: &'a [u8],
        consumer: &'a [u8],
        pending: Items<'a, Pending>,
    },
    /// They are pending no more.
    Acknowledge {
        group: &'a [u8],
        ids: Items<'a, StreamId>,
    },
}

pub(crate) mod op {
    pub(in crate::stream) const ADD: u8 = 80;
    pub(in crate::stream) const BLOCK: u8 = 81;
    pub(in crate::stream) const HEAD: u8 = 82;
    pub(in crate::stream) const DELETE: u8 = 83;
    pub(in crate::stream) const TRIM: u8 = 84;
    pub(in crate::stream) const GROUP: u8 = 85;
    pub(in crate::stream) const REMOVE_GROUP: u8 = 86;
    pub(in crate::stream) const CONSUMER: u8 = 87;
    pub(in crate::stream) const REMOVE_CONSUMER: u8 = 88;
    pub(in crate::stream) const PEND: u8 = 89;
    pub(in crate::stream) const ACKNOWLEDGE: u8 = 90;
    /// As the effects that put a whole collection.
    pub(crate) const PUT: u8 = 68;
}

/// Since when an opcode exists, if it is one of a stream.
pub(crate) const fn since(opcode: u8) -> Option<Level> {
    match opcode {
        op::ADD..=op::ACKNOWLEDGE | op::PUT => Some(Level(2)),
        _ => None,
    }
}

impl<'a> StreamChange<'a> {
    pub(crate) fn opcode(&self) -> u8 {
        match self {
            StreamChange::Add { .. } => op::ADD,
            StreamChange::Block { .. } => op::BLOCK,
            StreamChange::Head(_) => op::HEAD,
            StreamChange::Delete { .. } => op::DELETE,
            StreamChange::Trim { .. } => op::TRIM,
            StreamChange::Group { .. } => op::GROUP,
            StreamChange::RemoveGroup { .. } => op::REMOVE_GROUP,
            StreamChange::Consumer { .. } => op::CONSUMER,
            StreamChange::RemoveConsumer { .. } => op::REMOVE_CONSUMER,
            StreamChange::Pend { .. } => op::PEND,
            StreamChange::Acknowledge { .. } => op::ACKNOWLEDGE,
        }
    }

    /// Hands it over in parts of bounded size, which do the same one after the other. An entry is never cut.
    pub(crate) fn parts(&self, mut each: impl FnMut(StreamChange<'_>)) {
        use StreamChange::*;
        match *self {
            Delete { ids } => ids.parts(|ids| each(Delete { ids })),
            Pend { group, consumer, pending } => {
                pending.parts(|pending| each(Pend { group, consumer, pending }));
            }
            Acknowledge { group, ids } => ids.parts(|ids| each(Acknowledge { group, ids })),
            Add { .. } | Block { .. } | Head(_) | Trim { .. } | Group { .. } => each(*self),
            RemoveGroup { .. } | Consumer { .. } | RemoveConsumer { .. } => each(*self),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            StreamChange::Add { id, fields } => {
                id.encode(out);
                fields.encode(out);
            }
            StreamChange::Block { id, bytes } => {
                id.encode(out);
                put_string(out, bytes);
            }
            StreamChange::Head(head) => head.encode(out),
            StreamChange::Delete { ids } => ids.encode(out),
            StreamChange::Trim { blocks, entries } => {
                put_number(out, blocks);
                put_number(out, entries);
            }
            StreamChange::Group { name, last_id, entries_read } => {
                put_string(out, name);
                last_id.encode(out);
                put_number(out, zigzag(entries_read));
            }
            StreamChange::RemoveGroup { name } => put_string(out, name),
            StreamChange::Consumer { group, name, seen_ms } => {
                put_string(out, group);
                put_string(out, name);
                put_number(out, zigzag(seen_ms));
            }
            StreamChange::RemoveConsumer { group, name } => {
                put_string(out, group);
                put_string(out, name);
            }
            StreamChange::Pend { group, consumer, pending } => {
                put_string(out, group);
                put_string(out, consumer);
                pending.encode(out);
            }
            StreamChange::Acknowledge { group, ids } => {
                put_string(out, group);
                ids.encode(out);
            }
        }
    }

    /// What follows the key; `None` if the opcode is none of these.
    pub(crate) fn decode(opcode: u8, r: &mut Reader<'a>) -> Result<Option<Self>, EffectError> {
        Ok(Some(match opcode {
            op::ADD => StreamChange::Add { id: StreamId::decode(r)?, fields: Items::decode(r)? },
            op::BLOCK => StreamChange::Block { id: StreamId::decode(r)?, bytes: r.string()? },
            op::HEAD => StreamChange::Head(StreamHead::decode(r)?),
            op::DELETE => StreamChange::Delete { ids: Items::decode(r)? },
            op::TRIM => StreamChange::Trim { blocks: r.number()?, entries: r.number()? },
            op::GROUP => StreamChange::Group {
                name: r.string()?,
                last_id: StreamId::decode(r)?,
                entries_read: unzigzag(r.number()?),
            },
            op::REMOVE_GROUP => StreamChange::RemoveGroup { name: r.string()? },
            op::CONSUMER => StreamChange::Consumer {
                group: r.string()?,
                name: r.string()?,
                seen_ms: unzigzag(r.number()?),
            },
            op::REMOVE_CONSUMER => StreamChange::RemoveConsumer { group: r.string()?, name: r.string()? },
            op::PEND => {
                StreamChange::Pend { group: r.string()?, consumer: r.string()?, pending: Items::decode(r)? }
            }
            op::ACKNOWLEDGE => StreamChange::Acknowledge { group: r.string()?, ids: Items::decode(r)? },
            _ => return Ok(None),
        }))
    }
}

impl StreamHead {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let Self { last_id, max_deleted, added } = self;
        last_id.encode(out);
        max_deleted.encode(out);
        put_number(out, *added);
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, EffectError> {
        Ok(StreamHead {
            last_id: StreamId::decode(r)?,
            max_deleted: StreamId::decode(r)?,
            added: r.number()?,
        })
    }
}

impl Item<'_> for Pending {}
impl<'a> Coded<'a> for Pending {
    fn bytes(&self) -> usize {
        size_of::<Pending>()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { id, delivered_ms, deliveries } = self;
        id.encode(out);
        put_number(out, zigzag(*delivered_ms));
        put_number(out, *deliveries);
    }
    fn decode(r: &mut Reader<'a>) -> Result<Self, EffectError> {
        Ok(Pending { id: StreamId::decode(r)?, delivered_ms: unzigzag(r.number()?), deliveries: r.number()? })
    }
}
