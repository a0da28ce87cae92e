//! The wall clock, for what people read and what outlives a process: expiry times, the times that commands keep.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in ms. 0 before 1970: a clock so wrong is wrong anyway, and nothing here may panic over it.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
