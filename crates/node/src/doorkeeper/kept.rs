//! The bytes of a body that has not all come.
//!
//! ```text
//!  up to FREE_BYTES ─► Small: of the allocator
//!  above            ─► Large: pages of its own, which the system has back the moment that the body is given up, or answered
//! ```
//! The allocator keeps what was given back for a while, for whoever asks for as much again. Of bodies of megabytes, of which one
//! after the other makes room, it kept as much as all that are coming in have (docs/limits.md).
//!
//! *Invariant:* a large body has addresses for all that was announced, and memory for what has come.

use super::FREE_BYTES;
use axum::body::Bytes;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::io;
use std::ptr::{NonNull, null_mut};

pub(super) enum Kept {
    Small(Vec<u8>),
    Large(Pages),
}

impl Kept {
    /// For a body of so many bytes, as far as it says.
    pub(super) fn new(announced: usize) -> Self {
        Kept::Small(Vec::with_capacity(announced.min(FREE_BYTES)))
    }

    /// From now on it may have `bytes` in all, and is no longer one that is small.
    ///
    /// # Errors
    /// The system has no addresses for as much.
    pub(super) fn grow(&mut self, bytes: usize) -> io::Result<()> {
        if let Kept::Small(small) = self {
            let mut pages = Pages::of(bytes.max(small.len()))?;
            pages.push(small);
            *self = Kept::Large(pages);
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Kept::Small(small) => small.len(),
            Kept::Large(pages) => pages.len,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Kept::Small(small) => small.extend_from_slice(bytes),
            Kept::Large(pages) => pages.push(bytes),
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Kept::Small(small) => small.into(),
            Kept::Large(pages) => Bytes::from_owner(pages),
        }
    }
}

/// Memory that is nobody else's.
pub(super) struct Pages {
    start: NonNull<u8>,
    capacity: usize,
    /// So many of them were written.
    len: usize,
}

// SAFETY: the pages are reached through this value alone.
unsafe impl Send for Pages {}

impl Pages {
    /// `capacity` is not 0.
    fn of(capacity: usize) -> io::Result<Pages> {
        let (readable, own) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: the system chooses where: nothing of ours is there.
        let start = unsafe { mmap_anonymous(null_mut(), capacity, readable, own)? };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Pages { start, capacity, len: 0 })
    }

    /// # Panics
    /// With more bytes than there is room for: whoever takes them in has looked.
    fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.capacity - self.len, "no more comes than was announced");
        // SAFETY: from `len` on there is room for as many bytes, and nobody else looks at it.
        unsafe {
            self.start.add(self.len).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len())
        };
        self.len += bytes.len();
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: up to `len` they were written, and are not changed while this is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: they were mapped as one, and nobody has them any more.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.capacity) } {
            tracing::error!(%error, "memory of a request cannot be given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_came_small_or_large() {
        let pieces: Vec<Vec<u8>> = (0..7).map(|n| vec![n; FREE_BYTES / 3]).collect();
        let all = pieces.concat();
        for large_from in 0..=pieces.len() {
            let mut kept = Kept::new(all.len());
            for (n, piece) in pieces.iter().enumerate() {
                if n == large_from {
                    kept.grow(all.len()).unwrap();
                }
                kept.push(piece);
                assert_eq!(kept.len(), (n + 1) * piece.len());
            }
            assert_eq!(matches!(kept, Kept::Large(_)), large_from < pieces.len());
            let bytes = kept.into_bytes();
            let (head, tail) = (bytes.slice(..10), bytes.slice(all.len() - 10..));
            assert_eq!(bytes, all);
            drop(bytes);
            assert_eq!([head, tail].concat(), [&all[..10], &all[all.len() - 10..]].concat());
        }
    }

    #[test]
    #[should_panic(expected = "no more comes than was announced")]
    fn nothing_is_written_behind_the_end() {
        let mut kept = Kept::new(5_000);
        kept.grow(5_000).unwrap();
        kept.push(&[7; 5_001]);
    }

    /// Of this process, in KiB.
    #[cfg(target_os = "linux")]
    fn anonymous_kib() -> usize {
        let status = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Other tests take and give memory meanwhile, and not as much.
    #[cfg(target_os = "linux")]
    const MUCH_KIB: usize = 512 << 10;

    #[cfg(target_os = "linux")]
    #[test]
    fn pages_are_taken_as_they_are_written_and_given_back_when_nobody_has_the_body() {
        let (before, piece) = (anonymous_kib(), vec![7; 2 << 20]);
        let announced: Vec<Kept> = (0..64)
            .map(|_| {
                let mut kept = Kept::new(16 << 20);
                kept.grow(16 << 20).unwrap();
                kept
            })
            .collect();
        assert!(anonymous_kib() < before + MUCH_KIB, "nothing of a gigabyte has come");
        drop(announced);
        for _ in 0..512 {
            let mut kept = Kept::new(16 << 20);
            kept.grow(16 << 20).unwrap();
            kept.push(&piece);
            assert_eq!(kept.into_bytes(), piece);
        }
        assert!(anonymous_kib() < before + MUCH_KIB, "a gigabyte came and went");
    }
}
