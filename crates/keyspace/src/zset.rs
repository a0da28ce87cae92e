//! A sorted set: members by name, and an order by (score, member) with ranks.
//!
//! ```text
//!   packed   [ member | score ][ member | score ] …   in order, beside the key: see the modules `packed` and `run`
//!   table    members: Dict<Scored>     name → score
//!            order:   [[…], […], […]]  sorted runs of at most CHUNK_MAX; rank = lengths before + position
//! ```
//!
//! Any range, by rank, score or member, is a range of ranks: see [`Zset::count_before`].
//!
//! *Invariant:* no score is NaN.
//! *Invariant:* `members` and `order` hold the same pairs and share the members' bytes; no chunk is empty.
//! *Invariant:* a set that has become a table stays one.

use crate::block::block_bytes;
use crate::dict::{Dict, Keyed};
use crate::run::{self, Run};
use std::cmp::Ordering;
use std::mem::size_of;
use std::sync::Arc;

/// Larger moves more bytes an insertion, smaller adds more lengths a rank; both are flat around here.
const CHUNK_MAX: usize = 256;

/// A sorted set, as whoever reads sees it.
#[derive(Clone, Copy)]
pub struct Zset<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    Packed(Run<'a>),
    Table(&'a ZsetTable),
}

/// A member and its score.
#[derive(Clone, Copy)]
pub struct Ranked<'a> {
    pub member: &'a [u8],
    pub score: f64,
}

impl Ranked<'_> {
    pub(crate) fn cmp(&self, score: f64, member: &[u8]) -> Ordering {
        let scores = self.score.partial_cmp(&score).expect("no score is NaN");
        scores.then_with(|| self.member.cmp(member))
    }

    /// One of its own.
    pub fn to_scored(self) -> Scored {
        Scored { member: self.member.into(), score: self.score }
    }
}

/// Without members.
impl Default for Zset<'_> {
    fn default() -> Self {
        Zset(Form::Packed(Run(run::EMPTY)))
    }
}

impl<'a> Zset<'a> {
    #[inline]
    pub(crate) fn packed(run: Run<'a>) -> Self {
        Zset(Form::Packed(run))
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
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self.0 {
            Form::Packed(_) => {
                self.ascending(0).find(|known| known.member == member).map(|known| known.score)
            }
            Form::Table(table) => table.members.get(member).map(|scored| scored.score),
        }
    }

    pub fn contains(self, member: &[u8]) -> bool {
        self.score(member).is_some()
    }

    /// The number of members with a lower (score, member).
    pub fn rank(self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        Some(self.count_before(|ranked| ranked.cmp(score, member).is_lt()))
    }

    /// How many of the first members in order satisfy `before`, which must hold for a prefix of them:
    /// the rank at which a range begins or ends.
    pub fn count_before(self, before: impl Fn(Ranked<'_>) -> bool) -> usize {
        match self.0 {
            Form::Packed(_) => self.ascending(0).take_while(|ranked| before(*ranked)).count(),
            Form::Table(table) => table.count_before(|scored| before(scored.ranked())),
        }
    }

    /// Members in ascending order from the one with rank `from` on.
    pub fn ascending(self, from: usize) -> impl Iterator<Item = Ranked<'a>> + use<'a> {
        let (packed, table) = match self.0 {
            Form::Packed(run) => (Some(run.pieces().skip(from).map(|piece| run::ranked(piece.text))), None),
            Form::Table(table) => (None, Some(table.ascending(from).map(Scored::ranked))),
        };
        packed.into_iter().flatten().chain(table.into_iter().flatten())
    }

    /// Members in descending order, beginning with the one whose rank is `below - 1`.
    pub fn descending(self, below: usize) -> impl Iterator<Item = Ranked<'a>> + use<'a> {
        let (packed, table) = match self.0 {
            Form::Packed(_) => (self.ascending(0).take(below).collect(), None),
            Form::Table(table) => (Vec::new(), Some(table.descending(below).map(Scored::ranked))),
        };
        packed.into_iter().rev().chain(table.into_iter().flatten())
    }

    /// All members from one on, in an order that ranks have no part in.
    pub(crate) fn iter_from(self, at: usize) -> impl Iterator<Item = Ranked<'a>> + use<'a> + Clone {
        let (run, scored) = match self.0 {
            Form::Packed(run) => (run, &[][..]),
            Form::Table(table) => (Run(run::EMPTY), &table.members.as_slice()[at..]),
        };
        run.pieces().skip(at).map(|piece| run::ranked(piece.text)).chain(scored.iter().map(Scored::ranked))
    }

    /// The same, all of them.
    pub fn iter(self) -> impl Iterator<Item = Ranked<'a>> + use<'a> + Clone {
        self.iter_from(0)
    }

    /// The member at a position below the length, in that order.
    pub fn nth(self, at: usize) -> Option<Ranked<'a>> {
        self.iter_from(at).next()
    }

    /// As [`Dict::scan`]; a packed one is met in one step.
    pub fn scan(self, cursor: usize, count: usize, mut visit: impl FnMut(Ranked<'a>)) -> usize {
        match self.0 {
            Form::Packed(_) => {
                self.iter().for_each(visit);
                0
            }
            Form::Table(table) => table.members.scan(cursor, count, |scored| visit(scored.ranked())),
        }
    }

    pub(crate) fn touch(self) -> usize {
        match self.0 {
            Form::Packed(Run(bytes)) => bytes.last().map_or(0, |&byte| usize::from(byte)),
            Form::Table(table) => table.members.len(),
        }
    }

    /// The same as a table of its own.
    pub(crate) fn to_table(self) -> ZsetTable {
        let mut table = ZsetTable::default();
        self.iter().for_each(|ranked| table.set(ranked.score, ranked.member));
        table
    }
}

/// A member of its own, and its score.
#[derive(Clone)]
pub struct Scored {
    pub member: Arc<[u8]>,
    pub score: f64,
}

impl Scored {
    pub fn ranked(&self) -> Ranked<'_> {
        Ranked { member: &self.member, score: self.score }
    }

    fn cmp(&self, score: f64, member: &[u8]) -> Ordering {
        self.ranked().cmp(score, member)
    }
}

impl Keyed for Scored {
    const INDEX_ABOVE: usize = 16;
    fn key(&self) -> &[u8] {
        &self.member
    }
}

#[derive(Default)]
pub(crate) struct ZsetTable {
    members: Dict<Scored>,
    order: Vec<Vec<Scored>>,
    /// Of the members' blocks.
    member_bytes: usize,
    /// Of the runs' blocks.
    chunk_bytes: usize,
}

impl ZsetTable {
    #[inline]
    pub(crate) fn view(&self) -> Zset<'_> {
        Zset(Form::Table(self))
    }

    /// How many of the first members in order satisfy `before`, which must hold for a prefix of them:
    /// the rank at which a range begins or ends.
    fn count_before(&self, before: impl Fn(&Scored) -> bool) -> usize {
        let chunk = self.order.partition_point(|chunk| chunk.last().is_some_and(&before));
        let full: usize = self.order[..chunk].iter().map(Vec::len).sum();
        full + self.order.get(chunk).map_or(0, |chunk| chunk.partition_point(&before))
    }

    /// Members in ascending order from the one with rank `from` on.
    fn ascending(&self, from: usize) -> impl Iterator<Item = &Scored> {
        let (chunk, at) = self.locate(from);
        let first = self.order.get(chunk).map_or(&[][..], |chunk| &chunk[at..]);
        first.iter().chain(self.order.iter().skip(chunk + 1).flatten())
    }

    /// Members in descending order, beginning with the one whose rank is `below - 1`.
    fn descending(&self, below: usize) -> impl Iterator<Item = &Scored> {
        let (chunk, at) = self.locate(below);
        let first = self.order.get(chunk).map_or(&[][..], |chunk| &chunk[..at]);
        first.iter().rev().chain(self.order[..chunk].iter().rev().flat_map(|chunk| chunk.iter().rev()))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.table_bytes() + self.member_bytes + self.chunk_bytes
    }

    /// The same, counted from the members.
    pub(crate) fn recount_bytes(&self) -> usize {
        let members: usize = self.members.as_slice().iter().map(|scored| member_bytes(&scored.member)).sum();
        let chunks: usize = self.order.iter().map(chunk_bytes).sum();
        self.table_bytes() + members + chunks
    }

    fn table_bytes(&self) -> usize {
        self.members.heap_bytes() + block_bytes(self.order.capacity() * size_of::<Vec<Scored>>())
    }

    /// Changes a run, and keeps the books.
    fn change_chunk<R>(&mut self, at: usize, change: impl FnOnce(&mut Vec<Scored>) -> R) -> R {
        let chunk = &mut self.order[at];
        self.chunk_bytes -= chunk_bytes(chunk);
        let result = change(chunk);
        self.chunk_bytes += chunk_bytes(chunk);
        result
    }

    fn insert_chunk(&mut self, at: usize, chunk: Vec<Scored>) {
        self.chunk_bytes += chunk_bytes(&chunk);
        self.order.insert(at, chunk);
    }

    fn remove_chunk(&mut self, at: usize) -> Vec<Scored> {
        let chunk = self.order.remove(at);
        self.chunk_bytes -= chunk_bytes(&chunk);
        chunk
    }

    /// Adds a member or moves it to another score.
    pub(crate) fn set(&mut self, score: f64, member: &[u8]) {
        debug_assert!(!score.is_nan());
        match self.members.find(member) {
            Some(at) => {
                let scored = self.members.at_mut(at);
                let old = std::mem::replace(&mut scored.score, score);
                let scored = scored.clone();
                self.order_remove(old, member);
                self.order_insert(scored);
            }
            None => {
                let scored = Scored { member: member.into(), score };
                self.member_bytes += member_bytes(member);
                self.order_insert(scored.clone());
                self.members.push(scored);
            }
        }
    }

    pub(crate) fn remove(&mut self, member: &[u8]) {
        if let Some(scored) = self.members.remove(member) {
            self.member_bytes -= member_bytes(member);
            self.order_remove(scored.score, member);
        }
    }

    /// The chunk that a rank lies in, and its position there; past the end: one past the last chunk.
    fn locate(&self, rank: usize) -> (usize, usize) {
        let mut left = rank;
        for (i, chunk) in self.order.iter().enumerate() {
            if left < chunk.len() {
                return (i, left);
            }
            left -= chunk.len();
        }
        (self.order.len(), 0)
    }

    /// Where (score, member) is, or belongs.
    fn seek(&self, score: f64, member: &[u8]) -> (usize, usize) {
        let before = |scored: &Scored| scored.cmp(score, member).is_lt();
        let chunk = self.order.partition_point(|chunk| chunk.last().is_some_and(before));
        (chunk, self.order.get(chunk).map_or(0, |chunk| chunk.partition_point(before)))
    }

    fn order_insert(&mut self, scored: Scored) {
        let (mut chunk, mut at) = self.seek(scored.score, &scored.member);
        if chunk == self.order.len() {
            match self.order.last() {
                None => {
                    self.insert_chunk(0, vec![scored]);
                    return;
                }
                Some(last) => (chunk, at) = (chunk - 1, last.len()),
            }
        }
        self.change_chunk(chunk, |chunk| chunk.insert(at, scored));
        if self.order[chunk].len() > CHUNK_MAX {
            // Ascending insertion leaves full chunks behind it, not half empty ones.
            let split = if at >= CHUNK_MAX { CHUNK_MAX } else { CHUNK_MAX / 2 };
            let upper = self.change_chunk(chunk, |chunk| chunk.split_off(split));
            self.insert_chunk(chunk + 1, upper);
        }
    }

    fn order_remove(&mut self, score: f64, member: &[u8]) {
        let (chunk, at) = self.seek(score, member);
        let removed = self.change_chunk(chunk, |chunk| chunk.remove(at));
        debug_assert_eq!(&*removed.member, member);
        if self.order[chunk].is_empty() {
            self.remove_chunk(chunk);
            return;
        }
        let next_len = self.order.get(chunk + 1).map_or(CHUNK_MAX, Vec::len);
        if self.order[chunk].len() + next_len <= CHUNK_MAX / 2 {
            let next = self.remove_chunk(chunk + 1);
            self.change_chunk(chunk, |chunk| chunk.extend(next));
        }
    }
}

/// An `Arc` has two counters before its bytes.
fn member_bytes(member: &[u8]) -> usize {
    block_bytes(2 * size_of::<usize>() + member.len())
}

fn chunk_bytes(chunk: &Vec<Scored>) -> usize {
    block_bytes(chunk.capacity() * size_of::<Scored>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn ranks_and_ranges_are_those_of_a_sorted_list(
            steps in prop::collection::vec((0u16..600, -4i8..4, prop::bool::weighted(0.3)), 0..1500),
            from in 0usize..700,
        ) {
            let (mut table, mut model) = (ZsetTable::default(), BTreeMap::new());
            for (name, score, remove) in steps {
                let member = name.to_be_bytes();
                if remove {
                    table.remove(&member);
                    model.remove(&member[..]);
                } else {
                    table.set(f64::from(score), &member);
                    model.insert(member.to_vec(), score);
                }
            }
            let mut sorted: Vec<_> = model.iter().map(|(m, s)| (*s, m.clone())).collect();
            sorted.sort();
            let plain = |s: Ranked<'_>| (s.score as i8, s.member.to_vec());
            let zset = table.view();
            prop_assert_eq!(zset.len(), sorted.len());
            prop_assert!(zset.ascending(from).map(plain).eq(sorted.iter().skip(from).cloned()));
            let below = from.min(sorted.len());
            prop_assert!(zset.descending(from).map(plain).eq(sorted[..below].iter().rev().cloned()));
            for (rank, (_, member)) in sorted.iter().enumerate() {
                prop_assert_eq!(zset.rank(member), Some(rank));
            }
            prop_assert_eq!(zset.count_before(|s| s.score < 1.0), sorted.iter().filter(|s| s.0 < 1).count());
        }
    }

    #[test]
    fn many_members_come_and_go_without_quadratic_work() {
        let mut zset = ZsetTable::default();
        for i in 0..100_000u32 {
            zset.set(f64::from(i.wrapping_mul(2_654_435_761) >> 8), &i.to_be_bytes());
        }
        assert!(zset.order.len() < 100_000 / (CHUNK_MAX / 4));
        for i in 0..99_990u32 {
            zset.remove(&i.to_be_bytes());
        }
        assert_eq!(zset.view().len(), 10);
        assert!(zset.order.len() < 10);
    }
}
