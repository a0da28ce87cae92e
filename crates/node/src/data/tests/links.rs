//! Both ends of a link, against a peer of another release.

use super::*;
use crate::data::follower::{Heard, Receiving, process};
use crate::data::link_io::{FrameReader, LinkError};
use crate::data::pulse::Voice;
use crate::data::refusal::Refusal;
use crate::data::source::{self, LinkSocket};
use ironcache_keyspace::{Effect, SetExpiry};
use ironcache_replication::{
    Accept, Effects, Hello, LinkVersion, LinkVersions, Message, Purpose, Refuse, Scope, SyncChunk, decode,
    encode,
};
use ironcache_types::{Slot, key_slot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const V1: LinkVersion = LinkVersion(1);

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

fn hello() -> Hello {
    Hello {
        versions: LINK_VERSIONS,
        cluster_id: ClusterId(7),
        shard: SHARD,
        member: B,
        purpose: Purpose::Follow,
        position: None,
        levels: LEVELS,
    }
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(message, V1, &mut out).unwrap();
    out
}

/// What a source answers to these bytes, before it closes the link or waits for more.
async fn answered(world: &World, said: &[u8]) -> Vec<u8> {
    let (plane, _proposals) = plane(A, world);
    let node = node(plane);
    let (mut near, far) = sockets().await;
    near.write_all(said).await.unwrap();
    near.shutdown().await.unwrap();
    source::serve(node, LinkSocket { stream: far.into_std().unwrap(), read: Vec::new(), visit: None }).await;
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn refused(world: &World, said: &[u8]) -> (String, String) {
    let answer = answered(world, said).await;
    match decode(&answer, LinkVersion::HANDSHAKE) {
        Ok(Some((Message::Refuse(Refuse { code, text }), len))) if len == answer.len() => {
            (code.to_owned(), text.to_owned())
        }
        other => panic!("not a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_replica_of_a_later_release_is_accepted_at_the_version_that_both_speak() {
    let world = World::alone(AckMode::Primary);
    let mut later = encoded(&Message::Hello(Hello { versions: LinkVersions::new(1, 9), ..hello() }));
    // And says more than this release knows.
    later.extend(b"more");
    let len = (later.len() - 8) as u32;
    later[..4].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&later[8..]);
    later[4..8].copy_from_slice(&crc.to_le_bytes());
    let answer = answered(&world, &later).await;
    let (accepted, len) = decode(&answer, LinkVersion::HANDSHAKE).unwrap().unwrap();
    assert_eq!(accepted, Message::Accept(Accept { version: LINK_VERSIONS.max }));
    let (begin, _) = decode(&answer[len..], LINK_VERSIONS.max).unwrap().unwrap();
    assert!(matches!(begin, Message::SyncBegin(SyncBegin { mode: SyncMode::Full, .. })), "{begin:?}");
}

#[tokio::test]
async fn a_replica_without_a_common_version_is_refused_by_name() {
    let world = World::alone(AckMode::Primary);
    let versions = LinkVersions::new(8, 9);
    let (code, text) = refused(&world, &encoded(&Message::Hello(Hello { versions, ..hello() }))).await;
    assert_eq!(code, "no_common_version");
    assert_eq!(
        text,
        "the replica's release speaks link versions 8-9, and this one 1-1: run a release in between"
    );
}

#[test]
fn a_replica_whose_release_does_not_admit_the_level_is_refused_by_name() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    assert_eq!(source::objection(&plane, &hello()), None);
    world.raise(Level(2));
    plane.apply_view(world.view());
    let refusal = source::objection(&plane, &hello()).expect("it could not read a frame");
    assert_eq!(refusal, Refusal::CannotRead { level: Level(2), admits: LEVELS });
    assert_eq!(refusal.code(), "cannot_read");
    let levels = LevelRange::new(1, 2);
    assert_eq!(source::objection(&plane, &Hello { levels, ..hello() }), None);
}

#[tokio::test]
async fn nothing_but_a_hello_is_read_from_somebody_unknown() {
    let world = World::alone(AckMode::Primary);
    let ping = encoded(&Message::Ping { now_ms: 1, applied_index: 1 });
    assert_eq!(refused(&world, &ping).await.0, "above_version");
    let mut purpose = encoded(&Message::Hello(hello()));
    purpose[9 + 38] = 7;
    let crc = crc32fast::hash(&purpose[8..]);
    purpose[4..8].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(refused(&world, &purpose).await.0, "unknown_purpose");
    let mut altered = encoded(&Message::Hello(hello()));
    altered[20] ^= 1;
    assert_eq!(refused(&world, &altered).await.0, "malformed");
    let mut huge = vec![0; 9];
    huge[..4].copy_from_slice(&(1u32 << 30).to_le_bytes());
    huge[8] = encoded(&Message::SyncChunk(SyncChunk { level: Level(1), slot: Slot(0), bytes: b"" }))[8];
    assert_eq!(refused(&world, &huge).await.0, "above_version", "from its header");
}

#[test]
fn a_primary_writes_at_the_level_that_it_has_applied() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let mut starts = Vec::new();
    for level in [1, 1, 2] {
        if level > plane.level().0 {
            world.raise(Level(level));
            plane.apply_view(world.view());
        }
        starts.push((plane.offset(), Level(level)));
        answer(&mut plane, &mut client, "SET k v");
    }
    for (start, level) in starts {
        assert_eq!(plane.backlog.level_at(start), Some(level), "a frame stays as it was written");
    }
}

/// B follows A at the start of the stream, on a link of version 1; the end at which A writes.
async fn linked(world: &World, levels: LevelRange) -> (Rc<DataNode>, FrameReader, Receiving, TcpStream) {
    let mut plane = following(world);
    plane.levels = levels;
    let (near, far) = sockets().await;
    let mut reader = FrameReader::new(far.into_split().0, &[]);
    reader.speak(V1);
    let mut link = Receiving::new(A, Voice::of(&near).unwrap());
    (link.version, link.source) = (V1, Some(world.source()));
    (node(plane), reader, link, near)
}

fn set_at(level: Level, world: &World) -> Vec<u8> {
    let mut bytes = Vec::new();
    Effect::SetString { key: b"k", value: b"v", expiry: SetExpiry::Never }.encode(level, &mut bytes).unwrap();
    let scope = Scope::Slot(key_slot(b"k"));
    encoded(&Message::Effects(Effects {
        level,
        epoch: world.source().epoch,
        start: Offset(0),
        scope,
        bytes: &bytes,
    }))
}

async fn hear(
    node: &Rc<DataNode>,
    reader: &mut FrameReader,
    link: &mut Receiving,
    peer: &mut TcpStream,
    said: &[u8],
) -> Result<Heard, LinkError> {
    peer.write_all(said).await.unwrap();
    reader.fill().await.unwrap();
    process(node, reader, link)
}

#[tokio::test]
async fn a_frame_of_a_level_above_the_release_ends_the_link_and_touches_nothing() {
    let world = World::pair(AckMode::InSync);
    let (node, mut reader, mut link, mut peer) = linked(&world, LEVELS).await;
    let frame = set_at(Level(2), &world);
    let ended = hear(&node, &mut reader, &mut link, &mut peer, &frame).await;
    let Err(LinkError::LevelNotAdmitted { level: Level(2), admits }) = ended else { panic!("it was taken") };
    assert_eq!(admits, LEVELS);
    let mut plane = node.plane.borrow_mut();
    assert_eq!((plane.keyspace.len(), plane.offset()), (0, Offset(0)));
    assert_eq!(cursor(&mut plane).applied_offset(), Some(Offset(0)));
}

#[tokio::test]
async fn a_frame_of_a_level_that_the_log_has_not_reached_here_waits_for_it() {
    let mut world = World::pair(AckMode::InSync);
    let (node, mut reader, mut link, mut peer) = linked(&world, LevelRange::new(1, 2)).await;
    let frame = set_at(Level(2), &world);
    let heard = hear(&node, &mut reader, &mut link, &mut peer, &frame).await.unwrap();
    assert_eq!(heard.ahead, Some(Level(2)));
    assert_eq!(node.plane.borrow().keyspace.len(), 0);
    world.raise(Level(2));
    show(&node, &world);
    // It was kept: nothing more arrives.
    let heard = process(&node, &mut reader, &mut link).unwrap();
    assert_eq!(heard.ahead, None);
    let plane = node.plane.borrow();
    assert_eq!((plane.keyspace.len(), plane.offset()), (1, Offset(frame.len() as u64)));
    assert_eq!(plane.backlog.level_at(Offset(0)), Some(Level(2)), "kept verbatim");
}

#[tokio::test]
async fn a_source_that_chooses_a_version_of_its_own_is_left() {
    let world = World::pair(AckMode::InSync);
    let (node, mut reader, mut link, mut peer) = linked(&world, LEVELS).await;
    reader.speak(LinkVersion::HANDSHAKE);
    (link.version, link.source) = (LinkVersion::HANDSHAKE, None);
    let accept = encoded(&Message::Accept(Accept { version: LinkVersion(9) }));
    let ended = hear(&node, &mut reader, &mut link, &mut peer, &accept).await;
    assert!(matches!(ended, Err(LinkError::Version { chosen: LinkVersion(9) })));
}

#[tokio::test]
async fn a_command_that_was_cut_is_applied_whole_and_kept_as_it_came() {
    let world = World::pair(AckMode::InSync);
    let (mut source, _proposals) = plane(A, &world);
    let mut writer = client(&mut source);
    answer(&mut source, &mut writer, &format!("SET k {}", "x".repeat(20 << 20)));
    let stream = {
        let (head, tail) = source.backlog.read_from(Offset(0), usize::MAX).expect("it is kept");
        [head, tail].concat()
    };
    let (node, mut reader, mut link, mut peer) = linked(&world, LEVELS).await;
    let (most, last) = stream.split_at(stream.len() - 1);
    let sending = async { peer.write_all(most).await.unwrap() };
    let reading = async {
        while reader.received_bytes() < most.len() as u64 {
            reader.fill().await.unwrap();
            process(&node, &mut reader, &mut link).unwrap();
        }
    };
    tokio::join!(sending, reading);
    {
        let mut plane = node.plane.borrow_mut();
        assert_eq!((plane.keyspace.len(), plane.offset()), (0, Offset(0)), "the last byte is missing");
        assert_eq!(cursor(&mut plane).applied_offset(), Some(Offset(0)));
    }
    hear(&node, &mut reader, &mut link, &mut peer, last).await.unwrap();
    let mut plane = node.plane.borrow_mut();
    assert_eq!(plane.keyspace.fingerprint(), source.keyspace.fingerprint());
    assert_eq!(cursor(&mut plane).applied_offset(), Some(source.offset()));
    let (head, tail) = plane.backlog.read_from(Offset(0), usize::MAX).expect("it is kept here as well");
    assert!([head, tail].concat() == stream, "verbatim");
}
