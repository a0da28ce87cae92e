//! Fuzzing of what a binary says of itself, and of the types that people and peers write as text; see crate
//! `ironcache-fuzz`.

use ironcache_fuzz::Campaign;
use ironcache_types::{
    AuditLink, BinaryReader, ClusterId, Digest, KeyHash, LevelRange, Manifest, NodeId, STAMP_LEN, Stamp,
    Version, WireRange, key_slot,
};
use std::fmt::Display;
use std::str::FromStr;

/// Where the stamp's text begins, and its checksum stands.
const TEXT_AT: usize = 24;
const CRC_AT: usize = 20;

fn manifest() -> Manifest {
    Manifest {
        version: Version::new(1, 2, 3),
        levels: LevelRange::new(1, 2),
        launcher_protocol: WireRange { min: 1, max: 1 },
        min_from: Some(Version::new(1, 0, 0)),
        critical: Vec::new(),
    }
}

/// A 64-bit ELF file with a table of one segment and one of one section, and a stamp.
fn binary() -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64 + 56 + 64, 0);
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(32, &64_u64.to_le_bytes());
    put(40, &120_u64.to_le_bytes());
    for (at, number) in [(54, 56_u16), (56, 1), (58, 64), (60, 1)] {
        put(at, &number.to_le_bytes());
    }
    file.extend_from_slice(&Stamp::of(&manifest()).expect("it is short").0);
    file
}

/// The checksum of the stamp, if one is whole.
fn reseal(bytes: &mut [u8]) {
    let Some(at) = Stamp::positions(bytes).into_iter().find(|at| bytes.len() >= at + STAMP_LEN) else {
        return;
    };
    let stamp = &mut bytes[at..at + STAMP_LEN];
    let covered = [&stamp[16..CRC_AT], &stamp[TEXT_AT..]].concat();
    // CRC-32 (IEEE), bit by bit: this crate's own is private to it.
    let crc = !covered.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    });
    stamp[CRC_AT..TEXT_AT].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn a_sealed_binary_is_resealed_as_it_was() {
    let (mut resealed, file) = (binary(), binary());
    reseal(&mut resealed);
    assert!(resealed == file);
    assert_eq!(Manifest::read(&file), Ok(manifest()));
}

#[test]
fn fuzz_binaries_say_the_same_in_chunks_of_any_length() {
    Campaign::of("binaries")
        .from([binary(), Stamp::of(&manifest()).expect("it is short").0.to_vec()])
        .resealed(reseal)
        .run(|bytes| {
            let read = |chunk: usize| {
                let mut reader = BinaryReader::default();
                bytes.chunks(chunk).for_each(|chunk| reader.feed(chunk));
                reader.finish()
            };
            let whole = read(bytes.len().max(1));
            for chunk in [61, 1000] {
                assert_eq!(read(chunk), whole, "in chunks of {chunk}");
            }
            (whole, Manifest::read(bytes))
        });
}

/// Is it a `T`? Then it is shown as what reads as the same.
fn reads_as_shown<T: FromStr + Display + PartialEq>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    assert!(value.to_string().parse::<T>().is_ok_and(|again| again == value), "{value}");
    true
}

#[test]
fn fuzz_words_read_as_what_they_are_shown_as() {
    let digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let link = format!("41:{digest}");
    let words = ["00000000000000ff", "1.2.3-rc.1+7", "1-3", digest, &link, "{user1000}.following"];
    Campaign::of("ids, digests, versions").from(words).words([".", "-", "+", "{", "}", ":", "0"]).run(
        |bytes| {
            assert!(key_slot(bytes).0 < ironcache_types::SLOT_COUNT);
            let text = std::str::from_utf8(bytes).ok()?;
            Some([
                reads_as_shown::<NodeId>(text),
                reads_as_shown::<ClusterId>(text),
                reads_as_shown::<Digest>(text),
                reads_as_shown::<KeyHash>(text),
                reads_as_shown::<AuditLink>(text),
                reads_as_shown::<LevelRange>(text),
                reads_as_shown::<WireRange>(text),
                reads_as_shown::<Version>(text),
            ])
        },
    );
}
