//! Reads an executable once: its digest, its size and its version stamp.
//!
//! *Invariant:* memory does not grow with the file.

use ironcache_types::{Digest, STAMP_LEN, Stamp, StampError, Version};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};

/// What one pass over an executable tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    pub digest: Digest,
    pub size_bytes: u64,
    /// The version that the binary states from inside.
    pub version: Result<Version, StampError>,
}

/// Reads `from` to its end.
pub fn inspect(from: &mut impl Read) -> io::Result<Inspected> {
    copy_inspected(from, &mut io::sink())
}

/// Copies `from` to `to`, and tells what passed.
pub(crate) fn copy_inspected(from: &mut impl Read, to: &mut impl Write) -> io::Result<Inspected> {
    let mut hash = Sha256::new();
    let mut scanner = StampScanner::default();
    let size_bytes = each_chunk(from, |chunk| {
        hash.update(chunk);
        scanner.feed(chunk);
        to.write_all(chunk)
    })?;
    Ok(Inspected { digest: Digest(hash.finalize().into()), size_bytes, version: scanner.finish() })
}

/// Only the digest: what every start of a binary pays, so nothing else is looked for.
pub(crate) fn digest_of(from: &mut impl Read) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let size_bytes = each_chunk(from, |chunk| {
        hash.update(chunk);
        Ok(())
    })?;
    Ok((Digest(hash.finalize().into()), size_bytes))
}

fn each_chunk(from: &mut impl Read, mut act: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    // Larger gains nothing over the page cache; smaller costs system calls.
    let mut buffer = vec![0; 256 * 1024];
    let mut size_bytes = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(size_bytes),
            Ok(n) => {
                size_bytes += n as u64;
                act(&buffer[..n])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Finds the stamp in a stream of chunks.
#[derive(Default)]
struct StampScanner {
    window: Vec<u8>,
    found: Option<Stamp>,
    count: usize,
}

impl StampScanner {
    fn feed(&mut self, chunk: &[u8]) {
        self.window.extend_from_slice(chunk);
        match Stamp::find(&self.window) {
            Ok(at) => {
                let mut block = [0; STAMP_LEN];
                block.copy_from_slice(&self.window[at..at + STAMP_LEN]);
                self.found = Some(Stamp(block));
                self.count += 1;
            }
            Err(StampError::Several { count }) => self.count += count,
            Err(StampError::Missing | StampError::Unreadable | StampError::TooLong { .. }) => {}
        }
        // One byte less than a stamp: what is carried over holds no whole stamp, so none counts twice.
        let carried = self.window.len().min(STAMP_LEN - 1);
        self.window.drain(..self.window.len() - carried);
    }

    fn finish(self) -> Result<Version, StampError> {
        match (self.count, self.found) {
            (1, Some(stamp)) => stamp.version(),
            (0, _) | (1, None) => Err(StampError::Missing),
            (count, _) => Err(StampError::Several { count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out at most `step` bytes a read.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(buffer.len()).min(self.0.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn binary(stamps: &[&str]) -> Vec<u8> {
        let mut bytes = vec![1; 200];
        for stamp in stamps {
            bytes.extend(Stamp::of_build(stamp).0);
            bytes.extend([2; 150]);
        }
        bytes
    }

    #[test]
    fn a_stamp_is_found_wherever_a_chunk_ends() {
        let bytes = binary(&["1.2.3"]);
        for step in [1, 7, 63, 64, 65, 200, 1000] {
            let inspected = inspect(&mut Trickle(&bytes, step)).unwrap();
            assert_eq!(inspected.version, Ok(Version::new(1, 2, 3)), "chunks of {step}");
            assert_eq!(inspected.size_bytes, bytes.len() as u64);
            assert_eq!(inspected.digest, digest_of(&mut &bytes[..]).unwrap().0);
        }
    }

    #[test]
    fn two_stamps_are_refused_wherever_a_chunk_ends() {
        let bytes = binary(&["1.2.3", "1.2.4"]);
        for step in [1, 64, 1000] {
            let inspected = inspect(&mut Trickle(&bytes, step)).unwrap();
            assert_eq!(inspected.version, Err(StampError::Several { count: 2 }), "chunks of {step}");
        }
    }

    #[test]
    fn the_digest_is_sha256() {
        let (digest, size_bytes) = digest_of(&mut &b"abc"[..]).unwrap();
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(size_bytes, 3);
    }
}
