//! Random rules beside redis-server 7.0.15: what is refused and how, what a user comes to, and what it may do.
//!
//! 7.0 shows no rules about commands but what it guesses from the outcome. So the outcome is compared: what is given to
//! redis-server as our text must come to what the rules themselves came to there.

use ironcache_acl::{ShownSelector, User};
use ironcache_command::{lookup, table};
use ironcache_differential::{Oracle, Remote, Side};
use ironcache_resp::{Protocol, Value, parse_value};

/// About as many as CI has time for.
const USERS: u64 = 400;
const COMMANDS: usize = 12;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const PLAIN: [&str; 26] = [
    "on",
    "OFF",
    "nopass",
    "resetpass",
    ">p",
    ">q",
    "<p",
    "<q",
    "#abc",
    "!x",
    "reset",
    "clearselectors",
    "sanitize-payload",
    "skip-sanitize-payload",
    "allkeys",
    "resetkeys",
    "allchannels",
    "resetchannels",
    "allcommands",
    "nocommands",
    "+@all",
    "-@all",
    "zzz",
    "",
    "~*",
    "&*",
];
const KEYS: [&str; 10] = ["~a", "~a*", "%R~r*", "%W~w", "%rw~b", "%R", "%X~a", "~", "~[ab]", "%W~a"];
const CHANNELS: [&str; 4] = ["&a", "&c*", "&", "&?"];
const CATEGORIES: [&str; 10] =
    ["read", "WRITE", "string", "dangerous", "fast", "slow", "admin", "connection", "nosuch", "hash"];
const NAMES: [&str; 16] = [
    "get",
    "SET",
    "config",
    "config|get",
    "CONFIG|SET",
    "client|id",
    "select",
    "debug",
    "acl|whoami",
    "nosuch",
    "config|nosuch",
    "select|0",
    "select|X",
    "get|",
    "config|get|x",
    "incr",
];
const TRIED: [&str; 48] = [
    "get a",
    "set a 1",
    "set b 1 get",
    "mget a ab r1",
    "copy r1 w",
    "copy w r1",
    "incr b",
    "exists c",
    "append w 1",
    "sort r1 store w",
    "lmove a b left right",
    "bitfield a get u8 0",
    "bitfield r1 incrby u8 0 1",
    "rename a b",
    "sunionstore w r1 r2",
    "zunionstore w 2 r1 r2",
    "pfmerge a r1",
    "config get x",
    "config set x 1",
    "client id",
    "client list",
    "select 0",
    "select 1",
    "acl whoami",
    "acl list",
    "publish a x",
    "publish cc x",
    "keys *",
    "hset a f v",
    "ping",
    "spublish cc x",
    "ssubscribe a",
    "ssubscribe cc a",
    "sunsubscribe cc",
    "subscribe a cc",
    "psubscribe c*",
    "psubscribe cc",
    "eval x 1 a",
    "eval_ro x 1 r1",
    "eval x 0",
    "xread streams r1 0",
    "xreadgroup group g c streams r1 >",
    "xinfo stream r1",
    "xgroup create w g $",
    "georadius r1 0 0 1 km store w",
    "object encoding a",
    "memory usage c",
    "blpop a b 0",
];

/// One rule within a selector or without one.
fn permission(dice: &mut Dice) -> String {
    match dice.below(9) {
        0 | 1 => dice.pick(&KEYS).to_owned(),
        2 => dice.pick(&CHANNELS).to_owned(),
        3 | 4 => format!("{}@{}", dice.pick(&["+", "-"]), dice.pick(&CATEGORIES)),
        5..=7 => format!("{}{}", dice.pick(&["+", "+", "-"]), dice.pick(&NAMES)),
        _ => {
            let name = table()[dice.below(table().len())].name;
            format!("{}{name}", dice.pick(&["+", "-"]))
        }
    }
}

fn rules(dice: &mut Dice) -> Vec<String> {
    let mut rules = Vec::new();
    // Or nearly all that is tried is forbidden.
    if dice.below(2) == 0 {
        rules.extend(["+@all".to_owned(), "~[a-z]*".to_owned()]);
    }
    for _ in 0..1 + dice.below(6) {
        match dice.below(10) {
            0..=2 => rules.push(dice.pick(&PLAIN).to_owned()),
            3 => {
                let inner: Vec<_> = (0..dice.below(4)).map(|_| permission(dice)).collect();
                rules.push(format!("({})", inner.join(" ")));
            }
            _ => rules.push(permission(dice)),
        }
    }
    rules
}

/// Redis' reply to words.
fn ask(oracle: &mut Remote, words: &[&[u8]]) -> Value {
    let args = words.iter().map(|word| word.to_vec()).collect();
    let replies = oracle.run(Protocol::Resp2, &[args]).expect("redis-server answers");
    parse_value(&replies[0]).expect("a reply").expect("a whole one").0
}

fn text(value: &Value) -> String {
    match value {
        Value::Array(parts) => parts.iter().map(text).collect::<Vec<_>>().join("\n"),
        Value::Error(error) => format!("-{error}"),
        other => String::from_utf8_lossy(other.as_bytes().unwrap_or_default()).into_owned(),
    }
}

/// Makes the user anew by these rules; answers the error, if it is one.
fn set(oracle: &mut Remote, name: &str, rules: &[&[u8]]) -> Result<(), String> {
    ask(oracle, &[b"ACL", b"DELUSER", name.as_bytes()]);
    let mut words: Vec<&[u8]> = vec![b"ACL", b"SETUSER", name.as_bytes()];
    words.extend(rules);
    match ask(oracle, &words) {
        error @ Value::Error(_) => Err(text(&error)),
        _ => Ok(()),
    }
}

fn seen(oracle: &mut Remote, name: &str) -> String {
    text(&ask(oracle, &[b"ACL", b"GETUSER", name.as_bytes()]))
}

/// All that is no command.
fn without_commands(shown: &str) -> Vec<&str> {
    let mut lines = shown.lines();
    let mut left = Vec::new();
    while let Some(line) = lines.next() {
        left.push(line);
        if line == "commands" {
            lines.next();
        }
    }
    left
}

/// Our user as `GETUSER` shows it.
fn ours(user: &User) -> String {
    let shown = user.shown();
    let part = |ShownSelector { commands, keys, channels }: &ShownSelector| {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        [
            "commands".to_owned(),
            text(commands),
            "keys".to_owned(),
            text(keys),
            "channels".to_owned(),
            text(channels),
        ]
        .join("\n")
    };
    let lists = [
        format!("flags\n{}", shown.flags.join("\n")),
        format!("passwords\n{}", shown.passwords.join("\n")),
        part(&shown.root),
        format!("selectors\n{}", shown.selectors.iter().map(part).collect::<Vec<_>>().join("\n")),
    ];
    lists.join("\n")
}

#[test]
#[ignore = "needs redis-server 7.0.15: make beside-redis"]
fn users_beside_redis_are_refused_shown_and_judged_the_same() {
    let oracle = Oracle::start().unwrap_or_else(|error| panic!("{error}"));
    let mut redis = oracle.connect().unwrap_or_else(|error| panic!("{error}"));
    let seed = std::env::var("DIFFERENTIAL_SEED").ok().map_or(1, |text| text.parse().expect("a number"));
    let mut dice = Dice(seed);
    // Or the dice draw nothing but errors.
    let (mut refused, mut denied) = (0, 0);
    for number in 0..USERS {
        let rules = rules(&mut dice);
        let words: Vec<&[u8]> = rules.iter().map(String::as_bytes).collect();
        let case = format!("seed {seed}, user {number}: {}", rules.join(" "));
        let theirs = set(&mut redis, "u", &words);
        let user = match (User::default().with(&words), theirs) {
            (Ok(user), Ok(())) => user,
            (Err(ours), Err(theirs)) => {
                assert_eq!(format!("-{ours}"), theirs, "{case}");
                refused += 1;
                continue;
            }
            (ours, theirs) => panic!("{case}: ours {ours:?}, theirs {theirs:?}"),
        };
        let (text, shown) = (user.text(), seen(&mut redis, "u"));
        let again: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
        set(&mut redis, "v", &again).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(seen(&mut redis, "v"), shown, "{case}: {}", text.escape_ascii());
        assert_eq!(without_commands(&ours(&user)), without_commands(&shown), "{case}");
        for _ in 0..COMMANDS {
            let command = dice.pick(&TRIED);
            let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
            let Some(spec) = lookup(args[0]) else { continue };
            let mut words: Vec<&[u8]> = vec![b"ACL", b"DRYRUN", b"u"];
            words.extend(&args);
            let theirs = self::text(&ask(&mut redis, &words));
            let ours = user.check(spec, &args).map_or_else(|denied| denied.dry_run(), |()| "OK".to_owned());
            assert_eq!(ours, theirs, "{case}: {command}");
            denied += u64::from(ours != "OK");
        }
    }
    let judged = (USERS - refused) * COMMANDS as u64;
    assert!(
        refused < USERS / 2 && (judged / 10..judged * 9 / 10).contains(&denied),
        "{refused}, {denied} of {judged}"
    );
}
