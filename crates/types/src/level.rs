//! The feature level: which formats, commands and rules are in force.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One number names the version of every format, command and rule; the table that says which is in the
/// `formats` crate. A cluster's level rises only at finalize, and never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Level(pub u16);

impl Level {
    /// The level of the first release.
    pub const FIRST: Level = Level(1);

    pub fn next(self) -> Level {
        Level(self.0.saturating_add(1))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(level) = self;
        write!(f, "{level}")
    }
}

/// The levels that a release admits: it reads *and writes* at each, `min` and `max` included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LevelRange {
    pub min: Level,
    pub max: Level,
}

impl LevelRange {
    pub const fn new(min: u16, max: u16) -> Self {
        LevelRange { min: Level(min), max: Level(max) }
    }

    /// Is there any level in it?
    pub fn is_range(&self) -> bool {
        self.min <= self.max
    }

    pub fn admits(&self, level: Level) -> bool {
        (self.min..=self.max).contains(&level)
    }
}

/// The lowest level that this source reads and writes. Raised when a release drops the versions below.
const OLDEST: u16 = 1;

/// The newest level of this source. One more for the first change after a release that admits it: docs/releases.md.
const NEWEST: u16 = 2;

/// The level of the feature `next`, this source's invented future: always the one above the newest.
#[cfg(feature = "next")]
pub const NEXT: Level = Level(NEWEST + 1);

/// What this build admits. The one place that says so: the binary writes it into its stamp, passes it to whoever asks
/// which levels this release admits, and the tables of formats, effects and commands speak of no level above it.
pub const LEVELS: LevelRange =
    LevelRange::new(OLDEST, if cfg!(feature = "next") { NEWEST + 1 } else { NEWEST });

impl fmt::Display for LevelRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        write!(f, "{min}-{max}")
    }
}
