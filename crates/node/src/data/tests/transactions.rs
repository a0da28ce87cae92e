//! MULTI, EXEC and WATCH across what may happen meanwhile.

use super::*;

#[test]
fn an_undisturbed_watch_lets_exec_run_and_a_write_does_not() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let (mut client, mut other) = (client(&mut plane), client(&mut plane));
    for (disturb, expected) in [(false, "*1\r\n+OK\r\n"), (true, "*-1\r\n")] {
        answer(&mut plane, &mut client, "WATCH k");
        if disturb {
            answer(&mut plane, &mut other, "SET k other");
        }
        answer(&mut plane, &mut client, "MULTI");
        answer(&mut plane, &mut client, "SET k mine");
        assert_eq!(answer(&mut plane, &mut client, "EXEC"), expected);
    }
}

#[test]
fn a_watch_does_not_outlive_the_primary_at_which_it_was_set() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "WATCH k");
    // B may have written k in between: A sees that only as a replica.
    for (from, to) in [(A, B), (B, A)] {
        let handover = world.begin_handover(from, to);
        plane.apply_view(world.view());
        world.promote(handover, plane.offset());
        plane.apply_view(world.view());
    }
    answer(&mut plane, &mut client, "MULTI");
    answer(&mut plane, &mut client, "SET k mine");
    assert_eq!(answer(&mut plane, &mut client, "EXEC"), "*-1\r\n");
    assert_eq!(answer(&mut plane, &mut client, "GET k"), "$-1\r\n");
}

/// A client watches `{t}k`, another one runs this, and then the transaction comes to EXEC.
fn exec_after(commands: &[&str], then: impl FnOnce(&mut Plane)) -> String {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut client, mut other) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut other, "RPUSH {t}k 1");
    answer(&mut plane, &mut client, "WATCH {t}k {t}absent");
    for command in commands {
        answer(&mut plane, &mut other, command);
    }
    then(&mut plane);
    answer(&mut plane, &mut client, "MULTI");
    answer(&mut plane, &mut client, "PING");
    answer(&mut plane, &mut client, "EXEC")
}

#[test]
fn a_watch_is_of_keys_and_not_of_their_slot() {
    for commands in [
        &["SET {t}other 1", "DEL {t}other", "LRANGE {t}k 0 -1", "DEL {t}absent"][..],
        &["RPOPLPUSH {t}absent {t}k"],
        &["SETNX {t}k 1"],
        &["RENAMENX {t}other {t}k"],
    ] {
        assert_eq!(exec_after(commands, |_| ()), "*1\r\n+PONG\r\n", "{commands:?}");
    }
    for commands in [
        &["RPUSH {t}k 2"][..],
        &["LPOP {t}k"],
        &["DEL {t}k", "RPUSH {t}k 1"],
        &["SET {t}absent 1"],
        &["SET {t}other 1", "RENAME {t}other {t}k"],
        &["RENAME {t}k {t}other"],
        &["EXPIRE {t}k 100"],
        &["COPY {t}k {t}absent"],
        &["FLUSHALL"],
        &["FLUSHALL", "RPUSH {t}k 1"],
        &["MULTI", "FLUSHALL", "RPUSH {t}k 1", "EXEC"],
        &["MULTI", "SET {t}other 1", "LSET {t}k 0 2", "EXEC"],
    ] {
        assert_eq!(exec_after(commands, |_| ()), "*-1\r\n", "{commands:?}");
    }
}

#[test]
fn a_watched_key_that_expires_has_changed_whether_it_is_deleted_or_not() {
    let expire = |plane: &mut Plane| {
        plane.keyspace.apply(&Effect::ExpireAt { key: b"{t}k", at_ms: 1 }).unwrap();
    };
    assert_eq!(exec_after(&[], expire), "*-1\r\n");
    let expire_and_read = |plane: &mut Plane| {
        expire(plane);
        let mut other = client(plane);
        assert_eq!(answer(plane, &mut other, "EXISTS {t}k"), ":0\r\n");
        assert_eq!(plane.keyspace.len(), 0);
    };
    assert_eq!(exec_after(&[], expire_and_read), "*-1\r\n");
}

#[test]
fn nobody_is_watching_once_the_clients_have_left() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "WATCH {t}k {t}j");
    assert!(!plane.watches.is_empty());
    drop(client);
    assert!(plane.watches.is_empty());
}

#[test]
fn a_watch_is_routed_like_a_read_of_its_keys() {
    let world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(B, &world);
    let mut client = client(&mut plane);
    assert!(answer(&mut plane, &mut client, "WATCH k").starts_with("-MOVED"));
    assert!(answer(&mut plane, &mut client, "WATCH k other").starts_with("-CROSSSLOT"));
}

#[test]
fn tryagain_inside_multi_leaves_nothing_of_the_transaction_to_run() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "MULTI");
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    assert_eq!(run(&mut plane, &mut client, "SET {t}a 1").0, Some(Stop::Park));
    dispatch::try_again(&mut plane, &mut client, b"SET", &mut Vec::new(), "a test");
    world.abort(handover);
    plane.apply_view(world.view());
    answer(&mut plane, &mut client, "SET {t}b 2");
    assert!(answer(&mut plane, &mut client, "EXEC").starts_with("-EXECABORT"));
    assert_eq!(plane.keyspace.len(), 0);
}

#[test]
fn an_exec_that_was_answered_tryagain_never_runs() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "MULTI");
    answer(&mut plane, &mut client, "SET k v");
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    assert_eq!(run(&mut plane, &mut client, "EXEC"), (Some(Stop::Park), String::new()), "it parks whole");
    dispatch::try_again(&mut plane, &mut client, b"Exec", &mut Vec::new(), "a test");
    world.abort(handover);
    plane.apply_view(world.view());
    assert_eq!(answer(&mut plane, &mut client, "EXEC"), "-ERR EXEC without MULTI\r\n");
    assert_eq!(plane.keyspace.len(), 0);
}

#[test]
fn a_parked_exec_runs_once_and_whole_when_the_handover_is_aborted() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for command in ["MULTI", "INCR {t}a", "INCR {t}b"] {
        answer(&mut plane, &mut client, command);
    }
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    for _ in 0..3 {
        assert_eq!(run(&mut plane, &mut client, "EXEC").0, Some(Stop::Park));
    }
    world.abort(handover);
    plane.apply_view(world.view());
    let before = plane.backlog.end();
    assert_eq!(answer(&mut plane, &mut client, "EXEC"), "*2\r\n:1\r\n:1\r\n");
    let (frames, _) = plane.backlog.read_from(before, usize::MAX).unwrap();
    let (_, len) = ironcache_replication::decode(frames, LINK_VERSIONS.max).unwrap().unwrap();
    assert_eq!(len, frames.len(), "one frame");
}

#[test]
fn wait_inside_a_transaction_answers_at_once() {
    let world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    attach(&mut plane, B);
    let mut client = client(&mut plane);
    for command in ["MULTI", "WAIT 5 0", "PING"] {
        answer(&mut plane, &mut client, command);
    }
    assert_eq!(answer(&mut plane, &mut client, "EXEC"), "*2\r\n:1\r\n+PONG\r\n");
}

#[test]
fn a_refused_multi_or_watch_leaves_the_transaction_as_it_is() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for command in ["MULTI", "SET k v"] {
        answer(&mut plane, &mut client, command);
    }
    assert_eq!(answer(&mut plane, &mut client, "MULTI"), "-ERR MULTI calls can not be nested\r\n");
    assert_eq!(answer(&mut plane, &mut client, "WATCH k"), "-ERR WATCH inside MULTI is not allowed\r\n");
    assert_eq!(answer(&mut plane, &mut client, "EXEC"), "*1\r\n+OK\r\n");
    answer(&mut plane, &mut client, "MULTI");
    // Its arity is checked before, and that error is the transaction's.
    answer(&mut plane, &mut client, "WATCH");
    assert!(answer(&mut plane, &mut client, "EXEC").starts_with("-EXECABORT"));
}

#[test]
fn hello_and_auth_are_queued_like_other_commands() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "MULTI");
    for command in ["HELLO 3", "AUTH x", "GET k"] {
        assert_eq!(answer(&mut plane, &mut client, command), "+QUEUED\r\n");
    }
    let replies = answer(&mut plane, &mut client, "EXEC");
    assert!(replies.starts_with("*3\r\n%7\r\n"), "{replies}");
    assert!(replies.ends_with("\r\n_\r\n"), "what follows HELLO is in its protocol: {replies}");
}

#[test]
fn an_exec_with_arguments_ends_the_transaction() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for command in ["MULTI", "SET k v"] {
        answer(&mut plane, &mut client, command);
    }
    assert_eq!(
        answer(&mut plane, &mut client, "EXEC now"),
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
    );
    assert_eq!(answer(&mut plane, &mut client, "EXEC"), "-ERR EXEC without MULTI\r\n");
    assert_eq!(plane.keyspace.len(), 0);
}

/// A watchdog on another thread looks at this: a slow transaction is no hang.
#[test]
fn a_transaction_ticks_with_each_of_its_commands() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "MULTI");
    for _ in 0..100 {
        answer(&mut plane, &mut client, "LREM list 0 absent");
    }
    let ticks = ironcache_keyspace::progress::of_this_thread();
    let before = ticks.count();
    answer(&mut plane, &mut client, "EXEC");
    assert!(ticks.count() >= before + 100, "{} ticks", ticks.count() - before);
}

#[test]
fn a_replica_reads_for_a_transaction_as_it_does_for_a_command() {
    let mut plane = following(&World::pair(AckMode::Primary));
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "READONLY");
    for (command, reply) in [("MULTI", "+OK\r\n"), ("GET k", "+QUEUED\r\n"), ("EXEC", "*1\r\n$-1\r\n")] {
        assert_eq!(answer(&mut plane, &mut client, command), reply);
    }
    answer(&mut plane, &mut client, "MULTI");
    assert!(answer(&mut plane, &mut client, "SET k 1").starts_with("-MOVED"));
    assert!(answer(&mut plane, &mut client, "EXEC").starts_with("-EXECABORT"));
}

#[test]
fn a_key_is_watched_once_and_as_it_was_at_first() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut client, mut other) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut client, "WATCH k");
    answer(&mut plane, &mut other, "SET k other");
    for _ in 0..1_000 {
        answer(&mut plane, &mut client, "WATCH k");
    }
    answer(&mut plane, &mut client, "MULTI");
    answer(&mut plane, &mut client, "GET k");
    assert_eq!(answer(&mut plane, &mut client, "EXEC"), "*-1\r\n");
}

#[test]
fn a_transaction_that_asks_for_more_than_may_wait_is_executed_and_its_client_closed() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut config = Config::clone(&plane.config);
    config.maxmemory_clients = 1 << 20;
    plane.reconfigure(config);
    let mut client = client(&mut plane);
    let ending = Rc::clone(&client.info.borrow().ending);
    answer(&mut plane, &mut client, &format!("SET k {}", "v".repeat(100_000)));
    answer(&mut plane, &mut client, "MULTI");
    for _ in 0..1_000 {
        answer(&mut plane, &mut client, "GET k");
    }
    answer(&mut plane, &mut client, "SET {k}last 1");
    let (stop, reply) = run(&mut plane, &mut client, "EXEC");
    assert_eq!((stop, reply.as_str()), (Some(Stop::Close), ""));
    assert!(ending.is_told());
    assert_eq!(plane.keyspace.len(), 2);
}
