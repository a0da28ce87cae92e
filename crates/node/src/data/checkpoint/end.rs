//! The last bytes of a dataset on disk: what it is a copy of.
//!
//! ```text
//!  end  := 0 u32 · crc32 u32 of the body · body, up to the end of the file
//!  body := sealed by u64 · taken ms u64 · keys u64 · position (lineage, epoch, offset; crc)
//! ```
//! They are at the end because a snapshot's point in time is its end. *Sealed by* names the life that stopped with this
//! dataset as a primary: nothing was acknowledged by it that is not in it. 0 stands for nobody, and so no snapshot and no
//! copy of one is ever taken for all that there was.

use super::{CheckpointError, PART_PREFIX_BYTES};
use ironcache_replication::{PositionError, SavedPosition};
use ironcache_types::Incarnation;

/// Of the body, before the position.
const FIXED_BYTES: usize = 24;
/// Bound of what is read of an end: a capped lineage is about a kilobyte.
pub(super) const END_BYTES_MAX: usize = 16 << 10;

/// What a dataset on disk says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub sealed_by: Option<Incarnation>,
    /// Of the dataset, Unix ms: one that is copied keeps it.
    pub taken_ms: u64,
    pub keys: u64,
    pub saved: SavedPosition,
}

impl End {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { sealed_by, taken_ms, keys, saved } = self;
        let mut out = vec![0; PART_PREFIX_BYTES];
        for number in [sealed_by.map_or(0, |life| life.0), *taken_ms, *keys] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        saved.encode(&mut out);
        let crc = crc32fast::hash(&out[PART_PREFIX_BYTES..]);
        out[4..PART_PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Of the body alone: everything behind the end's prefix, whose checksum is `found`.
    pub(super) fn decode(body: &[u8], found: u32) -> Result<Self, CheckpointError> {
        let computed = crc32fast::hash(body);
        if found != computed {
            return Err(CheckpointError::End { found, computed });
        }
        let (fixed, position) = body.split_first_chunk::<FIXED_BYTES>().ok_or(PositionError::Shape)?;
        let number =
            |at: usize| u64::from_le_bytes(fixed[at..at + 8].try_into().expect("three times eight bytes"));
        let (saved, used) = SavedPosition::decode(position)?;
        if used != position.len() {
            return Err(PositionError::Shape.into());
        }
        let sealed_by = Some(number(0)).filter(|life| *life != 0).map(Incarnation);
        Ok(End { sealed_by, taken_ms: number(8), keys: number(16), saved })
    }
}
