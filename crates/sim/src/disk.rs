//! What lies on a node's disk: the checkpoint that an orderly stop wrote, and the tails that it keeps of other shards.
//!
//! *Invariant:* a process that is killed leaves nothing new here: what it held in memory is gone.

use crate::node::Process;
use crate::rng::Rng;
use crate::stream::{Store, Write, offset_of};
use ironcache_replication::{KeptTail, Lineage, Message};
use ironcache_shard::keeper::Kept;
use ironcache_shard::{CheckpointFate, Held, OnTrial, fate_of_checkpoint};
use ironcache_types::{Epoch, Incarnation, Level, Member, Offset, ShardId};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub checkpoint: Option<Checkpoint>,
    pub tails: BTreeMap<(ShardId, Epoch), TailFile>,
    /// Nothing can be written before this time.
    pub full_until_ms: u64,
}

/// A whole dataset.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    writes: Vec<Write>,
    lineage: Lineage,
    sealed_by: Option<Incarnation>,
    level: Level,
}

impl Checkpoint {
    /// What the process holds now, if it is a whole dataset: the product's `begin_and_end`.
    pub(crate) fn of(process: &Process) -> Option<Self> {
        let saved = process.engine.saved_position()?;
        let sealed_by = match process.engine.primary() {
            Some(_) => Some(process.me.incarnation),
            None => process.engine.unchanged().and_then(|read| read.sealed_by),
        };
        let writes = process.store.writes.clone();
        Some(Checkpoint { writes, lineage: saved.lineage, sealed_by, level: process.level() })
    }

    /// The first `count` writes of it, as a snapshot would have had them that was taken then.
    pub(crate) fn cut(mut self, count: usize) -> Option<Self> {
        self.writes.truncate(count);
        let end = offset_of(self.writes.len());
        let reached: Vec<_> =
            self.lineage.entries().iter().copied().filter(|(_, start)| *start <= end).collect();
        let lineage = Lineage::from_entries(&reached).ok()?;
        Some(Checkpoint { lineage, sealed_by: None, ..self })
    }

    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    pub(crate) fn store(&self) -> Store {
        Store::holding(self.writes.clone())
    }

    pub(crate) fn held(&self) -> Held {
        let (lineage, offset) = (self.lineage.clone(), offset_of(self.writes.len()));
        Held { lineage, offset, sealed_by: self.sealed_by, taken_ms: 0 }
    }
}

impl Disk {
    pub(crate) fn is_full(&self, now_ms: u64) -> bool {
        now_ms < self.full_until_ms
    }

    /// The machine goes down: what was not synced may be gone, up to any place. A checkpoint was; a kept tail stands in for
    /// another machine, and is not.
    pub(crate) fn lose_unsynced(&mut self, rng: &mut Rng) {
        for file in self.tails.values_mut() {
            let count =
                usize::try_from(rng.below(file.writes.len() as u64 + 1)).expect("it is below a length");
            file.read_back(count);
        }
    }

    /// Removes the checkpoint when the log says that it may go, or that it is of another branch.
    pub(crate) fn tend_checkpoint(&mut self, process: &Process, on_trial: OnTrial) {
        let Some(Checkpoint { writes, lineage, .. }) = &self.checkpoint else { return };
        let end = offset_of(writes.len());
        match fate_of_checkpoint(&process.view, process.me, lineage, end, on_trial) {
            CheckpointFate::Stays => {}
            CheckpointFate::Goes | CheckpointFate::IsSetAside => self.checkpoint = None,
        }
    }
}

/// One tail, and its head.
#[derive(Clone, Debug)]
pub(crate) struct TailFile {
    pub tail: KeptTail,
    pub by: Member,
    pub isr_epoch: Epoch,
    pub writes: Vec<Write>,
}

impl TailFile {
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            epoch: self.tail.source().epoch,
            by: self.by,
            isr_epoch: self.isr_epoch,
            from: self.tail.from(),
            whole: self.tail.whole(),
        }
    }

    /// The first `count` writes of it, as they are found in the file.
    fn read_back(&mut self, count: usize) {
        self.writes.truncate(count);
        let from = self.tail.from();
        let mut tail = KeptTail::new(self.tail.source(), self.tail.lineage().clone(), from);
        let mut start = from;
        for write in &self.writes {
            let frame = write.effects(start);
            start = frame.end();
            tail.admit(&Message::Effects(frame)).expect("it was admitted before");
        }
        self.tail = tail;
    }

    /// What follows `cursor`, and lies in whole commands.
    pub(crate) fn after(&self, cursor: Offset) -> &[Write] {
        let from = crate::stream::writes_below(Offset(cursor.0 - self.tail.from().0));
        self.writes.get(from..).unwrap_or_default()
    }
}
