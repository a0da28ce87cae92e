//! What a keeper keeps: only what follows, whole, and of the stream that it is the tail of.

use ironcache_replication::*;
use ironcache_types::{Epoch, Incarnation, Level, Offset};
use proptest::prelude::*;

const SOURCE: Source = Source { epoch: Epoch(7), incarnation: Incarnation(1) };
const FROM: Offset = Offset(200);

fn lineage() -> Lineage {
    Lineage::from_entries(&[(Epoch(3), Offset(0)), (Epoch(7), Offset(120))]).unwrap()
}

fn tail() -> KeptTail {
    KeptTail::new(SOURCE, lineage(), FROM)
}

fn frame(epoch: u64, start: u64) -> Effects<'static> {
    Effects { level: Level::FIRST, epoch: Epoch(epoch), start: Offset(start), scope: Scope::All, bytes: b"" }
}

fn at(epoch: u64, offset: u64) -> Option<Position> {
    Some(Position { lineage_epoch: Epoch(epoch), offset: Offset(offset) })
}

/// Commands as frames: of each the number of its bytes, and whether the frame is a part of one that goes on.
fn stream(commands: &[(usize, bool)]) -> Vec<Vec<u8>> {
    let mut start = FROM;
    let each = |(bytes, is_part): &(usize, bool)| {
        let (bytes, mut out) = (vec![7; *bytes], Vec::new());
        let effects = Effects { bytes: &bytes, start, ..frame(7, 0) };
        let message = if *is_part { Message::EffectsPart(effects) } else { Message::Effects(effects) };
        start.0 += encode(&message, LINK_VERSIONS.max, &mut out).unwrap() as u64;
        out
    };
    commands.iter().map(each).collect()
}

#[test]
fn only_what_follows_without_a_gap_and_of_the_epoch_is_kept() {
    let mut tail = tail();
    let before = tail.clone();
    for start in [171, 199, 201, 229] {
        let gap = TailError::Gap { end: FROM, start: Offset(start) };
        assert_eq!(tail.admit(&Message::Effects(frame(7, start))), Err(gap));
    }
    for got in [3, 6, 8] {
        let other = TailError::OtherEpoch { start: FROM, got: Epoch(got), expected: Epoch(7) };
        assert_eq!(tail.admit(&Message::Effects(frame(got, 200))), Err(other));
    }
    let ping = Message::Ping { now_ms: 0, applied_index: 0 };
    assert_eq!(tail.admit(&ping), Err(TailError::NotEffects { end: FROM }));
    assert_eq!(tail, before);
    tail.admit(&Message::Effects(frame(7, 200))).unwrap();
    assert_eq!((tail.whole(), tail.end()), (Offset(229), Offset(229)));
}

#[test]
fn a_command_of_several_frames_counts_once_its_last_one_is_there() {
    let mut tail = tail();
    tail.admit(&Message::EffectsPart(frame(7, 200))).unwrap();
    assert_eq!((tail.whole(), tail.end()), (FROM, Offset(229)));
    let other = Effects { level: Level(2), ..frame(7, 229) };
    let refused = TailError::NotOfOneGroup { start: Offset(229) };
    assert_eq!(tail.admit(&Message::Effects(other)), Err(refused));
    tail.admit(&Message::Effects(frame(7, 229))).unwrap();
    assert_eq!((tail.whole(), tail.end()), (Offset(258), Offset(258)));
    tail.admit(&Message::EffectsPart(frame(7, 258))).unwrap();
    tail.cut();
    assert_eq!((tail.whole(), tail.end()), (Offset(258), Offset(258)));
    tail.admit(&Message::Effects(other_at(258))).unwrap();
}

fn other_at(start: u64) -> Effects<'static> {
    Effects { level: Level(2), ..frame(7, start) }
}

#[test]
fn what_could_not_be_written_is_taken_back() {
    let mut tail = tail();
    tail.admit(&Message::EffectsPart(frame(7, 200))).unwrap();
    let (before, mark) = (tail.clone(), tail.mark());
    tail.admit(&Message::Effects(frame(7, 229))).unwrap();
    tail.admit(&Message::EffectsPart(frame(7, 258))).unwrap();
    tail.take_back(mark);
    assert_eq!(tail, before);
}

#[test]
fn the_same_primary_goes_on_where_the_tail_ends_and_nobody_else_does() {
    let mut tail = tail();
    tail.admit(&Message::Effects(frame(7, 200))).unwrap();
    tail.admit(&Message::EffectsPart(frame(7, 229))).unwrap();
    for from in [200, 258] {
        assert!(tail.go_on(SOURCE, &lineage(), Offset(from)).is_err(), "{from}");
    }
    let later_life = Source { incarnation: Incarnation(2), ..SOURCE };
    assert!(tail.go_on(later_life, &lineage(), Offset(229)).is_err());
    assert!(tail.go_on(SOURCE, &Lineage::new(Epoch(7), Offset(120)), Offset(229)).is_err());
    tail.go_on(SOURCE, &lineage(), Offset(229)).unwrap();
    assert_eq!(tail.end(), Offset(229), "half a command is sent again");
}

#[test]
fn a_node_gets_in_step_from_its_own_position_and_never_by_a_full_sync() {
    let mut tail = tail();
    tail.admit(&Message::Effects(frame(7, 200))).unwrap();
    assert_eq!(tail.serve(at(7, 200)), Ok(Offset(200)));
    assert_eq!(tail.serve(at(7, 229)), Ok(Offset(229)));
    assert_eq!(tail.serve(None), Err(FullReason::NoPosition));
    let passed = FullReason::BacklogPassed { offset: Offset(199), backlog_start: FROM };
    assert_eq!(tail.serve(at(7, 199)), Err(passed), "what it lacks was not kept");
    assert!(tail.serve(at(3, 121)).is_err(), "what it holds is of a branch that was cut off");
    assert!(tail.serve(at(6, 200)).is_err(), "of no epoch of this history");
}

#[test]
fn a_node_that_holds_more_of_the_same_epoch_lacks_nothing() {
    let mut tail = tail();
    tail.admit(&Message::Effects(frame(7, 200))).unwrap();
    assert_eq!(tail.serve(at(7, 300)), Ok(Offset(300)));
    assert!(tail.serve(at(8, 300)).is_err());
}

#[test]
fn a_tail_from_where_its_epoch_began_serves_who_holds_all_of_the_one_before() {
    let tail = KeptTail::new(SOURCE, lineage(), Offset(120));
    assert_eq!(tail.serve(at(3, 120)), Ok(Offset(120)));
}

fn commands() -> impl Strategy<Value = Vec<(usize, bool)>> {
    prop::collection::vec((0usize..60, prop::bool::weighted(0.3)), 1..20)
}

proptest! {
    #[test]
    fn what_was_appended_is_read_back_however_it_is_cut(commands in commands(), at in any::<prop::sample::Index>()) {
        let frames = stream(&commands);
        let mut kept = tail();
        let mut wholes = vec![FROM];
        for frame in &frames {
            kept.admit(&decode(frame, LINK_VERSIONS.max).unwrap().unwrap().0).unwrap();
            wholes.push(kept.whole());
        }
        let bytes = frames.concat();
        let cut = at.index(bytes.len() + 1);
        let mut read = tail();
        let taken = read.read_back(&bytes[..cut]).unwrap();
        let (mut ends, mut end) = (vec![0], 0);
        for frame in &frames {
            end += frame.len();
            ends.push(end);
        }
        let complete = ends.iter().rposition(|end| *end <= cut).unwrap();
        prop_assert_eq!(taken, ends[complete]);
        prop_assert_eq!(read.whole(), wholes[complete], "the last whole command that is complete");
        // And in two goes.
        let mut again = tail();
        let first = again.read_back(&bytes[..cut]).unwrap();
        again.read_back(&bytes[first..]).unwrap();
        prop_assert_eq!(again, kept);
    }

    #[test]
    fn a_flipped_bit_is_damage_or_ends_the_tail_before_it(
        commands in commands(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let frames = stream(&commands);
        let mut bytes = frames.concat();
        let byte = at.index(bytes.len());
        bytes[byte] ^= 1 << bit;
        let mut read = tail();
        let result = read.read_back(&bytes);
        let taken = match result {
            Ok(taken) => taken,
            Err(_) => usize::try_from(read.end().0 - FROM.0).unwrap(),
        };
        prop_assert!(taken <= byte, "{taken} bytes are taken, and byte {byte} is wrong");
    }

    #[test]
    fn no_bytes_whatever_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = tail().read_back(&bytes);
        let _ = TailHead::decode(&bytes);
    }
}
