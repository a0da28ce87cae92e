//! The wire codec: goldens that never change, every message there and back, versions, and garbage.

use expect_test::expect_file;
use ironcache_replication::*;
use ironcache_types::{
    ClusterId, Epoch, Incarnation, Level, LevelRange, Member, NodeId, Offset, ShardId, Slot,
};
use proptest::prelude::*;

const V1: LinkVersion = LinkVersion(1);

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let len = encode(message, V1, &mut out).unwrap();
    assert_eq!(len, out.len());
    out
}

const SOURCE: Source = Source { epoch: Epoch(7), incarnation: Incarnation(0xabcd) };

fn hello() -> Hello {
    Hello {
        versions: LinkVersions::new(1, 3),
        cluster_id: ClusterId(0x0123_4567_89ab_cdef),
        shard: ShardId(2),
        member: Member { node: NodeId(0x11), incarnation: Incarnation(0x22) },
        purpose: Purpose::NextSource,
        position: Some(Position { lineage_epoch: Epoch(3), offset: Offset(100) }),
        levels: LevelRange::new(4, 5),
    }
}

/// Frozen: at every version, for ever.
fn handshake() -> Vec<(&'static str, Message<'static>)> {
    vec![
        ("hello, next source", Message::Hello(hello())),
        ("hello, follow", Message::Hello(Hello { purpose: Purpose::Follow, position: None, ..hello() })),
        ("hello, keep", Message::Hello(Hello { purpose: Purpose::Keep, ..hello() })),
        ("accept", Message::Accept(Accept { version: LinkVersion(2) })),
        ("refuse", Message::Refuse(Refuse { code: "not_primary", text: "not the primary" })),
    ]
}

fn of_version_1() -> Vec<(&'static str, Message<'static>)> {
    let lineage = Lineage::from_entries(&[(Epoch(3), Offset(0)), (Epoch(7), Offset(120))]).unwrap();
    let partial = SyncMode::Partial { from: Offset(100) };
    let begin = |mode| SyncBegin { source: SOURCE, mode, lineage: lineage.clone() };
    let (level, epoch) = (Level(1), Epoch(7));
    let one = Effects { level, epoch, start: Offset(120), scope: Scope::Slot(Slot(5)), bytes: b"SET k v" };
    vec![
        ("ack", Message::Ack(Ack { source: SOURCE, applied: Offset(130) })),
        ("sync begin, partial", Message::SyncBegin(begin(partial))),
        ("sync begin, full", Message::SyncBegin(begin(SyncMode::Full))),
        ("sync chunk", Message::SyncChunk(SyncChunk { level, slot: Slot(16383), bytes: b"k=v" })),
        ("sync end", Message::SyncEnd(SyncEnd { lineage: lineage.clone(), offset: Offset(200) })),
        ("effects", Message::Effects(one)),
        (
            "effects, all slots",
            Message::Effects(Effects { start: Offset(154), scope: Scope::All, bytes: b"", ..one }),
        ),
        ("fence", Message::Fence(Fence { handover_epoch: Epoch(8), offset: Offset(181) })),
        ("promoted", Message::Promoted(Promoted { shard: ShardId(2), epoch: Epoch(9), log_index: 77 })),
        ("ping", Message::Ping { now_ms: 1234, applied_index: 77 }),
        ("effects, part", Message::EffectsPart(Effects { start: Offset(183), ..one })),
        ("progress", Message::Progress(Progress { received_bytes: 1 << 20, ticks: 4321 })),
    ]
}

fn one_of_each() -> Vec<Message<'static>> {
    handshake().into_iter().chain(of_version_1()).map(|(_, message)| message).collect()
}

fn golden(messages: Vec<(&'static str, Message<'static>)>) -> String {
    let line = |(name, message): (&str, Message<'_>)| {
        let hex: String = encoded(&message).iter().map(|b| format!("{b:02x}")).collect();
        format!("{name}: {hex}\n")
    };
    messages.into_iter().map(line).collect()
}

#[test]
fn the_handshake_never_changes() {
    expect_file!["golden/handshake.hex"].assert_eq(&golden(handshake()));
}

#[test]
fn version_1_never_changes() {
    expect_file!["golden/link-1.hex"].assert_eq(&golden(of_version_1()));
}

/// Read back from the file, not from what is written today.
#[test]
fn golden_bytes_are_read_as_what_they_say() {
    let goldens = concat!(include_str!("golden/handshake.hex"), include_str!("golden/link-1.hex"));
    let mut messages = one_of_each().into_iter();
    for line in goldens.lines() {
        let (name, hex) = line.split_once(": ").expect("a name and its bytes");
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        assert_eq!(decode(&bytes, V1), Ok(Some((messages.next().unwrap(), bytes.len()))), "{name}");
    }
    assert_eq!(messages.next(), None);
}

/// A frame of any kind and body, as some release might send it.
fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let covered = [&[kind], body].concat();
    let mut bytes = (covered.len() as u32).to_le_bytes().to_vec();
    bytes.extend(crc32fast::hash(&covered).to_le_bytes());
    bytes.extend(covered);
    bytes
}

#[test]
fn the_fields_of_a_hello_lie_where_its_table_says() {
    let bytes = encoded(&Message::Hello(hello()));
    let body = &bytes[HEADER_BYTES..];
    let field = |at: usize, size: usize| {
        body[at..at + size].iter().rev().fold(0u128, |value, byte| value << 8 | u128::from(*byte))
    };
    let fields = [
        (0, 2),
        (2, 2),
        (4, 16),
        (20, 2),
        (22, 8),
        (30, 8),
        (38, 1),
        (39, 1),
        (40, 8),
        (48, 8),
        (56, 2),
        (58, 2),
    ];
    let found: Vec<u128> = fields.iter().map(|(at, size)| field(*at, *size)).collect();
    assert_eq!(found, [1, 3, 0x0123_4567_89ab_cdef, 2, 0x11, 0x22, 1, 1, 3, 100, 4, 5]);
    assert_eq!(body.len(), 60);
}

#[test]
fn what_a_later_release_appends_to_the_handshake_is_ignored() {
    for (name, message) in handshake() {
        let bytes = encoded(&message);
        let mut body = bytes[HEADER_BYTES..].to_vec();
        body.extend(b"a field of the year after next");
        let longer = framed(bytes[HEADER_BYTES - 1], &body);
        for version in [LinkVersion::HANDSHAKE, V1] {
            assert_eq!(decode(&longer, version), Ok(Some((message.clone(), longer.len()))), "{name}");
        }
        // Nothing before it is missing.
        for len in 0..bytes.len() - HEADER_BYTES {
            let cut = framed(bytes[HEADER_BYTES - 1], &body[..len]);
            assert!(matches!(decode(&cut, V1), Err(FrameError::Malformed { .. })), "{name}, {len} bytes");
        }
    }
}

#[test]
fn before_a_version_is_agreed_on_there_is_only_the_handshake() {
    for (_, message) in handshake() {
        let mut out = Vec::new();
        encode(&message, LinkVersion::HANDSHAKE, &mut out).unwrap();
        assert!(decode(&out, LinkVersion::HANDSHAKE).unwrap().is_some());
    }
    for (name, message) in of_version_1() {
        let (bytes, mut out) = (encoded(&message), Vec::new());
        let kind = bytes[HEADER_BYTES - 1];
        let (since, version) = (V1, LinkVersion::HANDSHAKE);
        // By the header: nobody buffers a gigabyte for somebody who has not said hello.
        let refused = Err(FrameError::AboveVersion { kind, since, version });
        assert_eq!(decode(&bytes[..HEADER_BYTES], version), refused, "{name}");
        let refused = Err(EncodeError::AboveVersion { kind, since, version });
        assert_eq!(encode(&message, version, &mut out), refused, "{name}");
        assert!(out.is_empty());
    }
}

#[test]
fn a_kind_or_a_purpose_of_a_later_release_is_refused_by_name() {
    assert_eq!(decode(&framed(200, b""), V1), Err(FrameError::UnknownKind { kind: 200 }));
    let mut body = encoded(&Message::Hello(hello()))[HEADER_BYTES..].to_vec();
    body[38] = 9;
    assert_eq!(decode(&framed(1, &body), V1), Err(FrameError::UnknownPurpose { purpose: 9 }));
}

#[test]
fn ranges_that_are_none_are_malformed() {
    let impossible = [
        Hello { versions: LinkVersions::new(2, 1), ..hello() },
        Hello { versions: LinkVersions::new(0, 1), ..hello() },
        Hello { levels: LevelRange::new(2, 1), ..hello() },
    ];
    for hello in impossible {
        let bytes = encoded(&Message::Hello(hello));
        assert!(matches!(decode(&bytes, V1), Err(FrameError::Malformed { kind: 1, .. })), "{hello:?}");
    }
}

#[test]
fn a_link_is_read_message_by_message_however_it_is_cut() {
    let messages = one_of_each();
    let stream: Vec<u8> = messages.iter().flat_map(encoded).collect();
    let mut read = Vec::new();
    let mut from = 0;
    for until in 0..=stream.len() {
        while let Some((message, len)) = decode(&stream[from..until], V1).unwrap() {
            read.push(message);
            from += len;
        }
    }
    assert_eq!((read, from), (messages, stream.len()));
}

#[test]
fn every_flipped_bit_is_noticed() {
    for message in one_of_each() {
        let good = encoded(&message);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // A length that grew leaves the frame incomplete; nothing else does.
            assert!(!matches!(decode(&bad, V1), Ok(Some(_))), "{message:?}, bit {bit}");
        }
    }
}

#[test]
fn a_length_beyond_the_limit_is_refused_from_the_header_alone() {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    for kind in 0..=255 {
        header[8] = kind;
        let refused = decode(&header, V1);
        let is_known = (1..=13).contains(&kind);
        match refused {
            Err(FrameError::TooLong { .. }) if is_known => {}
            Err(FrameError::UnknownKind { .. }) if !is_known => {}
            // Of the feature `next`.
            Err(FrameError::AboveVersion { kind: 64, .. }) if cfg!(feature = "next") => {}
            other => panic!("kind {kind}: {other:?}"),
        }
    }
    header[..4].copy_from_slice(&(CONTROL_BODY_BYTES_MAX as u32 + 2).to_le_bytes());
    header[8] = 4;
    assert!(matches!(decode(&header, V1), Err(FrameError::TooLong { kind: 4, .. })));
    header[..4].copy_from_slice(&0u32.to_le_bytes());
    assert_eq!(decode(&header, V1), Err(FrameError::Empty));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let (code, text) = ("é".repeat(CODE_BYTES_MAX), "é".repeat(REASON_BYTES_MAX));
    let bytes = encoded(&Message::Refuse(Refuse { code: &code, text: &text }));
    let Ok(Some((Message::Refuse(refuse), _))) = decode(&bytes, V1) else { panic!("{bytes:?}") };
    assert_eq!((refuse.code.len(), refuse.text.len()), (CODE_BYTES_MAX, REASON_BYTES_MAX));
}

#[test]
fn an_offset_that_would_overflow_is_malformed() {
    let start = Offset(u64::MAX - EFFECTS_OVERHEAD_BYTES as u64);
    let frame = |bytes| {
        Message::Effects(Effects { level: Level(1), epoch: Epoch(1), start, scope: Scope::All, bytes })
    };
    assert!(decode(&encoded(&frame(b"")), V1).is_ok());
    assert!(matches!(decode(&encoded(&frame(b"x")), V1), Err(FrameError::Malformed { .. })));
}

#[test]
fn the_end_of_a_frame_is_its_start_and_its_whole_length() {
    let frame = Effects {
        level: Level(1),
        epoch: Epoch(7),
        start: Offset(1000),
        scope: Scope::All,
        bytes: b"SET k v",
    };
    assert_eq!(frame.end(), Offset(1000 + encoded(&Message::Effects(frame)).len() as u64));
}

fn lineages() -> impl Strategy<Value = Lineage> {
    prop::collection::vec((1u64..1000, 0u64..1000), 1..=LINEAGE_MAX).prop_map(|steps| {
        let (mut epoch, mut start) = (0, 0);
        let entries = steps.into_iter().map(|(e, s)| {
            (epoch, start) = (epoch + e, start + s);
            (Epoch(epoch), Offset(start))
        });
        Lineage::from_entries(&entries.collect::<Vec<_>>()).unwrap()
    })
}

proptest! {
    #[test]
    fn effects_are_read_back(level: u16, epoch: u64, start in 0..u64::MAX / 2, slot in prop::option::of(0u16..16384), bytes: Vec<u8>) {
        let scope = slot.map_or(Scope::All, |slot| Scope::Slot(Slot(slot)));
        let frame = Effects { level: Level(level), epoch: Epoch(epoch), start: Offset(start), scope, bytes: &bytes };
        let mut out = b"before".to_vec();
        let len = encode_effects(&mut out, frame.level, frame.epoch, frame.start, scope, |out| out.extend(&bytes)).unwrap();
        prop_assert_eq!(decode(&out[6..], V1), Ok(Some((Message::Effects(frame), len))));
    }

    #[test]
    fn lineages_and_positions_are_read_back(lineage in lineages(), past in 0u64..1000) {
        let offset = Offset(lineage.last().1.0 + past);
        let message = Message::SyncEnd(SyncEnd { lineage: lineage.clone(), offset });
        let bytes = encoded(&message);
        prop_assert_eq!(decode(&bytes, V1), Ok(Some((message, bytes.len()))));

        let saved = SavedPosition::at(&lineage, offset).unwrap();
        let mut bytes = Vec::new();
        saved.encode(&mut bytes);
        prop_assert_eq!(SavedPosition::decode(&bytes), Ok((saved, bytes.len())));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = decode(&bytes, V1);
        let _ = SavedPosition::decode(&bytes);
    }

    #[test]
    fn a_garbage_body_with_a_good_checksum_never_panics_and_has_one_encoding(kind in 0u8..15, body: Vec<u8>) {
        let bytes = framed(kind, &body);
        if let Ok(Some((message, len))) = decode(&bytes, V1) {
            prop_assert_eq!(len, bytes.len());
            // Of the handshake the fields have one encoding; what follows them is ignored.
            prop_assert!(kind <= 3 || encoded(&message) == bytes, "{:?}", message);
        }
    }
}
