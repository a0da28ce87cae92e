//! Channels: what a client is confirmed, what it may do meanwhile, and who is sent what.

use super::*;

#[test]
fn every_channel_is_confirmed_and_only_a_new_one_is_a_change() {
    check(
        &mut session(),
        &primary(),
        &[
            (
                "SUBSCRIBE a b a",
                "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 *3 $9 subscribe $1 a :2 joins Channel a, joins Channel b",
            ),
            ("SUBSCRIBE b", "*3 $9 subscribe $1 b :2"),
            ("PSUBSCRIBE h*", "*3 $10 psubscribe $2 h* :3 joins Pattern h*"),
            ("SSUBSCRIBE s", "*3 $10 ssubscribe $1 s :1 joins Shard s"),
            ("UNSUBSCRIBE zz b", "*3 $11 unsubscribe $2 zz :3 *3 $11 unsubscribe $1 b :2 leaves Channel b"),
            ("UNSUBSCRIBE", "*3 $11 unsubscribe $1 a :1 leaves Channel a"),
            ("UNSUBSCRIBE", "*3 $11 unsubscribe $-1 :1"),
            ("PUNSUBSCRIBE", "*3 $12 punsubscribe $2 h* :0 leaves Pattern h*"),
            ("SUNSUBSCRIBE", "*3 $12 sunsubscribe $1 s :0 leaves Shard s"),
            ("SUNSUBSCRIBE", "*3 $12 sunsubscribe $-1 :0"),
        ],
    );
}

#[test]
fn in_resp2_a_subscriber_may_do_little_until_it_has_left_everything() {
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context"
        )
    };
    for (joins, leaves) in
        [("SUBSCRIBE a", "UNSUBSCRIBE"), ("PSUBSCRIBE a", "PUNSUBSCRIBE"), ("SSUBSCRIBE a", "SUNSUBSCRIBE")]
    {
        let mut client = session();
        take(&mut client, &primary(), joins);
        for name in ["get", "hello", "multi", "monitor", "publish", "client"] {
            let request = format!("{name} a b");
            let request = if name == "get" { "GET a" } else { request.as_str() };
            let request = if name == "multi" || name == "monitor" { name } else { request };
            assert_eq!(take(&mut client, &primary(), request), refused(name));
        }
        check(
            &mut client,
            &primary(),
            &[
                ("PING", "*2 $4 pong $0"),
                ("PING hi", "*2 $4 pong $2 hi"),
                ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
            ],
        );
        take(&mut client, &primary(), leaves);
        check(&mut client, &primary(), &[("GET x", "run get on 16287"), ("PING", "+PONG")]);
    }
}

#[test]
fn what_another_node_executes_is_redirected_first() {
    let mut client = session();
    take(&mut client, &replica(), "SUBSCRIBE a");
    check(&mut client, &replica(), &[("GET x", "-MOVED 16287 10.0.0.1:7000")]);
}

#[test]
fn in_resp3_a_subscriber_may_do_everything() {
    let mut client = session();
    take(&mut client, &primary(), "HELLO 3");
    check(
        &mut client,
        &primary(),
        &[
            ("SUBSCRIBE a", ">3 $9 subscribe $1 a :1 joins Channel a"),
            ("GET x", "run get on 16287"),
            ("PING", "+PONG"),
            ("PUBLISH a m", "answer Publish(Cluster)"),
            ("PUBSUB CHANNELS", "answer PubSub"),
            ("UNSUBSCRIBE x", ">3 $11 unsubscribe $1 x :1"),
            ("PUNSUBSCRIBE", ">3 $12 punsubscribe _ :1"),
        ],
    );
}

#[test]
fn channels_of_a_shard_go_by_slot_and_every_node_of_the_shard_takes_them() {
    check(
        &mut session(),
        &primary(),
        &[
            (
                "SSUBSCRIBE {a}1 {a}2",
                "*3 $10 ssubscribe $4 {a}1 :1 *3 $10 ssubscribe $4 {a}2 :2 joins Shard {a}1, joins Shard {a}2",
            ),
            ("SSUBSCRIBE a b", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ],
    );
    let mut node = replica();
    check(
        &mut session(),
        &node,
        &[
            ("SPUBLISH a m", "answer Publish(Shard)"),
            ("SSUBSCRIBE a", "*3 $10 ssubscribe $1 a :1 joins Shard a"),
        ],
    );
    node.serves_reads = false;
    check(
        &mut session(),
        &node,
        &[
            ("SPUBLISH a m", "-MOVED 15495 10.0.0.1:7000"),
            ("SSUBSCRIBE a", "-MOVED 15495 10.0.0.1:7000"),
            ("SUNSUBSCRIBE a", "-MOVED 15495 10.0.0.1:7000"),
            // It names no channel of another shard.
            ("SUNSUBSCRIBE", "*3 $12 sunsubscribe $-1 :0"),
            ("SUBSCRIBE a", "*3 $9 subscribe $1 a :1 joins Channel a"),
        ],
    );
    node.owner = Owner::Undecided;
    check(&mut session(), &node, &[("SPUBLISH a m", "Park"), ("PUBLISH a m", "answer Publish(Cluster)")]);
}

#[test]
fn in_a_transaction_a_message_is_queued_and_a_channel_of_the_shard_refused() {
    let (mut client, node) = (session(), primary());
    check(
        &mut client,
        &node,
        &[
            ("MULTI", "+OK"),
            ("PUBLISH a m", "+QUEUED"),
            ("SUBSCRIBE a", "+QUEUED"),
            ("SSUBSCRIBE a", "+QUEUED"),
            ("EXEC", "run all of publish, subscribe, ssubscribe on 15495"),
        ],
    );
    let spec = ironcache_command::lookup(b"ssubscribe").unwrap();
    let refusal = client.server(spec, &[b"ssubscribe", b"a"], Within::Transaction, &node, &mut Vec::new());
    assert_eq!(refusal.err(), Some(Refusal::ShardInTransaction));
}

#[test]
fn a_reset_leaves_everything() {
    let mut client = session();
    for request in ["SUBSCRIBE a", "PSUBSCRIBE p", "SSUBSCRIBE s"] {
        take(&mut client, &primary(), request);
    }
    check(
        &mut client,
        &primary(),
        &[
            ("RESET", "+RESET listen Nothing, not to Counts { channels: 1, patterns: 1, shard: 1 }"),
            ("GET x", "run get on 16287"),
        ],
    );
    assert_eq!(client.subscriptions().bytes(), 0);
}

#[test]
fn who_lost_its_shard_may_go_on_with_the_rest() {
    let mut client = session();
    take(&mut client, &primary(), "SSUBSCRIBE {a}1 {a}2");
    client.end_shard();
    check(
        &mut client,
        &primary(),
        &[("GET x", "run get on 16287"), ("SUNSUBSCRIBE", "*3 $12 sunsubscribe $-1 :0")],
    );
}

/// Two clients, by their numbers.
fn listening(changes: &[(u64, Change)]) -> Registry<u64> {
    let mut registry = Registry::default();
    for (id, change) in changes {
        registry.change(*id, id, change.clone());
    }
    registry
}

fn joins(kind: Kind, name: &str) -> Change {
    Change::Joins(kind, name.as_bytes().into())
}

fn text(message: &Message, protocol: Protocol) -> String {
    let mut bytes = Vec::new();
    message.write(protocol, &mut bytes);
    String::from_utf8(bytes).unwrap().replace("\r\n", " ").trim_end().to_owned()
}

fn published(registry: &Registry<u64>, audience: Audience, channel: &str) -> (usize, Vec<String>) {
    let mut sent = Vec::new();
    let count = registry.publish(audience, channel.as_bytes(), b"m", |to, message| {
        sent.push(format!("{to}: {}", text(message, Protocol::Resp2)));
    });
    (count, sent)
}

#[test]
fn a_message_goes_to_who_listens_by_name_and_then_by_pattern() {
    let registry = listening(&[
        (1, joins(Kind::Pattern, "h*")),
        (2, joins(Kind::Channel, "hi")),
        (2, joins(Kind::Pattern, "?i")),
        (3, joins(Kind::Shard, "hi")),
    ]);
    let expected = vec![
        "2: *3 $7 message $2 hi $1 m".to_owned(),
        "2: *4 $8 pmessage $2 ?i $2 hi $1 m".to_owned(),
        "1: *4 $8 pmessage $2 h* $2 hi $1 m".to_owned(),
    ];
    assert_eq!(published(&registry, Audience::Cluster, "hi"), (3, expected));
    let expected = vec!["3: *3 $8 smessage $2 hi $1 m".to_owned()];
    assert_eq!(published(&registry, Audience::Shard, "hi"), (1, expected));
    assert_eq!(published(&registry, Audience::Cluster, "other"), (0, vec![]));
}

#[test]
fn in_resp3_a_message_differs_in_its_first_byte() {
    let registry = listening(&[(1, joins(Kind::Channel, "c"))]);
    registry.publish(Audience::Cluster, b"c", b"m", |_, message| {
        assert_eq!(text(message, Protocol::Resp3), ">3 $7 message $1 c $1 m");
    });
}

#[test]
fn a_topic_that_nobody_listens_to_is_not_kept() {
    let mut registry = listening(&[(1, joins(Kind::Channel, "a")), (2, joins(Kind::Channel, "a"))]);
    registry.change(1, &1, Change::Leaves(Kind::Channel, b"a"[..].into()));
    assert_eq!(registry.counts().channels, 1);
    let mut client = session();
    take(&mut client, &primary(), "SUBSCRIBE a");
    registry.forget(2, client.subscriptions());
    assert_eq!(registry.counts(), Counts::default());
}

#[test]
fn a_shard_that_ended_is_told_one_by_one() {
    let mut registry = listening(&[
        (1, joins(Kind::Shard, "a")),
        (1, joins(Kind::Shard, "b")),
        (2, joins(Kind::Shard, "b")),
        (2, joins(Kind::Channel, "b")),
    ]);
    let mut sent = Vec::new();
    registry.end_shard(|to, message| sent.push(format!("{to}: {}", text(message, Protocol::Resp3))));
    let expected = [
        "1: >3 $12 sunsubscribe $1 a :1",
        "1: >3 $12 sunsubscribe $1 b :0",
        "2: >3 $12 sunsubscribe $1 b :0",
    ];
    assert_eq!(sent, expected);
    assert_eq!(registry.counts(), Counts { channels: 1, patterns: 0, shard: 0 });
}

#[test]
fn what_clients_listen_to_is_told_as_redis_tells_it() {
    let registry = listening(&[
        (1, joins(Kind::Channel, "a")),
        (2, joins(Kind::Channel, "a")),
        (2, joins(Kind::Channel, "b")),
        (2, joins(Kind::Pattern, "b")),
        (2, joins(Kind::Shard, "s")),
    ]);
    for (request, expected) in [
        ("PUBSUB CHANNELS", "*2 $1 a $1 b"),
        ("PUBSUB channels b*", "*1 $1 b"),
        ("PUBSUB NUMSUB", "*0"),
        ("PUBSUB NUMSUB a b c", "*6 $1 a :2 $1 b :1 $1 c :0"),
        ("PUBSUB NUMPAT", ":1"),
        ("PUBSUB SHARDCHANNELS", "*1 $1 s"),
        ("PUBSUB SHARDNUMSUB s a", "*4 $1 s :1 $1 a :0"),
        ("PUBSUB NUMPAT x", "ERR wrong number of arguments for 'pubsub|numpat' command"),
        (
            "PUBSUB CHANNELS a b",
            "ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
        ),
        ("PUBSUB foo", "ERR unknown subcommand 'foo'. Try PUBSUB HELP."),
    ] {
        let (args, mut out): (Vec<&[u8]>, _) = (request.split(' ').map(str::as_bytes).collect(), Vec::new());
        let told = introspect(&registry, &args, Protocol::Resp2, &mut out);
        let reply = String::from_utf8(out).unwrap().replace("\r\n", " ").trim_end().to_owned();
        assert_eq!(told.map_or_else(|refusal| refusal.to_string(), |()| reply), expected, "{request}");
    }
}
