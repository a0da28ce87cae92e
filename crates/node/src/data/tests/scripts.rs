//! Scripts over real commands: what redis-server 7.0.15 answered to the same ones, what hostile ones come to, and what of them
//! reaches a replica.

use super::connections::{connect, expect, until};
use super::*;
use expect_test::expect_file;
use ironcache_keyspace::apply_effects;
use ironcache_replication::{LINK_VERSIONS, Message, decode};
use ironcache_resp::Protocol;
use ironcache_types::{SLOT_COUNT, Slot};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::task::LocalSet;

fn words(plane: &mut Plane, client: &mut Client, args: &[&str]) -> (Option<Stop>, String) {
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let mut out = Vec::new();
    let stop = dispatch::run(plane, client, &args, &mut out);
    (stop, shown(&out))
}

/// A script with these keys and arguments.
fn eval(plane: &mut Plane, client: &mut Client, script: &str, keys: &[&str], args: &[&str]) -> String {
    let numkeys = keys.len().to_string();
    let mut all = vec!["EVAL", script, &numkeys];
    all.extend(keys);
    all.extend(args);
    let (stop, reply) = words(plane, client, &all);
    assert_eq!(stop, None, "{script}: {reply}");
    reply
}

/// A reply on one line.
fn shown(reply: &[u8]) -> String {
    let mut text = String::new();
    for byte in reply {
        match byte {
            b'\\' => text += "\\\\",
            b'\r' => text += "\\r",
            b'\n' => text += "\\n",
            32..127 => text.push(char::from(*byte)),
            byte => text += &format!("\\x{byte:02x}"),
        }
    }
    text.strip_suffix("\\r\\n").map(|line| line.replace("\\r\\n", " ")).unwrap_or(text)
}

/// `> script` and the reply, a line each, as redis-server 7.0.15 in cluster mode answered `EVAL script 2 k{t} j{t} a b ""`.
/// Where the reply here differs on purpose a line `< what redis-server said` stands between.
fn check(name: &str, transcript: &str) {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let mut played = String::new();
    for line in transcript.lines() {
        match line.strip_prefix("> ") {
            Some(script) => {
                played += &format!(
                    "{line}\n{}\n",
                    eval(&mut plane, &mut client, script, &["k{t}", "j{t}"], &["a", "b", ""])
                )
            }
            None if line == "@resp3" => {
                plane.keyspace = Keyspace::new();
                client.session.speak(Protocol::Resp3);
                played += "@resp3\n";
            }
            None if line.is_empty() || line.starts_with("# ") || line.starts_with('<') => {
                played += &format!("{line}\n")
            }
            None => {}
        }
    }
    let file = format!("{}/src/data/tests/scripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    expect_file![file].assert_eq(&played);
}

#[test]
fn conversions_are_those_of_redis() {
    check("conversions", include_str!("scripts/conversions.txt"));
}

#[test]
fn errors_are_those_of_redis() {
    check("errors", include_str!("scripts/errors.txt"));
}

#[test]
fn strings_and_tables_are_those_of_redis() {
    check("strings", include_str!("scripts/strings.txt"));
}

#[test]
fn libraries_are_those_of_redis() {
    check("libraries", include_str!("scripts/libraries.txt"));
}

/// The plane of a primary that scripts may keep busy for so long.
fn bounded(world: &World, script_ms_max: u64, busy_reply_threshold: u64) -> Plane {
    let (mut plane, _proposals) = plane(A, world);
    let config =
        Config { script_ms_max, busy_reply_threshold, script_memory_bytes: 32 << 20, ..Config::default() };
    plane.reconfigure(config);
    plane
}

/// Longer, and a script was not held in check.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn hostile_scripts_are_ended_and_the_next_one_runs() {
    let world = World::alone(AckMode::Primary);
    let mut plane = bounded(&world, 200, 0);
    let mut client = client(&mut plane);
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() pcall(f) f() end f()",
        "local function f() return f() end f()",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]",
        "while true do xpcall(function() error('x') end, function() while true do end end) end",
        "coroutine.wrap(function() while true do end end)()",
        "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
        "local function f() coroutine.wrap(f)() end f()",
        "while true do redis.pcall('get', 'k') end",
        "local t = {} while true do t[#t + 1] = string.rep('x', 1000) end",
        "local t = {} while true do pcall(function() t[#t + 1] = string.rep('x', 1000) end) end",
        "local s = 'x' while true do s = s .. s end",
        "return string.rep('x', 2^40)",
        "return string.rep('', 2^53)",
        "return ('x'):rep(2^30)",
        "return string.rep('x', 1000000):gsub('x', string.rep('y', 1000))",
        "return string.find(string.rep('a', 60), string.rep('a?', 60) .. string.rep('a', 60) .. 'b')",
        "return string.find(string.rep('a', 100000), string.rep('a?', 100000))",
        "return string.find(string.rep('a', 50000), string.rep('.-', 20) .. 'b')",
        "local t = {} for i = 1, 100000 do t[i] = i % 2 end table.sort(t, function(a, b) return true end)",
        "table.insert({}, -2147483648, 1)",
        "local t = {} for i = 1, 300000 do t[i] = {} end return t",
        "local t = {} for i = 1, 300000 do t[i] = {} end return cjson.encode(t)",
        "load(function() return 'x ' end)",
        "local t = {} t[1] = t return t",
        "local t = {} for i = 1, 60 do t = {t, t} end return t",
        "local t = {} for i = 1, 60 do t = {t, t} end return cjson.encode(t)",
        "local t = {string.rep('x', 1000000)} for i = 1, 15 do t = {t, t, t, t} end return cmsgpack.pack(t)",
        "local s = string.rep('x', 1000000) return redis.call('del', unpack({s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s}))",
        "local t = {} for i = 1, 20000 do t[i] = i end return {unpack(t)}",
        "return cjson.decode(string.rep('[', 1000000))",
        "cjson.decode_max_depth(100000)",
        "return cmsgpack.unpack(string.rep('\\145', 1000000))",
        "return loadstring('\\27LuaQ')()",
        "return loadstring(string.rep('(', 100000))()",
        "return loadstring('return ' .. string.rep('{', 100000))()",
        "local s = string.dump(function() end) return loadstring(s)()",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "return setmetatable({}, {__index = function() while true do end end})",
        "local a = {} a = setmetatable(a, {__index = a}) return a.x",
    ] {
        let began = Instant::now();
        let reply = eval(&mut plane, &mut client, script, &[], &[]);
        assert!(began.elapsed() < SOON, "{script}: {:?}", began.elapsed());
        assert!(!reply.is_empty(), "{script}");
        assert_eq!(eval(&mut plane, &mut client, "return 1 + 1", &[], &[]), ":2", "after {script}: {reply}");
        let kept = plane.scripts.kept();
        assert!(kept.interpreter_bytes <= 32 << 20, "{script}: {kept:?}");
    }
}

#[test]
fn an_endless_script_is_told_why_it_ended() {
    let world = World::alone(AckMode::Primary);
    let mut plane = bounded(&world, 50, 0);
    let mut client = client(&mut plane);
    let reply = eval(&mut plane, &mut client, "while true do end", &[], &[]);
    assert!(reply.starts_with("-ERR Script was ended after 50 ms (script-ms-max)"), "{reply}");
    assert!(reply.ends_with(", on @user_script:1."), "{reply}");
    let reply = eval(&mut plane, &mut client, "local t = {} while true do t[#t + 1] = {} end", &[], &[]);
    assert!(
        reply.starts_with("-ERR not enough memory script: ") || reply.contains("script-ms-max"),
        "{reply}"
    );
}

#[test]
fn what_an_ended_script_had_written_stays_and_is_one_frame() {
    let world = World::alone(AckMode::Primary);
    let mut plane = bounded(&world, 50, 1);
    let mut client = client(&mut plane);
    let before = plane.stats.effects;
    // It has written before it is slow: nobody is seen to beside it.
    let reply = eval(&mut plane, &mut client, "redis.call('set', KEYS[1], 1) while true do end", &["k"], &[]);
    assert!(reply.contains("what it had written stays"), "{reply}");
    assert!(!plane.scripts.is_busy());
    assert_eq!(answer(&mut plane, &mut client, "GET k"), "$1\r\n1\r\n");
    assert_eq!(plane.stats.effects, before + 1);
    assert!(plane.effects.is_empty());
}

#[test]
fn others_are_told_busy_while_a_slow_script_waits_and_may_end_it() {
    let world = World::alone(AckMode::Primary);
    let mut plane = bounded(&world, 0, 10);
    let (mut slow, mut other) = (client(&mut plane), client(&mut plane));
    let (stop, reply) =
        words(&mut plane, &mut slow, &["EVAL", "while true do redis.call('get', 'k') end", "0"]);
    assert_eq!((stop, reply.as_str()), (Some(Stop::Slow), ""));
    let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";
    for command in ["GET k", "SET k v", "PING", "EVAL x 0", "SCRIPT FLUSH", "CLUSTER INFO", "CONFIG GET port"]
    {
        assert_eq!(answer(&mut plane, &mut other, command), busy, "{command}");
    }
    assert!(
        answer(&mut plane, &mut other, "HELLO 3").starts_with('%'),
        "what is about the connection is answered"
    );
    let mut out = Vec::new();
    assert_eq!(dispatch::go_on(&mut plane, &mut slow, &mut out), Some(Stop::Slow), "it goes on");
    assert_eq!(answer(&mut plane, &mut other, "SCRIPT KILL"), "+OK\r\n");
    assert_eq!(dispatch::go_on(&mut plane, &mut slow, &mut out), None);
    let reply = shown(&out);
    assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL..."), "{reply}");
    assert_eq!(
        answer(&mut plane, &mut other, "SCRIPT KILL"),
        "-NOTBUSY No scripts in execution right now.\r\n"
    );
    assert_eq!(answer(&mut plane, &mut other, "SET k v"), "+OK\r\n");
}

#[test]
fn a_slow_script_ends_with_its_client_and_with_its_primary() {
    let mut world = World::pair(AckMode::Primary);
    let mut plane = bounded(&world, 0, 10);
    let mut other = client(&mut plane);
    let endless = ["EVAL", "while true do redis.call('get', KEYS[1]) end", "1", "k"];
    {
        let mut slow = client(&mut plane);
        assert_eq!(words(&mut plane, &mut slow, &endless).0, Some(Stop::Slow));
        assert!(plane.scripts.is_busy());
    }
    assert!(!plane.scripts.is_busy(), "its client is gone, and so is it");
    assert_eq!(answer(&mut plane, &mut other, "SET k v"), "+OK\r\n");
    let mut slow = client(&mut plane);
    assert_eq!(words(&mut plane, &mut slow, &endless).0, Some(Stop::Slow));
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    let mut out = Vec::new();
    assert_eq!(dispatch::go_on(&mut plane, &mut slow, &mut out), None);
    assert!(shown(&out).starts_with("-TRYAGAIN "), "{}", shown(&out));
    assert!(!plane.scripts.is_busy());
    world.abort(handover);
    plane.apply_view(world.view());
    assert_eq!(answer(&mut plane, &mut other, "GET k"), "$1\r\nv\r\n");
}

#[test]
fn a_slow_script_that_then_writes_runs_to_its_end_in_one_turn() {
    let world = World::alone(AckMode::Primary);
    let mut plane = bounded(&world, 0, 10);
    let mut slow = client(&mut plane);
    let script = "local n = 0 for i = 1, 3000000 do n = n + 1 end redis.call('set', 'k', n) for i = 1, 3000000 do n = n + 1 end redis.call('set', 'j', n) return n";
    let (mut stop, _) = words(&mut plane, &mut slow, &["EVAL", script, "0"]);
    assert_eq!(stop, Some(Stop::Slow));
    let mut out = Vec::new();
    while stop == Some(Stop::Slow) {
        assert_eq!(plane.keyspace.len(), 0, "nobody sees half of it");
        stop = dispatch::go_on(&mut plane, &mut slow, &mut out);
    }
    assert_eq!(shown(&out), ":6000000");
    assert_eq!(plane.keyspace.len(), 2);
}

/// Applies what was written since `start`, as a replica does; the number of frames.
fn follow(plane: &Plane, start: Offset, replica: &mut Keyspace) -> usize {
    let (head, tail) = plane.backlog.read_from(start, usize::MAX).expect("nothing is that long ago");
    let bytes = [head, tail].concat();
    let (mut at, mut frames) = (0, 0);
    while let Some((message, len)) = decode(&bytes[at..], LINK_VERSIONS.max).unwrap() {
        let Message::Effects(frame) = message else { panic!("{message:?} in a backlog") };
        apply_effects(replica, frame.bytes, frame.level).expect("a replica takes what its primary wrote");
        at += len;
        frames += 1;
    }
    frames
}

fn dump(keyspace: &Keyspace) -> Vec<Vec<u8>> {
    let slot = |slot| {
        let mut out = Vec::new();
        keyspace.dump_slot(Slot(slot), LEVELS.max, &mut out);
        out
    };
    (0..SLOT_COUNT).map(slot).collect()
}

#[test]
fn a_script_is_one_frame_and_its_replica_holds_the_same() {
    let world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let script = "
        redis.call('set', KEYS[1], ARGV[1], 'px', 100000)
        redis.call('rpush', KEYS[2], redis.call('time')[1], math.random(), unpack(ARGV))
        redis.call('sadd', KEYS[3], redis.call('randomkey'))
        redis.pcall('incr', KEYS[2])
        redis.call('spop', KEYS[3])
        redis.call('zadd', KEYS[3], 1.5, 'm')
        return error('after it has written')";
    let start = plane.offset();
    let reply = eval(&mut plane, &mut client, script, &["{t}a", "{t}b", "{t}c"], &["1", "2", "3"]);
    assert!(reply.contains("after it has written"), "{reply}");
    let mut replica = Keyspace::new();
    assert_eq!(follow(&plane, start, &mut replica), 1, "it is whole at a replica, or not there");
    assert_eq!(dump(&replica), dump(&plane.keyspace));
    assert_eq!(plane.keyspace.len(), 3);
}

#[test]
fn scripts_in_a_transaction_are_of_its_frame() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let start = plane.offset();
    assert_eq!(answer(&mut plane, &mut client, "MULTI"), "+OK\r\n");
    answer(&mut plane, &mut client, "SET {t}a 1");
    eval(&mut plane, &mut client, "return redis.call('incr', KEYS[1])", &["{t}a"], &[]);
    eval(
        &mut plane,
        &mut client,
        "redis.call('set', 'elsewhere', 1) return redis.call('nosuch')",
        &["{t}a"],
        &[],
    );
    answer(&mut plane, &mut client, "GET {t}a");
    let reply = answer(&mut plane, &mut client, "EXEC");
    assert!(reply.starts_with("*4\r\n+OK\r\n:2\r\n-ERR Unknown Redis command"), "{reply}");
    assert!(reply.ends_with("$1\r\n2\r\n"), "{reply}");
    let mut replica = Keyspace::new();
    assert_eq!(follow(&plane, start, &mut replica), 1);
    assert_eq!(dump(&replica), dump(&plane.keyspace));
    assert_eq!(replica.len(), 2);
}

#[test]
fn scripts_are_known_by_their_digest_until_they_are_flushed() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let none = "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    assert_eq!(answer(&mut plane, &mut client, &format!("EVALSHA {sha} 0")), none);
    let (_, loaded) = words(&mut plane, &mut client, &["SCRIPT", "LOAD", "return 1"]);
    assert_eq!(loaded, format!("$40 {sha}"));
    assert_eq!(answer(&mut plane, &mut client, &format!("EVALSHA {sha} 0")), ":1\r\n");
    assert_eq!(answer(&mut plane, &mut client, &format!("EVALSHA_RO {} 0", sha.to_uppercase())), ":1\r\n");
    assert_eq!(answer(&mut plane, &mut client, &format!("SCRIPT EXISTS {sha} x")), "*2\r\n:1\r\n:0\r\n");
    assert!(answer(&mut plane, &mut client, "SCRIPT FLUSH x").starts_with("-ERR SCRIPT FLUSH only support"));
    assert_eq!(answer(&mut plane, &mut client, "SCRIPT FLUSH"), "+OK\r\n");
    assert_eq!(answer(&mut plane, &mut client, &format!("EVALSHA {sha} 0")), none);
    assert_eq!(eval(&mut plane, &mut client, "return 1", &[], &[]), ":1");
    assert_eq!(answer(&mut plane, &mut client, &format!("EVALSHA {sha} 0")), ":1\r\n", "EVAL keeps it too");
    assert!(answer(&mut plane, &mut client, "SCRIPT HELP").contains("LOAD <script>"));
    assert!(answer(&mut plane, &mut client, "SCRIPT NOSUCH").starts_with("-ERR unknown subcommand"));
}

#[test]
fn more_scripts_than_are_kept_drop_the_oldest() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for n in 0..=ironcache_script::SCRIPTS_MAX {
        assert_eq!(eval(&mut plane, &mut client, &format!("return {n}"), &[], &[]), format!(":{n}"));
    }
    assert_eq!(plane.scripts.kept().scripts, ironcache_script::SCRIPTS_MAX);
    let sha = |text: &str| format!("return redis.sha1hex('{text}')");
    for (n, known) in [(0, "*1\r\n:0\r\n"), (1, "*1\r\n:1\r\n")] {
        let digest = eval(&mut plane, &mut client, &sha(&format!("return {n}")), &[], &[]);
        let digest = digest.split(' ').next_back().unwrap_or_default();
        // The two scripts that ask for digests took places too.
        let expected = if n == 0 { known } else { "*1\r\n:0\r\n" };
        assert_eq!(answer(&mut plane, &mut client, &format!("SCRIPT EXISTS {digest}")), expected);
    }
}

#[test]
fn a_script_goes_where_its_keys_are_and_calls_what_it_may() {
    let world = World::pair(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let reply = eval(&mut plane, &mut client, "return 1", &["a", "b"], &[]);
    assert_eq!(reply, "-CROSSSLOT Keys in request don't hash to the same slot");
    for (script, expected) in [
        (
            "#!lua\nredis.call('get', 'a') return redis.call('get', 'b')",
            "-ERR Script attempted to access keys that do not hash to the same slot script: ",
        ),
        (
            "redis.call('mset', 'a', 1, 'b', 2)",
            "-ERR Script attempted to access a non local key in a cluster node script: ",
        ),
        ("#!lua flags=allow-cross-slot-keys\nredis.call('get', 'a') return redis.call('get', 'b')", "$-1"),
        ("redis.call('get', 'a') return redis.call('get', 'b')", "$-1"),
        (
            "#!lua flags=no-writes\nreturn redis.call('set', 'a', 1)",
            "-ERR Write commands are not allowed from read-only scripts. script: ",
        ),
        ("#!lua flags=no-cluster\nreturn 1", "-ERR Can not run script on cluster, 'no-cluster' flag is set."),
        ("#!lua flags=nosuch\nreturn 1", "-ERR Unexpected flag in script shebang: nosuch"),
        ("return redis.call('monitor')", "-ERR This Redis command is not allowed from script script: "),
        ("return redis.call('client', 'id')", "-ERR This Redis command is not allowed from script script: "),
        (
            "return redis.call('XREAD', 'COUNT', 1, 'BLOCK', 0, 'STREAMS', 'a', '$')",
            "-ERR XREAD command is not allowed with BLOCK option from scripts script: ",
        ),
        (
            "return redis.call('script', 'flush')",
            "-ERR This Redis command is not allowed from script script: ",
        ),
    ] {
        let reply = eval(&mut plane, &mut client, script, &[], &[]);
        assert!(reply.starts_with(expected), "{script}: {reply}");
    }
    let (_, reply) = words(&mut plane, &mut client, &["EVAL_RO", "return redis.call('set', 'a', 1)", "0"]);
    assert!(reply.starts_with("-ERR Write commands are not allowed from read-only scripts."), "{reply}");
    let (_, reply) = words(&mut plane, &mut client, &["EVAL_RO", "#!lua\nreturn 1", "0"]);
    assert_eq!(reply, "-ERR Can not execute a script with write flag using *_ro command.");
    for (numkeys, why) in [
        ("-1", "-ERR Number of keys can't be negative"),
        ("x", "-ERR value is not an integer or out of range"),
        ("1", "-ERR Number of keys can't be greater than number of args"),
    ] {
        assert_eq!(words(&mut plane, &mut client, &["EVAL", "return 1", numkeys]).1, why);
    }
    assert_eq!(plane.keyspace.len(), 0);
}

#[test]
fn a_replica_runs_scripts_that_read_and_refuses_what_writes() {
    let world = World::pair(AckMode::Primary);
    let mut plane = following(&world);
    let mut client = client(&mut plane);
    let moved = eval(&mut plane, &mut client, "return 1", &["k"], &[]);
    assert!(moved.starts_with("-MOVED "), "{moved}");
    let reply = eval(&mut plane, &mut client, "return redis.call('get', 'k')", &[], &[]);
    assert!(
        reply.starts_with("-ERR Script attempted to access a non local key in a cluster node"),
        "{reply}"
    );
    answer(&mut plane, &mut client, "READONLY");
    assert_eq!(eval(&mut plane, &mut client, "return redis.call('get', KEYS[1])", &["k"], &[]), "$-1");
    let reply = eval(&mut plane, &mut client, "return redis.call('set', KEYS[1], 1)", &["k"], &[]);
    assert!(reply.starts_with("-READONLY You can't write against a read only replica."), "{reply}");
    let reply = eval(&mut plane, &mut client, "#!lua\nreturn 1", &["k"], &[]);
    assert_eq!(reply, "-READONLY You can't write against a read only replica.");
}

#[test]
fn scripts_are_not_there_yet_below_their_level() {
    let mut world = World::alone(AckMode::Primary);
    world.raise(Level(1));
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    let reply = eval(&mut plane, &mut client, "return 1", &[], &[]);
    assert!(reply.starts_with("-NOTYET 'eval' exists since level 2"), "{reply}");
}

#[tokio::test]
async fn other_connections_are_answered_beside_a_slow_script_and_it_ends_when_they_say_so() {
    LocalSet::new()
        .run_until(async {
            let world = World::alone(AckMode::Primary);
            let node = node(bounded(&world, 0, 10));
            let (mut slow, mut other) = (connect(&node).await, connect(&node).await);
            slow.write_all(b"EVAL \"while true do end\" 0\r\nPING\r\n").await.unwrap();
            until(&node, |plane| plane.scripts.is_busy()).await;
            let busy =
                "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";
            for _ in 0..3 {
                other.write_all(b"GET k\r\n").await.unwrap();
                expect(&mut other, busy).await;
            }
            other.write_all(b"SCRIPT KILL\r\n").await.unwrap();
            expect(&mut other, "+OK\r\n").await;
            let sha = "694a5fe1ddb97a4c6a1bf299d9537c7d3d0f84e7";
            let told = "-ERR Script killed by user with SCRIPT KILL...";
            expect(&mut slow, &format!("{told} script: {sha}, on @user_script:1.\r\n+PONG\r\n")).await;
            other.write_all(b"SET k v\r\n").await.unwrap();
            expect(&mut other, "+OK\r\n").await;
            // One whose client leaves ends as well.
            slow.write_all(b"EVAL \"while true do end\" 0\r\n").await.unwrap();
            until(&node, |plane| plane.scripts.is_busy()).await;
            drop(slow);
            until(&node, |plane| !plane.scripts.is_busy()).await;
        })
        .await;
}
