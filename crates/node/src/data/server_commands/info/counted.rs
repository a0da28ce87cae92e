//! The sections of INFO that are counted where commands are executed: clients, stats, commands, errors and latencies.
//!
//! *Invariant:* a number is one that was counted, or of something that a node does not have, which it then says.

use super::super::super::plane::Plane;
use super::super::latency::every;
use ironcache_session::Counts;
use std::fmt::Display;

type Lines = Vec<(String, String)>;

fn line(key: &str, value: &dyn Display) -> (String, String) {
    (key.to_owned(), value.to_string())
}

/// Of what Redis has and a node has not: readers that ask for it find that there is none.
fn none(keys: &[&str]) -> impl Iterator<Item = (String, String)> {
    keys.iter().map(|key| line(key, &0))
}

pub(super) fn clients(plane: &Plane) -> Lines {
    let (input_bytes, output_bytes) = plane.clients.most_kept();
    vec![
        line("connected_clients", &plane.clients.len()),
        // Links between nodes come in at the peer port.
        line("cluster_connections", &0),
        line("maxclients", &plane.config.maxclients),
        line("client_recent_max_input_buffer", &input_bytes),
        line("client_recent_max_output_buffer", &output_bytes),
        line("blocked_clients", &plane.blocked.len()),
        line("tracking_clients", &plane.clients.tracking().counts().clients),
    ]
}

pub(super) fn stats(plane: &Plane) -> Lines {
    let tracking = plane.clients.tracking().counts();
    let (stats, statistics) = (&plane.stats, &plane.statistics);
    let Counts { channels, patterns, shard } = plane.clients.channels().counts();
    let rates = statistics.rates.now();
    let kib = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    let mut lines = vec![
        line("total_connections_received", &plane.clients.total),
        line("total_commands_processed", &stats.commands),
        line("instantaneous_ops_per_sec", &rates.commands),
        line("total_net_input_bytes", &stats.input_bytes),
        line("total_net_output_bytes", &stats.output_bytes),
        line("instantaneous_input_kbps", &kib(rates.input_bytes)),
        line("instantaneous_output_kbps", &kib(rates.output_bytes)),
        line("rejected_connections", &stats.rejected_connections),
        line("sync_full", &stats.full_syncs),
        line("sync_partial_ok", &stats.partial_syncs),
        line("expired_keys", &stats.expired),
        line("evicted_keys", &stats.evicted),
        line("keyspace_hits", &stats.hits),
        line("keyspace_misses", &stats.misses),
        line("tracking_total_keys", &tracking.keys),
        line("tracking_total_items", &tracking.items),
        line("tracking_total_prefixes", &tracking.prefixes),
        line("pubsub_channels", &channels),
        line("pubsub_patterns", &patterns),
        line("pubsubshard_channels", &shard),
        line("pubsub_messages_dropped", &plane.outbox.dropped()),
        line("total_error_replies", &statistics.tally.errors()),
        line("total_reads_processed", &stats.reads),
        line("total_writes_processed", &stats.writes),
        line("moved_replies", &stats.moved),
        line("tryagain_replies", &stats.tryagain),
        line("clusterdown_replies", &stats.clusterdown),
    ];
    lines.extend(none(&[
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
    ]));
    lines
}

/// Of those that were called or refused.
pub(super) fn commands(plane: &Plane) -> Lines {
    let of = every().map(|spec| (spec, plane.statistics.tally.of(spec)));
    of.filter(|(_, of)| of.calls + of.rejected + of.failed > 0)
        .map(|(spec, of)| {
            let us = of.ns / 1_000;
            let mean = if of.calls == 0 { 0.0 } else { of.ns as f64 / 1_000.0 / of.calls as f64 };
            let (calls, rejected, failed) = (of.calls, of.rejected, of.failed);
            line(
                &format!("cmdstat_{}", spec.name),
                &format_args!(
                    "calls={calls},usec={us},usec_per_call={mean:.2},rejected_calls={rejected},failed_calls={failed}"
                ),
            )
        })
        .collect()
}

pub(super) fn errors(plane: &Plane) -> Lines {
    let codes = plane.statistics.tally.codes().iter();
    // A colon ends the name of a line.
    codes
        .map(|(code, count)| {
            line(&format!("errorstat_{}", code.replace(':', "_")), &format_args!("count={count}"))
        })
        .collect()
}

pub(super) fn latencies(plane: &Plane) -> Lines {
    let percentiles = &plane.config.latency_percentiles;
    let of = every().map(|spec| (spec, &plane.statistics.tally.of(spec).took));
    of.filter(|(_, took)| took.total() > 0)
        .map(|(spec, took)| {
            let us = |percentile| took.percentile_ns(percentile) as f64 / 1_000.0;
            let shown: Vec<String> = percentiles.iter().map(|p| format!("p{p}={:.3}", us(p))).collect();
            line(&format!("latency_percentiles_usec_{}", spec.name), &shown.join(","))
        })
        .collect()
}
