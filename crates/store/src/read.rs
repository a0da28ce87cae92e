//! Reading a file that somebody is going to rely on.
//!
//! *Invariant:* what was read survives a power cut: its writer may have died between a write, or a rename, and the sync.

use crate::disk::File;
use crate::disk_error::{DiskError, at};
use crate::replace::sync_parent;
use std::io::{self, Read};
use std::path::Path;

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
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(at("read", path))?;
    file.sync_all().map_err(at("fsync", path))?;
    sync_parent(path)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_and_an_absent_one_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        assert_eq!(read_durably(&path).unwrap(), None);
        std::fs::write(&path, b"one").unwrap();
        assert_eq!(read_durably(&path).unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(read_durably(dir.path()).unwrap_err().action, "read");
    }
}
