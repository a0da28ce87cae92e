//! Replacing, renaming and removing files, durably.
//!
//! ```text
//!  replace_durably   write <path>.tmp ─┐
//!  publish              (a file that its writer filled) ─► fsync ─► rename ─► fsync of the directory
//!  publish_new          the same ─► fsync ─► a second name, if nothing has it ─► fsync of the directory
//!  rename_durably                                                  rename ─► fsync of the directory
//!  remove_durably                                                  remove ─► fsync of the directory
//! ```
//! *Invariant:* nobody else renames a file into its place (but the slots of binaries, `spine/src/slot_store.rs`, whose
//! directory is new as well): what a name stands for is durable before the name is, and the name before anybody relies on it.

use crate::disk::{self, File};
use crate::disk_error::{DiskError, at};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `path` as a whole: `<path>.tmp`, fsync, rename, fsync of the directory. After a crash at any
/// point the path has the old content or the new one. When it fails, the temporary file does not stay.
///
/// # Errors
/// What could not be done, and to which file. Either content may then be on the disk.
pub fn replace_durably(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let tmp = temporary(path);
    let written = write(&tmp, bytes).and_then(|file| move_in(&file, &tmp, path));
    if written.is_err() {
        // The first error is the one to tell; a leftover is overwritten by the next try.
        let _ = disk::remove_file(&tmp);
    }
    written?;
    sync_parent(path)
}

/// The same for a file that is there, and that whoever may read it now may read afterwards, and nobody else.
///
/// # Errors
/// As of [`replace_durably`]; or there is no such file.
pub fn replace_keeping_mode(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let tmp = temporary(path);
    let written = write_as(&tmp, bytes, path).and_then(|file| move_in(&file, &tmp, path));
    if written.is_err() {
        // The first error is the one to tell; a leftover is overwritten by the next try.
        let _ = disk::remove_file(&tmp);
    }
    written?;
    sync_parent(path)
}

/// Makes `file`, which was written at `tmp`, the content of `path`: fsync, rename, fsync of the directory. For what is too
/// large to be handed over in one piece, or whose writer is somebody else.
///
/// # Errors
/// What could not be done, and to which file. Either content may then be on the disk; `tmp` is whoever's wrote it.
pub fn publish(file: &File, tmp: &Path, path: &Path) -> Result<(), DiskError> {
    move_in(file, tmp, path)?;
    sync_parent(path)
}

/// Makes `file`, which was written at `tmp`, the content of `path`, which has none: of several who do so at once, one does.
///
/// # Errors
/// Something is there (a source of the kind `AlreadyExists`), or what could not be done. `tmp` is whoever's wrote it.
pub fn publish_new(file: &File, tmp: &Path, path: &Path) -> Result<(), DiskError> {
    file.sync_all().map_err(at("fsync", tmp))?;
    disk::take_name(tmp, path).map_err(at("make", path))?;
    sync_parent(path)
}

/// Gives `from`, which is durable, another name in the same directory; what had that name goes.
///
/// # Errors
/// What could not be done. The file may then have either name after a power cut.
pub fn rename_durably(from: &Path, to: &Path) -> Result<(), DiskError> {
    disk::rename(from, to).map_err(at("rename", from))?;
    sync_parent(to)
}

/// Removes a file; one that is absent is as good.
///
/// # Errors
/// What could not be done. The file may then be there again after a power cut.
pub fn remove_durably(path: &Path) -> Result<(), DiskError> {
    match disk::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at("remove", path)(error)),
    }
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

/// Nothing is in it before it has the mode.
fn write_as(tmp: &Path, bytes: &[u8], like: &Path) -> Result<File, DiskError> {
    let mut file = File::create(tmp).map_err(at("create", tmp))?;
    disk::copy_mode(like, &file).map_err(at("give its mode to", tmp))?;
    file.write_all(bytes).map_err(at("write", tmp))?;
    Ok(file)
}

fn write(tmp: &Path, bytes: &[u8]) -> Result<File, DiskError> {
    let mut file = File::create(tmp).map_err(at("create", tmp))?;
    file.write_all(bytes).map_err(at("write", tmp))?;
    Ok(file)
}

fn move_in(file: &File, tmp: &Path, path: &Path) -> Result<(), DiskError> {
    file.sync_all().map_err(at("fsync", tmp))?;
    disk::rename(tmp, path).map_err(at("rename", tmp))
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
    fn what_was_written_in_pieces_takes_the_name_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (path, tmp) = (dir.path().join("checkpoint"), dir.path().join("piecewise"));
        fs::write(&path, b"old").unwrap();
        let mut file = File::create(&tmp).unwrap();
        file.write_all(b"ne").unwrap();
        file.write_all(b"w").unwrap();
        publish(&file, &tmp, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        rename_durably(&path, &tmp).unwrap();
        assert!(!path.exists());
        remove_durably(&tmp).unwrap();
        remove_durably(&tmp).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(rename_durably(&tmp, &path).unwrap_err().action, "rename");
        assert_eq!(remove_durably(dir.path()).unwrap_err().action, "remove");
    }

    #[test]
    fn what_is_there_keeps_its_name_when_another_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let (path, tmp) = (dir.path().join("key"), dir.path().join("new"));
        for (content, taken) in [("one", false), ("two", true)] {
            let mut file = File::create(&tmp).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let published = publish_new(&file, &tmp, &path);
            let refused = published.err().map(|error| error.source.kind());
            assert_eq!(refused, taken.then_some(io::ErrorKind::AlreadyExists));
            assert_eq!(fs::read(&path).unwrap(), b"one");
            fs::remove_file(&tmp).unwrap();
        }
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
