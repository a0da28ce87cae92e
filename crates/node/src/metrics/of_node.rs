//! What is of this node: its process, its dataset and clients, its place in raft.

use super::Scrape;
use super::writer::{Writer, bytes, plain, seconds};
use crate::data::{DataSnapshot, Stats};
use crate::ground::{Finding, Ground};
use ironcache_api::ReplicaStatus;
use ironcache_raft::RaftView;
use std::fmt;

pub(super) fn write(scrape: &Scrape, to: &mut Writer<'_>) -> fmt::Result {
    let Scrape {
        me,
        release,
        up_seconds,
        resident_bytes,
        cpu_user_seconds,
        cpu_system_seconds,
        ready,
        upgrades_refused,
        attempts_refused,
        peers_refused,
        ground,
        findings,
        data,
        raft,
        state: _,
    } = scrape;
    let identity = [
        ("node", me.node.to_string()),
        ("incarnation", me.incarnation.to_string()),
        ("version", release.version.to_string()),
        ("digest", release.digest.to_string()),
    ];
    to.info(&plain("node", "Who this node is, and what it runs"), [identity])?;
    to.gauge(&plain("node_ready", "1 while the node is what the log says it is"), u64::from(*ready))?;
    to.gauge(
        &plain("node_upgrades_refused", "1 while the launcher refuses to change the binary"),
        u64::from(*upgrades_refused),
    )?;
    for (family, by_code) in [
        (
            plain("attempts_refused", "Requests and connections that the HTTP port refused, by why"),
            attempts_refused,
        ),
        (
            plain("peers_refused", "Requests and connections that the peer port refused, by why"),
            peers_refused,
        ),
    ] {
        to.counters(&family, by_code.iter().map(|(code, count)| ([("code", code.as_str())], *count)))?;
    }
    to.gauge(&seconds("process_up", "Since the process started"), *up_seconds)?;
    to.gauge(&bytes("process_resident_memory", "Resident memory"), *resident_bytes)?;
    to.counters(
        &seconds("process_cpu", "Processor time"),
        [([("mode", "user")], *cpu_user_seconds), ([("mode", "system")], *cpu_system_seconds)],
    )?;
    write_ground(ground, findings, to)?;
    if let Some(data) = data {
        write_data(data, to)?;
    }
    write_raft(raft, to)
}

/// What `server --check` shows: 1 for each thing that is wrong, 0 for all that could be.
fn write_ground(ground: &Ground, findings: &[Finding], to: &mut Writer<'_>) -> fmt::Result {
    let Ground { descriptors, memory, disk, kernel: _, clock: _ } = ground;
    let is_found = |code: &str| u64::from(findings.iter().any(|finding| finding.code() == code));
    to.gauges(
        &plain("ground_finding", "1 for what `ironcache server --check` finds wrong with this machine"),
        Finding::CODES.map(|code| ([("code", code)], is_found(code))),
    )?;
    to.gauge(&plain("descriptors_open", "Descriptors that this process has"), descriptors.open)?;
    // Without a limit there is none to show.
    if let Some(limit) = descriptors.limit().filter(|limit| *limit != u64::MAX) {
        to.gauge(&plain("descriptors_limit", "Descriptors that this process may have"), limit)?;
    }
    if let Some(limit) = memory.limit_bytes() {
        to.gauge(&bytes("memory_limit", "What the machine has, or the container may take"), limit)?;
    }
    if let Some(disk) = disk {
        to.gauge(&bytes("disk_size", "Size of the data directory's file system"), disk.size_bytes)?;
        to.gauge(&bytes("disk_free", "What of it is left for this process"), disk.free_bytes)?;
    }
    Ok(())
}

const ROLES: [&str; 6] = ["primary", "replica", "candidate", "syncing", "loading", "none"];

fn write_data(data: &DataSnapshot, to: &mut Writer<'_>) -> fmt::Result {
    let DataSnapshot {
        status,
        stats,
        used_bytes,
        parked,
        primary_applied: _,
        index,
        settled: _,
        loaded: _,
        trouble: _,
        snapshot_taken_ms,
        snapshot_failed,
        messages_dropped,
    } = data;
    to.states(
        &plain("data_role", "1 for the role of this node's dataset"),
        "role",
        &ROLES,
        status.role.as_str(),
    )?;
    to.gauge(&plain("data_keys", "Keys in the dataset"), status.keys)?;
    to.gauge(&bytes("data_used", "Estimated size of the dataset in memory"), *used_bytes)?;
    to.gauge(&plain("data_applied_index", "The log index whose state the data plane acts on"), *index)?;
    to.gauge(&plain("clients", "Connected clients"), status.clients)?;
    to.gauge(&plain("parked_commands", "Commands held back by a handover now"), *parked)?;
    to.gauge(
        &bytes("replication_offset", "Position in the shard's stream: written, or applied on a replica"),
        status.offset.0,
    )?;
    to.gauge(
        &plain("replication_link_up", "1 while the link to the primary is up"),
        u64::from(status.link_up),
    )?;
    to.gauge(
        &plain("replication_in_sync", "1 while this node is in its shard's in-sync set"),
        u64::from(status.in_sync),
    )?;
    to.gauge(
        &plain(
            "snapshot_taken_seconds",
            "When the snapshot on this node's disk was taken, in Unix time; 0: there is none",
        ),
        snapshot_taken_ms.unwrap_or(0) / 1000,
    )?;
    to.gauge(
        &plain("snapshot_failed", "1 if the last snapshot was given up: the older one is there still"),
        u64::from(*snapshot_failed),
    )?;
    if let Some(tls) = &status.tls {
        to.gauge(
            &plain("tls_problem", "1 while the certificate's files as they are now cannot be used"),
            u64::from(tls.problem.is_some()),
        )?;
    }
    to.counter(
        &plain("messages_dropped", "Messages of channels that were dropped on the way to another node"),
        *messages_dropped,
    )?;
    write_replicas(&status.replicas, to)?;
    write_stats(stats, to)
}

fn write_replicas(replicas: &[ReplicaStatus], to: &mut Writer<'_>) -> fmt::Result {
    let each = |value: fn(&ReplicaStatus) -> u64| {
        replicas.iter().map(move |replica| ([("replica", replica.node.to_string())], value(replica)))
    };
    to.gauges(
        &bytes("replica_lag", "On a primary: what the replica has not acknowledged"),
        each(|replica| replica.lag_bytes),
    )?;
    to.gauges(
        &bytes("replica_applied_offset", "On a primary: what the replica has acknowledged"),
        each(|replica| replica.applied.0),
    )?;
    to.gauges(
        &plain("replica_in_sync", "On a primary: 1 if the replica is in the in-sync set"),
        each(|replica| u64::from(replica.in_sync)),
    )?;
    to.gauges(
        &plain("replica_syncing", "On a primary: 1 while the replica gets the whole dataset"),
        each(|replica| u64::from(replica.syncing)),
    )
}

fn write_stats(stats: &Stats, to: &mut Writer<'_>) -> fmt::Result {
    let Stats {
        commands,
        effects,
        hits,
        misses,
        moved,
        tryagain,
        clusterdown,
        rejected_connections,
        input_bytes,
        output_bytes,
        reads: _,
        writes: _,
        full_syncs,
        partial_syncs,
        expired,
        handovers,
        handover_stall_us,
    } = stats;
    to.counter(&plain("commands", "Commands that were executed"), *commands)?;
    to.counter(&plain("effects", "Changes of the dataset that were replicated"), *effects)?;
    to.counters(
        &plain("reads", "Keys that were read, and existed or not"),
        [([("result", "hit")], *hits), ([("result", "miss")], *misses)],
    )?;
    to.counters(
        &plain("redirects", "Commands that were not executed here: MOVED or TRYAGAIN"),
        [
            ([("reply", "moved")], *moved),
            ([("reply", "tryagain")], *tryagain),
            ([("reply", "clusterdown")], *clusterdown),
        ],
    )?;
    to.counter(&plain("rejected_connections", "Clients beyond maxclients"), *rejected_connections)?;
    to.counters(
        &bytes("client_traffic", "What came of clients, and went to them"),
        [([("direction", "in")], *input_bytes), ([("direction", "out")], *output_bytes)],
    )?;
    to.counters(
        &plain("syncs", "Replicas that were brought up to date, in full or in part"),
        [([("kind", "full")], *full_syncs), ([("kind", "partial")], *partial_syncs)],
    )?;
    to.counter(&plain("expired_keys", "Keys whose time to live ran out"), *expired)?;
    to.counter(&plain("handovers", "Handovers that this process began as the primary"), *handovers)?;
    to.gauge(
        &seconds("handover_last_stall", "How long the last of them held commands back"),
        *handover_stall_us as f64 / 1e6,
    )
}

fn write_raft(raft: &RaftView, to: &mut Writer<'_>) -> fmt::Result {
    let RaftView {
        node: _,
        leader,
        is_leader,
        term,
        voters,
        learners,
        is_joint: _,
        last_log,
        last_applied,
        committed,
        snapshot,
        purged,
        matched,
        quorum_ack_ms,
        stopped,
    } = raft;
    to.gauge(&plain("raft_term", "The term that this node is in"), *term)?;
    to.info(
        &plain("raft_leader", "Who leads, as far as this node knows"),
        leader.map(|leader| [("leader", leader.to_string())]),
    )?;
    to.gauge(&plain("raft_is_leader", "1 if this node leads"), u64::from(*is_leader))?;
    to.gauge(&plain("raft_has_leader", "1 if this node knows a leader"), u64::from(leader.is_some()))?;
    to.gauge(&plain("raft_voters", "Members with a vote"), voters.len() as u64)?;
    to.gauge(&plain("raft_learners", "Members without a vote"), learners.len() as u64)?;
    let indexes = [
        ("last_log", last_log),
        ("committed", committed),
        ("applied", last_applied),
        ("snapshot", snapshot),
        ("purged", purged),
    ];
    to.gauges(
        &plain("raft_index", "Positions in the log; 0 stands for none"),
        indexes.map(|(at, index)| ([("at", at)], index.unwrap_or(0))),
    )?;
    to.gauges(
        &plain("raft_matched_index", "On the leader: the last entry that a follower is known to hold"),
        matched.iter().map(|(node, index)| ([("follower", node.to_string())], *index)),
    )?;
    to.gauges(
        &seconds("raft_quorum_ack_age", "On the leader: since a quorum last answered"),
        quorum_ack_ms.map(|ms| ([("leader", raft.node.to_string())], ms as f64 / 1e3)),
    )?;
    to.gauge(&plain("raft_running", "0 once raft has stopped on this node"), u64::from(stopped.is_none()))
}
