//! Every data command beside redis-server 7.0.15, by machine; see crate `ironcache-differential`.
//!
//! Here the commands run without a node around them, and a replica applies their effects: it must hold the same after
//! every sequence. `make differential` has the node, its transactions and many more commands.

use ironcache_command::{Context, Effects, Expiry, Run, execute, lookup, unknown_command};
use ironcache_differential::{Args, Listen, Side, Trial};
use ironcache_keyspace::{Keyspace, apply_effects};
use ironcache_resp::Protocol;
use ironcache_types::{LEVELS, key_slot};
use std::time::{SystemTime, UNIX_EPOCH};

/// About as many as CI has time for.
const COMMANDS: u64 = 40_000;

struct Direct {
    keyspace: Keyspace,
    replica: Keyspace,
    random: u64,
    /// By each command of the last run.
    told: Vec<String>,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

impl Direct {
    fn one(&mut self, protocol: Protocol, args: &[&[u8]]) -> Vec<u8> {
        let error = |text: &str| format!("-{text}\r\n").into_bytes();
        let Some(spec) = lookup(args[0]) else {
            return error(&unknown_command(args));
        };
        if let Err(wrong) = spec.check_arity(args.len()) {
            return error(&wrong.to_string());
        }
        assert!(matches!(spec.run, Run::Data(_)), "{} is about data", spec.name);
        let mut slots: Vec<_> = spec.keys(args).map(key_slot).collect();
        slots.dedup();
        if slots.len() > 1 {
            return error("CROSSSLOT Keys in request don't hash to the same slot");
        }
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let context = Context { now_ms: now_ms(), random: self.random, expiry: Expiry::Delete, protocol };
        let (mut out, mut effects) = (Vec::new(), Effects::at(LEVELS.max));
        effects.events.want(true);
        execute(spec, args, &mut self.keyspace, &context, &mut out, &mut effects);
        let told = effects.events.take();
        let told = told.iter().map(|event| {
            let (name, key) = (event.name, event.key.escape_ascii());
            format!("__keyspace@0__:{key} {name}, __keyevent@0__:{name} {key}")
        });
        self.told.push(told.collect::<Vec<_>>().join(", "));
        apply_effects(&mut self.replica, &effects.bytes, LEVELS.max)
            .expect("what was done once can be done again");
        out
    }
}

impl Side for Direct {
    fn run(&mut self, protocol: Protocol, commands: &[Args]) -> Result<Vec<Vec<u8>>, String> {
        let mut replies = Vec::new();
        self.told.clear();
        for (at, args) in commands.iter().enumerate() {
            let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            replies.push(self.one(protocol, &words));
            self.told.resize(at + 1, String::new());
        }
        if self.replica.fingerprint() == self.keyspace.fingerprint() {
            Ok(replies)
        } else {
            Err("a replica of the effects holds something else".to_owned())
        }
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

/// A number from the environment, to look further than CI does.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
#[ignore = "needs redis-server 7.0.15: make beside-redis"]
fn commands_beside_redis_answer_change_and_tell_the_same() {
    let names = std::env::var("DIFFERENTIAL_NAMES").unwrap_or_default();
    let trial = Trial {
        seed: setting("DIFFERENTIAL_SEED", 1),
        names: names.split_whitespace().map(str::to_owned).collect(),
        commands: setting("DIFFERENTIAL_COMMANDS", COMMANDS) as usize,
        differences_max: setting("DIFFERENTIAL_DIFFERENCES", 10) as usize,
        listen: Listen::ToKeys,
    };
    let mut ours =
        Direct { keyspace: Keyspace::new(), replica: Keyspace::new(), random: trial.seed, told: Vec::new() };
    let is_data = |name: &str| lookup(name.as_bytes()).is_some_and(|spec| matches!(spec.run, Run::Data(_)));
    let summary = trial.of_commands(&mut ours, is_data).unwrap_or_else(|error| panic!("{error}"));
    assert!(summary.differences.is_empty(), "{summary}");
}
