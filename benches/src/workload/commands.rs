//! Executing commands on a keyspace that does not fit the caches.

use super::{VALUE_BYTES, Walk, key, write_key};
use ironcache_command::{Context, Effects, Expiry, execute, lookup};
use ironcache_keyspace::Keyspace;
use ironcache_resp::Protocol;
use ironcache_types::Level;
use std::fmt;
use std::hint::black_box;

/// Keys in the keyspace.
pub const KEYS: usize = 100_000;
/// Elements of each collection.
const ELEMENTS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Set,
    Get,
    Incr,
    /// One field of ten.
    Hset,
    /// A new score for one member of ten.
    Zadd,
    /// And an RPOP, so that the lists stay as long as they are.
    Lpush,
}

impl Op {
    pub const ALL: [Op; 6] = [Op::Set, Op::Get, Op::Incr, Op::Hset, Op::Zadd, Op::Lpush];

    /// Commands of one round.
    pub fn commands(self) -> usize {
        match self {
            Op::Set | Op::Get | Op::Incr | Op::Hset | Op::Zadd => 1,
            Op::Lpush => 2,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Set => "SET, 100 B",
            Op::Get => "GET, 100 B",
            Op::Incr => "INCR",
            Op::Hset => "HSET, 1 field of 10",
            Op::Zadd => "ZADD, 1 member of 10",
            Op::Lpush => "LPUSH or RPOP, list of 10",
        })
    }
}

/// A keyspace of [`KEYS`] keys, each holding what its operation expects.
pub struct Database {
    op: Op,
    keyspace: Keyspace,
    context: Context,
    key: Vec<u8>,
    walk: Walk,
    /// Differs from round to round: the score or the element.
    round: usize,
    scratch: Scratch,
}

/// What a connection keeps from one command to the next.
struct Scratch {
    out: Vec<u8>,
    effects: Effects,
}

const VALUE: [u8; VALUE_BYTES] = [b'x'; VALUE_BYTES];
const NAMES: [&[u8]; ELEMENTS] = [
    b"name-0", b"name-1", b"name-2", b"name-3", b"name-4", b"name-5", b"name-6", b"name-7", b"name-8",
    b"name-9",
];
const NUMBERS: [&[u8]; ELEMENTS] = [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"];

impl Database {
    pub fn new(op: Op) -> Self {
        let context = Context {
            now_ms: 1_700_000_000_000,
            random: 7,
            expiry: Expiry::Delete,
            protocol: Protocol::Resp2,
        };
        let mut database = Database {
            op,
            keyspace: Keyspace::new(),
            context,
            key: key(0),
            walk: Walk::new(KEYS),
            round: 0,
            scratch: Scratch { out: Vec::new(), effects: Effects::at(Level::FIRST) },
        };
        for index in 0..KEYS {
            database.fill(index);
        }
        database
    }

    fn fill(&mut self, index: usize) {
        let key = key(index);
        match self.op {
            Op::Set | Op::Get => self.run(&[b"SET", &key, &VALUE]),
            Op::Incr => self.run(&[b"SET", &key, b"1000000"]),
            Op::Hset => NAMES.iter().for_each(|name| self.run(&[b"HSET", &key, name, b"a value"])),
            Op::Zadd => {
                NAMES.iter().zip(NUMBERS).for_each(|(name, score)| self.run(&[b"ZADD", &key, score, name]));
            }
            Op::Lpush => NAMES.iter().for_each(|name| self.run(&[b"LPUSH", &key, name])),
        }
    }

    /// Runs the operation's command, or commands, on the next key.
    #[inline]
    pub fn round(&mut self) {
        self.round = (self.round + 1) % ELEMENTS;
        let (name, number) = (NAMES[self.round], NUMBERS[(self.round * 7) % ELEMENTS]);
        let index = self.walk.step();
        let Self { op, keyspace, context, key, scratch, .. } = self;
        write_key(index, key);
        let key = &key[..];
        let mut run = |args: &[&[u8]]| scratch.run(keyspace, context, args);
        match op {
            Op::Set => run(&[b"SET", key, &VALUE]),
            Op::Get => run(&[b"GET", key]),
            Op::Incr => run(&[b"INCR", key]),
            Op::Hset => run(&[b"HSET", key, name, b"a value"]),
            Op::Zadd => run(&[b"ZADD", key, number, name]),
            Op::Lpush => {
                run(&[b"LPUSH", key, name]);
                run(&[b"RPOP", key]);
            }
        }
    }

    fn run(&mut self, args: &[&[u8]]) {
        self.scratch.run(&mut self.keyspace, &self.context, args);
    }
}

impl Scratch {
    /// From the name to the reply and the effects, as the server's dispatcher does it.
    #[inline]
    fn run(&mut self, keyspace: &mut Keyspace, context: &Context, args: &[&[u8]]) {
        let Self { out, effects } = self;
        out.clear();
        effects.clear();
        let spec = lookup(args[0]).expect("only commands that exist are run");
        spec.check_arity(args.len()).expect("only whole commands are run");
        execute(spec, args, keyspace, context, out, effects);
        assert!(!out.starts_with(b"-"), "{}", out.escape_ascii());
        black_box((out, effects));
    }
}
