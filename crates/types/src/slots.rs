//! Redis Cluster's 16384 hash slots.
//!
//! Source: the Redis Cluster specification (CRC16/XMODEM of the key, or of its `{hash tag}`).

use serde::{Deserialize, Serialize};
use std::fmt;

pub const SLOT_COUNT: u16 = 16384;

/// A hash slot, 0 to 16383.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u16);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The slot of a key. Of a key with a non-empty `{tag}`, only the tag counts.
pub fn key_slot(key: &[u8]) -> Slot {
    let hashed = match key.iter().position(|&b| b == b'{') {
        Some(open) => match key[open + 1..].iter().position(|&b| b == b'}') {
            Some(len) if len > 0 => &key[open + 1..open + 1 + len],
            _ => key,
        },
        None => key,
    };
    Slot(crc16(hashed) % SLOT_COUNT)
}

/// Slots `start` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotRange {
    pub start: u16,
    pub end: u16,
}

impl SlotRange {
    pub fn contains(&self, slot: Slot) -> bool {
        (self.start..=self.end).contains(&slot.0)
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end } = self;
        write!(f, "{start}-{end}")
    }
}

/// A shard's slots: ranges, sorted, apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlotSet(pub Vec<SlotRange>);

impl SlotSet {
    /// The `index`-th of `count` equal parts of all slots. `count` is 1 to 16384, `index` below it.
    pub fn part(index: u16, count: u16) -> Self {
        let bound = |i: u32| (u32::from(SLOT_COUNT) * i / u32::from(count)) as u16;
        let (start, next) = (bound(u32::from(index)), bound(u32::from(index) + 1));
        SlotSet(vec![SlotRange { start, end: next - 1 }])
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.0.iter().any(|range| range.contains(slot))
    }

    /// How many slots.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|r| u32::from(r.end - r.start) + 1).sum()
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{range}")?;
        }
        Ok(())
    }
}

/// Row `k`, column `byte`: the CRC of `byte` followed by `k` zero bytes. Eight bytes are then one step of eight
/// look-ups that do not wait for each other (as "slicing-by-8" for CRC-32, Kounavis and Berry 2005).
const CRC16: [[u16; 256]; 8] = {
    let mut table = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = table[zeros - 1][byte];
            table[zeros][byte] = (crc << 8) ^ table[0][(crc >> 8) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    table
};

fn crc16(bytes: &[u8]) -> u16 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(0, |crc: u16, &[a, b, c, d, e, f, g, h]| {
        let [high, low] = crc.to_be_bytes();
        let column = |zeros: usize, byte: u8| CRC16[zeros][usize::from(byte)];
        (column(7, a ^ high) ^ column(6, b ^ low) ^ column(5, c) ^ column(4, d))
            ^ (column(3, e) ^ column(2, f) ^ column(1, g) ^ column(0, h))
    });
    rest.iter().fold(crc, |crc, &b| (crc << 8) ^ CRC16[0][usize::from((crc >> 8) as u8 ^ b)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // From the Redis Cluster specification, and from `CLUSTER KEYSLOT` of redis-server 7.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(key_slot(b"foo"), Slot(12182));
        assert_eq!(key_slot(b"{user1000}.following"), key_slot(b"{user1000}.followers"));
        assert_eq!(key_slot(b"foo{}{bar}"), Slot(crc16(b"foo{}{bar}") % SLOT_COUNT));
        assert_eq!(key_slot(b"foo{{bar}}zap"), Slot(crc16(b"{bar") % SLOT_COUNT));
    }

    #[test]
    fn the_parts_cover_every_slot_once() {
        for count in [1, 2, 3, 7, 100] {
            let mut next = 0u32;
            for index in 0..count {
                for range in SlotSet::part(index, count).0 {
                    assert_eq!(u32::from(range.start), next);
                    next = u32::from(range.end) + 1;
                }
            }
            assert_eq!(next, u32::from(SLOT_COUNT));
        }
    }
}
