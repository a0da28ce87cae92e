//! Libraries of functions: orders that the log takes, what can be called once they are applied, and hostile ones.

use super::connections::{connect, expect};
use super::users::Log;
use super::*;
use crate::data::clockwork;
use expect_test::expect_file;
use ironcache_control::Libraries;
use ironcache_resp::parse_value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

const LONG: Duration = Duration::from_secs(20);

/// A library of one function, of the same name.
fn library(name: &str, body: &str) -> (Vec<u8>, Vec<u8>) {
    let code =
        format!("#!lua name={name}\nredis.register_function('{name}', function(keys, args) {body} end)");
    (name.as_bytes().to_vec(), code.into_bytes())
}

/// The cluster has these, whoever has seen to that.
fn apply(world: &mut World, set: &[(Vec<u8>, Vec<u8>)], deleted: &[&str]) {
    let (seen, by) = (world.state.libraries.epoch, b"default".to_vec());
    let deleted = deleted.iter().map(|name| name.as_bytes().to_vec()).collect();
    world.apply(&Command::ChangeLibraries { seen, by, set: set.iter().cloned().collect(), deleted });
}

fn words(plane: &mut Plane, client: &mut Client, args: &[&[u8]]) -> (Option<Stop>, String) {
    let mut out = Vec::new();
    let stop = dispatch::run(plane, client, args, &mut out);
    (stop, String::from_utf8_lossy(&out).into_owned())
}

/// A reply on one line.
fn shown(reply: &[u8]) -> String {
    let text = reply.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"");
    text.strip_suffix("\\r\\n").map(|line| line.replace("\\r\\n", " ")).unwrap_or(text)
}

/// One request; whatever it has proposed the log takes.
async fn ask(log: &mut Log, stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    while !matches!(parse_value(&reply), Ok(Some(_))) {
        tokio::select! {
            asked = log.asked() => log.take(asked),
            read = stream.read_buf(&mut reply) => assert!(read.unwrap() > 0, "closed after {request:?}"),
            () = tokio::time::sleep(LONG) => panic!("no reply to {}: {reply:?}", request.escape_ascii()),
        }
    }
    reply
}

/// `> request` and the reply, a line each, as redis-server 7.0.15 in cluster mode answered. Where the reply here differs on
/// purpose a line `< what redis-server said` stands between.
#[tokio::test]
async fn a_conversation_about_functions_is_that_of_redis() {
    let transcript = include_str!("functions/conversation.txt");
    let played = LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let mut stream = connect(&log.node).await;
            let mut played = String::new();
            for line in transcript.lines() {
                if let Some(request) = line.strip_prefix("> ") {
                    let reply = ask(&mut log, &mut stream, format!("{request}\r\n").as_bytes()).await;
                    let reply = if request == "HELLO 3" { "(introduction)".into() } else { shown(&reply) };
                    played += &format!("{line}\n{reply}\n");
                } else if line.starts_with('<') {
                    played += &format!("{line}\n");
                }
            }
            played
        })
        .await;
    expect_file![format!("{}/src/data/tests/functions/conversation.txt", env!("CARGO_MANIFEST_DIR"))]
        .assert_eq(&played);
}

#[tokio::test]
async fn the_same_library_again_is_no_change_and_another_of_its_name_is_refused() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let mut stream = connect(&log.node).await;
            let load = |body: &str| {
                format!(
                    "FUNCTION LOAD \"#!lua name=a\\nredis.register_function('f', function() {body} end)\"\r\n"
                )
            };
            assert_eq!(ask(&mut log, &mut stream, load("return 1").as_bytes()).await, b"$1\r\na\r\n");
            let before = log.world.state.clone();
            assert_eq!(ask(&mut log, &mut stream, load("return 1").as_bytes()).await, b"$1\r\na\r\n");
            assert_eq!(log.world.state, before, "each primary is told, and one tells all");
            let refused = ask(&mut log, &mut stream, load("return 2").as_bytes()).await;
            assert_eq!(refused, b"-ERR Library 'a' already exists\r\n");
            let record = log.world.state.audit.records.back().expect("an order is audited");
            assert_eq!(record.act, "libraries-changed");
        })
        .await;
}

#[tokio::test]
async fn of_two_that_load_at_once_the_second_is_worked_out_again_on_what_the_first_did() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let (mut one, mut other) = (connect(&log.node).await, connect(&log.node).await);
            let load = |library: &str, function: &str| {
                format!(
                    "FUNCTION LOAD \"#!lua name={library}\\nredis.register_function('{function}', function() return 1 end)\"\r\n"
                )
            };
            one.write_all(load("a", "f").as_bytes()).await.unwrap();
            let first = log.asked().await;
            other.write_all(load("b", "f").as_bytes()).await.unwrap();
            let second = log.asked().await;
            log.take(second);
            expect(&mut other, "$1\r\nb\r\n").await;
            log.take(first);
            expect(&mut one, "-ERR Function f already exists\r\n").await;
            one.write_all(load("a", "g").as_bytes()).await.unwrap();
            let first = log.asked().await;
            other.write_all(load("c", "h").as_bytes()).await.unwrap();
            let second = log.asked().await;
            log.take(second);
            expect(&mut other, "$1\r\nc\r\n").await;
            log.take(first);
            let again = log.asked().await;
            log.take(again);
            expect(&mut one, "$1\r\na\r\n").await;
            let names: Vec<_> = log.world.state.libraries.by_name.keys().cloned().collect();
            assert_eq!(names, [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
        })
        .await;
}

#[tokio::test]
async fn what_is_dumped_is_restored_by_each_policy() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let mut stream = connect(&log.node).await;
            apply(&mut log.world, &[library("a", "return 1"), library("b", "return 2")], &[]);
            show(&log.node, &log.world);
            let dumped = ask(&mut log, &mut stream, b"FUNCTION DUMP\r\n").await;
            let Ok(Some((ironcache_resp::Value::Bulk(payload), _))) = parse_value(&dumped) else {
                panic!("{dumped:?}")
            };
            let payload = payload.to_vec();
            let restore = |policy: &str| {
                let mut request = format!(
                    "*{}\r\n$8\r\nFUNCTION\r\n$7\r\nRESTORE\r\n",
                    if policy.is_empty() { 3 } else { 4 }
                )
                .into_bytes();
                let words: Vec<&[u8]> =
                    [&payload[..], policy.as_bytes()].into_iter().filter(|w| !w.is_empty()).collect();
                for word in words {
                    request.extend(format!("${}\r\n", word.len()).into_bytes());
                    request.extend(word);
                    request.extend(b"\r\n");
                }
                request
            };
            let names = |log: &Log| {
                let names = log.world.state.libraries.by_name.keys();
                names.map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(ask(&mut log, &mut stream, &restore("")).await, b"+OK\r\n", "it is so already");
            apply(&mut log.world, &[library("a", "return 3"), library("c", "return 4")], &["b"]);
            show(&log.node, &log.world);
            let refused = ask(&mut log, &mut stream, &restore("append")).await;
            assert_eq!(refused, b"-ERR Library a already exists\r\n");
            assert_eq!(names(&log), "a c");
            assert_eq!(ask(&mut log, &mut stream, &restore("REPLACE")).await, b"+OK\r\n");
            assert_eq!(names(&log), "a b c");
            assert_eq!(ask(&mut log, &mut stream, b"FCALL a 0\r\n").await, b":1\r\n");
            assert_eq!(ask(&mut log, &mut stream, &restore("FLUSH")).await, b"+OK\r\n");
            assert_eq!(names(&log), "a b");
            // A function of theirs is one of a library that stays.
            let (_, code) = library("b", "return 5");
            let other = String::from_utf8(code).unwrap().replace("name=b", "name=z").into_bytes();
            apply(&mut log.world, &[(b"z".to_vec(), other)], &["a", "b"]);
            show(&log.node, &log.world);
            assert_eq!(
                ask(&mut log, &mut stream, &restore("REPLACE")).await,
                b"-ERR Function b already exists\r\n"
            );
            assert_eq!(names(&log), "z");
        })
        .await;
}

#[test]
fn what_is_applied_can_be_called_at_once_and_what_went_cannot() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    apply(&mut world, &[library("one", "return 1"), library("two", "return 2")], &[]);
    plane.apply_view(world.view());
    assert_eq!(answer(&mut plane, &mut client, "FCALL one 0"), ":1\r\n");
    assert_eq!(answer(&mut plane, &mut client, "FCALL two 0"), ":2\r\n");
    apply(&mut world, &[library("one", "return 3")], &["two"]);
    plane.apply_view(world.view());
    assert_eq!(answer(&mut plane, &mut client, "FCALL one 0"), ":3\r\n");
    assert_eq!(answer(&mut plane, &mut client, "FCALL two 0"), "-ERR Function not found\r\n");
    let memory = answer(&mut plane, &mut client, "INFO memory");
    assert!(memory.contains("number_of_functions:1\r\nnumber_of_libraries:1\r\n"), "{memory}");
    apply(&mut world, &[], &["one"]);
    plane.apply_view(world.view());
    let memory = answer(&mut plane, &mut client, "INFO memory");
    assert!(
        memory.contains("used_memory_vm_functions:0\r\n"),
        "the last takes the interpreter along: {memory}"
    );
}

#[test]
fn below_their_level_there_are_no_functions() {
    let mut world = World::alone(AckMode::Primary);
    world.state.cluster_level = Level(Libraries::SINCE.0 - 1);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for command in ["FCALL f 0", "FCALL_RO f 0", "FUNCTION LIST", "FUNCTION STATS", "FUNCTION LOAD x"] {
        let reply = answer(&mut plane, &mut client, command);
        assert!(reply.starts_with("-NOTYET "), "{command}: {reply}");
    }
}

#[test]
fn a_function_writes_one_frame_and_only_what_it_may() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    apply(
        &mut world,
        &[library("f", "redis.call('set', keys[1], 1) return redis.call('incr', keys[1])")],
        &[],
    );
    plane.apply_view(world.view());
    let before = plane.stats.effects;
    assert_eq!(answer(&mut plane, &mut client, "FCALL f 1 k"), ":2\r\n");
    assert_eq!(plane.stats.effects, before + 2);
    assert!(plane.effects.is_empty(), "it is in the stream");
    assert_eq!(
        answer(&mut plane, &mut client, "FCALL_RO f 1 k"),
        "-ERR Can not execute a script with write flag using *_ro command.\r\n"
    );
}

#[test]
fn a_replica_calls_what_only_reads() {
    let mut world = World::pair(AckMode::Primary);
    let get = b"#!lua name=get\nredis.register_function{function_name='get', callback=function(keys) return redis.call('get', keys[1]) end, flags={'no-writes'}}";
    apply(
        &mut world,
        &[(b"get".to_vec(), get.to_vec()), library("set", "return redis.call('set', keys[1], 1)")],
        &[],
    );
    let mut plane = following(&world);
    let mut client = client(&mut plane);
    assert!(answer(&mut plane, &mut client, "FCALL_RO get 1 k").starts_with("-MOVED "));
    assert_eq!(answer(&mut plane, &mut client, "READONLY"), "+OK\r\n");
    assert_eq!(answer(&mut plane, &mut client, "FCALL_RO get 1 k"), "$-1\r\n");
    assert_eq!(answer(&mut plane, &mut client, "FCALL get 1 k"), "$-1\r\n");
    let refused = answer(&mut plane, &mut client, "FCALL set 1 k");
    assert!(refused.starts_with("-READONLY You can't write against a read only replica."), "{refused}");
}

#[test]
fn others_are_told_busy_while_a_slow_function_waits_and_may_end_it() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    plane.reconfigure(Config { script_ms_max: 0, busy_reply_threshold: 10, ..Config::default() });
    apply(&mut world, &[library("spin", "while true do redis.call('get', keys[1]) end")], &[]);
    plane.apply_view(world.view());
    let (mut slow, mut other) = (client(&mut plane), client(&mut plane));
    let (stop, _) = words(&mut plane, &mut slow, &[b"FCALL", b"spin", b"1", b"k"]);
    assert_eq!(stop, Some(Stop::Slow));
    let busy =
        "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.\r\n";
    for command in ["GET k", "FCALL spin 1 k", "FUNCTION LIST", "SCRIPT KILL", "EVAL x 0"] {
        assert_eq!(answer(&mut plane, &mut other, command), busy, "{command}");
    }
    let stats = answer(&mut plane, &mut other, "FUNCTION STATS");
    let of = "$4\r\nname\r\n$4\r\nspin\r\n$7\r\ncommand\r\n*4\r\n$5\r\nFCALL\r\n$4\r\nspin\r\n$1\r\n1\r\n$1\r\nk\r\n$11\r\nduration_ms\r\n:";
    assert!(stats.contains(of), "{stats}");
    // What is applied meanwhile is executed once it has ended.
    apply(&mut world, &[library("late", "return 1")], &[]);
    plane.apply_view(world.view());
    assert!(plane.scripts.libraries.is_loading());
    assert_eq!(answer(&mut plane, &mut other, "FUNCTION KILL"), "+OK\r\n");
    let mut out = Vec::new();
    assert_eq!(dispatch::go_on(&mut plane, &mut slow, &mut out), None);
    let reply = String::from_utf8_lossy(&out);
    assert!(
        reply
            .starts_with("-ERR Script killed by user with SCRIPT KILL... script: spin, on @user_function:2."),
        "{reply}"
    );
    assert_eq!(
        answer(&mut plane, &mut other, "FUNCTION KILL"),
        "-NOTBUSY No scripts in execution right now.\r\n"
    );
    assert_eq!(words(&mut plane, &mut other, &[b"FCALL", b"late", b"0"]).0, Some(Stop::Park));
    assert!(plane.load_libraries(), "a tick does that");
    assert_eq!(answer(&mut plane, &mut other, "FCALL late 0"), ":1\r\n");
    let (stop, _) = words(&mut plane, &mut slow, &[b"EVAL", b"while true do end", b"0"]);
    assert_eq!(stop, Some(Stop::Slow));
    let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";
    for command in ["FUNCTION KILL", "FUNCTION STATS", "FCALL late 0"] {
        assert_eq!(answer(&mut plane, &mut other, command), busy, "{command}");
    }
}

#[test]
fn a_library_that_cannot_be_loaded_here_is_named_to_who_calls_and_the_others_are_there() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let newer = (b"newer".to_vec(), b"#!lua name=newer\nredis.register_event('x', function() end)".to_vec());
    let clashing = (b"z".to_vec(), b"#!lua name=z\nredis.register_function('F', function() end)".to_vec());
    let poisoned = (b"p".to_vec(), b"#!lua name=p\nwhile true do end".to_vec());
    let began = Instant::now();
    apply(&mut world, &[library("f", "return 1"), newer, clashing, poisoned], &[]);
    plane.apply_view(world.view());
    assert!(!plane.scripts.libraries.is_loading() || plane.load_libraries() || plane.load_libraries());
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    assert_eq!(answer(&mut plane, &mut client, "FCALL f 0"), ":1\r\n");
    assert_eq!(
        answer(&mut plane, &mut client, "FCALL nosuch 0"),
        "-ERR Function not found; of library 'newer' this node has none: ERR Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable 'register_event'\r\n"
    );
    apply(&mut world, &[], &["newer", "z"]);
    plane.apply_view(world.view());
    assert_eq!(
        answer(&mut plane, &mut client, "FCALL nosuch 0"),
        "-ERR Function not found; of library 'p' this node has none: ERR Error registering functions: ERR FUNCTION LOAD timeout\r\n"
    );
    apply(&mut world, &[], &["p"]);
    plane.apply_view(world.view());
    assert_eq!(answer(&mut plane, &mut client, "FCALL nosuch 0"), "-ERR Function not found\r\n");
}

#[tokio::test]
async fn hostile_libraries_are_refused_before_they_are_proposed_and_the_next_one_is_loaded() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|config| config.script_memory_bytes = 32 << 20);
            let mut stream = connect(&log.node).await;
            let before = log.world.state.clone();
            for body in [
                "while true do end",
                "local function f() return f() end f()",
                "local s = 'x' while true do s = s .. s end",
                "local t, i = {}, 1 while true do t[i] = ('x'):rep(1000) .. i i = i + 1 end",
                "while true do local s = ('x'):rep(1000000) end",
                "local s = ('x'):rep(1000000) while true do s = s:gsub('x', 'x') end",
                "for i = 1, 100000 do redis.register_function('f' .. i, function() end) end",
                "redis.register_function{function_name='f', callback=function() end, description=('x'):rep(1000000)}",
                "local t = {} for i = 1, 100000 do t[i] = 'no-writes' end for i = 1, 1000 do redis.register_function{function_name='f', callback=function() end, flags=t} end",
                "redis.register_function('f', redis.log) while true do redis.log(1, ('x'):rep(100000)) end",
            ] {
                let began = Instant::now();
                let request = format!("FUNCTION LOAD \"#!lua name=x\\n{body}\"\r\n");
                let reply = ask(&mut log, &mut stream, request.as_bytes()).await;
                assert!(reply.starts_with(b"-ERR "), "{body}: {}", reply.escape_ascii());
                assert!(began.elapsed() < LONG, "{body}: {:?}", began.elapsed());
                assert_eq!(log.world.state, before, "{body}");
            }
            let sound = b"FUNCTION LOAD \"#!lua name=x\\nredis.register_function('f', function() return 1 end)\"\r\n";
            assert_eq!(ask(&mut log, &mut stream, sound).await, b"$1\r\nx\r\n");
            assert_eq!(ask(&mut log, &mut stream, b"FCALL f 0\r\n").await, b":1\r\n");
        })
        .await;
}

#[tokio::test]
async fn as_many_libraries_as_a_cluster_may_have_are_loaded_a_few_at_a_time_and_one_more_is_refused() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let all: BTreeMap<_, _> =
                (0..Libraries::COUNT_MAX).map(|at| library(&format!("f{at}"), "return 1")).collect();
            let all: Vec<_> = all.into_iter().collect();
            apply(&mut log.world, &all, &[]);
            show(&log.node, &log.world);
            // As a node does that has just started: its clock goes on with them.
            let mut stream = connect(&log.node).await;
            let ticking = tokio::task::spawn_local(clockwork::run(Rc::clone(&log.node)));
            assert_eq!(ask(&mut log, &mut stream, b"FCALL f511 0\r\n").await, b":1\r\n");
            let one_more =
                b"FUNCTION LOAD \"#!lua name=x\\nredis.register_function('f', function() return 1 end)\"\r\n";
            assert_eq!(
                ask(&mut log, &mut stream, one_more).await,
                b"-ERR there would be more than 512 libraries, or they would take more than 1048576 bytes\r\n"
            );
            ticking.abort();
        })
        .await;
}
