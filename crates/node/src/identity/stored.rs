//! The file `node.json`: strict JSON, of which the first member vouches for the rest.
//!
//! ```text
//! {"crc32":"89abcdef","format":1,"node":"0000000000000007","starts":4,…}
//! ```
//! The eight digits are the CRC-32 (IEEE) of the file without them. They, and the number after `"format":`, stand there in
//! every format, so that a file of a newer release is told from a damaged one.
//!
//! *Invariant:* what does not pass its checksum is never interpreted, and never written over: a node id with one digit
//! changed is another node's, and a lower count draws an incarnation that was used before.

use super::IdentityError;
use ironcache_store::{DiskError, read_durably, replace_durably};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The format that this build writes and reads: that of its row in the table of levels. A second one is written from the level
/// on that brings it, by what the file `level` says, and no earlier: a node that goes back starts with what is there.
pub(super) const FORMAT: u16 = 1;
/// What the file begins with.
const BEFORE: &str = r#"{"crc32":""#;
const DIGITS: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    pub format: u16,
    pub node: String,
    /// Counted up by every process that cannot do with the count as it is.
    pub starts: u32,
    /// Where the last of them listened for its peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_addr: Option<String>,
    /// The cluster that the node is a member of: its log holds what it promised there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// When `starts` was counted up; unknown where the kernel does not name its boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counted {
    /// The kernel's id of this boot of the machine.
    pub boot: String,
    /// Since the machine's start.
    pub at_ms: u64,
    /// Random, below [`super::LIFE_MS_MAX`]: tells apart two copies of one directory.
    pub from: u32,
}

/// Of any format.
#[derive(Deserialize)]
struct Numbered {
    format: u16,
}

/// The file's content, durable as it was read; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Stored>, IdentityError> {
    let Some(bytes) = read_durably(path).map_err(IdentityError::Read)? else { return Ok(None) };
    match decode(&bytes) {
        Ok(stored) => Ok(Some(stored)),
        Err(Unusable::Newer(found)) => Err(IdentityError::Newer { path: path.to_owned(), found }),
        Err(Unusable::Damaged(problem)) => Err(IdentityError::Damaged { path: path.to_owned(), problem }),
    }
}

pub(super) fn write(path: &Path, stored: &Stored) -> Result<(), DiskError> {
    replace_durably(path, encode(stored).as_bytes())
}

#[derive(Debug, PartialEq, Eq)]
enum Unusable {
    Newer(u16),
    Damaged(String),
}

fn encode(stored: &Stored) -> String {
    seal(&serde_json::to_string(stored).expect("six plain fields"))
}

/// The file of a JSON object with at least one member.
pub(super) fn seal(object: &str) -> String {
    let after = format!("\",{}\n", object.strip_prefix('{').unwrap_or(object));
    format!("{BEFORE}{}{after}", crc_of(after.as_bytes()))
}

fn crc_of(after: &[u8]) -> String {
    let mut crc = crc32fast::Hasher::new();
    crc.update(BEFORE.as_bytes());
    crc.update(after);
    format!("{:08x}", crc.finalize())
}

fn decode(bytes: &[u8]) -> Result<Stored, Unusable> {
    let damaged = |problem: &str| Unusable::Damaged(problem.to_owned());
    let sealed = bytes.strip_prefix(BEFORE.as_bytes()).and_then(|rest| rest.split_at_checked(DIGITS));
    let (digits, after) = sealed.ok_or_else(|| damaged("it does not begin with its checksum"))?;
    let computed = crc_of(after);
    if digits != computed.as_bytes() {
        let found = String::from_utf8_lossy(digits);
        return Err(Unusable::Damaged(format!("its checksum is {found}, and its bytes give {computed}")));
    }
    let members = after.strip_prefix(b"\",").ok_or_else(|| damaged("nothing follows its checksum"))?;
    let object = [b"{", members].concat();
    // It is as it was written: what is wrong from here on was so then.
    let no_json = |error: serde_json::Error| Unusable::Damaged(error.to_string());
    let Numbered { format } = serde_json::from_slice(&object).map_err(no_json)?;
    if format > FORMAT {
        return Err(Unusable::Newer(format));
    }
    let stored: Stored = serde_json::from_slice(&object).map_err(no_json)?;
    if stored.format != FORMAT {
        return Err(Unusable::Damaged(format!("there is no format {format}")));
    }
    if stored.counted.as_ref().is_some_and(|counted| counted.from >= super::LIFE_MS_MAX) {
        return Err(damaged("its count begins too high"));
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        Stored {
            format: FORMAT,
            node: "0000000000000007".to_owned(),
            starts: 4,
            peer_addr: Some("10.0.0.7:16379".to_owned()),
            cluster: Some("000000000000004d".to_owned()),
            counted: Some(Counted { boot: "b1".to_owned(), at_ms: 5_000, from: 17 }),
        }
    }

    #[test]
    fn what_was_written_is_read_and_is_json() {
        let text = encode(&stored());
        assert_eq!(decode(text.as_bytes()), Ok(stored()));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["node"], "0000000000000007");
        // This layout is for ever: a later release looks for the checksum, and the format, where they are.
        assert!(
            text.starts_with(r#"{"crc32":""#)
                && text[BEFORE.len() + DIGITS..].starts_with(r#"","format":1,"#)
        );
    }

    #[test]
    fn format_1_stays_as_it_is() {
        expect_test::expect_file!["../../tests/golden/node-1.json"].assert_eq(&encode(&stored()));
    }

    #[test]
    fn the_format_is_the_one_of_the_table_of_levels() {
        use ironcache_formats::levels::{Format, RANGE, version_at, versions_read};
        assert_eq!(version_at(Format::NodeFile, RANGE.max), Some(FORMAT));
        assert_eq!(versions_read(Format::NodeFile), Some((FORMAT, FORMAT)));
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_addition_is_damage() {
        let good = encode(&stored()).into_bytes();
        let is_damaged = |bytes: &[u8]| matches!(decode(bytes), Err(Unusable::Damaged(_)));
        for len in 0..good.len() {
            assert!(is_damaged(&good[..len]), "cut to {len} bytes");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(is_damaged(&bad), "bit {bit}");
        }
        for byte in 0..=u8::MAX {
            assert!(is_damaged(&[&good[..], &[byte]].concat()), "{byte} added");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage_whatever_else_it_says() {
        let newer = seal(r#"{"format":2,"whatever":["the","future"],"needs":{}}"#);
        assert_eq!(decode(newer.as_bytes()), Err(Unusable::Newer(2)));
        for (object, problem) in [
            (r#"{"format":0,"node":"7","starts":4}"#, "there is no format 0"),
            (r#"{"format":1,"node":"7","starts":4,"more":1}"#, "unknown field `more`"),
            (
                r#"{"format":1,"node":"7","starts":4,"counted":{"boot":"b","at_ms":1,"from":2147483648}}"#,
                "too high",
            ),
            (r#"{"node":"7"}"#, "missing field `format`"),
        ] {
            let Err(Unusable::Damaged(found)) = decode(seal(object).as_bytes()) else { panic!("{object}") };
            assert!(found.contains(problem), "{found}");
        }
    }

    #[test]
    fn a_file_without_a_checksum_is_not_believed() {
        let bare = serde_json::to_vec(&stored()).unwrap();
        assert_eq!(decode(&bare), Err(Unusable::Damaged("it does not begin with its checksum".to_owned())));
    }

    /// The checksum of whatever stands behind it.
    fn reseal(bytes: &mut [u8]) {
        let at = BEFORE.len();
        if bytes.len() >= at + DIGITS && bytes.starts_with(BEFORE.as_bytes()) {
            let crc = crc_of(&bytes[at + DIGITS..]);
            bytes[at..at + DIGITS].copy_from_slice(crc.as_bytes());
        }
    }

    #[test]
    fn fuzz_an_identity_is_what_was_written_or_its_file_stays_as_it_is() {
        let folder = ironcache_fuzz::Folder::new();
        let path = folder.path().join("node.json");
        let short = Stored { peer_addr: None, cluster: None, counted: None, ..stored() };
        let newer = seal(r#"{"format":2,"whatever":["the","future"]}"#);
        let files = [encode(&stored()), encode(&short), newer];
        let words = ["\"", "{", "}", ",", ":", "null", "\"format\":1", "\"format\":2", "2147483648"];
        let campaign = ironcache_fuzz::Campaign::of("node.json").from(files).words(words).resealed(reseal);
        campaign.run(|bytes| {
            let found = ironcache_fuzz::refused_stays(&path, bytes, read);
            let stored = found.map_err(|error| std::mem::discriminant(&error))?.expect("the file is there");
            assert_eq!(decode(encode(&stored).as_bytes()), Ok(stored.clone()));
            Ok::<_, std::mem::Discriminant<IdentityError>>((
                stored.cluster.is_some(),
                stored.counted.is_some(),
            ))
        });
    }
}
