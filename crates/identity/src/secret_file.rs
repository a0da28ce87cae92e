//! Files that only their owner reads: no group either (0600 at most).
//!
//! *Invariant:* at no moment is there a file with the content that others may read: it has its mode before its first byte.

use ironcache_store::disk::{self, OpenOptions};
use ironcache_store::{DiskError, at, publish, read_durably};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} may be read by others (mode {mode:o}); chmod 600 it", path.display())]
    Open { path: PathBuf, mode: u32 },
}

/// The content; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, SecretFileError> {
    check_mode(path)?;
    Ok(read_durably(path)?)
}

/// Replaces the file as a whole, durably.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = PathBuf::from(tmp);
    // What a crash left has whatever mode it has.
    match disk::remove_file(&tmp) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at("remove", &tmp)(error).into()),
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(not(turmoil))]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&tmp).map_err(at("create", &tmp))?;
    let written = file.write_all(bytes).map_err(at("write", &tmp)).and_then(|()| publish(&file, &tmp, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = disk::remove_file(&tmp);
    }
    Ok(written?)
}

/// Whoever is not the owner may do nothing with it.
#[cfg(not(turmoil))]
fn check_mode(path: &Path) -> Result<(), SecretFileError> {
    use std::os::unix::fs::PermissionsExt;
    match disk::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            Err(SecretFileError::Open { path: path.to_owned(), mode: found.permissions().mode() & 0o777 })
        }
        // What cannot be asked for cannot be read either, which tells more.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A simulated disk has no modes.
#[cfg(turmoil)]
fn check_mode(_path: &Path) -> Result<(), SecretFileError> {
    Ok(())
}
