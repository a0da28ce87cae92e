//! What this source is called, and what releases after it would be called, as text that is made while compiling.
//!
//! *Invariant:* the version of the workspace is written down once, in its manifest; whatever follows from it is made here.

/// `major.minor.patch`.
#[derive(Clone, Copy, Debug)]
pub struct VersionText {
    bytes: [u8; VersionText::LEN_MAX],
    len: usize,
}

/// The present source's: every crate has the workspace's version.
const SOURCE: [u16; 3] = [
    number(env!("CARGO_PKG_VERSION_MAJOR")),
    number(env!("CARGO_PKG_VERSION_MINOR")),
    number(env!("CARGO_PKG_VERSION_PATCH")),
];

/// The release after this source that may have a level of its own: what the feature `next` is built as.
#[cfg(feature = "next")]
pub const NEXT_VERSION: &str = VersionText::minors_later(1).as_str();

impl VersionText {
    /// Three numbers of at most five digits, and two dots.
    const LEN_MAX: usize = 17;

    /// So many minor releases after this source.
    pub const fn minors_later(count: u16) -> Self {
        let [major, minor, _] = SOURCE;
        Self::of([major, minor + count, 0])
    }

    /// So many patches after this source.
    pub const fn patches_later(count: u16) -> Self {
        let [major, minor, patch] = SOURCE;
        Self::of([major, minor, patch + count])
    }

    pub const fn as_str(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => panic!("digits and dots are text"),
        }
    }

    const fn of(parts: [u16; 3]) -> Self {
        let mut text = Self { bytes: [0; Self::LEN_MAX], len: 0 };
        let mut at = 0;
        while at < parts.len() {
            if at > 0 {
                text.push(b'.');
            }
            text.push_number(parts[at]);
            at += 1;
        }
        text
    }

    const fn push_number(&mut self, number: u16) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push(b'0' + (number % 10) as u8);
    }

    const fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }
}

/// What cargo says of a part of the version: digits.
const fn number(text: &str) -> u16 {
    let (digits, mut number, mut at) = (text.as_bytes(), 0, 0);
    while at < digits.len() {
        number = number * 10 + (digits[at] - b'0') as u16;
        at += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    #[test]
    fn what_comes_after_this_source_is_said_as_a_version_is() {
        let own: Version = env!("CARGO_PKG_VERSION").parse().unwrap();
        let minor = Version::new(own.major, own.minor + 1, 0);
        assert_eq!(VersionText::minors_later(1).as_str(), minor.to_string());
        let patch = Version::new(own.major, own.minor, own.patch + 3);
        assert_eq!(VersionText::patches_later(3).as_str(), patch.to_string());
        assert!(patch > own && minor > patch);
        assert_eq!(VersionText::of([u16::MAX; 3]).as_str(), "65535.65535.65535");
        assert_eq!(VersionText::of([10, 0, 120]).as_str(), "10.0.120");
    }
}
