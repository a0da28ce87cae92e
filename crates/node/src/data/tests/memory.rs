//! A node and its memory limit: who makes room, when, and what is told of it.

use super::*;
use crate::data::clockwork;
use crate::data::memory::{OF_A_COMMAND, OF_A_TICK};
use ironcache_keyspace::{AccessClock, Effect, EvictionPolicy, SetExpiry, apply_effects};
use ironcache_replication::{Message, decode};

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
/// For some hundreds of keys: most of an empty keyspace is the heads of its slots.
const ROOM: u64 = Keyspace::EMPTY_BYTES as u64 + (256 << 10);

fn limited(me: Member, world: &World, maxmemory: u64, policy: EvictionPolicy) -> Plane {
    let (mut plane, _) = plane(me, world);
    limit(&mut plane, maxmemory, policy);
    plane
}

fn limit(plane: &mut Plane, maxmemory: u64, maxmemory_policy: EvictionPolicy) {
    plane.reconfigure(Config { maxmemory, maxmemory_policy, ..Config::default() });
}

/// Every second one expires, in a day or more.
fn fill(plane: &mut Plane, keys: std::ops::Range<usize>) -> Vec<String> {
    let (mut client, value) = (client(plane), "x".repeat(200));
    let set = |i: usize| match i % 2 {
        0 => format!("SET k{i} {value} EX {}", 100_000 + i),
        _ => format!("SET k{i} {value}"),
    };
    keys.map(|i| answer(plane, &mut client, &set(i))).collect()
}

/// What whoever applies the whole stream holds.
pub(super) fn replica_of(plane: &Plane) -> Keyspace {
    let (head, tail) = plane.backlog.read_from(plane.backlog.start(), usize::MAX).expect("all of it");
    let (frames, mut at, mut replica) = ([head, tail].concat(), 0, Keyspace::new());
    while let Some((message, len)) = decode(&frames[at..], LINK_VERSIONS.max).expect("frames") {
        let Message::Effects(effects) = message else { panic!("only effects are in the stream") };
        apply_effects(&mut replica, effects.bytes, effects.level).expect("what was executed fits");
        at += len;
        if at == frames.len() {
            break;
        }
    }
    replica
}

#[test]
fn a_primary_stays_within_its_limit_by_every_policy_and_its_replica_is_its_equal() {
    for policy in EvictionPolicy::ALL.into_iter().filter(|policy| *policy != EvictionPolicy::NoEviction) {
        let mut plane = limited(A, &World::alone(AckMode::Primary), ROOM, policy);
        let word = policy.word();
        assert!(
            fill(&mut plane, 0..3000).iter().all(|reply| reply == "+OK\r\n" || word.starts_with("volatile"))
        );
        let counted = plane.counted_bytes() as u64;
        assert!(counted <= ROOM + ROOM / 50, "{word}: {counted} bytes");
        assert!(plane.stats.evicted > 500 && plane.keyspace.len() > 300, "{word}: {}", plane.stats.evicted);
        assert_eq!(plane.keyspace.used_bytes(), plane.keyspace.recount_bytes());
        let replica = replica_of(&plane);
        assert_eq!(replica.fingerprint(), plane.keyspace.fingerprint(), "{word}");
        assert_eq!(replica.len(), plane.keyspace.len());
        let mut client = client(&mut plane);
        let shown = answer(&mut plane, &mut client, "INFO");
        for line in [
            format!("evicted_keys:{}\r\n", plane.stats.evicted),
            format!("maxmemory:{ROOM}\r\n"),
            format!("maxmemory_policy:{word}\r\n"),
        ] {
            assert!(shown.contains(&line), "{line} in {shown}");
        }
    }
}

#[test]
fn a_policy_that_may_take_no_more_keys_refuses_what_takes_memory_and_nothing_else() {
    for policy in [EvictionPolicy::NoEviction, EvictionPolicy::VolatileLru] {
        let mut plane = limited(A, &World::alone(AckMode::Primary), ROOM, policy);
        let replies = fill(&mut plane, 0..3000);
        assert_eq!(replies.last().map(String::as_str), Some(OOM), "{}", policy.word());
        let mut client = client(&mut plane);
        assert_eq!(answer(&mut plane, &mut client, "MULTI"), "+OK\r\n");
        assert_eq!(answer(&mut plane, &mut client, "GET k1"), OOM);
        assert!(answer(&mut plane, &mut client, "EXEC").starts_with("-EXECABORT"));
        assert!(answer(&mut plane, &mut client, "GET k1").starts_with("$200\r\n"));
        for i in 0..200 {
            answer(&mut plane, &mut client, &format!("DEL k{i}"));
        }
        assert_eq!(answer(&mut plane, &mut client, "SET again v"), "+OK\r\n");
        limit(&mut plane, 0, policy);
        assert!(fill(&mut plane, 0..3000).iter().all(|reply| reply == "+OK\r\n"), "0 is no limit");
    }
}

#[test]
fn a_primary_that_hands_over_evicts_nothing() {
    let mut world = World::pair(AckMode::InSync);
    let mut plane = limited(A, &world, 0, EvictionPolicy::AllkeysLru);
    fill(&mut plane, 0..1000);
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    limit(&mut plane, ROOM / 2, EvictionPolicy::AllkeysLru);
    let (before, keys) = (plane.offset(), plane.keyspace.len());
    let mut client = client(&mut plane);
    assert_eq!(run(&mut plane, &mut client, "SET k v"), (Some(Stop::Park), String::new()));
    answer(&mut plane, &mut client, "PING");
    let node = node(plane);
    clockwork::evict(&node);
    assert_eq!((node.plane.borrow().offset(), node.plane.borrow().keyspace.len()), (before, keys));
    world.abort(handover);
    show(&node, &world);
    clockwork::evict(&node);
    assert_eq!(node.plane.borrow().keyspace.len(), 0, "less than an empty keyspace is allowed");
    assert_eq!(replica_of(&node.plane.borrow()).len(), 0);
}

#[test]
fn a_primary_without_a_lease_and_a_replica_evict_nothing() {
    let mut world = World::pair(AckMode::InSync);
    let put = |plane: &mut Plane| {
        for i in 0..500u32 {
            let set = Effect::SetString { key: &i.to_be_bytes(), value: &[7; 300], expiry: SetExpiry::Never };
            plane.keyspace.apply(&set).expect("it fits");
        }
    };
    let (mut unleased, _proposals) = without_lease(A, &world);
    let mut replica = following(&world);
    for plane in [&mut unleased, &mut replica] {
        put(plane);
        limit(plane, 1, EvictionPolicy::AllkeysRandom);
        let mut client = client(plane);
        for command in ["PING", "GET k", "SET k v"] {
            run(plane, &mut client, command);
        }
        plane.make_room(OF_A_TICK);
        assert_eq!((plane.keyspace.len(), plane.offset(), plane.stats.evicted), (500, Offset(0), 0));
    }
    // The replica becomes primary, and goes on where the old one was fenced.
    let handover = world.begin_handover(A, B);
    world.promote(handover, Offset(0));
    replica.apply_view(world.view());
    replica.make_room(OF_A_TICK);
    assert_eq!(replica.keyspace.len(), 0);
}

#[test]
fn a_slice_is_bounded_and_the_next_ones_go_on() {
    let mut plane = limited(A, &World::alone(AckMode::Primary), 0, EvictionPolicy::AllkeysRandom);
    fill(&mut plane, 0..4000);
    limit(&mut plane, ROOM, EvictionPolicy::AllkeysRandom);
    let mut client = client(&mut plane);
    let before = plane.keyspace.len();
    // So far above the limit, nothing may grow until there is room.
    assert_eq!(answer(&mut plane, &mut client, "SET more v"), OOM);
    assert_eq!(plane.keyspace.len(), before - OF_A_COMMAND);
    assert_eq!(answer(&mut plane, &mut client, "PING"), "+PONG\r\n");
    assert_eq!(plane.keyspace.len(), before - 2 * OF_A_COMMAND);
    let node = node(plane);
    for _ in 0..4 {
        clockwork::evict(&node);
    }
    let mut plane = node.plane.borrow_mut();
    assert!(!plane.is_above_limit());
    assert_eq!(answer(&mut plane, &mut client, "SET more v"), "+OK\r\n");
}

#[test]
fn a_large_value_ends_a_slice() {
    let mut plane = limited(A, &World::alone(AckMode::Primary), 0, EvictionPolicy::AllkeysRandom);
    let mut client = client(&mut plane);
    for key in 0..4 {
        for part in 0..20 {
            let members: Vec<String> = (0..1500).map(|i| format!("{}", part * 1500 + i)).collect();
            answer(&mut plane, &mut client, &format!("SADD s{key} {}", members.join(" ")));
        }
    }
    limit(&mut plane, 1, EvictionPolicy::AllkeysRandom);
    answer(&mut plane, &mut client, "PING");
    assert_eq!(plane.keyspace.len(), 3);
}

#[test]
fn eviction_waits_with_every_other_write_while_replicas_lag() {
    let world = World::pair(AckMode::Primary);
    let (to_control, _proposals) = mpsc::unbounded_channel();
    let config = Config { backlog_bytes: 64 << 10, ..Config::default() };
    let mut plane = Plane::new(Arc::new(config), A, Version::new(1, 0, 0), LEVELS, to_control, 1);
    grant(&mut plane, FOR_EVER);
    plane.loaded(Keyspace::new(), None);
    plane.apply_view(world.view());
    let link = attach(&mut plane, B);
    let mut client = client(&mut plane);
    let bound = plane.view.state.policy.max_lag_bytes as usize;
    answer(&mut plane, &mut client, &format!("SET k {}", "x".repeat(bound + 100)));
    assert!(plane.is_backed_up());
    let config = Config { backlog_bytes: 64 << 10, maxmemory: 1, ..Config::default() };
    plane.reconfigure(Config { maxmemory_policy: EvictionPolicy::AllkeysLru, ..config });
    answer(&mut plane, &mut client, "PING");
    assert_eq!(plane.stats.evicted, 0);
    let end = plane.offset();
    acknowledge(&mut plane, link);
    sent(&mut plane, link, end);
    plane.retain();
    answer(&mut plane, &mut client, "PING");
    assert_eq!((plane.stats.evicted, plane.keyspace.len()), (1, 0));
}

#[test]
fn a_key_is_used_by_what_reads_or_writes_it_and_not_by_what_asks_about_it() {
    let (mut plane, _) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    let at = |plane: &mut Plane, second: u64| {
        let tracking = plane.config.tracking();
        plane.keyspace.tell_time(AccessClock::new(second * 1000, tracking));
    };
    let idle = |plane: &mut Plane, client: &mut Client| answer(plane, client, "OBJECT IDLETIME k");
    at(&mut plane, 1000);
    answer(&mut plane, &mut client, "SET k v");
    at(&mut plane, 1060);
    for command in ["OBJECT ENCODING k", "TYPE k", "TTL k", "EXISTS k", "MEMORY USAGE k", "OBJECT IDLETIME k"]
    {
        answer(&mut plane, &mut client, command);
        assert_eq!(idle(&mut plane, &mut client), ":60\r\n", "{command}");
    }
    for command in ["GET k", "TOUCH k", "APPEND k v", "SET k v", "EXPIRE k 100", "PERSIST k", "MGET {k}a k"] {
        at(&mut plane, 1060);
        answer(&mut plane, &mut client, command);
        at(&mut plane, 1067);
        assert_eq!(idle(&mut plane, &mut client), ":7\r\n", "{command}");
        at(&mut plane, 2000);
    }
    at(&mut plane, 1060);
    answer(&mut plane, &mut client, "SET k v");
    at(&mut plane, 1070);
    for (command, idle_s) in
        [("CLIENT NO-TOUCH on", 10), ("GET k", 10), ("TOUCH k", 0), ("CLIENT NO-TOUCH off", 0)]
    {
        answer(&mut plane, &mut client, command);
        assert_eq!(idle(&mut plane, &mut client), format!(":{idle_s}\r\n"), "{command}");
    }
    assert!(
        answer(&mut plane, &mut client, "OBJECT FREQ k").starts_with("-ERR An LFU maxmemory policy is not")
    );
    assert_eq!(answer(&mut plane, &mut client, "CONFIG SET maxmemory-policy allkeys-lfu"), "+OK\r\n");
    at(&mut plane, 2000);
    answer(&mut plane, &mut client, "SET n v");
    assert_eq!(answer(&mut plane, &mut client, "OBJECT FREQ n"), ":5\r\n");
    assert_eq!(answer(&mut plane, &mut client, "GET n"), "$1\r\nv\r\n");
    assert_eq!(answer(&mut plane, &mut client, "OBJECT FREQ n"), ":6\r\n", "the first use always counts");
    assert!(
        answer(&mut plane, &mut client, "OBJECT IDLETIME n")
            .starts_with("-ERR An LFU maxmemory policy is sel")
    );
}

#[test]
fn objects_and_memory_are_told_as_redis_tells_them() {
    let (mut plane, _) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    let long = "x".repeat(65);
    for command in [
        "SET int 12345",
        "SET short hello",
        &format!("SET long {long}"),
        "RPUSH list a",
        "HSET hash f v",
        &format!("HSET wide f {long}"),
        "SADD ints 1 2 3",
        "SADD set a",
        "ZADD zset 1 a",
    ] {
        answer(&mut plane, &mut client, command);
    }
    for (key, encoding) in [
        ("int", "int"),
        ("short", "embstr"),
        ("long", "raw"),
        ("list", "quicklist"),
        ("hash", "listpack"),
        ("wide", "hashtable"),
        ("ints", "intset"),
        ("set", "hashtable"),
        ("zset", "listpack"),
    ] {
        let reply = format!("${}\r\n{encoding}\r\n", encoding.len());
        assert_eq!(answer(&mut plane, &mut client, &format!("OBJECT ENCODING {key}")), reply, "{key}");
    }
    for (command, reply) in [
        ("OBJECT REFCOUNT int", ":1\r\n"),
        ("OBJECT ENCODING no", "$-1\r\n"),
        ("OBJECT FREQ no", "$-1\r\n"),
        ("OBJECT FOO x", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n"),
        ("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command\r\n"),
        ("MEMORY USAGE no", "$-1\r\n"),
        ("MEMORY USAGE int SAMPLES", "-ERR syntax error\r\n"),
        ("MEMORY USAGE int SAMPLES a", "-ERR value is not an integer or out of range\r\n"),
        ("MEMORY USAGE int SAMPLES -1", "-ERR syntax error\r\n"),
        ("MEMORY USAGE int FOO 1", "-ERR syntax error\r\n"),
        ("MEMORY PURGE", "+OK\r\n"),
        (
            "CONFIG SET maxmemory foo",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value\r\n",
        ),
        ("CONFIG SET maxmemory 1gb maxmemory-samples 10", "+OK\r\n"),
        ("CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$10\r\n1073741824\r\n"),
    ] {
        assert_eq!(answer(&mut plane, &mut client, command), reply, "{command}");
    }
    let bytes = |plane: &mut Plane, client: &mut Client, key: &str| -> usize {
        let reply = answer(plane, client, &format!("MEMORY USAGE {key} SAMPLES 0"));
        reply.trim_start_matches(':').trim_end().parse().expect("a number")
    };
    let (short, long) = (bytes(&mut plane, &mut client, "short"), bytes(&mut plane, &mut client, "long"));
    assert!(short > 40 && short < 120 && long > short + 50, "{short} and {long}");
    let stats = answer(&mut plane, &mut client, "MEMORY STATS");
    for field in ["peak.allocated", "total.allocated", "dataset.percentage", "db.0", "keys.count"] {
        assert!(stats.contains(field), "{field} in {stats}");
    }
    let info = answer(&mut plane, &mut client, "INFO memory");
    for field in [
        "used_memory",
        "used_memory_human",
        "used_memory_rss",
        "used_memory_peak",
        "used_memory_peak_human",
        "used_memory_dataset",
        "used_memory_overhead",
        "maxmemory_human",
        "mem_fragmentation_ratio",
        "mem_clients_normal",
        "mem_clients_slaves",
        "mem_replication_backlog",
        "mem_allocator",
    ] {
        assert!(info.contains(&format!("\r\n{field}:")), "{field} in {info}");
    }
}

#[test]
fn what_is_told_of_a_key_waits_for_the_write_that_it_tells_of() {
    let world = World::pair(AckMode::InSync);
    let (mut plane, _) = plane(A, &world);
    let (mut writer, mut reader) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut writer, "SET k v");
    answer(&mut plane, &mut reader, "MEMORY USAGE k");
    assert_eq!(reader.owed.read, writer.owed.write);
}
