//! What nodes take for the time of day: days apart, and set in the middle of everything.
//!
//! *Invariant:* nothing may come of it: what the log and the nodes do is the same for any times of day.

use crate::rng::Rng;
use crate::world::World;
use ironcache_types::NodeId;

/// When the simulated time begins, in Unix ms.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// A machine whose battery is empty, or whose person mistook the month.
const DAYS_MAX: u64 = 20;
const DAY_MS: u64 = 86_400_000;

/// Any offset to the true time of day, in ms.
pub(crate) fn any(rng: &mut Rng) -> i64 {
    let span_ms = 2 * DAYS_MAX * DAY_MS;
    rng.below(span_ms).cast_signed() - (span_ms / 2).cast_signed()
}

impl World {
    /// What that node takes for the time of day, in Unix ms.
    pub(crate) fn wall_ms(&self, id: NodeId) -> u64 {
        let ahead_ms = self.nodes.get(&id).map_or(0, |node| node.wall_ahead_ms);
        (EPOCH_MS + self.now_ms).saturating_add_signed(ahead_ms)
    }

    /// Somebody sets a clock: most often of the leader, which dates what it proposes by it.
    pub(crate) fn set_a_wall_clock(&mut self, ids: &[NodeId]) {
        if !self.walls.chance(1, 50) {
            return;
        }
        let leader = self.leadership.as_ref().map(|leadership| leadership.leader);
        let anybody = self.walls.pick(ids);
        let id = leader.filter(|_| self.walls.chance(3, 4)).or(anybody);
        let ahead_ms = any(&mut self.walls);
        if let Some(node) = id.and_then(|id| self.nodes.get_mut(&id)) {
            node.wall_ahead_ms = ahead_ms;
        }
    }
}
