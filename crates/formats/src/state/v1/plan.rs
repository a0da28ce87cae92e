//! A plan, and those that ended.

use crate::parts::v1::{HoldReason, PlanOptions, Reason, Release, StartedBy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub id: u64,
    pub started_by: StartedBy,
    pub direction: Direction,
    pub origin: Release,
    pub target: Release,
    pub turn: u64,
    pub options: PlanOptions,
    pub phase: Phase,
    pub epoch: u64,
    pub start_leader: u64,
    pub start_primaries: BTreeMap<u16, u64>,
    pub steps: Vec<Step>,
    pub handovers: Vec<Handover>,
    pub started_at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Staging,
    Rolling,
    Paused,
    Held { reason: HoldReason },
    TurningBack { reason: Reason },
    Soaking { since_ms: u64, soaked_ms: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    Forward,
    Back { reason: Reason },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub node: u64,
    pub target: [u8; 32],
    pub shard: Option<u16>,
    pub role: StepRole,
    pub led_raft: bool,
    pub epoch: u64,
    pub state: StepState,
    pub began_at_ms: u64,
    pub ended_at_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepRole {
    Replica,
    Primary,
    Witness,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepState {
    Out,
    Confirmed,
    Failed { reason: Reason },
    Inconclusive { reason: Reason },
    SetAside,
}

/// A handover that was promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handover {
    pub shard: u16,
    pub from: u64,
    pub to: u64,
    pub epoch: u64,
    pub stall_us: Option<u64>,
}

/// A plan that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub plan: Plan,
    pub outcome: Outcome,
    pub ended_at_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Finalized,
    Aborted,
    RolledBack,
    Superseded,
}
