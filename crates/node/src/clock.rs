//! The node's two clocks, both in Unix ms.
//!
//! - [`unix_ms`] dates what the log keeps, what the launcher is told and how long clients have been here. It is steady: a
//!   wall clock that is set, in whatever direction and in the middle of whatever roll, changes no duration that is made
//!   of it (see `ironcache_spine`).
//! - [`wall_ms`] is what clients mean by a time: keys expire by it, as they do in Redis.

pub(crate) use ironcache_spine::unix_ms;
pub(crate) use ironcache_store::clock::wall_ms;
