//! What is told of keys, beside what redis-server 7.0.15 tells.

use ironcache_command::{Before, Context, Effects, Expiry, execute, lookup};
use ironcache_keyspace::Keyspace;
use ironcache_resp::{Protocol, Value, parse_value};
use ironcache_types::LEVELS;

/// Where ours says otherwise, and why.
const DEPARTURES: [(&str, &str); 0] = [];

struct Told {
    keyspace: Keyspace,
    effects: Effects,
    context: Context,
}

impl Told {
    /// The reply, and what is told.
    fn run(&mut self, args: &[&[u8]]) -> (Vec<u8>, String) {
        let Told { keyspace, effects, context } = self;
        let (spec, mut reply) = (lookup(args[0]).expect("it is a command"), Vec::new());
        let before = Before::look(spec, args, keyspace, effects, context.now_ms);
        execute(spec, args, keyspace, context, &mut reply, effects);
        let events = before.tell(keyspace, effects);
        let told = events.iter().map(|event| format!("{} {}", event.name, String::from_utf8_lossy(&event.key)));
        (reply, told.collect::<Vec<_>>().join(", "))
    }
}

#[test]
fn keys_are_told_of_as_redis_tells() {
    let context = Context {
        now_ms: 1_700_000_000_000,
        random: 7,
        expiry: Expiry::Delete,
        protocol: Protocol::Resp2,
    };
    let mut told = Told { keyspace: Keyspace::new(), effects: Effects::at(LEVELS.max), context };
    told.run(&[b"SET", b"x", b"x"]);
    let (dumped, _) = told.run(&[b"DUMP", b"x"]);
    told.run(&[b"DEL", b"x"]);
    let Ok(Some((Value::Bulk(dumped), _))) = parse_value(&dumped) else { panic!("it is a string") };
    let mut differ = Vec::new();
    let lines = include_str!("notices_7_0_15.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let Some((command, expected)) = line.split_once(" =>") else {
            told.context.now_ms += 60;
            continue;
        };
        let word = |word: &str| if word == "DUMPX" { dumped.to_vec() } else { word.as_bytes().to_vec() };
        let args: Vec<Vec<u8>> = command.split(' ').map(word).collect();
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let (reply, events) = told.run(&args);
        let departs = DEPARTURES.iter().any(|(departs, ours)| command == *departs && events == *ours);
        if events != expected.trim() && !departs {
            let reply = String::from_utf8_lossy(&reply).into_owned();
            differ.push(format!("{command}: {events:?}, and Redis tells {expected:?} ({reply:?})"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
