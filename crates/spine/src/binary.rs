//! Reads an executable once: its digest, its size and its manifest.
//!
//! *Invariant:* memory does not grow with the file.

use ironcache_types::{Digest, Manifest, Release, STAMP_LEN, Stamp, StampError};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};

/// A binary that was hashed, and says what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its version is the manifest's.
    pub release: Release,
    pub size_bytes: u64,
    pub manifest: Manifest,
}

/// What one pass over an executable tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    pub digest: Digest,
    pub size_bytes: u64,
    /// What the binary says of itself.
    pub manifest: Result<Manifest, StampError>,
}

impl Inspected {
    /// # Errors
    /// Why the binary cannot say what it is.
    pub fn artifact(self) -> Result<Artifact, StampError> {
        let Inspected { digest, size_bytes, manifest } = self;
        let manifest = manifest?;
        Ok(Artifact { release: Release { version: manifest.version.clone(), digest }, size_bytes, manifest })
    }
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
    Ok(Inspected { digest: Digest(hash.finalize().into()), size_bytes, manifest: scanner.finish() })
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
        for at in Stamp::positions(&self.window) {
            // One that goes on in the next chunk is carried over whole.
            if let Ok(stamp) = Stamp::at(&self.window[at..]) {
                self.found = Some(stamp);
                self.count += 1;
            }
        }
        // One byte less than a stamp: what is carried over holds no whole stamp, so none counts twice.
        let carried = self.window.len().min(STAMP_LEN - 1);
        self.window.drain(..self.window.len() - carried);
    }

    fn finish(self) -> Result<Manifest, StampError> {
        let cut = Stamp::positions(&self.window).first().copied();
        match (self.count, self.found, cut) {
            (1, Some(stamp), None) => stamp.manifest(),
            (0, _, Some(at)) => Err(StampError::Cut { present: self.window.len() - at }),
            (0, _, None) | (1, None, _) => Err(StampError::Missing),
            (count, _, cut) => Err(StampError::Several { count: count + usize::from(cut.is_some()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{manifest_of, stamped};
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
            bytes.extend(stamped(stamp));
            bytes.extend([2; 150]);
        }
        bytes
    }

    /// Around the length of a stamp the carrying over is at its edges.
    const STEPS: [usize; 7] = [1, 7, STAMP_LEN - 1, STAMP_LEN, STAMP_LEN + 1, 1500, 100_000];

    #[test]
    fn a_stamp_is_found_wherever_a_chunk_ends() {
        let bytes = binary(&["1.2.3"]);
        for step in STEPS {
            let inspected = inspect(&mut Trickle(&bytes, step)).unwrap();
            assert_eq!(inspected.manifest, Ok(manifest_of("1.2.3")), "chunks of {step}");
            assert_eq!(inspected.size_bytes, bytes.len() as u64);
            assert_eq!(inspected.digest, digest_of(&mut &bytes[..]).unwrap().0);
        }
    }

    #[test]
    fn two_stamps_are_refused_wherever_a_chunk_ends() {
        let bytes = binary(&["1.2.3", "1.2.4"]);
        for step in STEPS {
            let inspected = inspect(&mut Trickle(&bytes, step)).unwrap();
            assert_eq!(inspected.manifest, Err(StampError::Several { count: 2 }), "chunks of {step}");
        }
    }

    #[test]
    fn a_stamp_that_is_cut_off_is_no_stamp_wherever_a_chunk_ends() {
        let mut bytes = binary(&["1.2.3"]);
        bytes.truncate(200 + 500);
        let mut second = binary(&["1.2.3", "1.2.4"]);
        second.truncate(200 + STAMP_LEN + 150 + 500);
        for step in STEPS {
            let inspected = inspect(&mut Trickle(&bytes, step)).unwrap();
            assert_eq!(inspected.manifest, Err(StampError::Cut { present: 500 }), "chunks of {step}");
            let inspected = inspect(&mut Trickle(&second, step)).unwrap();
            assert_eq!(inspected.manifest, Err(StampError::Several { count: 2 }), "chunks of {step}");
        }
    }

    #[test]
    fn the_digest_is_sha256() {
        let (digest, size_bytes) = digest_of(&mut &b"abc"[..]).unwrap();
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(size_bytes, 3);
    }
}

/// Stamps for the tests of this crate.
#[cfg(test)]
pub(crate) mod testing {
    use ironcache_types::{LevelRange, Manifest, Stamp, WireRange};

    pub(crate) fn manifest_of(version: &str) -> Manifest {
        Manifest {
            version: version.parse().unwrap(),
            levels: LevelRange::new(1, 1),
            launcher_protocol: WireRange { min: 1, max: 1 },
            min_from: None,
            critical: Vec::new(),
        }
    }

    pub(crate) fn stamped(version: &str) -> Vec<u8> {
        Stamp::of(&manifest_of(version)).unwrap().0.to_vec()
    }
}
