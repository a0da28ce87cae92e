//! Streams beside what they mean, and in pieces.

use super::*;
use crate::effect::{Content, Effect};
use crate::effects::Effects;
use crate::items::Items;
use crate::keyspace::Keyspace;
use crate::slot_dump::{Dumped, SlotDump};
use crate::{EffectError, Value, apply_effects};
use ironcache_types::{Level, key_slot};
use proptest::prelude::*;

const L2: Level = Level(2);
const KEY: &[u8] = b"{t}stream";

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

fn add(stream: &mut Stream, id: StreamId, value: &[u8]) {
    let fields = [[&b"name"[..], value]];
    stream.apply(&StreamChange::Add { id, fields: Items::new(&fields) }).expect("it is the last");
}

/// Entries 1-0, 2-0 and so on.
fn filled(entries: u64) -> Stream {
    let mut stream = Stream::default();
    (1..=entries).for_each(|ms| add(&mut stream, id(ms, 0), b"value"));
    stream
}

fn texts(entry: &StreamEntry<'_>) -> Vec<Vec<u8>> {
    let text = |element: Element<'_>| match element {
        Element::Text(text) => text.to_vec(),
        Element::Number(number) => number.to_string().into_bytes(),
    };
    entry.fields().flatten().map(text).collect()
}

/// The keyspace with this one stream.
fn keyspace_with(stream: &Stream) -> Keyspace {
    let mut keyspace = Keyspace::new();
    let content = Content::Stream(stream.head());
    keyspace.apply(&Effect::Put { key: KEY, expire_at_ms: None, content }).expect("it is new");
    stream.changes(|change| {
        keyspace.apply(&Effect::Stream { key: KEY, change }).expect("it rebuilds the stream");
    });
    keyspace
}

fn stream_of(keyspace: &Keyspace) -> &Stream {
    match keyspace.get(KEY).expect("it is there").value() {
        Value::Stream(stream) => stream,
        _ => panic!("a stream"),
    }
}

#[test]
fn a_block_has_a_hundred_entries_or_four_kilobytes() {
    assert_eq!(filled(100).blocks().len(), 1);
    assert_eq!(filled(101).blocks().len(), 2);
    let mut stream = Stream::default();
    (1..=7).for_each(|ms| add(&mut stream, id(ms, 0), &[b'x'; 1000]));
    let entries: Vec<u64> = stream.blocks().map(|(id, _)| id.ms).collect();
    assert_eq!(entries, [1, 5], "a fifth would make it 4096 bytes");
    add(&mut stream, id(8, 0), &[b'x'; 100_000]);
    add(&mut stream, id(9, 0), b"");
    assert_eq!(stream.blocks().map(|(id, _)| id.ms).collect::<Vec<_>>(), [1, 5, 8, 9]);
}

#[test]
fn an_entry_that_is_not_the_last_is_refused() {
    let mut stream = filled(3);
    let before = stream.fingerprint();
    let fields = Items::new(&[]);
    let error = stream.apply(&StreamChange::Add { id: id(3, 0), fields }).unwrap_err();
    assert_eq!(error, EffectError::StreamOrder { id: id(3, 0), last_id: id(3, 0) });
    assert_eq!(stream.fingerprint(), before);
}

#[test]
fn a_stream_that_would_begin_with_the_id_0_is_not_begun() {
    let mut keyspace = Keyspace::new();
    let change = StreamChange::Add { id: StreamId::MIN, fields: Items::new(&[]) };
    assert!(keyspace.apply(&Effect::Stream { key: KEY, change }).is_err());
    assert!(keyspace.is_empty());
}

#[test]
fn trimming_by_blocks_leaves_whole_blocks_and_obeys_its_limit() {
    let stream = filled(250);
    let by = |entries_max| TrimBy::Blocks { entries_max };
    let gone = |to, by| {
        let Trimmed { blocks, entries, removed } = stream.trimmed(to, by);
        (blocks, entries, removed)
    };
    assert_eq!(gone(TrimTo::Length(150), by(None)), (1, 0, 100));
    assert_eq!(gone(TrimTo::Length(151), by(None)), (0, 0, 0));
    assert_eq!(gone(TrimTo::Length(0), by(None)), (3, 0, 250));
    assert_eq!(gone(TrimTo::Length(0), by(Some(199))), (1, 0, 100));
    assert_eq!(gone(TrimTo::Length(120), TrimBy::Entries), (1, 30, 130));
    assert_eq!(gone(TrimTo::Id(id(100, 1)), by(None)), (1, 0, 100));
    assert_eq!(gone(TrimTo::Id(id(100, 0)), by(None)), (0, 0, 0));
    assert_eq!(gone(TrimTo::Id(id(203, 0)), TrimBy::Entries), (2, 2, 202));
}

#[test]
fn a_block_whose_last_entry_is_deleted_outlives_what_is_trimmed_before_it() {
    let mut stream = filled(3);
    stream.apply(&StreamChange::Delete { ids: Items::new(&[id(3, 0)]) }).expect("it fits");
    let Trimmed { blocks, entries, removed } = stream.trimmed(TrimTo::Id(id(3, 0)), TrimBy::Entries);
    assert_eq!((blocks, entries, removed), (0, 2, 2));
    stream.apply(&StreamChange::Trim { blocks, entries }).expect("it fits");
    assert_eq!((stream.len(), stream.blocks().len()), (0, 1));
    // Then an id may be given that is below the block's own.
    let head = StreamHead { last_id: id(0, 5), ..stream.head() };
    stream.apply(&StreamChange::Head(head)).expect("it fits");
    add(&mut stream, id(0, 7), b"below");
    assert_eq!(stream.first_entry().expect("there is one").id(), id(0, 7));
    assert_eq!(
        stream.get(id(0, 7)).map(|entry| texts(&entry)),
        Some(vec![b"name".to_vec(), b"below".to_vec()])
    );
    let copy = keyspace_with(&stream);
    assert_eq!(stream_of(&copy).fingerprint(), stream.fingerprint());
}

#[test]
fn a_trim_that_does_not_fit_changes_nothing() {
    let mut stream = filled(150);
    let before = stream.fingerprint();
    for (blocks, entries) in [(3, 0), (2, 1), (1, 51), (0, 101), (u64::MAX, u64::MAX)] {
        let error = stream.apply(&StreamChange::Trim { blocks, entries }).unwrap_err();
        assert_eq!(error, EffectError::StreamTrim { blocks, entries });
    }
    assert_eq!(stream.fingerprint(), before);
}

#[test]
fn damaged_blocks_are_refused() {
    let whole = filled(4);
    let (block_id, bytes) = whole.blocks().next().expect("there is one");
    let applied = |bytes: &[u8]| Stream::default().apply(&StreamChange::Block { id: block_id, bytes });
    assert_eq!(applied(bytes), Ok(()));
    let mut refused = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << bit;
            let mut stream = Stream::default();
            match stream.apply(&StreamChange::Block { id: block_id, bytes: &damaged }) {
                Ok(()) => {
                    // Another value, or another id: it can be walked all the same.
                    let walked =
                        stream.range(StreamId::MIN, StreamId::MAX).inspect(|entry| drop(texts(entry)));
                    let up = walked.count();
                    let down = stream.range_back(StreamId::MIN, StreamId::MAX).count();
                    assert_eq!((up, down), (4, 4));
                }
                Err(error) => {
                    assert_eq!(error, EffectError::StreamBlock { id: block_id });
                    refused += 1;
                }
            }
        }
        assert!(applied(&bytes[..at]).is_err());
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn the_tree_has_as_many_nodes_as_that_of_redis() {
    // As redis-server 7.0.15 tells them.
    assert_eq!(Stream::default().tree(), (0, 1));
    assert_eq!(filled(1).tree(), (1, 2));
    assert_eq!(filled(101).tree(), (2, 6));
}

#[test]
fn a_consumer_that_is_removed_takes_along_what_was_pending_for_it() {
    let mut stream = filled(3);
    let (group, none) = (&b"g"[..], EffectError::NoConsumer);
    let pend = |consumer, ms| (consumer, Pending { id: id(ms, 0), delivered_ms: 7, deliveries: 1 });
    let see = |name| StreamChange::Consumer { group, name, seen_ms: 5 };
    assert_eq!(stream.apply(&see(b"a")), Err(none.clone()));
    stream.apply(&StreamChange::Group { name: group, last_id: id(3, 0), entries_read: 3 }).expect("it fits");
    let empty = stream.heap_bytes();
    for name in [b"a", b"b"] {
        stream.apply(&see(name)).expect("it fits");
    }
    let (_, pending) = pend(b"a", 1);
    let pending = [pending];
    let unknown = StreamChange::Pend { group, consumer: b"z", pending: Items::new(&pending) };
    assert_eq!(stream.apply(&unknown), Err(none));
    for (consumer, pending) in [pend(b"a", 1), pend(b"a", 2), pend(b"b", 3), pend(b"b", 2)] {
        let pending = Items::new(std::slice::from_ref(&pending));
        stream.apply(&StreamChange::Pend { group, consumer, pending }).expect("it fits");
    }
    let told = |stream: &Stream| {
        let group = stream.group(b"g").expect("it is there");
        let of = |name| {
            group.consumer(name).map(|it| it.pending(StreamId::MIN).map(|id| id.ms).collect::<Vec<_>>())
        };
        (group.pending_len(), of(b"a"), of(b"b"))
    };
    assert_eq!(told(&stream), (3, Some(vec![1]), Some(vec![2, 3])), "2 is pending for who had it last");
    let copy = keyspace_with(&stream);
    assert_eq!(stream_of(&copy).fingerprint(), stream.fingerprint());
    stream.apply(&StreamChange::RemoveConsumer { group, name: b"b" }).expect("it fits");
    assert_eq!(told(&stream), (1, Some(vec![1]), None));
    stream
        .apply(&StreamChange::Acknowledge { group, ids: Items::new(&[id(1, 0), id(2, 0)]) })
        .expect("it fits");
    stream.apply(&StreamChange::RemoveConsumer { group, name: b"a" }).expect("it fits");
    assert_eq!((told(&stream), stream.heap_bytes()), ((0, None, None), empty));
    stream.apply(&StreamChange::RemoveGroup { name: group }).expect("it fits");
    let stays = stream.heap_bytes();
    assert!(stays < empty);
    stream.apply(&StreamChange::Trim { blocks: 1, entries: 0 }).expect("it fits");
    assert_eq!(stream.heap_bytes(), 0);
}

/// A stream of many entries, of which many are pending for two consumers.
fn busy() -> Keyspace {
    let (mut keyspace, mut effects) = (Keyspace::new(), Effects::at(L2));
    let mut record =
        |change: StreamChange<'_>| effects.record(&mut keyspace, &Effect::Stream { key: KEY, change });
    let fields = [[&b"field"[..], &[b'x'; 30][..]]];
    for ms in 1..=30_000 {
        record(StreamChange::Add { id: id(ms, 0), fields: Items::new(&fields) });
    }
    for group in [&b"g1"[..], b"g2"] {
        record(StreamChange::Group { name: group, last_id: id(20_000, 0), entries_read: 20_000 });
        for (name, odd) in [(&b"even"[..], 0), (b"odd", 1)] {
            record(StreamChange::Consumer { group, name, seen_ms: 3 });
            let pending = (1..=20_000).filter(|ms| ms % 2 == odd);
            let pending: Vec<Pending> =
                pending.map(|ms| Pending { id: id(ms, 0), delivered_ms: 9, deliveries: ms }).collect();
            record(StreamChange::Pend { group, consumer: name, pending: Items::new(&pending) });
        }
    }
    keyspace
}

#[test]
fn a_large_stream_is_sent_in_bounded_pieces() {
    const PIECE: usize = 20_000;
    let keyspace = busy();
    let (mut dump, mut copy, mut pieces) = (SlotDump::new(key_slot(KEY), PIECE), Keyspace::new(), 0);
    loop {
        let mut out = Vec::new();
        let dumped = dump.next_piece(&keyspace, L2, &mut out);
        assert!(out.len() < PIECE + 10_000, "{} bytes", out.len());
        apply_effects(&mut copy, &out, L2).expect("a piece applies");
        pieces += 1;
        if dumped == Dumped::Whole {
            break;
        }
    }
    assert!(pieces > 50, "{pieces}");
    assert_eq!(copy.fingerprint(), keyspace.fingerprint());
}

#[test]
fn a_stream_that_never_rests_is_sent_as_it_is_in_the_end() {
    let (mut keyspace, mut copy) = (busy(), Keyspace::new());
    let mut dump = SlotDump::new(key_slot(KEY), 200_000);
    for step in 0..100 {
        let mut out = Vec::new();
        let dumped = dump.next_piece(&keyspace, L2, &mut out);
        apply_effects(&mut copy, &out, L2).expect("a piece applies");
        if dumped == Dumped::Whole {
            assert_eq!(copy.fingerprint(), keyspace.fingerprint());
            return;
        }
        let mut effects = Effects::at(L2);
        let deleted = [id(29_000 + step, 0)];
        let change = match step % 3 {
            0 => StreamChange::Trim { blocks: 1, entries: 1 },
            1 => StreamChange::RemoveConsumer { group: b"g1", name: b"odd" },
            _ => StreamChange::Delete { ids: Items::new(&deleted) },
        };
        effects.record(&mut keyspace, &Effect::Stream { key: KEY, change });
        dump.note(&effects.bytes, L2).expect("just written");
    }
    panic!("it does not end");
}

/// What a test does to a stream, and to a list of its entries.
#[derive(Clone, Debug)]
enum Step {
    Add { ahead: u8, names: u8, value: Vec<u8> },
    Delete { at: u8 },
    Trim { to: u8, by_id: bool, exact: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::collection::vec(prop_oneof![Just(b'1'), Just(b'x')], 0..30);
    prop_oneof![
        20 => (1u8..4, 0u8..3, value).prop_map(|(ahead, names, value)| Step::Add { ahead, names, value }),
        6 => any::<u8>().prop_map(|at| Step::Delete { at }),
        1 => (any::<u8>(), any::<bool>(), any::<bool>()).prop_map(|(to, by_id, exact)| Step::Trim { to, by_id, exact }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn entries_are_those_that_were_added_and_not_taken(steps in prop::collection::vec(step(), 0..400)) {
        let (mut stream, mut model, mut last) = (Stream::default(), Vec::<(StreamId, Vec<Vec<u8>>)>::new(), id(5, 0));
        let mut stream_bytes = Vec::new();
        let mut record = |stream: &mut Stream, change: StreamChange<'_>| {
            stream.apply(&change).expect("it fits");
            Effect::Stream { key: KEY, change }.encode(L2, &mut stream_bytes).expect("the level has it");
        };
        for step in &steps {
            match step {
                Step::Add { ahead, names, value } => {
                    last = id(last.ms + u64::from(*ahead / 2), last.seq + u64::from(*ahead));
                    let all = [[&b"a"[..], &value[..]], [b"bb", b"7"], [b"12", value]];
                    let fields = &all[..=usize::from(*names)];
                    record(&mut stream, StreamChange::Add { id: last, fields: Items::new(fields) });
                    model.push((last, fields.iter().flatten().map(|part| part.to_vec()).collect()));
                }
                Step::Delete { at } if !model.is_empty() => {
                    let (gone, _) = model.remove(usize::from(*at) % model.len());
                    record(&mut stream, StreamChange::Delete { ids: Items::new(&[gone]) });
                    prop_assert!(stream.get(gone).is_none());
                    prop_assert!(stream.head().max_deleted >= gone);
                }
                Step::Delete { .. } => {}
                Step::Trim { to, by_id, exact } => {
                    let at = model.get(usize::from(*to)).map_or(last, |(id, _)| *id);
                    let to = if *by_id { TrimTo::Id(at) } else { TrimTo::Length(u64::from(*to)) };
                    let by = if *exact { TrimBy::Entries } else { TrimBy::Blocks { entries_max: Some(150) } };
                    let Trimmed { blocks, entries, removed } = stream.trimmed(to, by);
                    let wanted = match to {
                        TrimTo::Length(len) => model.len().saturating_sub(len as usize),
                        TrimTo::Id(min) => model.iter().filter(|(id, _)| *id < min).count(),
                    };
                    let right = if *exact { removed as usize == wanted } else { removed as usize <= wanted };
                    prop_assert!(right, "{} of {}", removed, wanted);
                    record(&mut stream, StreamChange::Trim { blocks, entries });
                    model.drain(..removed as usize);
                }
            }
        }
        prop_assert_eq!(stream.len() as usize, model.len());
        let shown = |entry: StreamEntry<'_>| (entry.id(), texts(&entry));
        let up: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(shown).collect();
        prop_assert_eq!(&up, &model);
        let mut down: Vec<_> = stream.range_back(StreamId::MIN, StreamId::MAX).map(shown).collect();
        down.reverse();
        prop_assert_eq!(&down, &model);
        for (at, (id, _)) in model.iter().enumerate() {
            prop_assert_eq!(stream.get(*id).map(|entry| entry.id()), Some(*id));
            prop_assert_eq!(stream.range(*id, StreamId::MAX).count(), model.len() - at);
            prop_assert_eq!(stream.range_back(StreamId::MIN, *id).count(), at + 1);
        }
        for (_, bytes) in stream.blocks() {
            prop_assert!(Block::check(bytes).is_some());
        }
        let mut replica = Keyspace::new();
        apply_effects(&mut replica, &stream_bytes, L2).expect("they applied");
        if replica.get(KEY).is_some() {
            prop_assert_eq!(stream_of(&replica).fingerprint(), stream.fingerprint());
        }
        let copy = keyspace_with(&stream);
        prop_assert_eq!(stream_of(&copy).fingerprint(), stream.fingerprint());
        prop_assert_eq!(copy.used_bytes(), copy.recount_bytes());
        let blocks = stream.blocks().len() as u64;
        stream.apply(&StreamChange::Trim { blocks, entries: 0 }).expect("all of it");
        prop_assert_eq!((stream.len(), stream.heap_bytes()), (0, 0));
    }
}
