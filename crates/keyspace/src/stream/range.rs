//! Walking over the entries of a stream, from either end.

use super::Stream;
use super::block::{Block, Fields, Raw};
use super::id::StreamId;
use std::collections::btree_map;

/// An entry that is there.
#[derive(Clone, Copy)]
pub struct StreamEntry<'a> {
    block: &'a Block,
    block_id: StreamId,
    raw: Raw,
}

impl<'a> StreamEntry<'a> {
    pub fn id(&self) -> StreamId {
        self.raw.id
    }

    pub fn fields(&self) -> Fields<'a> {
        self.block.fields(&self.raw)
    }

    pub(super) fn block_id(&self) -> StreamId {
        self.block_id
    }

    pub(super) fn raw(&self) -> &Raw {
        &self.raw
    }
}

impl Stream {
    /// The entries from `first` to `last`, both included.
    pub fn range(&self, first: StreamId, last: StreamId) -> Range<'_> {
        let begin = self.blocks.range(..=first).next_back().map_or(StreamId::MIN, |(id, _)| *id);
        Range { blocks: self.blocks.range(begin..), within: None, first, last, over: false }
    }

    /// The same from `last` down to `first`.
    pub fn range_back(&self, first: StreamId, last: StreamId) -> RangeBack<'_> {
        let begin = self.blocks.range(..=last).next_back().map_or(StreamId::MAX, |(id, _)| *id);
        RangeBack(Range { blocks: self.blocks.range(..=begin), within: None, first, last, over: false })
    }

    pub fn get(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        self.range(id, id).next()
    }

    /// The first entry that there is.
    pub fn first_entry(&self) -> Option<StreamEntry<'_>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    pub fn last_entry(&self) -> Option<StreamEntry<'_>> {
        self.range_back(StreamId::MIN, StreamId::MAX).next()
    }
}

/// Upwards.
pub struct Range<'a> {
    blocks: btree_map::Range<'a, StreamId, Block>,
    /// The block that is walked through, its id, and where in it.
    within: Option<(StreamId, &'a Block, usize)>,
    first: StreamId,
    last: StreamId,
    over: bool,
}

impl<'a> Iterator for Range<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let (block_id, block, at) = match self.within {
                Some(within) => within,
                None => {
                    let (id, block) = self.blocks.next()?;
                    (*id, block, block.first_at())
                }
            };
            let raw = block.raw(block_id, at);
            self.within = raw.map(|raw| (block_id, block, block.after(&raw)));
            let Some(raw) = raw else { continue };
            if raw.id >= self.first && !raw.is_deleted() {
                self.over = raw.id > self.last;
                return (!self.over).then_some(StreamEntry { block, block_id, raw });
            }
        }
        None
    }
}

/// Downwards.
pub struct RangeBack<'a>(Range<'a>);

impl<'a> Iterator for RangeBack<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let range = &mut self.0;
        while !range.over {
            let (block_id, block, end) = match range.within {
                Some(within) => within,
                None => {
                    let (id, block) = range.blocks.next_back()?;
                    (*id, block, block.end())
                }
            };
            let at = block.before(end);
            range.within = at.map(|at| (block_id, block, at));
            let Some(raw) = at.and_then(|at| block.raw(block_id, at)) else { continue };
            if raw.id <= range.last && !raw.is_deleted() {
                range.over = raw.id < range.first;
                return (!range.over).then_some(StreamEntry { block, block_id, raw });
            }
        }
        None
    }
}
