//! Where the spine keeps what, and the lock that makes a data directory one node's.
//!
//! ```text
//! <data_dir>/lock                     held by the launcher and its daemon, while either lives
//! <data_dir>/state                    which binary runs
//! <data_dir>/state.corrupt-<n>        a state that could not be read, set aside
//! <data_dir>/slots/<sha256>/ironcache one verified binary
//! <data_dir>/staged/<sha256>.part     one binary on its way in
//! ```

use ironcache_store::disk;
use ironcache_store::{DiskError, at, sync_dir, sync_parent};
use ironcache_types::Digest;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The paths of one node's data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        DataDir { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn slots(&self) -> PathBuf {
        self.root.join("slots")
    }

    pub(crate) fn staged(&self) -> PathBuf {
        self.root.join("staged")
    }

    pub(crate) fn slot(&self, digest: &Digest) -> PathBuf {
        self.slots().join(digest.to_string())
    }

    pub(crate) fn binary(&self, digest: &Digest) -> PathBuf {
        self.slot(digest).join("ironcache")
    }

    pub(crate) fn part(&self, digest: &Digest) -> PathBuf {
        self.staged().join(format!("{digest}.part"))
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Makes the directories that are missing.
    pub(crate) fn create(&self) -> Result<(), DiskError> {
        let is_new = !disk::exists(&self.root).map_err(at("look for", &self.root))?;
        for path in [self.root.clone(), self.slots(), self.staged()] {
            disk::create_dir_all(&path).map_err(at("make the directory", &path))?;
        }
        if is_new {
            sync_parent(&self.root)?;
        }
        sync_dir(&self.root)
    }

    /// Takes the directory for this process, waiting at most `wait`: the daemon of a launcher that
    /// was just killed holds the lock until it is dead too.
    pub fn lock(&self, wait: Duration) -> Result<DataDirLock, LockError> {
        self.create().map_err(LockError::Disk)?;
        let path = self.lock_path();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(at("open", &path))?;
        let give_up = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => std::thread::sleep(LOCK_RETRY),
                Err(TryLockError::WouldBlock) => {
                    let holder = holder_named_in(&file);
                    return Err(LockError::Held { root: self.root.clone(), holder });
                }
                Err(TryLockError::Error(source)) => return Err(at("lock", &path)(source).into()),
            }
        }
        if let Err(error) = name_holder(&file) {
            // Only for the message to others: a node whose disk is full starts all the same.
            tracing::warn!(%error, path = %path.display(), "the lock does not name its holder");
        }
        Ok(DataDirLock { file })
    }
}

impl DataDir {
    /// Who holds the directory now, if anybody does; nothing is made, and nothing written. A launcher that takes it at this
    /// very moment waits for as long as the look takes.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn holder(&self) -> Result<Option<String>, DiskError> {
        let path = self.lock_path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at("open", &path)(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder_named_in(&file))),
            Err(TryLockError::Error(source)) => Err(at("lock", &path)(source)),
        }
    }
}

/// Only for messages; a holder that is just writing its id reads as "another process".
fn holder_named_in(mut file: &File) -> String {
    let mut holder = String::new();
    match file.read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => format!("process {}", holder.trim()),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}

/// Over what stood there, and as long: on a full disk that takes no room.
fn name_holder(file: &File) -> io::Result<()> {
    file.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0)
}

/// Long enough not to spin, short enough that a restart after `kill -9` is not held up.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// Holds the directory until it is dropped, and in every process that inherits its descriptor.
#[derive(Debug)]
pub struct DataDirLock {
    file: File,
}

impl DataDirLock {
    /// The lock that another launcher took in this very process.
    pub(crate) fn inherited(fd: OwnedFd) -> Self {
        DataDirLock { file: File::from(fd) }
    }
}

impl AsFd for DataDirLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "the data directory {} is in use by {holder}: stop that node, or give this one a directory of its own",
        root.display()
    )]
    Held { root: PathBuf, holder: String },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_who_holds_a_directory_makes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("data");
        assert_eq!(DataDir::new(&root).holder().unwrap(), None);
        assert!(!root.exists());
    }

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::new(temp.path());
        let held = dir.lock(Duration::ZERO).unwrap();
        let error = dir.lock(Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, LockError::Held { .. }));
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        assert_eq!(dir.holder().unwrap(), Some(format!("process {}", std::process::id())));
        drop(held);
        assert_eq!(dir.holder().unwrap(), None);
        dir.lock(Duration::ZERO).unwrap();
    }
}
