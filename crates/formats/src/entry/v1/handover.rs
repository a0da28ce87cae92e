//! Planned promotions.

use crate::parts::{each, v1::Member};
use ironcache_control::Command;
use ironcache_types::{Epoch, Offset, PlanId, ShardId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BeginHandover {
    pub shard: u16,
    pub shard_epoch: u64,
    pub from: Member,
    pub to: Member,
    pub plan: Option<u64>,
}

impl From<BeginHandover> for Command {
    fn from(BeginHandover { shard, shard_epoch, from, to, plan }: BeginHandover) -> Self {
        Command::BeginHandover {
            shard: ShardId(shard),
            shard_epoch: Epoch(shard_epoch),
            from: from.into(),
            to: to.into(),
            plan: plan.map(PlanId),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promote {
    pub shard: u16,
    pub handover: u64,
    pub to: Member,
    pub offset: u64,
    pub in_sync: Vec<Member>,
}

impl From<Promote> for Command {
    fn from(Promote { shard, handover, to, offset, in_sync }: Promote) -> Self {
        Command::Promote {
            shard: ShardId(shard),
            handover: Epoch(handover),
            to: to.into(),
            offset: Offset(offset),
            in_sync: each(in_sync),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AbortHandover {
    pub shard: u16,
    pub handover: u64,
}

impl From<AbortHandover> for Command {
    fn from(AbortHandover { shard, handover }: AbortHandover) -> Self {
        Command::AbortHandover { shard: ShardId(shard), handover: Epoch(handover) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportHandover {
    pub shard: u16,
    pub epoch: u64,
    pub stall_us: u64,
}

impl From<ReportHandover> for Command {
    fn from(ReportHandover { shard, epoch, stall_us }: ReportHandover) -> Self {
        Command::ReportHandover { shard: ShardId(shard), epoch: Epoch(epoch), stall_us }
    }
}
