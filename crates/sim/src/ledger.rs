//! What was acknowledged to clients, and what a dataset lacks of it.

use ironcache_types::ShardId;
use std::collections::BTreeMap;

/// In mode `primary` a member may trail by this many acknowledged writes; at that bound its primary waits for it.
pub(crate) const MAX_LAG: usize = 24;

/// Of each shard the acknowledged writes, in order: every dataset that may be promoted begins with them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    shards: BTreeMap<ShardId, Vec<u64>>,
    /// Writes that a failover in mode `primary` cost.
    pub lost: usize,
}

impl Ledger {
    /// The primary acknowledges `writes`, everything that it executed up to some point.
    ///
    /// # Errors
    /// What it lacks that was acknowledged before.
    pub(crate) fn acknowledge(&mut self, shard: ShardId, writes: &[u64]) -> Result<(), String> {
        let missing = self.missing(shard, writes);
        let known = self.shards.entry(shard).or_default();
        if writes.len() > known.len() {
            if missing > 0 {
                return Err(format!(
                    "I13: a primary of shard {shard} acknowledges without {missing} earlier writes"
                ));
            }
            known.extend_from_slice(&writes[known.len()..]);
        }
        Ok(())
    }

    /// How many acknowledged writes the dataset lacks.
    pub(crate) fn missing(&self, shard: ShardId, writes: &[u64]) -> usize {
        let known = self.shards.get(&shard).map_or(&[][..], Vec::as_slice);
        if writes.starts_with(known) {
            return 0;
        }
        known.len() - known.iter().zip(writes).take_while(|(a, b)| a == b).count()
    }

    /// The shard goes on with this dataset, and what it lacks is lost.
    pub(crate) fn give_up(&mut self, shard: ShardId, writes: &[u64]) {
        let missing = self.missing(shard, writes);
        if let Some(known) = self.shards.get_mut(&shard) {
            known.truncate(known.len() - missing);
        }
        self.lost += missing;
    }

    /// The acknowledged writes of one shard.
    pub(crate) fn of(&self, shard: ShardId) -> &[u64] {
        self.shards.get(&shard).map_or(&[], Vec::as_slice)
    }

    /// How many writes are acknowledged and not given up.
    pub(crate) fn len(&self) -> usize {
        self.shards.values().map(Vec::len).sum()
    }
}
