//! Streams, as redis 7.0 writes them, and 5, 6 and 7.2 wrote and write them.
//!
//! ```text
//!   blocks: (id, 16 bytes · listpack) … · length · last id · since 7: first id, highest deleted id, entries added
//!   groups: name · last id · since 7: entries read · pending: (id · time · deliveries) …
//!           · consumers: (name · seen · since 7.2: active · pending: id …) …
//! ```

use super::read::Reader;
use super::write::{put_length, put_string};
use super::{RestoreError, kind};
use crate::stream::entries_read_at;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Items, Pending, Stream, StreamChange, StreamHead, StreamId};
use std::collections::BTreeMap;

const ID_BYTES: usize = 16;

pub(super) fn write(stream: &Stream, out: &mut Vec<u8>) {
    put_length(out, stream.blocks().len());
    for (id, bytes) in ticking(stream.blocks()) {
        put_length(out, ID_BYTES);
        put_id(out, id);
        put_length(out, bytes.len());
        out.extend(bytes);
    }
    let StreamHead { last_id, max_deleted, added } = stream.head();
    let first_id = stream.first_entry().map_or(StreamId::MIN, |entry| entry.id());
    put_length(out, stream.len() as usize);
    for id in [last_id, first_id, max_deleted] {
        put_id_as_lengths(out, id);
    }
    put_length(out, added as usize);
    put_length(out, stream.groups().len());
    for (name, group) in ticking(stream.groups()) {
        put_string(out, name);
        put_id_as_lengths(out, group.last_id());
        put_length(out, group.entries_read() as usize);
        put_length(out, group.pending_len());
        for (id, nack) in ticking(group.pending(StreamId::MIN)) {
            put_id(out, id);
            out.extend(nack.delivered_ms.to_le_bytes());
            put_length(out, nack.deliveries as usize);
        }
        put_length(out, group.consumers_len());
        for consumer in ticking(group.consumers()) {
            put_string(out, consumer.name());
            out.extend(consumer.seen_ms().to_le_bytes());
            put_length(out, consumer.pending_len());
            ticking(consumer.pending(StreamId::MIN)).for_each(|id| put_id(out, id));
        }
    }
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    out.extend(id.ms.to_be_bytes());
    out.extend(id.seq.to_be_bytes());
}

fn put_id_as_lengths(out: &mut Vec<u8>, id: StreamId) {
    put_length(out, id.ms as usize);
    put_length(out, id.seq as usize);
}

/// A stream whose type was read.
pub(super) fn read(reader: &mut Reader<'_>, of: u8) -> Result<Box<Stream>, RestoreError> {
    let mut stream = Box::<Stream>::default();
    for _ in ticking(0..reader.length()?) {
        let (id, bytes) = (reader.string()?, reader.string()?);
        let id = id_of(&id)?;
        change(&mut stream, StreamChange::Block { id, bytes: &bytes })?;
    }
    let len = reader.length()? as u64;
    let last_id = id_as_lengths(reader)?;
    let (max_deleted, added) = if of == kind::STREAM {
        (StreamId::MIN, len)
    } else {
        let _first_id = id_as_lengths(reader)?;
        (id_as_lengths(reader)?, reader.length()? as u64)
    };
    if stream.len() != len || stream.last_entry().is_some_and(|last| last.id() > last_id) {
        return Err(RestoreError::Value);
    }
    change(&mut stream, StreamChange::Head(StreamHead { last_id, max_deleted, added }))?;
    for _ in ticking(0..reader.length()?) {
        group(reader, &mut stream, of)?;
    }
    Ok(stream)
}

fn group(reader: &mut Reader<'_>, stream: &mut Stream, of: u8) -> Result<(), RestoreError> {
    let name = reader.string()?;
    if stream.group(&name).is_some() {
        return Err(RestoreError::Value);
    }
    let last_id = id_as_lengths(reader)?;
    let entries_read =
        if of == kind::STREAM { entries_read_at(stream, last_id) } else { reader.length()? as i64 };
    change(stream, StreamChange::Group { name: &name, last_id, entries_read })?;
    // Whom each is pending for follows.
    let mut pending = BTreeMap::new();
    for _ in ticking(0..reader.length()?) {
        let id = id_of(reader.0.take(ID_BYTES)?)?;
        let delivered_ms = reader.0.integer(8)?;
        let deliveries = reader.length()? as u64;
        if pending.insert(id, Pending { id, delivered_ms, deliveries }).is_some() {
            return Err(RestoreError::Value);
        }
    }
    for _ in ticking(0..reader.length()?) {
        let consumer = reader.string()?;
        if stream.group(&name).is_some_and(|group| group.consumer(&consumer).is_some()) {
            return Err(RestoreError::Value);
        }
        let seen_ms = reader.0.integer(8)?;
        if of == kind::STREAM_3 {
            let _active_ms = reader.0.integer(8)?;
        }
        change(stream, StreamChange::Consumer { group: &name, name: &consumer, seen_ms })?;
        let mut own = Vec::new();
        for _ in ticking(0..reader.length()?) {
            let id = id_of(reader.0.take(ID_BYTES)?)?;
            own.push(pending.remove(&id).ok_or(RestoreError::Value)?);
        }
        let pending = Items::new(&own);
        change(stream, StreamChange::Pend { group: &name, consumer: &consumer, pending })?;
    }
    if pending.is_empty() { Ok(()) } else { Err(RestoreError::Value) }
}

fn change(stream: &mut Stream, change: StreamChange<'_>) -> Result<(), RestoreError> {
    stream.apply(&change).map_err(|_| RestoreError::Value)
}

fn id_of(bytes: &[u8]) -> Result<StreamId, RestoreError> {
    let bytes: [u8; ID_BYTES] = bytes.try_into().map_err(|_| RestoreError::Value)?;
    let both = u128::from_be_bytes(bytes);
    Ok(StreamId { ms: (both >> 64) as u64, seq: both as u64 })
}

fn id_as_lengths(reader: &mut Reader<'_>) -> Result<StreamId, RestoreError> {
    Ok(StreamId { ms: reader.length()? as u64, seq: reader.length()? as u64 })
}
