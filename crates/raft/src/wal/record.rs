//! The records of the log file: `[kind u8][len u32][body]`, the body encoded by [`ironcache_formats::wire`].
//!
//! *Invariant:* a record of an unknown kind is refused, never skipped: a newer release wrote it, and
//! what it meant may be a vote.

use crate::bodies::v1;
use ironcache_formats::wire::{self, WireError};
use ironcache_types::{ClusterId, Incarnation};

/// One change of what the log file says.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Vote(v1::Vote),
    Entry(v1::Entry),
    /// Entries after this one are gone; all of them, for `None`.
    Truncate(Option<v1::LogId>),
    /// Entries up to and with this one are gone: a durable snapshot covers them.
    Purge(v1::LogId),
    /// Advisory: known to be committed. Losing one is harmless.
    Committed(Option<v1::LogId>),
    /// The node joined this cluster.
    Cluster(ClusterId),
    /// This life of the node was admitted: the others have not heard of a later one than the log remembered.
    Life(Incarnation),
}

const VOTE: u8 = 1;
const ENTRY: u8 = 2;
const TRUNCATE: u8 = 3;
const PURGE: u8 = 4;
const COMMITTED: u8 = 5;
const CLUSTER: u8 = 6;
const LIFE: u8 = 7;

/// Bytes before a record's body.
const PREFIX_BYTES: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("a record of unknown kind {kind}: a newer release wrote it, start that release")]
    UnknownKind { kind: u8 },
    #[error("a record that ends after its frame")]
    Cut,
    #[error("a record that cannot be read")]
    Body(#[from] WireError),
}

impl Record {
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let (kind, body) = match self {
            Record::Vote(vote) => (VOTE, wire::encode(vote)?),
            Record::Entry(entry) => (ENTRY, wire::encode(entry)?),
            Record::Truncate(after) => (TRUNCATE, wire::encode(after)?),
            Record::Purge(upto) => (PURGE, wire::encode(upto)?),
            Record::Committed(upto) => (COMMITTED, wire::encode(upto)?),
            Record::Cluster(id) => (CLUSTER, wire::encode(&id.0)?),
            Record::Life(life) => (LIFE, wire::encode(&life.0)?),
        };
        let len = u32::try_from(body.len()).expect("encode checked the size limit, which fits 32 bits");
        out.push(kind);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&body);
        Ok(())
    }

    /// Takes one record from the front of `bytes`.
    pub(crate) fn decode_from(bytes: &mut &[u8]) -> Result<Record, RecordError> {
        let (prefix, rest) = bytes.split_at_checked(PREFIX_BYTES).ok_or(RecordError::Cut)?;
        let len = wire::u32_at(prefix, 1) as usize;
        let (body, rest) = rest.split_at_checked(len).ok_or(RecordError::Cut)?;
        let record = match prefix[0] {
            VOTE => Record::Vote(wire::decode(body)?),
            ENTRY => Record::Entry(wire::decode(body)?),
            TRUNCATE => Record::Truncate(wire::decode(body)?),
            PURGE => Record::Purge(wire::decode(body)?),
            COMMITTED => Record::Committed(wire::decode(body)?),
            CLUSTER => Record::Cluster(ClusterId(wire::decode(body)?)),
            LIFE => Record::Life(Incarnation(wire::decode(body)?)),
            kind => return Err(RecordError::UnknownKind { kind }),
        };
        *bytes = rest;
        Ok(record)
    }
}
