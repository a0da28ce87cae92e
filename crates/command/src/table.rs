//! The commands that exist. Arity, keys and flags are those that `COMMAND INFO` of redis 7 tells.

use crate::spec::{Flags, Handler, Run, Spec};
use crate::{expire, hash, keys, list, scan, set, string, zrange, zset};
use ironcache_types::Level;

const NONE: Flags = Flags::NONE;
const WRITE: Flags = Flags::WRITE;
/// A write that may make the data larger.
const GROW: Flags = WRITE.with(Flags::DENYOOM);
const READ: Flags = Flags::READONLY;
const FAST: Flags = Flags::FAST;
const ADMIN: Flags = Flags::ADMIN;
/// What a node answers in any state.
const ANY: Flags = Flags::LOADING.with(Flags::STALE);
const CONTROL: Flags = ANY.with(Flags::NOSCRIPT);
const NO_AUTH: Flags = Flags::NO_AUTH;

/// First key, last key, step.
type Keys = (usize, i32, usize);
const NO_KEYS: Keys = (0, 0, 0);
const ONE_KEY: Keys = (1, 1, 1);
const TWO_KEYS: Keys = (1, 2, 1);
const ALL_KEYS: Keys = (1, -1, 1);
const KEYS_AND_VALUES: Keys = (1, -1, 2);

/// Every command, with its group together.
pub fn table() -> &'static [Spec] {
    TABLE
}

// A row a line.
#[rustfmt::skip]
pub(crate) const TABLE: &[Spec] = &[
    data(string::get, row("get", 2, READ.with(FAST), ONE_KEY, "string", "1.0.0", "Returns the string value of a key.")),
    data(string::set, row("set", -3, GROW, ONE_KEY, "string", "1.0.0", "Sets the string value of a key, whatever it held.")),
    data(string::setnx, row("setnx", 3, GROW.with(FAST), ONE_KEY, "string", "1.0.0", "Sets the string value of a key if it does not exist.")),
    data(string::setex, row("setex", 4, GROW, ONE_KEY, "string", "2.0.0", "Sets the string value and the expiry of a key, in seconds.")),
    data(string::psetex, row("psetex", 4, GROW, ONE_KEY, "string", "2.6.0", "Sets the string value and the expiry of a key, in milliseconds.")),
    data(string::getset, row("getset", 3, GROW.with(FAST), ONE_KEY, "string", "1.0.0", "Sets the string value of a key and returns the previous one.")),
    data(string::getdel, row("getdel", 2, WRITE.with(FAST), ONE_KEY, "string", "6.2.0", "Returns the string value of a key and deletes it.")),
    data(string::getex, row("getex", -2, WRITE.with(FAST), ONE_KEY, "string", "6.2.0", "Returns the string value of a key and sets its expiry.")),
    data(string::mget, row("mget", -2, READ.with(FAST), ALL_KEYS, "string", "1.0.0", "Returns the string values of several keys.")),
    data(string::mset, row("mset", -3, GROW, KEYS_AND_VALUES, "string", "1.0.1", "Sets the string values of several keys.")),
    data(string::msetnx, row("msetnx", -3, GROW, KEYS_AND_VALUES, "string", "1.0.1", "Sets the string values of several keys if none of them exists.")),
    data(string::append, row("append", 3, GROW.with(FAST), ONE_KEY, "string", "2.0.0", "Appends to the string value of a key.")),
    data(string::strlen, row("strlen", 2, READ.with(FAST), ONE_KEY, "string", "2.2.0", "Returns the length of a string value.")),
    data(string::incr, row("incr", 2, GROW.with(FAST), ONE_KEY, "string", "1.0.0", "Adds one to the integer value of a key.")),
    data(string::decr, row("decr", 2, GROW.with(FAST), ONE_KEY, "string", "1.0.0", "Subtracts one from the integer value of a key.")),
    data(string::incrby, row("incrby", 3, GROW.with(FAST), ONE_KEY, "string", "1.0.0", "Adds to the integer value of a key.")),
    data(string::decrby, row("decrby", 3, GROW.with(FAST), ONE_KEY, "string", "1.0.0", "Subtracts from the integer value of a key.")),
    data(string::incrbyfloat, row("incrbyfloat", 3, GROW.with(FAST), ONE_KEY, "string", "2.6.0", "Adds to the floating point value of a key.")),
    data(string::getrange, row("getrange", 4, READ, ONE_KEY, "string", "2.4.0", "Returns a part of a string value.")),
    data(string::setrange, row("setrange", 4, GROW, ONE_KEY, "string", "2.2.0", "Overwrites a part of a string value.")),
    data(keys::del, row("del", -2, WRITE, ALL_KEYS, "generic", "1.0.0", "Deletes keys.")),
    data(keys::del, row("unlink", -2, WRITE.with(FAST), ALL_KEYS, "generic", "4.0.0", "Deletes keys.")),
    data(keys::exists, row("exists", -2, READ.with(FAST), ALL_KEYS, "generic", "1.0.0", "Counts which of the keys exist.")),
    data(keys::exists, row("touch", -2, READ.with(FAST), ALL_KEYS, "generic", "3.2.1", "Counts which of the keys exist.")),
    data(keys::type_, row("type", 2, READ.with(FAST), ONE_KEY, "generic", "1.0.0", "Returns the type of the value of a key.")),
    data(keys::rename, row("rename", 3, WRITE, TWO_KEYS, "generic", "1.0.0", "Renames a key, overwriting the destination.")),
    data(keys::renamenx, row("renamenx", 3, WRITE.with(FAST), TWO_KEYS, "generic", "1.0.0", "Renames a key if the new name is free.")),
    data(keys::keys, row("keys", 2, READ, NO_KEYS, "generic", "1.0.0", "Returns the names of all keys that match a pattern.")),
    data(scan::scan, row("scan", -2, READ, NO_KEYS, "generic", "2.8.0", "Iterates over the names of the keys.")),
    data(keys::randomkey, row("randomkey", 1, READ, NO_KEYS, "generic", "1.0.0", "Returns the name of a random key.")),
    data(expire::expire, row("expire", -3, WRITE.with(FAST), ONE_KEY, "generic", "1.0.0", "Sets the expiry of a key, in seconds.")),
    data(expire::pexpire, row("pexpire", -3, WRITE.with(FAST), ONE_KEY, "generic", "2.6.0", "Sets the expiry of a key, in milliseconds.")),
    data(expire::expireat, row("expireat", -3, WRITE.with(FAST), ONE_KEY, "generic", "1.2.0", "Sets the expiry of a key, as a Unix time in seconds.")),
    data(expire::pexpireat, row("pexpireat", -3, WRITE.with(FAST), ONE_KEY, "generic", "2.6.0", "Sets the expiry of a key, as a Unix time in milliseconds.")),
    data(expire::ttl, row("ttl", 2, READ.with(FAST), ONE_KEY, "generic", "1.0.0", "Returns the time until a key expires, in seconds.")),
    data(expire::pttl, row("pttl", 2, READ.with(FAST), ONE_KEY, "generic", "2.6.0", "Returns the time until a key expires, in milliseconds.")),
    data(expire::expiretime, row("expiretime", 2, READ.with(FAST), ONE_KEY, "generic", "7.0.0", "Returns when a key expires, as a Unix time in seconds.")),
    data(expire::pexpiretime, row("pexpiretime", 2, READ.with(FAST), ONE_KEY, "generic", "7.0.0", "Returns when a key expires, as a Unix time in milliseconds.")),
    data(expire::persist, row("persist", 2, WRITE.with(FAST), ONE_KEY, "generic", "2.2.0", "Removes the expiry of a key.")),
    data(keys::dbsize, row("dbsize", 1, READ.with(FAST), NO_KEYS, "server", "1.0.0", "Returns the number of keys.")),
    data(keys::flush, row("flushall", -1, WRITE, NO_KEYS, "server", "1.0.0", "Deletes all keys.")),
    data(keys::flush, row("flushdb", -1, WRITE, NO_KEYS, "server", "1.0.0", "Deletes all keys.")),
    data(hash::hset, row("hset", -4, GROW.with(FAST), ONE_KEY, "hash", "2.0.0", "Sets fields of a hash.")),
    data(hash::hmset, row("hmset", -4, GROW.with(FAST), ONE_KEY, "hash", "2.0.0", "Sets fields of a hash.")),
    data(hash::hsetnx, row("hsetnx", 4, GROW.with(FAST), ONE_KEY, "hash", "2.0.0", "Sets a field of a hash if it does not exist.")),
    data(hash::hget, row("hget", 3, READ.with(FAST), ONE_KEY, "hash", "2.0.0", "Returns the value of a field of a hash.")),
    data(hash::hmget, row("hmget", -3, READ.with(FAST), ONE_KEY, "hash", "2.0.0", "Returns the values of several fields of a hash.")),
    data(hash::hgetall, row("hgetall", 2, READ, ONE_KEY, "hash", "2.0.0", "Returns all fields and values of a hash.")),
    data(hash::hkeys, row("hkeys", 2, READ, ONE_KEY, "hash", "2.0.0", "Returns all fields of a hash.")),
    data(hash::hvals, row("hvals", 2, READ, ONE_KEY, "hash", "2.0.0", "Returns all values of a hash.")),
    data(hash::hdel, row("hdel", -3, WRITE.with(FAST), ONE_KEY, "hash", "2.0.0", "Deletes fields of a hash.")),
    data(hash::hlen, row("hlen", 2, READ.with(FAST), ONE_KEY, "hash", "2.0.0", "Returns the number of fields of a hash.")),
    data(hash::hexists, row("hexists", 3, READ.with(FAST), ONE_KEY, "hash", "2.0.0", "Tells whether a field exists in a hash.")),
    data(hash::hstrlen, row("hstrlen", 3, READ.with(FAST), ONE_KEY, "hash", "3.2.0", "Returns the length of the value of a field.")),
    data(hash::hincrby, row("hincrby", 4, GROW.with(FAST), ONE_KEY, "hash", "2.0.0", "Adds to the integer value of a field.")),
    data(hash::hincrbyfloat, row("hincrbyfloat", 4, GROW.with(FAST), ONE_KEY, "hash", "2.6.0", "Adds to the floating point value of a field.")),
    data(scan::hscan, row("hscan", -3, READ, ONE_KEY, "hash", "2.8.0", "Iterates over the fields and values of a hash.")),
    data(list::lpush, row("lpush", -3, GROW.with(FAST), ONE_KEY, "list", "1.0.0", "Prepends elements to a list.")),
    data(list::rpush, row("rpush", -3, GROW.with(FAST), ONE_KEY, "list", "1.0.0", "Appends elements to a list.")),
    data(list::lpushx, row("lpushx", -3, GROW.with(FAST), ONE_KEY, "list", "2.2.0", "Prepends elements to a list that exists.")),
    data(list::rpushx, row("rpushx", -3, GROW.with(FAST), ONE_KEY, "list", "2.2.0", "Appends elements to a list that exists.")),
    data(list::lpop, row("lpop", -2, WRITE.with(FAST), ONE_KEY, "list", "1.0.0", "Removes and returns the first elements of a list.")),
    data(list::rpop, row("rpop", -2, WRITE.with(FAST), ONE_KEY, "list", "1.0.0", "Removes and returns the last elements of a list.")),
    data(list::llen, row("llen", 2, READ.with(FAST), ONE_KEY, "list", "1.0.0", "Returns the length of a list.")),
    data(list::lrange, row("lrange", 4, READ, ONE_KEY, "list", "1.0.0", "Returns a range of elements of a list.")),
    data(list::lindex, row("lindex", 3, READ, ONE_KEY, "list", "1.0.0", "Returns an element of a list by its index.")),
    data(list::lset, row("lset", 4, GROW, ONE_KEY, "list", "1.0.0", "Sets an element of a list by its index.")),
    data(list::ltrim, row("ltrim", 4, WRITE, ONE_KEY, "list", "1.0.0", "Keeps a range of elements of a list.")),
    data(list::lrem, row("lrem", 4, WRITE, ONE_KEY, "list", "1.0.0", "Removes elements of a list by their value.")),
    data(list::linsert, row("linsert", 5, GROW, ONE_KEY, "list", "2.2.0", "Inserts an element before or after another one.")),
    data(set::sadd, row("sadd", -3, GROW.with(FAST), ONE_KEY, "set", "1.0.0", "Adds members to a set.")),
    data(set::srem, row("srem", -3, WRITE.with(FAST), ONE_KEY, "set", "1.0.0", "Removes members of a set.")),
    data(set::smembers, row("smembers", 2, READ, ONE_KEY, "set", "1.0.0", "Returns all members of a set.")),
    data(set::sismember, row("sismember", 3, READ.with(FAST), ONE_KEY, "set", "1.0.0", "Tells whether a member belongs to a set.")),
    data(set::smismember, row("smismember", -3, READ.with(FAST), ONE_KEY, "set", "6.2.0", "Tells which members belong to a set.")),
    data(set::scard, row("scard", 2, READ.with(FAST), ONE_KEY, "set", "1.0.0", "Returns the number of members of a set.")),
    data(set::spop, row("spop", -2, WRITE.with(FAST), ONE_KEY, "set", "1.0.0", "Removes and returns random members of a set.")),
    data(set::srandmember, row("srandmember", -2, READ, ONE_KEY, "set", "1.0.0", "Returns random members of a set.")),
    data(set::sinter, row("sinter", -2, READ, ALL_KEYS, "set", "1.0.0", "Returns the intersection of sets.")),
    data(set::sunion, row("sunion", -2, READ, ALL_KEYS, "set", "1.0.0", "Returns the union of sets.")),
    data(set::sdiff, row("sdiff", -2, READ, ALL_KEYS, "set", "1.0.0", "Returns the difference of sets.")),
    data(scan::sscan, row("sscan", -3, READ, ONE_KEY, "set", "2.8.0", "Iterates over the members of a set.")),
    data(zset::zadd, row("zadd", -4, GROW.with(FAST), ONE_KEY, "sorted-set", "1.2.0", "Adds members to a sorted set, or updates their scores.")),
    data(zset::zincrby, row("zincrby", 4, GROW.with(FAST), ONE_KEY, "sorted-set", "1.2.0", "Adds to the score of a member.")),
    data(zset::zrem, row("zrem", -3, WRITE.with(FAST), ONE_KEY, "sorted-set", "1.2.0", "Removes members of a sorted set.")),
    data(zset::zcard, row("zcard", 2, READ.with(FAST), ONE_KEY, "sorted-set", "1.2.0", "Returns the number of members of a sorted set.")),
    data(zset::zscore, row("zscore", 3, READ.with(FAST), ONE_KEY, "sorted-set", "1.2.0", "Returns the score of a member.")),
    data(zset::zmscore, row("zmscore", -3, READ.with(FAST), ONE_KEY, "sorted-set", "6.2.0", "Returns the scores of several members.")),
    data(zset::zrank, row("zrank", -3, READ.with(FAST), ONE_KEY, "sorted-set", "2.0.0", "Returns the rank of a member, from the lowest score.")),
    data(zset::zrevrank, row("zrevrank", -3, READ.with(FAST), ONE_KEY, "sorted-set", "2.0.0", "Returns the rank of a member, from the highest score.")),
    data(zset::zpopmin, row("zpopmin", -2, WRITE.with(FAST), ONE_KEY, "sorted-set", "5.0.0", "Removes and returns the members with the lowest scores.")),
    data(zset::zpopmax, row("zpopmax", -2, WRITE.with(FAST), ONE_KEY, "sorted-set", "5.0.0", "Removes and returns the members with the highest scores.")),
    data(zrange::zrange, row("zrange", -4, READ, ONE_KEY, "sorted-set", "1.2.0", "Returns members of a sorted set within a range.")),
    data(zrange::zrevrange, row("zrevrange", -4, READ, ONE_KEY, "sorted-set", "1.2.0", "Returns members within a range of ranks, in reverse order.")),
    data(zrange::zrangebyscore, row("zrangebyscore", -4, READ, ONE_KEY, "sorted-set", "1.0.5", "Returns members within a range of scores.")),
    data(zrange::zrevrangebyscore, row("zrevrangebyscore", -4, READ, ONE_KEY, "sorted-set", "2.2.0", "Returns members within a range of scores, in reverse order.")),
    data(zrange::zrangebylex, row("zrangebylex", -4, READ, ONE_KEY, "sorted-set", "2.8.9", "Returns members within a lexicographical range.")),
    data(zrange::zrevrangebylex, row("zrevrangebylex", -4, READ, ONE_KEY, "sorted-set", "2.8.9", "Returns members within a lexicographical range, in reverse order.")),
    data(zrange::zcount, row("zcount", 4, READ.with(FAST), ONE_KEY, "sorted-set", "2.0.0", "Counts the members within a range of scores.")),
    data(zrange::zlexcount, row("zlexcount", 4, READ.with(FAST), ONE_KEY, "sorted-set", "2.8.9", "Counts the members within a lexicographical range.")),
    data(zrange::zremrangebyrank, row("zremrangebyrank", 4, WRITE, ONE_KEY, "sorted-set", "2.0.0", "Removes the members within a range of ranks.")),
    data(zrange::zremrangebyscore, row("zremrangebyscore", 4, WRITE, ONE_KEY, "sorted-set", "1.2.0", "Removes the members within a range of scores.")),
    data(zrange::zremrangebylex, row("zremrangebylex", 4, WRITE, ONE_KEY, "sorted-set", "2.8.9", "Removes the members within a lexicographical range.")),
    data(scan::zscan, row("zscan", -3, READ, ONE_KEY, "sorted-set", "2.8.0", "Iterates over the members and scores of a sorted set.")),
    row("ping", -1, FAST, NO_KEYS, "connection", "1.0.0", "Returns its argument, or PONG."),
    row("echo", 2, FAST, NO_KEYS, "connection", "1.0.0", "Returns its argument."),
    row("hello", -1, CONTROL.with(FAST).with(NO_AUTH), NO_KEYS, "connection", "6.0.0", "Chooses the protocol, and authenticates."),
    row("auth", -2, CONTROL.with(FAST).with(NO_AUTH), NO_KEYS, "connection", "1.0.0", "Authenticates the connection."),
    row("select", 2, ANY.with(FAST), NO_KEYS, "connection", "1.0.0", "Chooses the database; there is only 0."),
    row("quit", -1, CONTROL.with(FAST).with(NO_AUTH), NO_KEYS, "connection", "1.0.0", "Closes the connection."),
    row("reset", 1, CONTROL.with(FAST).with(NO_AUTH), NO_KEYS, "connection", "6.2.0", "Resets the connection."),
    row("client", -2, ANY, NO_KEYS, "connection", "2.4.0", "Tells and changes facts about connections."),
    row("command", -1, ANY, NO_KEYS, "server", "2.8.13", "Tells about commands."),
    row("info", -1, ANY, NO_KEYS, "server", "1.0.0", "Tells about the server."),
    row("config", -2, ADMIN.with(CONTROL), NO_KEYS, "server", "2.0.0", "Reads and changes the configuration."),
    row("time", 1, ANY.with(FAST), NO_KEYS, "server", "2.6.0", "Returns the time of the server."),
    row("role", 1, CONTROL.with(FAST), NO_KEYS, "server", "2.8.12", "Returns the replication role."),
    row("shutdown", -1, ADMIN.with(CONTROL), NO_KEYS, "server", "1.0.0", "Stops the server."),
    row("multi", 1, CONTROL.with(FAST), NO_KEYS, "transactions", "1.2.0", "Starts a transaction."),
    row("exec", 1, CONTROL, NO_KEYS, "transactions", "1.2.0", "Executes the commands of a transaction."),
    row("discard", 1, CONTROL.with(FAST), NO_KEYS, "transactions", "2.0.0", "Discards a transaction."),
    row("watch", -2, CONTROL.with(FAST), ALL_KEYS, "transactions", "2.2.0", "Lets the transaction fail if the keys change before it."),
    row("unwatch", 1, CONTROL.with(FAST), NO_KEYS, "transactions", "2.2.0", "Forgets the watched keys."),
    row("readonly", 1, ANY.with(FAST), NO_KEYS, "cluster", "3.0.0", "Allows reads from a replica on this connection."),
    row("readwrite", 1, ANY.with(FAST), NO_KEYS, "cluster", "3.0.0", "Forbids reads from a replica on this connection."),
    row("asking", 1, FAST, NO_KEYS, "cluster", "3.0.0", "Allows the next command on a slot that is being imported."),
    row("cluster", -2, ANY, NO_KEYS, "cluster", "3.0.0", "Tells about the cluster."),
    row("monitor", 1, ADMIN.with(CONTROL), NO_KEYS, "server", "1.0.0", "Shows every command that is executed."),
    row("wait", 3, NONE, NO_KEYS, "generic", "3.0.0", "Waits until replicas have applied what this connection wrote."),
    #[cfg(feature = "next")]
    at(ironcache_types::NEXT, data(crate::next::touch, row("icnext.touch", 2, GROW.with(FAST), ONE_KEY, "generic", "7.0.0", "Counts how often a key was touched."))),
];

/// A command that came with `level`.
#[cfg(feature = "next")]
const fn at(level: Level, spec: Spec) -> Spec {
    Spec { level, ..spec }
}

const fn data(handler: Handler, spec: Spec) -> Spec {
    Spec { run: Run::Data(handler), ..spec }
}

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    (first_key, last_key, step): Keys,
    group: &'static str,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    let (level, run) = (Level::FIRST, Run::Server);
    Spec { name, arity, flags, first_key, last_key, step, group, since, summary, level, run }
}
