//! One binary on its way in: bytes from a peer, in order, resumable, and checked before they count.
//!
//! *Invariant:* nothing received becomes a slot unless its length, its sha256 and the version it
//! states are those that were announced; what fails that is deleted, so a retry starts clean.

use crate::binary::{self, Artifact};
use crate::slot_store::SlotStore;
use ironcache_store::disk::{self, File};
use ironcache_store::{DiskError, at};
use ironcache_types::{BinaryError, Digest, MAX_ARTIFACT_BYTES, Release, Version};
use std::fs::TryLockError;
use std::io::Seek;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

/// A file in `staged/` that grows to `size_bytes`. Dropping it keeps what was received.
#[derive(Debug)]
pub struct PartialArtifact {
    store: SlotStore,
    release: Release,
    size_bytes: u64,
    received_bytes: u64,
    path: PathBuf,
    file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("an artifact of {size_bytes} bytes is refused: 1 to {MAX_ARTIFACT_BYTES} bytes are accepted")]
    Size { size_bytes: u64 },
    #[error("{} is already being received on this node", digest.short())]
    Busy { digest: Digest },
    #[error("bytes for position {at} came while {expected} was awaited: resume there")]
    OutOfOrder { at: u64, expected: u64 },
    #[error("the artifact was announced with {size_bytes} bytes, and more came: it was deleted")]
    TooLong { size_bytes: u64 },
    #[error("only {received_bytes} of {size_bytes} bytes have come: resume at {received_bytes}")]
    Truncated { received_bytes: u64, size_bytes: u64 },
    #[error("the artifact's sha256 is {found}, and {expected} was announced: it was deleted, fetch it again")]
    WrongDigest { expected: Digest, found: Digest },
    #[error("the artifact states version {found}, and {expected} was announced: it was deleted")]
    WrongVersion { expected: Version, found: Version },
    #[error("{} is no release", path.display())]
    NoRelease { path: PathBuf, source: BinaryError },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl PartialArtifact {
    pub(crate) fn begin(store: SlotStore, release: &Release, size_bytes: u64) -> Result<Self, ArtifactError> {
        if size_bytes == 0 || size_bytes > MAX_ARTIFACT_BYTES {
            return Err(ArtifactError::Size { size_bytes });
        }
        let (path, file) = store.open_part(&release.digest)?;
        match disk::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ArtifactError::Busy { digest: release.digest }),
            Err(TryLockError::Error(source)) => return Err(at("lock", &path)(source).into()),
        }
        let metadata = file.metadata().map_err(at("read", &path))?;
        // The file may have become a slot between open and lock: then it is not ours to write to.
        if !disk::metadata(&path).is_ok_and(|named| named.ino() == metadata.ino()) {
            return Err(ArtifactError::Busy { digest: release.digest });
        }
        let mut received_bytes = metadata.len();
        if received_bytes > size_bytes {
            file.set_len(0).map_err(at("truncate", &path))?;
            received_bytes = 0;
        }
        Ok(PartialArtifact { store, release: release.clone(), size_bytes, received_bytes, path, file })
    }

    /// How many bytes are here: the position to ask the peer for.
    pub fn resume_at(&self) -> u64 {
        self.received_bytes
    }

    /// Appends `bytes`, which belong at position `at`.
    pub fn write(&mut self, at_byte: u64, bytes: &[u8]) -> Result<(), ArtifactError> {
        if at_byte != self.received_bytes {
            return Err(ArtifactError::OutOfOrder { at: at_byte, expected: self.received_bytes });
        }
        let end = at_byte.saturating_add(bytes.len() as u64);
        if end > self.size_bytes {
            self.discard()?;
            return Err(ArtifactError::TooLong { size_bytes: self.size_bytes });
        }
        if let Err(error) = self.file.write_all_at(bytes, at_byte) {
            // On a full disk what came so far would keep the node itself from writing.
            let failed = at("write", &self.path)(error);
            self.discard()?;
            return Err(failed.into());
        }
        self.received_bytes = end;
        Ok(())
    }

    /// Checks what came, and moves it into its slot. A truncated artifact stays, to be resumed; an
    /// altered one is deleted.
    pub fn finish(mut self) -> Result<Artifact, ArtifactError> {
        let Release { version: expected_version, digest: expected } = self.release.clone();
        if self.received_bytes < self.size_bytes {
            return Err(ArtifactError::Truncated {
                received_bytes: self.received_bytes,
                size_bytes: self.size_bytes,
            });
        }
        self.file.rewind().map_err(at("read", &self.path))?;
        let inspected = binary::inspect(&mut self.file).map_err(at("read", &self.path))?;
        let refused = if inspected.digest != expected {
            ArtifactError::WrongDigest { expected, found: inspected.digest }
        } else {
            match inspected.artifact() {
                Ok(artifact) if artifact.release.version == expected_version => {
                    self.store.commit(&self.file, &self.path, &expected)?;
                    return Ok(artifact);
                }
                Ok(artifact) => {
                    let found = artifact.release.version;
                    ArtifactError::WrongVersion { expected: expected_version, found }
                }
                Err(source) => ArtifactError::NoRelease { path: self.path.clone(), source },
            }
        };
        self.discard()?;
        Err(refused)
    }

    fn discard(&mut self) -> Result<(), DiskError> {
        self.received_bytes = 0;
        self.file.set_len(0).map_err(at("truncate", &self.path))?;
        disk::remove_file(&self.path).map_err(at("remove", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::testing::stamped;
    use crate::data_dir::DataDir;

    struct Fixture {
        _temp: tempfile::TempDir,
        store: SlotStore,
        bytes: Vec<u8>,
        release: Release,
    }

    impl Fixture {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let store = SlotStore::open(&DataDir::new(temp.path())).unwrap();
            let mut bytes = vec![5; 5000];
            bytes.extend(stamped("2.0.0"));
            let (digest, _) = binary::digest_of(&mut &bytes[..]).unwrap();
            Fixture { _temp: temp, store, bytes, release: Release { version: Version::new(2, 0, 0), digest } }
        }

        fn begin(&self) -> PartialArtifact {
            self.store.begin(&self.release, self.bytes.len() as u64).unwrap()
        }

        fn assert_nothing_is_kept(&self) {
            assert_eq!(self.begin().resume_at(), 0);
            assert!(self.store.list().unwrap().is_empty());
        }
    }

    #[test]
    fn an_artifact_resumes_where_it_broke_off() {
        let fixture = Fixture::new();
        fixture.begin().write(0, &fixture.bytes[..1234]).unwrap();
        let mut artifact = fixture.begin();
        assert_eq!(artifact.resume_at(), 1234);
        assert!(matches!(
            artifact.write(0, b"again"),
            Err(ArtifactError::OutOfOrder { at: 0, expected: 1234 })
        ));
        artifact.write(1234, &fixture.bytes[1234..]).unwrap();
        assert_eq!(artifact.finish().unwrap().release, fixture.release);
        assert_eq!(fixture.store.verified().unwrap(), std::slice::from_ref(&fixture.release));
    }

    #[test]
    fn a_truncated_artifact_is_no_slot_and_may_resume() {
        let fixture = Fixture::new();
        let mut artifact = fixture.begin();
        artifact.write(0, &fixture.bytes[..10]).unwrap();
        assert!(matches!(artifact.finish(), Err(ArtifactError::Truncated { received_bytes: 10, .. })));
        assert!(fixture.store.list().unwrap().is_empty());
        assert_eq!(fixture.begin().resume_at(), 10);
    }

    #[test]
    fn an_altered_artifact_is_deleted() {
        let mut fixture = Fixture::new();
        fixture.bytes[77] ^= 1;
        let mut artifact = fixture.begin();
        artifact.write(0, &fixture.bytes).unwrap();
        assert!(matches!(artifact.finish(), Err(ArtifactError::WrongDigest { .. })));
        fixture.assert_nothing_is_kept();
    }

    #[test]
    fn an_artifact_of_another_version_is_deleted() {
        let mut fixture = Fixture::new();
        fixture.release.version = Version::new(2, 0, 1);
        let mut artifact = fixture.begin();
        artifact.write(0, &fixture.bytes).unwrap();
        assert!(matches!(artifact.finish(), Err(ArtifactError::WrongVersion { .. })));
        fixture.assert_nothing_is_kept();
    }

    #[test]
    fn more_bytes_than_announced_are_refused() {
        let fixture = Fixture::new();
        let mut artifact = fixture.begin();
        let longer = vec![0; fixture.bytes.len() + 1];
        assert!(matches!(artifact.write(0, &longer), Err(ArtifactError::TooLong { .. })));
        drop(artifact);
        fixture.assert_nothing_is_kept();
    }

    #[test]
    fn an_absurd_size_is_refused() {
        let fixture = Fixture::new();
        for size_bytes in [0, MAX_ARTIFACT_BYTES + 1] {
            assert!(matches!(
                fixture.store.begin(&fixture.release, size_bytes),
                Err(ArtifactError::Size { .. })
            ));
        }
    }

    #[test]
    fn one_artifact_is_received_once_at_a_time() {
        let fixture = Fixture::new();
        let _first = fixture.begin();
        let second = fixture.store.begin(&fixture.release, fixture.bytes.len() as u64);
        assert!(matches!(second, Err(ArtifactError::Busy { .. })));
    }
}
