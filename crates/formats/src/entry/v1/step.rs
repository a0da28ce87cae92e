//! One node's step.

use crate::parts::v1::{Member, Reason};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpgradeSelf {
    pub plan: u64,
    pub plan_epoch: u64,
    pub member: Member,
    pub at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirm {
    pub plan: u64,
    pub step: u64,
    pub member: Member,
    pub digest: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    pub plan: u64,
    pub step: u64,
    pub member: Member,
    pub digest: [u8; 32],
    pub at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepFailed {
    pub plan: u64,
    pub step: u64,
    pub member: Member,
    pub reason: Reason,
    pub quarantine: bool,
    pub at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rejoin {
    pub step: u64,
    pub member: Member,
}

/// What an unstarted binary says of this node's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportPreflight {
    pub member: Member,
    pub digest: [u8; 32],
    pub turn: u64,
    pub problem: Option<Reason>,
}
