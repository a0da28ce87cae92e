//! Files for parsers that read them themselves.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the kernel keeps files in memory, and a sync costs nothing.
const IN_MEMORY: &str = "/dev/shm";

/// A folder in memory, if the machine has such a place; gone with this value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// # Panics
    /// It cannot be made.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let memory = Path::new(IN_MEMORY);
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("ironcache-fuzz-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a folder can be made");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is a test's, and in memory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lets `read` read a file that holds `bytes`.
///
/// # Panics
/// It was refused, and does not hold them any more, byte for byte.
pub fn refused_stays<T, E: Debug>(
    path: &Path,
    bytes: &[u8],
    read: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    fs::write(path, bytes).expect("the file can be written");
    let read = read(path);
    if let Err(error) = &read {
        let left = fs::read(path).unwrap_or_else(|gone| panic!("refused ({error:?}), and then: {gone}"));
        assert!(left == bytes, "refused ({error:?}), and changed");
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_refused_file_that_is_changed_or_gone_is_found() {
        let folder = Folder::new();
        let path = folder.path().join("file");
        let changes: [fn(&Path); 2] =
            [|path| fs::write(path, "other").unwrap(), |path| fs::remove_file(path).unwrap()];
        for change in changes {
            let refusing = |path: &Path| {
                change(path);
                Err::<(), _>("no")
            };
            let found = catch_unwind(AssertUnwindSafe(|| refused_stays(&path, b"bytes", refusing)));
            assert!(found.is_err());
            let taking = |path: &Path| {
                change(path);
                Ok::<_, ()>(())
            };
            assert_eq!(refused_stays(&path, b"bytes", taking), Ok(()));
        }
        assert_eq!(refused_stays(&path, b"bytes", |_| Err::<(), _>("no")), Err("no"));
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }
}
