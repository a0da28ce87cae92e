//! Two hashes of bytes: a seeded one for tables, a fixed one for fingerprints.

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use std::hash::Hasher;

/// For tables only: differs from process to process, so that nobody can craft colliding keys.
pub(crate) fn table_hash(bytes: &[u8]) -> u32 {
    let mut hasher = FoldHasher::with_seed(0x243f_6a88_85a3_08d3, SharedSeed::global_random());
    hasher.write(bytes);
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

/// The same on every machine and release: what fingerprints are made of. Not for tables.
pub(crate) fn stable_hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = mix(seed ^ 0x9e37_79b9_7f4a_7c15, bytes.len() as u64 | 1 << 63);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = mix(state ^ u64::from_le_bytes(word), 0xa076_1d64_78bd_642f);
    }
    mix(state, 0xe703_7ed1_a0b4_28db)
}

/// The wyhash fold: the two halves of a 128-bit product, xored.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stable_hash_never_changes() {
        assert_eq!(stable_hash(0, b""), 13_506_919_824_043_107_046);
        assert_eq!(stable_hash(1, b"ironcache"), 16_572_012_581_024_398_364);
    }

    #[test]
    fn length_and_padding_are_told_apart() {
        assert_ne!(stable_hash(0, b"a"), stable_hash(0, b"a\0"));
        assert_ne!(stable_hash(0, b""), stable_hash(0, b"\0\0\0\0\0\0\0\0"));
    }
}
