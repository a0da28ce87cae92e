//! A shard.

use crate::parts::v1::{AckMode, Member, SlotRange};
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ownership {
    Serving(Member),
    Recovering { last: Member },
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
}
