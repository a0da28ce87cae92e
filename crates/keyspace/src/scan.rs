//! Scanning all keys in steps, without state between them.
//!
//! The slots are walked upwards, each slot's keys as [`crate::Dict::scan`] does: every key that is
//! there from the first step to the last is met, some perhaps twice. The order does not depend on
//! the process, so a cursor survives a handover to a replica.

use crate::entry::Entry;
use crate::keyspace::Keyspace;
use ironcache_types::SLOT_COUNT;

const SLOT_BITS: u32 = SLOT_COUNT.trailing_zeros();

/// Where a scan goes on: the slot in the low 14 bits, above them the position in the slot. Below
/// 2^46, so that clients whose numbers are doubles carry it exactly. 0 begins, and 0 is the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCursor(pub u64);

impl Keyspace {
    /// Hands at least `count` entries to `visit`, fewer at the end; answers where to go on.
    /// Looks at `count` keys and at empty slots; any cursor is safe.
    pub fn scan<'a>(
        &'a self,
        cursor: ScanCursor,
        count: usize,
        mut visit: impl FnMut(&'a Entry),
    ) -> ScanCursor {
        let mut slot = (cursor.0 % u64::from(SLOT_COUNT)) as u16;
        let mut position = (cursor.0 >> SLOT_BITS) as usize;
        let mut left = count.max(1);
        loop {
            position = self.slot(slot).scan(position, left, |entry| {
                left = left.saturating_sub(1);
                visit(entry);
            });
            if position == 0 {
                slot += 1;
            }
            if slot == SLOT_COUNT {
                return ScanCursor(0);
            }
            if left == 0 {
                return ScanCursor((position as u64) << SLOT_BITS | u64::from(slot));
            }
        }
    }
}
