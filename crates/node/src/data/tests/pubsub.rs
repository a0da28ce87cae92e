//! Channels: from connection to connection, to and from other nodes, and who is ended.

use super::connections::{connect, expect, expect_end, until};
use super::*;
use crate::data::client::Closing;
use crate::messages::Message;
use ironcache_session::Audience;
use ironcache_settings::OutputLimit;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

fn alone(set: impl Fn(&mut Config)) -> Rc<DataNode> {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut config = Config::clone(&plane.config);
    set(&mut config);
    plane.reconfigure(config);
    node(plane)
}

async fn ask(stream: &mut TcpStream, request: &str, reply: &str) {
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    expect(stream, &reply.replace(' ', "\r\n").replace('_', " ")).await;
}

async fn hears(stream: &mut TcpStream, message: &str) {
    expect(stream, &message.replace(' ', "\r\n")).await;
}

#[tokio::test]
async fn a_message_reaches_who_listens_in_its_protocol_and_in_order() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|_| {});
            let (mut old, mut new, mut client) =
                (connect(&node).await, connect(&node).await, connect(&node).await);
            ask(&mut old, "SUBSCRIBE c", "*3 $9 subscribe $1 c :1 ").await;
            new.write_all(b"HELLO 3\r\nPSUBSCRIBE c*\r\n").await.unwrap();
            until(&node, |plane| plane.clients.channels().counts().patterns == 1).await;
            for number in 1..4 {
                ask(&mut client, &format!("PUBLISH c {number}"), ":2 ").await;
                hears(&mut old, &format!("*3 $7 message $1 c $1 {number} ")).await;
            }
            ask(&mut old, "UNSUBSCRIBE", "*3 $11 unsubscribe $1 c :0 ").await;
            ask(&mut client, "PUBLISH c 4", ":1 ").await;
            ask(&mut old, "PING", "+PONG ").await;
            let said = "%7 $6 server $5 redis $7 version";
            hears(&mut new, said).await;
            let mut rest = String::new();
            while !rest.ends_with("$1\r\n4\r\n") {
                let mut byte = [0];
                tokio::io::AsyncReadExt::read_exact(&mut new, &mut byte).await.unwrap();
                rest.push(byte[0] as char);
            }
            let heard: Vec<&str> =
                rest.split(">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$1\r\n").skip(1).collect();
            assert_eq!(heard, ["1\r\n", "2\r\n", "3\r\n", "4\r\n"]);
        })
        .await;
}

#[tokio::test]
async fn a_message_that_came_before_is_before_the_next_reply() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|_| {});
            let mut client = connect(&node).await;
            client.write_all(b"HELLO 3\r\n").await.unwrap();
            until(&node, |plane| plane.stats.commands == 1).await;
            // One pipeline: each reply, then what the request before brought; nothing after it was left.
            let sent = b"SUBSCRIBE c\r\nPUBLISH c 1\r\nPING\r\nMULTI\r\nPUBLISH c 2\r\nPING\r\nEXEC\r\nUNSUBSCRIBE c\r\nPUBLISH c 3\r\nPING\r\n";
            client.write_all(sent).await.unwrap();
            let mut read = String::new();
            while !read.ends_with(":0\r\n+PONG\r\n") || read.matches("PONG").count() < 3 {
                let mut byte = [0];
                tokio::io::AsyncReadExt::read_exact(&mut client, &mut byte).await.unwrap();
                read.push(byte[0] as char);
            }
            let heard = |payload: &str| format!(">3 $7 message $1 c $1 {payload} ");
            let expected = format!(
                ">3 $9 subscribe $1 c :1 :1 {}+PONG +OK +QUEUED +QUEUED *2 :1 +PONG {}>3 $11 unsubscribe $1 c :0 :0 +PONG ",
                heard("1"),
                heard("2")
            );
            let (_hello, rest) = read.split_once("modules\r\n*0\r\n").unwrap();
            assert_eq!(rest.replace("\r\n", " "), expected);
        })
        .await;
}

#[tokio::test]
async fn a_subscriber_that_never_reads_is_ended_and_the_others_hear_everything() {
    LocalSet::new()
        .run_until(async {
            let pubsub = OutputLimit { hard_bytes: 1 << 20, soft_bytes: 0, soft_s: 0 };
            let node = alone(|config| config.client_output_buffer_limit.pubsub = pubsub);
            let (mut lazy, mut good) = (connect(&node).await, connect(&node).await);
            for stream in [&mut lazy, &mut good] {
                ask(stream, "SUBSCRIBE c", "*3 $9 subscribe $1 c :1 ").await;
            }
            let ending = node
                .plane
                .borrow()
                .clients
                .iter()
                .next()
                .map(|info| Rc::clone(&info.borrow().ending))
                .unwrap();
            let mut client = connect(&node).await;
            let payload = "v".repeat(60_000);
            // More than the socket's buffers and the limit hold.
            for _ in 0..400 {
                client.write_all(format!("PUBLISH c {payload}\r\n").as_bytes()).await.unwrap();
                let mut reply = [0; 4];
                tokio::io::AsyncReadExt::read_exact(&mut client, &mut reply).await.unwrap();
                expect(&mut good, &format!("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$60000\r\n{payload}\r\n"))
                    .await;
            }
            until(&node, |plane| plane.clients.len() == 2).await;
            assert!(matches!(ending.ends().await, Closing::Output(_)));
            ask(&mut client, "PUBSUB NUMSUB c", "*2 $1 c :1 ").await;
        })
        .await;
}

#[tokio::test]
async fn a_subscriber_above_the_soft_limit_for_too_long_is_ended() {
    let pubsub = OutputLimit { hard_bytes: 0, soft_bytes: 1 << 20, soft_s: 1 };
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut config = Config::clone(&plane.config);
    config.client_output_buffer_limit.pubsub = pubsub;
    plane.reconfigure(config);
    let mut listener = client(&mut plane);
    answer(&mut plane, &mut listener, "SUBSCRIBE c");
    listener.show(0);
    let limits = plane.config.client_output_buffer_limit;
    let began = tokio::time::Instant::now();
    let at = |ms| began + std::time::Duration::from_millis(ms);
    plane.publish(Audience::Cluster, b"c", &vec![0; 1 << 20]);
    plane.clients.end_excess(limits, at(0));
    plane.clients.end_excess(limits, at(900));
    // It took something: its time begins again.
    listener.inbox.as_ref().unwrap().take();
    plane.clients.end_excess(limits, at(950));
    plane.publish(Audience::Cluster, b"c", &vec![0; 1 << 20]);
    plane.clients.end_excess(limits, at(1_000));
    plane.clients.end_excess(limits, at(1_900));
    assert!(!listener.info.borrow().ending.is_told());
    plane.clients.end_excess(limits, at(2_000));
    assert!(listener.info.borrow().ending.is_told());
    assert_eq!(listener.inbox.as_ref().unwrap().bytes(), 0, "nothing is kept for it");
    plane.publish(Audience::Cluster, b"c", b"more");
    assert_eq!(listener.inbox.as_ref().unwrap().bytes(), 0);
    assert_eq!(plane.clients.kept_bytes(), 0);
}

#[test]
fn what_waits_for_listeners_counts_toward_all_clients() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut config = Config::clone(&plane.config);
    config.maxmemory_clients = 3 << 20;
    plane.reconfigure(config);
    let mut listeners = [client(&mut plane), client(&mut plane)];
    answer(&mut plane, &mut listeners[0], "SUBSCRIBE c d");
    answer(&mut plane, &mut listeners[1], "SUBSCRIBE c");
    plane.publish(Audience::Cluster, b"c", &vec![0; 1 << 20]);
    assert!(plane.clients.kept_bytes() > 2 << 20);
    plane.publish(Audience::Cluster, b"d", &vec![0; 1 << 20]);
    let told = listeners.each_ref().map(|listener| listener.info.borrow().ending.is_told());
    assert_eq!(told, [true, false], "whoever takes most");
    assert!(plane.clients.kept_bytes() < 2 << 20);
}

#[test]
fn a_message_goes_to_every_node_and_that_of_a_shard_to_its_nodes() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut publisher = client(&mut plane);
    // 3 is of no shard.
    let (replica, witness) = (NodeId(2), NodeId(3));
    assert_eq!(answer(&mut plane, &mut publisher, "SPUBLISH c m"), ":0\r\n");
    assert_eq!(plane.outbox.waiting(), [(replica, 1)]);
    assert_eq!(answer(&mut plane, &mut publisher, "PUBLISH c m"), ":0\r\n");
    assert_eq!(plane.outbox.waiting(), [(replica, 2), (witness, 1)]);
    for request in ["MULTI", "PUBLISH c m", "PUBLISH c m", "EXEC"] {
        answer(&mut plane, &mut publisher, request);
    }
    assert_eq!(plane.outbox.waiting(), [(replica, 4), (witness, 3)]);
}

#[test]
fn what_another_node_brings_is_heard_once_and_goes_no_further() {
    let world = World::pair(AckMode::Primary);
    let mut hearer = following(&world);
    let mut listener = client(&mut hearer);
    answer(&mut hearer, &mut listener, "SUBSCRIBE c");
    let inbox = Rc::clone(listener.inbox.as_ref().unwrap());
    let body = crate::messages::body_of_tests(
        A,
        1,
        &[Message { audience: Audience::Cluster, channel: b"c", payload: b"m" }],
    );
    hearer.hear(&body).unwrap();
    hearer.hear(&body).unwrap();
    let heard = String::from_utf8(inbox.take()).unwrap();
    assert_eq!(heard, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
    assert_eq!(hearer.outbox.waiting(), []);
}

#[test]
fn no_message_goes_to_a_node_that_is_not_of_its_level() {
    let mut world = World::pair(AckMode::Primary);
    let below = LevelRange { min: Level::FIRST, max: Level::FIRST };
    for node in world.state.nodes.values_mut() {
        node.levels = below;
    }
    let (mut plane, _) = plane(A, &world);
    plane.publish(Audience::Cluster, b"c", b"m");
    assert_eq!(plane.outbox.waiting(), []);
}

#[tokio::test]
async fn who_listens_to_the_shard_at_a_primary_that_is_none_any_more_is_told() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::Primary);
            let (mut plane, _proposals) = plane(A, &world);
            attach(&mut plane, B);
            let node = node(plane);
            let (mut idle, mut busy) = (connect(&node).await, connect(&node).await);
            ask(
                &mut idle,
                "SSUBSCRIBE {s}1 {s}2",
                "*3 $10 ssubscribe $4 {s}1 :1 *3 $10 ssubscribe $4 {s}2 :2 ",
            )
            .await;
            ask(&mut busy, "SSUBSCRIBE {s}1", "*3 $10 ssubscribe $4 {s}1 :1 ").await;
            ask(&mut busy, "SUBSCRIBE c", "*3 $9 subscribe $1 c :1 ").await;
            let handover = world.begin_handover(A, B);
            show(&node, &world);
            // It may be aborted yet.
            assert_eq!(node.plane.borrow().clients.channels().counts().shard, 2);
            let at = node.plane.borrow().offset();
            world.promote(handover, at);
            show(&node, &world);
            hears(&mut idle, "*3 $12 sunsubscribe $4 {s}1 :1 *3 $12 sunsubscribe $4 {s}2 :0 ").await;
            hears(&mut busy, "*3 $12 sunsubscribe $4 {s}1 :0 ").await;
            assert_eq!(node.plane.borrow().clients.channels().counts().shard, 0);
            // Its other channels stay, and the one that has none left is no subscriber any more.
            ask(&mut busy, "PING", "*2 $4 pong $0  ").await;
            ask(&mut idle, "PING", "+PONG ").await;
            ask(&mut idle, "SUBSCRIBE c", "*3 $9 subscribe $1 c :1 ").await;
        })
        .await;
}

#[test]
fn what_a_client_listens_to_is_shown() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut listener, mut other) = (client(&mut plane), client(&mut plane));
    for request in ["SUBSCRIBE a b", "PSUBSCRIBE p", "SSUBSCRIBE s"] {
        answer(&mut plane, &mut listener, request);
    }
    listener.show(0);
    other.show(0);
    let list = answer(&mut plane, &mut other, "CLIENT LIST TYPE pubsub");
    assert!(list.contains("flags=P db=0 sub=2 psub=1 ssub=1 "), "{list}");
    assert_eq!(list.matches("id=").count(), 1);
    let list = answer(&mut plane, &mut other, "CLIENT LIST TYPE normal");
    assert!(list.contains("flags=N db=0 sub=0 psub=0 ssub=0 ") && list.matches("id=").count() == 1, "{list}");
    let info = answer(&mut plane, &mut other, "INFO stats");
    for line in ["pubsub_channels:2\r\n", "pubsub_patterns:1\r\n", "pubsubshard_channels:1\r\n"] {
        assert!(info.contains(line), "{info}");
    }
    plane.clients.leave(&listener);
    assert_eq!(plane.clients.channels().counts(), Default::default());
}

#[test]
fn a_kind_of_client_that_is_not_named_keeps_its_limit() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    let mut set = |text: &[u8]| {
        let mut out = Vec::new();
        let args: [&[u8]; 4] = [b"CONFIG", b"SET", b"client-output-buffer-limit", text];
        dispatch::run(&mut plane, &mut client, &args, &mut out);
        (String::from_utf8(out).unwrap(), plane.config.client_output_buffer_limit.to_string())
    };
    assert_eq!(
        set(b"normal 1mb 0 0"),
        ("+OK\r\n".to_owned(), "normal 1048576 0 0 pubsub 33554432 8388608 60".to_owned())
    );
    assert_eq!(
        set(b"pubsub 2mb 1mb 5"),
        ("+OK\r\n".to_owned(), "normal 1048576 0 0 pubsub 2097152 1048576 5".to_owned())
    );
    assert!(set(b"slave 1 2 3").0.starts_with("-ERR CONFIG SET failed"));
}

#[tokio::test]
async fn a_subscriber_is_told_what_came_before_the_node_stops() {
    LocalSet::new()
        .run_until(async {
            let node = alone(|_| {});
            let mut listener = connect(&node).await;
            ask(&mut listener, "SUBSCRIBE c", "*3 $9 subscribe $1 c :1 ").await;
            node.plane.borrow_mut().publish(Audience::Cluster, b"c", b"last");
            node.drain_until.set(Some(tokio::time::Instant::now() + std::time::Duration::from_secs(5)));
            node.drain.notify_waiters();
            hears(&mut listener, "*3 $7 message $1 c $4 last ").await;
            expect_end(&mut listener).await;
        })
        .await;
}

#[test]
fn what_confirms_is_told_also_to_who_wants_no_replies() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    assert_eq!(answer(&mut plane, &mut client, "CLIENT REPLY OFF"), "");
    assert_eq!(answer(&mut plane, &mut client, "SUBSCRIBE"), "");
    assert_eq!(answer(&mut plane, &mut client, "SUBSCRIBE c"), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    assert_eq!(answer(&mut plane, &mut client, "PING"), "");
}

/// The channels and payloads that a client was left since the last look.
fn heard(listener: &Client) -> Vec<String> {
    let text = String::from_utf8(listener.inbox.as_ref().unwrap().take()).unwrap();
    let messages = text.split("*4\r\n$8\r\npmessage\r\n").skip(1);
    messages
        .map(|message| message.split("\r\n").skip(3).step_by(2).take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn what_becomes_of_keys_is_told_as_far_as_it_is_wanted() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut listener, mut other) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut listener, "PSUBSCRIBE __key*__:*");
    answer(&mut plane, &mut other, "SET k 1");
    assert_eq!(heard(&listener), [""; 0]);
    answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events KEA");
    assert!(answer(&mut plane, &mut other, "CONFIG GET notify-keyspace-events").contains("AKE"));
    answer(&mut plane, &mut other, "SET k 1 EX 100");
    assert_eq!(
        heard(&listener),
        [
            "__keyspace@0__:k set",
            "__keyevent@0__:set k",
            "__keyspace@0__:k expire",
            "__keyevent@0__:expire k"
        ]
    );
    for request in ["MULTI", "LPUSH l a", "LPOP l", "EXEC"] {
        answer(&mut plane, &mut other, request);
    }
    let expected = ["lpush", "lpop", "del"];
    let of_keys: Vec<String> =
        heard(&listener).into_iter().filter(|told| told.starts_with("__keyspace")).collect();
    assert_eq!(of_keys, expected.map(|event| format!("__keyspace@0__:l {event}")));
    // Who waited is served by another one's command, and what it takes is told after that.
    let mut waiting = client(&mut plane);
    assert_eq!(run(&mut plane, &mut waiting, "BLPOP l 0").0, Some(Stop::Blocked));
    answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events El");
    answer(&mut plane, &mut other, "RPUSH l a b");
    assert_eq!(heard(&listener), ["__keyevent@0__:rpush l", "__keyevent@0__:lpop l"]);
    answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events Ex");
    answer(&mut plane, &mut other, "SET k 1 PX 1");
    let node = node(plane);
    let began = std::time::Instant::now();
    while heard(&listener) != ["__keyevent@0__:expired k"] {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "it expires in time");
        crate::data::clockwork::expire(&node);
    }
    let mut plane = node.plane.borrow_mut();
    assert_eq!(plane.outbox.waiting(), [], "nothing of it goes to other nodes");
    answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events Am");
    answer(&mut plane, &mut other, "SET k 1");
    assert_eq!(heard(&listener), [""; 0]);
    let refused = answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events Kq");
    assert!(refused.contains("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."), "{refused}");
}

#[test]
fn keys_that_go_for_want_of_memory_are_told_of() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut listener, mut other) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut listener, "PSUBSCRIBE *");
    let room = plane.counted_bytes() + 100_000;
    for setting in [&format!("maxmemory {room}"), "maxmemory-policy allkeys-lru", "notify-keyspace-events Ee"]
    {
        assert_eq!(answer(&mut plane, &mut other, &format!("CONFIG SET {setting}")), "+OK\r\n");
    }
    for number in 0..2_000 {
        answer(&mut plane, &mut other, &format!("SET k{number} {}", "x".repeat(200)));
    }
    let told = heard(&listener);
    assert!(told.iter().all(|told| told.starts_with("__keyevent@0__:evicted k")), "{told:?}");
    assert_eq!((told.len() as u64, told.is_empty()), (plane.stats.evicted, false));
}
