//! A plan, and those that ended.

use crate::BadField;
use crate::parts::each;
use crate::state::v1::plan::{Direction, Ended, Handover, Outcome, Phase, Plan, Step, StepRole, StepState};
use ironcache_control as live;
use ironcache_types::{Digest, Epoch, NodeId, PlanId, ShardId};

impl From<&live::Plan> for Plan {
    fn from(plan: &live::Plan) -> Self {
        let live::Plan {
            id,
            started_by,
            direction,
            origin,
            target,
            turn,
            options,
            phase,
            epoch,
            start_leader,
            start_primaries,
            steps,
            handovers,
            started_at_ms,
        } = plan;
        Plan {
            id: id.0,
            started_by: (*started_by).into(),
            direction: match direction {
                live::Direction::Forward => Direction::Forward,
                live::Direction::Back { reason } => Direction::Back { reason: reason.into() },
            },
            origin: origin.into(),
            target: target.into(),
            turn: turn.0,
            options: (*options).into(),
            phase: match phase {
                live::Phase::Staging => Phase::Staging,
                live::Phase::Rolling => Phase::Rolling,
                live::Phase::Paused => Phase::Paused,
                live::Phase::Held { reason } => Phase::Held { reason: reason.into() },
                live::Phase::TurningBack { reason } => Phase::TurningBack { reason: reason.into() },
                live::Phase::Soaking { since_ms, soaked_ms } => {
                    Phase::Soaking { since_ms: *since_ms, soaked_ms: *soaked_ms }
                }
            },
            epoch: epoch.0,
            start_leader: start_leader.0,
            start_primaries: start_primaries.iter().map(|(shard, node)| (shard.0, node.0)).collect(),
            steps: each(steps),
            handovers: each(handovers),
            started_at_ms: *started_at_ms,
        }
    }
}

impl TryFrom<Plan> for live::Plan {
    type Error = BadField;

    fn try_from(plan: Plan) -> Result<Self, BadField> {
        let Plan {
            id,
            started_by,
            direction,
            origin,
            target,
            turn,
            options,
            phase,
            epoch,
            start_leader,
            start_primaries,
            steps,
            handovers,
            started_at_ms,
        } = plan;
        Ok(live::Plan {
            id: PlanId(id),
            started_by: started_by.into(),
            direction: match direction {
                Direction::Forward => live::Direction::Forward,
                Direction::Back { reason } => live::Direction::Back { reason: reason.into() },
            },
            origin: origin.try_into()?,
            target: target.try_into()?,
            turn: Epoch(turn),
            options: options.into(),
            phase: match phase {
                Phase::Staging => live::Phase::Staging,
                Phase::Rolling => live::Phase::Rolling,
                Phase::Paused => live::Phase::Paused,
                Phase::Held { reason } => live::Phase::Held { reason: reason.into() },
                Phase::TurningBack { reason } => live::Phase::TurningBack { reason: reason.into() },
                Phase::Soaking { since_ms, soaked_ms } => live::Phase::Soaking { since_ms, soaked_ms },
            },
            epoch: Epoch(epoch),
            start_leader: NodeId(start_leader),
            start_primaries: start_primaries
                .into_iter()
                .map(|(shard, node)| (ShardId(shard), NodeId(node)))
                .collect(),
            steps: each(steps),
            handovers: each(handovers),
            started_at_ms,
        })
    }
}

impl From<&live::StepRecord> for Step {
    fn from(step: &live::StepRecord) -> Self {
        let live::StepRecord { node, target, shard, role, led_raft, epoch, state, began_at_ms, ended_at_ms } =
            step;
        Step {
            node: node.0,
            target: target.0,
            shard: shard.map(|id| id.0),
            role: match role {
                live::StepRole::Replica => StepRole::Replica,
                live::StepRole::Primary => StepRole::Primary,
                live::StepRole::Witness => StepRole::Witness,
            },
            led_raft: *led_raft,
            epoch: epoch.0,
            state: match state {
                live::StepState::Out => StepState::Out,
                live::StepState::Confirmed => StepState::Confirmed,
                live::StepState::Failed { reason } => StepState::Failed { reason: reason.into() },
                live::StepState::SetAside => StepState::SetAside,
                live::StepState::Inconclusive { reason } => StepState::Inconclusive { reason: reason.into() },
            },
            began_at_ms: *began_at_ms,
            ended_at_ms: *ended_at_ms,
        }
    }
}

impl From<Step> for live::StepRecord {
    fn from(step: Step) -> Self {
        let Step { node, target, shard, role, led_raft, epoch, state, began_at_ms, ended_at_ms } = step;
        live::StepRecord {
            node: NodeId(node),
            target: Digest(target),
            shard: shard.map(ShardId),
            role: match role {
                StepRole::Replica => live::StepRole::Replica,
                StepRole::Primary => live::StepRole::Primary,
                StepRole::Witness => live::StepRole::Witness,
            },
            led_raft,
            epoch: Epoch(epoch),
            state: match state {
                StepState::Out => live::StepState::Out,
                StepState::Confirmed => live::StepState::Confirmed,
                StepState::Failed { reason } => live::StepState::Failed { reason: reason.into() },
                StepState::SetAside => live::StepState::SetAside,
                StepState::Inconclusive { reason } => live::StepState::Inconclusive { reason: reason.into() },
            },
            began_at_ms,
            ended_at_ms,
        }
    }
}

impl From<&live::HandoverRecord> for Handover {
    fn from(live::HandoverRecord { shard, from, to, epoch, stall_us }: &live::HandoverRecord) -> Self {
        Handover { shard: shard.0, from: from.0, to: to.0, epoch: epoch.0, stall_us: *stall_us }
    }
}

impl From<Handover> for live::HandoverRecord {
    fn from(Handover { shard, from, to, epoch, stall_us }: Handover) -> Self {
        live::HandoverRecord {
            shard: ShardId(shard),
            from: NodeId(from),
            to: NodeId(to),
            epoch: Epoch(epoch),
            stall_us,
        }
    }
}

impl From<&live::HistoryEntry> for Ended {
    fn from(live::HistoryEntry { plan, outcome, ended_at_ms }: &live::HistoryEntry) -> Self {
        let outcome = match outcome {
            live::Outcome::Finalized => Outcome::Finalized,
            live::Outcome::Aborted => Outcome::Aborted,
            live::Outcome::RolledBack => Outcome::RolledBack,
            live::Outcome::Superseded => Outcome::Superseded,
        };
        Ended { plan: plan.into(), outcome, ended_at_ms: *ended_at_ms }
    }
}

impl TryFrom<Ended> for live::HistoryEntry {
    type Error = BadField;

    fn try_from(Ended { plan, outcome, ended_at_ms }: Ended) -> Result<Self, BadField> {
        let outcome = match outcome {
            Outcome::Finalized => live::Outcome::Finalized,
            Outcome::Aborted => live::Outcome::Aborted,
            Outcome::RolledBack => live::Outcome::RolledBack,
            Outcome::Superseded => live::Outcome::Superseded,
        };
        Ok(live::HistoryEntry { plan: plan.try_into()?, outcome, ended_at_ms })
    }
}
