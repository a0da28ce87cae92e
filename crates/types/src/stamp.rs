//! The version stamp: how a binary says from inside which version it is.
//!
//! The executable carries one 64-byte block in a link section of its own: a magic of 16 bytes, then
//! the version as text, padded with zeros. The build writes it; a packager may write it again
//! (`ironcache release stamp`), which gives another binary with another digest.

use semver::Version;

/// Length of the block, in bytes: the magic and up to 48 bytes of version.
pub const STAMP_LEN: usize = 64;

/// Starts the block. Its last bytes are not text, so that prose about it is not taken for it.
pub const STAMP_MAGIC: [u8; 16] = *b"ironcache-rel\x00\xf1\x0a";

/// The block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Stamp(pub [u8; STAMP_LEN]);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    #[error("the file carries no version stamp: it is not an ironcache binary")]
    Missing,
    #[error("the file carries {count} version stamps, and one is expected")]
    Several { count: usize },
    #[error("the version stamp does not hold a version")]
    Unreadable,
    #[error("version {version} is longer than the {max} bytes a stamp holds")]
    TooLong { version: Version, max: usize },
}

impl Stamp {
    /// The stamp that the build writes. `version` has at most 48 bytes (checked at compile time).
    pub const fn of_build(version: &str) -> Stamp {
        let text = version.as_bytes();
        assert!(text.len() <= STAMP_LEN - STAMP_MAGIC.len());
        let mut block = [0; STAMP_LEN];
        let mut i = 0;
        while i < STAMP_MAGIC.len() {
            // The first byte is stored raised by 0x80: the magic as a constant in the program, which
            // a search of the file meets too, then differs from the stamp.
            block[i] = if i == 0 { STAMP_MAGIC[0] | 0x80 } else { STAMP_MAGIC[i] };
            i += 1;
        }
        let mut j = 0;
        while j < text.len() {
            block[STAMP_MAGIC.len() + j] = text[j];
            j += 1;
        }
        Stamp(block)
    }

    pub fn new(version: &Version) -> Result<Stamp, StampError> {
        let text = version.to_string();
        let max = STAMP_LEN - STAMP_MAGIC.len();
        if text.len() > max {
            return Err(StampError::TooLong { version: version.clone(), max });
        }
        Ok(Stamp::of_build(&text))
    }

    pub fn version(&self) -> Result<Version, StampError> {
        let text = &self.0[STAMP_MAGIC.len()..];
        let len = text.iter().position(|&b| b == 0).unwrap_or(text.len());
        std::str::from_utf8(&text[..len])
            .ok()
            .and_then(|t| Version::parse(t).ok())
            .ok_or(StampError::Unreadable)
    }

    /// The byte position of the one stamp in an executable's bytes. A stamp holds a version: an
    /// optimising compiler may leave the magic in the program's constants too, with something else
    /// behind it.
    pub fn find(binary: &[u8]) -> Result<usize, StampError> {
        let first = STAMP_MAGIC[0] | 0x80;
        let mut found = Vec::new();
        for (at, window) in binary.windows(STAMP_MAGIC.len()).enumerate() {
            if window[0] == first && window[1..] == STAMP_MAGIC[1..] && Stamp::at(binary, at).is_some() {
                found.push(at);
            }
        }
        match found[..] {
            [] => Err(StampError::Missing),
            [at] => Ok(at),
            _ => Err(StampError::Several { count: found.len() }),
        }
    }

    /// The stamp at a byte position, if that many bytes are there, they hold a version, and zeros follow it.
    fn at(binary: &[u8], at: usize) -> Option<Stamp> {
        let stamp = Stamp(binary.get(at..at + STAMP_LEN)?.try_into().ok()?);
        let version = stamp.version().ok()?;
        (Stamp::new(&version).ok()? == stamp).then_some(stamp)
    }

    /// Reads the stamp out of an executable's bytes.
    pub fn read(binary: &[u8]) -> Result<Version, StampError> {
        let at = Stamp::find(binary)?;
        Stamp::at(binary, at).ok_or(StampError::Unreadable)?.version()
    }

    /// Writes this stamp over the one in an executable's bytes.
    pub fn write(&self, binary: &mut [u8]) -> Result<(), StampError> {
        let at = Stamp::find(binary)?;
        binary[at..at + STAMP_LEN].copy_from_slice(&self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_and_rewritten() {
        let mut binary = vec![7; 100];
        binary.extend(Stamp::of_build("0.1.0").0);
        binary.extend(STAMP_MAGIC);
        binary.extend([9; 70]);
        assert_eq!(Stamp::read(&binary), Ok(Version::new(0, 1, 0)));
        Stamp::new(&Version::new(12, 34, 56)).unwrap().write(&mut binary).unwrap();
        assert_eq!(Stamp::read(&binary), Ok(Version::new(12, 34, 56)));
    }

    #[test]
    fn the_magic_among_the_constants_of_a_program_is_no_stamp() {
        let stamp = Stamp::of_build("0.1.0").0;
        let mut constant = stamp;
        constant[STAMP_MAGIC.len()..].fill(b'x');
        let mut trailing = stamp;
        trailing[STAMP_LEN - 1] = 1;
        let binary = [&constant[..], &trailing, &stamp, &stamp[..STAMP_MAGIC.len()]].concat();
        assert_eq!(Stamp::find(&binary), Ok(2 * STAMP_LEN));
        assert_eq!(Stamp::find(&[stamp, stamp].concat()), Err(StampError::Several { count: 2 }));
    }

    #[test]
    fn a_file_without_a_stamp_is_refused() {
        assert_eq!(Stamp::read(b"#!/bin/sh"), Err(StampError::Missing));
    }
}
