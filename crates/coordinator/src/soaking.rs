//! Everybody runs the target: when it becomes final.

use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, ControlState, FinalizeAfter, Plan};
use ironcache_types::Level;

/// Finalizes the plan once it has soaked for as long as it was started with.
pub(crate) fn next(
    view: View<'_>,
    plan: &Plan,
    since_ms: u64,
    now_wall_ms: u64,
    waiting: &mut Vec<WaitingOn>,
) -> Option<Command> {
    let soaked_ms = now_wall_ms.saturating_sub(since_ms);
    let remaining_ms = match plan.options.finalize_after {
        FinalizeAfter::Never => None,
        FinalizeAfter::Seconds(s) => Some(s.saturating_mul(1000).saturating_sub(soaked_ms)),
    };
    if remaining_ms != Some(0) {
        note(waiting, WaitingOn::Soaking { plan: plan.id, remaining_ms });
        return None;
    }
    // Who is out of reach is told of the new level when it comes back; a shard without a primary is no time for it.
    for shard in view.state.shards.values() {
        if let Err(reason) = view.primary(shard) {
            note(waiting, reason);
        }
    }
    if !waiting.is_empty() {
        return None;
    }
    let level = level_after(view.state);
    Some(Command::Finalize { plan: plan.id, plan_epoch: plan.epoch, level, at_ms: now_wall_ms })
}

/// The level that a finalize of now raises the cluster to: the highest that every node admits.
pub fn level_after(state: &ControlState) -> Level {
    state.nodes.values().map(|n| n.levels.max).min().unwrap_or(state.cluster_level).max(state.cluster_level)
}
