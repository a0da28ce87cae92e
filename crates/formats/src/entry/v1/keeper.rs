//! Who keeps the tail of a shard's stream, and the recovery with it.

use crate::parts::v1::{KeeperBase, Member, Reason};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WantKeeper {
    pub shard: u16,
    pub shard_epoch: u64,
    pub node: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetKeeper {
    pub shard: u16,
    pub isr_epoch: u64,
    pub primary: Member,
    pub keeper: Option<NewKeeper>,
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewKeeper {
    pub member: Member,
    pub from: u64,
    pub base: KeeperBase,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BeginRecovery {
    pub shard: u16,
    pub shard_epoch: u64,
    pub isr_epoch: u64,
    pub to: Member,
    pub term: u64,
}
