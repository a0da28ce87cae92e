//! Dice from the one random number that a command gets.

use std::collections::BTreeSet;

/// A repetition costs a reply and no data, so somebody must bound it; Redis allows 2^62.
pub(crate) const REPEATED_MAX: u64 = 1 << 24;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(random: u64) -> Self {
        Dice(random)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `bound`, which is not 0; the bias is below bound / 2^64.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// `count` different numbers below `bound`, all if there are not more (Floyd's algorithm).
    pub(crate) fn distinct(&mut self, count: usize, bound: usize) -> Vec<usize> {
        if count >= bound {
            return (0..bound).collect();
        }
        let mut seen = BTreeSet::new();
        (bound - count..bound)
            .map(|last| {
                let drawn = self.below(last + 1);
                let chosen = if seen.insert(drawn) { drawn } else { last };
                seen.insert(chosen);
                chosen
            })
            .collect()
    }

    /// What a count asks for of `len` elements: so many different ones, or if it is negative so many that may be the
    /// same. At most [`REPEATED_MAX`] of the latter.
    pub(crate) fn choose(&mut self, count: i64, len: usize) -> Vec<usize> {
        match usize::try_from(count) {
            Ok(count) => self.distinct(count, len),
            Err(_) if len == 0 => Vec::new(),
            Err(_) => (0..count.unsigned_abs().min(REPEATED_MAX)).map(|_| self.below(len)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_numbers_are_distinct_and_reach_everything() {
        let mut dice = Dice::new(1);
        let mut met = BTreeSet::new();
        for _ in 0..200 {
            let drawn = dice.distinct(3, 10);
            assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 3);
            met.extend(drawn);
        }
        assert!(met.into_iter().eq(0..10));
        assert_eq!(dice.distinct(20, 3), [0, 1, 2]);
    }
}
