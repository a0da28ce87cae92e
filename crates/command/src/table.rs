//! The commands that exist. Arity, keys and flags are those that `COMMAND INFO` of redis 7 tells.

use crate::spec::{Flags, Handler, MoreKeys, Run, Spec};
use crate::subcommands::has_subcommands;
use crate::{
    bitfield, bits, blocking, copy, dump, expire, geo, geosearch, hash, keys, lcs, list, listmove, pf, scan,
    set, setops, sort, stream, string, zpick, zrange, zset, zstore,
};
use ironcache_types::Level;

const NONE: Flags = Flags::NONE;
const WRITE: Flags = Flags::WRITE;
/// A write that may make the data larger.
const GROW: Flags = WRITE.with(Flags::DENYOOM);
const READ: Flags = Flags::READONLY;
const FAST: Flags = Flags::FAST;
pub(crate) const ADMIN: Flags = Flags::ADMIN;
/// What a node answers in any state.
pub(crate) const ANY: Flags = Flags::LOADING.with(Flags::STALE);
pub(crate) const CONTROL: Flags = ANY.with(Flags::NOSCRIPT);
const SCRIPT: Flags = Flags::NOSCRIPT.with(Flags::STALE);
const NO_AUTH: Flags = Flags::NO_AUTH;
pub(crate) const CHANNELS: Flags = ANY.with(Flags::PUBSUB);
const LISTEN: Flags = CONTROL.with(Flags::PUBSUB);

/// First key, last key, step.
pub(crate) type Keys = (usize, i32, usize);
pub(crate) const NO_KEYS: Keys = (0, 0, 0);
pub(crate) const SECOND_KEY: Keys = (2, 2, 1);
const ONE_KEY: Keys = (1, 1, 1);
const TWO_KEYS: Keys = (1, 2, 1);
/// Behind a subcommand.
const ALL_KEYS: Keys = (1, -1, 1);
const KEYS_AND_VALUES: Keys = (1, -1, 2);

/// Every command: those of a level together, and of a level those of a group.
pub fn table() -> &'static [Spec] {
    &TABLE
}

pub(crate) const TABLE_LEN: usize = ROWS.len();

/// The rows, each with its number, and told whether it has subcommands.
pub(crate) static TABLE: [Spec; TABLE_LEN] = {
    let mut table = [ROWS[0]; TABLE_LEN];
    let mut i = 0;
    while i < TABLE_LEN {
        table[i] = Spec { number: i, is_container: has_subcommands(ROWS[i].name), ..ROWS[i] };
        i += 1;
    }
    table
};

// A row a line.
#[rustfmt::skip]
pub(crate) const ROWS: &[Spec] = &[
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
    data(keys::touch, row("touch", -2, READ.with(FAST), ALL_KEYS, "generic", "3.2.1", "Counts which of the keys exist, and uses them.")),
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
    data(setops::sinter, row("sinter", -2, READ, ALL_KEYS, "set", "1.0.0", "Returns the intersection of sets.")),
    data(setops::sunion, row("sunion", -2, READ, ALL_KEYS, "set", "1.0.0", "Returns the union of sets.")),
    data(setops::sdiff, row("sdiff", -2, READ, ALL_KEYS, "set", "1.0.0", "Returns the difference of sets.")),
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
    row("client", -2, NONE, NO_KEYS, "connection", "2.4.0", "Tells and changes facts about connections."),
    row("command", -1, ANY, NO_KEYS, "server", "2.8.13", "Tells about commands."),
    row("info", -1, ANY, NO_KEYS, "server", "1.0.0", "Tells about the server."),
    row("config", -2, NONE, NO_KEYS, "server", "2.0.0", "Reads and changes the configuration."),
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
    row("cluster", -2, NONE, NO_KEYS, "cluster", "3.0.0", "Tells about the cluster."),
    row("wait", 3, NONE, NO_KEYS, "generic", "3.0.0", "Waits until replicas have applied what this connection wrote."),
    // Since level 2.
    two(row("acl", -2, NONE, NO_KEYS, "server", "6.0.0", "Tells and changes who may do what.")),
    two(row("monitor", 1, ADMIN.with(CONTROL), NO_KEYS, "server", "1.0.0", "Shows every command that is executed.")),
    two(row("debug", -2, ADMIN.with(CONTROL), NO_KEYS, "server", "1.0.0", "Has the node do what tests want of it.")),
    two(row("lolwut", -1, READ.with(FAST), NO_KEYS, "server", "5.0.0", "Tells the version of Redis that is offered.")),
    two(row("slowlog", -2, NONE, NO_KEYS, "server", "2.2.12", "Tells which commands were slow.")),
    two(row("latency", -2, NONE, NO_KEYS, "server", "2.8.13", "Tells what was slow, and how slow it was.")),
    two(data(listmove::lmove, row("lmove", 5, GROW, TWO_KEYS, "list", "6.2.0", "Moves an element from one list to another, and returns it."))),
    two(data(listmove::rpoplpush, row("rpoplpush", 3, GROW, TWO_KEYS, "list", "1.2.0", "Moves the last element of a list to the front of another, and returns it."))),
    two(data(listmove::lpos, row("lpos", -3, READ, ONE_KEY, "list", "6.0.6", "Returns the positions of elements by their value."))),
    two(counted(1, data(listmove::lmpop, row("lmpop", -4, WRITE, NO_KEYS, "list", "7.0.0", "Removes and returns elements of the first of several lists that has any.")))),
    two(waiting(data(blocking::blpop, row("blpop", -3, WRITE.with(Flags::NOSCRIPT), (1, -2, 1), "list", "2.0.0", "Removes and returns the first element of the first of several lists that has any, or waits for one.")))),
    two(waiting(data(blocking::brpop, row("brpop", -3, WRITE.with(Flags::NOSCRIPT), (1, -2, 1), "list", "2.0.0", "Removes and returns the last element of the first of several lists that has any, or waits for one.")))),
    two(waiting(data(blocking::blmove, row("blmove", 6, GROW.with(Flags::NOSCRIPT), TWO_KEYS, "list", "6.2.0", "Moves an element from one list to another, and returns it, or waits for one.")))),
    two(waiting(data(blocking::brpoplpush, row("brpoplpush", 4, GROW.with(Flags::NOSCRIPT), TWO_KEYS, "list", "2.2.0", "Moves the last element of a list to the front of another, and returns it, or waits for one.")))),
    two(waiting(counted(2, data(blocking::blmpop, row("blmpop", -5, WRITE, NO_KEYS, "list", "7.0.0", "Removes and returns elements of the first of several lists that has any, or waits for one."))))),
    two(data(setops::smove, row("smove", 4, WRITE.with(FAST), TWO_KEYS, "set", "1.0.0", "Moves a member from one set to another."))),
    two(counted(1, data(setops::sintercard, row("sintercard", -3, READ, NO_KEYS, "set", "7.0.0", "Counts the members of an intersection of sets.")))),
    two(data(setops::sunionstore, row("sunionstore", -3, GROW, ALL_KEYS, "set", "1.0.0", "Stores the union of sets."))),
    two(data(setops::sinterstore, row("sinterstore", -3, GROW, ALL_KEYS, "set", "1.0.0", "Stores the intersection of sets."))),
    two(data(setops::sdiffstore, row("sdiffstore", -3, GROW, ALL_KEYS, "set", "1.0.0", "Stores the difference of sets."))),
    two(counted(1, data(zstore::zunion, row("zunion", -3, READ, NO_KEYS, "sorted-set", "6.2.0", "Returns the union of sorted sets.")))),
    two(counted(1, data(zstore::zinter, row("zinter", -3, READ, NO_KEYS, "sorted-set", "6.2.0", "Returns the intersection of sorted sets.")))),
    two(counted(1, data(zstore::zdiff, row("zdiff", -3, READ, NO_KEYS, "sorted-set", "6.2.0", "Returns the difference of sorted sets.")))),
    two(counted(2, data(zstore::zunionstore, row("zunionstore", -4, GROW, ONE_KEY, "sorted-set", "2.0.0", "Stores the union of sorted sets.")))),
    two(counted(2, data(zstore::zinterstore, row("zinterstore", -4, GROW, ONE_KEY, "sorted-set", "2.0.0", "Stores the intersection of sorted sets.")))),
    two(counted(2, data(zstore::zdiffstore, row("zdiffstore", -4, GROW, ONE_KEY, "sorted-set", "6.2.0", "Stores the difference of sorted sets.")))),
    two(counted(1, data(zstore::zintercard, row("zintercard", -3, READ, NO_KEYS, "sorted-set", "7.0.0", "Counts the members of an intersection of sorted sets.")))),
    two(data(zrange::zrangestore, row("zrangestore", -5, GROW, TWO_KEYS, "sorted-set", "6.2.0", "Stores a range of members of a sorted set."))),
    two(counted(1, data(zpick::zmpop, row("zmpop", -4, WRITE, NO_KEYS, "sorted-set", "7.0.0", "Removes and returns the outermost members of the first of several sorted sets that has any.")))),
    two(waiting(data(blocking::bzpopmin, row("bzpopmin", -3, WRITE.with(FAST).with(Flags::NOSCRIPT), (1, -2, 1), "sorted-set", "5.0.0", "Removes and returns the member with the lowest score of the first of several sorted sets that has any, or waits for one.")))),
    two(waiting(data(blocking::bzpopmax, row("bzpopmax", -3, WRITE.with(FAST).with(Flags::NOSCRIPT), (1, -2, 1), "sorted-set", "5.0.0", "Removes and returns the member with the highest score of the first of several sorted sets that has any, or waits for one.")))),
    two(waiting(counted(2, data(blocking::bzmpop, row("bzmpop", -5, WRITE, NO_KEYS, "sorted-set", "7.0.0", "Removes and returns the outermost members of the first of several sorted sets that has any, or waits for one."))))),
    two(data(zpick::zrandmember, row("zrandmember", -2, READ, ONE_KEY, "sorted-set", "6.2.0", "Returns random members of a sorted set."))),
    two(data(hash::hrandfield, row("hrandfield", -2, READ, ONE_KEY, "hash", "6.2.0", "Returns random fields of a hash."))),
    two(data(copy::copy, row("copy", -3, GROW, TWO_KEYS, "generic", "6.2.0", "Copies the value of a key to another key."))),
    two(data(string::getrange, row("substr", 4, READ, ONE_KEY, "string", "1.0.0", "Returns a part of a string value."))),
    two(data(lcs::lcs, row("lcs", -3, READ, TWO_KEYS, "string", "7.0.0", "Finds the longest common subsequence of two strings."))),
    two(stored(2, &["store"], &[("limit", 2), ("get", 1), ("by", 1)], data(sort::sort_command, row("sort", -2, GROW, ONE_KEY, "generic", "1.0.0", "Sorts the elements of a list, a set or a sorted set, and may store the result.")))),
    two(data(sort::sort_ro, row("sort_ro", -2, READ.with(Flags::MOVABLE_KEYS), ONE_KEY, "generic", "7.0.0", "Returns the elements of a list, a set or a sorted set, sorted."))),
    two(data(bits::setbit, row("setbit", 4, GROW, ONE_KEY, "bitmap", "2.2.0", "Sets or clears a bit of a string value."))),
    two(data(bits::getbit, row("getbit", 3, READ.with(FAST), ONE_KEY, "bitmap", "2.2.0", "Returns a bit of a string value."))),
    two(data(bits::bitcount, row("bitcount", -2, READ, ONE_KEY, "bitmap", "2.6.0", "Counts the bits that are set in a string value."))),
    two(data(bits::bitpos, row("bitpos", -3, READ, ONE_KEY, "bitmap", "2.8.7", "Finds the first bit that is set, or clear, in a string value."))),
    two(data(bits::bitop, row("bitop", -4, GROW, (2, -1, 1), "bitmap", "2.6.0", "Stores what strings make bit by bit."))),
    two(data(bitfield::bitfield, row("bitfield", -2, GROW, ONE_KEY, "bitmap", "3.2.0", "Reads and writes integers of any width in a string value."))),
    two(data(bitfield::bitfield_ro, row("bitfield_ro", -2, READ.with(FAST), ONE_KEY, "bitmap", "6.0.0", "Reads integers of any width in a string value."))),
    two(data(pf::pfadd, row("pfadd", -2, GROW.with(FAST), ONE_KEY, "hyperloglog", "2.8.9", "Adds elements to a HyperLogLog."))),
    two(data(pf::pfcount, row("pfcount", -2, READ, ALL_KEYS, "hyperloglog", "2.8.9", "Estimates how many different elements HyperLogLogs were shown."))),
    two(data(pf::pfmerge, row("pfmerge", -2, GROW, ALL_KEYS, "hyperloglog", "2.8.9", "Merges HyperLogLogs into one."))),
    two(data(geo::geoadd, row("geoadd", -5, GROW, ONE_KEY, "geo", "3.2.0", "Adds places to a sorted set."))),
    two(data(geo::geodist, row("geodist", -4, READ, ONE_KEY, "geo", "3.2.0", "Returns the distance between two places."))),
    two(data(geo::geohash, row("geohash", -2, READ, ONE_KEY, "geo", "3.2.0", "Returns places as geohash strings."))),
    two(data(geo::geopos, row("geopos", -2, READ, ONE_KEY, "geo", "3.2.0", "Returns the longitudes and latitudes of places."))),
    two(stored(5, &["store", "storedist"], &[], data(geosearch::georadius, row("georadius", -6, GROW, ONE_KEY, "geo", "3.2.0", "Finds places around a place, and may store them.")))),
    two(data(geosearch::georadius_ro, row("georadius_ro", -6, READ, ONE_KEY, "geo", "3.2.10", "Finds places around a place."))),
    two(stored(5, &["store", "storedist"], &[], data(geosearch::georadiusbymember, row("georadiusbymember", -5, GROW, ONE_KEY, "geo", "3.2.0", "Finds places around a member, and may store them.")))),
    two(data(geosearch::georadiusbymember_ro, row("georadiusbymember_ro", -5, READ, ONE_KEY, "geo", "3.2.10", "Finds places around a member."))),
    two(data(geosearch::geosearch, row("geosearch", -7, READ, ONE_KEY, "geo", "6.2.0", "Finds places in a circle or a box."))),
    two(data(geosearch::geosearchstore, row("geosearchstore", -8, GROW, TWO_KEYS, "geo", "6.2.0", "Stores the places in a circle or a box."))),
    two(data(dump::dump, row("dump", 2, READ, ONE_KEY, "generic", "2.6.0", "Returns the value of a key as bytes that RESTORE reads."))),
    two(data(dump::restore, row("restore", -4, GROW, ONE_KEY, "generic", "2.6.0", "Creates a key from what DUMP returned."))),
    two(row("publish", 3, CHANNELS.with(FAST), NO_KEYS, "pubsub", "2.0.0", "Sends a message to who listens to a channel.")),
    two(row("spublish", 3, CHANNELS.with(FAST), ONE_KEY, "pubsub", "7.0.0", "Sends a message to who listens to a channel of the shard.")),
    two(row("subscribe", -2, LISTEN, NO_KEYS, "pubsub", "2.0.0", "Listens to channels.")),
    two(row("psubscribe", -2, LISTEN, NO_KEYS, "pubsub", "2.0.0", "Listens to all channels that match patterns.")),
    two(row("ssubscribe", -2, LISTEN, ALL_KEYS, "pubsub", "7.0.0", "Listens to channels of the shard.")),
    two(row("unsubscribe", -1, LISTEN, NO_KEYS, "pubsub", "2.0.0", "Stops listening to channels.")),
    two(row("punsubscribe", -1, LISTEN, NO_KEYS, "pubsub", "2.0.0", "Stops listening to patterns.")),
    two(row("sunsubscribe", -1, LISTEN, ALL_KEYS, "pubsub", "7.0.0", "Stops listening to channels of the shard.")),
    two(row("pubsub", -2, NONE, NO_KEYS, "pubsub", "2.8.0", "Tells what clients of this node listen to.")),
    two(under(&["encoding", "freq", "idletime", "refcount"], row("object", -2, NONE, NO_KEYS, "generic", "2.2.3", "Tells how a key is held and used."))),
    two(under(&["usage"], row("memory", -2, NONE, NO_KEYS, "server", "4.0.0", "Tells what memory is used for."))),
    two(data(stream::xadd, row("xadd", -5, GROW.with(FAST), ONE_KEY, "stream", "5.0.0", "Appends an entry to a stream, and may trim it."))),
    two(data(stream::xlen, row("xlen", 2, READ.with(FAST), ONE_KEY, "stream", "5.0.0", "Returns the number of entries of a stream."))),
    two(data(stream::xrange, row("xrange", -4, READ, ONE_KEY, "stream", "5.0.0", "Returns the entries of a stream between two ids."))),
    two(data(stream::xrevrange, row("xrevrange", -4, READ, ONE_KEY, "stream", "5.0.0", "Returns the entries of a stream between two ids, the last first."))),
    two(data(stream::xdel, row("xdel", -3, WRITE.with(FAST), ONE_KEY, "stream", "5.0.0", "Deletes entries of a stream."))),
    two(data(stream::xtrim, row("xtrim", -4, WRITE, ONE_KEY, "stream", "5.0.0", "Deletes the first entries of a stream, down to a length or an id."))),
    two(data(stream::xsetid, row("xsetid", -3, GROW.with(FAST), ONE_KEY, "stream", "5.0.0", "Sets the last id of a stream, and what it has counted."))),
    two(reading(data(stream::xread, row("xread", -4, READ, NO_KEYS, "stream", "5.0.0", "Returns the entries of streams after an id of each.")))),
    two(reading(data(stream::xreadgroup, row("xreadgroup", -7, WRITE, NO_KEYS, "stream", "5.0.0", "Gives entries of streams to a consumer of a group.")))),
    two(data(stream::xgroup, row("xgroup", -2, WRITE, SECOND_KEY, "stream", "5.0.0", "Creates, changes and removes groups of a stream and their consumers."))),
    two(data(stream::xack, row("xack", -4, WRITE.with(FAST), ONE_KEY, "stream", "5.0.0", "Takes entries off what is pending in a group."))),
    two(data(stream::xpending, row("xpending", -3, READ, ONE_KEY, "stream", "5.0.0", "Tells what is pending in a group."))),
    two(data(stream::xclaim, row("xclaim", -6, WRITE.with(FAST), ONE_KEY, "stream", "5.0.0", "Makes pending entries those of another consumer."))),
    two(data(stream::xautoclaim, row("xautoclaim", -6, WRITE.with(FAST), ONE_KEY, "stream", "6.2.0", "Makes entries that are pending for long those of another consumer."))),
    two(data(stream::xinfo, row("xinfo", -2, READ, SECOND_KEY, "stream", "5.0.0", "Tells of a stream, its groups or their consumers."))),
    two(counted(2, row("eval", -3, SCRIPT, NO_KEYS, "scripting", "2.6.0", "Runs a script."))),
    two(counted(2, row("evalsha", -3, SCRIPT, NO_KEYS, "scripting", "2.6.0", "Runs a script that the node knows, by its digest."))),
    two(counted(2, row("eval_ro", -3, SCRIPT.with(READ), NO_KEYS, "scripting", "7.0.0", "Runs a script that only reads."))),
    two(counted(2, row("evalsha_ro", -3, SCRIPT.with(READ), NO_KEYS, "scripting", "7.0.0", "Runs a script that only reads, and that the node knows, by its digest."))),
    two(row("script", -2, NONE, NO_KEYS, "scripting", "2.6.0", "Keeps, tells of and ends scripts.")),
    two(counted(2, row("fcall", -3, SCRIPT, NO_KEYS, "scripting", "7.0.0", "Calls a function of a library."))),
    two(counted(2, row("fcall_ro", -3, SCRIPT.with(READ), NO_KEYS, "scripting", "7.0.0", "Calls a function of a library that only reads."))),
    two(row("function", -2, NONE, NO_KEYS, "scripting", "7.0.0", "Loads, tells of and deletes libraries of functions.")),
    #[cfg(feature = "next")]
    at(ironcache_types::NEXT, data(crate::next::touch, row("icnext.touch", 2, GROW.with(FAST), ONE_KEY, "generic", "7.0.0", "Counts how often a key was touched."))),
];

/// A command that came with level 2.
pub(crate) const fn two(spec: Spec) -> Spec {
    at(Level(2), spec)
}

/// A command that may wait.
const fn waiting(spec: Spec) -> Spec {
    Spec { flags: spec.flags.with(Flags::BLOCKING), ..spec }
}

/// A command whose keys are counted by the argument at this position, and follow it.
const fn counted(at: usize, spec: Spec) -> Spec {
    moving(MoreKeys::Counted(at), spec)
}

/// A command of which these subcommands take a key.
const fn under(subcommands: &'static [&'static str], spec: Spec) -> Spec {
    Spec { more_keys: MoreKeys::Under(subcommands), ..spec }
}

/// A command that takes one key more behind an option; see [`MoreKeys::Option`].
const fn stored(
    from: usize,
    named: &'static [&'static str],
    skipped: &'static [(&'static str, usize)],
    spec: Spec,
) -> Spec {
    moving(MoreKeys::Option { from, named, skipped }, spec)
}

/// A command that reads streams, and may wait for entries.
const fn reading(spec: Spec) -> Spec {
    let skipped = &[("block", 1), ("count", 1), ("group", 2), ("noack", 0)];
    let spec = moving(MoreKeys::OfStreams { skipped }, spec);
    Spec { flags: spec.flags.with(Flags::BLOCKING), ..spec }
}

const fn moving(more_keys: MoreKeys, spec: Spec) -> Spec {
    Spec { more_keys, flags: spec.flags.with(Flags::MOVABLE_KEYS), ..spec }
}

/// A command that came with `level`.
const fn at(level: Level, spec: Spec) -> Spec {
    Spec { level, ..spec }
}

const fn data(handler: Handler, spec: Spec) -> Spec {
    Spec { run: Run::Data(handler), ..spec }
}

pub(crate) const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    (first_key, last_key, step): Keys,
    group: &'static str,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    let (level, run, more_keys) = (Level::FIRST, Run::Server, MoreKeys::None);
    let (number, is_container) = (0, false);
    Spec {
        name,
        arity,
        flags,
        first_key,
        last_key,
        step,
        more_keys,
        group,
        since,
        summary,
        level,
        run,
        number,
        is_container,
    }
}
