//! The node's clocks: two in Unix ms, and one for durations.
//!
//! - [`unix_ms`] dates what the log keeps, what the launcher is told and how long clients have been here. It is steady: a
//!   wall clock that is set, in whatever direction and in the middle of whatever roll, changes no duration that is made
//!   of it (see `ironcache_spine`).
//! - [`boottime_ns`] only goes forward: how long a command took.
//! - [`wall_ms`] is what clients mean by a time: keys expire by it, as they do in Redis.

pub(crate) use ironcache_spine::unix_ms;
pub(crate) use ironcache_store::clock::{boottime_ns, wall_ms};
