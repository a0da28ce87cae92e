//! What a write costs beyond its execution, and what a full sync costs a key: both without the network.

use super::{VALUE_BYTES, Walk, key, write_key};
use ironcache_keyspace::{Effect, Keyspace, SetExpiry, apply_effects};
use ironcache_replication::{
    Ack, AckGate, AckMode, Backlog, GateLimits, LINK_VERSIONS, Link, Message, Scope, Source, SyncMode,
    decode, encode_effects,
};
use ironcache_types::{Epoch, Incarnation, Level, Member, NodeId, Offset, SLOT_COUNT, Slot, key_slot};
use std::collections::BTreeSet;
use std::hint::black_box;

const SOURCE: Source = Source { epoch: Epoch(4), incarnation: Incarnation(1) };
const VALUE: [u8; VALUE_BYTES] = [b'x'; VALUE_BYTES];

fn set(key: &[u8]) -> Effect<'_> {
    Effect::SetString { key, value: &VALUE, expiry: SetExpiry::Never }
}

/// A replica's keyspace, and a stream of SETs to its keys.
pub struct Replica {
    keyspace: Keyspace,
    key: Vec<u8>,
    encoded: Vec<u8>,
    walk: Walk,
}

impl Replica {
    pub fn new(keys: usize) -> Self {
        let mut replica =
            Self { keyspace: Keyspace::new(), key: key(0), encoded: Vec::new(), walk: Walk::new(keys) };
        (0..keys).for_each(|_| replica.apply());
        replica
    }

    /// Encodes, decodes and applies one SET. (Encodings made before would be fetched from memory, which costs more
    /// than making them.)
    #[inline]
    pub fn apply(&mut self) {
        let Self { keyspace, key, encoded, walk } = self;
        write_key(walk.step(), key);
        encode_effect(key, encoded);
        apply_effects(keyspace, encoded, Level::FIRST).expect("an encoded SET applies");
    }
}

/// Encodes one SET of 100 bytes.
#[inline]
pub fn encode_effect(key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    set(key).encode(Level::FIRST, out).expect("a SET is of every level");
    black_box(out);
}

/// The primary's side of a stream with one in-sync replica.
pub struct Stream {
    gate: AckGate,
    link: Link,
    backlog: Backlog,
    frame: Vec<u8>,
    effects: Vec<u8>,
    slot: Slot,
    now_ms: u64,
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl Stream {
    pub fn new() -> Self {
        let member = Member { node: NodeId(2), incarnation: Incarnation(2) };
        let limits = GateLimits { isr_timeout_ms: 2000, hold_ms: 400, settle_ms: 500, near_ms: 100 };
        let start = Offset(1000);
        let mut gate = AckGate::new(SOURCE, start, AckMode::InSync, &BTreeSet::from([member]), limits, 0);
        let link = gate
            .attach(member, SyncMode::Partial { from: start }, 0)
            .expect("a member may resume where it is");
        let mut effects = Vec::new();
        set(&key(1)).encode(Level::FIRST, &mut effects).expect("a SET is of every level");
        let (backlog, slot) = (Backlog::new(1 << 20, start), key_slot(&key(1)));
        Self { gate, link, backlog, frame: Vec::new(), effects, slot, now_ms: 0 }
    }

    /// A write enters the gate, its acknowledgement arrives, its reply may leave.
    #[inline]
    pub fn gate(&mut self) {
        let end = Offset(self.gate.end().0 + 160);
        self.now_ms += 1;
        self.gate.on_frame(end, self.now_ms);
        let ack = Ack { source: SOURCE, applied: end };
        self.gate.on_ack(self.link, ack, self.now_ms).expect("an acknowledgement of what was sent");
        assert_eq!(self.gate.acknowledged(), end);
    }

    /// A write becomes a frame in the backlog, and a replica reads the frame.
    #[inline]
    pub fn frame(&mut self) {
        let Self { backlog, frame, effects, slot, .. } = self;
        frame.clear();
        encode_effects(frame, Level::FIRST, SOURCE.epoch, backlog.end(), Scope::Slot(*slot), |out| {
            out.extend_from_slice(effects)
        })
        .expect("a frame of 100 bytes fits");
        backlog.push(frame);
        match decode(frame, LINK_VERSIONS.max) {
            Ok(Some((Message::Effects(effects), _))) => {
                black_box(effects);
            }
            other => unreachable!("effects were encoded, and then {other:?}"),
        }
    }
}

/// A keyspace to be dumped, slot by slot.
pub struct FullSync {
    source: Keyspace,
    scratch: Vec<u8>,
    keys: usize,
}

impl FullSync {
    pub fn new(keys: usize) -> Self {
        let mut source = Keyspace::new();
        for index in 0..keys {
            source.apply(&set(&key(index))).expect("a SET fits every keyspace");
        }
        Self { source, scratch: Vec::new(), keys }
    }

    /// Dumps every slot and applies it to an empty keyspace, which is returned, so that the caller decides whether
    /// freeing it is measured too.
    pub fn run(&mut self) -> Keyspace {
        let mut copy = Keyspace::new();
        for slot in (0..SLOT_COUNT).map(Slot) {
            self.scratch.clear();
            self.source.dump_slot(slot, Level::FIRST, &mut self.scratch);
            apply_effects(&mut copy, &self.scratch, Level::FIRST).expect("a dump applies");
        }
        assert_eq!(copy.len(), self.keys);
        copy
    }

    pub fn keys(&self) -> usize {
        self.keys
    }
}
