//! The frozen first 32 bytes of every entry, and entries as the bytes that they are.
//!
//! ```text
//! [kind u16][version u16][level u16][flags u16][request id 16][length u32][crc32 u32][body: length bytes]
//! ```
//!
//! Little-endian throughout. The CRC covers the 28 bytes before it and the body. This layout never changes
//! (docs/adr/0014): it is all that a release knows of an entry that came from a later one.
//!
//! *Invariant:* an [`EntryBytes`] has a whole header, a body of the length that it declares, and a CRC that fits.

use super::EntryKind;
use crate::wire::{checksum, u16_at, u32_at};
use ironcache_types::{Level, RequestId};
use std::fmt;
use std::sync::Arc;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 32;
const CRC_AT: usize = 28;

/// Ahead of the body stands who asked for it: `[length u16][origin: length bytes]`.
pub const FLAG_ORIGIN: u16 = 1;

/// What every release reads of every entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of an [`EntryKind`], known here or not.
    pub kind: u16,
    /// The version of the body.
    pub version: u16,
    /// The level that the proposer had applied.
    pub level: Level,
    /// [`FLAG_ORIGIN`], or 0; others belong to releases to come.
    pub flags: u16,
    pub request: RequestId,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("{actual} bytes are too few for an entry: its header alone has {HEADER_BYTES}")]
    TooShort { actual: usize },
    #[error("the entry declares a body of {declared} bytes, but {actual} follow")]
    Length { declared: usize, actual: usize },
    #[error("the entry's checksum is {found:08x}, its content has {computed:08x}: the bytes were altered")]
    Checksum { found: u32, computed: u32 },
}

/// The header of an entry, after its length and CRC were checked. Nothing of the body is looked at.
///
/// # Errors
/// The bytes are no entry of any release.
pub fn peek(bytes: &[u8]) -> Result<Header, HeaderError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(HeaderError::TooShort { actual: bytes.len() });
    };
    let declared = u32_at(header, 24) as usize;
    if declared != body.len() {
        return Err(HeaderError::Length { declared, actual: body.len() });
    }
    let (found, computed) = (u32_at(header, CRC_AT), checksum(&header[..CRC_AT], body));
    if found != computed {
        return Err(HeaderError::Checksum { found, computed });
    }
    Ok(parse(header))
}

/// `bytes` has a whole header.
fn parse(bytes: &[u8]) -> Header {
    let mut request = [0; 16];
    request.copy_from_slice(&bytes[8..24]);
    Header {
        kind: u16_at(bytes, 0),
        version: u16_at(bytes, 2),
        level: Level(u16_at(bytes, 4)),
        flags: u16_at(bytes, 6),
        request: RequestId(u128::from_le_bytes(request)),
    }
}

/// One entry, verbatim: what the proposer sealed is what the log, the peers and a compaction carry. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryBytes(Arc<[u8]>);

impl EntryBytes {
    /// Takes bytes from a disk or a peer for an entry, of whatever release.
    ///
    /// # Errors
    /// They are none.
    pub fn check(bytes: &[u8]) -> Result<EntryBytes, HeaderError> {
        peek(bytes)?;
        Ok(EntryBytes(bytes.into()))
    }

    pub(super) fn new(header: Header, body: &[u8]) -> EntryBytes {
        let Header { kind, version, level, flags, request } = header;
        let length = u32::try_from(body.len()).expect("a body has passed the size limit, which fits 32 bits");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        for field in [kind, version, level.0, flags] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&request.0.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        let crc = checksum(&bytes, body);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(body);
        EntryBytes(bytes.into())
    }

    pub fn header(&self) -> Header {
        parse(&self.0)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.0[HEADER_BYTES..]
    }
}

impl fmt::Display for EntryBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { kind, version, level, flags: _, request } = self.header();
        match EntryKind::from_number(kind) {
            Some(kind) => write!(f, "{kind} (version {version}, level {level}, request {request})"),
            None => write!(f, "kind {kind} (version {version}, level {level}, request {request})"),
        }
    }
}

impl fmt::Debug for EntryBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryBytes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> EntryBytes {
        let header =
            Header { kind: 900, version: 7, level: Level(9), flags: 0x8000, request: RequestId(1 << 100) };
        EntryBytes::new(header, b"of a later release")
    }

    #[test]
    fn the_header_of_any_release_is_read() {
        let entry = entry();
        let read = EntryBytes::check(entry.as_bytes()).unwrap();
        assert_eq!(read, entry);
        assert_eq!((read.header().kind, read.header().level), (900, Level(9)));
        assert_eq!(read.header().request, RequestId(1 << 100));
        assert!(read.to_string().starts_with("kind 900 (version 7, level 9"), "{read}");
    }

    #[test]
    fn every_flipped_byte_and_every_other_length_is_refused() {
        let entry = entry();
        let good = entry.as_bytes();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 0x10;
            assert!(EntryBytes::check(&bad).is_err(), "byte {at}");
            assert!(EntryBytes::check(&good[..at]).is_err(), "length {at}");
        }
        assert!(EntryBytes::check(&[good, &[0]].concat()).is_err());
    }
}
