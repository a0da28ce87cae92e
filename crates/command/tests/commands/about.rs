//! What `COMMAND INFO` tells, beside redis-server 7.0.15.

use ironcache_command::{keys_and_flags, lookup, subcommands, table};

/// Where this table departs from 7.0.15, and why.
const DEPARTURES: [(&str, &str); 4] = [
    // Their subcommands are no rows here, and all have their key behind them.
    ("xgroup", "xgroup -2 2 2 1 @write @stream @slow"),
    ("xinfo", "xinfo -2 2 2 1 @read @stream @slow"),
    // WITHSCORE is of 7.2.
    ("zrank", "zrank -3 1 1 1 @read @sortedset @fast"),
    ("zrevrank", "zrevrank -3 1 1 1 @read @sortedset @fast"),
];

#[test]
fn arity_categories_and_tips_of_subcommands_are_those_of_redis() {
    // These are of 7.2.
    let newer = ["client|no-touch", "client|setinfo"];
    let redis = include_str!("redis_7_0_15_subcommands.txt");
    let ours: Vec<String> = table()
        .iter()
        .flat_map(subcommands)
        .filter(|sub| !newer.contains(&sub.name))
        .map(|sub| {
            let words: Vec<&str> = sub.categories().chain(sub.tips().iter().copied()).collect();
            format!("{} {} {}", sub.name, sub.arity, words.join(" "))
        })
        .collect();
    for ours in &ours {
        assert!(redis.lines().any(|theirs| theirs == ours), "{ours}");
    }
    assert_eq!(ours.len(), redis.lines().count());
}

#[test]
fn keys_that_clients_are_told_are_those_that_are_routed_by() {
    for command in [
        "get k",
        "set k v",
        "mset a 1 b 2",
        "lmpop 2 a b left",
        "blpop a b 0",
        "blmove a b left right 0",
        "blmpop 0 2 a b left",
        "zunionstore d 2 a b",
        "bitop and d a b",
        "copy a b",
        "sort a store b",
        "sort a by x limit 0 1 store b",
        "georadius a 1 2 3 m store b",
        "georadius a 1 2 3 m storedist b",
        "sinterstore d a b",
        "watch a b",
        "pfmerge d a",
        "zintercard 1 a limit 3",
        "lcs a b",
        "rename a b",
        "del a b c",
        "xadd k 1-1 f v",
        "xread count 1 streams a b 0 0",
        "xreadgroup group g c streams a >",
        "xgroup create k g 0",
    ] {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        let spec = lookup(args[0]).unwrap();
        let told: Vec<&[u8]> = keys_and_flags(spec, &args).into_iter().map(|(key, _)| key).collect();
        let (mut told, mut routed) = (told, spec.keys(&args).collect::<Vec<_>>());
        told.sort_unstable();
        routed.sort_unstable();
        assert_eq!(told, routed, "{command}");
    }
    for (command, expected) in [
        ("set k v", "OW update"),
        ("set k v get", "RW access update"),
        ("bitfield k get u8 0", "RO access"),
        ("bitfield k set u8 0 1", "RW access update"),
        ("rename a b", "RW access delete, OW update"),
        ("sort a store b", "RO access, OW update"),
        ("xread streams a b 0 0", "RO access, RO access"),
    ] {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        let told = keys_and_flags(lookup(args[0]).unwrap(), &args);
        let flags: Vec<String> = told.into_iter().map(|(_, flags)| flags.join(" ")).collect();
        assert_eq!(flags.join(", "), expected, "{command}");
    }
}

#[test]
fn arity_keys_categories_and_tips_are_those_of_redis() {
    let redis = include_str!("redis_7_0_15.txt");
    let mut told = redis.lines();
    for spec in table().iter().filter(|spec| !spec.name.starts_with("icnext")) {
        let numbers =
            format!("{} {} {} {} {}", spec.name, spec.arity, spec.first_key, spec.last_key, spec.step);
        let words: Vec<&str> = spec.categories().chain(spec.tips().iter().copied()).collect();
        let ours = format!("{numbers} {}", words.join(" "));
        let theirs = told.next().expect("a line a command");
        match DEPARTURES.iter().find(|(name, _)| *name == spec.name) {
            Some((_, departure)) => {
                assert_eq!(ours, *departure);
                assert_ne!(ours, theirs, "it is no departure any more");
            }
            None => assert_eq!(ours, theirs),
        }
    }
    assert_eq!(told.next(), None);
}
