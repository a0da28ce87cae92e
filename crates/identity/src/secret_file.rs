//! Files that only their owner reads: no group either (0600 at most).
//!
//! *Invariant:* at no moment is there a file with the content that others may read: it has its mode before its first byte.
//! *Invariant:* of several who make the same file at once, one does, and the others learn that it is there: no secret that
//! somebody relies on is written over by another.

use ironcache_store::disk::{self, File, OpenOptions};
use ironcache_store::{DiskError, at, publish, publish_new, read_durably};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} may be read by others (mode {mode:o}); chmod 600 it", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("the system gives no random numbers for the name of a file")]
    Random(#[source] getrandom::Error),
}

/// Who made a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Now,
    /// By somebody else: the content is theirs.
    Before,
}

/// The content; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, SecretFileError> {
    check_mode(path)?;
    Ok(read_durably(path)?)
}

/// Makes the file, durably, if it is not there.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<Made, SecretFileError> {
    let tmp = beside(path)?;
    let published = fill(&tmp, bytes).and_then(|file| publish_new(&file, &tmp, path));
    // It has another name now, or is of no use.
    let _ = disk::remove_file(&tmp);
    match published {
        Ok(()) => Ok(Made::Now),
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => Ok(Made::Before),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the file as a whole, durably.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    let tmp = beside(path)?;
    let written = fill(&tmp, bytes).and_then(|file| publish(&file, &tmp, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = disk::remove_file(&tmp);
    }
    Ok(written?)
}

/// A name that nobody else writes to: whoever writes the same file at once would else publish it half written. What a crash
/// leaves there is as secret as the file.
fn beside(path: &Path) -> Result<PathBuf, SecretFileError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(SecretFileError::Random)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}.tmp", u64::from_le_bytes(random)));
    Ok(PathBuf::from(name))
}

/// A new file, which its owner alone may read.
fn fill(tmp: &Path, bytes: &[u8]) -> Result<File, DiskError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(not(turmoil))]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(tmp).map_err(at("create", tmp))?;
    file.write_all(bytes).map_err(at("write", tmp))?;
    Ok(file)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    /// Enough that somebody is between another's look and its write, if there is such a place.
    const MAKERS: usize = 8;
    const ROUNDS: usize = 20;

    /// What all of them did, in the order of their numbers.
    fn at_once<T: Send>(what: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let (start, what) = (Barrier::new(MAKERS), &what);
        std::thread::scope(|scope| {
            let begin = |maker| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    what(maker)
                })
            };
            let makers: Vec<_> = (0..MAKERS).map(begin).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        })
    }

    #[test]
    fn of_several_who_replace_a_file_at_once_each_writes_it_as_a_whole() {
        for _ in 0..ROUNDS {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("secret");
            let content = |writer: usize| vec![u8::try_from(writer).unwrap(); 1 << 14];
            at_once(|writer| write(&path, &content(writer)).unwrap());
            let read = read(&path).unwrap().unwrap();
            assert!((0..MAKERS).any(|writer| read == content(writer)), "{} bytes", read.len());
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn of_several_who_make_a_file_at_once_one_does_and_nothing_else_is_left() {
        for _ in 0..ROUNDS {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("secret");
            let made = at_once(|maker| (maker, create(&path, maker.to_string().as_bytes()).unwrap()));
            let first: Vec<_> = made.iter().filter(|(_, made)| *made == Made::Now).collect();
            let [(maker, _)] = first[..] else { panic!("{made:?}") };
            assert_eq!(read(&path).unwrap().unwrap(), maker.to_string().as_bytes());
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }
}
