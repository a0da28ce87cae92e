//! What releases are called in tests: this source is one, and the others follow from it, so that no test repeats a version.

use ironcache_types::VersionText;

/// The product of this source.
pub const THIS: &str = env!("CARGO_PKG_VERSION");
/// The patch of it.
pub const PATCH: &str = VersionText::patches_later(1).as_str();
/// The minor release after it; what the feature `next` is built as.
pub const NEXT: &str = VersionText::minors_later(1).as_str();
/// The minor release after [`NEXT`].
pub const AFTER: &str = VersionText::minors_later(2).as_str();
/// Releases that are far newer than any of these.
pub const FAR: &str = VersionText::minors_later(6).as_str();
pub const FARTHER: &str = VersionText::minors_later(7).as_str();
