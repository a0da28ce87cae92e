//! The operations that are measured.

pub mod commands;
pub mod commit;
pub mod replication;
pub mod resp;

/// The bytes of a value, in redis-benchmark's and the design's figures too.
pub const VALUE_BYTES: usize = 100;

/// A key as redis-benchmark writes it.
pub fn key(index: usize) -> Vec<u8> {
    format!("key:{index:012}").into_bytes()
}

/// Makes `key`, which is one, the key of `index`: in place, so that making it costs little beside what it is made for.
#[inline]
pub fn write_key(index: usize, key: &mut [u8]) {
    let mut left = index;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

/// Visits `0..len` again and again in an order that neither caches nor prefetchers foresee, and without a
/// generator's cost: steps by a number without a common factor.
#[derive(Clone, Debug)]
pub struct Walk {
    at: usize,
    len: usize,
}

impl Walk {
    /// Prime, and above any number of keys used here divided by two.
    const STEP: usize = 61_813;

    pub fn new(len: usize) -> Self {
        assert!(!len.is_multiple_of(Self::STEP), "a step that divides {len} would not meet every index");
        Self { at: 0, len }
    }

    /// The next index.
    #[inline]
    pub fn step(&mut self) -> usize {
        self.at += Self::STEP % self.len;
        if self.at >= self.len {
            self.at -= self.len;
        }
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_written_in_place_is_the_key() {
        let mut written = key(999_999);
        for index in [0, 7, 61_813, 123_456_789] {
            write_key(index, &mut written);
            assert_eq!(written, key(index));
        }
    }

    #[test]
    fn a_walk_meets_every_index_once_a_turn() {
        let mut walk = Walk::new(1000);
        let mut met: Vec<usize> = (0..1000).map(|_| walk.step()).collect();
        met.sort_unstable();
        assert!(met.into_iter().eq(0..1000));
    }
}
