//! What must never be, looked at after every entry and every tick. The invariants of the log itself are
//! checked by `apply` in debug builds.

use crate::node::Process;
use crate::world::World;
use ironcache_control::{ControlState, Shard};
use ironcache_types::{Member, NodeId, ShardId};

/// The coordinator's bar, and some elections, stalls and lost proposals on top.
const HANDOVER_MS_MAX: u64 = 3_000;

impl World {
    /// After an accepted entry.
    pub fn check_entry(&self, before: &ControlState) -> Result<(), String> {
        for (id, shard) in &self.truth.shards {
            let was = before.shards.get(id).and_then(Shard::primary);
            if let Some(now) = shard.primary()
                && was != Some(now)
            {
                self.check_new_primary(*id, now)?;
            }
        }
        Ok(())
    }

    /// I13: whoever becomes primary holds every acknowledged write.
    fn check_new_primary(&self, shard: ShardId, member: Member) -> Result<(), String> {
        let Some(process) = self.process(member.node).filter(|p| p.me == member) else {
            // It died on the way; its next life will have to register first.
            return Ok(());
        };
        let lost = self.acknowledged(shard).filter(|w| !process.data.writes.contains(w)).count();
        if lost > 0 {
            return Err(format!(
                "I13: {member} becomes primary of shard {shard} without {lost} acknowledged writes"
            ));
        }
        Ok(())
    }

    /// I14: two processes of a shard never both execute writes.
    pub fn check_tick(&self) -> Result<(), String> {
        for (id, shard) in &self.truth.shards {
            let executing: Vec<&NodeId> =
                shard.nodes.iter().filter(|n| self.process(**n).is_some_and(Process::executes)).collect();
            if executing.len() > 1 {
                return Err(format!("I14: {executing:?} execute writes of shard {id} at once"));
            }
        }
        Ok(())
    }

    /// I19: a handover ends within a bound while somebody leads.
    pub fn check_handovers(&mut self, tick_ms: u64) -> Result<(), String> {
        let in_flight: Vec<_> =
            self.truth.shards.values().filter_map(|s| Some((s.id, s.handover?.epoch))).collect();
        self.handovers_ms.retain(|flight, _| in_flight.contains(flight));
        if self.leadership.is_none() {
            return Ok(());
        }
        for flight in in_flight {
            let age_ms = self.handovers_ms.entry(flight).or_default();
            *age_ms += tick_ms;
            if *age_ms > HANDOVER_MS_MAX {
                return Err(format!(
                    "I19: handover {} of shard {} is in flight for {age_ms} ms",
                    flight.1, flight.0
                ));
            }
        }
        Ok(())
    }

    /// A binary is changed only under a node that the log has relieved of every role.
    pub fn check_activation(&self, me: Member) -> Result<(), String> {
        let node = &self.truth.nodes[&me.node];
        let in_a_role = self.truth.shards.values().any(|s| s.in_sync.contains(&me) || s.is_primary(me));
        if in_a_role {
            return Err(format!("I5/I18: {me} changes its binary while it has a role"));
        }
        match &node.out {
            None => Err(format!("{me} changes its binary without a step")),
            Some(_) => Ok(()),
        }
    }

    /// After the healing: everybody is in service, and every acknowledged write is there.
    pub fn check_end(&self) -> Result<(), String> {
        for (id, shard) in &self.truth.shards {
            let primary = shard.primary().ok_or_else(|| format!("shard {id} has no primary"))?;
            self.check_new_primary(*id, primary)?;
        }
        for process in self.nodes.keys().filter_map(|id| self.process(*id)) {
            if process.applied == self.log.len() && hash(&process.view) != hash(&self.truth) {
                return Err(format!("I17: {} holds another state", process.me));
            }
        }
        Ok(())
    }
}

/// What nodes compare: the hash of a state at its own level. The model's log remembers no answers.
pub(crate) fn hash(state: &ControlState) -> u64 {
    ironcache_formats::state::hash(state, []).expect("no node of a run is above the levels of this build")
}
