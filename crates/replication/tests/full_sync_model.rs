//! A full sync of a changing dataset: at `SyncEnd` the replica holds exactly the primary's state.
//!
//! A toy keyspace of a few slots stands for the real one. Two wrong planners show that the test would notice.

use ironcache_replication::*;
use ironcache_types::{Epoch, Incarnation, Level, Offset, Slot, SlotRange, SlotSet};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestCaseResult, TestRunner};
use std::collections::BTreeMap;

const SLOTS: u16 = 5;
const V1: LinkVersion = LinkVersion(1);
const SOURCE: Source = Source { epoch: Epoch(3), incarnation: Incarnation(9) };

#[derive(Clone, Debug)]
enum Op {
    Set {
        slot: u16,
        key: u8,
        value: u8,
    },
    Delete {
        slot: u16,
        key: u8,
    },
    FlushAll,
    /// One EXEC: its effects touch all slots, and are one frame.
    FlushAllThenSet {
        slot: u16,
        key: u8,
        value: u8,
    },
    DumpNext,
}

fn ops(len: usize) -> impl Strategy<Value = Vec<Op>> {
    let set = (0..SLOTS, 0u8..3, 0u8..9);
    let op = prop_oneof![
        6 => set.clone().prop_map(|(slot, key, value)| Op::Set { slot, key, value }),
        3 => (0..SLOTS, 0u8..3).prop_map(|(slot, key)| Op::Delete { slot, key }),
        1 => Just(Op::FlushAll),
        1 => set.prop_map(|(slot, key, value)| Op::FlushAllThenSet { slot, key, value }),
        3 => Just(Op::DumpNext),
    ];
    prop::collection::vec(op, 0..len)
}

/// Slot → key → value; effects and dumps are lists of 4-byte instructions.
#[derive(Clone, Debug, Default, PartialEq)]
struct Toy(BTreeMap<u16, BTreeMap<u8, u8>>);

impl Toy {
    fn slot(&mut self, slot: u16) -> &mut BTreeMap<u8, u8> {
        self.0.entry(slot).or_default()
    }

    fn apply(&mut self, effects: &[u8]) {
        for effect in effects.chunks(4) {
            let (slot, key, value) = (u16::from(effect[1]), effect[2], effect[3]);
            match effect[0] {
                0 => drop(self.slot(slot).insert(key, value)),
                1 => drop(self.slot(slot).remove(&key)),
                _ => self.0.clear(),
            }
        }
    }

    fn same(&self, other: &Toy) -> bool {
        let keys = |toy: &Toy| {
            toy.0
                .iter()
                .filter(|(_, keys)| !keys.is_empty())
                .map(|(s, k)| (*s, k.clone()))
                .collect::<Vec<_>>()
        };
        keys(self) == keys(other)
    }
}

fn effects_of(op: &Op) -> Option<(Scope, Vec<u8>)> {
    let set = |slot: u16, key, value| [0, slot as u8, key, value];
    match *op {
        Op::Set { slot, key, value } => Some((Scope::Slot(Slot(slot)), set(slot, key, value).to_vec())),
        Op::Delete { slot, key } => Some((Scope::Slot(Slot(slot)), vec![1, slot as u8, key, 0])),
        Op::FlushAll => Some((Scope::All, vec![2, 0, 0, 0])),
        Op::FlushAllThenSet { slot, key, value } => {
            Some((Scope::All, [[2, 0, 0, 0], set(slot, key, value)].concat()))
        }
        Op::DumpNext => None,
    }
}

struct Replica {
    cursor: ReplicaCursor,
    toy: Toy,
}

impl Replica {
    /// Takes everything off the link.
    fn read(&mut self, link: &mut Vec<u8>) -> Result<(), StreamError> {
        let mut at = 0;
        while let Some((message, len)) = decode(&link[at..], V1).expect("the primary writes frames") {
            at += len;
            match message {
                Message::Effects(frame) => {
                    let admitted = self.cursor.accept(SOURCE, &frame)?;
                    self.toy.apply(frame.bytes);
                    self.cursor.applied(admitted)?;
                }
                Message::SyncChunk(chunk) => {
                    if self.cursor.on_sync_chunk(SOURCE, &chunk)? == ChunkAct::Replace {
                        self.toy.slot(chunk.slot.0).clear();
                    }
                    self.toy.apply(chunk.bytes);
                }
                Message::SyncEnd(end) => self.cursor.on_sync_end(SOURCE, &end)?,
                other => panic!("not part of a sync: {other:?}"),
            }
        }
        link.clear();
        Ok(())
    }
}

type Forwards = fn(&FullSync, Scope) -> bool;

fn forwards(sync: &FullSync, scope: Scope) -> bool {
    match scope {
        Scope::All => true,
        Scope::Slot(slot) => sync.duty(slot) == Duty::Forward,
    }
}

fn check(before: &[Op], during: &[Op], after: &[Op], forwards: Forwards) -> TestCaseResult {
    let lineage = Lineage::new(SOURCE.epoch, Offset(100));
    let (mut primary, mut end, mut link) = (Toy::default(), Offset(100), Vec::new());
    let write = |primary: &mut Toy, end: &mut Offset, op: &Op| {
        let (scope, bytes) = effects_of(op)?;
        primary.apply(&bytes);
        let mut frame = Vec::new();
        let len =
            encode_effects(&mut frame, Level::FIRST, SOURCE.epoch, *end, scope, |out| out.extend(&bytes))
                .unwrap();
        end.0 += len as u64;
        Some((scope, frame))
    };
    let failed = |error: StreamError| TestCaseError::fail(error.to_string());

    for op in before {
        write(&mut primary, &mut end, op);
    }
    // The replica's old content is thrown away on `Begin::Discard`.
    let mut replica = Replica { cursor: ReplicaCursor::empty(), toy: Toy::default() };
    let begin = SyncBegin { source: SOURCE, mode: SyncMode::Full, lineage: lineage.clone() };
    prop_assert_eq!(
        replica.cursor.follow(SOURCE, &begin, Standing::Outside).map_err(failed)?,
        Begin::Discard
    );

    let mut sync = FullSync::new(SlotSet(vec![SlotRange { start: 0, end: SLOTS - 1 }]));
    let dump = |sync: &mut FullSync, primary: &mut Toy, link: &mut Vec<u8>| {
        let Some(slot) = sync.next_slot() else { return false };
        let content = primary.slot(slot.0).clone();
        let loads: Vec<[u8; 4]> = content.iter().map(|(k, v)| [0, slot.0 as u8, *k, *v]).collect();
        let (first, rest) = loads.split_at(loads.len() / 2);
        encode_sync_chunk(link, V1, Level::FIRST, slot, |out| out.extend(first.concat())).unwrap();
        if !rest.is_empty() {
            encode_sync_chunk(link, V1, Level::FIRST, slot, |out| out.extend(rest.concat())).unwrap();
        }
        sync.slot_done();
        true
    };
    for op in during {
        match write(&mut primary, &mut end, op) {
            Some((scope, frame)) if forwards(&sync, scope) => link.extend(frame),
            Some(_) => {}
            None => drop(dump(&mut sync, &mut primary, &mut link)),
        }
        replica.read(&mut link).map_err(failed)?;
        prop_assert_eq!((replica.cursor.ack(), replica.cursor.position().map_err(failed)?), (None, None));
    }
    while dump(&mut sync, &mut primary, &mut link) {}
    prop_assert_eq!(sync.remaining(), 0);
    encode(&Message::SyncEnd(SyncEnd { lineage, offset: end }), V1, &mut link).unwrap();
    replica.read(&mut link).map_err(failed)?;
    prop_assert!(replica.toy.same(&primary), "at the sync's end: {:?} instead of {primary:?}", replica.toy);

    for op in after {
        link.extend(write(&mut primary, &mut end, op).into_iter().flat_map(|(_, frame)| frame));
        replica.read(&mut link).map_err(failed)?;
        prop_assert_eq!(replica.cursor.ack(), Some(Ack { source: SOURCE, applied: end }));
    }
    prop_assert!(replica.toy.same(&primary), "after the sync: {:?} instead of {primary:?}", replica.toy);
    Ok(())
}

fn run(forwards: Forwards) -> Result<(), String> {
    let config = Config { cases: 2000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(ops(30), ops(60), ops(10)), |(before, during, after)| {
            check(&before, &during, &after, forwards)
        })
        .map_err(|error| error.to_string())
}

#[test]
fn the_replica_equals_the_primary_at_the_syncs_end() {
    if let Err(error) = run(forwards) {
        panic!("{error}");
    }
}

#[test]
fn forwarding_only_what_is_not_yet_dumped_would_be_noticed() {
    assert!(run(|sync, scope| scope == Scope::All || !forwards(sync, scope)).is_err());
}

#[test]
fn not_forwarding_a_flushall_would_be_noticed() {
    assert!(run(|sync, scope| scope != Scope::All && forwards(sync, scope)).is_err());
}

#[test]
fn forwarding_nothing_would_be_noticed() {
    assert!(run(|_, _| false).is_err());
}
