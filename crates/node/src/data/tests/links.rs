//! Both ends of a link, against a peer of another release.

use super::*;
use crate::data::blocked::{self, Word};
use crate::data::follower::{Heard, Receiving, process};
use crate::data::link_io::{FrameReader, LinkError, SILENCE_MAX, SYNC_SILENCE_MAX};
use crate::data::link_stream::LinkStream;
use crate::data::pulse::Voice;
use crate::data::refusal::Refusal;
use crate::data::source::{self, LinkSocket};
use ironcache_command::{Waits, Wanted};
use ironcache_keyspace::{Effect, Kind, SetExpiry};
use ironcache_replication::{
    Accept, Effects, Hello, LINK_VERSIONS, LinkVersion, LinkVersions, Message, Purpose, Refuse, Scope,
    SyncChunk, decode, encode,
};
use ironcache_shard::Objection;
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
    source::serve(node, LinkSocket::of_tests(far.into_std().unwrap())).await;
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
        format!(
            "the replica's release speaks link versions 8-9, and this one {LINK_VERSIONS}: run a release in between"
        )
    );
}

#[test]
fn a_replica_whose_release_does_not_admit_the_level_is_refused_by_name() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    assert_eq!(plane.objection(&hello()), None);
    let above = LEVELS.max.next();
    world.raise(above);
    plane.apply_view(world.view());
    let refusal = plane.objection(&hello()).expect("it could not read a frame");
    assert_eq!(refusal, Objection::CannotRead { level: above, admits: LEVELS });
    assert_eq!(Refusal::from(refusal).code(), "cannot_read");
    let levels = LevelRange { max: above, ..LEVELS };
    assert_eq!(plane.objection(&Hello { levels, ..hello() }), None);
}

/// Whoever says hello is of this cluster and shard, and the very life that the log knows; else it hears why not.
#[test]
fn a_hello_of_another_cluster_shard_node_or_life_is_refused_by_name() {
    let world = World::alone(AckMode::Primary);
    let (plane, _proposals) = plane(A, &world);
    let stranger = Member { node: NodeId(9), ..B };
    let witness = Member { node: NodeId(3), incarnation: Incarnation(30) };
    let earlier = Member { incarnation: Incarnation(19), ..B };
    let later = Member { incarnation: Incarnation(21), ..B };
    for (said, code) in [
        (Hello { cluster_id: ClusterId(8), ..hello() }, "other_cluster"),
        (Hello { shard: ShardId(1), ..hello() }, "other_shard"),
        (Hello { member: stranger, ..hello() }, "unknown_node"),
        (Hello { member: witness, ..hello() }, "not_of_shard"),
        (Hello { member: earlier, ..hello() }, "other_life"),
        (Hello { member: later, ..hello() }, "other_life"),
    ] {
        let objection = plane.objection(&said).expect(code);
        assert_eq!(Refusal::from(objection).code(), code, "{objection}");
    }
    assert_eq!(plane.objection(&hello()), None);
}

/// A replica that holds what this primary never wrote gets the whole dataset, and nothing of its own is kept.
#[tokio::test]
async fn a_position_from_the_future_or_of_another_line_takes_a_full_sync() {
    let world = World::alone(AckMode::Primary);
    let epoch = world.source().epoch;
    for (lineage_epoch, offset) in [
        (epoch, 1),
        (epoch, u64::MAX),
        (Epoch(epoch.0 + 1), 0),
        (Epoch(u64::MAX), u64::MAX),
        (Epoch(epoch.0.wrapping_sub(1)), 1),
        (Epoch(0), 0),
    ] {
        let position = Some(ironcache_replication::Position { lineage_epoch, offset: Offset(offset) });
        let answer = answered(&world, &encoded(&Message::Hello(Hello { position, ..hello() }))).await;
        let (_, len) = decode(&answer, LinkVersion::HANDSHAKE).unwrap().unwrap();
        let (begin, _) = decode(&answer[len..], LINK_VERSIONS.max).unwrap().unwrap();
        let full = matches!(begin, Message::SyncBegin(SyncBegin { mode: SyncMode::Full, .. }));
        assert!(full, "{lineage_epoch} {offset}: {begin:?}");
    }
}

/// Any bit of anything that a source sends, changed on the way, ends the link, and the dataset is what it was.
#[tokio::test]
async fn every_flipped_bit_of_a_stream_costs_the_link_and_nothing_of_it_is_applied() {
    let world = World::alone(AckMode::Primary);
    let good = set_at(Level(1), &world);
    for bit in 0..good.len() * 8 {
        let (node, mut reader, mut link, mut peer) = linked(&world, LEVELS).await;
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // One bit of a length makes it wait for more, which is never taken for content either.
        let waits = bit / 8 < 4;
        peer.write_all(&bad).await.unwrap();
        reader.fill().await.unwrap();
        let heard = process(&node, &mut reader, &mut link);
        assert!(heard.is_err() || waits, "bit {bit}");
        let plane = node.plane.borrow();
        assert_eq!((plane.keyspace.len(), plane.offset()), (0, Offset(0)), "bit {bit}");
    }
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
    let first = plane.level().0;
    for level in [first, first, first + 1] {
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
    let near = LinkStream::new(near, None);
    let mut link = Receiving::new(A, Voice::of(&near).unwrap());
    let near = near.tcp;
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
    let above = LEVELS.max.next();
    let frame = set_at(above, &world);
    let ended = hear(&node, &mut reader, &mut link, &mut peer, &frame).await;
    let Err(LinkError::LevelNotAdmitted { level, admits }) = ended else { panic!("it was taken") };
    assert_eq!((level, admits), (above, LEVELS));
    let mut plane = node.plane.borrow_mut();
    assert_eq!((plane.keyspace.len(), plane.offset()), (0, Offset(0)));
    assert_eq!(cursor(&mut plane).applied_offset(), Some(Offset(0)));
}

#[tokio::test]
async fn a_client_of_a_replica_is_told_of_what_its_primary_writes_for_as_long_as_it_is_in_sync() {
    let mut world = World::pair(AckMode::InSync);
    let (node, mut reader, mut link, mut peer) = linked(&world, LEVELS).await;
    show(&node, &world);
    let mut keeper = {
        let mut plane = node.plane.borrow_mut();
        let mut keeper = client(&mut plane);
        for command in ["HELLO 3", "READONLY", "CLIENT TRACKING ON"] {
            answer(&mut plane, &mut keeper, command);
        }
        assert_eq!(answer(&mut plane, &mut keeper, "GET k"), "_\r\n");
        keeper
    };
    let frame = set_at(LEVELS.max, &world);
    hear(&node, &mut reader, &mut link, &mut peer, &frame).await.unwrap();
    assert_eq!(tracking::told(&keeper), ["k"]);
    assert_eq!(answer(&mut node.plane.borrow_mut(), &mut keeper, "GET k"), "$1\r\nv\r\n");
    world.remove_in_sync(B);
    show(&node, &world);
    assert_eq!(tracking::told(&keeper), ["all"], "it may miss what is written from here on");
}

#[tokio::test]
async fn a_frame_of_a_level_that_the_log_has_not_reached_here_waits_for_it() {
    let mut world = World::pair(AckMode::InSync);
    let raised = LEVELS.max.next();
    let (node, mut reader, mut link, mut peer) = linked(&world, LevelRange { max: raised, ..LEVELS }).await;
    let frame = set_at(raised, &world);
    let heard = hear(&node, &mut reader, &mut link, &mut peer, &frame).await.unwrap();
    assert_eq!(heard.ahead, Some(raised));
    assert_eq!(node.plane.borrow().keyspace.len(), 0);
    world.raise(raised);
    show(&node, &world);
    // It was kept: nothing more arrives.
    let heard = process(&node, &mut reader, &mut link).unwrap();
    assert_eq!(heard.ahead, None);
    let plane = node.plane.borrow();
    assert_eq!((plane.keyspace.len(), plane.offset()), (1, Offset(frame.len() as u64)));
    assert_eq!(plane.backlog.level_at(Offset(0)), Some(raised), "kept verbatim");
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

#[tokio::test]
async fn who_reads_at_a_replica_and_waits_is_given_what_its_primary_adds() {
    let world = World::pair(AckMode::InSync);
    let (mut source, _proposals) = plane(A, &world);
    let mut writer = client(&mut source);
    answer(&mut source, &mut writer, "XADD k 1-1 f v");
    let stream = {
        let (head, tail) = source.backlog.read_from(Offset(0), usize::MAX).expect("it is kept");
        [head, tail].concat()
    };
    let (node, mut reader, mut link, mut peer) = linked(&world, LEVELS).await;
    let mut waiting = client(&mut node.plane.borrow_mut());
    {
        let mut plane = node.plane.borrow_mut();
        assert_eq!(answer(&mut plane, &mut waiting, "READONLY"), "+OK\r\n");
        let read = run(&mut plane, &mut waiting, "XREAD BLOCK 0 STREAMS k $");
        assert_eq!(read, (Some(Stop::Blocked), String::new()));
    }
    hear(&node, &mut reader, &mut link, &mut peer, &stream).await.unwrap();
    let seat = waiting.seat.clone().expect("it is blocked");
    let Some(Word::Served(served)) = seat.take() else { panic!("it is not served") };
    let entry = "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";
    assert_eq!(String::from_utf8(served.reply).unwrap(), entry);
    assert!(served.owed.is_nothing());
}

/// It was primary when this client came, and the client is not told yet where to go.
#[tokio::test]
async fn a_replica_executes_no_write_for_who_waited_here() {
    let world = World::pair(AckMode::InSync);
    let (mut source, _proposals) = plane(A, &world);
    let mut writer = client(&mut source);
    answer(&mut source, &mut writer, "RPUSH k a");
    let stream = {
        let (head, tail) = source.backlog.read_from(Offset(0), usize::MAX).expect("it is kept");
        [head, tail].concat()
    };
    let (node, mut reader, mut link, mut peer) = linked(&world, LEVELS).await;
    let mut waiting = client(&mut node.plane.borrow_mut());
    let spec = ironcache_command::lookup(b"blpop").expect("it is a command");
    let waits = Waits { timeout_ms: 0, keys: 1..2, for_what: Wanted::Kind(Kind::List) };
    let args: [&[u8]; 3] = [b"BLPOP", b"k", b"0"];
    blocked::wait(&mut node.plane.borrow_mut(), &mut waiting, spec, &args, waits, key_slot(b"k"));
    hear(&node, &mut reader, &mut link, &mut peer, &stream).await.unwrap();
    assert!(waiting.seat.clone().expect("it is blocked").take().is_none());
    assert_eq!(node.plane.borrow().keyspace.fingerprint(), source.keyspace.fingerprint());
}

/// The far end of a link, which says only what it is told to.
struct Far {
    stream: TcpStream,
    buf: Vec<u8>,
}

impl Far {
    fn new(stream: TcpStream) -> Far {
        Far { stream, buf: Vec::new() }
    }

    /// Of a replica that dials, and has been told to go on with the protocol.
    async fn dialled(listener: &TcpListener) -> Far {
        let mut far = Far::new(listener.accept().await.unwrap().0);
        while !far.buf.ends_with(b"\r\n\r\n") {
            far.stream.read_buf(&mut far.buf).await.unwrap();
        }
        far.buf.clear();
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ironcache-replication\r\n\r\n";
        far.stream.write_all(answer.as_bytes()).await.unwrap();
        far
    }

    async fn say(&mut self, message: &Message<'_>) {
        self.stream.write_all(&encoded(message)).await.unwrap();
    }

    /// The first message of which `take` makes something; `None`: the link was closed before.
    async fn hear<T>(&mut self, take: impl Fn(&Message<'_>) -> Option<T>) -> Option<T> {
        loop {
            if let Some((message, len)) = decode(&self.buf, V1).unwrap() {
                let heard = take(&message);
                self.buf.drain(..len);
                if heard.is_some() {
                    return heard;
                }
            } else if self.stream.read_buf(&mut self.buf).await.is_ok_and(|read| read > 0) {
            } else {
                return None;
            }
        }
    }
}

/// Far above what anything here takes.
const BOUND: std::time::Duration = std::time::Duration::from_secs(60);

/// It hears its primary, and is not heard: one direction of a link may be dead alone.
#[tokio::test]
async fn a_replica_that_is_not_heard_any_more_loses_its_link() {
    let world = World::alone(AckMode::Primary);
    let (plane, _proposals) = plane(A, &world);
    let (near, far) = sockets().await;
    let mut replica = Far::new(near);
    let acknowledged = async {
        replica.say(&Message::Hello(hello())).await;
        replica.hear(|message| matches!(message, Message::SyncEnd(_)).then_some(())).await.unwrap();
        replica.say(&Message::Ack(Ack { source: world.source(), applied: Offset(0) })).await;
        let since = std::time::Instant::now();
        let none: Option<()> = replica.hear(|_| None).await;
        assert_eq!(none, None);
        since.elapsed()
    };
    let serving = source::serve(node(plane), LinkSocket::of_tests(far.into_std().unwrap()));
    let both = async { tokio::join!(acknowledged, serving).0 };
    let silent_for = tokio::time::timeout(BOUND, both).await.expect("a link that is not heard is closed");
    assert!((SILENCE_MAX..SYNC_SILENCE_MAX).contains(&silent_for), "{silent_for:?}");
}

/// The other direction; and until then each ping is answered, in a full sync as well.
#[tokio::test]
async fn a_primary_that_is_not_heard_any_more_is_dialled_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut world = World::alone(AckMode::Primary);
    world.state.nodes.get_mut(&A.node).unwrap().peer_addr = listener.local_addr().unwrap().to_string();
    let (plane, _proposals) = plane(B, &world);
    let node = node(plane);
    let primary = async {
        let mut link = Far::dialled(&listener).await;
        let position = link.hear(|message| match message {
            Message::Hello(hello) => Some(hello.position),
            _ => None,
        });
        assert_eq!(position.await, Some(None));
        link.say(&Message::Accept(Accept { version: V1 })).await;
        let lineage = Lineage::new(world.source().epoch, Offset(0));
        let begin = SyncBegin { source: world.source(), mode: SyncMode::Full, lineage: lineage.clone() };
        link.say(&Message::SyncBegin(begin)).await;
        link.say(&Message::Ping { now_ms: 1, applied_index: 1 }).await;
        let answered = link.hear(|message| matches!(message, Message::Progress(_)).then_some(()));
        answered.await.expect("it has nothing to acknowledge yet, and says that it hears");
        link.say(&Message::SyncEnd(ironcache_replication::SyncEnd { lineage, offset: Offset(0) })).await;
        let acked = link.hear(|message| matches!(message, Message::Ack(_)).then_some(()));
        acked.await.expect("it is in step");
        let since = std::time::Instant::now();
        // Nothing more is said, and the link is not closed.
        let _again = Far::dialled(&listener).await;
        since.elapsed()
    };
    let local = tokio::task::LocalSet::new();
    local.spawn_local(crate::data::follower::run(node));
    let dialled = tokio::time::timeout(BOUND, local.run_until(primary));
    let silent_for = dialled.await.expect("it is dialled anew");
    assert!((SILENCE_MAX..SYNC_SILENCE_MAX).contains(&silent_for), "{silent_for:?}");
}
