//! Which format versions a release reads and writes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The format versions that a release can read, `min` to `max`; it can write `max`, and writes what
/// the cluster level allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WireRange {
    pub min: u16,
    pub max: u16,
}

impl WireRange {
    /// What this build reads and writes.
    pub const CURRENT: WireRange = WireRange { min: 1, max: 1 };

    /// Is there any version in it?
    pub fn is_range(&self) -> bool {
        self.min <= self.max
    }

    pub fn contains(&self, version: u16) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

impl fmt::Display for WireRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        write!(f, "{min}-{max}")
    }
}
