//! Reads an executable once: its digest, its size and its manifest.
//!
//! *Invariant:* memory does not grow with the file.

use ironcache_types::{BinaryError, BinaryReader, Digest, Manifest, Release};
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
    pub manifest: Result<Manifest, BinaryError>,
}

impl Inspected {
    /// # Errors
    /// Why the file is no release.
    pub fn artifact(self) -> Result<Artifact, BinaryError> {
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
    let mut reader = BinaryReader::default();
    let size_bytes = each_chunk(from, |chunk| {
        hash.update(chunk);
        reader.feed(chunk);
        to.write_all(chunk)
    })?;
    Ok(Inspected { digest: Digest(hash.finalize().into()), size_bytes, manifest: reader.finish() })
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

#[cfg(test)]
mod tests {
    use super::testing::{manifest_of, stamped};
    use super::*;

    #[test]
    fn one_pass_tells_digest_size_and_manifest() {
        let bytes = [&[1; 300_000][..], &stamped("1.2.3"), &[2; 300_000]].concat();
        let mut copy = Vec::new();
        let inspected = copy_inspected(&mut &bytes[..], &mut copy).unwrap();
        assert_eq!(inspected.manifest, Ok(manifest_of("1.2.3")));
        assert_eq!((inspected.digest, inspected.size_bytes), digest_of(&mut &bytes[..]).unwrap());
        assert_eq!(copy, bytes);
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
