//! Trains: rolls from this release to the one that the feature `next` invents, back, and on; and from the newest release
//! that was cut to this one.
//!
//! `make train` builds those releases and runs these; `IRONCACHE_NEXT` names another binary of the first,
//! `IRONCACHE_RELEASED` is the binary of the second.

mod keys;
mod released;
mod snapshots;
mod train;
mod transcript;
mod world;

/// This release, built with this package.
pub(crate) const PRODUCT: &str = env!("CARGO_BIN_EXE_ironcache-under-test");
/// Its version, and that of the next.
pub(crate) use ironcache_tests::{NEXT, THIS};
