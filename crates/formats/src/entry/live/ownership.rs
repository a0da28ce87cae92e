//! Starts of a primary that nobody planned.

use crate::entry::v1::ownership::{Failover, PrimaryReady, Reclaim};
use ironcache_control::Command;
use ironcache_types::{Epoch, Offset, ShardId};

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
    fn from(Reclaim { shard, shard_epoch, member, end }: Reclaim) -> Self {
        Command::Reclaim {
            shard: ShardId(shard),
            shard_epoch: Epoch(shard_epoch),
            member: member.into(),
            end: Offset(end),
        }
    }
}

impl From<PrimaryReady> for Command {
    fn from(PrimaryReady { shard, epoch, start }: PrimaryReady) -> Self {
        Command::PrimaryReady { shard: ShardId(shard), epoch: Epoch(epoch), start: Offset(start) }
    }
}
