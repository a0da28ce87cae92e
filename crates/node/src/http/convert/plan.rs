//! A plan, and what is remembered of it.

use super::reason;
use ironcache_api as api;
use ironcache_control::{
    Direction, HandoverRecord, HistoryEntry, HoldReason, Outcome, Phase, Plan, PlanOptions, StartedBy,
    StepRecord, StepRole, StepState,
};

pub(in super::super) fn plan(plan: &Plan) -> api::Plan {
    let Plan {
        id,
        started_by,
        direction: way,
        origin,
        target,
        turn: _,
        options,
        phase: now,
        epoch,
        start_leader,
        start_primaries,
        steps,
        handovers,
        started_at_ms,
    } = plan;
    let PlanOptions { max_parallel, settle_ms, step_timeout_ms, finalize_after: _, on_failure: _ } = *options;
    api::Plan {
        id: *id,
        from: origin.version.clone(),
        target: target.clone(),
        started_by: match started_by {
            StartedBy::Operator => api::StartedBy::Operator,
            StartedBy::Policy => api::StartedBy::Policy,
        },
        direction: direction(way),
        options: api::PlanOptions { max_parallel, settle_ms, step_timeout_ms },
        phase: phase(now),
        epoch: *epoch,
        start_leader: *start_leader,
        start_primaries: start_primaries.clone(),
        steps: steps.iter().map(step).collect(),
        handovers: handovers.iter().map(handover).collect(),
        started_at_ms: *started_at_ms,
    }
}

fn direction(direction: &Direction) -> api::Direction {
    match direction {
        Direction::Forward => api::Direction::Forward,
        Direction::Back { reason: why } => api::Direction::Back { reason: reason(why) },
    }
}

fn phase(phase: &Phase) -> api::Phase {
    match phase {
        Phase::Staging => api::Phase::Staging,
        Phase::Rolling => api::Phase::Rolling,
        Phase::Paused => api::Phase::Paused,
        Phase::Held { reason } => api::Phase::Held { reason: hold_reason(reason) },
        Phase::TurningBack { reason: _ } => api::Phase::TurningBack,
        Phase::Soaking { since_ms, soaked_ms: _ } => api::Phase::Soaking { since_ms: *since_ms },
    }
}

pub(super) fn hold_reason(hold: &HoldReason) -> api::HoldReason {
    match hold {
        HoldReason::StepFailed { node, reason: text } => {
            api::HoldReason::StepFailed { node: *node, reason: reason(text) }
        }
        HoldReason::StepInconclusive { node, reason: text } => {
            api::HoldReason::StepInconclusive { node: *node, reason: reason(text) }
        }
        HoldReason::StepTimedOut { node, waited_ms } => {
            api::HoldReason::StepTimedOut { node: *node, waited_ms: *waited_ms }
        }
        HoldReason::StateMismatch { node, log_index } => {
            api::HoldReason::StateMismatch { node: *node, log_index: *log_index }
        }
        HoldReason::Exposed { shard } => api::HoldReason::Exposed { shard: *shard },
    }
}

fn step(step: &StepRecord) -> api::StepRecord {
    let StepRecord { node, target: _, shard, role, led_raft, epoch, state, began_at_ms, ended_at_ms } = step;
    api::StepRecord {
        node: *node,
        shard: *shard,
        role: match role {
            StepRole::Replica => api::StepRole::Replica,
            StepRole::Primary => api::StepRole::Primary,
            StepRole::Witness => api::StepRole::Witness,
        },
        led_raft: *led_raft,
        epoch: *epoch,
        state: match state {
            StepState::Out => api::StepState::Out,
            StepState::Confirmed => api::StepState::Confirmed,
            StepState::Failed { reason: text } => api::StepState::Failed { reason: reason(text) },
            StepState::Inconclusive { reason: text } => api::StepState::Inconclusive { reason: reason(text) },
            StepState::SetAside => api::StepState::SetAside,
        },
        began_at_ms: *began_at_ms,
        ended_at_ms: *ended_at_ms,
    }
}

fn handover(handover: &HandoverRecord) -> api::HandoverRecord {
    let HandoverRecord { shard, from, to, epoch, stall_us } = *handover;
    api::HandoverRecord { shard, from, to, epoch, stall_us }
}

pub(in super::super) fn history_entry(entry: &HistoryEntry) -> api::HistoryEntry {
    let HistoryEntry { plan: ended, outcome, ended_at_ms } = entry;
    api::HistoryEntry {
        plan: plan(ended),
        outcome: match outcome {
            Outcome::Finalized => api::Outcome::Finalized,
            Outcome::Aborted => api::Outcome::Aborted,
            Outcome::RolledBack => api::Outcome::RolledBack,
            Outcome::Superseded => api::Outcome::Superseded,
        },
        ended_at_ms: *ended_at_ms,
    }
}
