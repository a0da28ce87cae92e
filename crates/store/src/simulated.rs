//! What the simulated world draws by: one generator for all of its hosts, seeded once a process.

use std::cell::Cell;

thread_local! {
    static DISK_MS_MAX: Cell<u64> = const { Cell::new(40) };
    static STATE: Cell<u64> = const { Cell::new(1) };
}

/// Begins anew from `seed`.
pub fn seed(seed: u64) {
    // Zero is the one state that this generator never leaves.
    STATE.set(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
}

/// How long a disk of this run may take at worst.
pub fn set_disk_ms_max(ms: u64) {
    DISK_MS_MAX.set(ms);
}

/// How long the disk takes this time: mostly next to nothing, sometimes as long as it may.
pub fn disk_ms() -> u64 {
    if random_below(8) == 0 { random_below(DISK_MS_MAX.get()) } else { random_below(3) }
}

/// xorshift64*.
pub fn random() -> u64 {
    let mut state = STATE.get();
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    STATE.set(state);
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Below `bound`; 0 for a bound of 0.
pub fn random_below(bound: u64) -> u64 {
    (random() >> 11).checked_rem(bound).unwrap_or(0)
}
