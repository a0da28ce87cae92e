//! Changes of the in-sync set and of the acknowledgement mode.

use crate::parts::v1::{AckMode, Member, Reason};
use ironcache_control::Command;
use ironcache_types::{Epoch, ShardId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddInSync {
    pub shard: u16,
    pub isr_epoch: u64,
    pub primary: Member,
    pub member: Member,
}

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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoveInSync {
    pub shard: u16,
    pub isr_epoch: u64,
    pub primary: Member,
    pub member: Member,
    pub reason: Reason,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetMode {
    pub shard: u16,
    pub isr_epoch: u64,
    pub primary: Member,
    pub mode: AckMode,
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
