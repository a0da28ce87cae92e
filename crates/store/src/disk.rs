//! The disk: std's in a release; in the simulated world the host's own, which a power cut takes unsynced bytes from.
//!
//! *Invariant:* in a release these are other names for std's: no layer, no cost.

#[cfg(not(turmoil))]
pub use std::fs::{
    File, OpenOptions, create_dir_all, metadata, read, read_dir, read_to_string, remove_dir_all, remove_file,
    rename, write,
};
#[cfg(turmoil)]
pub use turmoil::fs::shim::std::fs::{
    File, OpenOptions, create_dir_all, metadata, read, read_dir, read_to_string, remove_dir_all, remove_file,
    rename, write,
};

use std::fs::TryLockError;
use std::io;
use std::path::Path;

/// Is there anything under this name?
///
/// # Errors
/// The disk does not say.
pub fn exists(path: &Path) -> io::Result<bool> {
    #[cfg(not(turmoil))]
    return path.try_exists();
    #[cfg(turmoil)]
    Ok(turmoil::fs::shim::std::fs::exists(path))
}

/// A file that a person named, whole: one that ends, of at most `bytes_max`. A pipe would be waited for, and a device never ends.
///
/// # Errors
/// It cannot be read, is no plain file, or a larger one.
pub fn read_given(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let metadata = metadata(path)?;
    if !metadata.is_file() || metadata.len() > bytes_max {
        return Err(io::Error::other(format!("a file of at most {bytes_max} bytes is expected")));
    }
    read(path)
}

/// Reserves room for a file's first `bytes`. A file system that reserves nothing, as a simulated one, is believed to have
/// the room.
///
/// # Errors
/// There is no such room.
pub fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(not(turmoil))]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(turmoil)]
    {
        let _ = (file, bytes);
        Ok(())
    }
}

/// What the file's disk has left for this process. A simulated one never fills.
///
/// # Errors
/// The disk does not say.
pub fn free_bytes(file: &File) -> io::Result<u64> {
    #[cfg(not(turmoil))]
    {
        let stat = rustix::fs::fstatvfs(file)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
    #[cfg(turmoil)]
    {
        let _ = file;
        Ok(u64::MAX)
    }
}

/// What the disk that a directory is on has left for this process. A simulated one never fills.
///
/// # Errors
/// The disk does not say.
pub fn free_bytes_in(dir: &Path) -> io::Result<u64> {
    #[cfg(not(turmoil))]
    {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
    #[cfg(turmoil)]
    {
        let _ = dir;
        Ok(u64::MAX)
    }
}

/// How large the directory's disk is. A simulated one has no end.
///
/// # Errors
/// The disk does not say.
pub fn size_bytes_of(dir: &Path) -> io::Result<u64> {
    #[cfg(not(turmoil))]
    {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }
    #[cfg(turmoil)]
    {
        let _ = dir;
        Ok(u64::MAX)
    }
}

/// Lets a file be executed. A simulated one is no program.
///
/// # Errors
/// The disk does not take it.
pub fn make_executable(file: &File) -> io::Result<()> {
    #[cfg(not(turmoil))]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))
    }
    #[cfg(turmoil)]
    {
        let _ = file;
        Ok(())
    }
}

/// Lets a file be read and written by whom another one may be. Simulated ones are everybody's.
///
/// # Errors
/// There is no such file, or the disk does not take it.
pub fn copy_mode(of: &Path, to: &File) -> io::Result<()> {
    #[cfg(not(turmoil))]
    {
        to.set_permissions(std::fs::metadata(of)?.permissions())
    }
    #[cfg(turmoil)]
    {
        let _ = (of, to);
        Ok(())
    }
}

/// Gives the file `from` the name `to`, which nothing has; `from` may stay, or go.
///
/// # Errors
/// Something has the name (`AlreadyExists`), or the disk does not take it.
pub fn take_name(from: &Path, to: &Path) -> io::Result<()> {
    // Where one process at a time looks at a disk (a simulated one), or the disk knows no second names (FAT), looking and
    // renaming is all that there is.
    let look_and_rename = || match exists(to)? {
        true => Err(io::ErrorKind::AlreadyExists.into()),
        false => rename(from, to),
    };
    if cfg!(turmoil) {
        return look_and_rename();
    }
    match std::fs::hard_link(from, to) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) =>
        {
            look_and_rename()
        }
        linked => linked,
    }
}

/// This process, for the names of files that no other process writes to. A simulated host has one at a time, and its
/// number is not the simulation's: that would differ from run to run.
pub fn process_id() -> u32 {
    if cfg!(turmoil) { 1 } else { std::process::id() }
}

/// Locks a file for this process. A simulated host has one process at a time: it always has the lock.
///
/// # Errors
/// Another process has it, or the system has no locks.
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    #[cfg(not(turmoil))]
    return file.try_lock();
    #[cfg(turmoil)]
    {
        let _ = file;
        Ok(())
    }
}

/// Makes creations, renames and removals in the directory durable.
pub(crate) fn sync_directory(dir: &Path) -> io::Result<()> {
    #[cfg(not(turmoil))]
    return File::open(dir).and_then(|dir| dir.sync_all());
    #[cfg(turmoil)]
    turmoil::fs::shim::std::fs::sync_dir(dir)
}
