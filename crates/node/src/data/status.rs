//! The data plane as others see it.

use super::DataSnapshot;
use super::plane::Plane;
use super::role::Role;
use ironcache_api::{DataRole, DataStatus, Holding, ReplicaStatus};
use ironcache_control::Shard;
use ironcache_replication::Lineage;
use ironcache_types::{Epoch, Offset};

pub(super) fn snapshot(plane: &Plane) -> DataSnapshot {
    DataSnapshot {
        status: status(plane),
        stats: plane.stats,
        used_bytes: plane.keyspace.used_bytes() as u64,
        parked: plane.parked,
        primary_applied: match &plane.role {
            Role::Replica(replica) => replica.primary_applied,
            Role::Loading | Role::Primary(_) => 0,
        },
        settled: is_settled(plane),
        loaded: !matches!(plane.role, Role::Loading),
        index: plane.view.index,
        trouble: plane.trouble(),
        snapshot_taken_ms: plane.snapshots.taken_ms,
        snapshot_failed: plane.snapshots.failed.is_some(),
    }
}

fn status(plane: &Plane) -> DataStatus {
    let shard = plane.my_shard();
    let (link_up, offset) = match &plane.role {
        Role::Loading => (false, Offset(0)),
        Role::Replica(replica) => (replica.link_up, replica.cursor.applied_offset().unwrap_or(Offset(0))),
        Role::Primary(_) => (true, plane.offset()),
    };
    DataStatus {
        role: role(plane, shard),
        shard: shard.map(|s| s.id),
        keys: plane.keyspace.len() as u64,
        offset,
        clients: plane.clients.len() as u64,
        replicas: replicas(plane, shard),
        link_up,
        in_sync: shard.is_some() && plane.in_sync(),
        serves: shard.and_then(|shard| serves(plane, shard)),
        follows: shard.and_then(|shard| follows(plane, shard)),
        isr_epoch: shard.map_or(Epoch::default(), |shard| shard.isr_epoch),
        holds: shard.and_then(|shard| holds(plane, shard)),
        #[cfg(feature = "next")]
        clocks_heard: match &plane.role {
            Role::Replica(replica) => replica.clocks_heard,
            Role::Loading | Role::Primary(_) => 0,
        },
    }
}

pub(super) fn role(plane: &Plane, shard: Option<&Shard>) -> DataRole {
    match (&plane.role, shard) {
        (_, None) => DataRole::Absent,
        (Role::Loading, Some(_)) => DataRole::Loading,
        (Role::Primary(_), Some(_)) => DataRole::Primary,
        (Role::Replica(_), Some(shard)) if shard.handover.is_some_and(|h| h.to == plane.me) => {
            DataRole::Candidate
        }
        (Role::Replica(replica), Some(_))
            if replica.cursor.source().is_some() && replica.cursor.ack().is_none() =>
        {
            DataRole::Syncing
        }
        #[cfg(feature = "next")]
        (Role::Replica(replica), Some(_)) if replica.clocks_heard > 0 => DataRole::Timed,
        (Role::Replica(_), Some(_)) => DataRole::Replica,
    }
}

fn replicas(plane: &Plane, shard: Option<&Shard>) -> Vec<ReplicaStatus> {
    let Some(primary) = plane.primary() else { return Vec::new() };
    primary
        .gate
        .followers()
        .filter(|f| f.attached)
        .map(|f| {
            let link = plane.links.get(&f.member);
            ReplicaStatus {
                node: f.member.node,
                incarnation: f.member.incarnation,
                applied: f.applied.unwrap_or(Offset(0)),
                lag_bytes: f.behind_bytes,
                syncing: link.is_some_and(|l| l.syncing),
                in_sync: shard.is_some_and(|s| s.in_sync.contains(&f.member)),
                in_sync_for_ms: link
                    .and_then(|l| l.in_sync_since)
                    .map_or(0, |since| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)),
            }
        })
        .collect()
}

/// What this node could begin with, were it made primary of its shard now. Nothing is said while the checkpoint is read.
fn holds(plane: &Plane, shard: &Shard) -> Option<Holding> {
    match &plane.role {
        Role::Loading => None,
        Role::Primary(primary) => Some(up_to(&primary.lineage, plane.offset(), None)),
        Role::Replica(_) if plane.sealed_end(shard).is_some() => {
            plane.sealed_end(shard).map(|offset| Holding::Sealed { offset })
        }
        // Without a lineage that reaches back to its position it could not be continued from.
        Role::Replica(replica) => Some(match replica.cursor.saved_position().ok()? {
            Some(saved) => {
                let as_of_ms = replica.unchanged().map(|begun| begun.taken_ms);
                up_to(&saved.lineage, saved.position.offset, as_of_ms)
            }
            None => Holding::Nothing,
        }),
    }
}

/// A primary whose start was never reached wrote nothing of it.
fn up_to(lineage: &Lineage, offset: Offset, as_of_ms: Option<u64>) -> Holding {
    let reached = lineage.entries().iter().rev().find(|(_, start)| *start <= offset);
    reached.map_or(Holding::Nothing, |(epoch, _)| Holding::UpTo { epoch: *epoch, offset, as_of_ms })
}

/// Is the node what the applied state says it is: serving, or following with its dataset whole?
fn is_settled(plane: &Plane) -> bool {
    match plane.my_shard() {
        Some(shard) => serves(plane, shard).is_some() || follows(plane, shard).is_some(),
        None => !plane.view.state.nodes.is_empty(),
    }
}

/// The ownership epoch under which this node serves: it is the primary, and its lease runs.
fn serves(plane: &Plane, shard: &Shard) -> Option<Epoch> {
    match &plane.role {
        Role::Primary(primary) if shard.is_primary(plane.me) && plane.is_leased() => Some(primary.epoch),
        Role::Loading | Role::Replica(_) | Role::Primary(_) => None,
    }
}

/// The ownership epoch of the primary from which this node, its dataset whole, receives.
fn follows(plane: &Plane, shard: &Shard) -> Option<Epoch> {
    match &plane.role {
        Role::Replica(replica) if !shard.is_primary(plane.me) && replica.link_up => {
            replica.cursor.ack().map(|ack| ack.source.epoch)
        }
        Role::Loading | Role::Replica(_) | Role::Primary(_) => None,
    }
}
