//! A plan's life.

use crate::BadField;
use crate::entry::v1::plan::{
    Abort, BeginRolling, BeginSoaking, Finalize, Hold, Pause, Resume, Rollback, Soaked, StartPlan, TurnBack,
};
use ironcache_control::Command;
use ironcache_types::{Epoch, Level, NodeId, PlanId};

impl TryFrom<StartPlan> for Command {
    type Error = BadField;

    fn try_from(
        StartPlan { target, options, leader, started_by, at_ms }: StartPlan,
    ) -> Result<Self, BadField> {
        Ok(Command::StartPlan {
            target: target.try_into()?,
            options: options.into(),
            leader: NodeId(leader),
            started_by: started_by.into(),
            at_ms,
        })
    }
}

impl From<BeginRolling> for Command {
    fn from(BeginRolling { plan, plan_epoch }: BeginRolling) -> Self {
        Command::BeginRolling { plan: PlanId(plan), plan_epoch: Epoch(plan_epoch) }
    }
}

impl From<Hold> for Command {
    fn from(Hold { plan, plan_epoch, reason }: Hold) -> Self {
        Command::Hold { plan: PlanId(plan), plan_epoch: Epoch(plan_epoch), reason: reason.into() }
    }
}

impl From<Pause> for Command {
    fn from(Pause { plan }: Pause) -> Self {
        Command::Pause { plan: PlanId(plan) }
    }
}

impl From<Resume> for Command {
    fn from(Resume { plan }: Resume) -> Self {
        Command::Resume { plan: PlanId(plan) }
    }
}

impl From<Abort> for Command {
    fn from(Abort { plan, at_ms }: Abort) -> Self {
        Command::Abort { plan: PlanId(plan), at_ms }
    }
}

impl From<Finalize> for Command {
    fn from(Finalize { plan, plan_epoch, level, at_ms }: Finalize) -> Self {
        Command::Finalize { plan: PlanId(plan), plan_epoch: Epoch(plan_epoch), level: Level(level), at_ms }
    }
}

impl From<BeginSoaking> for Command {
    fn from(BeginSoaking { plan, plan_epoch, at_ms }: BeginSoaking) -> Self {
        Command::BeginSoaking { plan: PlanId(plan), plan_epoch: Epoch(plan_epoch), at_ms }
    }
}

impl From<Soaked> for Command {
    fn from(Soaked { plan, plan_epoch, ms }: Soaked) -> Self {
        Command::Soaked { plan: PlanId(plan), plan_epoch: Epoch(plan_epoch), ms }
    }
}

impl From<Rollback> for Command {
    fn from(Rollback { plan, plan_epoch, reason }: Rollback) -> Self {
        Command::Rollback { plan: PlanId(plan), plan_epoch: Epoch(plan_epoch), reason: reason.into() }
    }
}

impl From<TurnBack> for Command {
    fn from(TurnBack { plan, plan_epoch, leader }: TurnBack) -> Self {
        Command::TurnBack { plan: PlanId(plan), plan_epoch: Epoch(plan_epoch), leader: NodeId(leader) }
    }
}
