//! What a key may hold.

use crate::block::block_bytes;
use crate::dict::{Dict, Keyed};
use crate::progress::ticking;
use crate::stream::Stream;
use crate::zset::Zset;
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

/// A key's value. Collections are boxed, so that a string's entry stays small.
pub enum Value {
    String(Vec<u8>),
    Hash(Box<Hash>),
    List(Box<List>),
    Set(Box<Set>),
    Zset(Box<Zset>),
    Stream(Box<Stream>),
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Value::String(_) => Kind::String,
            Value::Hash(_) => Kind::Hash,
            Value::List(_) => Kind::List,
            Value::Set(_) => Kind::Set,
            Value::Zset(_) => Kind::Zset,
            Value::Stream(_) => Kind::Stream,
        }
    }

    pub(crate) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::String => Value::String(Vec::new()),
            Kind::Hash => Value::Hash(Box::default()),
            Kind::List => Value::List(Box::default()),
            Kind::Set => Value::Set(Box::default()),
            Kind::Zset => Value::Zset(Box::default()),
            Kind::Stream => Value::Stream(Box::default()),
        }
    }

    /// Each has a block of its own, or more. A stream's share theirs.
    pub(crate) fn elements(&self) -> usize {
        match self {
            Value::String(_) => 1,
            Value::Hash(hash) => hash.fields.len(),
            Value::List(list) => list.items.len(),
            Value::Set(set) => set.members.len(),
            Value::Zset(zset) => zset.len(),
            Value::Stream(stream) => stream.len() as usize,
        }
    }

    /// Whether a key that holds this must go. A stream may be empty.
    pub(crate) fn is_empty_collection(&self) -> bool {
        match self {
            Value::String(_) | Value::Stream(_) => false,
            Value::Hash(hash) => hash.fields.is_empty(),
            Value::List(list) => list.items.is_empty(),
            Value::Set(set) => set.members.is_empty(),
            Value::Zset(zset) => zset.is_empty(),
        }
    }

    /// Reads something of what lies beyond the value itself: see the module `fetch`.
    #[inline]
    pub(crate) fn touch(&self) -> usize {
        match self {
            Value::String(text) => text.first().map_or(0, |&byte| usize::from(byte)),
            Value::Hash(hash) => hash.element_bytes,
            Value::List(list) => list.element_bytes,
            Value::Set(set) => set.element_bytes,
            Value::Zset(zset) => zset.len(),
            Value::Stream(stream) => stream.heap_bytes(),
        }
    }

    /// Memory beyond the value itself, in bytes: what its blocks take, O(1).
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Value::String(text) => block_bytes(text.capacity()),
            Value::Hash(hash) => {
                block_bytes(size_of::<Hash>()) + hash.fields.heap_bytes() + hash.element_bytes
            }
            Value::List(list) => {
                let items = list.items.capacity() * size_of::<Box<[u8]>>();
                block_bytes(size_of::<List>()) + block_bytes(items) + list.element_bytes
            }
            Value::Set(set) => block_bytes(size_of::<Set>()) + set.members.heap_bytes() + set.element_bytes,
            Value::Zset(zset) => block_bytes(size_of::<Zset>()) + zset.heap_bytes(),
            Value::Stream(stream) => block_bytes(size_of::<Stream>()) + stream.heap_bytes(),
        }
    }

    /// The same, counted from its elements: what the books are held against.
    pub(crate) fn recount_bytes(&self) -> usize {
        match self {
            Value::String(_) => self.heap_bytes(),
            Value::Hash(hash) => {
                let elements: usize = hash.fields.as_slice().iter().map(Field::bytes).sum();
                self.heap_bytes() - hash.element_bytes + elements
            }
            Value::List(list) => {
                let elements: usize = list.items.iter().map(|item| block_bytes(item.len())).sum();
                self.heap_bytes() - list.element_bytes + elements
            }
            Value::Set(set) => {
                let elements: usize = set.members.as_slice().iter().map(Member::bytes).sum();
                self.heap_bytes() - set.element_bytes + elements
            }
            Value::Zset(zset) => block_bytes(size_of::<Zset>()) + zset.recount_bytes(),
            Value::Stream(stream) => block_bytes(size_of::<Stream>()) + stream.recount_bytes(),
        }
    }
}

/// A field of a hash.
pub struct Field {
    pub name: Box<[u8]>,
    pub value: Box<[u8]>,
}

impl Field {
    fn bytes(&self) -> usize {
        block_bytes(self.name.len()) + block_bytes(self.value.len())
    }
}

impl Keyed for Field {
    const INDEX_ABOVE: usize = 16;
    fn key(&self) -> &[u8] {
        &self.name
    }
}

#[derive(Default)]
pub struct Hash {
    fields: Dict<Field>,
    /// Of the blocks that elements have for themselves.
    element_bytes: usize,
}

impl Hash {
    pub fn fields(&self) -> &Dict<Field> {
        &self.fields
    }

    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.get(name).map(|field| &*field.value)
    }

    pub(crate) fn set(&mut self, name: &[u8], value: &[u8]) {
        match self.fields.find(name) {
            Some(at) => {
                let field = self.fields.at_mut(at);
                self.element_bytes -= field.bytes();
                field.value = value.into();
                self.element_bytes += field.bytes();
            }
            None => {
                let field = Field { name: name.into(), value: value.into() };
                self.element_bytes += field.bytes();
                self.fields.push(field);
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        if let Some(field) = self.fields.remove(name) {
            self.element_bytes -= field.bytes();
        }
    }
}

/// A member of a set.
pub struct Member(pub Box<[u8]>);

impl Member {
    fn bytes(&self) -> usize {
        block_bytes(self.0.len())
    }
}

impl Keyed for Member {
    const INDEX_ABOVE: usize = 16;
    fn key(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Default)]
pub struct Set {
    members: Dict<Member>,
    /// Of the blocks that elements have for themselves.
    element_bytes: usize,
}

impl Set {
    pub fn members(&self) -> &Dict<Member> {
        &self.members
    }

    pub(crate) fn add(&mut self, member: &[u8]) {
        if !self.members.contains(member) {
            let member = Member(member.into());
            self.element_bytes += member.bytes();
            self.members.push(member);
        }
    }

    pub(crate) fn remove(&mut self, member: &[u8]) {
        if let Some(member) = self.members.remove(member) {
            self.element_bytes -= member.bytes();
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
