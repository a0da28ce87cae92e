//! A hash table of positions: open addressing with linear probing over 8-byte cells.
//!
//! A general table keeps its tags apart from its buckets, so a lookup meets two cache lines before it
//! meets the element; here it meets one. Cells hold hashes, so growing reads no element.
//!
//! *Invariant:* a position is found from its hash's home cell without meeting an empty cell before it.
//! *Invariant:* at most three quarters of the cells are full, so every probe ends.

use crate::block::block_bytes;

#[derive(Clone, Copy)]
struct Cell {
    hash: u32,
    /// `EMPTY`, or a position.
    at: u32,
}

const EMPTY: u32 = u32::MAX;
const CELLS_MIN: usize = 4;

/// Positions by the hash of their key. Without cells it is not in use.
#[derive(Default)]
pub(crate) struct Index {
    /// None, or a power of two.
    cells: Box<[Cell]>,
    len: usize,
}

impl Index {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        block_bytes(self.cells.len() * size_of::<Cell>())
    }

    /// The first position with this hash that satisfies `wanted`.
    #[inline]
    pub(crate) fn find(&self, hash: u32, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let cell = self.probe(hash, wanted)?;
        Some(self.cells[cell].at as usize)
    }

    pub(crate) fn insert(&mut self, hash: u32, at: usize) {
        let at = u32::try_from(at).ok().filter(|at| *at != EMPTY).expect("no table has 2^32 elements");
        if (self.len + 1) * 4 > self.cells.len() * 3 {
            self.resize((self.cells.len() * 2).max(CELLS_MIN));
        }
        self.len += 1;
        self.place(Cell { hash, at });
    }

    /// Removes a position that is there.
    pub(crate) fn remove(&mut self, hash: u32, at: usize) {
        let mask = self.cells.len() - 1;
        let mut gap = self.cell_of(hash, at);
        // Whoever probed past the gap moves into it (Knuth 6.4, algorithm R).
        let mut next = gap;
        loop {
            next = (next + 1) & mask;
            let cell = self.cells[next];
            if cell.at == EMPTY {
                break;
            }
            let from_home = next.wrapping_sub(cell.hash as usize) & mask;
            if from_home >= next.wrapping_sub(gap) & mask {
                self.cells[gap] = cell;
                gap = next;
            }
        }
        self.cells[gap].at = EMPTY;
        self.len -= 1;
        if self.cells.len() > 16 && self.len * 8 < self.cells.len() {
            self.resize(self.cells.len() / 4);
        }
    }

    /// The element at `from`, which is there, is now at `to`.
    pub(crate) fn relocate(&mut self, hash: u32, from: usize, to: usize) {
        let cell = self.cell_of(hash, from);
        self.cells[cell].at = to as u32;
    }

    fn cell_of(&self, hash: u32, at: usize) -> usize {
        self.probe(hash, |found| found == at).expect("every element of an indexed table has a cell")
    }

    #[inline]
    fn probe(&self, hash: u32, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.cells.len().checked_sub(1)?;
        let mut i = hash as usize & mask;
        loop {
            let cell = self.cells[i];
            if cell.at == EMPTY {
                return None;
            }
            if cell.hash == hash && wanted(cell.at as usize) {
                return Some(i);
            }
            i = (i + 1) & mask;
        }
    }

    fn place(&mut self, cell: Cell) {
        let mask = self.cells.len() - 1;
        let mut i = cell.hash as usize & mask;
        while self.cells[i].at != EMPTY {
            i = (i + 1) & mask;
        }
        self.cells[i] = cell;
    }

    fn resize(&mut self, cells: usize) {
        let fresh = vec![Cell { hash: 0, at: EMPTY }; cells].into_boxed_slice();
        for cell in std::mem::replace(&mut self.cells, fresh) {
            if cell.at != EMPTY {
                self.place(cell);
            }
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
                    index.remove(hash, old);
                    model.remove(&old);
                } else {
                    index.insert(hash, at);
                    model.insert(at, hash);
                }
                for (&at, &hash) in &model {
                    prop_assert_eq!(index.find(hash, |found| found == at), Some(at));
                }
                prop_assert_eq!(index.len, model.len());
                prop_assert_eq!(index.find(hash, |found| !model.contains_key(&found)), None);
            }
        }
    }
}
