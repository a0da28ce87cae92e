//! Which version this binary is: read from its stamp, never from a constant that the compiler inlined.
//!
//! *Invariant:* a copy of this binary with another stamp reports that other version everywhere.

use ironcache_spine::LAUNCHER_PROTOCOL;
use ironcache_types::{LEVELS, Manifest, Stamp, Version};
use std::sync::LazyLock;

/// The block that the build writes and that `ironcache release stamp` writes again.
#[unsafe(link_section = ".ironcache.rel")]
#[used]
pub static STAMP: Stamp = Stamp::of_build(VERSION, LEVELS, LAUNCHER_PROTOCOL, MIN_FROM);

/// What the build is called; the feature `next` is the release after it.
#[cfg(not(feature = "next"))]
const VERSION: &str = env!("CARGO_PKG_VERSION");
#[cfg(feature = "next")]
const VERSION: &str = ironcache_types::NEXT_VERSION;

/// The oldest release that may be upgraded to this one. None was made yet.
const MIN_FROM: Option<&str> = None;

static TEXT: LazyLock<String> = LazyLock::new(|| own().to_string());

/// The version of the running binary.
pub fn own() -> Version {
    manifest().version
}

/// What the running binary says of itself.
pub fn manifest() -> Manifest {
    // SAFETY: the pointer comes from a reference to a static. The read is volatile because the block
    // may have been rewritten in the file after the compiler last saw it.
    let stamp = unsafe { std::ptr::read_volatile(&raw const STAMP) };
    stamp.stated().expect("a file with a damaged stamp is refused before it runs")
}

/// The same as text, for `--version`.
pub fn text() -> &'static str {
    &TEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_holds_the_version_of_the_build() {
        assert_eq!(own().to_string(), VERSION);
        assert_eq!((manifest().levels, manifest().launcher_protocol), (LEVELS, LAUNCHER_PROTOCOL));
    }
}
