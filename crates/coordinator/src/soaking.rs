//! Everybody runs the target: when it becomes final.
//!
//! How long a plan has soaked is counted, and the count is in the log: a leader adds what its own monotonic clock has gone
//! on since it saw the log's count ([`crate::LeaderMemory`]), and has the sum committed now and then. A clock that is ahead,
//! behind, or set in the middle changes nothing; a change of leader loses what was counted since the newest entry, and no
//! more than that.
//!
//! *Invariant:* a plan becomes final by what the log says has been counted, and by no time of day.

use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, ControlState, Plan};
use ironcache_types::Level;

/// What a leader has counted is committed this often. A change of leader, or a restart of every node, makes a soak longer by
/// as much; a shorter time costs entries: at this one 1,440 for a day.
const COUNTED_EVERY_MS: u64 = 60_000;
/// A short soak is lengthened by a change of leader by this part of it at most, for as many entries.
const PARTS: u64 = 8;

/// Finalizes the plan once it has soaked for as long as it was started with; `soaked_ms` is the log's count.
pub(crate) fn next(
    view: View<'_>,
    plan: &Plan,
    soaked_ms: u64,
    now_wall_ms: u64,
    waiting: &mut Vec<WaitingOn>,
) -> Option<Command> {
    let (id, plan_epoch) = (plan.id, plan.epoch);
    let Some(soak_ms) = plan.options.finalize_after.soak_ms() else {
        note(waiting, WaitingOn::Soaking { plan: id, remaining_ms: None });
        return None;
    };
    if soaked_ms < soak_ms {
        let counted_ms = view.obs.timers.soaked_ms.unwrap_or(soaked_ms).clamp(soaked_ms, soak_ms);
        let due_ms = soaked_ms.saturating_add((soak_ms / PARTS).min(COUNTED_EVERY_MS)).min(soak_ms);
        if counted_ms >= due_ms {
            return Some(Command::Soaked { plan: id, plan_epoch, ms: counted_ms });
        }
        note(waiting, WaitingOn::Soaking { plan: id, remaining_ms: Some(soak_ms - counted_ms) });
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
    Some(Command::Finalize { plan: id, plan_epoch, level, at_ms: now_wall_ms })
}

/// The level that a finalize of now raises the cluster to: the highest that every node admits.
pub fn level_after(state: &ControlState) -> Level {
    state.nodes.values().map(|n| n.levels.max).min().unwrap_or(state.cluster_level).max(state.cluster_level)
}
