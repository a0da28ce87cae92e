//! What a script calls: what it may, how it is counted and shown, and what others may not do while it waits.

use super::connections::{connect, expect};
use super::*;
use crate::data::clockwork;
use ironcache_keyspace::EvictionPolicy;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::task::LocalSet;

fn eval(plane: &mut Plane, client: &mut Client, name: &str, script: &str) -> (Option<Stop>, String) {
    let args: [&[u8]; 3] = [name.as_bytes(), script.as_bytes(), b"0"];
    let mut out = Vec::new();
    let stop = dispatch::run(plane, client, &args, &mut out);
    (stop, String::from_utf8_lossy(&out).into_owned())
}

fn counts(plane: &mut Plane, client: &mut Client, command: &str) -> String {
    let text = answer(plane, client, "INFO commandstats");
    let prefix = format!("cmdstat_{command}:");
    let line = text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or("none");
    line.split(',').filter(|field| !field.starts_with("usec")).collect::<Vec<_>>().join(",")
}

#[test]
fn what_a_script_calls_is_counted_and_logged_as_any_other_command() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    plane.reconfigure(Config { slowlog_slower_than_us: Some(0), ..Config::default() });
    let mut client = client(&mut plane);
    for script in [
        "redis.call('set', 'a', 'x') redis.call('get', 'a')",
        "return redis.pcall('incr', 'a')",
        "return redis.call('incr', 'a')",
        "return redis.call('nosuch')",
        "return redis.pcall('get')",
        "return redis.call('hello')",
        "return redis.call('object', 'encoding', 'a')",
    ] {
        eval(&mut plane, &mut client, "EVAL", script);
    }
    eval(&mut plane, &mut client, "EVAL_RO", "return redis.call('set', 'a', 1)");
    for (command, expected) in [
        ("set", "calls=1,rejected_calls=1,failed_calls=0"),
        ("get", "calls=1,rejected_calls=1,failed_calls=0"),
        ("incr", "calls=2,rejected_calls=0,failed_calls=2"),
        ("hello", "calls=0,rejected_calls=1,failed_calls=0"),
        ("object|encoding", "calls=1,rejected_calls=0,failed_calls=0"),
        ("eval", "calls=7,rejected_calls=0,failed_calls=5"),
        ("eval_ro", "calls=1,rejected_calls=0,failed_calls=1"),
    ] {
        assert_eq!(counts(&mut plane, &mut client, command), expected, "{command}");
    }
    let errors = answer(&mut plane, &mut client, "INFO errorstats");
    assert!(errors.contains("errorstat_ERR:count=6\r\n"), "each is counted once: {errors}");
    let log = answer(&mut plane, &mut client, "SLOWLOG GET 50");
    assert!(log.contains("$3\r\nset\r\n$1\r\na\r\n$1\r\nx\r\n"), "{log}");
    assert!(log.contains("$4\r\nEVAL\r\n"), "{log}");
}

#[tokio::test]
async fn a_monitor_is_shown_a_script_and_then_what_it_calls() {
    LocalSet::new()
        .run_until(async {
            let (plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
            let node = node(plane);
            let mut monitor = connect(&node).await;
            monitor.write_all(b"MONITOR\r\n").await.unwrap();
            expect(&mut monitor, "+OK\r\n").await;
            let mut monitor = BufReader::new(monitor);
            let mut client = connect(&node).await;
            let sent = b"EVAL \"redis.call('set','a','x') redis.pcall('get')\" 0\r\nMULTI\r\nEVAL \"redis.call('get','a')\" 0\r\nEXEC\r\n";
            client.write_all(sent).await.unwrap();
            for expected in [
                "] \"EVAL\" \"redis.call('set','a','x') redis.pcall('get')\" \"0\"\r\n",
                " [0 lua] \"set\" \"a\" \"x\"\r\n",
                "] \"MULTI\"\r\n",
                "] \"EVAL\" \"redis.call('get','a')\" \"0\"\r\n",
                " [0 lua] \"get\" \"a\"\r\n",
                "] \"EXEC\"\r\n",
            ] {
                let mut line = String::new();
                let read = tokio::time::timeout(Duration::from_secs(20), monitor.read_line(&mut line));
                read.await.expect("in time").unwrap();
                assert!(line.ends_with(expected), "{line:?}, not {expected:?}");
            }
        })
        .await;
}

#[test]
fn a_script_asks_of_the_server_what_redis_lets_it_ask() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k 1");
    for (call, expected) in [
        ("'object', 'encoding', 'k'", "$3\r\nint"),
        ("'memory', 'usage', 'k'", ":"),
        ("'pubsub', 'numpat'", ":0"),
        ("'slowlog', 'len'", ":"),
        ("'spublish', 'c', 'm'", ":0"),
        ("'object'", "-ERR Wrong number of args calling Redis command from script"),
        ("'object', 'encoding'", "-ERR Wrong number of args calling Redis command from script"),
        ("'object', 'nosuch', 'k'", "-ERR Unknown Redis command called from script"),
        ("'xgroup', 'nosuch', 'k'", "-ERR Unknown Redis command called from script"),
        ("'xinfo', 'stream'", "-ERR Wrong number of args calling Redis command from script"),
        (
            "'XREAD', 'block', '0', 'streams', 'k', '$'",
            "-ERR XREAD command is not allowed with BLOCK option from scripts",
        ),
        (
            "'xreadgroup', 'group', 'block', 'c', 'count', '1', 'block', '0', 'streams', 'k', '>'",
            "-ERR xreadgroup command is not allowed with BLOCK option from scripts",
        ),
        ("'xread', 'streams', 'block', '0'", "$-1"),
        ("'config', 'get', 'port'", "-ERR This Redis command is not allowed from script"),
        ("'wait', '0', '0'", "-ERR This Redis command is not allowed from script"),
        ("'eval', 'return 1', '0'", "-ERR This Redis command is not allowed from script"),
    ] {
        let (_, reply) = eval(&mut plane, &mut client, "EVAL", &format!("return redis.call({call})"));
        assert!(reply.starts_with(expected), "{call}: {reply}");
    }
}

#[test]
fn a_script_that_began_without_memory_takes_none_until_it_has_written() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v");
    plane.reconfigure(Config { maxmemory: 1, ..Config::default() });
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.";
    for (script, expected) in [
        ("return redis.call('set', 'k', 'v')", oom),
        ("return redis.pcall('set', 'k', 'v')", oom),
        ("return redis.call('get', 'k')", "$1\r\nv"),
        ("redis.call('del', 'k') return redis.call('set', 'k', 'v')", "+OK"),
        ("#!lua\nreturn 1", oom),
        ("#!lua flags=allow-oom\nreturn redis.call('set', 'k', 'v')", "+OK"),
        ("#!lua flags=no-writes\nreturn redis.call('get', 'k')", "$1\r\nv"),
    ] {
        let (_, reply) = eval(&mut plane, &mut client, "EVAL", script);
        assert!(reply.starts_with(expected), "{script}: {reply}");
    }
}

const SLOW: &str = "while true do redis.call('get', 'k') end";

fn slow(plane: &mut Plane) -> Client {
    let mut slow = client(plane);
    assert_eq!(eval(plane, &mut slow, "EVAL", SLOW).0, Some(Stop::Slow));
    slow
}

#[test]
fn no_key_goes_while_a_slow_script_waits() {
    let (plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let node = node(plane);
    let bounded = |maxmemory| Config {
        maxmemory,
        maxmemory_policy: EvictionPolicy::AllkeysRandom,
        busy_reply_threshold: 10,
        script_ms_max: 0,
        ..Config::default()
    };
    node.plane.borrow_mut().reconfigure(bounded(0));
    let mut other = client(&mut node.plane.borrow_mut());
    answer(&mut node.plane.borrow_mut(), &mut other, "SET k v");
    let slow = slow(&mut node.plane.borrow_mut());
    node.plane.borrow_mut().reconfigure(bounded(1));
    clockwork::evict(&node);
    answer(&mut node.plane.borrow_mut(), &mut other, "GET k");
    assert_eq!(node.plane.borrow().keyspace.len(), 1, "it may read them again");
    drop(slow);
    clockwork::evict(&node);
    assert_eq!(node.plane.borrow().keyspace.len(), 0);
}

#[test]
fn a_slow_script_at_a_replica_ends_when_the_data_has_changed() {
    let world = World::pair(AckMode::Primary);
    let mut plane = following(&world);
    plane.reconfigure(Config { busy_reply_threshold: 10, script_ms_max: 0, ..Config::default() });
    let mut slow = client(&mut plane);
    answer(&mut plane, &mut slow, "READONLY");
    assert_eq!(eval(&mut plane, &mut slow, "EVAL_RO", SLOW).0, Some(Stop::Slow));
    let mut out = Vec::new();
    assert_eq!(dispatch::go_on(&mut plane, &mut slow, &mut out), Some(Stop::Slow), "nothing has changed");
    let end = plane.offset();
    plane.backlog.reset(Offset(end.0 + 1));
    assert_eq!(dispatch::go_on(&mut plane, &mut slow, &mut out), None);
    assert!(out.starts_with(b"-TRYAGAIN the data is no longer what the script began on"));
    assert!(!plane.scripts.is_busy());
    assert_eq!(counts(&mut plane, &mut slow, "eval_ro"), "calls=1,rejected_calls=0,failed_calls=1");
}
