//! Starts of a primary that nobody planned.

use crate::parts::v1::Member;
use ironcache_control::Command;
use ironcache_types::{Epoch, Offset, ShardId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failover {
    pub shard: u16,
    pub shard_epoch: u64,
    pub to: Member,
}

impl From<Failover> for Command {
    fn from(Failover { shard, shard_epoch, to }: Failover) -> Self {
        Command::Failover { shard: ShardId(shard), shard_epoch: Epoch(shard_epoch), to: to.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reclaim {
    pub shard: u16,
    pub shard_epoch: u64,
    pub member: Member,
    pub end: u64,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrimaryReady {
    pub shard: u16,
    pub epoch: u64,
    pub start: u64,
}

impl From<PrimaryReady> for Command {
    fn from(PrimaryReady { shard, epoch, start }: PrimaryReady) -> Self {
        Command::PrimaryReady { shard: ShardId(shard), epoch: Epoch(epoch), start: Offset(start) }
    }
}
