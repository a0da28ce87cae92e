//! The frames of the log file, and how a damaged file is judged.
//!
//! ```text
//! file   = [magic 4][version u16][node id u64][first sequence u64][crc u32]  frame*
//! frame  = [len u32][crc u32][sequence u64][records: len - 8 bytes]     crc over sequence and records
//! ```
//!
//! One frame is one group commit: all that was queued, written at once and then synced. The next frame
//! is written only after that sync, so **at most the last frame of a file can be unsynced**, however
//! the disk reordered its blocks. That is what lets recovery tell a torn tail (a bad frame with nothing
//! valid after it: it was never acknowledged, cut it off) from corruption (a bad frame with a valid
//! one of a later sequence after it: acknowledged data is damaged, refuse).
//!
//! The header has its length and its checksum where they are in every version, so that a log of another release is told from
//! a damaged one.
//!
//! Sequences go on when the log is compacted, so that of two states of one log the later one has the higher sequence.
//! A log whose frames end below what is known to have been synced was cut, or is an older copy.
//!
//! *Invariant:* judging a file changes nothing; whoever reads the verdict truncates, or refuses.

use ironcache_formats::wire::{u32_at, u64_at};
use ironcache_types::NodeId;

pub(crate) const MAGIC: [u8; 4] = *b"ICWL";
pub(crate) const VERSION: u16 = 1;
pub(crate) const HEADER_BYTES: usize = 26;
/// Where the header's checksum stands: it covers what is before it.
const CRC_AT: usize = 22;
const PREFIX_BYTES: usize = 8;
const SEQUENCE_BYTES: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("it has {actual} bytes, fewer than its header of {HEADER_BYTES}")]
    Short { actual: usize },
    #[error("it does not start as an ironcache raft log")]
    Magic,
    #[error(
        "its format is version {found}, this release reads version {VERSION}: start the release that wrote it"
    )]
    Version { found: u16 },
    #[error("its header is damaged")]
    Checksum,
    #[error("it belongs to node {found}, and this is node {expected}")]
    OtherNode { found: NodeId, expected: NodeId },
}

/// The header of a log whose first frame has the sequence `first`.
pub(crate) fn header(node: NodeId, first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&node.0.to_le_bytes());
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// The sequence of the first frame, if this is the log of the node `expected`.
pub(crate) fn check_header(file: &[u8], expected: NodeId) -> Result<u64, HeaderError> {
    let Some(header) = file.get(..HEADER_BYTES) else {
        return Err(HeaderError::Short { actual: file.len() });
    };
    if header[..4] != MAGIC {
        return Err(HeaderError::Magic);
    }
    // First: a version with a bit changed is damage, and no newer release's.
    if u32_at(header, CRC_AT) != crc32fast::hash(&header[..CRC_AT]) {
        return Err(HeaderError::Checksum);
    }
    let version = u16::from_le_bytes([header[4], header[5]]);
    if version != VERSION {
        return Err(HeaderError::Version { found: version });
    }
    let found = NodeId(u64_at(header, 6));
    if found != expected {
        return Err(HeaderError::OtherNode { found, expected });
    }
    Ok(u64_at(header, 14))
}

pub(crate) fn encode(sequence: u64, records: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + SEQUENCE_BYTES + records.len());
    let len = u32::try_from(SEQUENCE_BYTES + records.len()).expect("the writer bounds a group commit");
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(records);
    let crc = crc32fast::hash(&bytes[PREFIX_BYTES..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A frame that was read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub sequence: u64,
    pub records: &'a [u8],
    /// Where the frame starts in the file.
    pub at: usize,
}

/// What lies behind the last good frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    Clean,
    /// Nothing valid follows: an append that was cut short. `len` bytes from `at` are to be dropped.
    Torn {
        at: usize,
        len: usize,
    },
    /// A valid later frame follows at `next_valid`: acknowledged data is damaged at `at`.
    Corrupt {
        at: usize,
        next_valid: usize,
    },
}

/// Reads every frame behind the header. `file` has passed [`check_header`], which answered `first`.
pub(crate) fn scan(file: &[u8], first: u64) -> (Vec<Frame<'_>>, Tail) {
    let mut frames = Vec::new();
    let mut at = HEADER_BYTES;
    let mut expected = first;
    while at < file.len() {
        match read(file, at).filter(|frame| frame.sequence == expected) {
            Some(frame) => {
                at += PREFIX_BYTES + SEQUENCE_BYTES + frame.records.len();
                // Nobody gets there; bytes may say so all the same.
                expected = frame.sequence.wrapping_add(1);
                frames.push(frame);
            }
            None => return (frames, judge(file, at, expected)),
        }
    }
    (frames, Tail::Clean)
}

fn judge(file: &[u8], at: usize, expected: u64) -> Tail {
    // The length may be what is damaged, so every later byte may start the next frame.
    let later = (at + 1..file.len()).find(|&next| {
        let plausible =
            sequence_at(file, next).is_some_and(|found| found > expected && found - expected < 1 << 32);
        plausible && read(file, next).is_some()
    });
    match later {
        Some(next_valid) => Tail::Corrupt { at, next_valid },
        // A valid frame of an unexpected sequence right here was moved or duplicated: no torn append does that.
        None if read(file, at).is_some() => Tail::Corrupt { at, next_valid: at },
        None => Tail::Torn { at, len: file.len() - at },
    }
}

fn sequence_at(file: &[u8], at: usize) -> Option<u64> {
    file.get(at..at + PREFIX_BYTES + SEQUENCE_BYTES).map(|bytes| u64_at(bytes, PREFIX_BYTES))
}

fn read(file: &[u8], at: usize) -> Option<Frame<'_>> {
    let prefix = file.get(at..at + PREFIX_BYTES)?;
    let len = u32_at(prefix, 0) as usize;
    let start = at + PREFIX_BYTES;
    let content = file.get(start..start.checked_add(len)?)?;
    if len < SEQUENCE_BYTES || crc32fast::hash(content) != u32_at(prefix, 4) {
        return None;
    }
    Some(Frame { sequence: u64_at(content, 0), records: &content[SEQUENCE_BYTES..], at })
}
