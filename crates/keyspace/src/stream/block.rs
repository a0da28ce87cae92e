//! Entries that follow each other in one string of bytes, as redis 7 has them in a node of its tree.
//!
//! ```text
//!   head:   entries that are there · deleted ones · number of names · name … · 0
//!   entry:  flags · ms and seq beyond the block's id · (if its names are not the head's: number of names)
//!           · (name) value … · elements of the entry, this one not counted
//! ```
//! A deleted entry is marked, and stays until its block goes: so a block tells how many entries it ever had, by which it is
//! full, and `DUMP` writes the blocks as they are.
//!
//! *Invariant:* the counts of the head are those of its entries, and each entry is whole: [`Block::check`] lets nothing else
//! in. That ids ascend is the stream's to see to, and of deleted entries not so.

use super::id::StreamId;
use super::pack::{Element, Pack};
use crate::items::Items;

const DELETED: i64 = 1;
const NAMES_OF_HEAD: i64 = 2;
/// Of an entry's elements those that each has: flags, ms, seq.
const FIXED: i64 = 3;

/// Redis' `stream-node-max-bytes` and `stream-node-max-entries`, as they are by default: an entry that would make a block
/// this large, or one more than so many, begins a block. Trimming by `~` drops whole blocks, so clients see them.
pub(super) const BYTES_MAX: usize = 4096;
pub const STREAM_BLOCK_ENTRIES_MAX: u64 = 100;

#[derive(Clone)]
pub(super) struct Block(Pack);

/// An entry where it stands.
#[derive(Clone, Copy)]
pub(super) struct Raw {
    pub id: StreamId,
    flags: i64,
    names: i64,
    /// Of its flags, and of what follows the number of names.
    pub at: usize,
    data_at: usize,
}

impl Raw {
    pub(super) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    fn has_names_of_head(&self) -> bool {
        self.flags & NAMES_OF_HEAD != 0
    }
}

impl Block {
    /// Without entries: the first one, which follows, has these names.
    pub(super) fn of(fields: Items<'_, [&[u8]; 2]>) -> Self {
        let mut pack = Pack::new();
        [0, 0, fields.len() as i64].iter().for_each(|number| pack.push(Element::Number(*number)));
        fields.iter().for_each(|[name, _]| pack.push(Element::of(name)));
        pack.push(Element::Number(0));
        Block(pack)
    }

    /// What [`Self::bytes`] answered of some block, if it may have.
    pub(super) fn check(bytes: &[u8]) -> Option<Self> {
        let block = Block(Pack::check(bytes)?);
        let pack = &block.0;
        let (live, next) = pack.number(Pack::begin())?;
        let (deleted, next) = pack.number(next)?;
        let (names, next) = pack.number(next)?;
        let (zero, mut at) = pack.number(block.skip(next, names)?)?;
        let (mut found_live, mut found_deleted) = (0, 0);
        while at != pack.end() {
            let (flags, next) = pack.number(at)?;
            let (_ms, next) = pack.number(next)?;
            let (_seq, next) = pack.number(next)?;
            let (elements, next) = if flags & NAMES_OF_HEAD != 0 {
                (names, next)
            } else {
                let (own, next) = pack.number(next)?;
                (own.checked_mul(2)?, next)
            };
            let (told, next) = pack.number(block.skip(next, elements)?)?;
            let with_names = i64::from(flags & NAMES_OF_HEAD == 0);
            if !(0..4).contains(&flags) || told != elements + FIXED + with_names {
                return None;
            }
            if flags & DELETED == 0 {
                found_live += 1;
            } else {
                found_deleted += 1;
            }
            at = next;
        }
        let counts = (live, deleted) == (found_live, found_deleted) && live + deleted > 0;
        (zero == 0 && counts).then_some(block)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn shrink(&mut self) {
        self.0.shrink();
    }

    /// Entries that are there, and such as were deleted.
    pub(super) fn counts(&self) -> (u64, u64) {
        let (live, next) = self.number(Pack::begin());
        (live as u64, self.number(next).0 as u64)
    }

    /// Whether an entry of so many bytes still belongs into it.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let (live, deleted) = self.counts();
        self.bytes().len() + bytes < BYTES_MAX && live + deleted < STREAM_BLOCK_ENTRIES_MAX
    }

    /// Appends an entry to the block of this id.
    pub(super) fn add(&mut self, block_id: StreamId, id: StreamId, fields: Items<'_, [&[u8]; 2]>) {
        let (live, _) = self.number(Pack::begin());
        self.0.replace(Pack::begin(), live + 1);
        let same = self.names_are_those_of(fields);
        let pack = &mut self.0;
        let count = fields.len() as i64;
        pack.push(Element::Number(if same { NAMES_OF_HEAD } else { 0 }));
        pack.push(Element::Number(id.ms.wrapping_sub(block_id.ms) as i64));
        pack.push(Element::Number(id.seq.wrapping_sub(block_id.seq) as i64));
        if !same {
            pack.push(Element::Number(count));
        }
        for [name, value] in fields.iter() {
            if !same {
                pack.push(Element::of(name));
            }
            pack.push(Element::of(value));
        }
        pack.push(Element::Number(FIXED + if same { count } else { 2 * count + 1 }));
    }

    fn names_are_those_of(&self, fields: Items<'_, [&[u8]; 2]>) -> bool {
        let (names, mut at) = self.names();
        names == fields.len() as i64
            && fields.iter().all(|[name, _]| {
                let (own, next) = self.0.at(at).expect("as many as it says");
                at = next;
                own.is(name)
            })
    }

    /// Marks the entry as deleted.
    pub(super) fn delete(&mut self, entry: &Raw) {
        self.0.replace(entry.at, entry.flags | DELETED);
        self.count_deleted(1);
    }

    /// Marks the first `count` entries that are there as deleted; there are as many.
    pub(super) fn delete_first(&mut self, count: u64) {
        let mut at = self.first_at();
        let mut left = count;
        while left > 0 {
            let entry = self.raw(StreamId::MIN, at).expect("there are as many");
            let (next, bytes) = (self.after(&entry), self.bytes().len());
            if !entry.is_deleted() {
                self.0.replace(at, entry.flags | DELETED);
                left -= 1;
            }
            // Another server may have written flags wider than need be.
            at = next + self.bytes().len() - bytes;
        }
        self.count_deleted(count);
    }

    fn count_deleted(&mut self, more: u64) {
        let (live, _) = self.number(Pack::begin());
        self.0.replace(Pack::begin(), live - more as i64);
        let (_, deleted_at) = self.number(Pack::begin());
        let (deleted, _) = self.number(deleted_at);
        self.0.replace(deleted_at, deleted + more as i64);
    }

    /// Where the first entry stands, whether it is deleted or not.
    pub(super) fn first_at(&self) -> usize {
        let (names, at) = self.names();
        let zero_at = self.skip(at, names).expect("as many as it says");
        self.number(zero_at).1
    }

    /// Behind the last entry.
    pub(super) fn end(&self) -> usize {
        self.0.end()
    }

    /// The entry that stands at a place of the block of this id; `None` behind the last.
    pub(super) fn raw(&self, block_id: StreamId, at: usize) -> Option<Raw> {
        let (flags, next) = self.0.number(at)?;
        let (ms, next) = self.number(next);
        let (seq, next) = self.number(next);
        let id =
            StreamId { ms: block_id.ms.wrapping_add(ms as u64), seq: block_id.seq.wrapping_add(seq as u64) };
        let (names, data_at) =
            if flags & NAMES_OF_HEAD != 0 { (self.names().0, next) } else { self.number(next) };
        Some(Raw { id, flags, names, at, data_at })
    }

    /// Where the entry after this one stands, if there is one.
    pub(super) fn after(&self, entry: &Raw) -> usize {
        let elements = if entry.has_names_of_head() { entry.names } else { 2 * entry.names };
        self.skip(entry.data_at, elements + 1).expect("an entry is whole")
    }

    /// Where the entry stands that ends at this place; `None` at the first one.
    pub(super) fn before(&self, at: usize) -> Option<usize> {
        let at = self.0.before(at);
        let (elements, _) = self.number(at);
        // The head ends in 0.
        (elements > 0).then(|| (0..elements).fold(at, |at, _| self.0.before(at)))
    }

    pub(super) fn fields(&self, entry: &Raw) -> Fields<'_> {
        let names_at = entry.has_names_of_head().then(|| self.names().1);
        Fields { pack: &self.0, left: entry.names as u64, names_at, at: entry.data_at }
    }

    /// The last id that stands in the block of this id, be it of a deleted entry.
    pub(super) fn last_id(&self, block_id: StreamId) -> StreamId {
        let at = self.before(self.end()).expect("a block has an entry");
        self.raw(block_id, at).expect("it was just found").id
    }

    /// How many names the head has, and where the first is.
    fn names(&self) -> (i64, usize) {
        let (_, next) = self.number(Pack::begin());
        let (_, next) = self.number(next);
        self.number(next)
    }

    fn number(&self, at: usize) -> (i64, usize) {
        self.0.number(at).expect("there stands a number")
    }

    /// Where the element after so many is.
    fn skip(&self, at: usize, elements: i64) -> Option<usize> {
        (0..elements).try_fold(at, |at, _| self.0.at(at).map(|(_, next)| next)).filter(|_| elements >= 0)
    }
}

/// The fields of an entry, each a name and a value.
#[derive(Clone)]
pub struct Fields<'a> {
    pack: &'a Pack,
    left: u64,
    /// Of the head, if it has them.
    names_at: Option<usize>,
    at: usize,
}

impl Fields<'_> {
    /// How many are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = [Element<'a>; 2];

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (name, next) = self.pack.at(self.names_at.unwrap_or(self.at))?;
        match &mut self.names_at {
            Some(at) => *at = next,
            None => self.at = next,
        }
        let (value, next) = self.pack.at(self.at)?;
        self.at = next;
        Some([name, value])
    }
}
