//! The system's allocator, and what a thread holds of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Without a destructor and without a heap: an allocator may ask for it at any moment.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Counts what each thread has allocated and not freed. What another thread frees is counted there.
#[derive(Debug)]
pub struct Counted;

fn count(bytes: isize) {
    // A thread at its end has no counters any more, and nobody who reads them.
    let _ = LIVE.try_with(|live| {
        let now = live.get() + bytes;
        live.set(now);
        PEAK.with(|peak| peak.set(peak.get().max(now)));
    });
}

fn size_of(layout: Layout) -> isize {
    isize::try_from(layout.size()).expect("a layout's size fits isize")
}

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size_of(layout));
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size_of(layout));
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-size_of(layout));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - size_of(layout));
        unsafe { System.realloc(at, layout, new_size) }
    }
}

/// What this thread has allocated and not freed.
pub fn live_bytes() -> isize {
    LIVE.get()
}

/// Runs `work`: its result, and by how much this thread held more than before, at most.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, isize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get() - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_for_a_moment_is_the_peak_and_what_is_freed_is_not_live() {
        let before = live_bytes();
        let ((), peak) = peak_of(|| drop(Vec::<u8>::with_capacity(100_000)));
        assert!((100_000..110_000).contains(&peak), "{peak}");
        assert_eq!(live_bytes(), before);
        let (kept, _) = peak_of(|| vec![1_u8; 5_000]);
        assert_eq!(live_bytes() - before, 5_000);
        drop(kept);
    }
}
