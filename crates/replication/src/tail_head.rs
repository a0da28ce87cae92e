//! The head of a keeper's file: whose tail of which stream it holds, from where on.
//!
//! ```text
//!  at size                                  body   at size
//!   0    8   magic "ic-keep\n"              cluster id          0   16
//!   8    2   version                        shard              16    2
//!  10    2   bytes of the body, b           epoch              18    8   of the primary
//!  12    b   body                           incarnation        26    8   of the primary
//! 12+b   4   crc-32 of all before           keeper's node      34    8
//!            whole frames, as they came     its incarnation    42    8   of the life that began the file
//!                                           isr epoch          50    8   that it had applied then
//!                                           from               58    8
//!                                           lineage            66    …
//! ```
//! Little-endian; length and checksum lie at the same place in every version: a release that cannot read a file sees that
//! it is whole, and leaves it alone.
//!
//! *Invariant:* a head is read back only if every bit of it is as written. What cannot be read says why: only damage is
//! damage.

use crate::lineage::{Lineage, LineageError};
use crate::message::Source;
use crate::wire::{Reader, put_u16, put_u64, put_u128};
use ironcache_types::{ClusterId, Epoch, Incarnation, Member, NodeId, Offset, ShardId};

/// The version of the file that this build writes and reads.
pub const TAIL_VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"ic-keep\n";
const PREFIX_BYTES: usize = 12;

/// What a keeper's file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailHead {
    pub cluster: ClusterId,
    pub shard: ShardId,
    /// The primary whose stream it is.
    pub source: Source,
    /// The life that began the file.
    pub keeper: Member,
    /// Of the shard, as that life had applied it: at a higher one nothing that was proposed before can be accepted.
    pub isr_epoch: Epoch,
    /// The offset of the first frame.
    pub from: Offset,
    /// The primary's, whose last epoch is `source.epoch`.
    pub lineage: Lineage,
}

/// Why a file has no head that this build can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TailHeadError {
    #[error("the head is cut off after {got} of {needed} bytes")]
    Truncated { got: usize, needed: usize },
    #[error("it does not begin as a keeper's file does")]
    NotATail,
    #[error("the head's checksum is {found:08x}, and its bytes give {computed:08x}: it is damaged")]
    Checksum { found: u32, computed: u32 },
    #[error("it is written in version {found}; this release reads version {TAIL_VERSION}")]
    Version { found: u16 },
    #[error("the head does not have the shape of version {TAIL_VERSION}")]
    Shape,
    #[error("the lineage in the head is impossible")]
    Lineage(#[from] LineageError),
    #[error("the lineage ends with epoch {lineage_epoch}, and the stream is of epoch {source_epoch}")]
    OtherEpoch { lineage_epoch: Epoch, source_epoch: Epoch },
    #[error("the tail begins at {from}, before what the lineage remembers")]
    BeforeLineage { from: Offset },
}

impl TailHead {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { cluster, shard, source, keeper, isr_epoch, from, lineage } = self;
        let begin = out.len();
        out.extend_from_slice(&MAGIC);
        put_u16(out, TAIL_VERSION);
        put_u16(out, 0);
        let body = out.len();
        put_u128(out, cluster.0);
        put_u16(out, shard.0);
        put_u64(out, source.epoch.0);
        put_u64(out, source.incarnation.0);
        put_u64(out, keeper.node.0);
        put_u64(out, keeper.incarnation.0);
        put_u64(out, isr_epoch.0);
        put_u64(out, from.0);
        lineage.write(out);
        let body_bytes = u16::try_from(out.len() - body).expect("a capped lineage is about a kilobyte");
        out[body - 2..body].copy_from_slice(&body_bytes.to_le_bytes());
        let crc = crc32fast::hash(&out[begin..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads a head off the front of `input`; gives it and its length in bytes.
    ///
    /// # Errors
    /// Why it is none. [`TailHeadError::Truncated`]: so far; with more bytes it may be one.
    pub fn decode(input: &[u8]) -> Result<(Self, usize), TailHeadError> {
        let truncated = |needed| TailHeadError::Truncated { got: input.len(), needed };
        let known = input.len().min(MAGIC.len());
        if input[..known] != MAGIC[..known] {
            return Err(TailHeadError::NotATail);
        }
        let mut reader = Reader::new(input);
        let _magic: [u8; 8] = reader.array().ok_or(truncated(PREFIX_BYTES))?;
        let version = reader.u16().ok_or(truncated(PREFIX_BYTES))?;
        let body_bytes = usize::from(reader.u16().ok_or(truncated(PREFIX_BYTES))?);
        let total = PREFIX_BYTES + body_bytes + 4;
        let covered = input.get(..PREFIX_BYTES + body_bytes).ok_or(truncated(total))?;
        let found = Reader::new(&input[covered.len()..]).u32().ok_or(truncated(total))?;
        let computed = crc32fast::hash(covered);
        if found != computed {
            return Err(TailHeadError::Checksum { found, computed });
        }
        if version != TAIL_VERSION {
            return Err(TailHeadError::Version { found: version });
        }
        Ok((Self::read_body(&covered[PREFIX_BYTES..])?, total))
    }

    fn read_body(body: &[u8]) -> Result<Self, TailHeadError> {
        let mut reader = Reader::new(body);
        let mut read = || {
            let cluster = ClusterId(reader.u128()?);
            let shard = ShardId(reader.u16()?);
            let source = Source { epoch: Epoch(reader.u64()?), incarnation: Incarnation(reader.u64()?) };
            let keeper = Member { node: NodeId(reader.u64()?), incarnation: Incarnation(reader.u64()?) };
            let (isr_epoch, from) = (Epoch(reader.u64()?), Offset(reader.u64()?));
            Some((cluster, shard, source, keeper, isr_epoch, from, Lineage::read(&mut reader)?))
        };
        let (cluster, shard, source, keeper, isr_epoch, from, lineage) =
            read().ok_or(TailHeadError::Shape)?;
        let lineage = lineage?;
        if !reader.is_empty() {
            return Err(TailHeadError::Shape);
        }
        let (lineage_epoch, _) = lineage.last();
        if lineage_epoch != source.epoch {
            return Err(TailHeadError::OtherEpoch { lineage_epoch, source_epoch: source.epoch });
        }
        if lineage.epoch_of_frame_at(from).is_none() {
            return Err(TailHeadError::BeforeLineage { from });
        }
        Ok(TailHead { cluster, shard, source, keeper, isr_epoch, from, lineage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;

    fn head() -> TailHead {
        TailHead {
            cluster: ClusterId(0x0102_0304),
            shard: ShardId(2),
            source: Source { epoch: Epoch(9), incarnation: Incarnation(0xabcd) },
            keeper: Member { node: NodeId(0x11), incarnation: Incarnation(0x22) },
            isr_epoch: Epoch(12),
            from: Offset(150),
            lineage: Lineage::from_entries(&[(Epoch(3), Offset(0)), (Epoch(9), Offset(120))]).unwrap(),
        }
    }

    fn bytes() -> Vec<u8> {
        let mut out = Vec::new();
        head().encode(&mut out);
        out
    }

    #[test]
    fn version_1_never_changes() {
        let hex: String = bytes().iter().map(|b| format!("{b:02x}")).collect();
        expect_file!["../tests/golden/keeper-1.hex"].assert_eq(&format!("{hex}\n"));
    }

    #[test]
    fn a_head_is_read_back_with_frames_after_it() {
        let mut bytes = bytes();
        let len = bytes.len();
        bytes.extend(b"frames");
        assert_eq!(TailHead::decode(&bytes), Ok((head(), len)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = bytes();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(TailHead::decode(&bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(matches!(TailHead::decode(&good[..len]), Err(TailHeadError::Truncated { .. })), "{len}");
        }
    }

    #[test]
    fn a_file_of_another_version_is_whole_and_unknown() {
        let mut later = bytes();
        later[8] = 9;
        let crc_at = later.len() - 4;
        let crc = crc32fast::hash(&later[..crc_at]);
        later[crc_at..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(TailHead::decode(&later), Err(TailHeadError::Version { found: 9 }));
    }

    #[test]
    fn a_head_that_contradicts_itself_is_refused() {
        let decoded = |head: TailHead| {
            let mut bytes = Vec::new();
            head.encode(&mut bytes);
            TailHead::decode(&bytes)
        };
        let source = Source { epoch: Epoch(10), ..head().source };
        let other = TailHeadError::OtherEpoch { lineage_epoch: Epoch(9), source_epoch: Epoch(10) };
        assert_eq!(decoded(TailHead { source, ..head() }), Err(other));
        let lineage = Lineage::from_entries(&[(Epoch(3), Offset(100)), (Epoch(9), Offset(120))]).unwrap();
        let before = TailHead { from: Offset(99), lineage, ..head() };
        assert_eq!(decoded(before), Err(TailHeadError::BeforeLineage { from: Offset(99) }));
    }
}
