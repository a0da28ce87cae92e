//! The versions of the link: what two ends may say to each other.
//!
//! A link begins at [`LinkVersion::HANDSHAKE`], at which only the frozen messages exist. `Accept` then names the version
//! of everything after it: the highest that both ends speak.
//!
//! *Invariant:* a link's version governs messages, never effects: those are of the level at which they were written, and
//! travel and lie in backlogs as they are.

use std::fmt;

/// A version of the link's messages. Each link has one, agreed on when it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkVersion(pub u16);

impl LinkVersion {
    /// Before anything is agreed on: `Hello`, `Accept` and `Refuse`, whose bytes never change.
    pub const HANDSHAKE: LinkVersion = LinkVersion(0);
}

impl fmt::Display for LinkVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(version) = self;
        write!(f, "{version}")
    }
}

/// The versions that a release speaks, `min` and `max` included: it reads and writes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkVersions {
    pub min: LinkVersion,
    pub max: LinkVersion,
}

/// The newest version of this source. A new kind of message, or a new field of one, raises it and says `since`.
const NEWEST: u16 = 1;

/// The version of the feature `next`: the one above.
#[cfg(feature = "next")]
pub const LINK_NEXT: LinkVersion = LinkVersion(NEWEST + 1);

/// The versions that this build speaks.
pub const LINK_VERSIONS: LinkVersions =
    LinkVersions::new(1, if cfg!(feature = "next") { NEWEST + 1 } else { NEWEST });

impl LinkVersions {
    pub const fn new(min: u16, max: u16) -> Self {
        LinkVersions { min: LinkVersion(min), max: LinkVersion(max) }
    }

    pub fn contains(self, version: LinkVersion) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// The highest version that both speak.
    pub fn common(self, other: LinkVersions) -> Option<LinkVersion> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

impl fmt::Display for LinkVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        write!(f, "{min}-{max}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ends_speak_the_highest_version_that_both_know() {
        let common = |a: (u16, u16), b: (u16, u16)| {
            let (a, b) = (LinkVersions::new(a.0, a.1), LinkVersions::new(b.0, b.1));
            assert_eq!(a.common(b), b.common(a), "whoever asks");
            a.common(b).map(|version| version.0)
        };
        assert_eq!(common((1, 1), (1, 3)), Some(1));
        assert_eq!(common((1, 4), (2, 3)), Some(3));
        assert_eq!(common((1, 2), (2, 5)), Some(2));
        assert_eq!(common((1, 2), (3, 5)), None);
    }

    #[test]
    fn the_handshake_is_no_version_that_can_be_agreed_on() {
        assert!(!LINK_VERSIONS.contains(LinkVersion::HANDSHAKE));
    }
}
