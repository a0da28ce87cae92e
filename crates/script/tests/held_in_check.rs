//! An engine whose caller knows one command, and may end a script at any of its questions.

use ironcache_resp::Protocol;
use ironcache_script::{Answer, Ending, Engine, NoScript, Progress, Running, Setup, Step};

const MEMORY: usize = 16 << 20;

fn engine() -> Engine {
    Engine::new(Setup { memory_bytes_max: MEMORY, redis_version: "7.0.15", seed: 0 }).unwrap()
}

fn start(engine: &mut Engine, script: &str) -> Running {
    let script = engine.load(script.as_bytes()).unwrap();
    engine.start(&script, &[], &[], Protocol::Resp2, 1 << 20).unwrap()
}

/// Answers `+OK` to every call, and ends the script at the question of this number.
fn drive(running: &mut Running, questions_max: usize) -> (String, usize) {
    let (mut answer, mut asked) = (Answer::GoOn, 0);
    loop {
        match running.resume(answer) {
            Progress::Done(reply) => return (String::from_utf8_lossy(&reply).into_owned(), asked),
            Progress::Asks(step) => {
                asked += 1;
                answer = match step {
                    _ if asked >= questions_max => Answer::End(Ending::Killed),
                    Step::Call { .. } | Step::MayCall { .. } => Answer::Reply(b"+OK\r\n".to_vec()),
                    Step::Tick | Step::Log { .. } => Answer::GoOn,
                };
            }
        }
    }
}

fn run(engine: &mut Engine, script: &str) -> String {
    drive(&mut start(engine, script), usize::MAX).0
}

const ENDLESS: [&str; 8] = [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local function f() pcall(f) f() end f()",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "local f = coroutine.wrap(function() while true do pcall(coroutine.yield) end end) while true do f() end",
    "while true do pcall(redis.call, 'x') end",
    "while true do local ok, s = pcall(string.rep, 'x', 1e6) end",
    "while true do local ok = pcall(string.find, string.rep('a', 60), string.rep('a?', 60) .. string.rep('a', 60) .. 'b') end",
];

#[test]
fn a_script_that_is_ended_catches_nothing_that_lets_it_go_on() {
    let mut engine = engine();
    for script in ENDLESS {
        for questions_max in [1, 2, 50] {
            let mut running = start(&mut engine, script);
            let (reply, asked) = drive(&mut running, questions_max);
            assert!(
                reply.starts_with("-ERR Script killed by user with SCRIPT KILL... script: "),
                "{script}: {reply}"
            );
            assert_eq!(asked, questions_max, "{script}: nothing is asked after the end");
            drop(running);
            assert_eq!(run(&mut engine, "return 'next'"), "$4\r\nnext\r\n", "after {script}");
        }
    }
}

#[test]
fn a_script_that_is_dropped_ends_and_the_next_one_begins() {
    let mut engine = engine();
    for script in ENDLESS {
        let mut running = start(&mut engine, script);
        assert!(matches!(running.resume(Answer::GoOn), Progress::Asks(_)));
        let other = engine.load(b"return 1").unwrap();
        let second = engine.start(&other, &[], &[], Protocol::Resp2, 100);
        assert!(matches!(second, Err(NoScript::Busy)), "one at a time");
        drop(running);
        assert_eq!(run(&mut engine, "return 'next'"), "$4\r\nnext\r\n", "after {script}");
    }
    drop(start(&mut engine, "return 1"));
    assert_eq!(
        run(&mut engine, "return 'next'"),
        "$4\r\nnext\r\n",
        "one that never began leaves nothing either"
    );
}

#[test]
fn as_many_results_as_the_interpreter_allows_are_returned() {
    let mut engine = engine();
    for (script, expected) in [
        ("return 7, unpack({}, 1, 7000)", ":7\r\n"),
        ("return select('#', pcall(unpack, {}, 1, 5000))", ":5001\r\n"),
        ("return select('#', xpcall(function() return unpack({}, 1, 5000) end, error))", ":5001\r\n"),
        ("return select('#', coroutine.wrap(function() return unpack({}, 1, 5000) end)())", ":5000\r\n"),
        ("return select('#', redis.call('x', unpack({}, 1, 3)))", "-ERR Lua redis lib command arguments"),
    ] {
        let reply = run(&mut engine, script);
        assert!(reply.starts_with(expected), "{script}: {reply}");
    }
}

#[test]
fn tables_of_any_length_are_returned_and_packed() {
    let mut engine = engine();
    let many = "local t = {} for i = 1, 30000 do t[i] = 'x' .. i % 10 end ";
    let reply = run(&mut engine, &format!("{many}return t"));
    assert!(reply.starts_with("*30000\r\n$2\r\nx1\r\n") && reply.ends_with("$2\r\nx0\r\n"));
    assert_eq!(reply.len(), "*30000\r\n".len() + 30_000 * "$2\r\nx1\r\n".len());
    let named = "local t = {} for i = 1, 30000 do t['k' .. i] = {} end ";
    let reply = run(&mut engine, &format!("{named}return {{map = t}}"));
    assert!(reply.starts_with("*60000\r\n"), "{:.60}", reply);
    let reply = run(&mut engine, &format!("{named}return {{set = t}}"));
    assert!(reply.starts_with("*30000\r\n"), "{:.60}", reply);
    let packed = "local n = 0 for k in pairs(cmsgpack.unpack(cmsgpack.pack(t))) do n = n + 1 end return n";
    assert_eq!(run(&mut engine, &format!("{named}{packed}")), ":30000\r\n");
}

#[test]
fn long_strings_count_as_work() {
    let mut engine = engine();
    let long = "local s = string.rep('x', 1000000) ";
    for script in [
        "return {s, s, s, s, s, s, s, s, s, s}",
        "return #cjson.encode({s, s, s, s, s})",
        "return #cmsgpack.pack({s, s, s, s, s})",
        "for i = 1, 3 do redis.sha1hex(s) end",
        "for i = 1, 5 do string.rep('x', 1000000) end",
    ] {
        let script = engine.load(format!("{long}{script}").as_bytes()).unwrap();
        let mut running = engine.start(&script, &[], &[], Protocol::Resp2, 64 << 20).unwrap();
        let (_, asked) = drive(&mut running, usize::MAX);
        assert!(asked >= 3, "{}: {asked} questions whether to go on", script.sha);
    }
}

#[test]
fn what_writes_past_metatables_leaves_nothing_either() {
    let mut engine = engine();
    for table in ["_G", "string", "redis", "cjson"] {
        let reply = run(&mut engine, &format!("table.insert({table}, 'x')"));
        assert!(reply.starts_with("-ERR Attempt to modify a readonly table"), "{table}: {reply}");
        let reply =
            run(&mut engine, &format!("return tostring(select(2, pcall(function() return {table}[1] end)))"));
        assert!(!reply.contains("\r\nx\r\n"), "{table}: {reply}");
    }
}

#[test]
fn no_script_sees_what_another_one_left() {
    let mut engine = engine();
    let first = "local seen = {} for k in pairs(_G) do seen[#seen + 1] = k end table.sort(seen) return table.concat(seen, ' ')";
    let names = run(&mut engine, first);
    for attempt in [
        "x = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "string.rep = nil",
        "rawset(string, 'rep', nil)",
        "getmetatable('').__index = {}",
        "getmetatable(_G).__index = {}",
        "setmetatable(_G, {})",
        "setmetatable(string, {})",
        "local f, t = pairs(string) if type(t) == 'table' then t.rep = nil end for k in pairs(string) do end error('x')",
        "redis.call = nil",
        "redis.call('x').ok = 'y' error('x')",
        "KEYS.x = 1 ARGV.x = 1 error('x')",
        "_G._G.redis.call = 1",
        "coroutine.wrap = nil",
        "cjson.encode = nil",
        "math.pi = 3",
        "collectgarbage('stop') error('x')",
        "math.randomseed(42) error('x')",
        "redis.setresp(3) error('x')",
    ] {
        let reply = run(&mut engine, attempt);
        assert!(reply.starts_with('-'), "{attempt}: {reply}");
        assert_eq!(run(&mut engine, first), names, "{attempt}");
        let check = "return ('x'):rep(2) .. type(redis.call) .. redis.call('x').ok .. tostring(KEYS.x)";
        assert_eq!(run(&mut engine, check), "$15\r\nxxfunctionOKnil\r\n", "{attempt}");
    }
}

#[test]
fn the_interpreter_is_bounded_whatever_is_caught() {
    let mut engine = engine();
    for script in [
        "local t = {} while true do t[#t + 1] = {} end",
        "local t = {} while true do t[#t + 1] = string.rep('x', 100000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e9 do if not pcall(function() t[#t + 1] = ('x'):rep(1e5) .. i end) then return 'full' end end",
        "return ('x'):rep(1e9)",
        "return (('x'):rep(1e6):gsub('x', ('y'):rep(1e6)))",
        "local t = {} for i = 1, 60 do t = {t, t} end return cjson.encode(t)",
    ] {
        let reply = run(&mut engine, script);
        assert!(
            reply.contains("not enough memory") || reply.contains("full") || reply.contains("nesting"),
            "{script}: {reply}"
        );
        assert!(engine.used_bytes() <= MEMORY);
        assert_eq!(run(&mut engine, "return 'next'"), "$4\r\nnext\r\n", "after {script}");
    }
}

#[test]
fn a_script_chooses_its_numbers_at_random_for_itself_alone() {
    let mut engine = engine();
    let seeded = "math.randomseed(5) return math.random(10) .. ' ' .. math.random()";
    // As redis-server 7.0.15 answers it.
    assert_eq!(run(&mut engine, seeded), "$18\r\n6 0.27285430173988\r\n");
    let next = "return tostring(math.random())";
    let (first, second) = (run(&mut engine, next), run(&mut engine, next));
    assert_ne!(first, second);
    assert_eq!(run(&mut engine, seeded), "$18\r\n6 0.27285430173988\r\n");
    assert_ne!(run(&mut engine, next), second, "and nobody else");
}

#[test]
fn a_job_is_taken_from_a_queue_as_queues_in_lua_do_it() {
    let mut engine = engine();
    // In the manner of libraries of job queues: packed arguments, a table of functions, calls by an alias.
    let script = r#"
        local rcall = redis.call
        local args = { "q", 5, { delay = 10, attempts = 3, tags = { "a", "b" } } }
        local opts = cmsgpack.unpack(cmsgpack.pack(args))
        local function prefix(key) return opts[1] .. ":" .. key end
        local events = {}
        local function emit(name, ...)
          events[#events + 1] = { name, ... }
          return rcall("PUBLISH", prefix("events"), cjson.encode({ event = name, args = { ... } }))
        end
        local delay = tonumber(opts[3]["delay"]) or 0
        for i, tag in ipairs(opts[3].tags) do emit("tag", i, tag) end
        if (delay > 0) and not (opts[3].repeatable ~= nil) then emit("delayed", bit.band(delay, 0xff)) end
        return { #events, events[3][1], delay * 4096, struct.unpack(">I2", struct.pack(">I2", opts[2])) }
    "#;
    assert_eq!(run(&mut engine, script), "*5\r\n:3\r\n$7\r\ndelayed\r\n:40960\r\n:5\r\n:3\r\n");
}
