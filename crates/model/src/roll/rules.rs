//! What has to be true of every state.

use super::world::World;
use ironcache_control::Shard;
use ironcache_types::Offset;

impl World {
    fn lacks(&self, shard: &Shard, data: &[u8]) -> bool {
        let of_shard = self.acknowledged.iter().filter(|(of, _)| *of == shard.id);
        of_shard.into_iter().any(|(_, write)| !data.contains(write))
    }

    /// Whoever serves a shard by the log has all that was ever acknowledged of it.
    pub(super) fn has_what_it_acknowledged(&self) -> bool {
        self.truth().shards.values().all(|shard| {
            let owner = shard.primary().and_then(|primary| self.at(primary)).and_then(|at| self.process(at));
            let serves = owner.filter(|process| process.engine.primary_epoch() == Some(shard.epoch));
            serves.is_none_or(|process| !self.lacks(shard, &process.data))
        })
    }

    /// I13, of every life that runs.
    pub(super) fn members_hold_it(&self) -> bool {
        self.truth().shards.values().all(|shard| {
            let lives = shard.in_sync.iter().filter_map(|member| self.process(self.at(*member)?));
            lives.into_iter().all(|process| !self.lacks(shard, &process.data))
        })
    }

    /// I14.
    pub(super) fn one_answers(&self) -> bool {
        let shards = self.truth().shards.keys();
        shards.into_iter().all(|shard| {
            let of_shard = (0..self.nodes.len()).filter(|at| self.shard_of(*at) == *shard);
            of_shard.filter(|at| self.answers(*at)).count() < 2
        })
    }

    fn answers(&self, at: usize) -> bool {
        let parks = self.broken != Some(super::Broken::UnparkBeforeApply);
        self.process(at).is_some_and(|process| {
            let engine = &process.engine;
            engine.is_serving() || (!parks && engine.primary().is_some() && engine.is_leased())
        })
    }

    /// I22, of the recorded keeper's file: it reaches from where who is out relies on it to the end of what is acknowledged.
    pub(super) fn is_in_two_places(&self) -> bool {
        let state = self.truth();
        state.shards.values().all(|shard| {
            let out = shard.nodes.iter().find_map(|id| state.nodes[id].out.as_ref());
            let Some(out) = out.filter(|_| !shard.exposed && shard.in_sync.len() < 2) else { return true };
            let Some(keeper) = shard.keeper_that_counts() else { return false };
            let file = &self.nodes[World::index_of(keeper.member.node)].tails.get(&(shard.id, keeper.epoch));
            let Some(tail) = file else { return false };
            let base = out.base_from.unwrap_or(Offset(0));
            let kept_from = super::world::frame_number(tail.kept.from());
            let below = |write: u8| {
                let of_shard = self.executed.iter().filter(|e| e.shard == shard.id && e.write == write);
                of_shard.into_iter().any(|executed| executed.number < kept_from)
            };
            let acknowledged = self.acknowledged.iter().filter(|(of, _)| *of == shard.id);
            tail.kept.from() <= base
                && acknowledged.into_iter().all(|(_, write)| below(*write) || tail.data.contains(write))
        })
    }
}
