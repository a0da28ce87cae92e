//! Starts of a primary that nobody planned.

use crate::entry::v1::ownership::{Failover, PrimaryReady, Reclaim, Recover};
use crate::parts::each;
use ironcache_control as live;
use ironcache_control::Command;
use ironcache_types::{Epoch, Incarnation, Offset, ShardId};

impl From<Failover> for Command {
    fn from(Failover { shard, shard_epoch, isr_epoch, to, term }: Failover) -> Self {
        Command::Failover {
            shard: ShardId(shard),
            shard_epoch: Epoch(shard_epoch),
            isr_epoch: Epoch(isr_epoch),
            to: to.into(),
            term,
        }
    }
}

impl From<Reclaim> for Command {
    fn from(Reclaim { shard, shard_epoch, member, of, end }: Reclaim) -> Self {
        Command::Reclaim {
            shard: ShardId(shard),
            shard_epoch: Epoch(shard_epoch),
            member: member.into(),
            of: Incarnation(of),
            end: Offset(end),
        }
    }
}

impl From<&live::Recover> for Recover {
    fn from(recover: &live::Recover) -> Self {
        let live::Recover {
            shard,
            shard_epoch,
            isr_epoch,
            to,
            at,
            lost_bytes_min,
            given_up,
            term,
            by,
            at_ms,
            as_of_ms,
        } = recover;
        Recover {
            shard: shard.0,
            shard_epoch: shard_epoch.0,
            isr_epoch: isr_epoch.0,
            to: (*to).into(),
            at: at.0,
            lost_bytes_min: *lost_bytes_min,
            given_up: each(given_up.iter().copied()),
            term: *term,
            by: (*by).into(),
            at_ms: *at_ms,
            as_of_ms: *as_of_ms,
        }
    }
}

impl From<Recover> for Command {
    fn from(recover: Recover) -> Self {
        let Recover {
            shard,
            shard_epoch,
            isr_epoch,
            to,
            at,
            lost_bytes_min,
            given_up,
            term,
            by,
            at_ms,
            as_of_ms,
        } = recover;
        Command::Recover(live::Recover {
            shard: ShardId(shard),
            shard_epoch: Epoch(shard_epoch),
            isr_epoch: Epoch(isr_epoch),
            to: to.into(),
            at: Offset(at),
            lost_bytes_min,
            given_up: each(given_up),
            term,
            by: by.into(),
            at_ms,
            as_of_ms,
        })
    }
}

impl From<PrimaryReady> for Command {
    fn from(PrimaryReady { shard, epoch, start }: PrimaryReady) -> Self {
        Command::PrimaryReady { shard: ShardId(shard), epoch: Epoch(epoch), start: Offset(start) }
    }
}
