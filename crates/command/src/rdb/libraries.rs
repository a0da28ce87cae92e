//! Libraries of functions, as `FUNCTION DUMP` writes them.
//!
//! ```text
//!   for each library: 245 · its code, a string
//!   version, 2 bytes · CRC-64 of all before it, 8 bytes
//! ```

use super::packed::Bytes;
use super::read::{Reader, sound};
use super::write::{put_string, seal};
use super::{RestoreError, kind};

/// Of all that one payload holds: what the log of a cluster would take, and room for that to be refused by it.
const BYTES_MAX: usize = 4 << 20;
/// The same of their number.
const COUNT_MAX: usize = 4_096;

/// Why bytes are no libraries. `Display` is the reply, without its `ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibrariesError {
    /// Altered, cut, or of a later version.
    #[error("DUMP payload version or checksum are wrong")]
    Footer,
    #[error("given type is not a function")]
    Kind,
    #[error("failed loading the given functions payload")]
    Code,
    #[error("more than {COUNT_MAX} libraries, or {BYTES_MAX} bytes of code, at a time")]
    TooMuch,
}

/// The code of each library of a payload.
///
/// # Errors
/// [`LibrariesError`].
pub fn read_libraries(payload: &[u8]) -> Result<Vec<Vec<u8>>, LibrariesError> {
    let body = sound(payload).map_err(|_| LibrariesError::Footer)?;
    let mut reader = Reader(Bytes(body));
    let (mut libraries, mut bytes) = (Vec::new(), 0);
    while !reader.0.0.is_empty() {
        if reader.0.byte() != Ok(kind::FUNCTION) {
            return Err(LibrariesError::Kind);
        }
        let code = reader.string().map_err(|_: RestoreError| LibrariesError::Code)?;
        bytes += code.len();
        if libraries.len() == COUNT_MAX || bytes > BYTES_MAX {
            return Err(LibrariesError::TooMuch);
        }
        libraries.push(code.into_vec());
    }
    Ok(libraries)
}

/// The payload of these.
pub fn write_libraries<'a>(libraries: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for code in libraries {
        out.push(kind::FUNCTION);
        put_string(&mut out, code);
    }
    seal(out)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of redis-server 7.0.15: one library, whose code is compressed.
    pub(in crate::rdb) const OF_REDIS: &[u8] = b"\xf5\xc3@J@x\x1f#!lua name=a\x0aredis.register_func\x09tion(\"f\", \xe0\x00\x0d\x0e) return 1 end)\xe0\x115\x00g\xe0\x105\x01d)\x0a\x00$;A\x00t\xb8\x16T";
    /// The same of none.
    const EMPTY: &[u8] = b"\x0a\x00]\x9b\\@\x0f\x7f\xa2\xda";

    #[test]
    fn what_is_written_is_read_and_nothing_is_what_redis_writes_of_nothing() {
        assert_eq!(write_libraries([].into_iter()), EMPTY);
        assert_eq!(read_libraries(EMPTY), Ok(vec![]));
        let function = |name: &str| format!("redis.register_function(\"{name}\", function() return 1 end)");
        let code = format!("#!lua name=a\n{}\n{}", function("f"), function("g"));
        assert_eq!(read_libraries(OF_REDIS), Ok(vec![code.into_bytes()]));
        let libraries = [&b"#!lua name=a\n"[..], b"", b"12345", b"#!lua name=b\nx"];
        let payload = write_libraries(libraries.into_iter());
        assert_eq!(read_libraries(&payload), Ok(libraries.map(<[u8]>::to_vec).into()));
    }

    #[test]
    fn what_is_none_is_refused_in_the_words_of_redis() {
        for payload in [&b""[..], b"x", &EMPTY[1..]] {
            assert_eq!(read_libraries(payload), Err(LibrariesError::Footer));
        }
        let of = |body: &[u8]| read_libraries(&seal(body.to_vec()));
        assert_eq!(of(b"\x00\x01v"), Err(LibrariesError::Kind));
        assert_eq!(of(&[kind::FUNCTION, 9, b'x']), Err(LibrariesError::Code));
        assert_eq!(of(&[kind::FUNCTION, 0].repeat(COUNT_MAX)).map(|all| all.len()), Ok(COUNT_MAX));
        assert_eq!(of(&[kind::FUNCTION, 0].repeat(COUNT_MAX + 1)), Err(LibrariesError::TooMuch));
    }
}
