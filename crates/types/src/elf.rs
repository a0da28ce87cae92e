//! How long an executable says that it is: a file that was cut on its way does not begin to look different.
//!
//! ```text
//!  0        64                                                                        claimed_bytes
//!  | header | program headers | … code, data, stamp, each claimed by a header … | section headers |
//! ```
//! Linkers put the section headers last, so that whatever is cut off takes them along.
//!
//! *Invariant:* memory does not grow with the file: the header and the two tables are kept, at most 16 bits of entries each,
//! and of entries that are not understood nothing.
//! *Invariant:* what is no 64-bit little-endian ELF is not judged here: whether a machine can execute a file is found by
//! its own preflight.

/// Length of the header, in bytes.
const HEADER_LEN: usize = 64;
const MAGIC: &[u8] = b"\x7fELF";
/// Class 64-bit, little-endian.
const KIND: &[u8] = &[2, 1];
/// Lengths of the entries that are understood, in bytes.
const SEGMENT_LEN: usize = 56;
const SECTION_LEN: usize = 64;
/// A section that occupies no bytes of the file.
const SHT_NOBITS: u32 = 8;

/// Reads the claims of an executable that passes in chunks.
#[derive(Debug)]
pub(crate) enum ElfExtent {
    /// The header is still coming.
    Header(Vec<u8>),
    Tables {
        position: u64,
        segments: Table,
        sections: Table,
    },
    /// Nothing is claimed.
    OfAnotherKind,
}

impl Default for ElfExtent {
    fn default() -> Self {
        ElfExtent::Header(Vec::new())
    }
}

impl ElfExtent {
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        match self {
            ElfExtent::OfAnotherKind => {}
            ElfExtent::Tables { position, segments, sections } => {
                segments.feed(*position, chunk);
                sections.feed(*position, chunk);
                *position += chunk.len() as u64;
            }
            ElfExtent::Header(head) => {
                let (begin, rest) = chunk.split_at(chunk.len().min(HEADER_LEN - head.len()));
                head.extend_from_slice(begin);
                if head.len() == HEADER_LEN {
                    let head = std::mem::take(head);
                    *self = Self::of_header(&head);
                    // A table may lie over the header.
                    self.feed(&head);
                    self.feed(rest);
                }
            }
        }
    }

    fn of_header(head: &[u8]) -> Self {
        if !head.starts_with(MAGIC) || &head[4..6] != KIND {
            return ElfExtent::OfAnotherKind;
        }
        let segments = Table::new(u64_at(head, 32), SEGMENT_LEN, u16_at(head, 54), u16_at(head, 56));
        let sections = Table::new(u64_at(head, 40), SECTION_LEN, u16_at(head, 58), u16_at(head, 60));
        ElfExtent::Tables { position: 0, segments, sections }
    }

    /// The least length that its headers allow, in bytes; 0 for what makes no claim. If the file ends before its tables
    /// do, that is where they end.
    pub(crate) fn claimed_bytes(&self) -> u64 {
        match self {
            ElfExtent::Header(head) if head.starts_with(MAGIC) => HEADER_LEN as u64,
            ElfExtent::Header(_) | ElfExtent::OfAnotherKind => 0,
            ElfExtent::Tables { position: _, segments, sections } => {
                let of_segments = segments.entries().map(|e| end(u64_at(e, 8), u64_at(e, 32)));
                let in_file = |e: &&[u8]| u32_at(e, 4) != SHT_NOBITS;
                let of_sections =
                    sections.entries().filter(in_file).map(|e| end(u64_at(e, 24), u64_at(e, 32)));
                let tables = [segments.end(), sections.end()];
                of_segments.chain(of_sections).chain(tables).max().unwrap_or(0)
            }
        }
    }
}

/// A table of the file: where it lies, and what has passed of it.
#[derive(Debug)]
pub(crate) struct Table {
    at: u64,
    /// Of an entry that is understood.
    understood: usize,
    is_understood: bool,
    len: usize,
    /// Empty unless its entries are understood: one of 65535 may have 64 KiB, which is as much as whoever made the file likes.
    bytes: Vec<u8>,
}

impl Table {
    fn new(at: u64, understood: usize, entry_len: u16, count: u16) -> Self {
        let entry_len = usize::from(entry_len);
        let is_understood = entry_len == understood;
        Table { at, understood, is_understood, len: entry_len * usize::from(count), bytes: Vec::new() }
    }

    /// Keeps what is the table's of a chunk at `position`. Chunks come in order.
    fn feed(&mut self, position: u64, chunk: &[u8]) {
        if !self.is_understood {
            return;
        }
        let Some(next) = self.at.checked_add(self.bytes.len() as u64) else { return };
        let Some(skip) = next.checked_sub(position).and_then(|skip| usize::try_from(skip).ok()) else {
            return;
        };
        let missing = self.len - self.bytes.len();
        if let Some(rest) = chunk.get(skip..) {
            self.bytes.extend_from_slice(&rest[..rest.len().min(missing)]);
        }
    }

    /// The whole entries that have passed, if they have the length that is understood.
    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.understood)
    }

    fn end(&self) -> u64 {
        if self.len == 0 { 0 } else { end(self.at, self.len as u64) }
    }
}

/// Nothing is as long as a sum that overflows.
fn end(at: u64, len: u64) -> u64 {
    at.saturating_add(len)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("headers and entries have their lengths")
}

#[cfg(test)]
mod tests {
    use super::testing::executable;
    use super::*;

    fn claimed(bytes: &[u8], step: usize) -> u64 {
        let mut extent = ElfExtent::default();
        bytes.chunks(step).for_each(|chunk| extent.feed(chunk));
        extent.claimed_bytes()
    }

    /// Around the lengths of header and entries the chunks are at their edges.
    const STEPS: [usize; 8] = [1, 7, 55, 56, 63, 64, 65, 100_000];

    #[test]
    fn a_whole_executable_claims_its_length_wherever_a_chunk_ends() {
        let whole = executable(&[3; 300]);
        for step in STEPS {
            assert_eq!(claimed(&whole, step), whole.len() as u64, "chunks of {step}");
        }
    }

    #[test]
    fn of_entries_that_are_not_understood_nothing_is_kept() {
        let mut bytes = executable(&[3; 100_000]);
        // Two tables of 65535 entries with 65535 bytes each, right behind the header.
        for at in [32, 40] {
            bytes[at..at + 8].copy_from_slice(&64_u64.to_le_bytes());
        }
        bytes[54..58].fill(0xff);
        bytes[58..62].fill(0xff);
        let mut extent = ElfExtent::default();
        bytes.chunks(1000).for_each(|chunk| extent.feed(chunk));
        assert_eq!(extent.claimed_bytes(), 64 + 65_535 * 65_535);
        let ElfExtent::Tables { segments, sections, .. } = extent else { panic!("it is an executable") };
        assert_eq!(segments.bytes.capacity() + sections.bytes.capacity(), 0);
    }

    #[test]
    fn an_executable_that_is_cut_anywhere_claims_more_than_there_is() {
        let whole = executable(&[3; 300]);
        for len in 4..whole.len() {
            for step in STEPS {
                let claims = claimed(&whole[..len], step);
                assert!(claims > len as u64, "{len} bytes in chunks of {step} claim {claims}");
            }
        }
    }

    #[test]
    fn the_own_executable_claims_no_more_than_there_is() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let claims = claimed(&own, 256 * 1024);
        assert!(claims > own.len() as u64 / 2 && claims <= own.len() as u64, "{claims} of {}", own.len());
        assert!(claimed(&own[..own.len() - 1], 256 * 1024) >= own.len() as u64);
    }

    #[test]
    fn a_segment_and_a_section_count_and_one_without_bytes_does_not() {
        let whole = executable(&[3; 300]);
        let alter = |at: usize, value: u64| {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            claimed(&bytes, 100)
        };
        let sections_at = whole.len() - 2 * SECTION_LEN;
        assert_eq!(alter(HEADER_LEN + 32, 9_000), HEADER_LEN as u64 + 9_000);
        assert_eq!(alter(HEADER_LEN + 8, u64::MAX), u64::MAX);
        assert_eq!(alter(sections_at + 32, 9_000), (HEADER_LEN + SEGMENT_LEN) as u64 + 9_000);
        assert_eq!(alter(sections_at + SECTION_LEN + 32, 9_000), whole.len() as u64, "NOBITS");
        assert_eq!(alter(40, u64::MAX), u64::MAX, "the table of sections itself");
    }

    #[test]
    fn what_is_no_executable_of_this_kind_claims_nothing() {
        let mut of_32_bits = executable(&[]);
        of_32_bits[4] = 1;
        for bytes in [&b"#!/bin/sh\n"[..], &[7; 1000], &of_32_bits, b""] {
            assert_eq!(claimed(bytes, 100), 0);
        }
    }
}

/// Small executables for tests: header, one segment, `content`, and two sections, the second without bytes.
#[cfg(test)]
pub(crate) mod testing {
    use super::{HEADER_LEN, MAGIC, SECTION_LEN, SEGMENT_LEN, SHT_NOBITS};

    pub(crate) fn executable(content: &[u8]) -> Vec<u8> {
        let content_at = HEADER_LEN + SEGMENT_LEN;
        let sections_at = content_at + content.len();
        let mut bytes = vec![0; sections_at + 2 * SECTION_LEN];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let wide = |value: usize| (value as u64).to_le_bytes();
        put(0, MAGIC);
        put(4, &[2, 1, 1]);
        put(32, &wide(HEADER_LEN));
        put(40, &wide(sections_at));
        for (at, value) in [(54, SEGMENT_LEN), (56, 1), (58, SECTION_LEN), (60, 2)] {
            put(at, &(value as u16).to_le_bytes());
        }
        put(HEADER_LEN + 8, &wide(HEADER_LEN));
        put(HEADER_LEN + 32, &wide(SEGMENT_LEN + content.len()));
        put(content_at, content);
        put(sections_at + 24, &wide(content_at));
        put(sections_at + 32, &wide(content.len()));
        put(sections_at + SECTION_LEN + 4, &SHT_NOBITS.to_le_bytes());
        put(sections_at + SECTION_LEN + 24, &wide(content_at));
        put(sections_at + SECTION_LEN + 32, &wide(1 << 40));
        bytes
    }
}
