//! A hash table of positions: open addressing with linear probing over small cells.
//!
//! ```text
//!   narrow   [ 16 bits of the hash, position of 16 bits ]   up to 8192 cells: the table of a slot
//!   wide     [ hash of 32 bits ][ position of 32 bits ]     more
//!
//!   home = hash * cells >> bits of the hash that a cell has: as many cells as a block of the allocator holds
//! ```
//! A general table keeps its tags apart from its buckets, so a lookup meets two cache lines before it
//! meets the element; here it meets one. Cells hold hashes, so growing reads no element, but for the one time that narrow cells
//! become wide ones.
//!
//! *Invariant:* a position is found from its hash's home cell without meeting an empty cell before it.
//! *Invariant:* at most four fifths of the cells are full, so every probe ends.
//! *Invariant:* the home of a hash follows from as much of it as a cell has.

use crate::block::block_bytes;

const CELLS_MIN: usize = 4;
/// Of a table of more cells one in ten lookups would meet an element that shares its 16 bits of hash with another, and one that
/// is absent an element at all.
const NARROW_CELLS_MAX: usize = 8192;
const TAG_BITS: u32 = 16;
const EMPTY: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Cell {
    /// As much of it as the cell has.
    hash: u32,
    at: u32,
}

/// Positions by the hash of their key. Without cells it is not in use.
#[derive(Default)]
pub(crate) struct Index {
    /// Those of the cells, one or two each. The last of an empty cell is `EMPTY`.
    words: Box<[u32]>,
    len: u32,
    wide: bool,
}

impl Index {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        block_bytes(self.words.len() * size_of::<u32>())
    }

    /// The first position with this hash that satisfies `wanted`, which compares more than the hash.
    #[inline]
    pub(crate) fn find(&self, hash: u32, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let cell = self.probe(hash, wanted)?;
        self.cell(cell).map(|cell| cell.at as usize)
    }

    /// `hash_of` tells the whole hash of what is at a position.
    pub(crate) fn insert(&mut self, hash: u32, at: usize, hash_of: impl Fn(usize) -> u32) {
        let at = u32::try_from(at).ok().filter(|at| *at != EMPTY).expect("no table has 2^32 elements");
        if (self.len as usize + 1) * 5 > self.cells() * 4 {
            self.resize(self.more_cells(), hash_of);
        }
        self.len += 1;
        self.place(Cell { hash: hash >> self.dropped_bits(), at });
    }

    /// Removes a position that is there.
    pub(crate) fn remove(&mut self, hash: u32, at: usize, hash_of: impl Fn(usize) -> u32) {
        let cells = self.cells();
        let distance = |from: usize, to: usize| if to >= from { to - from } else { to + cells - from };
        let mut gap = self.cell_of(hash, at);
        // Whoever probed past the gap moves into it (Knuth 6.4, algorithm R).
        let mut next = gap;
        loop {
            next = self.after(next);
            let Some(cell) = self.cell(next) else { break };
            if distance(self.home(cell.hash), next) >= distance(gap, next) {
                self.put(gap, cell);
                gap = next;
            }
        }
        self.put(gap, Cell { hash: 0, at: EMPTY });
        self.len -= 1;
        if self.cells() > 16 && self.len as usize * 8 < self.cells() {
            self.resize(self.cells() / 4, hash_of);
        }
    }

    /// The element at `from`, which is there, is now at `to`.
    pub(crate) fn relocate(&mut self, hash: u32, from: usize, to: usize) {
        let cell = self.cell_of(hash, from);
        self.put(cell, Cell { hash: hash >> self.dropped_bits(), at: to as u32 });
    }

    fn cells(&self) -> usize {
        self.words.len() >> u32::from(self.wide)
    }

    /// An eighth more, and what the allocator gives with that. Twice as many wide ones, of which there are many to place anew.
    fn more_cells(&self) -> usize {
        let cells = self.cells();
        let more = if self.wide { cells * 2 } else { (cells + cells / 8).max(CELLS_MIN) };
        let width = size_of::<u32>() << u32::from(self.wide);
        (block_bytes(more * width) / width).max(cells + 1)
    }

    /// Of a hash, those that a cell does not have.
    #[inline]
    fn dropped_bits(&self) -> u32 {
        if self.wide { 0 } else { TAG_BITS }
    }

    /// Of what a cell has of a hash.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        let bits = u32::BITS - self.dropped_bits();
        ((u64::from(hash) * self.cells() as u64) >> bits) as usize
    }

    #[inline]
    fn after(&self, i: usize) -> usize {
        if i + 1 == self.cells() { 0 } else { i + 1 }
    }

    fn cell_of(&self, hash: u32, at: usize) -> usize {
        self.probe(hash, |found| found == at).expect("every element of an indexed table has a cell")
    }

    /// What is in a cell, unless that is empty.
    #[inline]
    fn cell(&self, i: usize) -> Option<Cell> {
        if self.wide {
            let at = self.words[2 * i + 1];
            (at != EMPTY).then(|| Cell { hash: self.words[2 * i], at })
        } else {
            let word = self.words[i];
            (word != EMPTY).then_some(Cell { hash: word >> TAG_BITS, at: word & ((1 << TAG_BITS) - 1) })
        }
    }

    #[inline]
    fn put(&mut self, i: usize, cell: Cell) {
        if self.wide {
            (self.words[2 * i], self.words[2 * i + 1]) = (cell.hash, cell.at);
        } else {
            self.words[i] = if cell.at == EMPTY { EMPTY } else { cell.hash << TAG_BITS | cell.at };
        }
    }

    #[inline]
    fn probe(&self, hash: u32, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        if self.words.is_empty() {
            return None;
        }
        let tag = hash >> self.dropped_bits();
        let mut i = self.home(tag);
        loop {
            let cell = self.cell(i)?;
            if cell.hash == tag && wanted(cell.at as usize) {
                return Some(i);
            }
            i = self.after(i);
        }
    }

    fn place(&mut self, cell: Cell) {
        let mut i = self.home(cell.hash);
        while self.cell(i).is_some() {
            i = self.after(i);
        }
        self.put(i, cell);
    }

    fn resize(&mut self, cells: usize, hash_of: impl Fn(usize) -> u32) {
        let wide = cells > NARROW_CELLS_MAX;
        let words = vec![EMPTY; cells << u32::from(wide)].into_boxed_slice();
        let before = std::mem::replace(self, Index { words, len: self.len, wide });
        for mut cell in (0..before.cells()).filter_map(|i| before.cell(i)) {
            if wide != before.wide {
                cell.hash = hash_of(cell.at as usize) >> self.dropped_bits();
            }
            self.place(cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few distinct hashes, so that probes run long and wrap around.
        #[test]
        fn positions_are_found_as_in_a_map(steps in prop::collection::vec((0u32..12, any::<bool>()), 0..400)) {
            let (mut index, mut model) = (Index::default(), BTreeMap::<usize, u32>::new());
            for (at, (seed, remove)) in steps.into_iter().enumerate() {
                let hash = seed.wrapping_mul(0x5555_5555);
                if let (true, Some((&old, &hash))) = (remove, model.iter().nth(seed as usize)) {
                    index.remove(hash, old, |at| model[&at]);
                    model.remove(&old);
                } else {
                    index.insert(hash, at, |at| model[&at]);
                    model.insert(at, hash);
                }
                for (&at, &hash) in &model {
                    prop_assert_eq!(index.find(hash, |found| found == at), Some(at));
                }
                prop_assert_eq!(index.len as usize, model.len());
                prop_assert_eq!(index.find(hash, |found| !model.contains_key(&found)), None);
            }
        }
    }

    #[test]
    fn positions_are_found_while_cells_become_wide_and_narrow_again() {
        let hash_of = |at: usize| (at as u32).wrapping_mul(0x9e37_79b9);
        let mut index = Index::default();
        let check = |index: &Index, len: usize| {
            for at in 0..len {
                assert_eq!(index.find(hash_of(at), |found| found == at), Some(at), "{at} of {len}");
            }
            assert_eq!(index.find(hash_of(len), |found| found == len), None);
        };
        for at in 0..20_000 {
            index.insert(hash_of(at), at, hash_of);
            assert!(index.wide || at < NARROW_CELLS_MAX, "{at}");
            assert!(!index.wide || at > NARROW_CELLS_MAX / 2, "{at}");
        }
        check(&index, 20_000);
        for at in (10..20_000).rev() {
            index.remove(hash_of(at), at, hash_of);
        }
        assert!(!index.wide);
        check(&index, 10);
        index.relocate(hash_of(9), 9, 70);
        assert_eq!(index.find(hash_of(9), |found| found == 70), Some(70));
    }
}
