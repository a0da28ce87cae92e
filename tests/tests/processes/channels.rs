//! Messages of channels, between clients of different nodes.

use crate::PRODUCT;
use ironcache_api::Outcome;
use ironcache_differential::Oracle;
use ironcache_tests::{Cluster, NEXT, Spec, until};
use redis::aio::MultiplexedConnection;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const AGAIN: Duration = Duration::from_millis(5);

/// A client that listens, and comes again when its node has gone: what it heard, connection by connection, as numbers.
struct Listener {
    heard: Arc<Mutex<Vec<Vec<u64>>>>,
    task: JoinHandle<()>,
}

impl Listener {
    /// `word` is the command, by which it listens to `channel`.
    fn at(addr: String, word: &'static str, channel: &'static str) -> Listener {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                // A node that is away is tried again.
                let _ = listen(&addr, word, channel, &to).await;
                tokio::time::sleep(AGAIN).await;
            }
        });
        Listener { heard, task }
    }

    fn heard(&self) -> Vec<Vec<u64>> {
        self.heard.lock().expect("nothing panics while it holds it").clone()
    }

    async fn is_there(&self) {
        until("the client listens", async || (!self.heard().is_empty()).then_some(())).await;
    }

    async fn hears(&self, number: u64) {
        until("the message is heard", async || {
            let heard = self.heard();
            heard.last().is_some_and(|heard| heard.last() == Some(&number)).then_some(())
        })
        .await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(addr: &str, word: &str, channel: &str, heard: &Mutex<Vec<Vec<u64>>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(addr).await?);
    stream.write_all(format!("{word} {channel}\r\n").as_bytes()).await?;
    let mut is_confirmed = false;
    loop {
        // An array of three: what it is, the channel, and a count or a payload.
        let mut parts = Vec::new();
        for _ in 0..if is_confirmed { 7 } else { 6 } {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 || line.starts_with('-') {
                return Ok(());
            }
            parts.push(line.trim_end().to_owned());
        }
        let mut heard = heard.lock().expect("nothing panics while it holds it");
        if is_confirmed {
            let number = parts[6].parse().expect("a number was published");
            heard.last_mut().expect("it is confirmed").push(number);
        } else {
            is_confirmed = true;
            heard.push(Vec::new());
        }
    }
}

async fn connect(addr: &str) -> redis::RedisResult<MultiplexedConnection> {
    redis::Client::open(format!("redis://{addr}/"))?.get_multiplexed_async_connection().await
}

async fn publish(to: &mut MultiplexedConnection, channel: &str, number: u64) -> redis::RedisResult<u64> {
    redis::cmd("PUBLISH").arg(channel).arg(number).query_async(to).await
}

fn quartet() -> Spec {
    Spec::new(PRODUCT, 2, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_reaches_every_node_in_order() {
    let cluster = Cluster::start(&quartet()).await;
    let listeners: Vec<Listener> =
        cluster.nodes.iter().map(|node| Listener::at(node.client_addr(), "SUBSCRIBE", "news")).collect();
    for listener in &listeners {
        listener.is_there().await;
    }
    const MESSAGES: u64 = 2_000;
    let mut publisher = connect(&cluster.nodes[3].client_addr()).await.expect("the node is there");
    for number in 0..MESSAGES {
        // As Redis in a cluster: of the clients of this node.
        assert_eq!(publish(&mut publisher, "news", number).await.expect("it is published"), 1);
    }
    let all: Vec<u64> = (0..MESSAGES).collect();
    for listener in &listeners {
        listener.hears(MESSAGES - 1).await;
        assert_eq!(listener.heard(), [all.clone()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_a_shard_reaches_its_nodes_and_no_other_takes_it() {
    let cluster = Cluster::start(&quartet()).await;
    // Nodes 0 and 1 are primaries, 2 and 3 their replicas; `b` is a channel of the first shard.
    let status = cluster.cluster().await.expect("it answers");
    let slot = ironcache_types::key_slot(b"b");
    let shard =
        status.control.shards.values().find(|shard| shard.slots.contains(slot)).expect("it is served");
    let ids = cluster.ids().await;
    let (inside, outside): (Vec<usize>, Vec<usize>) =
        (0..cluster.nodes.len()).partition(|index| shard.nodes.contains(&ids[*index]));
    assert_eq!((inside.len(), outside.len()), (2, 2));
    let addr = |index: &usize| cluster.nodes[*index].client_addr();
    let listeners: Vec<Listener> =
        inside.iter().map(|index| Listener::at(addr(index), "SSUBSCRIBE", "b")).collect();
    for listener in &listeners {
        listener.is_there().await;
    }
    for (number, index) in inside.iter().enumerate() {
        let mut publisher = connect(&addr(index)).await.expect("the node is there");
        let reached: u64 = redis::cmd("SPUBLISH")
            .arg("b")
            .arg(number)
            .query_async(&mut publisher)
            .await
            .expect("it is published");
        assert_eq!(reached, 1);
        for listener in &listeners {
            listener.hears(number as u64).await;
        }
    }
    for index in &outside {
        let mut other = connect(&addr(index)).await.expect("the node is there");
        for command in [redis::cmd("SPUBLISH").arg("b").arg("x"), redis::cmd("SSUBSCRIBE").arg("b")] {
            let refused: redis::RedisResult<redis::Value> = command.query_async(&mut other).await;
            let error = refused.expect_err("it is of another shard");
            assert!(error.redirect_node().is_some(), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_roll_runs_messages_come_in_order_and_at_most_once() {
    let cluster = Cluster::start(&quartet()).await;
    let listeners: Vec<Listener> =
        cluster.nodes.iter().map(|node| Listener::at(node.client_addr(), "SUBSCRIBE", "news")).collect();
    for listener in &listeners {
        listener.is_there().await;
    }
    let addr = cluster.nodes[0].client_addr();
    let published = Arc::new(Mutex::new(0u64));
    let counted = Arc::clone(&published);
    let publisher = tokio::spawn(async move {
        let (mut connection, mut number) = (None, 0);
        loop {
            number += 1;
            if connection.is_none() {
                connection = connect(&addr).await.ok();
            }
            let done = match &mut connection {
                Some(connection) => publish(connection, "news", number).await.is_ok(),
                None => false,
            };
            if done {
                *counted.lock().expect("nothing panics while it holds it") = number;
            } else {
                // Its fate is unknown: it is not published again.
                connection = None;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    cluster.stage(NEXT).await;
    let plan = cluster.set_target(NEXT, None).await;
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Finalized);
    let at_end = *published.lock().expect("nothing panics while it holds it");
    until("more is published after the roll", async || {
        (*published.lock().expect("nothing panics while it holds it") > at_end + 50).then_some(())
    })
    .await;
    publisher.abort();
    assert!(publisher.await.is_err(), "it was ended");
    let last = *published.lock().expect("nothing panics while it holds it");
    for (index, listener) in listeners.iter().enumerate() {
        until("what was published after the roll is heard", async || {
            let heard = listener.heard();
            heard.last()?.last().is_some_and(|number| *number >= last).then_some(())
        })
        .await;
        let heard = listener.heard();
        assert!(heard.len() >= 2, "node {index} was restarted: {} connections", heard.len());
        let all: Vec<u64> = heard.concat();
        assert!(all.is_sorted_by(|one, next| one < next), "node {index}: in order, and none twice");
        // From the end of the roll on nothing is lost.
        let after: Vec<u64> = all.iter().copied().filter(|number| *number > at_end).collect();
        assert_eq!(after, (at_end + 1..=*after.last().expect("some")).collect::<Vec<_>>(), "node {index}");
    }
}

/// One that never reads costs its node a bounded amount, and nobody else a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_never_reads_is_closed_and_the_log_says_so() {
    let mut spec = quartet();
    spec.flags.push("--client-output-buffer-limit=pubsub 1mb 0 0".to_owned());
    let cluster = Cluster::start(&spec).await;
    let mut lazy = TcpStream::connect(cluster.nodes[1].client_addr()).await.expect("the node is there");
    lazy.write_all(b"SUBSCRIBE news\r\n").await.expect("the node is there");
    let good = Listener::at(cluster.nodes[1].client_addr(), "PSUBSCRIBE", "other");
    good.is_there().await;
    let mut publisher = connect(&cluster.nodes[0].client_addr()).await.expect("the node is there");
    let payload = "v".repeat(100_000);
    let told = "client-output-buffer-limit";
    until("the node has closed it", async || {
        let _: u64 =
            redis::cmd("PUBLISH").arg("news").arg(&payload).query_async(&mut publisher).await.ok()?;
        cluster.nodes[1].log_text().contains(told).then_some(())
    })
    .await;
    let mut asks = connect(&cluster.nodes[1].client_addr()).await.expect("the node is there");
    let left: (String, u64) =
        redis::cmd("PUBSUB").arg("NUMSUB").arg("news").query_async(&mut asks).await.expect("it answers");
    assert_eq!(left.1, 0);
    let patterns: u64 = redis::cmd("PUBSUB").arg("NUMPAT").query_async(&mut asks).await.expect("it answers");
    assert_eq!(patterns, 1);
    drop(lazy);
}

/// What clients say to one another, by a letter each; `3` speaks RESP3. Several requests of a line are one pipeline.
const TALK: &[(char, &str)] = &[
    ('a', "SUBSCRIBE a b a"),
    ('a', "GET x"),
    ('a', "PING"),
    ('a', "PING hi"),
    ('a', "PING hi there"),
    ('a', "PSUBSCRIBE h* h*llo"),
    ('b', "PUBLISH heo x"),
    ('b', "PUBLISH a y"),
    ('a', "SSUBSCRIBE {s}1 {s}2"),
    ('a', "SSUBSCRIBE s t"),
    ('b', "SPUBLISH {s}1 z"),
    ('b', "SPUBLISH a z"),
    ('b', "PUBSUB NUMSUB a b c"),
    ('b', "PUBSUB NUMPAT"),
    ('b', "PUBSUB CHANNELS a*"),
    ('b', "PUBSUB SHARDCHANNELS *2"),
    ('b', "PUBSUB SHARDNUMSUB {s}1 q"),
    ('a', "PUBLISH a y"),
    ('a', "UNSUBSCRIBE b"),
    ('a', "UNSUBSCRIBE a zz"),
    ('a', "SUNSUBSCRIBE {s}1"),
    ('a', "SUNSUBSCRIBE"),
    ('a', "SUNSUBSCRIBE"),
    ('a', "PUNSUBSCRIBE h*llo"),
    ('a', "PUNSUBSCRIBE"),
    ('a', "PUNSUBSCRIBE"),
    ('a', "UNSUBSCRIBE"),
    ('a', "GET x"),
    ('a', "MULTI\r\nSUBSCRIBE m n\r\nPING\r\nGET x\r\nEXEC"),
    ('a', "UNSUBSCRIBE m n"),
    ('a', "MULTI\r\nSSUBSCRIBE m\r\nPUBLISH m x\r\nEXEC"),
    ('3', "SUBSCRIBE a"),
    ('3', "GET x"),
    ('3', "PING"),
    ('b', "MULTI\r\nPUBLISH a 1\r\nPUBLISH a 2\r\nEXEC"),
    ('3', "PSUBSCRIBE ?"),
    ('b', "PUBLISH a 3"),
    ('3', "UNSUBSCRIBE q"),
    ('3', "PUNSUBSCRIBE"),
    ('3', "UNSUBSCRIBE"),
    ('3', "UNSUBSCRIBE"),
    ('d', "SUBSCRIBE q"),
    ('d', "MULTI"),
    ('d', "HELLO 3"),
    ('d', "RESET"),
    ('b', "PUBSUB NUMSUB q"),
    ('b', "PUBSUB NUMSUB"),
    ('b', "PUBSUB"),
    ('b', "PUBSUB foo"),
    ('b', "PUBSUB NUMPAT x"),
    ('b', "PUBSUB CHANNELS a b"),
    ('b', "SUBSCRIBE"),
    ('b', "PUBLISH a"),
    ('b', "SPUBLISH a"),
    ('b', "COMMAND GETKEYS SSUBSCRIBE a"),
];

/// Everything that the clients of `addr` are sent, line by line. A `PING` tells where an answer ends.
async fn said(addr: &str) -> Vec<String> {
    let mut clients: Vec<(char, TcpStream)> = Vec::new();
    for name in ['a', 'b', '3', 'd'] {
        let mut stream = TcpStream::connect(addr).await.expect("it is there");
        if name == '3' {
            stream.write_all(b"HELLO 3\r\n").await.expect("it is there");
            answers(&mut stream, "hello").await;
        }
        clients.push((name, stream));
    }
    let mut said = Vec::new();
    for (number, (who, request)) in TALK.iter().enumerate() {
        let (_, stream) = clients.iter_mut().find(|(name, _)| name == who).expect("it is one of them");
        stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("it is there");
        // Whoever spoke first: then all others have what it brought them.
        clients.sort_by_key(|(name, _)| (name != who, *name));
        for (name, stream) in &mut clients {
            let sent = answers(stream, &format!("end-{number}")).await;
            said.push(format!("{who} {request:?}: {name} {sent:?}"));
        }
    }
    said
}

/// What comes before the answer to a `PING` of this text, and that.
async fn answers(stream: &mut TcpStream, end: &str) -> String {
    stream.write_all(format!("PING {end}\r\n").as_bytes()).await.expect("it is there");
    let (mut read, end) = (Vec::new(), format!("{end}\r\n"));
    while !read.ends_with(end.as_bytes()) {
        let mut bytes = [0; 4096];
        let more = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut bytes)).await;
        let count = more.expect("it answers").expect("it is there");
        assert!(count > 0, "it is closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server 7.0.15: make beside-redis"]
async fn beside_redis_clients_of_channels_are_sent_the_same() {
    let oracle = Oracle::start().unwrap_or_else(|error| panic!("{error}"));
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0)).await;
    let theirs = said(oracle.addr()).await;
    let ours = said(&cluster.nodes[0].client_addr()).await;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}
