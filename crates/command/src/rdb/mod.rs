//! Values as Redis' `DUMP` writes them, and `RESTORE` reads them. Source: `rdb.c`, `listpack.c`, `ziplist.c` and `intset.c` of
//! redis 7.
//!
//! ```text
//!   type · value · version, 2 bytes · CRC-64 (Jones) of all before it, 8 bytes; both little-endian
//! ```
//! Written are the plain forms, which every server since 2.6 reads; read are also the compact ones.
//!
//! *Invariant:* any bytes give a value or a [`RestoreError`]; what is reserved is what has come, never what is claimed.

#[cfg(test)]
mod fuzz;
mod libraries;
mod packed;
mod read;
mod stream;
mod write;

pub use libraries::{LibrariesError, read_libraries, write_libraries};
pub(crate) use read::read;
pub(crate) use write::write;

/// Of redis 7.0; payloads of a later one may hold what we do not know.
const VERSION: u16 = 10;
const FOOTER_BYTES: usize = 10;

mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ZSET_TEXT: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET: u8 = 5;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const ZSET_LISTPACK: u8 = 17;
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
    pub(super) const FUNCTION: u8 = 245;
}

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestoreError {
    /// Altered, cut, or of a later version.
    Footer,
    /// Sound, and no value that we have.
    Value,
}

/// CRC-64 (Jones), from 0.
fn crc64(bytes: &[u8]) -> u64 {
    const REFLECTED: u64 = 0x95ac_9329_ac4b_c9b5;
    const TABLE: [u64; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut crc, mut bit) = (i as u64, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ REFLECTED } else { crc >> 1 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    bytes.chunks(1 << 16).fold(0, |crc, chunk| {
        ironcache_keyspace::progress::tick();
        chunk.iter().fold(crc, |crc: u64, byte| TABLE[((crc ^ u64::from(*byte)) & 0xff) as usize] ^ crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_redis() {
        assert_eq!(super::crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }
}
