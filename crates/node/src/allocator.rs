//! The process's allocator, as far as it can be asked. Whoever links one tells of it; a process of tests has the system's.
//!
//! *Invariant:* nothing is decided by what it says: it is shown, and the books of the keyspace are what counts.

use std::sync::OnceLock;

/// What can be asked of an allocator, from any thread.
#[derive(Debug)]
pub struct Allocator {
    /// With its version, as `mem_allocator` shows it.
    pub name: String,
    pub figures: fn() -> Figures,
    /// Gives back to the system what the calling thread does not need.
    pub purge: fn(),
    /// Whatever it tells of itself, as text.
    pub report: fn() -> String,
}

/// Of the whole process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What it holds of the system, in use or not.
    pub active: u64,
    /// What of the process is in memory.
    pub resident: u64,
}

static ALLOCATOR: OnceLock<Allocator> = OnceLock::new();

/// Once a process, before it serves.
pub fn tell_allocator(allocator: Allocator) {
    // A second word about the one allocator that there is says nothing new.
    let _ = ALLOCATOR.set(allocator);
}

pub(crate) fn told() -> Option<&'static Allocator> {
    ALLOCATOR.get()
}

pub(crate) fn name() -> &'static str {
    told().map_or("libc", |allocator| &allocator.name)
}

#[cfg(test)]
mod tests {
    use ironcache_keyspace::block_bytes;

    #[test]
    fn blocks_are_booked_as_large_as_the_allocator_of_a_release_makes_them() {
        let every = (1..4096).chain((4096..(2 << 20)).step_by(61)).chain((1..25).map(|power| 1 << power));
        for bytes in every {
            // SAFETY: it computes, and touches no memory.
            let good = unsafe { libmimalloc_sys::mi_good_size(bytes) };
            assert_eq!(block_bytes(bytes), good, "of {bytes}");
        }
    }
}
