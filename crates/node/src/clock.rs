//! The node's two clocks, both in Unix ms.
//!
//! - [`unix_ms`] dates what the log keeps, what the launcher is told and how long clients have been here. It is steady: a
//!   wall clock that is set, in whatever direction and in the middle of whatever roll, changes no duration that is made
//!   of it (see `ironcache_spine`).
//! - [`wall_ms`] is what clients mean by a time: keys expire by it, as they do in Redis.

pub(crate) use ironcache_spine::unix_ms;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock. 0 before 1970: a clock so wrong is wrong anyway, and nothing here may panic over it.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
