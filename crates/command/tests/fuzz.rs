//! Fuzzing of the data commands with whatever arguments; see crate `ironcache-fuzz`.

use ironcache_command::{Context, Effects, Expiry, Run, execute, lookup, table};
use ironcache_fuzz::Campaign;
use ironcache_keyspace::{Keyspace, apply_effects};
use ironcache_resp::{CommandParser, Parsed, Protocol, parse_value};
use ironcache_types::LEVELS;

const WORDS: [&str; 46] = [
    "\r\n",
    " ",
    "a",
    "b",
    "0",
    "1",
    "-1",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "(1",
    "[a",
    "-",
    "+",
    "*",
    "a*",
    "[^a-",
    "\\",
    "EX",
    "PX",
    "NX",
    "XX",
    "GT",
    "LT",
    "KEEPTTL",
    "BYSCORE",
    "BYLEX",
    "REV",
    "LIMIT",
    "WITHSCORES",
    "MATCH",
    "COUNT",
    "9223372036854775807",
    "1-1",
    "1-*",
    "$",
    ">",
    "~",
    "MAXLEN",
    "MINID",
    "STREAMS",
    "GROUP",
    "CREATE",
    "FULL",
    "JUSTID",
];
/// A value of 512 MiB is a valid wish (`proto-max-bulk-len`); here it would only take time.
const OFFSET_MAX: u64 = 1 << 20;

fn asks_for_much(args: &[&[u8]]) -> bool {
    let name = args[0].to_ascii_lowercase();
    let number =
        |arg: &[u8]| std::str::from_utf8(arg.strip_prefix(b"#").unwrap_or(arg)).ok()?.parse::<u64>().ok();
    matches!(&name[..], b"setrange" | b"setbit" | b"bitfield")
        && args[1..].iter().any(|arg| number(arg).is_some_and(|number| number > OFFSET_MAX))
}

/// Every command once, with what most understand, and keys that are there.
fn sessions() -> Vec<Vec<u8>> {
    let begin =
        "SET a 10\r\nRPUSH l a b c\r\nHSET h f 1 g x\r\nSADD s a b 3\r\nZADD z 1 a 2 b\r\nXADD x 1 b 3\r\n";
    let data = table().iter().filter(|spec| matches!(spec.run, Run::Data(_)));
    data.flat_map(|spec| {
        ["a", "l", "h", "s", "z", "x"].map(|key| {
            let rest = ["1", "2", "b", "3"].iter().take(spec.arity.unsigned_abs().saturating_sub(2) as usize);
            let rest: String = rest.map(|word| format!(" {word}")).collect();
            format!("{begin}{} {key}{rest}\r\n", spec.name).into_bytes()
        })
    })
    .chain([STREAMS.into()])
    .collect()
}

const STREAMS: &str = "XADD x 1 b 3\r\nXADD x 2-1 b 4 c d\r\nXGROUP CREATE x g 0\r\nXREADGROUP GROUP g c STREAMS x >\r\n\
    XPENDING x g - + 9\r\nXCLAIM x g d 0 1-0\r\nXREADGROUP GROUP g d STREAMS x 0\r\nXDEL x 1\r\nXAUTOCLAIM x g e 0 0\r\n\
    XACK x g 2-1\r\nXINFO STREAM x FULL\r\nXGROUP DELCONSUMER x g d\r\nXTRIM x MAXLEN ~ 0\r\nXSETID x 9\r\nCOPY x a REPLACE\r\n";

#[test]
fn fuzz_commands_answer_once_and_their_effects_say_all() {
    // Replies and effects of a thousand commands are many times what they were asked with.
    Campaign::of("data commands").from(sessions()).words(WORDS).keeps(64 << 20).run(|bytes| {
        let (mut parser, mut rest) = (CommandParser::default(), bytes);
        let (mut keyspace, mut replica) = (Keyspace::new(), Keyspace::new());
        let mut effects = Effects::at(LEVELS.max);
        let mut context =
            Context { now_ms: 1_000_000, random: 7, expiry: Expiry::Delete, protocol: Protocol::Resp3 };
        let mut last = String::new();
        while let Ok(Parsed::Complete { consumed }) = parser.parse(rest) {
            let args: Vec<&[u8]> = parser.args(rest).iter().collect();
            rest = &rest[consumed..];
            let Some(spec) = args.first().and_then(|name| lookup(name)) else { continue };
            if matches!(spec.run, Run::Server)
                || spec.check_arity(args.len()).is_err()
                || asks_for_much(&args)
            {
                continue;
            }
            drop(spec.keys(&args).collect::<Vec<_>>());
            effects.clear();
            let mut out = Vec::new();
            execute(spec, &args, &mut keyspace, &context, &mut out, &mut effects);
            let answer = parse_value(&out);
            assert!(
                matches!(&answer, Ok(Some((_, used))) if *used == out.len()),
                "one whole reply: {answer:?}"
            );
            apply_effects(&mut replica, &effects.bytes, LEVELS.max)
                .expect("what was done once can be done again");
            context.now_ms += 1;
            context.random = context.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            last = format!("{}{}", spec.name, out.first().copied().map_or('?', char::from));
        }
        assert_eq!(replica.fingerprint(), keyspace.fingerprint(), "a replica holds the same");
        last
    });
}
