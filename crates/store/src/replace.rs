//! Replacing a file as a whole, durably.

use crate::disk::{self, File};
use crate::disk_error::{DiskError, at};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes `path` as a whole: `<path>.tmp`, fsync, rename, fsync of the directory. After a crash at any
/// point the path has the old content or the new one. When it fails, the temporary file does not stay.
///
/// # Errors
/// What could not be done, and to which file. Either content may then be on the disk.
pub fn replace_durably(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let tmp = temporary(path);
    let written =
        write_durably(&tmp, bytes).and_then(|()| disk::rename(&tmp, path).map_err(at("rename", &tmp)));
    if written.is_err() {
        // The first error is the one to tell; a leftover is overwritten by the next try.
        let _ = disk::remove_file(&tmp);
    }
    written?;
    sync_parent(path)
}

/// Makes the name of `path` durable: its creation, its rename or its removal.
///
/// # Errors
/// The directory that it is in cannot be opened or synced.
pub fn sync_parent(path: &Path) -> Result<(), DiskError> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => sync_dir(dir),
        Some(_) | None => sync_dir(Path::new(".")),
    }
}

/// Makes creations, renames and removals in `path` durable.
///
/// # Errors
/// The directory cannot be opened or synced.
pub fn sync_dir(path: &Path) -> Result<(), DiskError> {
    disk::sync_directory(path).map_err(at("fsync the directory", path))
}

fn write_durably(tmp: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let mut file = File::create(tmp).map_err(at("create", tmp))?;
    file.write_all(bytes).map_err(at("write", tmp))?;
    file.sync_all().map_err(at("fsync", tmp))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace_durably(&path, b"one").unwrap();
        replace_durably(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_replace_that_fails_keeps_the_old_file_and_names_what_failed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = replace_durably(&path, b"new").unwrap_err();
        assert_eq!(error.action, "rename");
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the temporary file is gone");
    }
}
