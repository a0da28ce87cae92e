//! Changes of the in-sync set and of the acknowledgement mode.

use crate::parts::v1::{AckMode, Member, Reason};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddInSync {
    pub shard: u16,
    pub isr_epoch: u64,
    pub primary: Member,
    pub member: Member,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoveInSync {
    pub shard: u16,
    pub isr_epoch: u64,
    pub primary: Member,
    pub member: Member,
    pub reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetMode {
    pub shard: u16,
    pub isr_epoch: u64,
    pub primary: Member,
    pub mode: AckMode,
}
