//! A dictionary in insertion order: a vector of elements, and an index over it once it is worth one.
//!
//! ```text
//!   index: (hash, position)  ──position──▶  elements: [e0, e1, e2, …]
//! ```
//!
//! The vector gives a fair random element in O(1), an order that does not depend on the hash seed,
//! and scans without state. The index stores hashes, so growing it touches no element.
//!
//! *Invariant:* an element only ever moves to a lower position (appended at the end, the last one
//! filling a gap). A scan from high to low positions therefore meets every element that is present
//! from its start to its end; see [`Dict::scan`].

use crate::block::block_bytes;
use crate::hash::table_hash;
use crate::index::Index;

/// What a [`Dict`] holds: something with a key in it.
pub trait Keyed {
    /// Up to this many elements are searched one by one, without an index.
    const INDEX_ABOVE: usize;
    fn key(&self) -> &[u8];
}

/// Elements by key. A position (`usize`) is valid until the next insertion or removal.
pub struct Dict<T> {
    elements: Vec<T>,
    /// Empty while the elements are few; otherwise one cell an element.
    index: Index,
}

impl<T> Default for Dict<T> {
    fn default() -> Self {
        Dict { elements: Vec::new(), index: Index::default() }
    }
}

impl<T: Keyed> Dict<T> {
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// All elements, in order.
    pub fn as_slice(&self) -> &[T] {
        &self.elements
    }

    pub fn find(&self, key: &[u8]) -> Option<usize> {
        if self.index.is_empty() {
            return self.elements.iter().position(|element| element.key() == key);
        }
        self.index.find(table_hash(key), |at| self.elements[at].key() == key)
    }

    pub fn get(&self, key: &[u8]) -> Option<&T> {
        self.find(key).map(|at| &self.elements[at])
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// The first element whose key has this table hash and that satisfies `wanted`.
    pub(crate) fn find_hashed(&self, hash: u32, wanted: impl Fn(&T) -> bool) -> Option<usize> {
        if self.index.is_empty() {
            return self.elements.iter().position(|e| wanted(e) && table_hash(e.key()) == hash);
        }
        let is_it = |at: usize| wanted(&self.elements[at]) && table_hash(self.elements[at].key()) == hash;
        self.index.find(hash, is_it)
    }

    /// What the table takes besides its elements' own blocks.
    pub(crate) fn heap_bytes(&self) -> usize {
        block_bytes(self.elements.capacity() * size_of::<T>()) + self.index.heap_bytes()
    }

    /// Where an element with this hash probably is: of those that share its home, the first is looked at.
    #[inline]
    pub(crate) fn guess(&self, hash: u32) -> Option<usize> {
        if self.index.is_empty() { Some(0) } else { self.index.find(hash, |_| true) }
    }

    pub(crate) fn at_mut(&mut self, at: usize) -> &mut T {
        &mut self.elements[at]
    }

    /// Appends an element whose key is absent; answers its position.
    pub(crate) fn push(&mut self, element: T) -> usize {
        let at = self.elements.len();
        if at == self.elements.capacity() {
            self.elements.reserve_exact(Self::room_above(at));
        }
        let hash_of = |at: usize| table_hash(self.elements[at].key());
        if !self.index.is_empty() {
            self.index.insert(table_hash(element.key()), at, hash_of);
        }
        self.elements.push(element);
        if self.index.is_empty() && self.elements.len() > T::INDEX_ABOVE {
            let hash_of = |at: usize| table_hash(self.elements[at].key());
            for at in 0..self.elements.len() {
                self.index.insert(hash_of(at), at, hash_of);
            }
        }
        at
    }

    /// For how many more elements a full vector of `len` gets room: an eighth, and what the allocator gives with it. Not for
    /// as many again: most of a node's tables are in small vectors. In a large one, whose blocks are pages that are new to the
    /// process each time, it is a quarter.
    fn room_above(len: usize) -> usize {
        const LARGE: usize = 4096;
        let share = if len < LARGE { len / 8 } else { len / 4 };
        let bytes = block_bytes((len + share.max(2)) * size_of::<T>());
        bytes / size_of::<T>() - len
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<T> {
        self.find(key).map(|at| self.remove_at(at))
    }

    pub(crate) fn remove_at(&mut self, at: usize) -> T {
        let removed = if self.index.is_empty() {
            self.elements.remove(at)
        } else {
            let last = self.elements.len() - 1;
            let hash_of = |at: usize| table_hash(self.elements[at].key());
            self.index.remove(hash_of(at), at, hash_of);
            if at != last {
                self.index.relocate(hash_of(last), last, at);
            }
            self.elements.swap_remove(at)
        };
        let len = self.elements.len();
        if self.elements.capacity() > 16 && len * 4 < self.elements.capacity() {
            self.elements.shrink_to(len * 2);
        }
        if len == 0 {
            *self = Dict::default();
        }
        removed
    }

    /// One step of a scan: hands the `count` elements below position `cursor` to `visit`, in order.
    /// Starts at cursor 0 with the last ones; answers the next cursor, 0 at the end.
    pub fn scan<'a>(&'a self, cursor: usize, count: usize, mut visit: impl FnMut(&'a T)) -> usize {
        let end = if cursor == 0 { self.len() } else { cursor.min(self.len()) };
        let start = end.saturating_sub(count.max(1));
        self.elements[start..end].iter().for_each(&mut visit);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    struct Name(Vec<u8>);
    impl Keyed for Name {
        const INDEX_ABOVE: usize = 4;
        fn key(&self) -> &[u8] {
            &self.0
        }
    }

    fn name(i: usize) -> Vec<u8> {
        format!("name{i}").into_bytes()
    }

    #[test]
    fn elements_are_found_after_any_growth_and_removal() {
        let mut dict = Dict::default();
        for i in 0..1000 {
            dict.push(Name(name(i)));
        }
        for i in (0..1000).step_by(3) {
            assert_eq!(dict.remove(&name(i)).expect("was pushed").0, name(i));
        }
        for i in 0..1000 {
            assert_eq!(dict.contains(&name(i)), i % 3 != 0, "{i}");
        }
        for i in 0..1000 {
            dict.remove(&name(i));
        }
        assert!(dict.is_empty());
        assert_eq!(dict.scan(0, 10, |_| panic!("nothing is left")), 0);
    }

    #[test]
    fn a_few_elements_keep_their_order_through_removals() {
        let mut dict = Dict::default();
        for i in 0..4 {
            dict.push(Name(name(i)));
        }
        dict.remove(&name(1));
        let left: Vec<_> = dict.as_slice().iter().map(|n| n.0.clone()).collect();
        assert_eq!(left, [name(0), name(2), name(3)]);
    }

    #[test]
    fn a_scan_meets_whatever_stays_while_others_come_and_go() {
        let mut dict = Dict::default();
        for i in 0..300 {
            dict.push(Name(name(i)));
        }
        let (mut met, mut cursor, mut turn) = (BTreeSet::new(), 0, 0);
        loop {
            cursor = dict.scan(cursor, 7, |n| {
                met.insert(n.0.clone());
            });
            if cursor == 0 {
                break;
            }
            // Odd names go, from both ends and the middle; new ones come.
            for i in [turn * 2 + 1, 299 - turn * 2, ((turn * 37) % 300) | 1] {
                dict.remove(&name(i));
            }
            dict.push(Name(name(1000 + turn)));
            turn += 1;
        }
        assert!((0..300).step_by(2).all(|i| met.contains(&name(i))));
    }
}
