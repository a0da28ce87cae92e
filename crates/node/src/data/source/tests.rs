//! What a full sync sends, and what the replica makes of it.

use super::*;
use crate::data::tests::{A, B, World, answer, attach, client, plane, primary};
use ironcache_control::AckMode;
use ironcache_keyspace::{Keyspace, apply_effects};
use ironcache_replication::{ChunkAct, Group, PART_BYTES_MAX, ReplicaCursor, Standing, SyncBegin, decode};
use ironcache_types::key_slot;

/// Applies what was sent, as a follower does.
fn receive(sent: &[u8], source: Source, cursor: &mut ReplicaCursor, keyspace: &mut Keyspace) {
    let (mut at, mut group) = (0, Group::default());
    while let Some((message, len)) = decode(&sent[at..], LINK_VERSIONS.max).unwrap() {
        let frame = &sent[at..at + len];
        at += len;
        match message {
            Message::EffectsPart(part) => {
                cursor.accept_part(source, &part).unwrap();
                group.take(&part, frame).unwrap();
            }
            Message::Effects(effects) => {
                if group.is_open() {
                    group.take(&effects, frame).unwrap();
                }
                let group = std::mem::take(&mut group);
                let joined = group.effects(|| {});
                let bytes = if group.is_open() { &joined } else { effects.bytes };
                let admitted = cursor.accept(source, &effects).unwrap();
                apply_effects(keyspace, bytes, effects.level).unwrap();
                cursor.applied(admitted).unwrap();
            }
            Message::SyncChunk(chunk) => {
                if cursor.on_sync_chunk(source, &chunk).unwrap() == ChunkAct::Replace {
                    keyspace.clear_slot(chunk.slot);
                }
                apply_effects(keyspace, chunk.bytes, chunk.level).unwrap();
            }
            Message::SyncEnd(end) => cursor.on_sync_end(source, &end).unwrap(),
            other => panic!("not part of a sync: {other:?}"),
        }
        if at == sent.len() {
            return;
        }
    }
}

#[test]
fn nothing_is_put_into_the_middle_of_a_frame() {
    let world = World::pair(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let source = primary(&plane).gate().source();
    let serial = attach(&mut plane, B).1;
    let mut progress = Progress { cursor: plane.offset(), sync: None };
    // More than is sent at a time, in frames that do not divide it.
    for n in 0..40 {
        answer(&mut plane, &mut client, &format!("SET key:{n} {}", "x".repeat(10_007)));
    }
    let attached = Attached { source, serial, member: B, version: LINK_VERSIONS.max };
    let (mut sent, mut rounds) = (Vec::new(), 0);
    while progress.cursor < plane.offset() {
        fill(&mut plane, attached, &mut progress, &mut sent).unwrap();
        let whole = {
            let mut at = 0;
            while let Some((_, len)) = decode(&sent[at..], LINK_VERSIONS.max).unwrap() {
                at += len;
            }
            at == sent.len()
        };
        assert_eq!(is_between_frames(&plane, &progress), whole);
        rounds += 1;
    }
    assert!(rounds > 2, "{rounds}: the backlog has to be sent in several pieces");
}

/// B says hello, and is attached with a full sync: its link's number.
fn syncing(plane: &mut Plane, member: Member) -> u64 {
    let now = plane.now();
    let serial = plane.engine.register(member, now);
    plane.engine.attach(member, serial, SyncMode::Full, now).unwrap();
    serial
}

/// A full sync of A's dataset, with commands between what is sent: the replica's keyspace at its end.
fn synced(
    world: &World,
    plane: &mut Plane,
    mut between: impl FnMut(&mut Plane, usize),
) -> (Keyspace, usize, usize) {
    let (source, lineage) = (primary(plane).gate().source(), primary(plane).lineage().clone());
    let serial = syncing(plane, B);
    let slots = world.shard().slots.clone();
    let mut progress =
        Progress { cursor: plane.offset(), sync: Some(Walk::new(slots, plane.offset(), PIECE_BYTES)) };
    let attached = Attached { source, serial, member: B, version: LINK_VERSIONS.max };
    let (mut cursor, mut keyspace) = (ReplicaCursor::empty(), Keyspace::new());
    let begin = SyncBegin { source, mode: SyncMode::Full, lineage };
    let _ = cursor.follow(source, &begin, Standing::Outside).unwrap();
    let (mut rounds, mut longest, mut stream) = (0, 0, Vec::new());
    while progress.sync.is_some() || progress.cursor < plane.offset() {
        let (syncs, mut out) = (progress.sync.is_some(), Vec::new());
        fill(plane, attached, &mut progress, &mut out).unwrap();
        if !syncs {
            // Sent as it lies in the backlog, and not frame by frame.
            stream.extend(out);
            continue;
        }
        longest = longest.max(out.len());
        receive(&out, source, &mut cursor, &mut keyspace);
        rounds += 1;
        between(plane, rounds);
    }
    receive(&stream, source, &mut cursor, &mut keyspace);
    assert_eq!(cursor.applied_offset(), Some(plane.offset()));
    (keyspace, rounds, longest)
}

#[test]
fn a_large_slot_is_sent_in_pieces_while_commands_change_it() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for n in 0..4_000 {
        answer(&mut plane, &mut client, &format!("SET {{t}}{n} {}", "x".repeat(2_000)));
    }
    answer(&mut plane, &mut client, &format!("SET {{t}}long {}", "y".repeat(5 << 20)));
    for _ in 0..30 {
        answer(&mut plane, &mut client, &format!("RPUSH {{t}}list {}", "z".repeat(100_000)));
    }
    let (keyspace, rounds, longest) = synced(&world, &mut plane, |plane, round| {
        for command in [
            format!("SET {{t}}{round} changed"),
            format!("DEL {{t}}{}", 3_999 - round),
            format!("RENAME {{t}}{} {{t}}{}", 2_000 + round, 100 + round),
            format!("LPOP {{t}}list {}", round % 2),
            format!("APPEND {{t}}long {round}"),
            format!("SADD {{t}}new {round}"),
            format!("SET elsewhere:{round} v"),
            "MULTI".to_owned(),
            "DBSIZE".to_owned(),
            format!("RPUSH {{t}}list {round}"),
            format!("SET {{t}}{round} again"),
            "EXEC".to_owned(),
        ] {
            answer(plane, &mut client, &command);
        }
    });
    assert!(rounds > 12, "{rounds}: it has to be under way while commands come");
    assert_eq!(keyspace.fingerprint(), plane.keyspace.fingerprint());
    // The last round of what never rests is the value as a whole.
    assert!(longest < 20 << 20, "{longest}");
}

#[test]
fn a_large_slot_at_rest_is_never_sent_in_one_go() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, &format!("SET {{t}}long {}", "y".repeat(20 << 20)));
    for n in 0..4_000 {
        answer(&mut plane, &mut client, &format!("SET {{t}}{n} {}", "x".repeat(2_000)));
    }
    let (keyspace, rounds, longest) = synced(&world, &mut plane, |_, _| {});
    assert!(rounds > 20 && longest < 2 * PIECE_BYTES + SEND_BYTES, "{rounds} of at most {longest} bytes");
    assert_eq!(keyspace.fingerprint(), plane.keyspace.fingerprint());
}

#[test]
fn a_command_on_all_slots_does_not_meet_what_is_yet_to_be_sent() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for n in 0..300 {
        answer(&mut plane, &mut client, &format!("SET before:{n} {}", "x".repeat(2_000)));
    }
    let late = (0..).map(|n| format!("late:{n}")).find(|k| key_slot(k.as_bytes()).0 > 16_000);
    let late = late.expect("keys are many");
    let (keyspace, rounds, _) = synced(&world, &mut plane, |plane, round| {
        // Of another kind each time, by commands some of which are not sent.
        let commands: &[&str] = match round {
            1 => &["MULTI", "DBSIZE", "HSET {late} f v", "EXEC"],
            2 => &["DEL {late}", "MULTI", "DBSIZE", "RPUSH {late} a b c", "EXEC"],
            3 => &["MULTI", "DBSIZE", "LSET {late} 2 d", "EXEC"],
            _ => &[],
        };
        for command in commands {
            answer(plane, &mut client, &command.replace("{late}", &late));
        }
    });
    assert!(rounds > 3, "{rounds}");
    assert_eq!(keyspace.fingerprint(), plane.keyspace.fingerprint());
}

#[test]
fn a_command_that_was_cut_is_forwarded_whole_or_noted_whole() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for n in 0..300 {
        answer(&mut plane, &mut client, &format!("SET before:{n} {}", "x".repeat(2_000)));
    }
    let long = "w".repeat(PART_BYTES_MAX + 1_000);
    let (keyspace, rounds, _) = synced(&world, &mut plane, |plane, round| {
        if round < 4 {
            answer(plane, &mut client, &format!("SET before:{round} {long}"));
            for command in ["MULTI", "DBSIZE", &format!("SET before:{} {long}", 100 + round), "EXEC"] {
                answer(plane, &mut client, command);
            }
        }
    });
    assert!(rounds > 4, "{rounds}");
    assert_eq!(keyspace.fingerprint(), plane.keyspace.fingerprint());
}

#[test]
fn a_full_sync_under_writes_that_touch_all_slots_ends_with_the_same_keys() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for n in 0..300 {
        answer(&mut plane, &mut client, &format!("SET before:{n} {}", "x".repeat(2_000)));
    }
    let (source, lineage) = (primary(&plane).gate().source(), primary(&plane).lineage().clone());
    let serial = syncing(&mut plane, B);
    let slots = world.shard().slots.clone();
    let mut progress =
        Progress { cursor: plane.offset(), sync: Some(Walk::new(slots, plane.offset(), PIECE_BYTES)) };
    let attached = Attached { source, serial, member: B, version: LINK_VERSIONS.max };
    let (mut cursor, mut keyspace) = (ReplicaCursor::empty(), Keyspace::new());
    let begin = SyncBegin { source, mode: SyncMode::Full, lineage };
    let _ = cursor.follow(source, &begin, Standing::Outside).unwrap();
    // In the last slot to be dumped, and gone again before its turn.
    let late =
        (0..).map(|n| format!("late:{n}")).find(|k| ironcache_types::key_slot(k.as_bytes()).0 > 16_000);
    let late = late.expect("keys are many");
    let mut rounds = 0;
    while progress.sync.is_some() {
        let mut out = Vec::new();
        fill(&mut plane, attached, &mut progress, &mut out).unwrap();
        receive(&out, source, &mut cursor, &mut keyspace);
        rounds += 1;
        match rounds {
            1 => {
                for command in ["MULTI", "FLUSHALL", &format!("SET {late} v"), "EXEC"] {
                    answer(&mut plane, &mut client, command);
                }
            }
            2 => assert_eq!(answer(&mut plane, &mut client, &format!("DEL {late}")), ":1\r\n"),
            _ => {}
        }
        answer(&mut plane, &mut client, &format!("SET during:{rounds} v"));
    }
    let mut out = Vec::new();
    fill(&mut plane, attached, &mut progress, &mut out).unwrap();
    receive(&out, source, &mut cursor, &mut keyspace);
    assert!(rounds > 2, "{rounds}: the sync has to be under way when the transaction runs");
    assert_eq!(cursor.applied_offset(), Some(plane.offset()));
    let keys = |keyspace: &Keyspace| {
        let mut keys: Vec<Vec<u8>> = keyspace.entries().map(|e| e.key().to_vec()).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&keyspace), keys(&plane.keyspace));
}
