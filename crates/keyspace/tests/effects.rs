//! The effect codec: golden bytes, round trips, and hostile input.

use expect_test::expect_file;
use ironcache_keyspace::{
    AboveLevel, Content, Effect, EffectError, Effects, Items, Keyspace, Pending, SetExpiry, Side, Stream,
    StreamChange, StreamHead, StreamId, Value, apply_effects,
};
use ironcache_types::{Level, SLOT_COUNT, Slot};
use proptest::prelude::*;
use std::ops::Range;
use std::path::PathBuf;

const L1: Level = Level(1);
/// The kinds of [`build`] that came with each level; `golden/effects-LEVEL.hex` has their bytes.
const CAME: [(Level, Range<usize>); 2] = [(L1, 0..30), (Level(2), 30..43)];
const KINDS: usize = CAME[CAME.len() - 1].1.end;
/// Has them all.
const NEWEST: Level = CAME[CAME.len() - 1].0;

fn golden(level: Level) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/effects-{level}.hex"))
}

/// The `kind`-th form of effect, made of the given parts.
fn build<'a>(kind: usize, key: &'a [u8], n: u64, parts: &Parts<'a>, check: &mut dyn FnMut(&str, Effect<'_>)) {
    let Parts { strings, pairs, scores } = parts;
    let value = strings.first().copied().unwrap_or_default();
    let (many, fields, members) = (Items::new(strings), Items::new(pairs), Items::new(scores));
    let some = (n % 2 == 1).then_some(n);
    let (name, effect) = match kind {
        0 => ("set", Effect::SetString { key, value, expiry: SetExpiry::Never }),
        1 => ("set until", Effect::SetString { key, value, expiry: SetExpiry::At(n) }),
        2 => ("set keep expiry", Effect::SetString { key, value, expiry: SetExpiry::Keep }),
        3 => ("set range", Effect::SetRange { key, offset: n % 1000, value }),
        4 => ("delete", Effect::Delete { key }),
        5 => ("rename", Effect::Rename { key, to: value }),
        6 => ("expire at", Effect::ExpireAt { key, at_ms: n }),
        7 => ("persist", Effect::Persist { key }),
        8 => ("clear", Effect::Clear),
        9 => ("hash set", Effect::HashSet { key, fields }),
        10 => ("hash remove", Effect::HashRemove { key, fields: many }),
        11 => ("list push head", Effect::ListPush { key, side: Side::Head, values: many }),
        12 => ("list push tail", Effect::ListPush { key, side: Side::Tail, values: many }),
        13 => ("list pop head", Effect::ListPop { key, side: Side::Head, count: n }),
        14 => ("list pop tail", Effect::ListPop { key, side: Side::Tail, count: n % 3 }),
        15 => ("list set", Effect::ListSet { key, index: n, value }),
        16 => ("list insert", Effect::ListInsert { key, index: n % 3, value }),
        17 => ("list trim", Effect::ListTrim { key, from: n % 5, len: n }),
        18 => ("list remove first", Effect::ListRemove { key, count: (n % 3) as i64, value }),
        19 => ("list remove last", Effect::ListRemove { key, count: -1 - (n % 3) as i64, value }),
        20 => ("set add", Effect::SetAdd { key, members: many }),
        21 => ("set remove", Effect::SetRemove { key, members: many }),
        22 => ("zset add", Effect::ZsetAdd { key, members }),
        23 => ("zset remove", Effect::ZsetRemove { key, members: many }),
        24 => ("put hash", Effect::Put { key, expire_at_ms: some, content: Content::Hash(fields) }),
        25 => ("put list", Effect::Put { key, expire_at_ms: some, content: Content::List(many) }),
        26 => ("put set", Effect::Put { key, expire_at_ms: some, content: Content::Set(many) }),
        27 => ("put zset", Effect::Put { key, expire_at_ms: some, content: Content::Zset(members) }),
        28 => ("put list for ever", Effect::Put { key, expire_at_ms: None, content: Content::List(many) }),
        29 => {
            ("put empty set", Effect::Put { key, expire_at_ms: some, content: Content::Set(Items::new(&[])) })
        }
        _ => return build_of_stream(kind, key, n, parts, check),
    };
    check(name, effect);
}

/// The same for the effects of streams.
fn build_of_stream<'a>(
    kind: usize,
    key: &'a [u8],
    n: u64,
    parts: &Parts<'a>,
    check: &mut dyn FnMut(&str, Effect<'_>),
) {
    let id = StreamId { ms: n, seq: 1 };
    let (last_id, ids) = (id, [id, StreamId { ms: 3, seq: 300 }]);
    let head = StreamHead { last_id, max_deleted: ids[1], added: n };
    let pending = ids.map(|id| Pending { id, delivered_ms: n as i64 - 3, deliveries: n % 7 });
    let name = parts.strings.first().copied().unwrap_or_default();
    let (group, seen_ms, entries_read) = (&b"group"[..], n as i64, (n % 3) as i64 - 1);
    let mut stream = Stream::default();
    let fields = [[&b"field"[..], b"12"], [b"other", b"text"]];
    stream.apply(&StreamChange::Add { id, fields: Items::new(&fields) }).expect("it is the first");
    let (_, bytes) = stream.blocks().next().expect("it has one");
    let change = |name, change| (name, Effect::Stream { key, change });
    let some = (n % 2 == 1).then_some(n);
    let (name, effect) = match kind {
        30 => ("put stream", Effect::Put { key, expire_at_ms: some, content: Content::Stream(head) }),
        31 => change("stream add", StreamChange::Add { id, fields: Items::new(&parts.pairs) }),
        32 => change("stream block", StreamChange::Block { id, bytes }),
        33 => change("stream head", StreamChange::Head(head)),
        34 => change("stream delete", StreamChange::Delete { ids: Items::new(&ids) }),
        35 => change("stream trim", StreamChange::Trim { blocks: n % 3, entries: n % 2 }),
        36 => change("stream group", StreamChange::Group { name: group, last_id, entries_read }),
        37 => change("stream remove group", StreamChange::RemoveGroup { name }),
        38 => change("stream consumer", StreamChange::Consumer { group, name, seen_ms }),
        39 => change("stream remove consumer", StreamChange::RemoveConsumer { group, name }),
        40 | 41 => {
            let of = if kind == 40 { &pending[..] } else { &pending[..1] };
            change("stream pend", StreamChange::Pend { group, consumer: name, pending: Items::new(of) })
        }
        _ => change("stream acknowledge", StreamChange::Acknowledge { group, ids: Items::new(&ids) }),
    };
    check(name, effect);
}

struct Parts<'a> {
    strings: Vec<&'a [u8]>,
    pairs: Vec<[&'a [u8]; 2]>,
    scores: Vec<(f64, &'a [u8])>,
}

impl<'a> Parts<'a> {
    fn new(strings: &'a [Vec<u8>]) -> Self {
        let strings: Vec<&[u8]> = strings.iter().map(|s| &s[..]).collect();
        let pairs = strings.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        let scores = strings.iter().enumerate().map(|(i, s)| (i as f64 - 1.5, *s)).collect();
        Parts { strings, pairs, scores }
    }
}

#[test]
fn the_encoding_is_what_released_versions_read_and_still_decodes_and_applies() {
    let strings = [b"a".to_vec(), b"\x00\xff".to_vec(), b"".to_vec(), b"four".to_vec()];
    for (level, kinds) in CAME {
        let mut written = String::new();
        for kind in kinds.clone() {
            build(kind, b"key", 1_700_000_000_123, &Parts::new(&strings), &mut |name, effect| {
                let mut bytes = Vec::new();
                effect.encode(level, &mut bytes).unwrap();
                let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
                written += &format!("{name}: {hex}\n");
            });
        }
        let golden = expect_file![golden(level)];
        golden.assert_eq(&written);
        let mut applied = 0;
        for line in golden.data().lines() {
            let (name, hex) = line.split_once(": ").expect("a name and its bytes");
            let bytes: Vec<u8> = (0..hex.len() / 2)
                .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
                .collect();
            let (effect, rest) =
                Effect::decode(&bytes, level).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(rest.is_empty(), "{name}: {effect:?}");
            applied += apply_effects(&mut Keyspace::new(), &bytes, level).expect("fits an empty keyspace");
        }
        assert_eq!(applied, kinds.len());
    }
}

#[test]
fn an_unknown_opcode_is_named() {
    let error = apply_effects(&mut Keyspace::new(), &[200, 1, 2], L1).unwrap_err();
    assert_eq!(error, EffectError::UnknownOpcode { opcode: 200 });
}

#[test]
fn nothing_is_written_or_read_below_the_level_that_has_it() {
    let strings = [b"a".to_vec(), b"b".to_vec()];
    for (since, kinds) in CAME {
        let below = Level(since.0 - 1);
        for kind in kinds {
            build(kind, b"key", 1, &Parts::new(&strings), &mut |name, effect| {
                let (mut bytes, mut nothing) = (Vec::new(), Vec::new());
                effect.encode(since, &mut bytes).unwrap();
                let opcode = bytes[0];
                let refused = AboveLevel { opcode, since, level: below };
                assert_eq!(effect.encode(below, &mut nothing), Err(refused), "{name}");
                assert!(nothing.is_empty(), "{name}");
                let refused = EffectError::OpcodeAboveLevel { opcode, since, level: below };
                assert_eq!(apply_effects(&mut Keyspace::new(), &bytes, below), Err(refused), "{name}");
                // What a level has, every later one has.
                assert_eq!(apply_effects(&mut Keyspace::new(), &bytes, Level(9)), Ok(1), "{name}");
            });
        }
    }
}

#[test]
fn a_huge_offset_is_refused_before_memory_is_taken() {
    let mut bytes = Vec::new();
    Effect::SetRange { key: b"k", offset: 1 << 40, value: b"v" }.encode(L1, &mut bytes).unwrap();
    let error = apply_effects(&mut Keyspace::new(), &bytes, L1).unwrap_err();
    assert!(matches!(error, EffectError::StringTooLong { .. }));
}

#[test]
fn an_effect_on_another_kind_of_value_is_refused_and_changes_nothing() {
    let mut keyspace = Keyspace::new();
    keyspace.apply(&Effect::SetString { key: b"k", value: b"v", expiry: SetExpiry::Never }).expect("fits");
    let before = keyspace.fingerprint();
    let error = keyspace.apply(&Effect::SetAdd { key: b"k", members: Items::new(&[b"m"]) }).unwrap_err();
    assert!(matches!(error, EffectError::WrongKind { .. }), "{error}");
    assert_eq!(keyspace.fingerprint(), before);
}

/// Rebuilds a keyspace from its dump.
fn copy(keyspace: &Keyspace) -> Keyspace {
    let (mut copy, mut bytes, mut keys) = (Keyspace::new(), Vec::new(), 0);
    for slot in (0..SLOT_COUNT).map(Slot) {
        keys += keyspace.dump_slot(slot, NEWEST, &mut bytes);
    }
    apply_effects(&mut copy, &bytes, NEWEST).expect("a dump applies to an empty keyspace");
    assert_eq!(keys, keyspace.len());
    copy
}

#[test]
fn a_large_collection_survives_a_dump_in_order() {
    let mut keyspace = Keyspace::new();
    let names: Vec<Vec<u8>> = (0..5000).map(|i| format!("name{i}").into_bytes()).collect();
    let parts = Parts::new(&names);
    for (key, kind) in [(b"h", 24), (b"l", 25), (b"s", 26), (b"z", 27)] {
        build(kind, key, 99, &parts, &mut |_, effect| keyspace.apply(&effect).expect("fits"));
    }
    let copy = copy(&keyspace);
    assert_eq!(copy.fingerprint(), keyspace.fingerprint());
    let order = |keyspace: &Keyspace| -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        (0..SLOT_COUNT).for_each(|slot| {
            keyspace.dump_slot(Slot(slot), L1, &mut bytes);
        });
        bytes.chunks(64).map(<[u8]>::to_vec).collect()
    };
    assert!(order(&copy) == order(&keyspace));
}

fn step() -> impl Strategy<Value = (usize, u8, u64, Vec<Vec<u8>>)> {
    let text = prop::collection::vec(0u8..4, 0..3);
    (0..KINDS, 0u8..6, prop_oneof![0u64..6, 0..(1u64 << 62)], prop::collection::vec(text, 0..6))
}

proptest! {
    #[test]
    fn effects_come_back_and_copies_agree(steps in prop::collection::vec(step(), 0..80)) {
        let (mut first, mut second) = (Keyspace::new(), Keyspace::new());
        let mut stream = Vec::new();
        for (kind, key, n, strings) in &steps {
            build(*kind, &[*key], *n, &Parts::new(strings), &mut |_, effect| {
                let start = stream.len();
                effect.encode(NEWEST, &mut stream).unwrap();
                let (decoded, rest) = Effect::decode(&stream[start..], NEWEST).expect("was just encoded");
                assert_eq!(decoded, effect);
                assert!(rest.is_empty());
                for end in start..stream.len() {
                    assert!(Effect::decode(&stream[start..end], NEWEST).is_err());
                }
                // What does not fit (another kind, an index outside) is no part of the stream.
                if first.apply(&effect).is_err() {
                    stream.truncate(start);
                }
            });
        }
        apply_effects(&mut second, &stream, NEWEST).expect("applied before");
        prop_assert_eq!(first.fingerprint(), second.fingerprint());
        let third = copy(&first);
        prop_assert_eq!(first.fingerprint(), third.fingerprint());
        prop_assert_eq!(first.expiring(), third.expiring());
        check_books(first);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = apply_effects(&mut Keyspace::new(), &bytes, NEWEST);
        // And with a known opcode in front, where more of the decoder is reached.
        if let Some(first) = bytes.first_mut() {
            *first %= 91;
            let _ = apply_effects(&mut Keyspace::new(), &bytes, NEWEST);
        }
    }
}

/// Whatever was done, the books are those of a recount, and those of an emptied keyspace are of one that never held a key.
fn check_books(mut keyspace: Keyspace) {
    let counted = keyspace.entries().filter(|entry| entry.expire_at_ms().is_some()).count();
    assert_eq!(keyspace.expiring(), counted);
    assert_eq!(keyspace.used_bytes(), keyspace.recount_bytes());
    assert!(keyspace.overhead_bytes() <= keyspace.used_bytes());
    (0..SLOT_COUNT).for_each(|slot| keyspace.clear_slot(Slot(slot)));
    assert_eq!((keyspace.len(), keyspace.expiring()), (0, 0));
    assert_eq!(keyspace.used_bytes(), Keyspace::new().used_bytes());
    assert_eq!(keyspace.next_deadline_ms(), None);
}

#[test]
fn a_large_change_is_recorded_as_several_that_do_the_same() {
    let names: Vec<Vec<u8>> = (0..5000u32).map(|i| i.to_be_bytes().to_vec()).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let long = vec![7u8; 700_000];
    let (mut keyspace, mut copy, mut effects) = (Keyspace::new(), Keyspace::new(), Effects::at(L1));
    let side = Side::Head;
    for (effect, count) in [
        (Effect::SetAdd { key: b"s", members: Items::new(&names) }, 5),
        (Effect::SetRemove { key: b"s", members: Items::new(&names[..1024]) }, 1),
        (Effect::SetRemove { key: b"s", members: Items::new(&names[1024..2049]) }, 2),
        (Effect::ListPush { key: b"l", side, values: Items::new(&[&long, &long, &long, b"last"]) }, 3),
        (Effect::ListPush { key: b"l", side, values: Items::new(&[&long]) }, 1),
        (Effect::SetAdd { key: b"few", members: Items::new(&names[..3]) }, 1),
    ] {
        effects.record(&mut keyspace, &effect);
        assert_eq!((effects.count, effects.iter().count()), (count, count));
        apply_effects(&mut copy, &effects.bytes, L1).expect("the same");
        effects.clear();
    }
    assert_eq!(copy.fingerprint(), keyspace.fingerprint());
    let list = |keyspace: &Keyspace| match keyspace.get(b"l").expect("it is there").value() {
        Value::List(list) => list.items().iter().map(|item| item.len()).collect::<Vec<_>>(),
        _ => panic!("a list"),
    };
    assert_eq!(list(&copy), [700_000, 4, 700_000, 700_000, 700_000]);
}
