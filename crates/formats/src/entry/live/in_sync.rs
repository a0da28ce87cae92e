//! Changes of the in-sync set and of the acknowledgement mode.

use crate::entry::v1::in_sync::{AddInSync, RemoveInSync, SetMode};
use ironcache_control::Command;
use ironcache_types::{Epoch, ShardId};

impl From<AddInSync> for Command {
    fn from(AddInSync { shard, isr_epoch, primary, member }: AddInSync) -> Self {
        Command::AddInSync {
            shard: ShardId(shard),
            isr_epoch: Epoch(isr_epoch),
            primary: primary.into(),
            member: member.into(),
        }
    }
}

impl From<RemoveInSync> for Command {
    fn from(RemoveInSync { shard, isr_epoch, primary, member, reason }: RemoveInSync) -> Self {
        Command::RemoveInSync {
            shard: ShardId(shard),
            isr_epoch: Epoch(isr_epoch),
            primary: primary.into(),
            member: member.into(),
            reason: reason.into(),
        }
    }
}

impl From<SetMode> for Command {
    fn from(SetMode { shard, isr_epoch, primary, mode }: SetMode) -> Self {
        Command::SetMode {
            shard: ShardId(shard),
            isr_epoch: Epoch(isr_epoch),
            primary: primary.into(),
            mode: mode.into(),
        }
    }
}
