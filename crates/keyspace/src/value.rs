//! What a key may hold.

use crate::block::block_bytes;
use crate::fields::{Hash, HashTable};
use crate::members::{Set, SetTable};
use crate::progress::ticking;
use crate::stream::Stream;
use crate::zset::{Zset, ZsetTable};
use std::collections::VecDeque;
use std::mem::size_of;

/// The longest string value, as Redis' `proto-max-bulk-len`: an effect that asks for more is corrupt.
pub const MAX_STRING_BYTES: u64 = 512 * 1024 * 1024;

/// The types of values, as `TYPE` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Hash,
    List,
    Set,
    Zset,
    Stream,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Hash => "hash",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
            Kind::Stream => "stream",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A key's value, as whoever reads sees it.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    String(&'a [u8]),
    Hash(Hash<'a>),
    List(&'a List),
    Set(Set<'a>),
    Zset(Zset<'a>),
    Stream(&'a Stream),
}

impl Value<'_> {
    pub fn kind(self) -> Kind {
        match self {
            Value::String(_) => Kind::String,
            Value::Hash(_) => Kind::Hash,
            Value::List(_) => Kind::List,
            Value::Set(_) => Kind::Set,
            Value::Zset(_) => Kind::Zset,
            Value::Stream(_) => Kind::Stream,
        }
    }

    /// Each has a block of its own, or more. A stream's share theirs.
    pub(crate) fn elements(self) -> usize {
        match self {
            Value::String(_) => 1,
            Value::Hash(hash) => hash.len(),
            Value::List(list) => list.items.len(),
            Value::Set(set) => set.len(),
            Value::Zset(zset) => zset.len(),
            Value::Stream(stream) => stream.len() as usize,
        }
    }

    /// Whether a key that holds this must go. A stream may be empty.
    pub(crate) fn is_empty_collection(self) -> bool {
        match self {
            Value::String(_) | Value::Stream(_) => false,
            Value::Hash(hash) => hash.is_empty(),
            Value::List(list) => list.items.is_empty(),
            Value::Set(set) => set.is_empty(),
            Value::Zset(zset) => zset.is_empty(),
        }
    }

    /// Reads something of what lies beyond the value itself: see the module `fetch`.
    #[inline]
    pub(crate) fn touch(self) -> usize {
        match self {
            Value::String(text) => {
                let ends = [text.first(), text.last()];
                ends.into_iter().flatten().map(|&byte| usize::from(byte)).sum()
            }
            Value::Hash(hash) => hash.touch(),
            Value::List(list) => list.element_bytes,
            Value::Set(set) => set.touch(),
            Value::Zset(zset) => zset.touch(),
            Value::Stream(stream) => stream.heap_bytes(),
        }
    }
}

/// A value that has its own blocks. Collections are boxed, so that it stays small.
pub(crate) enum Held {
    String(Vec<u8>),
    Hash(Box<HashTable>),
    List(Box<List>),
    Set(Box<SetTable>),
    Zset(Box<ZsetTable>),
    Stream(Box<Stream>),
}

impl Held {
    #[inline]
    pub(crate) fn view(&self) -> Value<'_> {
        match self {
            Held::String(text) => Value::String(text),
            Held::Hash(table) => Value::Hash(table.view()),
            Held::List(list) => Value::List(list),
            Held::Set(table) => Value::Set(table.view()),
            Held::Zset(table) => Value::Zset(table.view()),
            Held::Stream(stream) => Value::Stream(stream),
        }
    }

    pub(crate) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::String => Held::String(Vec::new()),
            Kind::Hash => Held::Hash(Box::default()),
            Kind::List => Held::List(Box::default()),
            Kind::Set => Held::Set(Box::default()),
            Kind::Zset => Held::Zset(Box::default()),
            Kind::Stream => Held::Stream(Box::default()),
        }
    }

    /// Memory beyond the value itself, in bytes: what its blocks take, O(1).
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Held::String(text) => block_bytes(text.capacity()),
            Held::Hash(table) => block_bytes(size_of::<HashTable>()) + table.heap_bytes(),
            Held::List(list) => {
                let items = list.items.capacity() * size_of::<Box<[u8]>>();
                block_bytes(size_of::<List>()) + block_bytes(items) + list.element_bytes
            }
            Held::Set(table) => block_bytes(size_of::<SetTable>()) + table.heap_bytes(),
            Held::Zset(zset) => block_bytes(size_of::<ZsetTable>()) + zset.heap_bytes(),
            Held::Stream(stream) => block_bytes(size_of::<Stream>()) + stream.heap_bytes(),
        }
    }

    /// The same, counted from its elements: what the books are held against.
    pub(crate) fn recount_bytes(&self) -> usize {
        match self {
            Held::String(_) => self.heap_bytes(),
            Held::Hash(table) => block_bytes(size_of::<HashTable>()) + table.recount_bytes(),
            Held::List(list) => {
                let elements: usize = list.items.iter().map(|item| block_bytes(item.len())).sum();
                self.heap_bytes() - list.element_bytes + elements
            }
            Held::Set(table) => block_bytes(size_of::<SetTable>()) + table.recount_bytes(),
            Held::Zset(zset) => block_bytes(size_of::<ZsetTable>()) + zset.recount_bytes(),
            Held::Stream(stream) => block_bytes(size_of::<Stream>()) + stream.recount_bytes(),
        }
    }
}

#[derive(Default)]
pub struct List {
    items: VecDeque<Box<[u8]>>,
    /// Of the blocks that elements have for themselves.
    element_bytes: usize,
}

impl List {
    pub fn items(&self) -> &VecDeque<Box<[u8]>> {
        &self.items
    }

    pub(crate) fn push_head(&mut self, item: &[u8]) {
        self.element_bytes += block_bytes(item.len());
        self.items.push_front(item.into());
    }

    pub(crate) fn push_tail(&mut self, item: &[u8]) {
        self.element_bytes += block_bytes(item.len());
        self.items.push_back(item.into());
    }

    pub(crate) fn pop_head(&mut self) -> Option<Box<[u8]>> {
        let item = self.items.pop_front()?;
        self.element_bytes -= block_bytes(item.len());
        Some(item)
    }

    pub(crate) fn pop_tail(&mut self) -> Option<Box<[u8]>> {
        let item = self.items.pop_back()?;
        self.element_bytes -= block_bytes(item.len());
        Some(item)
    }

    /// Replaces the item at `index`, which the caller knows to exist.
    pub(crate) fn set(&mut self, index: usize, item: &[u8]) {
        self.element_bytes =
            self.element_bytes + block_bytes(item.len()) - block_bytes(self.items[index].len());
        self.items[index] = item.into();
    }

    /// Inserts before `index`, which is at most the length.
    pub(crate) fn insert(&mut self, index: usize, item: &[u8]) {
        self.element_bytes += block_bytes(item.len());
        self.items.insert(index, item.into());
    }

    /// Keeps `len` items from `from` on.
    pub(crate) fn trim(&mut self, from: usize, len: usize) {
        self.items.truncate(from.saturating_add(len));
        self.items.drain(..from.min(self.items.len()));
        self.element_bytes = ticking(&self.items).map(|item| block_bytes(item.len())).sum();
        self.items.shrink_to(self.items.len() * 2);
    }

    /// Removes items equal to `item`: all (0), the first `count`, or the last `-count`.
    pub(crate) fn remove(&mut self, count: i64, item: &[u8]) {
        let matching = ticking(&self.items).filter(|i| &***i == item).count() as u64;
        let removed = if count == 0 { matching } else { count.unsigned_abs().min(matching) };
        // The matching ones are numbered from the head; those below `skip` and past `skip + removed` stay.
        let skip = if count < 0 { matching - removed } else { 0 };
        let mut number = 0;
        self.items.retain(|i| {
            if &**i != item {
                return true;
            }
            number += 1;
            !(skip < number && number <= skip + removed)
        });
        self.element_bytes -= removed as usize * block_bytes(item.len());
    }
}
