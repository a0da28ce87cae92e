//! The file `level`: the highest level that anything in a data directory may be written at.
//!
//! ```text
//! ironcache-level 1 crc32 89abcdef
//! ```
//! One line, frozen for ever (docs/adr): every release, whatever its own range, reads it before anything else. The eight
//! digits are the CRC-32 (IEEE) of what is before ` crc32 `: a level with a bit changed is another level, and neither end of
//! what that leads to is wanted, a node that waits for a release that nobody made or bytes that a release cannot read.
//!
//! *Invariant:* durable before the first byte of its level is sealed anywhere in the directory.
//! *Invariant:* it never falls.

use crate::disk_error::DiskError;
use crate::read::read_durably;
use crate::replace::replace_durably;
use ironcache_types::{Level, LevelRange};
use std::path::{Path, PathBuf};

const NAME: &str = "level";
const WORD: &str = "ironcache-level";

/// The `level` file of one data directory.
#[derive(Clone, Debug)]
pub struct LevelFile {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// The directory was raised above what this release admits: it changes nothing and exits.
    #[error(
        "{} says level {level}, and this release admits levels {admits}: start a release that admits level {level} \
         (`ironcache cluster nodes`, asked of a node that runs, says which one)",
        path.display()
    )]
    Above { path: PathBuf, level: Level, admits: LevelRange },
    /// The directory's content is older than what this release can read.
    #[error(
        "{} says level {level}, and this release admits levels {admits}: start a release in between first",
        path.display()
    )]
    Below { path: PathBuf, level: Level, admits: LevelRange },
    #[error(
        "{} is not one line `{WORD} N crc32 C` with its checksum but {found:?}: it was altered; restore it, or let this \
         node join anew with an empty directory",
        path.display()
    )]
    Unreadable { path: PathBuf, found: String },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl LevelFile {
    pub fn new(data_dir: &Path) -> Self {
        LevelFile { path: data_dir.join(NAME) }
    }

    /// `None`: the directory is new, nothing in it has a level.
    ///
    /// # Errors
    /// [`LevelError::Unreadable`] for anything but the frozen line.
    pub fn read(&self) -> Result<Option<Level>, LevelError> {
        let Some(bytes) = read_durably(&self.path)? else { return Ok(None) };
        match parse(&bytes) {
            Some(level) => Ok(Some(level)),
            None => {
                let shown = bytes.get(..64).unwrap_or(&bytes);
                let found = String::from_utf8_lossy(shown).into_owned();
                Err(LevelError::Unreadable { path: self.path.clone(), found })
            }
        }
    }

    /// What the directory is at, if this release admits it.
    ///
    /// # Errors
    /// [`LevelError::Above`] and [`LevelError::Below`] if it does not.
    pub fn admit(&self, admits: LevelRange) -> Result<Option<Level>, LevelError> {
        let Some(level) = self.read()? else { return Ok(None) };
        let path = || self.path.clone();
        if level > admits.max {
            return Err(LevelError::Above { path: path(), level, admits });
        }
        if level < admits.min {
            return Err(LevelError::Below { path: path(), level, admits });
        }
        Ok(Some(level))
    }

    /// Returns once the file says `level` or more, durably. A level that it says already costs no write.
    ///
    /// # Errors
    /// The file is unreadable, or cannot be written.
    pub fn raise(&self, level: Level) -> Result<(), LevelError> {
        if self.read()?.is_some_and(|present| present >= level) {
            return Ok(());
        }
        Ok(replace_durably(&self.path, Self::line(level).as_bytes())?)
    }

    /// What the file says at `level`: exactly `ironcache-level N crc32 C\n`, N in decimal without a leading zero.
    pub fn line(level: Level) -> String {
        let said = format!("{WORD} {level}");
        let crc = crc32fast::hash(said.as_bytes());
        format!("{said} crc32 {crc:08x}\n")
    }
}

/// The level whose line these bytes are.
fn parse(bytes: &[u8]) -> Option<Level> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number = text.strip_prefix(WORD)?.strip_prefix(' ')?.split(' ').next()?;
    let level = Level(number.parse().ok().filter(|level| *level > 0)?);
    (text == LevelFile::line(level)).then_some(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ADMITS: LevelRange = LevelRange::new(2, 3);

    #[test]
    fn the_level_rises_and_never_falls() {
        let dir = tempfile::tempdir().unwrap();
        let file = LevelFile::new(dir.path());
        assert_eq!(file.read().unwrap(), None);
        file.raise(Level(3)).unwrap();
        file.raise(Level(2)).unwrap();
        assert_eq!(file.read().unwrap(), Some(Level(3)));
        assert_eq!(fs::read(dir.path().join("level")).unwrap(), b"ironcache-level 3 crc32 a819a433\n");
    }

    /// This file never changes: every release reads it.
    #[test]
    fn the_line_stays_as_it_is() {
        let lines = [Level(1), Level(65_535)].map(LevelFile::line).concat();
        assert_eq!(lines, include_str!("../tests/golden/level"));
    }

    #[test]
    fn a_level_outside_the_range_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = LevelFile::new(dir.path());
        assert_eq!(file.admit(ADMITS).unwrap(), None);
        for (level, admitted) in [(1, false), (2, true), (3, true), (4, false)] {
            fs::write(dir.path().join("level"), LevelFile::line(Level(level))).unwrap();
            assert_eq!(file.admit(ADMITS).is_ok(), admitted, "level {level}");
        }
        let error = file.admit(ADMITS).unwrap_err();
        assert!(matches!(error, LevelError::Above { level: Level(4), .. }), "{error}");
    }

    #[test]
    fn anything_but_the_one_line_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = LevelFile::new(dir.path());
        let altered = |from: &str, to: &str| LevelFile::line(Level(1)).replace(from, to);
        for bad in [
            String::new(),
            "1\n".to_owned(),
            "ironcache-level 1\n".to_owned(),
            LevelFile::line(Level(0)),
            altered("\n", ""),
            altered("\n", "\n\n"),
            altered(" 1 ", " 01 "),
            altered(" 1 ", " +1 "),
            altered(" 1 ", "  1 "),
            altered(" 1 ", " 65536 "),
            altered("\n", " \n"),
        ] {
            fs::write(dir.path().join("level"), &bad).unwrap();
            assert!(matches!(file.read(), Err(LevelError::Unreadable { .. })), "{bad:?}");
            assert!(file.raise(Level(9)).is_err(), "{bad:?} is not overwritten");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused_and_never_another_level() {
        for level in [1, 2, 3, 17, 65_535] {
            let good = LevelFile::line(Level(level)).into_bytes();
            assert_eq!(parse(&good), Some(Level(level)));
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(parse(&bad), None, "bit {bit} of level {level}");
            }
            for len in 0..good.len() {
                assert_eq!(parse(&good[..len]), None, "{len} bytes of level {level}");
            }
        }
    }

    #[test]
    fn fuzz_a_line_is_the_frozen_one_or_none() {
        let lines = [1, 9, 65535].map(|level| LevelFile::line(Level(level)));
        ironcache_fuzz::Campaign::of("the file `level`").from(lines).run(|bytes| {
            let level = parse(bytes);
            assert!(level.is_none_or(|level| LevelFile::line(level).as_bytes() == bytes));
            level.is_some()
        });
    }
}
