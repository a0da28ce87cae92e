//! A log file for the fuzzing of its reader.

use super::frame::{HEADER_BYTES, check_header, header, scan};
use super::{Recovered, recover};
use ironcache_types::NodeId;

/// Of whom the golden log is.
const NODE: NodeId = NodeId(7);

pub(crate) fn golden_log() -> Vec<u8> {
    ironcache_fuzz::of_golden(include_str!("../../tests/golden/wal.hex"))
}

/// The header and every frame, with checksums as they would have been written; frames follow each other by their lengths.
pub(crate) fn reseal(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let first = bytes[14..22].try_into().map_or(0, u64::from_le_bytes);
    bytes[..HEADER_BYTES].copy_from_slice(&header(NODE, first));
    let mut at = HEADER_BYTES;
    for sequence in first..=u64::MAX {
        let Some(room) = bytes.len().checked_sub(at + 16) else { return };
        let claimed = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let records = claimed.saturating_sub(8).min(room);
        let frame = super::frame::encode(sequence, &bytes[at + 16..at + 16 + records]);
        bytes[at..at + frame.len()].copy_from_slice(&frame);
        at += frame.len();
    }
}

/// What recovery says of a file; what it keeps of a torn one is whole.
pub(crate) fn reopened(bytes: &[u8]) -> Result<bool, String> {
    let Recovered { torn, .. } = recover(bytes, NODE).map_err(|error| format!("{error:?}"))?;
    let first = check_header(bytes, NODE).expect("recovery has checked it");
    let (frames, _) = scan(bytes, first);
    let whole = frames.last().map_or(HEADER_BYTES, |last| last.at + 16 + last.records.len());
    let again = recover(&bytes[..whole], NODE).expect("what was kept can be kept");
    assert!(again.torn.is_none(), "what was kept is not torn");
    Ok(torn.is_some())
}
