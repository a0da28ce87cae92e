//! Planned promotions.

use crate::entry::v1::handover::{AbortHandover, BeginHandover, Promote, ReportHandover};
use crate::parts::each;
use ironcache_control::Command;
use ironcache_types::{Epoch, Offset, PlanId, ShardId};

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

impl From<AbortHandover> for Command {
    fn from(AbortHandover { shard, handover }: AbortHandover) -> Self {
        Command::AbortHandover { shard: ShardId(shard), handover: Epoch(handover) }
    }
}

impl From<ReportHandover> for Command {
    fn from(ReportHandover { shard, epoch, stall_us }: ReportHandover) -> Self {
        Command::ReportHandover { shard: ShardId(shard), epoch: Epoch(epoch), stall_us }
    }
}
