//! A plan's life.

use crate::parts::v1::{HoldReason, PlanOptions, Reason, Release, StartedBy};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartPlan {
    pub target: Release,
    pub options: PlanOptions,
    pub leader: u64,
    pub started_by: StartedBy,
    pub at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BeginRolling {
    pub plan: u64,
    pub plan_epoch: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub plan: u64,
    pub plan_epoch: u64,
    pub reason: HoldReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub plan: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resume {
    pub plan: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Abort {
    pub plan: u64,
    pub at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finalize {
    pub plan: u64,
    pub plan_epoch: u64,
    pub level: u16,
    pub at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BeginSoaking {
    pub plan: u64,
    pub plan_epoch: u64,
    pub at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Soaked {
    pub plan: u64,
    pub plan_epoch: u64,
    pub ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rollback {
    pub plan: u64,
    pub plan_epoch: u64,
    pub reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TurnBack {
    pub plan: u64,
    pub plan_epoch: u64,
    pub leader: u64,
}
