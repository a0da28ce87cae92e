//! Reading a file that somebody is going to rely on.
//!
//! *Invariant:* what was read survives a power cut: its writer may have died between a write, or a rename, and the sync.
//! *Invariant:* what this process made durable once, it does not sync again until it changes. A start reads the same four
//! files some ten times, and where six nodes of one machine start at once each sync takes milliseconds.

use crate::disk::File;
use crate::disk_error::{DiskError, at};
use crate::replace::sync_parent;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What a file was when this process made it and its name durable, by path.
static DURABLE: Mutex<BTreeMap<PathBuf, Generation>> = Mutex::new(BTreeMap::new());

/// One content under one name: whoever replaces a file makes a new inode, whoever renames or writes one moves its
/// change time. Device, inode, change time in s and ns, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Generation(u64, u64, i64, i64, u64);

/// `None` where files have no such marks, as in a simulated world: there each read syncs.
fn generation(file: &File) -> Option<Generation> {
    #[cfg(not(turmoil))]
    {
        use std::os::unix::fs::MetadataExt;
        let of = file.metadata().ok()?;
        Some(Generation(of.dev(), of.ino(), of.ctime(), of.ctime_nsec(), of.len()))
    }
    #[cfg(turmoil)]
    {
        let _ = file;
        None
    }
}

fn is_durable(path: &Path, now: Option<Generation>) -> bool {
    let known = DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
    now.is_some() && known.get(path).copied() == now
}

fn note_durable(path: &Path, then: Option<Generation>) {
    let Some(then) = then else { return };
    DURABLE.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), then);
}

/// The content of `path`, and durable as it was read; `None` if there is no such file.
///
/// Without the sync a process acts on what a power cut takes back: it says that it holds a vote, a level or a release,
/// and the next process reads that it never did. Where everything is on the disk already, this writes nothing.
///
/// # Errors
/// It cannot be read, or cannot be made durable. Nothing may be relied on then.
pub fn read_durably(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at("read", path)(error)),
    };
    // Taken before the read: what changes meanwhile is another generation.
    let as_it_is = generation(&file);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(at("read", path))?;
    if !is_durable(path, as_it_is) {
        file.sync_all().map_err(at("fsync", path))?;
        sync_parent(path)?;
        note_durable(path, as_it_is);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_is_read_whole_and_an_absent_one_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        assert_eq!(read_durably(&path).unwrap(), None);
        std::fs::write(&path, b"one").unwrap();
        assert_eq!(read_durably(&path).unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(read_durably(dir.path()).unwrap_err().action, "read");
    }

    #[cfg(not(turmoil))]
    #[test]
    fn what_was_made_durable_is_not_synced_again_until_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("level");
        let durable = || is_durable(&path, generation(&File::open(&path).unwrap()));
        std::fs::write(&path, b"one").unwrap();
        assert!(!durable(), "somebody else wrote it, and may not have synced it");
        read_durably(&path).unwrap();
        assert!(durable());
        crate::replace_durably(&path, b"two").unwrap();
        assert!(!durable(), "another inode");
        read_durably(&path).unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"!").unwrap();
        assert!(!durable(), "longer");
        assert_eq!(read_durably(&path).unwrap().as_deref(), Some(&b"two!"[..]));
        let other = dir.path().join("other");
        std::fs::rename(&path, &other).unwrap();
        assert!(!is_durable(&other, generation(&File::open(&other).unwrap())), "another name");
    }
}
