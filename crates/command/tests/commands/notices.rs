//! What is told of keys, beside what redis-server 7.0.15 tells.

use crate::db::Db;
use ironcache_keyspace::EventClass;
use ironcache_resp::{Value, parse_value};

/// Time that passes where the transcript says so: the server's slept as long.
const SLEEP_MS: u64 = 60;

/// Where ours says otherwise. Of several keys that are read at once one whose time is up is not deleted by that, but by the
/// next tick, or by what is written to it: that it expired is told then.
const LATER: [(&str, &str); 4] = [
    ("SUNIONSTORE {ex}e ex", "keymiss ex"),
    ("SADD ex a", "expired ex, new ex, sadd ex"),
    ("BITOP NOT {ex}g ex", "keymiss ex"),
    ("SET ex v PX 30", "expired ex, new ex, set ex, expire ex"),
];

fn told(db: &mut Db) -> String {
    let events = db.effects.events.take();
    let told = events.iter().map(|event| format!("{} {}", event.name, String::from_utf8_lossy(&event.key)));
    told.collect::<Vec<_>>().join(", ")
}

fn noting() -> Db {
    let mut db = Db::new();
    db.context.now_ms = 1_700_000_000_000;
    db.effects.events.want(true);
    db
}

#[test]
fn keys_are_told_of_as_redis_tells() {
    let mut db = noting();
    db.run("SET x x");
    let dumped = db.run_args(&[b"DUMP", b"x"]);
    let Ok(Some((Value::Bulk(dumped), _))) = parse_value(&dumped) else { panic!("it is a string") };
    db.run("DEL x");
    told(&mut db);
    let mut differ = Vec::new();
    for line in include_str!("notices_7_0_15.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some((command, expected)) = line.split_once(" =>") else {
            db.context.now_ms += SLEEP_MS;
            continue;
        };
        let word = |word: &str| if word == "DUMPX" { dumped.to_vec() } else { word.as_bytes().to_vec() };
        let args: Vec<Vec<u8>> = command.split(' ').map(word).collect();
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let reply = db.run_args(&args);
        let events = told(&mut db);
        let later = LATER.contains(&(command, &*events));
        if events != expected.trim() && !later {
            let reply = String::from_utf8_lossy(&reply).into_owned();
            differ.push(format!("{command}: {events:?}, and Redis tells {expected:?} ({reply:?})"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// By the letters of `notify-keyspace-events`.
#[test]
fn events_are_of_the_class_of_what_changed() {
    let mut db = noting();
    for (command, letters) in [
        ("SET k v EX 1", "n$g"),
        ("GET no", "m"),
        ("LPUSH l a", "nl"),
        ("LPOP l", "lg"),
        ("SADD s a", "ns"),
        ("HSET h a 1", "nh"),
        ("ZADD z 1 a", "nz"),
        ("XADD x 1-1 a b", "nt"),
        ("XGROUP CREATE x g 0", "t"),
        ("XREADGROUP GROUP g c STREAMS x >", "t"),
        ("COPY z y", "ng"),
        ("RENAME z w", "ngg"),
        ("SETBIT b 1 1", "n$"),
        ("PFADD p a", "n$"),
        ("GEOADD g 1 1 a", "nz"),
        ("SORT l STORE q", "m"),
        ("SORT x2 ALPHA STORE q", "m"),
        ("SADD t 1", "ns"),
        ("SORT t STORE q", "nl"),
        ("SUNIONSTORE q t", "s"),
        ("DEL q", "g"),
    ] {
        db.run(command);
        let classes: Vec<EventClass> = db.effects.events.take().iter().map(|event| event.class).collect();
        let told: String = classes.iter().map(|class| char::from(class.letter())).collect();
        assert_eq!(told, letters, "{command}");
    }
    db.context.now_ms += 10_000;
    db.run("GET k");
    let told: Vec<u8> = db.effects.events.take().iter().map(|event| event.class.letter()).collect();
    assert_eq!(told, b"xm");
}

#[test]
fn nothing_is_noted_unless_it_is_wanted() {
    let mut db = Db::new();
    db.run("SET k v");
    db.run("GET no");
    db.effects.events.want(true);
    assert_eq!(told(&mut db), "");
}
