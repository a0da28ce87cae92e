//! What a node holds of its shard: the writes in the order of the stream. The keyspace is a slot's newest write.
//!
//! *Invariant:* a write is a frame of the real stream, and its offset that frame's: every frame is of one length, so that
//! an offset is a number of writes.

use ironcache_replication::{Effects, Scope};
use ironcache_shard::Retention;
use ironcache_types::{Epoch, Level, Offset, Slot};
use std::cell::Cell;

/// How many writes a primary keeps for replicas that come back, unless somebody asks for more. Fewer: nearly everybody
/// gets a whole dataset; more: nobody ever does.
const BACKLOG_WRITES: usize = 200;

/// One client's operation, as it was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub level: Level,
    pub epoch: Epoch,
    pub slot: Slot,
    op: [u8; 8],
}

impl Write {
    pub(crate) fn new(level: Level, epoch: Epoch, slot: Slot, op: u64) -> Self {
        Write { level, epoch, slot, op: op.to_le_bytes() }
    }

    pub(crate) fn effects(&self, start: Offset) -> Effects<'_> {
        let Write { level, epoch, slot, op } = self;
        Effects { level: *level, epoch: *epoch, start, scope: Scope::Slot(*slot), bytes: op }
    }
}

/// The length of each frame.
fn frame_bytes() -> u64 {
    Write::new(Level::FIRST, Epoch(0), Slot(0), 0).effects(Offset(0)).end().0
}

/// Where a stream of so many writes ends.
pub(crate) fn offset_of(writes: usize) -> Offset {
    Offset(writes as u64 * frame_bytes())
}

/// How many writes are below `offset`.
pub(crate) fn writes_below(offset: Offset) -> usize {
    usize::try_from(offset.0 / frame_bytes()).expect("a run is short")
}

/// The dataset, and how much of the stream can be sent on.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub writes: Vec<Write>,
    /// The backlog begins with this write.
    backlog_from: usize,
    pub retained: Retention,
    /// What lies before was written under an earlier role.
    pub written_from: usize,
    /// So many of the first writes are known to be the acknowledged ones, by the ledger of that generation.
    pub checked: Cell<(u64, usize)>,
}

impl Store {
    pub(crate) fn holding(writes: Vec<Write>) -> Self {
        Store { backlog_from: writes.len(), writes, ..Store::default() }
    }

    pub(crate) fn end(&self) -> Offset {
        offset_of(self.writes.len())
    }

    pub(crate) fn backlog_start(&self) -> Offset {
        offset_of(self.backlog_from)
    }

    pub(crate) fn backlog_bytes() -> u64 {
        offset_of(BACKLOG_WRITES).0
    }

    /// The level at which the first write from `offset` on was written, as far as the backlog reaches.
    pub(crate) fn level_at(&self, offset: Offset) -> Option<Level> {
        let index = writes_below(offset);
        self.writes.get(index).filter(|_| index >= self.backlog_from).map(|write| write.level)
    }

    /// What follows `cursor`, at most `count` writes; `None` if the backlog does not reach back to it.
    pub(crate) fn after(&self, cursor: Offset, count: usize) -> Option<&[Write]> {
        let from = writes_below(cursor);
        let to = self.writes.len().min(from + count);
        self.writes.get(from..to).filter(|_| from >= self.backlog_from)
    }

    pub(crate) fn push(&mut self, write: Write) {
        self.writes.push(write);
    }

    pub(crate) fn clear(&mut self) {
        self.writes.clear();
        self.checked.set((0, 0));
        self.reset_backlog();
    }

    /// A dataset from elsewhere.
    pub(crate) fn load(&mut self, writes: Vec<Write>) {
        self.writes = writes;
        self.checked.set((0, 0));
        self.reset_backlog();
    }

    pub(crate) fn reset_backlog(&mut self) {
        self.backlog_from = self.writes.len();
    }

    pub(crate) fn retain(&mut self, retained: Retention) {
        self.retained = retained;
        let from = self.writes.len().saturating_sub(BACKLOG_WRITES);
        let held = retained.hold_from.map_or(from, writes_below);
        self.backlog_from = self.backlog_from.max(from.min(held));
    }

    /// The newest write of a slot: how many writes there are up to it.
    pub(crate) fn newest(&self, slot: Slot) -> usize {
        self.writes.iter().rposition(|write| write.slot == slot).map_or(0, |index| index + 1)
    }
}
