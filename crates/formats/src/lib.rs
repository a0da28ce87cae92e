//! What is written to disk and sent to other nodes, version by version, and the one table that says which version of
//! each is in force at which level.
//!
//! ```text
//!   live types of control ──► newest vN ──► … ──► v1 ──► bytes          (down: refused where a field would be lost)
//!   live types of control ◄── newest vN ◄── … ◄── v1 ◄── bytes          (up: total)
//! ```
//!
//! *Invariant:* a live type is taken apart without `..`, so a field that a format has forgotten does not compile.
//! *Invariant:* a format is made of integers, bool, String, Vec, Option, BTreeMap, fixed arrays and enums of its own: no
//! float, `usize`, hash map, foreign type or serde attribute, so that nothing outside this crate changes its bytes.
//! *Invariant:* `wire` is the only module that names bincode, and a body is parsed only after what frames it was checked.
//! *Invariant:* pure: bytes in, values out.

pub mod entry;
pub mod levels;
mod parts;
pub mod snapshot;
pub mod state;
pub mod wire;

use ironcache_types::Level;

/// Something that the level asked for has no place for: a command, a field, a message that came later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} does not exist at level {level}: the cluster has to finalize an upgrade to a release that has it \
     (`ironcache cluster upgrade finalize`) first"
)]
pub struct AboveLevel {
    pub what: String,
    pub level: Level,
}

/// Bytes of a sound frame, with a field in them that no release writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} holds {found:?}")]
pub struct BadField {
    pub what: &'static str,
    pub found: String,
}
