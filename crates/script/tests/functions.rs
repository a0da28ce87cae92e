//! Libraries as they are loaded, and their functions as they are called. What is expected is what redis-server 7.0.15 says.

use ironcache_resp::Protocol;
use ironcache_script::{Answer, Ending, Functions, Library, Progress, Setup, Step};

const MEMORY: usize = 64 << 20;

fn functions() -> Functions {
    Functions::new(Setup { memory_bytes_max: MEMORY, redis_version: "7.0.15", seed: 0 }).unwrap()
}

/// Ends a library at its question of this number.
fn load_within(functions: &mut Functions, code: &str, questions_max: usize) -> Result<Library, String> {
    let mut asked = 0;
    let ask = |step: &Step| {
        assert!(matches!(step, Step::Tick | Step::Log { .. }), "a library calls nothing: {step:?}");
        asked += 1;
        if asked >= questions_max { Answer::End(Ending::LoadTimeout) } else { Answer::GoOn }
    };
    functions.load(code.as_bytes(), ask).map_err(|error| error.to_string())
}

fn load(functions: &mut Functions, body: &str) -> Result<Library, String> {
    load_within(functions, &format!("#!lua name=x\n{body}"), 2_000)
}

/// Answers `+OK` to every call.
fn call(functions: &mut Functions, library: &Library, name: &str, keys: &[&[u8]], args: &[&[u8]]) -> String {
    let which = library.functions.iter().position(|declared| declared.name == name).expect("it has it");
    let mut running = functions.start(library, which, keys, args, Protocol::Resp2, 1 << 20).unwrap();
    let mut answer = Answer::GoOn;
    loop {
        answer = match running.resume(answer) {
            Progress::Done(reply) => return String::from_utf8_lossy(&reply).into_owned(),
            Progress::Asks(Step::Call { .. } | Step::MayCall { .. }) => Answer::Reply(b"+OK\r\n".to_vec()),
            Progress::Asks(Step::Tick | Step::Log { .. }) => Answer::GoOn,
        };
    }
}

#[test]
fn what_is_no_library_is_refused_in_the_words_of_redis() {
    let mut functions = functions();
    let registering = |error: &str| format!("ERR Error registering functions: ERR {error}");
    for (body, expected) in [
        ("return 1", "ERR No functions registered".to_owned()),
        ("return 1 1", "ERR Error compiling function: user_function:2: '<eof>' expected near '1'".to_owned()),
        ("local x = nil; x()", registering("user_function:2: attempt to call local 'x' (a nil value)")),
        ("a = 1", registering("user_function:2: Attempt to modify a readonly table")),
        ("redis.foo = 1", registering("user_function:2: Attempt to modify a readonly table")),
        ("redis.register_function()", registering("wrong number of arguments to redis.register_function")),
        (
            "redis.register_function('f')",
            registering(
                "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
            ),
        ),
        (
            "redis.register_function('f', 1)",
            registering("second argument to redis.register_function must be a function"),
        ),
        (
            "redis.register_function({}, function() end)",
            registering("first argument to redis.register_function must be a string"),
        ),
        (
            "redis.register_function('f', function() end, 1)",
            registering("wrong number of arguments to redis.register_function"),
        ),
        (
            "redis.register_function('a-b', function() end)",
            registering(
                "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
            ),
        ),
        (
            "redis.register_function{callback=function() end}",
            registering("redis.register_function must get a function name argument"),
        ),
        (
            "redis.register_function{function_name='f'}",
            registering("redis.register_function must get a callback argument"),
        ),
        (
            "redis.register_function{function_name='f', callback=1}",
            registering("callback argument given to redis.register_function must be a function"),
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, flags=1}",
            registering(
                "flags argument to redis.register_function must be a table representing function flags",
            ),
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, flags={'foo'}}",
            registering("unknown flag given"),
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, foo=1}",
            registering("unknown argument given to redis.register_function"),
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, description={}}",
            registering("description argument given to redis.register_function must be a string"),
        ),
        (
            "redis.register_function{[{}]='f'}",
            registering("named argument key given to redis.register_function is not a string"),
        ),
        (
            "redis.register_function('f', function() end) redis.register_function('f', function() end)",
            registering("Function already exists in the library"),
        ),
        ("redis.log()", registering("redis.log() requires two arguments or more.")),
        ("redis.log(9, 'y')", registering("Invalid debug level.")),
    ] {
        assert_eq!(load(&mut functions, body).err(), Some(expected), "{body}");
    }
}

#[test]
fn a_library_that_is_loaded_sees_nothing_but_how_to_register_and_to_log() {
    let mut functions = functions();
    for name in [
        "pcall",
        "error",
        "string",
        "math",
        "cjson",
        "_G",
        "KEYS",
        "setmetatable",
        "redis.call",
        "redis.setresp",
    ] {
        let last = name.rsplit('.').next().unwrap();
        let expected = format!(
            "ERR Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable '{last}'"
        );
        assert_eq!(load(&mut functions, &format!("local x = {name}")).err(), Some(expected), "{name}");
    }
    let library = load(
        &mut functions,
        "local mine = redis
        redis.register_function('late', function() return mine.register_function('x', function() end) end)
        redis.register_function('new', function() return redis.register_function('x', function() end) end)
        redis.register_function('all', function() return {type(pcall), type(redis.call), type(redis.breakpoint)} end)",
    )
    .unwrap();
    assert_eq!(
        call(&mut functions, &library, "late", &[], &[]),
        "-ERR redis.register_function can only be called on FUNCTION LOAD command script: late, on @user_function:3.\r\n"
    );
    assert_eq!(
        call(&mut functions, &library, "new", &[], &[]),
        "-ERR user_function:4: attempt to call field 'register_function' (a nil value) script: new, on @user_function:4.\r\n"
    );
    assert_eq!(
        call(&mut functions, &library, "all", &[], &[]),
        "*3\r\n$8\r\nfunction\r\n$8\r\nfunction\r\n$3\r\nnil\r\n"
    );
}

#[test]
fn a_function_is_called_with_its_keys_and_arguments_and_its_library_keeps_what_it_has() {
    let mut functions = functions();
    let library = load(
        &mut functions,
        "local n = 0
        redis.register_function('echo', function(keys, args) return {keys, args} end)
        redis.register_function('count', function(...) n = n + select('#', ...) return n end)
        redis.register_function('global', function() x = 1 end)
        redis.register_function('keys', function() return KEYS end)
        redis.register_function('wrong', function() error('boo') end)
        redis.register_function('said', function() return redis.error_reply('MY boo') end)
        redis.register_function('called', function(keys) return redis.call('set', keys[1], 1) end)
        redis.register_function{function_name='flags', callback=function() end, description='d', flags={'no-writes', 'ALLOW-OOM'}}",
    )
    .unwrap();
    for (name, expected) in [
        ("echo", "*2\r\n*1\r\n$1\r\nk\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("count", ":2\r\n"),
        ("count", ":4\r\n"),
        (
            "global",
            "-ERR user_function:5: Attempt to modify a readonly table script: global, on @user_function:5.\r\n",
        ),
        (
            "keys",
            "-ERR user_function:6: Script attempted to access nonexistent global variable 'KEYS' script: keys, on @user_function:6.\r\n",
        ),
        ("wrong", "-ERR user_function:7: boo script: wrong, on @user_function:7.\r\n"),
        ("said", "-MY boo\r\n"),
        ("called", "+OK\r\n"),
    ] {
        assert_eq!(call(&mut functions, &library, name, &[b"k"], &[b"a", b"b"]), expected, "{name}");
    }
    let flags = library.functions.last().unwrap();
    assert_eq!(flags.description.as_deref(), Some(&b"d"[..]));
    assert_eq!(flags.flags.names().collect::<Vec<_>>(), ["no-writes", "allow-oom"]);
}

#[test]
fn a_library_that_never_ends_is_ended_and_the_next_one_is_loaded() {
    let mut functions = functions();
    for body in [
        "while true do end",
        "local s = ('x'):rep(1e6) while true do s = s:gsub('x', 'x') end",
        "local function f() return f() end f()",
        "while true do local s = ('x'):rep(1e6) end",
    ] {
        for questions_max in [1, 2, 50] {
            let code = format!("#!lua name=x\n{body}");
            let error = load_within(&mut functions, &code, questions_max).err();
            assert_eq!(
                error.as_deref(),
                Some("ERR Error registering functions: ERR FUNCTION LOAD timeout"),
                "{body}"
            );
        }
        let library =
            load(&mut functions, "redis.register_function('one', function() return 1 end)").unwrap();
        assert_eq!(call(&mut functions, &library, "one", &[], &[]), ":1\r\n", "{body}");
    }
}

#[test]
fn a_library_that_wants_too_much_is_none_and_leaves_nothing_but_garbage() {
    let mut functions = functions();
    let before = functions.used_bytes();
    for body in [
        "local t, i = {}, 1 while true do t[i] = ('x'):rep(100) .. i i = i + 1 end",
        "local s = 'x' while true do s = s .. s end",
        "local s = ('x'):rep(1e9)",
    ] {
        let error = load_within(&mut functions, &format!("#!lua name=x\n{body}"), usize::MAX).err();
        let error = error.expect("there is not that much");
        assert!(error.contains("not enough memory"), "{body}: {error}");
    }
    for body in [
        "for i = 1, 2000 do redis.register_function('f' .. i, function() end) end",
        "redis.register_function{function_name='f', callback=function() end, description=('x'):rep(1e5)}",
    ] {
        let error = load(&mut functions, body).err().expect("there is a bound");
        assert!(error.contains("a library has 1024 functions and 65536 bytes"), "{error}");
    }
    assert!(!functions.is_crowded());
    functions.set_memory_bytes_max(2 * before + (16 << 20));
    let mut kept = Vec::new();
    while !functions.is_crowded() {
        // Of equal texts there is one.
        let body = format!(
            "local s = ('x'):rep(1e6) .. {} redis.register_function('f', function() return s end)",
            kept.len()
        );
        kept.push(load(&mut functions, &body).expect("there is room, or it is crowded"));
        assert!(kept.len() < 100, "each takes its place");
    }
    assert!(functions.used_bytes() > before + 1_000_000);
    kept.clear();
    assert!(!functions.is_crowded(), "what went takes no place");
}
