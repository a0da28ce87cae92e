//! The wire codec: goldens that never change, every message there and back, and garbage.

use expect_test::expect;
use ironcache_replication::*;
use ironcache_types::{ClusterId, Epoch, Incarnation, Member, NodeId, Offset, ShardId, Slot};
use proptest::prelude::*;

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let len = encode(message, &mut out).unwrap();
    assert_eq!(len, out.len());
    out
}

const SOURCE: Source = Source { epoch: Epoch(7), incarnation: Incarnation(0xabcd) };

fn one_of_each() -> Vec<Message<'static>> {
    let lineage = Lineage::from_entries(&[(Epoch(3), Offset(0)), (Epoch(7), Offset(120))]).unwrap();
    let member = Member { node: NodeId(0x11), incarnation: Incarnation(0x22) };
    let hello = Hello {
        version: 1,
        cluster_id: ClusterId(0x0123_4567_89ab_cdef),
        shard: ShardId(2),
        member,
        purpose: Purpose::NextSource,
        position: Some(Position { lineage_epoch: Epoch(3), offset: Offset(100) }),
    };
    vec![
        Message::Hello(hello),
        Message::Hello(Hello { purpose: Purpose::Follow, position: None, ..hello }),
        Message::Ack(Ack { source: SOURCE, applied: Offset(130) }),
        Message::Accept(Accept {
            source: SOURCE,
            mode: SyncMode::Partial { from: Offset(100) },
            lineage: lineage.clone(),
        }),
        Message::Accept(Accept { source: SOURCE, mode: SyncMode::Full, lineage: lineage.clone() }),
        Message::Refuse { reason: "not the primary" },
        Message::SyncChunk(SyncChunk { slot: Slot(16383), bytes: b"k=v" }),
        Message::SyncEnd(SyncEnd { lineage, offset: Offset(200) }),
        Message::Effects(Effects {
            epoch: Epoch(7),
            start: Offset(120),
            scope: Scope::Slot(Slot(5)),
            bytes: b"SET k v",
        }),
        Message::Effects(Effects { epoch: Epoch(7), start: Offset(154), scope: Scope::All, bytes: b"" }),
        Message::Fence(Fence { handover_epoch: Epoch(8), offset: Offset(181) }),
        Message::Promoted(Promoted { shard: ShardId(2), epoch: Epoch(9), log_index: 77 }),
        Message::Ping { now_ms: 1234, applied_index: 77 },
    ]
}

#[test]
fn version_1_never_changes() {
    let mut golden = String::new();
    for message in one_of_each() {
        let hex: String = encoded(&message).iter().map(|b| format!("{b:02x}")).collect();
        golden += &format!("{hex}\n");
    }
    expect![[r#"
        37000000bccfb168010100efcdab89674523010000000000000000020011000000000000002200000000000000010103000000000000006400000000000000
        27000000055dd91f010100efcdab896745230100000000000000000200110000000000000022000000000000000000
        190000008eacd03a020700000000000000cdab0000000000008200000000000000
        3b00000061ed97c8030700000000000000cdab000000000000016400000000000000020300000000000000000000000000000007000000000000007800000000000000
        330000004d8b97f4030700000000000000cdab00000000000000020300000000000000000000000000000007000000000000007800000000000000
        10000000c15a92c6046e6f7420746865207072696d617279
        060000001da72f1405ff3f6b3d76
        2a0000003ad5799506c800000000000000020300000000000000000000000000000007000000000000007800000000000000
        1a000000b487253907070000000000000078000000000000000500534554206b2076
        130000009f42b7190707000000000000009a00000000000000ffff
        11000000aff9fac2080800000000000000b500000000000000
        13000000d3e67c6e09020009000000000000004d00000000000000
        11000000489c23d00ad2040000000000004d00000000000000
    "#]].assert_eq(&golden);
}

#[test]
fn a_link_is_read_message_by_message_however_it_is_cut() {
    let messages = one_of_each();
    let stream: Vec<u8> = messages.iter().flat_map(encoded).collect();
    let mut read = Vec::new();
    let mut from = 0;
    for until in 0..=stream.len() {
        while let Some((message, len)) = decode(&stream[from..until]).unwrap() {
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
            assert!(!matches!(decode(&bad), Ok(Some(_))), "{message:?}, bit {bit}");
        }
    }
}

#[test]
fn a_length_beyond_the_limit_is_refused_from_the_header_alone() {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    for kind in 0..=255 {
        header[8] = kind;
        assert!(matches!(decode(&header), Err(FrameError::TooLong { .. })), "kind {kind}");
    }
    header[..4].copy_from_slice(&(CONTROL_BODY_BYTES_MAX as u32 + 2).to_le_bytes());
    header[8] = 2;
    assert!(matches!(decode(&header), Err(FrameError::TooLong { kind: 2, .. })));
    header[..4].copy_from_slice(&0u32.to_le_bytes());
    assert_eq!(decode(&header), Err(FrameError::Empty));
}

#[test]
fn a_replica_of_another_version_is_told_so() {
    let Message::Hello(hello) = one_of_each().remove(0) else { unreachable!("the first is a hello") };
    let bytes = encoded(&Message::Hello(Hello { version: 2, ..hello }));
    assert_eq!(decode(&bytes), Err(FrameError::Version { found: 2 }));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let reason = "é".repeat(REASON_BYTES_MAX);
    let bytes = encoded(&Message::Refuse { reason: &reason });
    let Ok(Some((Message::Refuse { reason }, _))) = decode(&bytes) else { panic!("{bytes:?}") };
    assert_eq!(reason.len(), REASON_BYTES_MAX);
}

#[test]
fn an_offset_that_would_overflow_is_malformed() {
    let start = Offset(u64::MAX - EFFECTS_OVERHEAD_BYTES as u64);
    let frame = |bytes| Message::Effects(Effects { epoch: Epoch(1), start, scope: Scope::All, bytes });
    assert!(decode(&encoded(&frame(b""))).is_ok());
    assert!(matches!(decode(&encoded(&frame(b"x"))), Err(FrameError::Malformed { .. })));
}

#[test]
fn the_end_of_a_frame_is_its_start_and_its_whole_length() {
    let frame = Effects { epoch: Epoch(7), start: Offset(1000), scope: Scope::All, bytes: b"SET k v" };
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
    fn effects_are_read_back(epoch: u64, start in 0..u64::MAX / 2, slot in prop::option::of(0u16..16384), bytes: Vec<u8>) {
        let scope = slot.map_or(Scope::All, |slot| Scope::Slot(Slot(slot)));
        let frame = Effects { epoch: Epoch(epoch), start: Offset(start), scope, bytes: &bytes };
        let mut out = b"before".to_vec();
        let len = encode_effects(&mut out, frame.epoch, frame.start, scope, |out| out.extend(&bytes)).unwrap();
        prop_assert_eq!(decode(&out[6..]), Ok(Some((Message::Effects(frame), len))));
    }

    #[test]
    fn lineages_and_positions_are_read_back(lineage in lineages(), past in 0u64..1000) {
        let offset = Offset(lineage.last().1.0 + past);
        let message = Message::SyncEnd(SyncEnd { lineage: lineage.clone(), offset });
        let bytes = encoded(&message);
        prop_assert_eq!(decode(&bytes), Ok(Some((message, bytes.len()))));

        let saved = SavedPosition::at(&lineage, offset).unwrap();
        let mut bytes = Vec::new();
        saved.encode(&mut bytes);
        prop_assert_eq!(SavedPosition::decode(&bytes), Ok((saved, bytes.len())));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = decode(&bytes);
        let _ = SavedPosition::decode(&bytes);
    }

    #[test]
    fn a_garbage_body_with_a_good_checksum_never_panics_and_has_one_encoding(kind in 0u8..12, body: Vec<u8>) {
        let mut bytes = (body.len() as u32 + 1).to_le_bytes().to_vec();
        let covered: Vec<u8> = std::iter::once(kind).chain(body).collect();
        bytes.extend(crc32fast::hash(&covered).to_le_bytes());
        bytes.extend(covered);
        if let Ok(Some((message, len))) = decode(&bytes) {
            prop_assert_eq!(len, bytes.len());
            prop_assert_eq!(encoded(&message), bytes);
        }
    }
}
