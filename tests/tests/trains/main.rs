//! Trains: rolls from this release to the one that the feature `next` invents, back, and on.
//!
//! `make train` builds that release and runs these; `IRONCACHE_NEXT` names another binary of it.

mod keys;
mod snapshots;
mod train;
mod transcript;
mod world;

/// This release, built with this package.
pub(crate) const PRODUCT: &str = env!("CARGO_BIN_EXE_ironcache-under-test");
/// Its version, and that of the next.
pub(crate) const THIS: &str = "0.1.0";
pub(crate) const NEXT: &str = "0.2.0";
