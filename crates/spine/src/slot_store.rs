//! The verified binaries of one node, each in a slot named by its sha256.
//!
//! *Invariant:* a binary enters a slot by rename, after its bytes were hashed and are durable.
//! *Invariant:* a slot's name is never believed: [`SlotStore::open_verified`] hashes what it opened,
//! and the caller executes that descriptor, so nothing can be exchanged in between.
//! [`SlotStore::open_unchanged`] spares the hashing of the very file that this process has hashed before.

use crate::artifact::{ArtifactError, PartialArtifact};
use crate::binary::{self, Artifact, copy_inspected};
use crate::data_dir::DataDir;
use ironcache_store::disk::{self, File, OpenOptions};
use ironcache_store::{DiskError, at, sync_dir};
use ironcache_types::{BinaryError, Digest, Release};
use std::collections::BTreeMap;
use std::io::{self, Seek};
#[cfg(not(turmoil))]
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The slots of one data directory. Launcher and daemon each open it: the daemon brings binaries
/// in, the launcher runs them.
#[derive(Clone, Debug)]
pub struct SlotStore {
    dir: DataDir,
    /// What this process has hashed, as it was then.
    hashed: Arc<Mutex<BTreeMap<Digest, Identity>>>,
}

/// Which file it is, and when it or its name was last changed: any write gives another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size_bytes: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Identity {
            device: meta.dev(),
            inode: meta.ino(),
            size_bytes: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// An open binary whose bytes were hashed through this descriptor.
#[derive(Debug)]
pub struct VerifiedBinary {
    pub file: File,
    pub digest: Digest,
    pub size_bytes: u64,
}

#[cfg(not(turmoil))]
impl AsFd for VerifiedBinary {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error("no slot holds {}: stage that release on this node first", digest.short())]
    Missing { digest: Digest },
    #[error("the binary in {} was altered: its sha256 is {found}. Remove the slot and stage the release again", path.display())]
    Altered { path: PathBuf, found: Digest },
    #[error("the binary in {} is no release", path.display())]
    NoRelease { path: PathBuf, source: BinaryError },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl SlotStore {
    /// Opens the store, making its directories if they are missing. What is found in it is durable: a process that died
    /// in the middle of a commit may have left a slot that a power cut would take back, and `state` may
    /// come to name it.
    pub fn open(dir: &DataDir) -> Result<Self, DiskError> {
        dir.create()?;
        let store = SlotStore::of(dir);
        for digest in store.list()? {
            sync_dir(&dir.slot(&digest))?;
        }
        sync_dir(&dir.slots())?;
        Ok(store)
    }

    /// The store of a directory that is as it should be, or else has no slots.
    pub(crate) fn of(dir: &DataDir) -> Self {
        SlotStore { dir: dir.clone(), hashed: Arc::default() }
    }

    /// Copies the executable at `path` into a slot. `path` may be `/proc/self/exe`.
    pub fn install_file(&self, path: &Path) -> Result<Artifact, ArtifactError> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("{COPY_PREFIX}{}-{}.part", disk::process_id(), COPIES.fetch_add(1, Ordering::Relaxed));
        let part = self.dir.staged().join(name);
        let installed = self.copy_in(path, &part);
        if installed.is_err() {
            // A copy that cannot be removed now is removed at the launcher's next start.
            let _ = disk::remove_file(&part);
        }
        installed
    }

    fn copy_in(&self, path: &Path, part: &Path) -> Result<Artifact, ArtifactError> {
        let mut from = File::open(path).map_err(at("open", path))?;
        let mut to = File::create(part).map_err(at("create", part))?;
        let inspected = copy_inspected(&mut from, &mut to).map_err(at("copy", path))?;
        let artifact = inspected
            .artifact()
            .map_err(|source| ArtifactError::NoRelease { path: path.to_owned(), source })?;
        self.commit(&to, part, &artifact.release.digest)?;
        Ok(artifact)
    }

    /// Starts or resumes receiving the binary of `release`, `size_bytes` long.
    pub fn begin(&self, release: &Release, size_bytes: u64) -> Result<PartialArtifact, ArtifactError> {
        PartialArtifact::begin(self.clone(), release, size_bytes)
    }

    /// Opens the binary of a slot and hashes what was opened.
    pub fn open_verified(&self, digest: &Digest) -> Result<VerifiedBinary, SlotError> {
        let (path, mut file) = self.open_slot(digest)?;
        let identity = Identity::of(&file).map_err(at("read", &path))?;
        let (found, size_bytes) = binary::digest_of(&mut file).map_err(at("read", &path))?;
        let binary = verified(&path, file, digest, found, size_bytes)?;
        self.remember(*digest, identity);
        Ok(binary)
    }

    /// Opens the binary of a slot; hashed only if it is not, unchanged, the file that this process hashed before. For an
    /// unstarted process that answers a question: what is to run is hashed anew by whoever runs it.
    pub fn open_unchanged(&self, digest: &Digest) -> Result<VerifiedBinary, SlotError> {
        let (path, file) = self.open_slot(digest)?;
        let identity = Identity::of(&file).map_err(at("read", &path))?;
        let known = self.hashed.lock().unwrap_or_else(PoisonError::into_inner).get(digest) == Some(&identity);
        if known {
            return Ok(VerifiedBinary { file, digest: *digest, size_bytes: identity.size_bytes });
        }
        self.open_verified(digest)
    }

    fn remember(&self, digest: Digest, identity: Identity) {
        self.hashed.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, identity);
    }

    /// What is in a slot, if its bytes are what its name says, and the open binary.
    pub fn artifact(&self, digest: &Digest) -> Result<(Artifact, VerifiedBinary), SlotError> {
        let (path, mut file) = self.open_slot(digest)?;
        let inspected = binary::inspect(&mut file).map_err(at("read", &path))?;
        let size_bytes = inspected.size_bytes;
        let binary = verified(&path, file, digest, inspected.digest, size_bytes)?;
        match inspected.artifact() {
            Ok(artifact) => Ok((artifact, binary)),
            Err(source) => Err(SlotError::NoRelease { path, source }),
        }
    }

    fn open_slot(&self, digest: &Digest) -> Result<(PathBuf, File), SlotError> {
        let path = self.dir.binary(digest);
        match File::open(&path) {
            Ok(file) => Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(SlotError::Missing { digest: *digest })
            }
            Err(error) => Err(at("open", &path)(error).into()),
        }
    }

    /// The digests that slots are named by; nothing is verified.
    pub fn list(&self) -> Result<Vec<Digest>, DiskError> {
        let slots = self.dir.slots();
        let mut digests = Vec::new();
        for entry in disk::read_dir(&slots).map_err(at("list", &slots))? {
            let entry = entry.map_err(at("list", &slots))?;
            if let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                digests.push(digest);
            }
        }
        digests.sort();
        Ok(digests)
    }

    /// The releases whose slots hold what their names say.
    pub fn verified(&self) -> Result<Vec<Release>, DiskError> {
        let mut releases = Vec::new();
        for digest in self.list()? {
            match self.artifact(&digest) {
                Ok((artifact, _)) => releases.push(artifact.release),
                Err(SlotError::Disk(error)) => return Err(error),
                Err(
                    error @ (SlotError::Missing { .. }
                    | SlotError::Altered { .. }
                    | SlotError::NoRelease { .. }),
                ) => {
                    tracing::warn!(%error, "slot passed over");
                }
            }
        }
        Ok(releases)
    }

    /// Removes every slot that `keep` does not name, and returns what was removed. Keep the active
    /// release, the rollback release, a release on trial, and those that the log says are staged:
    /// `ironcache_agent::kept_slots` says which, and when.
    pub fn collect_garbage(&self, keep: &[Digest]) -> Result<Vec<Digest>, DiskError> {
        let mut removed = self.list()?;
        removed.retain(|digest| !keep.contains(digest));
        for digest in &removed {
            self.remove(digest)?;
        }
        Ok(removed)
    }

    /// Removes one slot; a process that runs its binary keeps running.
    fn remove(&self, digest: &Digest) -> Result<(), DiskError> {
        let slot = self.dir.slot(digest);
        match disk::remove_dir_all(&slot) {
            Ok(()) => sync_dir(&self.dir.slots()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at("remove", &slot)(error)),
        }
    }

    /// Removes copies that a killed process left half made. Only while nobody else uses the store.
    pub(crate) fn remove_abandoned_copies(&self) -> Result<(), DiskError> {
        let staged = self.dir.staged();
        for entry in disk::read_dir(&staged).map_err(at("list", &staged))? {
            let entry = entry.map_err(at("list", &staged))?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(COPY_PREFIX)) {
                disk::remove_file(entry.path()).map_err(at("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    pub(crate) fn open_part(&self, digest: &Digest) -> Result<(PathBuf, File), DiskError> {
        let path = self.dir.part(digest);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(at("open", &path))?;
        Ok((path, file))
    }

    /// Moves a checked file into its slot: executable, durable, and then visible.
    pub(crate) fn commit(&self, file: &File, part: &Path, digest: &Digest) -> Result<(), DiskError> {
        let (slot, binary) = (self.dir.slot(digest), self.dir.binary(digest));
        disk::make_executable(file).map_err(at("make executable", part))?;
        file.sync_all().map_err(at("fsync", part))?;
        disk::create_dir_all(&slot).map_err(at("make the directory", &slot))?;
        disk::rename(part, &binary).map_err(at("move into its slot", part))?;
        // Moving a file changes it too.
        self.remember(*digest, Identity::of(file).map_err(at("read", &binary))?);
        sync_dir(&slot)?;
        sync_dir(&self.dir.slots())
    }
}

/// What was read through `file`, if it is what was asked for, and the file at its start again.
fn verified(
    path: &Path,
    mut file: File,
    digest: &Digest,
    found: Digest,
    size_bytes: u64,
) -> Result<VerifiedBinary, SlotError> {
    if found != *digest {
        return Err(SlotError::Altered { path: path.to_owned(), found });
    }
    file.rewind().map_err(at("read", path))?;
    Ok(VerifiedBinary { file, digest: *digest, size_bytes })
}

const COPY_PREFIX: &str = "copy-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::testing::stamped;
    use ironcache_types::Version;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn store() -> (tempfile::TempDir, SlotStore) {
        let temp = tempfile::tempdir().unwrap();
        let store = SlotStore::open(&DataDir::new(temp.path().join("data"))).unwrap();
        (temp, store)
    }

    fn executable(temp: &tempfile::TempDir, version: &str) -> PathBuf {
        let path = temp.path().join(version);
        let mut bytes = vec![3; 1000];
        bytes.extend(stamped(version));
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn an_installed_file_is_found_by_its_digest_and_is_executable() {
        let (temp, store) = store();
        let release = store.install_file(&executable(&temp, "1.0.0")).unwrap().release;
        assert_eq!(release.version, Version::new(1, 0, 0));
        let (read, binary) = store.artifact(&release.digest).unwrap();
        assert_eq!(read.release, release);
        assert_eq!(binary.file.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(store.verified().unwrap(), [release]);
    }

    #[test]
    fn a_file_without_a_stamp_is_refused_and_leaves_nothing() {
        let (temp, store) = store();
        let path = temp.path().join("script");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let error = store.install_file(&path).unwrap_err();
        assert!(matches!(error, ArtifactError::NoRelease { .. }), "{error}");
        assert_eq!(fs::read_dir(store.dir.staged()).unwrap().count(), 0);
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn a_cut_executable_is_refused_and_leaves_nothing() {
        let (temp, store) = store();
        let path = temp.path().join("cut");
        let own = fs::read("/proc/self/exe").unwrap();
        // Most of it, as a download that broke off: the stamp of a release would be in it.
        fs::write(&path, &own[..own.len() - 100]).unwrap();
        let error = store.install_file(&path).unwrap_err();
        let ArtifactError::NoRelease { source: BinaryError::Cut { present_bytes, .. }, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(present_bytes, own.len() as u64 - 100);
        assert_eq!(fs::read_dir(store.dir.staged()).unwrap().count(), 0);
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn an_altered_binary_is_refused() {
        let (temp, store) = store();
        let release = store.install_file(&executable(&temp, "1.0.0")).unwrap().release;
        let path = store.dir.binary(&release.digest);
        let mut bytes = fs::read(&path).unwrap();
        bytes[10] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(store.open_verified(&release.digest), Err(SlotError::Altered { .. })));
        assert!(store.verified().unwrap().is_empty());
    }

    #[test]
    fn a_file_that_was_hashed_is_hashed_again_only_if_it_changed() {
        let (temp, store) = store();
        let digest = store.install_file(&executable(&temp, "1.0.0")).unwrap().release.digest;
        let path = store.dir.binary(&digest);
        let known = *store.hashed.lock().unwrap().get(&digest).unwrap();
        assert_eq!(Identity::of(&store.open_unchanged(&digest).unwrap().file).unwrap(), known);
        // The clock of a file system may stand still for some milliseconds.
        let mut bytes = fs::read(&path).unwrap();
        bytes[10] ^= 1;
        while Identity::of(&File::open(&path).unwrap()).unwrap() == known {
            fs::write(&path, &bytes).unwrap();
        }
        assert!(matches!(store.open_unchanged(&digest), Err(SlotError::Altered { .. })));
        // Another process has hashed nothing.
        assert!(matches!(SlotStore::of(&store.dir).open_unchanged(&digest), Err(SlotError::Altered { .. })));
    }

    #[test]
    fn an_empty_slot_of_a_killed_install_is_no_binary() {
        let (_temp, store) = store();
        let digest = Digest([7; 32]);
        fs::create_dir_all(store.dir.slot(&digest)).unwrap();
        assert!(matches!(store.open_verified(&digest), Err(SlotError::Missing { .. })));
        assert!(store.verified().unwrap().is_empty());
    }

    #[test]
    fn garbage_is_what_nobody_keeps() {
        let (temp, store) = store();
        let releases: Vec<_> = ["1.0.0", "1.1.0", "1.2.0"]
            .map(|v| store.install_file(&executable(&temp, v)).unwrap().release)
            .into();
        let keep = [releases[0].digest, releases[2].digest];
        assert_eq!(store.collect_garbage(&keep).unwrap(), [releases[1].digest]);
        let mut left = store.list().unwrap();
        left.sort();
        let mut kept = keep;
        kept.sort();
        assert_eq!(left, kept);
    }

    #[test]
    fn copies_left_by_a_killed_process_are_removed() {
        let (_temp, store) = store();
        fs::write(store.dir.staged().join("copy-1-0.part"), "half").unwrap();
        store.remove_abandoned_copies().unwrap();
        assert_eq!(fs::read_dir(store.dir.staged()).unwrap().count(), 0);
    }
}
