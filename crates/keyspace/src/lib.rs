//! The data of one node: values, expiry, slot partitions, and the effects that change them.
//!
//! ```text
//!   command ──reads──▶ Keyspace ◀──apply── Effect ◀──decode── stream · full sync · checkpoint
//!      └──Effects::record(effect)──────────▲
//! ```
//!
//! A command never changes a value by itself: it records an [`Effect`], which is encoded and applied
//! by the one function that a replica, too, applies it by. So what a primary holds and what its
//! replicas hold cannot differ by a second implementation.
//!
//! *Invariant:* no clock, randomness or I/O: time and dice are passed in. (Hash tables are seeded
//! once a process, against crafted keys; nothing that can be observed depends on the seed.)
//! *Invariant:* no key holds an empty collection; a stream is none.
//! *Invariant:* an expired key leaves the keyspace by a `Delete` effect only, never by being read.
//! *Invariant:* the order of iteration follows from the effects applied, so that a `SCAN` cursor
//! means the same on a primary and on its replicas. (But for a slot that a full sync had to send in
//! pieces: the replica has its keys in another order.)

mod access;
mod apply;
mod block;
mod counts;
mod dict;
mod dump;
mod effect;
mod effects;
mod entry;
mod events;
mod eviction;
mod expiry;
mod fetch;
mod fields;
mod fingerprint;
mod footprint;
mod hash;
mod index;
mod items;
mod keyspace;
mod members;
mod packed;
pub mod progress;
mod run;
mod scan;
mod slot_dump;
mod small;
mod stream;
mod value;
mod wire;
mod zset;

pub use access::{AccessClock, Tracking};
pub use apply::apply_effects;
pub use block::block_bytes;
pub use dict::{Dict, Keyed};
pub use effect::{AboveLevel, Content, Effect, EffectError, SetExpiry, Side};
pub use effects::Effects;
pub use entry::Entry;
pub use events::{Event, EventClass, Events};
pub use eviction::{Evicted, EvictionPolicy, Evictor};
pub use expiry::Expiry;
pub use fetch::FETCHED_KEYS;
pub use fields::{Hash, Pairs};
pub use items::{Item, Items};
pub use keyspace::{Keyspace, Place};
pub use members::{Members, Set};
pub use scan::ScanCursor;
pub use slot_dump::{Dumped, SlotDump};
pub use stream::{
    Consumer, Element, Fields, Group, Nack, Pending, STREAM_BLOCK_ENTRIES_MAX, Stream, StreamChange,
    StreamEntry, StreamHead, StreamId, TrimBy, TrimTo, Trimmed,
};
pub use value::{Kind, List, MAX_STRING_BYTES, Value};
pub use zset::{Ranked, Scored, Zset};
