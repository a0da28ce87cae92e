//! One node's step.

use crate::parts::v1::{Member, Reason};
use ironcache_control::Command;
use ironcache_types::{Digest, Epoch, PlanId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpgradeSelf {
    pub plan: u64,
    pub plan_epoch: u64,
    pub member: Member,
    pub at_ms: u64,
}

impl From<UpgradeSelf> for Command {
    fn from(UpgradeSelf { plan, plan_epoch, member, at_ms }: UpgradeSelf) -> Self {
        Command::UpgradeSelf {
            plan: PlanId(plan),
            plan_epoch: Epoch(plan_epoch),
            member: member.into(),
            at_ms,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirm {
    pub plan: u64,
    pub step: u64,
    pub member: Member,
    pub digest: [u8; 32],
}

impl From<Confirm> for Command {
    fn from(Confirm { plan, step, member, digest }: Confirm) -> Self {
        Command::Confirm {
            plan: PlanId(plan),
            step: Epoch(step),
            member: member.into(),
            digest: Digest(digest),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    pub plan: u64,
    pub step: u64,
    pub member: Member,
    pub digest: [u8; 32],
    pub at_ms: u64,
}

impl From<Confirmed> for Command {
    fn from(Confirmed { plan, step, member, digest, at_ms }: Confirmed) -> Self {
        Command::Confirmed {
            plan: PlanId(plan),
            step: Epoch(step),
            member: member.into(),
            digest: Digest(digest),
            at_ms,
        }
    }
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

impl From<StepFailed> for Command {
    fn from(StepFailed { plan, step, member, reason, quarantine, at_ms }: StepFailed) -> Self {
        Command::StepFailed {
            plan: PlanId(plan),
            step: Epoch(step),
            member: member.into(),
            reason: reason.into(),
            quarantine,
            at_ms,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rejoin {
    pub step: u64,
    pub member: Member,
}

impl From<Rejoin> for Command {
    fn from(Rejoin { step, member }: Rejoin) -> Self {
        Command::Rejoin { step: Epoch(step), member: member.into() }
    }
}

/// What an unstarted binary says of this node's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportPreflight {
    pub member: Member,
    pub digest: [u8; 32],
    pub turn: u64,
    pub problem: Option<Reason>,
}

impl From<ReportPreflight> for Command {
    fn from(ReportPreflight { member, digest, turn, problem }: ReportPreflight) -> Self {
        Command::ReportPreflight {
            member: member.into(),
            digest: Digest(digest),
            turn: Epoch(turn),
            problem: problem.map(Into::into),
        }
    }
}
