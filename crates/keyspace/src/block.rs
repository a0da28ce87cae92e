//! How much memory a request of some size takes: what the allocator of the release (mimalloc) rounds it to.
//!
//! Books kept by this are what the process takes for a dataset, not what its values are long. A test beside the allocator
//! (`node/src/allocator.rs`) holds the two equal.
//!
//! *Invariant:* a function of the size alone, so that what is booked when a block comes is booked again when it goes.

/// Between two powers of two there are four sizes.
const FINE_BITS: u32 = 2;
/// A larger block has pages of its own.
const SHARED_BYTES_MAX: usize = 512 << 10;
const PAGE_BYTES: usize = 4096;
const WORD_BYTES: usize = 8;

/// The bytes of the block that a request of so many gets. Nothing is requested for nothing.
#[inline]
pub const fn block_bytes(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    if bytes > SHARED_BYTES_MAX {
        return bytes.next_multiple_of(PAGE_BYTES);
    }
    let words = bytes.div_ceil(WORD_BYTES);
    if words == 1 {
        return WORD_BYTES;
    }
    if words <= 8 {
        return words.next_multiple_of(2) * WORD_BYTES;
    }
    let below = words - 1;
    let shift = below.ilog2() - FINE_BITS;
    (((below >> shift) + 1) << shift) * WORD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_what_was_asked_for_and_little_more() {
        for bytes in 1..100_000 {
            let block = block_bytes(bytes);
            assert!(block >= bytes && block >= block_bytes(bytes - 1), "{bytes} gives {block}");
            assert!(block <= bytes + bytes / 4 + 15, "{bytes} gives {block}");
            assert_eq!(block_bytes(block), block, "a block of {block} is one");
        }
    }

    #[test]
    fn sizes_are_those_of_mimalloc() {
        let sizes = [(0, 0), (1, 8), (8, 8), (9, 16), (17, 32), (48, 48), (64, 64), (65, 80), (81, 96)];
        let larger = [(129, 160), (1025, 1280), (524_288, 524_288), (524_289, 528_384)];
        for (asked, block) in sizes.into_iter().chain(larger) {
            assert_eq!(block_bytes(asked), block, "{asked}");
        }
    }
}
