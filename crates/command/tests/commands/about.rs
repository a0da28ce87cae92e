//! What `COMMAND INFO` tells, beside redis-server 7.0.15.

use ironcache_command::table;

/// Where this table departs from 7.0.15, and why.
const DEPARTURES: [(&str, &str); 6] = [
    // Redis tells these of each subcommand alone.
    ("client", "client -2 0 0 0 @slow @connection"),
    ("config", "config -2 0 0 0 @admin @slow @dangerous"),
    ("slowlog", "slowlog -2 0 0 0 @admin @slow @dangerous"),
    ("latency", "latency -2 0 0 0 @admin @slow @dangerous"),
    // WITHSCORE is of 7.2.
    ("zrank", "zrank -3 1 1 1 @read @sortedset @fast"),
    ("zrevrank", "zrevrank -3 1 1 1 @read @sortedset @fast"),
];

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
