//! Whatever commands do, their effects say all of it.

use crate::db::Db;
use ironcache_command::{Expiry, Flags, MoreKeys, Run, table};
use ironcache_keyspace::{Keyspace, apply_effects};
use ironcache_types::{LEVELS, SLOT_COUNT, Slot};
use proptest::prelude::*;

/// Arguments that commands understand, and some that they do not.
const WORDS: [&str; 98] = [
    "a",
    "b",
    "c",
    "a",
    "b",
    "c",
    "0",
    "1",
    "2",
    "-1",
    "3",
    "-2",
    "10",
    "1.5",
    "x",
    "",
    "(1",
    "[a",
    "-",
    "+",
    "inf",
    "-inf",
    "nan",
    "1e3",
    "*",
    "a*",
    "EX",
    "PX",
    "NX",
    "XX",
    "GT",
    "LT",
    "CH",
    "INCR",
    "GET",
    "KEEPTTL",
    "PERSIST",
    "BYSCORE",
    "BYLEX",
    "REV",
    "LIMIT",
    "WITHSCORES",
    "MATCH",
    "COUNT",
    "TYPE",
    "string",
    "BEFORE",
    "AFTER",
    "SYNC",
    "EXAT",
    "PXAT",
    "1000",
    "500",
    "9223372036854775807",
    "-9223372036854775808",
    "WITHSCORE",
    "AGGREGATE",
    "MAX",
    "WEIGHTS",
    "STORE",
    "ALPHA",
    "DESC",
    "LEFT",
    "RIGHT",
    "MIN",
    "REPLACE",
    "LEN",
    "IDX",
    "BIT",
    "BYTE",
    "AND",
    "NOT",
    "OVERFLOW",
    "SET",
    "INCRBY",
    "u8",
    "i5",
    "#1",
    "RANK",
    "MAXLEN",
    "FROMLONLAT",
    "FROMMEMBER",
    "BYRADIUS",
    "km",
    "13.36",
    "38.1",
    "*",
    "1-1",
    "5-*",
    ">",
    "$",
    "~",
    "GROUP",
    "STREAMS",
    "CREATE",
    "MKSTREAM",
    "NOACK",
    "FORCE",
];

fn command() -> impl Strategy<Value = (usize, Vec<usize>, u64)> {
    (0..table().len(), prop::collection::vec(0..WORDS.len(), 10), prop_oneof![3 => Just(0), 1 => 0u64..2000])
}

/// Runs random commands; hands the database to `check` after each.
fn play(commands: &[(usize, Vec<usize>, u64)], mut check: impl FnMut(&mut Db, &[&[u8]], &[u8])) {
    let mut db = Db::new();
    for (spec, words, pause_ms) in commands {
        let spec = &table()[*spec];
        // One in several flushes is enough.
        if matches!(spec.run, Run::Server) || (spec.name.starts_with("flush") && words[0] > 5) {
            continue;
        }
        db.context.now_ms += pause_ms;
        let wanted = spec.arity.unsigned_abs() as usize - 1;
        let extra = if spec.arity < 0 { words[9] % 4 } else { 0 };
        let mut args = vec![spec.name.as_bytes()];
        args.extend(words.iter().take(wanted + extra).map(|word| WORDS[*word].as_bytes()));
        // Where a number of keys is wanted, mostly one is told that fits.
        if let (MoreKeys::Counted(at), true) = (spec.more_keys, words[1] % 5 > 0) {
            let count = args.get(at).map(|_| if words[2] % 2 == 0 { &b"1"[..] } else { b"2" });
            args.splice(at..(at + 1).min(args.len()), count);
            let keys = args.iter_mut().skip(at + 1).take(2);
            keys.zip(&words[3..]).for_each(|(key, word)| *key = WORDS[word % 3].as_bytes());
        }
        // Keys are mostly keys.
        if let (Some(key), true) = (args.get_mut(spec.first_key), spec.first_key > 0 && words[0] % 4 > 0) {
            *key = WORDS[words[0] % 3].as_bytes();
        }
        let reply = db.run_args(&args);
        check(&mut db, &args, &reply);
    }
}

fn copy(keyspace: &Keyspace) -> Keyspace {
    let (mut copy, mut bytes) = (Keyspace::new(), Vec::new());
    for slot in (0..SLOT_COUNT).map(Slot).filter(|slot| keyspace.slot_len(*slot) > 0) {
        keyspace.dump_slot(slot, LEVELS.max, &mut bytes);
    }
    apply_effects(&mut copy, &bytes, LEVELS.max).expect("a dump applies");
    copy
}

fn show(args: &[&[u8]]) -> String {
    args.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_replica_of_the_effects_and_a_copy_of_the_slots_hold_the_same(
        commands in prop::collection::vec(command(), 1..120),
    ) {
        let mut replica = Keyspace::new();
        let mut before = 0;
        play(&commands, |db, args, _| {
            apply_effects(&mut replica, &db.effects.bytes, LEVELS.max).expect("what was applied once applies again");
            let now = db.keyspace.fingerprint();
            assert_eq!(replica.fingerprint(), now, "{}", show(args));
            if db.effects.is_empty() {
                assert_eq!(now, before, "{} changed something without an effect", show(args));
            }
            before = now;
            assert_eq!(db.effects.iter().count(), db.effects.count);
        });
        play(&commands, |db, args, _| {
            assert_eq!(copy(&db.keyspace).fingerprint(), db.keyspace.fingerprint(), "{}", show(args));
        });
    }

    #[test]
    fn reads_on_a_replica_change_nothing_and_answer_as_on_a_primary(
        commands in prop::collection::vec(command(), 1..60),
        reads in prop::collection::vec(command(), 1..60),
    ) {
        let mut last = None;
        play(&commands, |db, _, _| last = Some((copy(&db.keyspace), db.context)));
        let Some((keyspace, context)) = last else { return Ok(()) };
        let mut replica = Db::new();
        (replica.keyspace, replica.context) = (copy(&keyspace), context);
        replica.context.expiry = Expiry::Hide;
        let mut primary = Db::new();
        (primary.keyspace, primary.context) = (keyspace, context);
        let before = replica.keyspace.fingerprint();
        for (spec, words, _) in &reads {
            let spec = &table()[*spec];
            if spec.is_write() || matches!(spec.run, Run::Server) || spec.name == "dbsize" {
                continue;
            }
            replica.context.now_ms += 300;
            primary.context.now_ms = replica.context.now_ms;
            let mut args = vec![spec.name.as_bytes()];
            let wanted = spec.arity.unsigned_abs() as usize - 1;
            args.extend(words.iter().take(wanted).map(|word| WORDS[*word].as_bytes()));
            primary.context.random = replica.context.random;
            let (ours, theirs) = (replica.run_args(&args), primary.run_args(&args));
            prop_assert!(replica.effects.is_empty());
            // Which keys are there to be drawn or walked over differs while expired ones stay.
            if !matches!(spec.name, "randomkey" | "scan" | "keys") {
                prop_assert_eq!(ours, theirs, "{}", show(&args));
            }
        }
        prop_assert_eq!(replica.keyspace.fingerprint(), before);
    }

    #[test]
    fn every_command_answers_exactly_one_reply(commands in prop::collection::vec(command(), 1..120)) {
        play(&commands, |db, args, reply| {
            let parsed = ironcache_resp::parse_value(reply);
            let (_, used) = parsed.expect("a reply is RESP").expect("a reply is whole");
            assert_eq!(used, reply.len(), "{}", show(args));
            if reply.starts_with(b"-") {
                assert!(db.effects.iter().all(|e| matches!(e, ironcache_keyspace::Effect::Delete { .. })));
            }
        });
    }
}

#[test]
fn commands_without_the_write_flag_never_change_a_key_that_lives() {
    for spec in table() {
        let reads = spec.flags.contains(Flags::READONLY);
        if matches!(spec.run, Run::Data(_)) {
            assert!(reads != spec.is_write(), "{} is one of both", spec.name);
        }
    }
}

#[test]
fn keys_are_found_among_the_arguments() {
    let keys = |line: &str| {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let spec = ironcache_command::lookup(args[0]).expect("a command");
        let keys: Vec<String> =
            spec.keys(&args).map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        keys.join(" ")
    };
    assert_eq!(keys("GET a"), "a");
    assert_eq!(keys("SET a b EX 1"), "a");
    assert_eq!(keys("MGET a b c"), "a b c");
    assert_eq!(keys("MSET a 1 b 2"), "a b");
    assert_eq!(keys("RENAME a b"), "a b");
    assert_eq!(keys("PING"), "");
    assert_eq!(keys("GET"), "");
    assert_eq!(keys("DBSIZE"), "");
    assert_eq!(keys("SINTERCARD 2 a b LIMIT 1"), "a b");
    assert_eq!(keys("ZUNIONSTORE to 2 a b WEIGHTS 1 2"), "to a b");
    assert_eq!(keys("ZUNIONSTORE to 3 a b"), "to");
    assert_eq!(keys("LMPOP x a LEFT"), "");
    assert_eq!(keys("LMPOP 9223372036854775807 a LEFT"), "");
    assert_eq!(keys("SORT a BY store LIMIT 0 1 STORE b store c"), "a c");
    assert_eq!(keys("SORT a STORE"), "a");
    assert_eq!(keys("BITOP AND to a b"), "to a b");
    assert_eq!(keys("GEORADIUS a 1 2 3 m STOREDIST b"), "a b");
    assert_eq!(keys("XREAD COUNT 1 BLOCK 0 STREAMS a b 0 0"), "a b");
    assert_eq!(keys("XREADGROUP GROUP streams block NOACK streams a streams > >"), "a streams");
    assert_eq!(keys("XREAD STREAMS a b 0"), "");
    assert_eq!(keys("XREAD WHAT STREAMS a 0"), "");
    assert_eq!(keys("XREAD COUNT STREAMS a 0"), "");
    assert_eq!(keys("XREADGROUP GROUP g STREAMS"), "");
    assert_eq!(keys("XGROUP CREATE a g 0"), "a");
    assert_eq!(keys("XINFO HELP"), "");
}
