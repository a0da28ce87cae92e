//! Where the log's bytes live: a seam, so that tests can lose unsynced writes or fail a sync.
//!
//! ```text
//! raft.wal            the log
//! raft.wal.failed     empty; there while a write or a sync of the log has failed and it was not written anew
//! raft.wal.synced     how far it was synced, at least: 12 bytes, never synced itself
//! ```

use ironcache_formats::wire::{u32_at, u64_at};
use ironcache_store::disk::{self, File, OpenOptions};
use ironcache_store::{replace_durably, sync_parent};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// One append-only file that can be replaced as a whole.
///
/// The contract that recovery rests on: after [`sync`](LogFile::sync) returned, everything appended
/// before it survives a power cut; [`replace`](LogFile::replace) is all or nothing, and durable when it returns.
/// What [`read`](LogFile::read) returns may be lost in a power cut until [`settle`](LogFile::settle) returned.
pub(crate) trait LogFile: Send + 'static {
    /// The whole content; `None` if the file does not exist.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>>;
    /// Makes what was read durable, and the file's name: whoever wrote it may have died before it had.
    fn settle(&mut self) -> io::Result<()>;
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes, durably.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Ends the distrust, too.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// A write or a sync failed. The kernel may have dropped what was not on the disk yet and call the rest clean, so no
    /// later sync proves anything: the next process has to know, and to write the file anew.
    fn distrust(&mut self) -> io::Result<()>;
    fn is_distrusted(&mut self) -> io::Result<bool>;
    /// Every frame below `next` is synced. A hint that may be lost, never one that says too much.
    fn note_synced(&mut self, next: u64) -> io::Result<()>;
    /// What was noted last; `None` if that is not known.
    fn noted(&mut self) -> Option<u64>;
}

/// The real one.
#[derive(Debug)]
pub(crate) struct DiskFile {
    path: PathBuf,
    /// Opened for appending by the first write.
    file: Option<File>,
    /// Opened by the first note.
    note: Option<File>,
}

/// The frame behind the last synced one, and a checksum of that.
const NOTE_BYTES: usize = 12;

impl DiskFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        DiskFile { path, file: None, note: None }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            slot => Ok(slot.insert(OpenOptions::new().append(true).open(&self.path)?)),
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    }

    fn failed_path(&self) -> PathBuf {
        self.beside(".failed")
    }

    fn note_path(&self) -> PathBuf {
        self.beside(".synced")
    }
}

impl LogFile for DiskFile {
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        match disk::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn settle(&mut self) -> io::Result<()> {
        self.file()?.sync_all()?;
        sync_parent(&self.path).map_err(io::Error::other)
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
        replace_durably(&self.path, bytes).map_err(io::Error::other)?;
        match disk::remove_file(self.failed_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn distrust(&mut self) -> io::Result<()> {
        // It need not outlive a power cut: what is read after one is what the disk holds.
        File::create(self.failed_path()).map(drop)
    }

    fn is_distrusted(&mut self) -> io::Result<bool> {
        disk::exists(&self.failed_path())
    }

    fn note_synced(&mut self, next: u64) -> io::Result<()> {
        let mut note = next.to_le_bytes().to_vec();
        note.extend_from_slice(&crc32fast::hash(&note).to_le_bytes());
        if self.note.is_none() {
            let open = OpenOptions::new().write(true).create(true).truncate(false).open(self.note_path())?;
            self.note = Some(open);
        }
        self.note.as_ref().map_or(Ok(()), |file| file.write_all_at(&note, 0))
    }

    fn noted(&mut self) -> Option<u64> {
        let note = disk::read(self.note_path()).ok()?;
        let is_whole = note.len() == NOTE_BYTES && crc32fast::hash(&note[..8]) == u32_at(&note, 8);
        if !is_whole {
            let path = self.note_path();
            tracing::warn!(path = %path.display(), "the note of what was synced is damaged: that the end of the log was cut since would not be noticed");
        }
        is_whole.then(|| u64_at(&note, 0))
    }
}
