//! Where the keys of a command are and what it does with them, as `COMMAND INFO` and `COMMAND GETKEYSANDFLAGS` tell it.
//!
//! [`Spec::keys`] is what a command is routed by; this is what clients read. Source: `COMMAND INFO` of redis-server 7.0.15.
//!
//! *Invariant:* keys that are found by these are those of [`Spec::keys`], but for what is marked as unknown.

use crate::spec::{MoreKeys, Spec};

/// Some keys of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// In Redis' words, separated by spaces: how the value is treated (`RO`, `RW`, `OW`, `RM`), and what for.
    pub flags: &'static str,
    pub begin: Begin,
    pub find: Find,
}

/// Where they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    At(usize),
    /// Behind this word, looked for from this argument on.
    After(&'static str, usize),
    /// It follows from no rule.
    Unknown,
}

/// Which they are, from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// `last` is counted from where they begin or, if negative, from the end.
    Range {
        last: i32,
        step: usize,
        limit: usize,
    },
    /// So many as the argument `count` says, from `first` on.
    Counted {
        count: usize,
        first: usize,
        step: usize,
    },
    Unknown,
}

const FIRST: Begin = Begin::At(1);
const SECOND: Begin = Begin::At(2);
const ONE: Find = Find::Range { last: 0, step: 1, limit: 0 };
const TWO: Find = Find::Range { last: 1, step: 1, limit: 0 };
const ALL: Find = Find::Range { last: -1, step: 1, limit: 0 };
/// The last argument is something else.
const ALL_BUT_LAST: Find = Find::Range { last: -2, step: 1, limit: 0 };
const EVERY_SECOND: Find = Find::Range { last: -1, step: 2, limit: 0 };
const FIRST_HALF: Find = Find::Range { last: -1, step: 1, limit: 2 };
const COUNTED: Find = Find::Counted { count: 0, first: 1, step: 1 };

const fn of(flags: &'static str, begin: Begin, find: Find) -> KeySpec {
    KeySpec { flags, begin, find }
}

/// Of a command whose flags depend on its arguments.
const VARIABLE: &str = "variable_flags";

/// Commands that do the same with their keys share an arm; none for those without keys, and for those not told yet.
// An arm a line.
#[rustfmt::skip]
pub fn key_specs(of_command: &Spec) -> &'static [KeySpec] {
    match of_command.name {
        "get" | "getrange" | "ttl" | "pttl" | "expiretime" | "pexpiretime" | "hget" | "hmget" | "hgetall" | "hkeys" | "hvals" | "hscan" | "lrange" | "lindex" | "smembers" | "smismember" | "srandmember" | "sscan" | "zscore" | "zmscore" | "zrank" | "zrevrank" | "zrange" | "zrevrange" | "zrangebyscore" | "zrevrangebyscore" | "zrangebylex" | "zrevrangebylex" | "zcount" | "zlexcount" | "zscan" | "lpos" | "zrandmember" | "hrandfield" | "substr" | "getbit" | "bitcount" | "bitpos" | "bitfield_ro" | "geodist" | "geohash" | "geopos" | "georadius_ro" | "georadiusbymember_ro" | "geosearch" | "dump" => const { &[of("RO access", FIRST, ONE)] },
        "set" | "bitfield" => const { &[of("RW access update variable_flags", FIRST, ONE)] },
        "setnx" => const { &[of("OW insert", FIRST, ONE)] },
        "setex" | "psetex" | "restore" => const { &[of("OW update", FIRST, ONE)] },
        "getset" | "getex" | "incr" | "decr" | "incrby" | "decrby" | "incrbyfloat" | "hincrby" | "hincrbyfloat" | "zincrby" | "setbit" => const { &[of("RW access update", FIRST, ONE)] },
        "getdel" | "lpop" | "rpop" | "spop" | "zpopmin" | "zpopmax" => const { &[of("RW access delete", FIRST, ONE)] },
        "mget" | "sinter" | "sunion" | "sdiff" => const { &[of("RO access", FIRST, ALL)] },
        "mset" => const { &[of("OW update", FIRST, EVERY_SECOND)] },
        "msetnx" => const { &[of("OW insert", FIRST, EVERY_SECOND)] },
        "append" | "hsetnx" | "lpush" | "rpush" | "lpushx" | "rpushx" | "linsert" | "sadd" | "pfadd" => const { &[of("RW insert", FIRST, ONE)] },
        "strlen" | "type" | "hlen" | "hexists" | "hstrlen" | "llen" | "sismember" | "scard" | "zcard" => const { &[of("RO", FIRST, ONE)] },
        "setrange" | "expire" | "pexpire" | "expireat" | "pexpireat" | "persist" | "hset" | "hmset" | "lset" | "zadd" | "geoadd" => const { &[of("RW update", FIRST, ONE)] },
        "del" | "unlink" => const { &[of("RM delete", FIRST, ALL)] },
        "exists" | "touch" | "watch" => const { &[of("RO", FIRST, ALL)] },
        "rename" => const { &[of("RW access delete", FIRST, ONE), of("OW update", SECOND, ONE)] },
        "renamenx" => const { &[of("RW access delete", FIRST, ONE), of("OW insert", SECOND, ONE)] },
        "hdel" | "ltrim" | "lrem" | "srem" | "zrem" | "zremrangebyrank" | "zremrangebyscore" | "zremrangebylex" => const { &[of("RW delete", FIRST, ONE)] },
        "lmove" | "rpoplpush" | "smove" | "blmove" | "brpoplpush" => const { &[of("RW access delete", FIRST, ONE), of("RW insert", SECOND, ONE)] },
        "blmpop" | "bzmpop" => const { &[of("RW access delete", SECOND, COUNTED)] },
        "lmpop" | "zmpop" => const { &[of("RW access delete", FIRST, COUNTED)] },
        "blpop" | "brpop" | "bzpopmin" | "bzpopmax" => const { &[of("RW access delete", FIRST, ALL_BUT_LAST)] },
        "sintercard" | "zunion" | "zinter" | "zdiff" | "zintercard" => const { &[of("RO access", FIRST, COUNTED)] },
        "sunionstore" | "sdiffstore" => const { &[of("OW update", FIRST, ONE), of("RO access", SECOND, ALL)] },
        "sinterstore" => const { &[of("RW update", FIRST, ONE), of("RO access", SECOND, ALL)] },
        "eval" | "evalsha" | "fcall" => const { &[of("RW access update", SECOND, COUNTED)] },
        "eval_ro" | "evalsha_ro" | "fcall_ro" => const { &[of("RO access", SECOND, COUNTED)] },
        "zunionstore" | "zinterstore" | "zdiffstore" => const { &[of("OW update", FIRST, ONE), of("RO access", SECOND, COUNTED)] },
        "zrangestore" | "geosearchstore" => const { &[of("OW update", FIRST, ONE), of("RO access", SECOND, ONE)] },
        "copy" => const { &[of("RO access", FIRST, ONE), of("OW update", SECOND, ONE)] },
        "lcs" => const { &[of("RO access", FIRST, TWO)] },
        "sort" => const { &[of("RO access", FIRST, ONE), of("RO access", Begin::Unknown, Find::Unknown), of("OW update", Begin::Unknown, Find::Unknown)] },
        "spublish" => const { &[of("not_key", FIRST, ONE)] },
        "ssubscribe" | "sunsubscribe" => const { &[of("not_key", FIRST, ALL)] },
        "sort_ro" => const { &[of("RO access", FIRST, ONE), of("RO access", Begin::Unknown, Find::Unknown)] },
        "bitop" => const { &[of("OW update", SECOND, ONE), of("RO access", Begin::At(3), ALL)] },
        "pfcount" => const { &[of("RW access", FIRST, ALL)] },
        "pfmerge" => const { &[of("RW access insert", FIRST, ONE), of("RO access", SECOND, ALL)] },
        "georadius" => const { &[of("RO access", FIRST, ONE), of("OW update", Begin::After("STORE", 6), ONE), of("OW update", Begin::After("STOREDIST", 6), ONE)] },
        "georadiusbymember" => const { &[of("RO access", FIRST, ONE), of("OW update", Begin::After("STORE", 5), ONE), of("OW update", Begin::After("STOREDIST", 5), ONE)] },
        "object|encoding" | "object|freq" | "object|idletime" | "object|refcount" | "memory|usage" => const { &[of("RO", SECOND, ONE)] },
        "xadd" | "xsetid" | "xack" | "xclaim" => const { &[of("RW update", FIRST, ONE)] },
        "xlen" => const { &[of("RO", FIRST, ONE)] },
        "xrange" | "xrevrange" | "xpending" => const { &[of("RO access", FIRST, ONE)] },
        "xdel" | "xtrim" | "xautoclaim" => const { &[of("RW delete", FIRST, ONE)] },
        "xread" => const { &[of("RO access", Begin::After("STREAMS", 1), FIRST_HALF)] },
        "xreadgroup" => const { &[of("RO access", Begin::After("STREAMS", 4), FIRST_HALF)] },
        "xgroup" => const { &[of("RW update", SECOND, ONE)] },
        "xinfo" => const { &[of("RO access", SECOND, ONE)] },
        _ => &[],
    }
}

/// Each key among `args` (the command's name first), and what is done with it.
pub fn keys_and_flags<'a>(command: &Spec, args: &[&'a [u8]]) -> Vec<(&'a [u8], Vec<&'static str>)> {
    let mut found = Vec::new();
    for spec in key_specs(command) {
        let keys = match spec.begin {
            Begin::At(at) => spec.find.among(args, at),
            // What no rule tells, or a word does, the command's own says.
            Begin::After(..) | Begin::Unknown => match command.more_keys {
                MoreKeys::Option { .. } if stores(spec, command, args) => command.more_keys.of(args).to_vec(),
                MoreKeys::OfStreams { .. } => command.more_keys.of(args).to_vec(),
                MoreKeys::Option { .. } | MoreKeys::None | MoreKeys::Counted(_) | MoreKeys::Under(_) => {
                    Vec::new()
                }
            },
        };
        for key in keys {
            if found.iter().all(|(other, _): &(&[u8], _)| !std::ptr::eq(other.as_ptr(), key.as_ptr())) {
                found.push((key, flags(spec, command, args)));
            }
        }
    }
    found
}

/// Does the key behind an option belong to this one of the specs?
fn stores(spec: &KeySpec, command: &Spec, args: &[&[u8]]) -> bool {
    let is_written = spec.flags.starts_with("OW");
    is_written && !command.more_keys.of(args).is_empty()
}

fn flags(spec: &KeySpec, command: &Spec, args: &[&[u8]]) -> Vec<&'static str> {
    let says = |word: &str| args.iter().skip(2).any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let flags = match command.name {
        "set" if !says("get") => "OW update",
        "bitfield" if !says("set") && !says("incrby") => "RO access",
        _ => spec.flags,
    };
    flags.split(' ').filter(|flag| *flag != VARIABLE).collect()
}

impl Find {
    fn among<'a>(self, args: &[&'a [u8]], at: usize) -> Vec<&'a [u8]> {
        match self {
            Find::Range { last, step, limit: _ } => {
                let end = match usize::try_from(last) {
                    Ok(last) => (at + last + 1).min(args.len()),
                    Err(_) => (args.len() + 1).saturating_sub(last.unsigned_abs() as usize),
                };
                args.get(at..end).unwrap_or(&[]).iter().copied().step_by(step).collect()
            }
            // The count stands where they begin.
            Find::Counted { count, first: _, step: _ } => MoreKeys::Counted(at + count).of(args).to_vec(),
            Find::Unknown => Vec::new(),
        }
    }
}
