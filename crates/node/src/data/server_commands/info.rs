//! INFO: sections of `key:value` lines, with Redis's names where Redis has the thing.

mod counted;

use super::super::Door;
use super::super::client::Client;
use super::super::memory::human;
use super::super::plane::{Plane, TICK_MS};
use super::super::status;
use super::{answer, shown_as};
use crate::allocator;
use ironcache_session::{Endpoint, ShownAs};
use ironcache_shard::Role;
use ironcache_types::Offset;
use std::fmt::Write;
use std::path::Path;

/// The Redis whose commands and replies are offered; clients compare it.
pub(in crate::data) const REDIS_VERSION: &str = "7.0.15";

/// In the order of Redis, and our own after them.
const SECTIONS: [Section; 14] = [
    Section { name: "server", title: "Server", shown: Shown::ByDefault },
    Section { name: "clients", title: "Clients", shown: Shown::ByDefault },
    Section { name: "memory", title: "Memory", shown: Shown::ByDefault },
    Section { name: "persistence", title: "Persistence", shown: Shown::ByDefault },
    Section { name: "stats", title: "Stats", shown: Shown::ByDefault },
    Section { name: "replication", title: "Replication", shown: Shown::ByDefault },
    Section { name: "cpu", title: "CPU", shown: Shown::ByDefault },
    Section { name: "modules", title: "Modules", shown: Shown::ByDefault },
    Section { name: "commandstats", title: "Commandstats", shown: Shown::IfAsked },
    Section { name: "errorstats", title: "Errorstats", shown: Shown::ByDefault },
    Section { name: "latencystats", title: "Latencystats", shown: Shown::IfAsked },
    Section { name: "cluster", title: "Cluster", shown: Shown::ByDefault },
    Section { name: "keyspace", title: "Keyspace", shown: Shown::ByDefault },
    Section { name: "ironcache", title: "Ironcache", shown: Shown::ByDefault },
];

struct Section {
    name: &'static str,
    title: &'static str,
    shown: Shown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Also to who asks for no section.
    ByDefault,
    /// By its name, or with `all`.
    IfAsked,
}

impl Section {
    /// `words` are what the request says.
    fn is_wanted(&self, words: &[&[u8]]) -> bool {
        let says = |text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text.as_bytes()));
        let default = words.is_empty() || says("default");
        says(self.name) || says("all") || says("everything") || (default && self.shown == Shown::ByDefault)
    }
}

pub(super) fn run(plane: &Plane, client: &Client, args: &[&[u8]], out: &mut Vec<u8>) {
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| section.is_wanted(&args[1..])) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let _ = write!(text, "# {}\r\n", section.title);
        for (key, value) in lines(plane, client.door, section.name) {
            let _ = write!(text, "{key}:{value}\r\n");
        }
    }
    answer(client, out, |reply| reply.verbatim("txt", text.as_bytes()));
}

fn lines(plane: &Plane, door: Door, section: &str) -> Vec<(String, String)> {
    let line = |key: &str, value: &dyn std::fmt::Display| (key.to_owned(), value.to_string());
    match section {
        "server" => server(plane),
        "clients" => counted::clients(plane),
        "memory" => memory(plane),
        "persistence" => {
            let mut lines = vec![
                line("loading", &u8::from(matches!(plane.engine.role(), Role::Loading))),
                line("aof_enabled", &0),
                line("rdb_bgsave_in_progress", &u8::from(plane.snapshots.is_running)),
                line("rdb_last_save_time", &(plane.snapshots.taken_ms.unwrap_or(0) / 1000)),
                line("rdb_last_bgsave_status", &if plane.snapshots.failed.is_some() { "err" } else { "ok" }),
            ];
            if let Some(shard) = plane.my_shard() {
                lines.push(line("shard_recoveries", &shard.losses.recoveries));
                lines.push(line("shard_lost_bytes_min", &shard.losses.bytes_min));
                if let Some(as_of_ms) = shard.losses.newest.last().and_then(|newest| newest.as_of_ms) {
                    lines.push(line("shard_recovered_as_of", &(as_of_ms / 1000)));
                }
            }
            lines
        }
        "stats" => counted::stats(plane),
        "replication" => replication(plane, door),
        "cpu" => {
            let (user, system) = crate::process::cpu_seconds();
            vec![
                line("used_cpu_sys", &format!("{system:.6}")),
                line("used_cpu_user", &format!("{user:.6}")),
                // A node has no process for snapshots: a thread of its own writes them.
                line("used_cpu_sys_children", &"0.000000"),
                line("used_cpu_user_children", &"0.000000"),
            ]
        }
        // Nothing is loaded into a node.
        "modules" => vec![],
        "commandstats" => counted::commands(plane),
        "errorstats" => counted::errors(plane),
        "latencystats" => counted::latencies(plane),
        "cluster" => vec![line("cluster_enabled", &1)],
        "keyspace" => {
            let keys = plane.keyspace.len();
            let expires = plane.keyspace.expiring();
            if keys == 0 {
                vec![]
            } else {
                vec![line("db0", &format!("keys={keys},expires={expires},avg_ttl=0"))]
            }
        }
        _ => ironcache(plane),
    }
}

fn memory(plane: &Plane) -> Vec<(String, String)> {
    let functions = plane.scripts.kept_functions();
    let line = |key: &str, value: &dyn std::fmt::Display| (key.to_owned(), value.to_string());
    let usage = plane.usage();
    let mut lines = Vec::new();
    let mut both = |key: &str, bytes: usize| {
        lines.push(line(key, &bytes));
        lines.push(line(&format!("{key}_human"), &human(bytes as u64)));
    };
    both("used_memory", usage.used);
    both("used_memory_rss", usage.resident);
    both("used_memory_peak", usage.peak);
    lines.extend([
        line("used_memory_peak_perc", &format!("{:.2}%", usage.peak_percent())),
        line("used_memory_overhead", &usage.overhead),
        line("used_memory_startup", &usage.startup),
        line("used_memory_dataset", &usage.dataset()),
        line("used_memory_vm_eval", &plane.scripts.kept().interpreter_bytes),
        line("used_memory_scripts_eval", &plane.scripts.kept().text_bytes),
        line("number_of_cached_scripts", &plane.scripts.kept().scripts),
        line("number_of_functions", &functions.functions),
        line("number_of_libraries", &functions.libraries),
        line("used_memory_vm_functions", &functions.interpreter_bytes),
        line("used_memory_functions", &functions.code_bytes),
        line("used_memory_dataset_perc", &format!("{:.2}%", usage.dataset_percent())),
    ]);
    if let Some(figures) = usage.allocator {
        lines.extend([
            line("allocator_active", &figures.active),
            line("allocator_resident", &figures.resident),
        ]);
    }
    lines.extend([
        line("maxmemory", &plane.config.maxmemory),
        line("maxmemory_human", &human(plane.config.maxmemory)),
        line("maxmemory_policy", &plane.config.maxmemory_policy.word()),
        line("mem_fragmentation_ratio", &format!("{:.2}", usage.fragmentation())),
        line("mem_fragmentation_bytes", &usage.fragmentation_bytes()),
        line("mem_not_counted_for_evict", &usage.backlog),
        line("mem_replication_backlog", &usage.backlog),
        // Links send out of the backlog.
        line("mem_clients_slaves", &0),
        line("mem_clients_normal", &usage.clients),
        line("mem_allocator", &allocator::name()),
    ]);
    lines
}

fn server(plane: &Plane) -> Vec<(String, String)> {
    let line = |key: &str, value: &dyn std::fmt::Display| (key.to_owned(), value.to_string());
    let config = &plane.config;
    let uptime_s = plane.uptime_s();
    // The clockwork's ticks.
    let hz = 1000 / TICK_MS;
    vec![
        line("redis_version", &REDIS_VERSION),
        line("ironcache_version", &plane.version),
        line("redis_mode", &"cluster"),
        line("os", &crate::process::system()),
        line("arch_bits", &usize::BITS),
        line("process_id", &crate::process::id()),
        line("run_id", &plane.me.node.redis_id()),
        // As in Redis: the other one, if that is all there is.
        line("tcp_port", &if config.port != 0 { config.port } else { config.tls_port }),
        line("tls_port", &config.tls_port),
        line("peer_port", &config.peer_port),
        line("http_port", &config.http_port),
        line("server_time_usec", &(plane.statistics.stopwatch.wall_ms() * 1000)),
        line("uptime_in_seconds", &uptime_s),
        line("uptime_in_days", &(uptime_s / 86_400)),
        line("hz", &hz),
        line("configured_hz", &hz),
        line(
            "config_file",
            &config.file.as_deref().map(Path::display).map_or(String::new(), |path| path.to_string()),
        ),
        // One thread has the dataset and its clients.
        line("io_threads_active", &0),
    ]
}

fn replication(plane: &Plane, door: Door) -> Vec<(String, String)> {
    let line = |key: &str, value: &dyn std::fmt::Display| (key.to_owned(), value.to_string());
    let mut lines = Vec::new();
    match plane.engine.role() {
        Role::Primary(_) => {
            lines.push(line("role", &"master"));
            let followers: Vec<_> = plane.replicas().collect();
            lines.push(line("connected_slaves", &followers.len()));
            for (index, follower) in followers.iter().enumerate() {
                let Endpoint { host, port } = plane.client_addr(follower.member.node, door);
                let offset = follower.applied.unwrap_or(Offset(0));
                let value = format!("ip={host},port={port},state=online,offset={offset},lag=0");
                lines.push((format!("slave{index}"), value));
            }
            lines.push(line("master_repl_offset", &plane.offset()));
        }
        Role::Loading | Role::Replica(_) if shown_as(plane) == ShownAs::Master => {
            lines.push(line("role", &"master"));
            lines.push(line("connected_slaves", &0));
            lines.push(line("master_repl_offset", &0));
        }
        Role::Loading | Role::Replica(_) => {
            lines.push(line("role", &"slave"));
            let primary = plane.my_shard().and_then(ironcache_control::Shard::primary);
            let Endpoint { host, port } =
                primary.map(|p| plane.client_addr(p.node, door)).unwrap_or_default();
            lines.push(line("master_host", &host));
            lines.push(line("master_port", &port));
            let (link_up, offset) = match plane.engine.role() {
                Role::Replica(r) => (r.is_linked(), r.cursor().applied_offset().unwrap_or(Offset(0))),
                Role::Loading | Role::Primary(_) => (false, Offset(0)),
            };
            lines.push(line("master_link_status", &if link_up { "up" } else { "down" }));
            lines.push(line("slave_repl_offset", &offset));
            // Clients write at the primary alone.
            lines.push(line("slave_read_only", &1));
            lines.push(line("connected_slaves", &0));
            lines.push(line("master_repl_offset", &offset));
        }
    }
    lines.push(line("master_replid", &replication_id(plane)));
    // A promotion begins no second history: its stream goes on where the old primary's ended.
    lines.push(line("master_replid2", &"0".repeat(40)));
    lines.push(line("second_repl_offset", &-1));
    lines.push(line("repl_backlog_active", &1));
    lines.push(line("repl_backlog_size", &plane.backlog.capacity_bytes()));
    lines.push(line("repl_backlog_first_byte_offset", &plane.backlog.start()));
    lines.push(line("repl_backlog_histlen", &(plane.backlog.end().0 - plane.backlog.start().0)));
    lines
}

/// Names the history that the dataset is of, in Redis' 40 hex digits: the cluster, and the ownership epoch in which
/// its stream began, which no other stream of the cluster shares. Zeros without a history.
fn replication_id(plane: &Plane) -> String {
    let epoch = match plane.engine.role() {
        Role::Primary(primary) => Some(primary.lineage().last().0),
        // While frames are being applied it is not known; nothing here is executed between two of them.
        Role::Replica(replica) => {
            replica.cursor().saved_position().ok().flatten().map(|saved| saved.lineage.last().0)
        }
        Role::Loading => None,
    };
    match (plane.view.state.cluster_id, epoch) {
        (Some(cluster), Some(epoch)) => format!("{:024x}{:016x}", cluster.0 & ((1 << 96) - 1), epoch.0),
        (None, _) | (_, None) => "0".repeat(40),
    }
}

fn ironcache(plane: &Plane) -> Vec<(String, String)> {
    let line = |key: &str, value: &dyn std::fmt::Display| (key.to_owned(), value.to_string());
    let mut lines = vec![
        line("node", &plane.me.node),
        line("incarnation", &plane.me.incarnation),
        line("applied_index", &plane.view.index),
        // Not `role`: clients read all of INFO into one table, where the name is that of the section of replication.
        line("shard_role", &status::role(plane, plane.my_shard())),
        line("in_sync", &u8::from(plane.my_shard().is_some() && plane.engine.in_sync())),
        line("handovers", &plane.stats.handovers),
        line("last_handover_stall_us", &plane.stats.handover_stall_us),
    ];
    if let Some(print) = plane.tls.print() {
        lines.push(line("tls_certificate_sha256", &print));
    }
    if let Some(problem) = plane.tls.problem() {
        lines.push(line("tls_problem", &problem));
    }
    if let Some(shard) = plane.my_shard() {
        lines.push(line("shard", &shard.id));
        lines.push(line("ownership_epoch", &shard.epoch));
        lines.push(line("ack_mode", &shard.mode));
        lines.push(line("in_sync_members", &shard.in_sync.len()));
    }
    lines
}
