//! Fuzzing of what peers send on a link, and of what a keeper keeps of it; see crate `ironcache-fuzz`.

use ironcache_fuzz::{Campaign, of_golden_lines};
use ironcache_replication::*;
use ironcache_types::{Epoch, Incarnation, Offset};

fn frames() -> Vec<Vec<u8>> {
    let files = [include_str!("golden/handshake.hex"), include_str!("golden/link-1.hex")];
    files.into_iter().flat_map(of_golden_lines).collect()
}

/// The checksums of all frames as they would be sent; a last one that is cut off ends where the bytes do.
fn reseal(bytes: &mut [u8]) {
    let mut rest = &mut bytes[..];
    while rest.len() >= HEADER_BYTES {
        let most = rest.len() - 4 - 4;
        let (len, after) = rest.split_at_mut(4);
        let claimed = u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize;
        let covered = claimed.clamp(1, most);
        len.copy_from_slice(&(covered as u32).to_le_bytes());
        let (crc, after) = after.split_at_mut(4);
        let (covered, after) = after.split_at_mut(covered);
        crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
        rest = after;
    }
}

#[test]
fn every_golden_frame_is_resealed_as_it_was() {
    for frame in frames() {
        let mut resealed = frame.clone();
        reseal(&mut resealed);
        assert_eq!(resealed, frame);
    }
}

#[test]
fn fuzz_frames_are_written_as_they_were_read() {
    Campaign::of("frames of a link").from(frames()).resealed(reseal).run(|bytes| {
        let version = LINK_VERSIONS.max;
        let read = decode(bytes, version);
        let Ok(Some((message, used))) = &read else { return read.map(|_| String::new()) };
        let mut written = Vec::new();
        // A list in another order, a hello with more behind it: what is written is the same again when it is read. A text
        // that is too long is cut, once.
        if encode(message, version, &mut written).is_ok() {
            let (again, _) =
                decode(&written, version).expect("what is written can be read").expect("it is whole");
            match (&again, message) {
                (Message::Refuse(again), Message::Refuse(read)) => {
                    assert!(read.code.starts_with(again.code) && read.text.starts_with(again.text));
                }
                (again, read) => assert_eq!(again, read),
            }
            let mut twice = Vec::new();
            encode(&again, version, &mut twice).expect("it was written before");
            assert_eq!(twice, written);
        }
        assert!(*used <= bytes.len());
        Ok(format!("{:?}", std::mem::discriminant(message)))
    });
}

#[test]
fn fuzz_a_cursor_takes_whatever_is_sent_in_whatever_order() {
    let all = frames().concat();
    let source = Source { epoch: Epoch(7), incarnation: Incarnation(0xabcd) };
    Campaign::of("a replica's cursor").from(frames()).from([all]).resealed(reseal).run(|bytes| {
        let lineage = Lineage::new(Epoch(7), Offset(120));
        let mut cursor = ReplicaCursor::holding(lineage.clone(), Offset(120));
        let mut tail = KeptTail::new(source, lineage, Offset(120));
        let mut rest = bytes;
        let mut outcome = Vec::new();
        while let Ok(Some((message, used))) = decode(rest, LINK_VERSIONS.max) {
            rest = &rest[used..];
            let (before, mark) = (tail.whole(), tail.mark());
            if tail.admit(&message).is_err() {
                assert_eq!(tail.mark(), mark, "what is not admitted changes nothing");
            }
            assert!(tail.whole() >= before);
            let of_cursor = match &message {
                Message::SyncBegin(begin) => cursor.follow(source, begin, Standing::Outside).map(drop),
                Message::Effects(frame) => {
                    cursor.accept(source, frame).and_then(|admitted| cursor.applied(admitted))
                }
                Message::EffectsPart(part) => cursor.accept_part(source, part),
                Message::SyncChunk(chunk) => cursor.on_sync_chunk(source, chunk).map(drop),
                Message::SyncEnd(end) => cursor.on_sync_end(source, end),
                Message::Fence(fence) => cursor.on_fence(source, fence).map(drop),
                _ => Ok(()),
            };
            if outcome.len() < 3 {
                outcome.push(of_cursor.err().map(|error| std::mem::discriminant(&error)));
            }
        }
        outcome
    });
}

#[test]
fn fuzz_tail_heads_and_positions() {
    let lineage =
        Lineage::from_entries(&[(Epoch(3), Offset(0)), (Epoch(7), Offset(120))]).expect("it ascends");
    let head = TailHead {
        cluster: ironcache_types::ClusterId(77),
        shard: ironcache_types::ShardId(2),
        source: Source { epoch: Epoch(7), incarnation: Incarnation(1) },
        keeper: ironcache_types::Member { node: ironcache_types::NodeId(3), incarnation: Incarnation(5) },
        isr_epoch: Epoch(9),
        from: Offset(120),
        lineage,
    };
    let (mut file, mut position) = (Vec::new(), Vec::new());
    head.encode(&mut file);
    SavedPosition::at(&head.lineage, Offset(9)).expect("it is within the lineage").encode(&mut position);
    let crc_at_end = |bytes: &mut [u8]| {
        let Some(at) = bytes.len().checked_sub(4) else { return };
        let crc = crc32fast::hash(&bytes[..at]);
        bytes[at..].copy_from_slice(&crc.to_le_bytes());
    };
    Campaign::of("heads of tails, positions").from([file, position]).resealed(crc_at_end).run(|bytes| {
        let head = TailHead::decode(bytes);
        if let Ok((head, used)) = &head {
            let mut written = Vec::new();
            head.encode(&mut written);
            assert_eq!(TailHead::decode(&written).expect("what is written can be read").0, *head);
            assert!(*used <= bytes.len());
        }
        (head.map(drop), SavedPosition::decode(bytes).map(drop))
    });
}
