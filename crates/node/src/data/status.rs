//! The data plane as others see it.

use super::DataSnapshot;
use super::plane::Plane;
use ironcache_api::{DataRole, DataStatus, Holding, ReplicaStatus, TlsStatus};
use ironcache_control::Shard;
use ironcache_shard::{Attachment, Holds, Role};
use ironcache_spine::boottime_ms;
use ironcache_types::{Epoch, Offset};

pub(super) fn snapshot(plane: &Plane) -> DataSnapshot {
    DataSnapshot {
        status: status(plane),
        stats: plane.stats,
        used_bytes: plane.keyspace.used_bytes() as u64,
        parked: plane.parked,
        primary_applied: plane.engine.told_applied(),
        settled: plane.engine.is_settled(),
        loaded: !matches!(plane.engine.role(), Role::Loading),
        index: plane.view.index,
        trouble: plane.trouble(),
        snapshot_taken_ms: plane.snapshots.taken_ms,
        snapshot_failed: plane.snapshots.failed.is_some(),
        messages_dropped: plane.outbox.dropped(),
    }
}

fn status(plane: &Plane) -> DataStatus {
    let shard = plane.my_shard();
    let (link_up, offset) = match plane.engine.role() {
        Role::Loading => (false, Offset(0)),
        Role::Replica(replica) => {
            (replica.is_linked(), replica.cursor().applied_offset().unwrap_or(Offset(0)))
        }
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
        in_sync: shard.is_some() && plane.engine.in_sync(),
        serves: plane.engine.serves(),
        follows: plane.engine.follows(),
        isr_epoch: shard.map_or(Epoch::default(), |shard| shard.isr_epoch),
        holds: shard.and_then(|shard| plane.engine.holds(shard)).map(holding),
        tls: plane.config.announced_tls_port().map(|_| TlsStatus {
            certificate_sha256: plane.tls.print(),
            problem: plane.tls.problem().map(str::to_owned),
        }),
        #[cfg(feature = "next")]
        clocks_heard: plane.clocks_heard,
    }
}

pub(super) fn role(plane: &Plane, shard: Option<&Shard>) -> DataRole {
    match (plane.engine.role(), shard) {
        (_, None) => DataRole::Absent,
        (Role::Loading, Some(_)) => DataRole::Loading,
        (Role::Primary(_), Some(_)) => DataRole::Primary,
        (Role::Replica(_), Some(shard)) if shard.handover.is_some_and(|h| h.to == plane.me) => {
            DataRole::Candidate
        }
        (Role::Replica(replica), Some(_))
            if replica.cursor().source().is_some() && replica.cursor().ack().is_none() =>
        {
            DataRole::Syncing
        }
        #[cfg(feature = "next")]
        (Role::Replica(_), Some(_)) if plane.clocks_heard > 0 => DataRole::Timed,
        (Role::Replica(_), Some(_)) => DataRole::Replica,
    }
}

fn replicas(plane: &Plane, shard: Option<&Shard>) -> Vec<ReplicaStatus> {
    let now_ms = boottime_ms();
    plane
        .replicas()
        .map(|f| {
            let link = plane.engine.attachment_of(f.member);
            ReplicaStatus {
                node: f.member.node,
                incarnation: f.member.incarnation,
                applied: f.applied.unwrap_or(Offset(0)),
                lag_bytes: f.behind_bytes,
                syncing: link.is_some_and(Attachment::is_syncing),
                in_sync: shard.is_some_and(|s| s.in_sync.contains(&f.member)),
                in_sync_for_ms: link.map_or(0, |link| link.in_sync_for_ms(now_ms)),
            }
        })
        .collect()
}

/// What this node could begin with, in the words of the HTTP port.
fn holding(holds: Holds) -> Holding {
    match holds {
        Holds::Nothing => Holding::Nothing,
        Holds::UpTo { epoch, offset, as_of_ms } => Holding::UpTo { epoch, offset, as_of_ms },
        Holds::Sealed { offset } => Holding::Sealed { offset },
    }
}
