//! What is written to disk and sent to peers: one envelope, and plain structs of our own in it.
//!
//! ```text
//! [magic 4][version u16][kind u16][len u32][crc32 u32][body: len bytes]      all little-endian
//! ```
//!
//! The CRC covers version, kind, length and body. The body is bincode (variable-length integers).
//!
//! *Invariant:* this is the only module that names bincode, so replacing it touches one folder.
//! *Invariant:* a body is parsed only after magic, version, kind, length and CRC were checked.
//! *Invariant:* no type of openraft is serialised here: [`types`] has our own structs, each with a
//! golden file, so that a change of openraft's layout cannot change ours silently.

pub mod types;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first bytes of every envelope.
pub const MAGIC: [u8; 4] = *b"ICRW";
/// The version that this release writes.
pub const VERSION: u16 = 1;
/// The oldest version that this release reads.
pub const OLDEST_VERSION: u16 = 1;
/// Bytes before the body.
pub const HEADER_BYTES: usize = 16;
/// The largest body that is written or read. Larger: a peer could make a node allocate that much.
/// Smaller: the snapshot of a cluster with thousands of shards would not fit.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// What an envelope carries. The numbers are the format: they never change and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    AppendRequest = 1,
    AppendResponse = 2,
    VoteRequest = 3,
    VoteResponse = 4,
    PreVoteRequest = 5,
    PreVoteResponse = 6,
    SnapshotRequest = 7,
    SnapshotResponse = 8,
    TransferRequest = 9,
    TransferResponse = 10,
    ForwardRequest = 11,
    ForwardResponse = 12,
    SnapshotFile = 13,
    MachineState = 14,
}

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{actual} bytes are too few for an envelope: its header alone has {HEADER_BYTES}")]
    TooShort { actual: usize },
    #[error("not an ironcache envelope: it starts with {found:02x?}, expected {MAGIC:02x?}")]
    Magic { found: [u8; 4] },
    #[error(
        "envelope version {found} is not readable by this release (it reads {OLDEST_VERSION} to {VERSION}): \
         run a release that writes a version both sides read"
    )]
    Version { found: u16 },
    #[error("the envelope carries kind {found}, expected {expected:?}")]
    Kind { expected: Kind, found: u16 },
    #[error("the envelope declares a body of {declared} bytes, but {actual} follow")]
    Length { declared: usize, actual: usize },
    #[error("the body has {bytes} bytes, more than the limit of {BODY_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("the checksum is {found:08x}, the content has {computed:08x}: the bytes were altered")]
    Checksum { found: u32, computed: u32 },
    #[error("the body is not readable as {what}: a newer release may have written it")]
    Body { what: &'static str, source: bincode::error::DecodeError },
    #[error("{left} bytes are left after the {what}")]
    Trailing { what: &'static str, left: usize },
    #[error("the {what} cannot be encoded")]
    Encode { what: &'static str, source: bincode::error::EncodeError },
}

/// Wraps `body` in an envelope.
pub fn seal<T: Serialize>(kind: Kind, body: &T) -> Result<Vec<u8>, WireError> {
    let body = encode(body)?;
    let len = u32::try_from(body.len()).expect("encode checked the size limit, which fits 32 bits");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(kind as u16).to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    let crc = checksum(&bytes[MAGIC.len()..], &body);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Checks the envelope, then parses its body, all of it.
pub fn open<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, WireError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(WireError::TooShort { actual: bytes.len() });
    };
    let magic = [header[0], header[1], header[2], header[3]];
    if magic != MAGIC {
        return Err(WireError::Magic { found: magic });
    }
    let version = u16::from_le_bytes([header[4], header[5]]);
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(WireError::Version { found: version });
    }
    let declared = u32_at(header, 8) as usize;
    if declared != body.len() {
        return Err(WireError::Length { declared, actual: body.len() });
    }
    let found = u32_at(header, 12);
    let computed = checksum(&header[MAGIC.len()..12], body);
    if found != computed {
        return Err(WireError::Checksum { found, computed });
    }
    let found = u16::from_le_bytes([header[6], header[7]]);
    if found != kind as u16 {
        return Err(WireError::Kind { expected: kind, found });
    }
    decode(body)
}

/// A body without its envelope: for records that have a frame of their own.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let what = std::any::type_name::<T>();
    let bytes = bincode::serde::encode_to_vec(value, config())
        .map_err(|source| WireError::Encode { what, source })?;
    if bytes.len() > BODY_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let what = std::any::type_name::<T>();
    if bytes.len() > BODY_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: bytes.len() });
    }
    let (value, used) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|source| WireError::Body { what, source })?;
    if used != bytes.len() {
        return Err(WireError::Trailing { what, left: bytes.len() - used });
    }
    Ok(value)
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<BODY_BYTES_MAX>()
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(body);
    crc.finalize()
}

/// The caller has checked that four bytes are there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Bytes as lines of 32 hex pairs: how golden files show them.
pub fn hex(bytes: &[u8]) -> String {
    let line =
        |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ") + "\n";
    bytes.chunks(32).map(line).collect()
}

/// The reverse of [`hex`]; what is no hex pair is left out.
pub fn unhex(text: &str) -> Vec<u8> {
    text.split_whitespace().filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Body = (u64, String);

    fn sealed() -> Vec<u8> {
        seal(Kind::AppendRequest, &(7_u64, "seven".to_owned())).unwrap()
    }

    #[test]
    fn what_is_sealed_opens() {
        let body: Body = open(Kind::AppendRequest, &sealed()).unwrap();
        assert_eq!(body, (7, "seven".to_owned()));
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let good = sealed();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(open::<Body>(Kind::AppendRequest, &bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn every_shortened_or_longer_envelope_is_refused() {
        let good = sealed();
        for len in 0..good.len() {
            assert!(open::<Body>(Kind::AppendRequest, &good[..len]).is_err(), "length {len}");
        }
        let longer = [good, vec![0]].concat();
        assert!(matches!(open::<Body>(Kind::AppendRequest, &longer), Err(WireError::Length { .. })));
    }

    #[test]
    fn another_kind_and_a_newer_version_are_named() {
        let error = open::<Body>(Kind::VoteRequest, &sealed()).unwrap_err();
        assert!(matches!(error, WireError::Kind { expected: Kind::VoteRequest, found: 1 }), "{error}");
        let mut newer = sealed();
        newer[4] = 2;
        let error = open::<Body>(Kind::AppendRequest, &newer).unwrap_err();
        assert!(matches!(error, WireError::Version { found: 2 }), "{error}");
    }

    #[test]
    fn a_huge_declared_length_inside_the_body_allocates_nothing() {
        // A string that claims 2^60 bytes: the limit answers before an allocation does.
        let mut body = vec![7_u8, 253];
        body.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(matches!(decode::<Body>(&body), Err(WireError::Body { .. })));
    }
}
