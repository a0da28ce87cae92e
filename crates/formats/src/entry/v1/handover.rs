//! Planned promotions.

use crate::parts::v1::Member;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BeginHandover {
    pub shard: u16,
    pub shard_epoch: u64,
    pub from: Member,
    pub to: Member,
    pub plan: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promote {
    pub shard: u16,
    pub handover: u64,
    pub to: Member,
    pub offset: u64,
    pub in_sync: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AbortHandover {
    pub shard: u16,
    pub handover: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportHandover {
    pub shard: u16,
    pub epoch: u64,
    pub stall_us: u64,
}
