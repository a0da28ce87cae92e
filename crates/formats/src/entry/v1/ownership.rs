//! Starts of a primary that nobody planned.

use crate::parts::v1::{Member, RecoveredBy};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failover {
    pub shard: u16,
    pub shard_epoch: u64,
    pub isr_epoch: u64,
    pub to: Member,
    pub term: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reclaim {
    pub shard: u16,
    pub shard_epoch: u64,
    pub member: Member,
    pub of: u64,
    pub end: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recover {
    pub shard: u16,
    pub shard_epoch: u64,
    pub isr_epoch: u64,
    pub to: Member,
    pub at: u64,
    pub lost_bytes_min: u64,
    pub given_up: Vec<Member>,
    pub term: u64,
    pub by: RecoveredBy,
    pub at_ms: u64,
    pub as_of_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrimaryReady {
    pub shard: u16,
    pub epoch: u64,
    pub start: u64,
}
