//! The envelope of everything that goes to a peer or into a file of its own, and the encoding of every body.
//!
//! ```text
//! [magic 4][version u16][kind u16][level u16][flags u16 = 0][len u32][crc32 u32][body: len bytes]   little-endian
//! ```
//!
//! The CRC covers all of the header before it but the magic, and the body. `version` is that of this kind of content
//! (see [`levels`]); `level` is the one that the writer was at. The layout is frozen (docs/adr/0014): every release reads
//! this much of every other's bytes. The body is bincode, with integers of variable length.
//!
//! *Invariant:* this is the only module that names bincode, so replacing it touches one file.
//! *Invariant:* a body is parsed only after magic, CRC, length, kind and version were checked.
//! *Invariant:* a body takes memory for what it is, never for the lengths that it claims (`within`).

mod within;

use crate::AboveLevel;
use crate::levels::{self, Format, Rpc};
use ironcache_types::Level;
use serde::Serialize;
use serde::de::DeserializeOwned;
use within::within;

/// The first bytes of every envelope.
pub const MAGIC: [u8; 4] = *b"ICRW";
/// Bytes before the body.
pub const HEADER_BYTES: usize = 20;
/// Where the CRC stands; it covers what is between the magic and here, and the body.
const CRC_AT: usize = 16;
/// The largest body that is written or read. Larger: a peer could make a node allocate that much.
/// Smaller: the snapshot of a cluster with thousands of shards would not fit. A peer port keeps room for one of these.
pub const BODY_BYTES_MAX: usize = 16 << 20;

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
    Snapshot = 14,
}

impl Kind {
    /// Whose row in the table has this kind's versions.
    pub fn format(self) -> Format {
        match self {
            Kind::AppendRequest | Kind::AppendResponse => Format::Rpc(Rpc::Append),
            Kind::VoteRequest | Kind::VoteResponse => Format::Rpc(Rpc::Vote),
            Kind::PreVoteRequest | Kind::PreVoteResponse => Format::Rpc(Rpc::PreVote),
            Kind::SnapshotRequest | Kind::SnapshotResponse => Format::Rpc(Rpc::Snapshot),
            Kind::TransferRequest | Kind::TransferResponse => Format::Rpc(Rpc::Transfer),
            Kind::ForwardRequest | Kind::ForwardResponse => Format::Rpc(Rpc::Forward),
            Kind::SnapshotFile => Format::SnapshotFile,
            Kind::Snapshot => Format::Snapshot,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{actual} bytes are too few for an envelope: its header alone has {HEADER_BYTES}")]
    TooShort { actual: usize },
    #[error("not an ironcache envelope: it starts with {found:02x?}, expected {MAGIC:02x?}")]
    Magic { found: [u8; 4] },
    #[error("the envelope carries kind {found}, expected {expected:?}")]
    Kind { expected: Kind, found: u16 },
    #[error(
        "{format} version {found}, written at level {level}, is not readable by this release (it reads {oldest} to \
         {newest}): run a release that admits level {level}"
    )]
    Version { format: Format, found: u16, level: Level, oldest: u16, newest: u16 },
    #[error("the envelope has the unknown flags {found:#06x}: a newer release wrote it, run that one")]
    Flags { found: u16 },
    #[error("the envelope declares a body of {declared} bytes, but {actual} follow")]
    Length { declared: usize, actual: usize },
    #[error("the body has {bytes} bytes, more than the limit of {BODY_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("the checksum is {found:08x}, the content has {computed:08x}: the bytes were altered")]
    Checksum { found: u32, computed: u32 },
    #[error("the body is not readable as {what}")]
    Body { what: &'static str, source: bincode::error::DecodeError },
    #[error("{left} bytes are left after the {what}")]
    Trailing { what: &'static str, left: usize },
    #[error("the {what} cannot be encoded")]
    Encode { what: &'static str, source: bincode::error::EncodeError },
    #[error(transparent)]
    AboveLevel(#[from] AboveLevel),
}

/// What an envelope says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub version: u16,
    /// The writer's.
    pub level: Level,
}

impl Header {
    /// The header of what is written at `level`.
    ///
    /// # Errors
    /// This kind does not exist at the level, or this build does not admit it.
    pub fn at(kind: Kind, level: Level) -> Result<Header, AboveLevel> {
        let format = kind.format();
        let version = levels::version_at(format, level)
            .ok_or_else(|| AboveLevel { what: format!("the {format}"), level })?;
        Ok(Header { kind, version, level })
    }
}

/// Wraps a body of `header.version` in an envelope.
///
/// # Errors
/// The body is too large, or not encodable.
pub fn seal<T: Serialize>(header: Header, body: &T) -> Result<Vec<u8>, WireError> {
    let Header { kind, version, level } = header;
    let body = encode(body)?;
    let len = u32::try_from(body.len()).expect("encode checked the size limit, which fits 32 bits");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&MAGIC);
    for field in [version, kind as u16, level.0, 0] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(&len.to_le_bytes());
    let crc = checksum(&bytes[MAGIC.len()..], &body);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// An envelope that was checked; its body is still bytes.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    pub version: u16,
    pub level: Level,
    body: &'a [u8],
}

impl Opened<'_> {
    /// Parses the body, all of it. The caller has looked at `version`.
    ///
    /// # Errors
    /// The body is no `T`, or longer than one.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        decode(self.body)
    }
}

/// The level that an envelope was written at, whatever its version and kind: what a release looks at first.
///
/// # Errors
/// The bytes are no envelope, or were altered.
pub fn level_of(bytes: &[u8]) -> Result<Level, WireError> {
    check(bytes).map(|(header, _)| Level(u16_at(header, 8)))
}

/// Checks everything about an envelope but its body.
///
/// # Errors
/// What is not as it should be; [`WireError::Version`] if another release wrote it.
pub fn open(kind: Kind, bytes: &[u8]) -> Result<Opened<'_>, WireError> {
    let (header, body) = check(bytes)?;
    let found = u16_at(header, 6);
    if found != kind as u16 {
        return Err(WireError::Kind { expected: kind, found });
    }
    let (version, level, flags) = (u16_at(header, 4), Level(u16_at(header, 8)), u16_at(header, 10));
    let format = kind.format();
    let (oldest, newest) = levels::versions_read(format).unwrap_or_default();
    if !(oldest..=newest).contains(&version) {
        return Err(WireError::Version { format, found: version, level, oldest, newest });
    }
    if flags != 0 {
        return Err(WireError::Flags { found: flags });
    }
    Ok(Opened { version, level, body })
}

/// Splits sound bytes into header and body.
fn check(bytes: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(WireError::TooShort { actual: bytes.len() });
    };
    let magic = [header[0], header[1], header[2], header[3]];
    if magic != MAGIC {
        return Err(WireError::Magic { found: magic });
    }
    let declared = u32_at(header, 12) as usize;
    if declared != body.len() {
        return Err(WireError::Length { declared, actual: body.len() });
    }
    let found = u32_at(header, CRC_AT);
    let computed = checksum(&header[MAGIC.len()..CRC_AT], body);
    if found != computed {
        return Err(WireError::Checksum { found, computed });
    }
    Ok((header, body))
}

/// A body without its envelope: for records that have a frame of their own.
///
/// # Errors
/// The value is too large, or not encodable.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let what = std::any::type_name::<T>();
    let bytes = bincode::serde::encode_to_vec(value, config())
        .map_err(|source| WireError::Encode { what, source })?;
    if bytes.len() > BODY_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// The reverse of [`encode`]: all of `bytes` is one `T`.
///
/// # Errors
/// The bytes are no `T`, or more than one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let what = std::any::type_name::<T>();
    if bytes.len() > BODY_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: bytes.len() });
    }
    let (value, used) = bincode::serde::seed_decode_from_slice(within::<T>(), bytes, config())
        .map_err(|source| WireError::Body { what, source })?;
    if used != bytes.len() {
        return Err(WireError::Trailing { what, left: bytes.len() - used });
    }
    Ok(value)
}

/// Without bincode's own limit: that one counts a number as eight bytes also where it is one, and so refuses to read what
/// it has written.
fn config() -> impl bincode::config::Config {
    bincode::config::standard()
}

pub(crate) fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(body);
    crc.finalize()
}

/// The caller has checked that the bytes are there; so for the two below.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
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

    fn sealed(version: u16) -> Vec<u8> {
        let header = Header { kind: Kind::AppendRequest, version, level: Level(3) };
        seal(header, &(7_u64, "seven".to_owned())).unwrap()
    }

    fn opened(kind: Kind, bytes: &[u8]) -> Result<Body, WireError> {
        open(kind, bytes)?.body()
    }

    #[test]
    fn what_is_sealed_opens() {
        let bytes = sealed(1);
        assert_eq!(opened(Kind::AppendRequest, &bytes).unwrap(), (7, "seven".to_owned()));
        assert_eq!(open(Kind::AppendRequest, &bytes).unwrap().level, Level(3));
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let good = sealed(1);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(opened(Kind::AppendRequest, &bad).is_err(), "byte {at}");
            assert!(level_of(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn every_shortened_or_longer_envelope_is_refused() {
        let good = sealed(1);
        for len in 0..good.len() {
            assert!(opened(Kind::AppendRequest, &good[..len]).is_err(), "length {len}");
        }
        let longer = [good, vec![0]].concat();
        assert!(matches!(opened(Kind::AppendRequest, &longer), Err(WireError::Length { .. })));
    }

    #[test]
    fn another_kind_and_a_newer_version_are_named_and_the_level_is_still_read() {
        let error = opened(Kind::VoteRequest, &sealed(1)).unwrap_err();
        assert!(matches!(error, WireError::Kind { expected: Kind::VoteRequest, found: 1 }), "{error}");
        let newer = sealed(9);
        let error = opened(Kind::AppendRequest, &newer).unwrap_err();
        assert!(matches!(error, WireError::Version { found: 9, level: Level(3), .. }), "{error}");
        assert_eq!(level_of(&newer).unwrap(), Level(3));
    }

    #[test]
    fn a_flag_that_this_release_does_not_know_is_refused() {
        let mut bytes = sealed(1);
        bytes[10] = 1;
        let crc = checksum(&bytes[MAGIC.len()..CRC_AT], &bytes[HEADER_BYTES..]);
        bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(opened(Kind::AppendRequest, &bytes), Err(WireError::Flags { found: 1 })));
    }

    #[test]
    fn nothing_is_sealed_above_the_levels_of_this_build() {
        let above = levels::RANGE.max.next();
        assert_eq!(Header::at(Kind::Snapshot, above).unwrap_err().level, above);
    }

    #[test]
    fn a_huge_declared_length_inside_the_body_is_refused() {
        // A text that claims 2^60 bytes: that it is not there is found before memory is taken for it.
        let mut body = vec![7_u8, 253];
        body.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(matches!(decode::<Body>(&body), Err(WireError::Body { .. })));
    }

    #[test]
    fn what_can_be_written_can_be_read() {
        // As few bytes as numbers: counted by what they are in memory, they would be more than a body may have.
        let numbers = vec![7_u64; BODY_BYTES_MAX / 4];
        assert!(decode::<Vec<u64>>(&encode(&numbers).unwrap()).unwrap() == numbers);
    }

    #[test]
    fn everything_that_a_body_is_made_of_is_read_as_it_was_written() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        enum Word {
            Unit,
            One(String),
            Two(u8, i64),
            Named { text: Option<String>, flag: bool },
        }
        let maps =
            std::collections::BTreeMap::from([("a".to_owned(), vec![1_u16, 300]), (String::new(), vec![])]);
        let words = vec![
            Word::Unit,
            Word::One("one".to_owned()),
            Word::Two(2, -2),
            Word::Named { text: Some("ü".to_owned()), flag: true },
            Word::Named { text: None, flag: false },
        ];
        let body = (maps, words, [Some(1_u128 << 100), None], 'x', 0.5_f64);
        let read =
            decode::<(std::collections::BTreeMap<String, Vec<u16>>, Vec<Word>, [Option<u128>; 2], char, f64)>;
        assert_eq!(read(&encode(&body).unwrap()).unwrap(), body);
    }
}
