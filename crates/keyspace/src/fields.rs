//! Hashes: fields by name.
//!
//! ```text
//!   packed   name value name value …   one run of strings, beside the key: see the module `packed`
//!   table    Dict<Field>               more, or longer ones
//! ```
//! *Invariant:* a hash that has become a table stays one. The order of its fields is that of a table either way, as long as
//! those are few.

use crate::block::block_bytes;
use crate::dict::{Dict, Keyed};
use crate::run::Run;
use std::slice;

/// A field and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// A hash, as whoever reads sees it.
#[derive(Clone, Copy)]
pub struct Hash<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    Packed(Run<'a>),
    Table(&'a HashTable),
}

impl<'a> Hash<'a> {
    #[inline]
    pub(crate) fn packed(run: Run<'a>) -> Self {
        Hash(Form::Packed(run))
    }

    pub fn len(self) -> usize {
        match self.0 {
            Form::Packed(run) => run.elements(),
            Form::Table(table) => table.fields.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        match self.0 {
            Form::Packed(_) => self.iter().find(|(field, _)| *field == name).map(|(_, value)| value),
            Form::Table(table) => table.fields.get(name).map(|field| &*field.value),
        }
    }

    pub fn contains(self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// All fields, in order.
    #[inline]
    pub fn iter(self) -> Pairs<'a> {
        self.iter_from(0)
    }

    /// The fields from one on.
    pub(crate) fn iter_from(self, at: usize) -> Pairs<'a> {
        match self.0 {
            Form::Packed(run) => {
                let mut pieces = run.pieces();
                if let Some(before) = (2 * at).checked_sub(1) {
                    pieces.nth(before);
                }
                Pairs(Walk::Packed(pieces))
            }
            Form::Table(table) => Pairs(Walk::Table(table.fields.as_slice()[at..].iter())),
        }
    }

    /// The field at a position below the length.
    pub fn nth(self, at: usize) -> Option<Pair<'a>> {
        self.iter_from(at).next()
    }

    /// As [`Dict::scan`]; a packed one is met in one step.
    pub fn scan(self, cursor: usize, count: usize, mut visit: impl FnMut(Pair<'a>)) -> usize {
        match self.0 {
            Form::Packed(_) => {
                self.iter().for_each(visit);
                0
            }
            Form::Table(table) => table.fields.scan(cursor, count, |field| visit(field.pair())),
        }
    }

    pub(crate) fn touch(self) -> usize {
        match self.0 {
            Form::Packed(Run(bytes)) => bytes.last().map_or(0, |&byte| usize::from(byte)),
            Form::Table(table) => table.element_bytes,
        }
    }

    /// The same as a table of its own.
    pub(crate) fn to_table(self) -> HashTable {
        let mut table = HashTable::default();
        self.iter().for_each(|(name, value)| table.set(name, value));
        table
    }
}

impl<'a> IntoIterator for Hash<'a> {
    type Item = Pair<'a>;
    type IntoIter = Pairs<'a>;
    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

/// Fields and their values, in order.
#[derive(Clone)]
pub struct Pairs<'a>(Walk<'a>);

#[derive(Clone)]
enum Walk<'a> {
    Packed(crate::run::Pieces<'a>),
    Table(slice::Iter<'a, Field>),
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        match &mut self.0 {
            Walk::Packed(pieces) => Some((pieces.next()?.text, pieces.next()?.text)),
            Walk::Table(fields) => fields.next().map(Field::pair),
        }
    }
}

struct Field {
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Field {
    fn pair(&self) -> Pair<'_> {
        (&self.name, &self.value)
    }

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
pub(crate) struct HashTable {
    fields: Dict<Field>,
    /// Of the blocks that elements have for themselves.
    element_bytes: usize,
}

impl HashTable {
    #[inline]
    pub(crate) fn view(&self) -> Hash<'_> {
        Hash(Form::Table(self))
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

    /// Of the blocks that it has besides itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.fields.heap_bytes() + self.element_bytes
    }

    /// The same, counted from its elements.
    pub(crate) fn recount_bytes(&self) -> usize {
        self.fields.heap_bytes() + self.fields.as_slice().iter().map(Field::bytes).sum::<usize>()
    }
}
