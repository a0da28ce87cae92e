//! Where the log's bytes live: a seam, so that tests can lose unsynced writes or fail a sync.

use ironcache_store::replace_durably;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

/// One append-only file that can be replaced as a whole.
///
/// The contract that recovery rests on: after [`sync`](LogFile::sync) returned, everything appended
/// before it survives a power cut; [`replace`](LogFile::replace) is all or nothing, and durable when it returns.
pub(crate) trait LogFile: Send + 'static {
    /// The whole content; `None` if the file does not exist.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>>;
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes, durably.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// The real one.
#[derive(Debug)]
pub(crate) struct DiskFile {
    path: PathBuf,
    /// Opened for appending by the first write.
    file: Option<File>,
}

impl DiskFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        DiskFile { path, file: None }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            slot => Ok(slot.insert(OpenOptions::new().append(true).open(&self.path)?)),
        }
    }
}

impl LogFile for DiskFile {
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let file = self.file()?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file = None;
        replace_durably(&self.path, bytes).map_err(io::Error::other)
    }
}
