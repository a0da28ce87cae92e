//! The sizes that a keyspace books beside those of the allocator that the release links.

#[test]
fn blocks_are_as_large_as_the_allocator_makes_them() {
    let every = (1..4096).chain((4096..(2 << 20)).step_by(61)).chain((1..25).map(|power| 1 << power));
    for bytes in every {
        // SAFETY: it computes, and touches no memory.
        let good = unsafe { libmimalloc_sys::mi_good_size(bytes) };
        assert_eq!(ironcache_keyspace::block_bytes(bytes), good, "of {bytes}");
    }
}
