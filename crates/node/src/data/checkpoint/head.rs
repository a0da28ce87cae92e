//! The first 32 bytes of a checkpoint: whose it is, and who can read it.
//!
//! ```text
//!  at size
//!   0    8   magic "ic-ckpt\n"
//!   8    2   version of what follows the head
//!  10    2   level of the effects in it
//!  12   16   cluster id
//!  28    4   crc-32 of what is before it
//! ```
//! Little-endian, and the same in every version: a release that cannot read a checkpoint has to see that it is whole,
//! and leave it alone.

use super::CheckpointError;
use ironcache_types::{ClusterId, Level, LevelRange};

pub(super) const HEAD_BYTES: usize = 32;
const CRC_AT: usize = HEAD_BYTES - 4;
const MAGIC: [u8; 8] = *b"ic-ckpt\n";
/// The format that this build writes and reads.
pub(super) const VERSION: u16 = 1;

/// What a head says to a release that reads its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub level: Level,
    pub cluster: ClusterId,
}

impl Head {
    pub(super) fn encode(self) -> [u8; HEAD_BYTES] {
        let Head { level, cluster } = self;
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[8..10].copy_from_slice(&VERSION.to_le_bytes());
        head[10..12].copy_from_slice(&level.0.to_le_bytes());
        head[12..CRC_AT].copy_from_slice(&cluster.0.to_le_bytes());
        let crc = crc32fast::hash(&head[..CRC_AT]);
        head[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        head
    }
}

/// The head of a checkpoint that a release which admits `levels` can read.
pub(super) fn read_head(head: &[u8], levels: LevelRange) -> Result<Head, CheckpointError> {
    if !head.starts_with(&MAGIC) {
        return Err(CheckpointError::NotACheckpoint);
    }
    let head: &[u8; HEAD_BYTES] = head.try_into().map_err(|_| CheckpointError::Torn { part: 0 })?;
    let (covered, crc) = head.split_at(CRC_AT);
    let found = u32::from_le_bytes(crc.try_into().expect("it ends with four bytes"));
    let computed = crc32fast::hash(covered);
    if found != computed {
        return Err(CheckpointError::Head { found, computed });
    }
    let found = u16::from_le_bytes([head[8], head[9]]);
    if found != VERSION {
        return Err(CheckpointError::Version { found });
    }
    let level = Level(u16::from_le_bytes([head[10], head[11]]));
    if !levels.admits(level) {
        return Err(CheckpointError::Level { found: level, admits: levels });
    }
    let cluster = u128::from_le_bytes(covered[12..].try_into().expect("sixteen bytes are left"));
    Ok(Head { level, cluster: ClusterId(cluster) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::checkpoint::Fate;

    const HEAD: Head = Head { level: Level(2), cluster: ClusterId(0x0102_0304) };
    const ADMITS: LevelRange = LevelRange::new(2, 3);

    #[test]
    fn the_head_never_changes() {
        let hex: String = HEAD.encode().iter().map(|b| format!("{b:02x}")).collect();
        expect_test::expect_file!["../tests/golden/checkpoint-head.hex"].assert_eq(&format!("{hex}\n"));
    }

    #[test]
    fn a_later_release_puts_its_checksum_at_the_same_place() {
        let mut later = HEAD.encode();
        later[8] = 9;
        let crc = crc32fast::hash(&later[..CRC_AT]);
        later[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        let error = read_head(&later, ADMITS).unwrap_err();
        assert!(matches!(error, CheckpointError::Version { found: 9 }), "{error}");
        assert_eq!(error.fate(), Fate::Stays);
        for level in [1, 4] {
            let head = Head { level: Level(level), ..HEAD }.encode();
            let error = read_head(&head, ADMITS).unwrap_err();
            assert!(matches!(error, CheckpointError::Level { .. }), "{error}");
            assert_eq!(error.fate(), Fate::Stays);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_damage() {
        let good = HEAD.encode();
        assert_eq!(read_head(&good, ADMITS).ok(), Some(HEAD));
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = read_head(&bad, ADMITS).unwrap_err();
            assert_eq!(error.fate(), Fate::Damaged, "bit {bit}: {error}");
        }
        for len in 0..good.len() {
            let error = read_head(&good[..len], ADMITS).unwrap_err();
            assert_eq!(error.fate(), Fate::Damaged, "{len} bytes: {error}");
        }
    }

    #[test]
    fn the_table_of_levels_says_which_version_is_written() {
        use ironcache_formats::levels::{Format, RANGE, version_at, versions_read};
        assert_eq!(version_at(Format::Checkpoint, RANGE.max), Some(VERSION));
        assert_eq!(versions_read(Format::Checkpoint), Some((VERSION, VERSION)));
    }
}
