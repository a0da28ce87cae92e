//! What clients read of a command beyond its arity and keys: its categories in access control lists, and the tips by
//! which cluster clients spread it over the shards.

use crate::spec::{Flags, Spec};

impl Spec {
    /// The categories of the command, in the order of `COMMAND INFO`. They follow from group and flags.
    pub fn categories(&self) -> impl Iterator<Item = &'static str> + use<> {
        let Self { name, flags, group, .. } = *self;
        let is = |flag| flags.contains(flag);
        let admin = is(Flags::ADMIN) || name == "role";
        // What tells or takes of the whole dataset or server.
        let dangerous = admin
            || matches!(name, "keys" | "flushall" | "flushdb" | "info" | "sort" | "sort_ro" | "restore");
        let (read, write) = (is(Flags::READONLY), is(Flags::WRITE));
        // It is of the types that it sorts.
        let sorts = matches!(name, "sort" | "sort_ro");
        let connection = match group {
            // Of the commands that have subcommands, each of those is.
            "connection" => name != "client",
            "cluster" => !name.starts_with("cluster"),
            _ => name.starts_with("command") || name == "wait",
        };
        [
            (
                "@keyspace",
                matches!(group, "generic" | "server")
                    && (read || write || name == "object|help")
                    && !sorts
                    && !matches!(name, "lolwut" | "memory|usage"),
            ),
            // A script does whatever it does.
            ("@read", read && group != "scripting"),
            ("@write", write),
            ("@set", group == "set" || sorts),
            ("@sortedset", group == "sorted-set" || sorts),
            ("@list", group == "list" || sorts),
            ("@hash", group == "hash"),
            ("@string", group == "string"),
            ("@bitmap", group == "bitmap"),
            ("@hyperloglog", group == "hyperloglog"),
            ("@geo", group == "geo"),
            ("@pubsub", is(Flags::PUBSUB)),
            ("@stream", group == "stream"),
            ("@admin", admin),
            ("@fast", is(Flags::FAST)),
            ("@slow", !is(Flags::FAST)),
            ("@blocking", is(Flags::BLOCKING)),
            ("@dangerous", dangerous),
            ("@connection", connection),
            ("@transaction", group == "transactions"),
            // Of the commands that have subcommands, each of those is.
            ("@scripting", group == "scripting" && !matches!(name, "script" | "function")),
        ]
        .into_iter()
        .filter_map(|(category, holds)| holds.then_some(category))
    }

    /// The command's tips. Source: the command tips of the Redis documentation.
    pub fn tips(&self) -> &'static [&'static str] {
        match self.name {
            "mget" => &["request_policy:multi_shard"],
            "mset" => &["request_policy:multi_shard", "response_policy:all_succeeded"],
            "msetnx" => &["request_policy:multi_shard", "response_policy:agg_min"],
            "del" | "unlink" | "exists" | "touch" => {
                &["request_policy:multi_shard", "response_policy:agg_sum"]
            }
            "keys" => &["request_policy:all_shards", "nondeterministic_output_order"],
            "scan" => &["nondeterministic_output", "request_policy:special"],
            "randomkey" => &["request_policy:all_shards", "nondeterministic_output"],
            "dbsize" => &["request_policy:all_shards", "response_policy:agg_sum"],
            "flushall" | "flushdb" | "ping" => {
                &["request_policy:all_shards", "response_policy:all_succeeded"]
            }
            "wait" => &["request_policy:all_shards", "response_policy:agg_min"],
            "config|set" | "latency|reset" | "slowlog|reset" | "script|load" | "script|flush" => {
                &["request_policy:all_nodes", "response_policy:all_succeeded"]
            }
            "latency|doctor" | "latency|graph" | "latency|histogram" | "latency|history"
            | "latency|latest" => {
                &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]
            }
            "function|delete" | "function|flush" | "function|load" | "function|restore" => {
                &["request_policy:all_shards", "response_policy:all_succeeded"]
            }
            "function|kill" => &["request_policy:all_shards", "response_policy:one_succeeded"],
            "function|list" => &["nondeterministic_output_order"],
            "function|stats" => {
                &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]
            }
            "script|exists" => &["request_policy:all_shards", "response_policy:agg_logical_and"],
            "script|kill" => &["request_policy:all_shards", "response_policy:one_succeeded"],
            "slowlog|get" => &["request_policy:all_nodes", "nondeterministic_output"],
            "slowlog|len" => {
                &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]
            }
            "memory|doctor" | "memory|malloc-stats" | "memory|stats" => {
                &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]
            }
            "memory|purge" => &["request_policy:all_shards", "response_policy:all_succeeded"],
            "object|encoding" | "object|freq" | "object|idletime" | "object|refcount" => {
                &["nondeterministic_output"]
            }
            "client|info"
            | "client|list"
            | "cluster|getkeysinslot"
            | "cluster|info"
            | "cluster|nodes"
            | "cluster|replicas"
            | "cluster|shards"
            | "cluster|slaves"
            | "cluster|slots" => &["nondeterministic_output"],
            "command|docs" | "command|info" | "command|list" => &["nondeterministic_output_order"],
            "info" => &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
            "ttl" | "pttl" | "hscan" | "sscan" | "zscan" | "spop" | "srandmember" | "hrandfield"
            | "zrandmember" | "dump" | "time" | "xadd" | "xtrim" | "xpending" | "xclaim" | "xautoclaim" => {
                &["nondeterministic_output"]
            }
            "hgetall" | "hkeys" | "hvals" | "smembers" | "sinter" | "sunion" | "sdiff" | "command" => {
                &["nondeterministic_output_order"]
            }
            _ => &[],
        }
    }
}
