//! What was acknowledged to clients, or shown to them; what a dataset lacks of it; and what a client may not be told.
//!
//! *Invariant:* a write counts from the moment in which its answer leaves the node, whether or not it arrives. A read of a
//! shard in mode `in-sync` counts like an acknowledgement of what it shows (I16).

use crate::stream::{Store, Write};
use ironcache_types::{ShardId, Slot};
use std::collections::BTreeMap;

/// In mode `primary` a member may trail by this many acknowledged writes; at that bound its primary waits for it.
pub(crate) const MAX_LAG: usize = 24;

/// Of each shard the acknowledged writes, in order: every dataset that may be promoted begins with them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    shards: BTreeMap<ShardId, Account>,
    /// Writes that a failover in mode `primary` cost.
    pub lost: usize,
}

#[derive(Debug, Default)]
struct Account {
    writes: Vec<Write>,
    /// How often something was given up.
    generation: u64,
    /// How far clients have been told: of each slot the newest write.
    told: BTreeMap<Slot, usize>,
}

/// What a client that asks now has to be shown at least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    generation: u64,
    writes: usize,
}

impl Ledger {
    /// The node answers, by the first `count` writes of its dataset, that they are done, or what they come to.
    ///
    /// # Errors
    /// What it lacks that was acknowledged before, or that it is of another history.
    pub(crate) fn acknowledge(&mut self, shard: ShardId, store: &Store, count: usize) -> Result<(), String> {
        let missing = self.missing(shard, store);
        let account = self.shards.entry(shard).or_default();
        let known = account.writes.len();
        if count > known {
            if missing > 0 {
                return Err(format!(
                    "I13: a primary of shard {shard} acknowledges without {missing} earlier writes"
                ));
            }
            account.writes.extend_from_slice(&store.writes[known..count]);
            store.checked.set((account.generation, count));
        } else if known - missing < count {
            return Err(format!(
                "I16: a primary of shard {shard} answers by {count} writes, of which only the first {} are those that were acknowledged",
                known - missing
            ));
        }
        Ok(())
    }

    /// How many acknowledged writes the dataset lacks.
    pub(crate) fn missing(&self, shard: ShardId, store: &Store) -> usize {
        let Some(Account { writes, generation, .. }) = self.shards.get(&shard) else { return 0 };
        let (of, checked) = store.checked.get();
        let from = if of == *generation { checked.min(store.writes.len()) } else { 0 };
        let (known, held) = (&writes[from.min(writes.len())..], &store.writes[from..]);
        let same = from + known.iter().zip(held).take_while(|(a, b)| a == b).count();
        store.checked.set((*generation, same));
        writes.len() - same.min(writes.len())
    }

    /// The shard goes on with this dataset, and what it lacks is lost.
    pub(crate) fn give_up(&mut self, shard: ShardId, store: &Store) {
        let missing = self.missing(shard, store);
        if missing == 0 {
            return;
        }
        if let Some(account) = self.shards.get_mut(&shard) {
            account.writes.truncate(account.writes.len() - missing);
            account.generation += 1;
            account.told.clear();
        }
        self.lost += missing;
    }

    // --- what clients know -----------------------------------------------------------------------------------

    /// Are the first `count` writes of the dataset acknowledged ones? Then by which generation.
    pub(crate) fn is_sure(&self, shard: ShardId, store: &Store, count: usize) -> Option<u64> {
        let account = self.shards.get(&shard)?;
        (count + self.missing(shard, store) <= account.writes.len()).then_some(account.generation)
    }

    /// A client has heard of the newest write of a slot, which had been acknowledged by then.
    pub(crate) fn heard(&mut self, shard: ShardId, slot: Slot, generation: u64, count: usize) {
        let account = self.shards.entry(shard).or_default();
        if generation == account.generation {
            let told = account.told.entry(slot).or_default();
            *told = count.max(*told);
        }
    }

    pub(crate) fn floor(&self, shard: ShardId, slot: Slot) -> Floor {
        let account = self.shards.get(&shard);
        Floor {
            generation: account.map_or(0, |account| account.generation),
            writes: account.and_then(|account| account.told.get(&slot).copied()).unwrap_or_default(),
        }
    }

    /// A client that asked at `floor` is shown the state after `count` writes of its slot.
    ///
    /// # Errors
    /// It is older than what some client had been told when it asked.
    pub(crate) fn check_read(&self, shard: ShardId, floor: Floor, count: usize) -> Result<(), String> {
        let generation = self.shards.get(&shard).map_or(0, |account| account.generation);
        if floor.generation == generation && count < floor.writes {
            return Err(format!(
                "a read of shard {shard} shows write {count}, and write {} had been acknowledged before it was asked",
                floor.writes
            ));
        }
        Ok(())
    }

    /// The acknowledged writes of one shard.
    pub(crate) fn of(&self, shard: ShardId) -> &[Write] {
        self.shards.get(&shard).map_or(&[], |account| &account.writes)
    }

    /// How many writes are acknowledged and not given up.
    pub(crate) fn len(&self) -> usize {
        self.shards.values().map(|account| account.writes.len()).sum()
    }
}
