//! Since level 1.

pub(crate) mod origin;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod release;
pub(crate) mod security;

pub(crate) use plan::{HoldReason, PlanOptions, StartedBy};
pub(crate) use policy::Policy;
pub(crate) use release::{Release, ReleaseInfo};

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub node: u64,
    pub incarnation: u64,
}

/// The levels that a release admits, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LevelRange {
    pub min: u16,
    pub max: u16,
}

/// The launcher protocols that a launcher or a daemon speaks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProtocolRange {
    pub min: u16,
    pub max: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub code: String,
    pub text: String,
}

/// Both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotRange {
    pub start: u16,
    pub end: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AckMode {
    Primary,
    InSync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeeperBase {
    Leaver,
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecoveredBy {
    Policy,
    Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NodeRole {
    Data,
    Witness,
}
