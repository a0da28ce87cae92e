//! One node's step.

use crate::entry::v1::step::{Confirm, Confirmed, Rejoin, ReportPreflight, StepFailed, UpgradeSelf};
use ironcache_control::Command;
use ironcache_types::{Digest, Epoch, PlanId};

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

impl From<Rejoin> for Command {
    fn from(Rejoin { step, member }: Rejoin) -> Self {
        Command::Rejoin { step: Epoch(step), member: member.into() }
    }
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
