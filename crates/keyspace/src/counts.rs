//! How many things there are in each slot, and which slot the n-th is in: what random draws go by.
//!
//! ```text
//!   groups: [ 128 slots | 128 slots | … ]   a draw skips groups, then slots: 256 steps at most
//!   slots:  [ n | n | n | n | … ]
//! ```
//! *Invariant:* a group's count is the sum of its slots', and the total that of all groups.

use ironcache_types::SLOT_COUNT;

const GROUP: usize = 128;

pub(crate) struct Counts {
    slots: Box<[u32]>,
    groups: [u32; SLOT_COUNT as usize / GROUP],
    total: usize,
}

impl Default for Counts {
    fn default() -> Self {
        let slots = vec![0; usize::from(SLOT_COUNT)].into_boxed_slice();
        Counts { slots, groups: [0; SLOT_COUNT as usize / GROUP], total: 0 }
    }
}

impl Counts {
    /// What one takes besides itself.
    pub(crate) const HEAP_BYTES: usize = SLOT_COUNT as usize * size_of::<u32>();

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn add(&mut self, slot: u16) {
        self.slots[usize::from(slot)] += 1;
        self.groups[usize::from(slot) / GROUP] += 1;
        self.total += 1;
    }

    pub(crate) fn subtract(&mut self, slot: u16) {
        self.slots[usize::from(slot)] -= 1;
        self.groups[usize::from(slot) / GROUP] -= 1;
        self.total -= 1;
    }

    /// The slot that the n-th of all is in, and its number there; in the order of slots, from 0.
    pub(crate) fn locate(&self, n: usize) -> Option<(u16, usize)> {
        let (group, n) = skip(&self.groups, n)?;
        let (slot, n) = skip(&self.slots[group * GROUP..(group + 1) * GROUP], n)?;
        Some(((group * GROUP + slot) as u16, n))
    }
}

/// Passes over whole counts until the n-th is within one.
fn skip(counts: &[u32], n: usize) -> Option<(usize, usize)> {
    let mut left = n;
    for (at, count) in counts.iter().enumerate() {
        let count = *count as usize;
        if left < count {
            return Some((at, left));
        }
        left -= count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_nth_is_where_a_walk_over_all_slots_finds_it(steps in prop::collection::vec((0..SLOT_COUNT, any::<bool>()), 0..200)) {
            let (mut counts, mut model) = (Counts::default(), BTreeMap::<u16, u32>::new());
            for (slot, more) in steps {
                // Few slots, so that some hold several.
                let slot = slot % 7 * 2340;
                if more {
                    counts.add(slot);
                    *model.entry(slot).or_default() += 1;
                } else if let Some(count) = model.get_mut(&slot).filter(|count| **count > 0) {
                    counts.subtract(slot);
                    *count -= 1;
                }
            }
            let all: Vec<_> =
                model.iter().flat_map(|(slot, count)| (0..*count as usize).map(|n| (*slot, n))).collect();
            prop_assert_eq!(counts.total(), all.len());
            for (n, place) in all.iter().enumerate() {
                prop_assert_eq!(counts.locate(n), Some(*place));
            }
            prop_assert_eq!(counts.locate(all.len()), None);
        }
    }
}
