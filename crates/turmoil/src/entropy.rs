//! The C library's entropy and clock, as every dependency sees them: the seed's, once the simulation has begun.
//!
//! Hash tables, openraft's election timeouts and whatever else draws its own numbers ask `getrandom` in the end; dates in
//! HTTP headers and in logs ask `clock_gettime`. Both symbols are this program's (see `build.rs`), so nothing has to be
//! known of who asks.
//!
//! *Invariant:* a thread other than the simulation's gets the real clock: nothing that waits for real time stands still.

use ironcache_store::simulated;
use std::cell::Cell;
use std::time::Duration;

/// Where the simulation's date begins: a Tuesday in 2026.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_772_000_000);

thread_local! {
    /// Since the simulation began; `None` outside it.
    static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// From here on this thread is the simulation, at `seed`.
pub(crate) fn begin(seed: u64) {
    simulated::seed(seed);
    NOW.set(Some(Duration::ZERO));
}

/// So long has the simulation lasted.
pub(crate) fn now_is(elapsed: Duration) {
    NOW.set(Some(elapsed));
}

#[expect(unreachable_pub, reason = "the linker reaches it")]
/// # Safety
/// As the C library's: `buffer` points to `len` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, len: usize, _flags: u32) -> isize {
    // SAFETY: the caller says so.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, len) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&simulated::random().to_le_bytes()[..chunk.len()]);
    }
    len.cast_signed()
}

#[expect(unreachable_pub, reason = "the linker reaches it")]
/// # Safety
/// As the C library's: `time` points to a `timespec` that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let Some(elapsed) = NOW.try_with(Cell::get).ok().flatten() else {
        // SAFETY: the kernel takes the same two, as the caller has them.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as libc::c_int;
    };
    // Both count from somewhere long before, as real ones do.
    let since = EPOCH + elapsed;
    // SAFETY: the caller says so.
    unsafe {
        (*time).tv_sec = since.as_secs().cast_signed();
        (*time).tv_nsec = i64::from(since.subsec_nanos());
    }
    0
}
