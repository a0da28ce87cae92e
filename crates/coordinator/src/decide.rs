//! The order in which a leader looks at things: lost primaries, handovers that hang, what is in flight, and
//! only then the next step.

use crate::bars::Bars;
use crate::decision::Decision;
use crate::observation::Observation;
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use crate::{
    auto, failover, handover, in_flight, keeper, members, rollback, rolling, soaking, staging, transfer,
};
use ironcache_control::{Command, ControlState, HoldReason, Phase};

/// What the leader does now. `now_wall_ms` (Unix ms) goes into the times that commands keep for people, and is compared with
/// nothing: how long things have been going on is in `obs.timers`, by the leader's monotonic clock.
pub fn decide(state: &ControlState, obs: &Observation, bars: &Bars, now_wall_ms: u64) -> Decision {
    let view = View { state, obs, bars };
    if state.cluster_id.is_none() {
        return Decision::Done;
    }
    if !obs.leader_settled {
        return Decision::Wait(vec![WaitingOn::LeaderSettling { leader: obs.leader }]);
    }
    let mut waiting = Vec::new();
    if let Some(to) = transfer::away_from_an_odd_leader(view) {
        return Decision::TransferLeader { to };
    }
    let urgent = failover::next(view, now_wall_ms, &mut waiting).or_else(|| handover::abort_overdue(view));
    if let Some(command) = urgent {
        return Decision::Propose(command);
    }
    if let Some(command) = keeper::next(view) {
        return Decision::Propose(command);
    }
    let changing = state.membership.is_some();
    if let Some(decision) = state.membership.and_then(|change| members::next(view, change, &mut waiting)) {
        return decision;
    }
    let Some(plan) = &state.plan else {
        if changing {
            return Decision::Wait(waiting);
        }
        return match auto::next(view, now_wall_ms) {
            Some(command) => Decision::Propose(command),
            None if waiting.is_empty() => Decision::Done,
            None => Decision::Wait(waiting),
        };
    };
    if let Some(command) = in_flight::next(view, plan, &mut waiting) {
        return Decision::Propose(command);
    }
    match &plan.phase {
        Phase::Paused => note(&mut waiting, WaitingOn::Paused { plan: plan.id }),
        Phase::Held { reason } => {
            if let Some(command) = rollback::after_failure(view, plan, reason) {
                return Decision::Propose(command);
            }
            if is_safe_again(state, reason) {
                return Decision::Propose(Command::Resume { plan: plan.id });
            }
            note(&mut waiting, WaitingOn::Held { plan: plan.id, reason: reason.clone() });
            keeper::note_full(view, &mut waiting);
        }
        Phase::Staging => {
            staging::gates(view, plan, &mut waiting);
            // Nodes may be out when a plan is resumed: they are no reason to stay in staging.
            let blocked = waiting.iter().any(|w| !matches!(w, WaitingOn::NodeOut { .. }));
            if !blocked {
                let (plan, plan_epoch) = (plan.id, plan.epoch);
                return Decision::Propose(Command::BeginRolling { plan, plan_epoch });
            }
        }
        Phase::TurningBack { .. } => {
            if let Some(command) = rollback::turn(view, plan, &mut waiting) {
                return Decision::Propose(command);
            }
        }
        Phase::Soaking { since_ms: _, soaked_ms } => {
            if let Some(command) = soaking::next(view, plan, *soaked_ms, now_wall_ms, &mut waiting) {
                return Decision::Propose(command);
            }
        }
        // No step begins; what is waited for has been noted.
        Phase::Rolling if changing => {}
        Phase::Rolling => {
            if let Some(decision) = rolling::next(view, plan, now_wall_ms, &mut waiting) {
                return decision;
            }
        }
    }
    Decision::Wait(waiting)
}

/// Was the plan held because one process alone knew what a shard acknowledged, and is that over?
fn is_safe_again(state: &ControlState, held: &HoldReason) -> bool {
    match held {
        HoldReason::Exposed { shard: _ } => state.shards.values().all(|shard| !shard.exposed),
        // Somebody has to look.
        HoldReason::StepFailed { .. }
        | HoldReason::StepInconclusive { .. }
        | HoldReason::StepTimedOut { .. }
        | HoldReason::StateMismatch { .. } => false,
    }
}
