//! INFO: sections of `key:value` lines, with Redis's names where Redis has the thing.

use super::super::Door;
use super::super::client::Client;
use super::super::memory::human;
use super::super::plane::Plane;
use super::super::status;
use super::{answer, shown_as};
use crate::allocator;
use ironcache_session::{Counts, Endpoint, ShownAs};
use ironcache_shard::Role;
use ironcache_types::Offset;
use std::fmt::Write;

/// The Redis whose commands and replies are offered; clients compare it.
pub(in crate::data) const REDIS_VERSION: &str = "7.2.0";

const SECTIONS: [&str; 10] = [
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "cluster",
    "keyspace",
    "ironcache",
];

pub(super) fn run(plane: &Plane, client: &Client, args: &[&[u8]], out: &mut Vec<u8>) {
    let wanted: Vec<String> = args[1..].iter().map(|a| String::from_utf8_lossy(a).to_lowercase()).collect();
    let all =
        wanted.is_empty() || wanted.iter().any(|w| matches!(w.as_str(), "all" | "default" | "everything"));
    let mut text = String::new();
    for section in SECTIONS {
        if all || wanted.iter().any(|w| w == section) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let mut title = section.to_owned();
            title[..1].make_ascii_uppercase();
            let _ = write!(text, "# {title}\r\n");
            for (key, value) in lines(plane, client.door, section) {
                let _ = write!(text, "{key}:{value}\r\n");
            }
        }
    }
    answer(client, out, |reply| reply.verbatim("txt", text.as_bytes()));
}

fn lines(plane: &Plane, door: Door, section: &str) -> Vec<(String, String)> {
    let line = |key: &str, value: &dyn std::fmt::Display| (key.to_owned(), value.to_string());
    let config = &plane.config;
    match section {
        "server" => vec![
            line("redis_version", &REDIS_VERSION),
            line("ironcache_version", &plane.version),
            line("redis_mode", &"cluster"),
            line("process_id", &crate::process::id()),
            line("run_id", &plane.me.node.redis_id()),
            // As in Redis: the other one, if that is all there is.
            line("tcp_port", &if config.port != 0 { config.port } else { config.tls_port }),
            line("tls_port", &config.tls_port),
            line("peer_port", &config.peer_port),
            line("http_port", &config.http_port),
            line("uptime_in_seconds", &plane.uptime_s()),
        ],
        "clients" => vec![
            line("connected_clients", &plane.clients.len()),
            line("maxclients", &config.maxclients),
            line("blocked_clients", &plane.blocked.len()),
        ],
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
        "stats" => {
            let stats = &plane.stats;
            let Counts { channels, patterns, shard } = plane.clients.channels().counts();
            vec![
                line("total_connections_received", &plane.clients.total),
                line("total_commands_processed", &stats.commands),
                line("rejected_connections", &stats.rejected_connections),
                line("expired_keys", &stats.expired),
                line("evicted_keys", &stats.evicted),
                line("keyspace_hits", &stats.hits),
                line("keyspace_misses", &stats.misses),
                line("pubsub_channels", &channels),
                line("pubsub_patterns", &patterns),
                line("pubsubshard_channels", &shard),
                line("pubsub_messages_dropped", &plane.outbox.dropped()),
                line("sync_full", &stats.full_syncs),
                line("sync_partial_ok", &stats.partial_syncs),
                line("moved_replies", &stats.moved),
                line("tryagain_replies", &stats.tryagain),
                line("clusterdown_replies", &stats.clusterdown),
            ]
        }
        "replication" => replication(plane, door),
        "cpu" => {
            let (user, system) = crate::process::cpu_seconds();
            vec![line("used_cpu_sys", &format!("{system:.6}")), line("used_cpu_user", &format!("{user:.6}"))]
        }
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
            lines.push(line("connected_slaves", &0));
            lines.push(line("master_repl_offset", &offset));
        }
    }
    lines.push(line("master_replid", &replication_id(plane)));
    lines.push(line("repl_backlog_size", &plane.backlog.capacity_bytes()));
    lines.push(line("repl_backlog_first_byte_offset", &plane.backlog.start()));
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
        line("role", &status::role(plane, plane.my_shard())),
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
