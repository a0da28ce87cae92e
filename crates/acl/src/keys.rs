//! What a command does with its keys, and which channels it names.
//!
//! Redis says it by the flags of its key specifications (`COMMAND INFO`): of a key that is accessed the value, or what tells
//! of it, is given away; one that is inserted, updated or deleted is written. `EXISTS` and the like do neither, and need no
//! more than a pattern that matches.
//!
//! *Invariant:* a command that writes, and is not named here, needs both: what is forgotten is refused, not let through.

use ironcache_command::{Flags, Spec};

/// Reading, writing, both or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need(u8);

impl Need {
    pub(crate) const NOTHING: Need = Need(0);
    pub(crate) const READ: Need = Need(1);
    pub(crate) const WRITE: Need = Need(2);
    pub(crate) const BOTH: Need = Need(3);

    pub(crate) const fn with(self, other: Need) -> Need {
        Need(self.0 | other.0)
    }

    pub(crate) fn includes(self, other: Need) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The keys of a command, and what it does with each. A channel of a shard has a slot, and is none.
pub(crate) fn needs<'a>(spec: &Spec, args: &'a [&'a [u8]]) -> impl Iterator<Item = (&'a [u8], Need)> {
    let (first, others) = of(spec, args);
    let need = move |at: usize| if at == 0 { first } else { others };
    let keys = (!spec.flags.contains(Flags::PUBSUB)).then(|| spec.keys(args));
    keys.into_iter().flatten().enumerate().map(move |(at, key)| (key, need(at)))
}

/// Of the first key, and of those after it.
fn of(spec: &Spec, args: &[&[u8]]) -> (Need, Need) {
    let same = |need| (need, need);
    let (read, write, both) = (Need::READ, Need::WRITE, Need::BOTH);
    match spec.name {
        "set" => same(if says(args, 3, "get") { both } else { write }),
        "bitfield" => same(if only_gets(args) { read } else { both }),
        "exists" | "hexists" | "hlen" | "hstrlen" | "llen" | "scard" | "sismember" | "strlen" | "touch"
        | "type" | "xlen" | "zcard" | "watch" | "object" | "memory" => same(Need::NOTHING),
        "copy" | "sort" | "georadius" | "georadiusbymember" => (read, write),
        "pfmerge" => (both, read),
        "lmove" | "blmove" | "brpoplpush" | "rename" | "renamenx" | "rpoplpush" | "smove" => (both, write),
        "bitop" | "geosearchstore" | "sdiffstore" | "sinterstore" | "sunionstore" | "zdiffstore"
        | "zinterstore" | "zrangestore" | "zunionstore" => (write, read),
        "xreadgroup" | "pfdebug" => same(read),
        "append" | "del" | "expire" | "expireat" | "geoadd" | "hdel" | "hmset" | "hset" | "hsetnx"
        | "linsert" | "lpush" | "lpushx" | "lrem" | "lset" | "ltrim" | "mset" | "msetnx" | "persist"
        | "pexpire" | "pexpireat" | "pfadd" | "psetex" | "restore" | "rpush" | "rpushx" | "sadd"
        | "setex" | "setnx" | "setrange" | "srem" | "unlink" | "xack" | "xadd" | "xautoclaim" | "xclaim"
        | "xdel" | "xgroup" | "xsetid" | "xtrim" | "zadd" | "zrem" | "zremrangebylex" | "zremrangebyrank"
        | "zremrangebyscore" => same(write),
        _ if spec.flags.contains(Flags::READONLY) => same(read),
        _ => same(both),
    }
}

/// Is one of the options, from that position on, this one?
fn says(args: &[&[u8]], from: usize, option: &str) -> bool {
    args.iter().skip(from).any(|arg| arg.eq_ignore_ascii_case(option.as_bytes()))
}

/// A `BITFIELD` that changes nothing. What is not understood may.
fn only_gets(args: &[&[u8]]) -> bool {
    let mut rest = args.get(2..).unwrap_or_default();
    while let [operation, after @ ..] = rest {
        let skip = match operation.to_ascii_lowercase().as_slice() {
            b"get" => 2,
            b"overflow" => 1,
            _ => return false,
        };
        let Some(after) = after.get(skip..) else { return false };
        rest = after;
    }
    true
}

/// How a channel is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Name,
    /// It has to be allowed as it stands: what it matches is more than one channel.
    Pattern,
}

/// The channels that a command publishes to or listens to.
pub(crate) fn channels<'a>(spec: &Spec, args: &'a [&'a [u8]]) -> impl Iterator<Item = (&'a [u8], Channel)> {
    let (range, kind) = match spec.name {
        "publish" | "spublish" => (1..2, Channel::Name),
        "subscribe" | "ssubscribe" => (1..args.len(), Channel::Name),
        "psubscribe" => (1..args.len(), Channel::Pattern),
        _ => (0..0, Channel::Name),
    };
    args.get(range).unwrap_or_default().iter().map(move |name| (*name, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_command::{keys_and_flags, lookup, subcommands, table};

    fn check(command: &str, expected: &[(&str, Need)]) {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        let found: Vec<_> = needs(lookup(args[0]).unwrap(), &args).collect();
        let expected: Vec<_> = expected.iter().map(|(key, need)| (key.as_bytes(), *need)).collect();
        assert_eq!(found, expected, "{command}");
    }

    #[test]
    fn a_command_needs_what_it_does() {
        check("get a", &[("a", Need::READ)]);
        check("exists a b", &[("a", Need::NOTHING), ("b", Need::NOTHING)]);
        check("set a 1", &[("a", Need::WRITE)]);
        check("set a 1 ex 5 GET", &[("a", Need::BOTH)]);
        check("set a get", &[("a", Need::WRITE)]);
        check("incr a", &[("a", Need::BOTH)]);
        check("copy a b", &[("a", Need::READ), ("b", Need::WRITE)]);
        check("lmove a b left right", &[("a", Need::BOTH), ("b", Need::WRITE)]);
        check("sort a store b", &[("a", Need::READ), ("b", Need::WRITE)]);
        check("zunionstore d 2 a b", &[("d", Need::WRITE), ("a", Need::READ), ("b", Need::READ)]);
    }

    /// As Redis takes it from the flags of a key.
    fn need_of(flags: &[&str]) -> Need {
        flags.iter().fold(Need::NOTHING, |need, flag| match *flag {
            "access" => need.with(Need::READ),
            "insert" | "update" | "delete" => need.with(Need::WRITE),
            _ => need,
        })
    }

    #[test]
    fn what_a_command_does_with_its_keys_is_what_command_info_says() {
        let mut compared = 0;
        let named = table().iter().flat_map(|spec| {
            let subs = subcommands(spec).map(|sub| sub.name.split_once('|').map_or("", |(_, name)| name));
            let subs: Vec<_> = subs.map(|sub| vec![spec.name, sub]).collect();
            if subs.is_empty() { vec![vec![spec.name]] } else { subs }
        });
        // What is no operation of a `BITFIELD` may change something: below.
        for words in named.filter(|words| words[0] != "bitfield") {
            for fill in [["2", "a", "b", "store", "c", "d"], ["a", "1", "b", "x", "y", "z"], ["streams"; 6]] {
                for most in 0..=6 {
                    // Each in a place of its own: that tells two that read the same apart.
                    let text: Vec<String> =
                        words.iter().chain(&fill[..most]).map(|word| (*word).to_owned()).collect();
                    let args: Vec<&[u8]> = text.iter().map(String::as_bytes).collect();
                    let spec = lookup(args[0]).unwrap();
                    if spec.check_arity(args.len()).is_err()
                        || spec.named(&args).check_arity(args.len()).is_err()
                    {
                        continue;
                    }
                    let told = keys_and_flags(spec.named(&args), &args).into_iter();
                    let mut told: Vec<_> = told
                        .filter(|(_, flags)| *flags != ["not_key"])
                        .map(|(key, flags)| (key.as_ptr(), need_of(&flags).0))
                        .collect();
                    let mut ours: Vec<_> =
                        needs(spec, &args).map(|(key, need)| (key.as_ptr(), need.0)).collect();
                    told.sort_unstable();
                    ours.sort_unstable();
                    compared += ours.len();
                    assert_eq!(ours, told, "{text:?}");
                }
            }
        }
        assert!(compared > 1_000, "{compared}");
    }

    #[test]
    fn a_bitfield_that_only_gets_reads() {
        check("bitfield a get u8 0", &[("a", Need::READ)]);
        check("bitfield a get u8 0 overflow sat get u8 8", &[("a", Need::READ)]);
        check("bitfield a get u8 0 set u8 0 1", &[("a", Need::BOTH)]);
        check("bitfield a get u8", &[("a", Need::BOTH)]);
    }
}
