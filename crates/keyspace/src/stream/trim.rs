//! What trimming takes off the front of a stream. Source: the rules of `XTRIM` of redis 7.

use super::Stream;
use super::block::Block;
use super::id::StreamId;

/// What is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// So many entries.
    Length(u64),
    /// None with an id below this one.
    Id(StreamId),
}

/// How closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimBy {
    Entries,
    /// Whole blocks; with a limit, none by which more entries would go than that.
    Blocks {
        entries_max: Option<u64>,
    },
}

/// What goes: so many blocks, and of the one after them so many entries, which stay as deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    pub blocks: u64,
    pub entries: u64,
    /// All entries that go.
    pub removed: u64,
}

impl Stream {
    pub fn trimmed(&self, to: TrimTo, by: TrimBy) -> Trimmed {
        let mut trimmed = Trimmed::default();
        let left = |trimmed: &Trimmed| self.len - trimmed.removed;
        for (id, block) in crate::progress::ticking(&self.blocks) {
            let (live, _) = block.counts();
            if matches!(to, TrimTo::Length(length) if left(&trimmed) <= length)
                || matches!(by, TrimBy::Blocks { entries_max: Some(max) } if trimmed.removed + live > max)
            {
                break;
            }
            let goes = match to {
                TrimTo::Length(length) => left(&trimmed) - live >= length,
                TrimTo::Id(min) => block.last_id(*id) < min,
            };
            if !goes {
                if by == TrimBy::Entries {
                    trimmed.entries = match to {
                        TrimTo::Length(length) => left(&trimmed) - length,
                        TrimTo::Id(min) => live_below(block, *id, min),
                    };
                    trimmed.removed += trimmed.entries;
                }
                break;
            }
            trimmed.blocks += 1;
            trimmed.removed += live;
        }
        trimmed
    }
}

/// Entries before the first that stands at `min` or above, be that one deleted.
fn live_below(block: &Block, block_id: StreamId, min: StreamId) -> u64 {
    let (mut count, mut at) = (0, block.first_at());
    while let Some(raw) = block.raw(block_id, at).filter(|raw| raw.id < min) {
        count += u64::from(!raw.is_deleted());
        at = block.after(&raw);
    }
    count
}
