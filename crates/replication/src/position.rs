//! Where a dataset is in its shard's history, on the link and in a checkpoint's header.
//!
//! *Invariant:* a position is read back only if every bit of it is as written; a checkpoint without a
//! believable position is no checkpoint.

use crate::lineage::{Lineage, LineageError};
use crate::wire::{Reader, put_u16, put_u64};
use ironcache_types::{Epoch, Offset};

/// A dataset holds exactly the effects below `offset`, the last of which was written in `lineage_epoch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub lineage_epoch: Epoch,
    pub offset: Offset,
}

/// A position with the lineage it was reached in: what a checkpoint's header holds.
///
/// Encoded as `[magic 8][version u16][body_len u16][body][crc32 u32]`, little-endian, where the body is
/// the epoch u64, the offset u64 and the lineage, and the crc covers all before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedPosition {
    pub position: Position,
    pub lineage: Lineage,
}

const MAGIC: [u8; 8] = *b"ic-posn\n";
const VERSION: u16 = 1;
const PREFIX_BYTES: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    #[error("the position is cut off after {got} of {needed} bytes")]
    Truncated { got: usize, needed: usize },
    #[error("the bytes are not a saved position: they do not start with its magic")]
    NotAPosition,
    #[error("the position is written in version {found}; this release reads version {VERSION}")]
    Version { found: u16 },
    #[error("the position's checksum is {found:08x}, and its bytes give {computed:08x}: it is damaged")]
    Checksum { found: u32, computed: u32 },
    #[error("the position's body does not have the shape of version {VERSION}")]
    Shape,
    #[error("the position's lineage is impossible")]
    Lineage(#[from] LineageError),
    #[error("the position {position:?} lies outside of its own lineage")]
    OutsideLineage { position: Position },
}

impl SavedPosition {
    /// Of a dataset that holds everything below `applied`. `None` if `lineage` does not reach back that far.
    pub fn at(lineage: &Lineage, applied: Offset) -> Option<Self> {
        Some(SavedPosition { position: lineage.position_at(applied)?, lineage: lineage.clone() })
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { position: Position { lineage_epoch, offset }, lineage } = self;
        let begin = out.len();
        out.extend_from_slice(&MAGIC);
        put_u16(out, VERSION);
        put_u16(out, 0);
        let body = out.len();
        put_u64(out, lineage_epoch.0);
        put_u64(out, offset.0);
        lineage.write(out);
        let body_len = u16::try_from(out.len() - body).expect("a capped lineage is about a kilobyte");
        out[body - 2..body].copy_from_slice(&body_len.to_le_bytes());
        let crc = crc32fast::hash(&out[begin..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads a position off the front of `input`; gives it and its length in bytes.
    pub fn decode(input: &[u8]) -> Result<(Self, usize), PositionError> {
        let truncated = |needed| PositionError::Truncated { got: input.len(), needed };
        let mut reader = Reader::new(input);
        let magic: [u8; 8] = reader.array().ok_or(truncated(PREFIX_BYTES))?;
        if magic != MAGIC {
            return Err(PositionError::NotAPosition);
        }
        let version = reader.u16().ok_or(truncated(PREFIX_BYTES))?;
        let body_len = usize::from(reader.u16().ok_or(truncated(PREFIX_BYTES))?);
        let total = PREFIX_BYTES + body_len + 4;
        let covered = input.get(..PREFIX_BYTES + body_len).ok_or(truncated(total))?;
        let found = Reader::new(&input[covered.len()..]).u32().ok_or(truncated(total))?;
        let computed = crc32fast::hash(covered);
        if found != computed {
            return Err(PositionError::Checksum { found, computed });
        }
        if version != VERSION {
            return Err(PositionError::Version { found: version });
        }
        let saved = Self::read_body(&covered[PREFIX_BYTES..])?;
        Ok((saved, total))
    }

    fn read_body(body: &[u8]) -> Result<Self, PositionError> {
        let mut reader = Reader::new(body);
        let lineage_epoch = Epoch(reader.u64().ok_or(PositionError::Shape)?);
        let offset = Offset(reader.u64().ok_or(PositionError::Shape)?);
        let lineage = Lineage::read(&mut reader).ok_or(PositionError::Shape)??;
        if !reader.is_empty() {
            return Err(PositionError::Shape);
        }
        let position = Position { lineage_epoch, offset };
        if lineage.position_at(offset) != Some(position) {
            return Err(PositionError::OutsideLineage { position });
        }
        Ok(SavedPosition { position, lineage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;

    fn saved() -> SavedPosition {
        let lineage =
            Lineage::from_entries(&[(Epoch(3), Offset(0)), (Epoch(7), Offset(120)), (Epoch(9), Offset(120))])
                .unwrap();
        SavedPosition::at(&lineage, Offset(121)).unwrap()
    }

    fn bytes() -> Vec<u8> {
        let mut out = Vec::new();
        saved().encode(&mut out);
        out
    }

    #[test]
    fn version_1_never_changes() {
        let hex: String = bytes().iter().map(|b| format!("{b:02x}")).collect();
        expect_file!["../tests/golden/position-1.hex"].assert_eq(&format!("{hex}\n"));
    }

    #[test]
    fn a_position_is_read_back_with_bytes_after_it() {
        let mut bytes = bytes();
        let len = bytes.len();
        bytes.extend(b"the checkpoint");
        assert_eq!(SavedPosition::decode(&bytes), Ok((saved(), len)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = bytes();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SavedPosition::decode(&bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(SavedPosition::decode(&good[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_position_outside_of_its_lineage_is_refused() {
        let lie = SavedPosition {
            position: Position { lineage_epoch: Epoch(3), offset: Offset(130) },
            lineage: saved().lineage,
        };
        let mut bytes = Vec::new();
        lie.encode(&mut bytes);
        assert_eq!(
            SavedPosition::decode(&bytes),
            Err(PositionError::OutsideLineage { position: lie.position })
        );
    }
}
