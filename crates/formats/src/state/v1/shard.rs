//! A shard.

use crate::parts::v1::{AckMode, KeeperBase, Member, RecoveredBy, SlotRange};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shard {
    pub id: u16,
    pub slots: Vec<SlotRange>,
    pub nodes: Vec<u64>,
    pub ownership: Ownership,
    pub epoch: u64,
    pub isr_epoch: u64,
    pub in_sync: Vec<Member>,
    pub mode: AckMode,
    /// Oldest first.
    pub lineage: Vec<LineageEntry>,
    pub handover: Option<Handover>,
    pub losses: Losses,
    pub keeper: Option<Keeper>,
    pub keeper_wanted: Option<u64>,
    pub exposed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keeper {
    pub member: Member,
    pub epoch: u64,
    pub from: u64,
    pub base: KeeperBase,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Losses {
    pub recoveries: u64,
    pub bytes_min: u64,
    /// Oldest first.
    pub newest: Vec<Recovery>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    pub epoch: u64,
    pub to: Member,
    pub at: u64,
    pub bytes_min: u64,
    pub given_up: Vec<Member>,
    pub by: RecoveredBy,
    pub at_ms: u64,
    pub as_of_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ownership {
    Serving(Member),
    Recovering { last: Member, lease: LastLease },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LastLease {
    Ended,
    MayRun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineageEntry {
    pub epoch: u64,
    pub start: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handover {
    pub epoch: u64,
    pub from: Member,
    pub to: Member,
    pub log_index: u64,
    pub via: HandoverVia,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HandoverVia {
    Primary,
    Keeper,
}
