//! Fuzzing of what scripts are and what they read; see crate `ironcache-fuzz`.

use ironcache_fuzz::Campaign;
use ironcache_resp::{Protocol, parse_value};
use ironcache_script::{Answer, Ending, Engine, Functions, Progress, Setup, Step};

/// Answers every call, and ends the script at its hundredth question.
fn run(engine: &mut Engine, script: &[u8], argument: &[u8]) -> Option<Vec<u8>> {
    let script = engine.load(script).ok()?;
    let mut running = engine.start(&script, &[], &[argument], Protocol::Resp3, 1 << 20).ok()?;
    let (mut answer, mut asked) = (Answer::GoOn, 0);
    loop {
        let step = match running.resume(answer) {
            Progress::Done(reply) => return Some(reply),
            Progress::Asks(step) => step,
        };
        asked += 1;
        answer = match step {
            _ if asked >= 100 => Answer::End(Ending::Killed),
            // In Redis' protocols a number is a number.
            Step::Call { args, .. } | Step::MayCall { args } => {
                Answer::Reply(format!(":{}\r\n", args.len()).into_bytes())
            }
            Step::Tick | Step::Log { .. } => Answer::GoOn,
        };
    }
}

/// The reply is whole, and one; its first word tells replies apart.
fn told(reply: Option<Vec<u8>>) -> Option<String> {
    let reply = reply?;
    assert!(
        matches!(parse_value(&reply), Ok(Some((_, used))) if used == reply.len()),
        "{}",
        reply.escape_ascii()
    );
    let word = reply.split(|byte| *byte == b' ' || *byte == b'\r').next().unwrap_or_default();
    Some(String::from_utf8_lossy(&word[..word.len().min(12)]).into_owned())
}

fn engine() -> Engine {
    Engine::new(Setup { memory_bytes_max: 16 << 20, redis_version: "7.0.15", seed: 1 }).unwrap()
}

#[test]
fn fuzz_what_the_libraries_read_is_a_value_or_an_error() {
    let script = br#"
        local s, out = ARGV[1], {}
        local readers = {
          function() return cjson.encode(cjson.decode(s)) end,
          function() return cmsgpack.pack(cmsgpack.unpack(s)) end,
          function() return cmsgpack.unpack_limit(s, 3, 1) end,
          function() return struct.unpack(s, s) end,
          function() return struct.pack(s, 1, 2, 3, "x") end,
          function() return struct.size(s) end,
          function() return string.find(s, s) end,
          function() return s:gsub(s, "%1%0") end,
          function() for a, b in s:gmatch(s) do end end,
          function() return ("key = value"):gsub(s, function(a) return a end) end,
        }
        for i, read in ipairs(readers) do out[i] = pcall(read) end
        return out"#;
    let inputs = [
        &br#"{"a":[1,-2.5e3,true,false,null,"\u00e9\ud83d\ude00\n"],"b":{}}"#[..],
        b"\x93\x01\xa3abc\x81\xa1a\xcb\x3f\xf8\0\0\0\0\0\0\xd9\x01x\xdc\0\x01\xc0",
        b">I2<i4!8dfsc3xBc0",
        b"^%s*(%w+)%s*=%s*(.-)%s*$",
        b"[^%a%d_]+%b()%f[%w]()a-b?",
    ];
    let words = [
        "[", "]", "{", "}", "\"", "\\u", "%", "(", ")", "-", "*", "+", "^", "$", "%b", "%f[", "\u{91}", "\0",
    ];
    let mut engine = engine();
    Campaign::of("libraries of scripts")
        .from(inputs)
        .words(words)
        .keeps(64 << 20)
        .costly()
        .run(|bytes| told(run(&mut engine, script, bytes)));
}

#[test]
fn fuzz_scripts_are_answered_once_and_the_next_one_runs() {
    let inputs = [
        "local t = {} for i = 1, 10 do t[#t + 1] = i * 2 end return t",
        "return redis.call('set', KEYS[1] or 'k', ARGV[1])",
        "local ok, e = pcall(redis.call, 'x') return {ok = e, map = {a = 1}}",
        "local co = coroutine.wrap(function() coroutine.yield(1) end) return co()",
        "redis.setresp(3) return {double = 1.5, set = {a = true}}",
        "return setmetatable({}, {__index = function(t, k) return k end}).x",
        "#!lua flags=no-writes,allow-oom\nreturn string.format('%s %d', 'a', 5)",
        "return cjson.encode({a = {1, 2}}) .. cmsgpack.pack({1}) .. struct.pack('>I2', 1) .. bit.tohex(255)",
        "while true do pcall(function() error({err = 'x'}) end) end",
    ];
    let words = [
        "end",
        "function",
        "return",
        "pcall",
        "error",
        "_G",
        "nil",
        "..",
        "{",
        "}",
        "(",
        ")",
        "=",
        "for",
        "1e9",
        "string.rep",
    ];
    let mut engine = engine();
    Campaign::of("scripts").from(inputs).words(words).keeps(64 << 20).costly().run(|bytes| {
        let reply = told(run(&mut engine, bytes, b"argument"));
        assert_eq!(run(&mut engine, b"return 'next'", b"").as_deref(), Some(&b"$4\r\nnext\r\n"[..]));
        reply
    });
}

#[test]
fn fuzz_libraries_are_loaded_or_refused_and_the_next_one_is_loaded() {
    const SOUND: &[u8] = b"#!lua name=sound\nredis.register_function('f', function() return 1 end)";
    let inputs = [
        SOUND,
        b"#!lua name=a\nlocal n = 0\nredis.register_function{function_name='f', callback=function(keys, args) n = n + 1 return args[1] end, description='d', flags={'no-writes', 'allow-oom'}}",
        b"#!LUA \"NAME=b\"\nredis.log(redis.LOG_NOTICE, 'x') for i = 1, 3 do redis.register_function('f' .. i, function() return ('x'):rep(i) end) end",
    ];
    let words = [
        "#!lua",
        "name=",
        "redis.",
        "register_function",
        "flags=",
        "{",
        "}",
        "while true do",
        "end",
        "('x'):rep(1e7)",
        "\0",
    ];
    let mut functions =
        Functions::new(Setup { memory_bytes_max: 16 << 20, redis_version: "7.0.15", seed: 1 }).unwrap();
    Campaign::of("libraries of functions").from(inputs).words(words).keeps(64 << 20).costly().run(|bytes| {
        let mut load = |code: &[u8]| {
            let mut asked = 0;
            functions.load(code, |_| {
                asked += 1;
                if asked < 100 { Answer::GoOn } else { Answer::End(Ending::LoadTimeout) }
            })
        };
        let told = match load(bytes) {
            Ok(library) => {
                assert!(!library.functions.is_empty() && !library.name.is_empty());
                format!("{} functions", library.functions.len())
            }
            Err(error) => {
                let error = error.to_string();
                assert!(error.starts_with("ERR "), "{error}");
                error.split_ascii_whitespace().take(4).collect::<Vec<_>>().join(" ")
            }
        };
        load(SOUND).expect("whatever came before");
        Some(told)
    });
}
