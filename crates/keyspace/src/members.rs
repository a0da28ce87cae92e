//! Sets: members by name. Packed or a table, as hashes are: see the module `fields`.

use crate::block::block_bytes;
use crate::dict::{Dict, Keyed};
use crate::run::{Pieces, Run};
use std::slice;

/// A set, as whoever reads sees it.
#[derive(Clone, Copy)]
pub struct Set<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    Packed(Run<'a>),
    Table(&'a SetTable),
}

impl<'a> Set<'a> {
    #[inline]
    pub(crate) fn packed(run: Run<'a>) -> Self {
        Set(Form::Packed(run))
    }

    pub fn len(self) -> usize {
        match self.0 {
            Form::Packed(run) => run.elements(),
            Form::Table(table) => table.members.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn contains(self, member: &[u8]) -> bool {
        match self.0 {
            Form::Packed(run) => run.pieces().any(|piece| piece.text == member),
            Form::Table(table) => table.members.contains(member),
        }
    }

    /// All members, in order.
    #[inline]
    pub fn iter(self) -> Members<'a> {
        self.iter_from(0)
    }

    /// The members from one on.
    pub(crate) fn iter_from(self, at: usize) -> Members<'a> {
        match self.0 {
            Form::Packed(run) => {
                let mut pieces = run.pieces();
                if let Some(before) = at.checked_sub(1) {
                    pieces.nth(before);
                }
                Members(Walk::Packed(pieces))
            }
            Form::Table(table) => Members(Walk::Table(table.members.as_slice()[at..].iter())),
        }
    }

    /// The member at a position below the length.
    pub fn nth(self, at: usize) -> Option<&'a [u8]> {
        self.iter_from(at).next()
    }

    /// As [`Dict::scan`]; a packed one is met in one step.
    pub fn scan(self, cursor: usize, count: usize, mut visit: impl FnMut(&'a [u8])) -> usize {
        match self.0 {
            Form::Packed(_) => {
                self.iter().for_each(visit);
                0
            }
            Form::Table(table) => table.members.scan(cursor, count, |member| visit(&member.0)),
        }
    }

    pub(crate) fn touch(self) -> usize {
        match self.0 {
            Form::Packed(Run(bytes)) => bytes.last().map_or(0, |&byte| usize::from(byte)),
            Form::Table(table) => table.element_bytes,
        }
    }

    /// The same as a table of its own.
    pub(crate) fn to_table(self) -> SetTable {
        let mut table = SetTable::default();
        self.iter().for_each(|member| table.add(member));
        table
    }
}

impl<'a> IntoIterator for Set<'a> {
    type Item = &'a [u8];
    type IntoIter = Members<'a>;
    fn into_iter(self) -> Members<'a> {
        self.iter()
    }
}

/// Members, in order.
#[derive(Clone)]
pub struct Members<'a>(Walk<'a>);

#[derive(Clone)]
enum Walk<'a> {
    Packed(Pieces<'a>),
    Table(slice::Iter<'a, Member>),
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            Walk::Packed(pieces) => pieces.next().map(|piece| piece.text),
            Walk::Table(members) => members.next().map(|member| &*member.0),
        }
    }
}

struct Member(Box<[u8]>);

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
pub(crate) struct SetTable {
    members: Dict<Member>,
    /// Of the blocks that elements have for themselves.
    element_bytes: usize,
}

impl SetTable {
    #[inline]
    pub(crate) fn view(&self) -> Set<'_> {
        Set(Form::Table(self))
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

    /// Of the blocks that it has besides itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.members.heap_bytes() + self.element_bytes
    }

    /// The same, counted from its elements.
    pub(crate) fn recount_bytes(&self) -> usize {
        self.members.heap_bytes() + self.members.as_slice().iter().map(Member::bytes).sum::<usize>()
    }
}
