//! What a key may hold.

use crate::dict::{Dict, Keyed};
use crate::progress::ticking;
use crate::zset::Zset;
use std::collections::VecDeque;
use std::mem::size_of;

/// The longest string value, as Redis' `proto-max-bulk-len`: an effect that asks for more is corrupt.
pub const MAX_STRING_BYTES: u64 = 512 * 1024 * 1024;

/// What the allocator adds to one small block, roughly.
pub(crate) const ALLOC_BYTES: usize = 8;

/// The types of values, as `TYPE` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Hash,
    List,
    Set,
    Zset,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Hash => "hash",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
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
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Value::String(_) => Kind::String,
            Value::Hash(_) => Kind::Hash,
            Value::List(_) => Kind::List,
            Value::Set(_) => Kind::Set,
            Value::Zset(_) => Kind::Zset,
        }
    }

    pub(crate) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::String => Value::String(Vec::new()),
            Kind::Hash => Value::Hash(Box::default()),
            Kind::List => Value::List(Box::default()),
            Kind::Set => Value::Set(Box::default()),
            Kind::Zset => Value::Zset(Box::default()),
        }
    }

    /// Whether a key that holds this must go.
    pub(crate) fn is_empty_collection(&self) -> bool {
        match self {
            Value::String(_) => false,
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
            Value::Hash(hash) => hash.bytes,
            Value::List(list) => list.bytes,
            Value::Set(set) => set.bytes,
            Value::Zset(zset) => zset.len(),
        }
    }

    /// Memory beyond the value itself, in bytes: an estimate, O(1).
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Value::String(text) => text.capacity() + ALLOC_BYTES,
            Value::Hash(hash) => size_of::<Hash>() + hash.bytes,
            Value::List(list) => size_of::<List>() + list.bytes,
            Value::Set(set) => size_of::<Set>() + set.bytes,
            Value::Zset(zset) => size_of::<Zset>() + zset.heap_bytes(),
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
        size_of::<Field>() + self.name.len() + self.value.len() + 2 * ALLOC_BYTES
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
    bytes: usize,
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
                self.bytes -= field.bytes();
                field.value = value.into();
                self.bytes += field.bytes();
            }
            None => {
                let field = Field { name: name.into(), value: value.into() };
                self.bytes += field.bytes();
                self.fields.push(field);
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        if let Some(field) = self.fields.remove(name) {
            self.bytes -= field.bytes();
        }
    }
}

/// A member of a set.
pub struct Member(pub Box<[u8]>);

impl Member {
    fn bytes(&self) -> usize {
        size_of::<Member>() + self.0.len() + ALLOC_BYTES
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
    bytes: usize,
}

impl Set {
    pub fn members(&self) -> &Dict<Member> {
        &self.members
    }

    pub(crate) fn add(&mut self, member: &[u8]) {
        if !self.members.contains(member) {
            let member = Member(member.into());
            self.bytes += member.bytes();
            self.members.push(member);
        }
    }

    pub(crate) fn remove(&mut self, member: &[u8]) {
        if let Some(member) = self.members.remove(member) {
            self.bytes -= member.bytes();
        }
    }
}

#[derive(Default)]
pub struct List {
    items: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl List {
    pub fn items(&self) -> &VecDeque<Box<[u8]>> {
        &self.items
    }

    pub(crate) fn push_head(&mut self, item: &[u8]) {
        self.bytes += item_bytes(item);
        self.items.push_front(item.into());
    }

    pub(crate) fn push_tail(&mut self, item: &[u8]) {
        self.bytes += item_bytes(item);
        self.items.push_back(item.into());
    }

    pub(crate) fn pop_head(&mut self) -> Option<Box<[u8]>> {
        let item = self.items.pop_front()?;
        self.bytes -= item_bytes(&item);
        Some(item)
    }

    pub(crate) fn pop_tail(&mut self) -> Option<Box<[u8]>> {
        let item = self.items.pop_back()?;
        self.bytes -= item_bytes(&item);
        Some(item)
    }

    /// Replaces the item at `index`, which the caller knows to exist.
    pub(crate) fn set(&mut self, index: usize, item: &[u8]) {
        self.bytes = self.bytes + item_bytes(item) - item_bytes(&self.items[index]);
        self.items[index] = item.into();
    }

    /// Inserts before `index`, which is at most the length.
    pub(crate) fn insert(&mut self, index: usize, item: &[u8]) {
        self.bytes += item_bytes(item);
        self.items.insert(index, item.into());
    }

    /// Keeps `len` items from `from` on.
    pub(crate) fn trim(&mut self, from: usize, len: usize) {
        self.items.truncate(from.saturating_add(len));
        self.items.drain(..from.min(self.items.len()));
        self.bytes = ticking(&self.items).map(|item| item_bytes(item)).sum();
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
        self.bytes -= removed as usize * item_bytes(item);
    }
}

fn item_bytes(item: &[u8]) -> usize {
    size_of::<Box<[u8]>>() + item.len() + ALLOC_BYTES
}
