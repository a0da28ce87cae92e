//! Changing a stream.
//!
//! *Invariant:* a change that does not fit is refused, and has changed nothing.

use super::block::Block;
use super::change::{StreamChange, StreamHead};
use super::group::Group;
use super::id::StreamId;
use super::{BLOCK_BYTES, Stream};
use crate::effect::EffectError;
use crate::items::Items;
use crate::progress::ticking;

impl Stream {
    /// # Errors
    /// [`EffectError::StreamOrder`], [`EffectError::StreamBlock`], [`EffectError::StreamTrim`] and
    /// [`EffectError::NoConsumer`]: the change is not about this stream.
    pub fn apply(&mut self, change: &StreamChange<'_>) -> Result<(), EffectError> {
        match *change {
            StreamChange::Add { id, fields } => return self.add(id, fields),
            StreamChange::Block { id, bytes } => return self.add_block(id, bytes),
            StreamChange::Head(head) => self.head = head,
            StreamChange::Delete { ids } => ticking(ids.iter()).for_each(|id| self.delete(id)),
            StreamChange::Trim { blocks, entries } => return self.trim(blocks, entries),
            StreamChange::Group { name, last_id, entries_read } => {
                if let Some(group) = self.groups.get_mut(name) {
                    (group.last_id, group.entries_read) = (last_id, entries_read);
                } else {
                    let group = Group::at(last_id, entries_read);
                    self.bytes += name.len() + group.heap_bytes();
                    self.groups.insert(name.into(), group);
                }
            }
            StreamChange::RemoveGroup { name } => {
                if let Some(group) = self.groups.remove(name) {
                    self.bytes -= name.len() + group.heap_bytes();
                }
            }
            StreamChange::Consumer { group, name, seen_ms } => {
                let group = self.groups.get_mut(group).ok_or(EffectError::NoConsumer)?;
                if group.see(name, seen_ms) {
                    self.bytes += Group::consumer_bytes(name);
                }
            }
            StreamChange::RemoveConsumer { group, name } => {
                let group = self.groups.get_mut(group).ok_or(EffectError::NoConsumer)?;
                if let Some(pending) = group.forget(name) {
                    self.bytes -= Group::consumer_bytes(name) + pending * Group::pending_bytes();
                }
            }
            StreamChange::Pend { group, consumer, pending } => {
                let group = self.groups.get_mut(group).ok_or(EffectError::NoConsumer)?;
                if group.consumer(consumer).is_none() {
                    return Err(EffectError::NoConsumer);
                }
                let new = ticking(pending.iter()).filter(|pending| group.pend(consumer, *pending)).count();
                self.bytes += new * Group::pending_bytes();
            }
            StreamChange::Acknowledge { group, ids } => {
                let group = self.groups.get_mut(group).ok_or(EffectError::NoConsumer)?;
                let gone = ticking(ids.iter()).filter(|id| group.acknowledge(*id)).count();
                self.bytes -= gone * Group::pending_bytes();
            }
        }
        Ok(())
    }

    fn add(&mut self, id: StreamId, fields: Items<'_, [&[u8]; 2]>) -> Result<(), EffectError> {
        let StreamHead { last_id, .. } = self.head;
        if id <= last_id {
            return Err(EffectError::StreamOrder { id, last_id });
        }
        let bytes = fields.iter().map(|[name, value]| name.len() + value.len()).sum();
        match self.blocks.last_entry() {
            Some(mut last) if last.get().has_room(bytes) => {
                let block_id = *last.key();
                let block = last.get_mut();
                self.bytes -= block.heap_bytes();
                block.add(block_id, id, fields);
                self.bytes += block.heap_bytes();
            }
            last => {
                if let Some(mut full) = last {
                    self.bytes -= full.get().heap_bytes();
                    full.get_mut().shrink();
                    self.bytes += full.get().heap_bytes();
                }
                let mut block = Block::of(fields);
                block.add(id, id, fields);
                self.insert(id, block);
            }
        }
        self.len += 1;
        self.head.added = self.head.added.wrapping_add(1);
        self.head.last_id = id;
        Ok(())
    }

    /// Under an id that is free, or under that of a block of which nothing is left: XSETID may go back to below it.
    fn insert(&mut self, id: StreamId, block: Block) {
        self.bytes += block.heap_bytes() + BLOCK_BYTES;
        if let Some(old) = self.blocks.insert(id, block) {
            self.bytes -= old.heap_bytes() + BLOCK_BYTES;
            self.len -= old.counts().0;
        }
    }

    fn add_block(&mut self, id: StreamId, bytes: &[u8]) -> Result<(), EffectError> {
        let block = Block::check(bytes).filter(|_| !self.blocks.contains_key(&id));
        let block = block.ok_or(EffectError::StreamBlock { id })?;
        self.len += block.counts().0;
        self.insert(id, block);
        Ok(())
    }

    fn drop_block(&mut self, id: StreamId) {
        if let Some(block) = self.blocks.remove(&id) {
            self.bytes -= block.heap_bytes() + BLOCK_BYTES;
            self.len -= block.counts().0;
        }
    }

    fn delete(&mut self, id: StreamId) {
        let Some(entry) = self.get(id) else { return };
        let (block_id, raw) = (entry.block_id(), *entry.raw());
        let block = self.blocks.get_mut(&block_id).expect("it was just found");
        if block.counts().0 == 1 {
            self.drop_block(block_id);
        } else {
            self.bytes -= block.heap_bytes();
            block.delete(&raw);
            self.bytes += block.heap_bytes();
            self.len -= 1;
        }
        self.head.max_deleted = self.head.max_deleted.max(id);
    }

    fn trim(&mut self, blocks: u64, entries: u64) -> Result<(), EffectError> {
        let fits = usize::try_from(blocks).is_ok_and(|count| {
            let mut rest = self.blocks.values().skip(count.saturating_sub(1));
            let dropped = count == 0 || rest.next().is_some();
            dropped && (entries == 0 || rest.next().is_some_and(|block| block.counts().0 >= entries))
        });
        if !fits {
            return Err(EffectError::StreamTrim { blocks, entries });
        }
        for _ in ticking(0..blocks) {
            let id = *self.blocks.keys().next().expect("there are as many");
            self.drop_block(id);
        }
        if let Some(mut first) = self.blocks.first_entry().filter(|_| entries > 0) {
            let block = first.get_mut();
            self.bytes -= block.heap_bytes();
            block.delete_first(entries);
            self.bytes += block.heap_bytes();
            self.len -= entries;
        }
        Ok(())
    }
}
