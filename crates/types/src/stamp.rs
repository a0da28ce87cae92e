//! The stamp section: how a binary says from inside which version it is, and what it can read.
//!
//! The executable carries one block of 1024 bytes in a link section of its own. The build writes it; a packager may
//! write it again (`ironcache release stamp`), which gives another binary with another digest. Frozen for ever, byte by
//! byte: every release reads the section of every other. Numbers are little-endian.
//!
//! ```text
//!  offset  bytes
//!       0     16  magic, f1 "ironcache" 00 "rel" 0b 9e
//!      16      2  format of the section: 1
//!      18      2  length of the text in bytes, at most 1000
//!      20      4  CRC-32 (IEEE) of bytes 16..20 and 24..1024
//!      24   1000  the manifest: JSON text, then zeros
//! ```
//! ```json
//! {"version":"0.2.0","levels":{"min":1,"max":2},"launcher_protocol":{"min":1,"max":1},"min_from":"0.1.0","critical":[]}
//! ```
//! The manifest is additive: a member that is not known is ignored, unless `critical` names it. A reader that does not
//! know a word of `critical` refuses the artifact by that word. `min_from` and `critical` may be absent.
//!
//! *Invariant:* whoever wants to know what an artifact can read asks the artifact, never the node that staged it.
//! *Invariant:* the magic stands in an executable once: no instruction and no constant of the program spells it.

use crate::{LevelRange, WireRange, crc32};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// Length of the section, in bytes.
pub const STAMP_LEN: usize = 1024;
/// Where the manifest's text begins.
const TEXT_AT: usize = 24;
/// Length of the longest manifest, in bytes. A real one has some 150; the rest is for what later releases say.
pub const MANIFEST_LEN_MAX: usize = STAMP_LEN - TEXT_AT;
/// The format that this build writes, and the only one that it reads.
const FORMAT: u16 = 1;

/// The words of `critical` that this build knows: none yet.
pub const KNOWN_CRITICAL: &[&str] = &[];

const MAGIC_LEN: usize = 16;
/// The magic, each byte with [`MASK`] over it: only the section itself holds it in clear.
const MASKED_MAGIC: [u8; MAGIC_LEN] =
    [0x54, 0xcc, 0xd7, 0xca, 0xcb, 0xc6, 0xc4, 0xc6, 0xcd, 0xc0, 0xa5, 0xd7, 0xc0, 0xc9, 0xae, 0x3b];
const MASK: u8 = 0xa5;

/// What a binary says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: Version,
    /// The levels that this release reads and writes.
    pub levels: LevelRange,
    /// The versions of the launcher protocol that it speaks, as a daemon and as a launcher.
    pub launcher_protocol: WireRange,
    /// The oldest release that may be upgraded to this one; any, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_from: Option<Version>,
    /// What a reader of this manifest must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<String>,
}

/// The section's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Stamp(pub [u8; STAMP_LEN]);

/// Why the section of a file cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    #[error("the file carries no version stamp: it is not an ironcache binary")]
    Missing,
    #[error("the file carries {count} version stamps, and one is expected")]
    Several { count: usize },
    #[error("the version stamp is cut off: the file ends {present} bytes into its {STAMP_LEN}")]
    Cut { present: usize },
    #[error("the version stamp has format {format}, and this release reads format {FORMAT}")]
    Format { format: u16 },
    #[error("the version stamp was altered: its CRC is {found:08x}, and it states {stated:08x}")]
    Altered { stated: u32, found: u32 },
    #[error("the version stamp holds no manifest: {problem}")]
    NotUnderstood { problem: String },
    #[error("the manifest says {what} {min}-{max}, which is no range")]
    Range { what: &'static str, min: u16, max: u16 },
    #[error(
        "the manifest says that its reader has to know {word:?}, and this release does not: upgrade to a release in between first"
    )]
    Critical { word: String },
    #[error("a manifest of {len_bytes} bytes is longer than the {MANIFEST_LEN_MAX} that a stamp holds")]
    TooLong { len_bytes: usize },
}

impl Manifest {
    /// Reads the section in an executable's bytes.
    ///
    /// # Errors
    /// All but [`StampError::TooLong`].
    pub fn read(binary: &[u8]) -> Result<Manifest, StampError> {
        let at = Stamp::find(binary)?;
        Stamp::at(&binary[at..])?.manifest()
    }

    /// Writes this manifest over the section in an executable's bytes, whatever that says.
    ///
    /// # Errors
    /// The section is missing, cut, or there several times; or the manifest is too long.
    pub fn write(&self, binary: &mut [u8]) -> Result<(), StampError> {
        let at = Stamp::find(binary)?;
        Stamp::at(&binary[at..])?;
        binary[at..at + STAMP_LEN].copy_from_slice(&Stamp::of(self)?.0);
        Ok(())
    }

    fn check(self) -> Result<Manifest, StampError> {
        let Manifest { version: _, levels, launcher_protocol, min_from: _, critical } = &self;
        let ranges = [
            ("levels", levels.min.0, levels.max.0),
            ("launcher protocol", launcher_protocol.min, launcher_protocol.max),
        ];
        if let Some((what, min, max)) = ranges.into_iter().find(|(_, min, max)| *min == 0 || min > max) {
            return Err(StampError::Range { what, min, max });
        }
        match critical.iter().find(|word| !KNOWN_CRITICAL.contains(&word.as_str())) {
            Some(word) => Err(StampError::Critical { word: word.clone() }),
            None => Ok(self),
        }
    }
}

impl Stamp {
    /// The section that the build writes, for a `static`: at run time, [`Stamp::of`] makes one. `version` and `min_from`
    /// are versions, whose text needs no escapes (checked at compile time).
    pub const fn of_build(
        version: &str,
        levels: LevelRange,
        launcher_protocol: WireRange,
        min_from: Option<&str>,
    ) -> Stamp {
        let mut text = ConstText { bytes: [0; MANIFEST_LEN_MAX], len: 0 };
        text.push("{\"version\":\"");
        text.push(version);
        text.push("\",\"levels\":");
        text.push_range(levels.min.0, levels.max.0);
        text.push(",\"launcher_protocol\":");
        text.push_range(launcher_protocol.min, launcher_protocol.max);
        if let Some(min_from) = min_from {
            text.push(",\"min_from\":\"");
            text.push(min_from);
            text.push("\"");
        }
        text.push("}");
        Stamp::assemble(MASKED_MAGIC, &text.bytes, text.len)
    }

    /// The section that holds `manifest`.
    ///
    /// # Errors
    /// [`StampError::TooLong`].
    pub fn of(manifest: &Manifest) -> Result<Stamp, StampError> {
        let json = serde_json::to_vec(manifest).expect("a manifest has only string keys and whole numbers");
        let mut text = [0; MANIFEST_LEN_MAX];
        let Some(space) = text.get_mut(..json.len()) else {
            return Err(StampError::TooLong { len_bytes: json.len() });
        };
        space.copy_from_slice(&json);
        Ok(Stamp::assemble(black_box(MASKED_MAGIC), &text, json.len()))
    }

    const fn assemble(masked_magic: [u8; MAGIC_LEN], text: &[u8; MANIFEST_LEN_MAX], len: usize) -> Stamp {
        let mut block = [0; STAMP_LEN];
        let mut i = 0;
        while i < MAGIC_LEN {
            block[i] = masked_magic[i] ^ MASK;
            i += 1;
        }
        let (format, len) = (FORMAT.to_le_bytes(), (len as u16).to_le_bytes());
        let head = [format[0], format[1], len[0], len[1]];
        let crc = crc_of(&head, text).to_le_bytes();
        let mut i = 0;
        while i < 4 {
            block[16 + i] = head[i];
            block[20 + i] = crc[i];
            i += 1;
        }
        let mut i = 0;
        while i < MANIFEST_LEN_MAX {
            block[TEXT_AT + i] = text[i];
            i += 1;
        }
        Stamp(block)
    }

    /// What the section says, if it is whole and this build may read it.
    ///
    /// # Errors
    /// Everything that can be wrong within a section.
    pub fn manifest(&self) -> Result<Manifest, StampError> {
        self.stated()?.check()
    }

    /// What the section says, be it sensible or not: a running binary knows what it is.
    ///
    /// # Errors
    /// The section is altered, or is of another format.
    pub fn stated(&self) -> Result<Manifest, StampError> {
        let number = |at: usize| u16::from_le_bytes([self.0[at], self.0[at + 1]]);
        let stated = u32::from_le_bytes([self.0[20], self.0[21], self.0[22], self.0[23]]);
        let (format, len) = (number(16), usize::from(number(18)));
        let found = crc_of(&self.0[16..20], &self.0[TEXT_AT..]);
        if stated != found {
            return Err(StampError::Altered { stated, found });
        }
        if format != FORMAT {
            return Err(StampError::Format { format });
        }
        let text = self.0[TEXT_AT..].get(..len).ok_or(StampError::NotUnderstood {
            problem: format!("it says that its text has {len} bytes, and {MANIFEST_LEN_MAX} is the most"),
        })?;
        serde_json::from_slice(text).map_err(|error| StampError::NotUnderstood { problem: error.to_string() })
    }

    /// The byte position of the one section in an executable's bytes. What it holds is not looked at.
    ///
    /// # Errors
    /// [`StampError::Missing`], [`StampError::Several`].
    pub fn find(binary: &[u8]) -> Result<usize, StampError> {
        match Stamp::positions(binary)[..] {
            [] => Err(StampError::Missing),
            [at] => Ok(at),
            ref several => Err(StampError::Several { count: several.len() }),
        }
    }

    /// Where sections begin, whole ones and one that is cut off at the end.
    pub fn positions(binary: &[u8]) -> Vec<usize> {
        let magic = black_box(MASKED_MAGIC).map(|byte| byte ^ MASK);
        memchr::memmem::find_iter(binary, &magic).collect()
    }

    /// The section that `bytes` begin with.
    ///
    /// # Errors
    /// [`StampError::Cut`].
    pub fn at(bytes: &[u8]) -> Result<Stamp, StampError> {
        match bytes.first_chunk() {
            Some(block) => Ok(Stamp(*block)),
            None => Err(StampError::Cut { present: bytes.len() }),
        }
    }
}

const fn crc_of(head: &[u8], text: &[u8]) -> u32 {
    crc32::finish(crc32::update(crc32::update(crc32::START, head), text))
}

/// Text that the compiler puts together.
struct ConstText {
    bytes: [u8; MANIFEST_LEN_MAX],
    len: usize,
}

impl ConstText {
    const fn push(&mut self, text: &str) {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() {
            assert!(text[i] >= b' ' && text[i] < 0x7f && text[i] != b'\\', "a version is plain text");
            self.bytes[self.len] = text[i];
            self.len += 1;
            i += 1;
        }
    }

    const fn push_range(&mut self, min: u16, max: u16) {
        self.push("{\"min\":");
        self.push_number(min);
        self.push(",\"max\":");
        self.push_number(max);
        self.push("}");
    }

    const fn push_number(&mut self, number: u16) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.bytes[self.len] = b'0' + (number % 10) as u8;
        self.len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: LevelRange = LevelRange::new(1, 12);
    const PROTOCOL: WireRange = WireRange { min: 1, max: 1 };
    const BUILT: Stamp = Stamp::of_build("0.1.0", LEVELS, PROTOCOL, Some("0.0.9"));

    fn manifest() -> Manifest {
        Manifest {
            version: Version::new(0, 1, 0),
            levels: LEVELS,
            launcher_protocol: PROTOCOL,
            min_from: Some(Version::new(0, 0, 9)),
            critical: Vec::new(),
        }
    }

    /// A section of any text, its CRC in order.
    fn sealed(text: &str) -> Stamp {
        let mut bytes = [0; MANIFEST_LEN_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Stamp::assemble(MASKED_MAGIC, &bytes, text.len())
    }

    fn among_code(stamp: &Stamp) -> Vec<u8> {
        [&[0xf1; 100][..], &stamp.0, &[9; 70]].concat()
    }

    /// This file never changes: every release reads it.
    #[test]
    fn the_section_stays_as_it_is() {
        assert_eq!(BUILT.0[..], include_bytes!("../tests/golden/stamp-1")[..]);
        assert_eq!(BUILT.manifest(), Ok(manifest()));
    }

    #[test]
    fn the_build_and_a_packager_write_the_same_bytes() {
        assert_eq!(Stamp::of(&manifest()), Ok(BUILT));
        let plain = Manifest { min_from: None, ..manifest() };
        assert_eq!(Stamp::of(&plain), Ok(Stamp::of_build("0.1.0", LEVELS, PROTOCOL, None)));
    }

    #[test]
    fn a_manifest_is_found_and_rewritten() {
        let mut binary = among_code(&BUILT);
        assert_eq!(Manifest::read(&binary), Ok(manifest()));
        let next = Manifest { version: Version::new(12, 34, 56), min_from: None, ..manifest() };
        next.write(&mut binary).unwrap();
        assert_eq!(Manifest::read(&binary), Ok(next));
    }

    #[test]
    fn no_section_several_and_a_cut_one_are_told_apart() {
        assert_eq!(Manifest::read(b"#!/bin/sh"), Err(StampError::Missing));
        let twice = [BUILT.0, BUILT.0].concat();
        assert_eq!(Manifest::read(&twice), Err(StampError::Several { count: 2 }));
        for present in [16, 17, STAMP_LEN - 1] {
            let mut cut = among_code(&BUILT);
            cut.truncate(100 + present);
            assert_eq!(Manifest::read(&cut), Err(StampError::Cut { present }));
            assert_eq!(manifest().write(&mut cut), Err(StampError::Cut { present }));
        }
    }

    #[test]
    fn every_altered_bit_is_noticed() {
        for at in 0..STAMP_LEN {
            for bit in 0..8 {
                let mut altered = BUILT;
                altered.0[at] ^= 1 << bit;
                let read = Manifest::read(&altered.0);
                if at < MAGIC_LEN {
                    assert_eq!(read, Err(StampError::Missing), "bit {bit} of byte {at}");
                } else {
                    assert!(
                        matches!(read, Err(StampError::Altered { .. })),
                        "bit {bit} of byte {at}: {read:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn another_format_of_the_section_is_named() {
        let mut stamp = BUILT;
        stamp.0[16] = 2;
        let crc = crc_of(&stamp.0[16..20], &stamp.0[TEXT_AT..]).to_le_bytes();
        stamp.0[20..24].copy_from_slice(&crc);
        assert_eq!(stamp.manifest(), Err(StampError::Format { format: 2 }));
    }

    #[test]
    fn a_member_that_is_not_known_is_ignored_unless_it_is_critical() {
        let text = |critical: &str| {
            format!(
                "{{\"version\":\"0.1.0\",\"levels\":{{\"min\":1,\"max\":2}},\"launcher_protocol\":{{\"min\":1,\
                 \"max\":1,\"until\":9}},\"zones\":{{}},\"critical\":[{critical}]}}"
            )
        };
        assert_eq!(sealed(&text("")).manifest().unwrap().levels, LevelRange::new(1, 2));
        let unknown = sealed(&text("\"zones\"")).manifest();
        assert_eq!(unknown, Err(StampError::Critical { word: "zones".to_owned() }));
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for text in ["", "{}", "[]", "\"0.1.0\"", "{\"version\":\"0.1.0\"}"] {
            let read = sealed(text).manifest();
            assert!(matches!(read, Err(StampError::NotUnderstood { .. })), "{text}: {read:?}");
        }
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        for levels in [LevelRange::new(0, 1), LevelRange::new(3, 2)] {
            let read = Stamp::of(&Manifest { levels, ..manifest() }).unwrap().manifest();
            let LevelRange { min, max } = levels;
            assert_eq!(read, Err(StampError::Range { what: "levels", min: min.0, max: max.0 }));
        }
        let launcher_protocol = WireRange { min: 2, max: 1 };
        let read = Stamp::of(&Manifest { launcher_protocol, ..manifest() }).unwrap().manifest();
        assert_eq!(read, Err(StampError::Range { what: "launcher protocol", min: 2, max: 1 }));
    }

    #[test]
    fn a_manifest_that_does_not_fit_is_refused() {
        let critical = vec!["x".repeat(MANIFEST_LEN_MAX)];
        let error = Stamp::of(&Manifest { critical, ..manifest() }).unwrap_err();
        assert!(matches!(error, StampError::TooLong { .. }), "{error}");
    }
}
