//! A keeper's file on disk: `keeper/<shard>-<epoch>`, a head and then frames as they came.
//!
//! ```text
//!  create   <name>.tmp: head ─► renamed ─► frames appended by write(2), without fsync: it stands in for a process that ends,
//!                                          or a machine other than this one
//!  open     head checked ─► frames checked one by one ─► what is cut off at the end is cut off
//! ```
//!
//! *Invariant:* what [`TailFile::append`] returned `Ok` for is in the file; what it did not is not, not even in part.
//! *Invariant:* a file of an unknown version, of another cluster, or that is damaged is left as it is, and not used.
//! *Invariant:* nothing is appended while the disk has less free than [`RESERVE_BYTES`]: raft's log and the checkpoint of
//! this node's own shard come first.

use ironcache_replication::{KeptTail, Lineage, Source, TailError, TailHead, TailHeadError};
use ironcache_shard::keeper::Kept;
use ironcache_store::disk::{self, File, OpenOptions};
use ironcache_store::{DiskError, at};
use ironcache_types::{ClusterId, Epoch, Offset, ShardId};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Free space that a keeper leaves to others. Larger: small disks keep nothing; smaller: raft's log, which this node votes
/// with, is the next to fail. It is that of a few snapshots of the log with room to spare.
pub(crate) const RESERVE_BYTES: u64 = 64 << 20;

/// Free space is looked at again after so much was appended. More seldom, and others may have taken the reserve meanwhile;
/// more often, a system call for every write.
const LOOK_EVERY_BYTES: u64 = 1 << 20;

/// Read at a time as a file is read back.
const READ_BYTES: usize = 1 << 20;

const DIR: &str = "keeper";

/// Why a keeper cannot write.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotKeep {
    #[error("the disk has {free_bytes} bytes free, and {reserve_bytes} are reserved for the node itself")]
    Reserve { free_bytes: u64, reserve_bytes: u64 },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a file is not used. It stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotRead {
    #[error("its head cannot be used")]
    Head(#[from] TailHeadError),
    #[error("it belongs to cluster {found}, and this node to {ours}")]
    OtherCluster { found: ClusterId, ours: ClusterId },
    #[error("its name says another shard or epoch than its head, which says {shard}-{epoch}")]
    OtherName { shard: ShardId, epoch: Epoch },
    #[error("its frames cannot be used")]
    Tail(#[from] TailError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// One tail, and the file that holds it.
#[derive(Debug)]
pub(crate) struct TailFile {
    file: File,
    path: PathBuf,
    head: TailHead,
    head_bytes: u64,
    tail: KeptTail,
    reserve_bytes: u64,
    /// Appended since free space was looked at.
    unlooked_bytes: u64,
}

/// Where the tails of a data directory lie.
pub(crate) fn dir_of(data_dir: &Path) -> PathBuf {
    data_dir.join(DIR)
}

impl TailFile {
    /// Begins a file; one of the same shard and epoch is replaced.
    pub(crate) fn create(dir: &Path, head: TailHead, reserve_bytes: u64) -> Result<Self, CannotKeep> {
        disk::create_dir_all(dir).map_err(at("create", dir))?;
        let path = dir.join(name_of(head.shard, head.source.epoch));
        let tmp = path.with_extension("tmp");
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&tmp);
        let file = file.map_err(at("create", &tmp))?;
        check_free(&file, &tmp, reserve_bytes)?;
        file.write_all_at(&bytes, 0).map_err(at("write", &tmp))?;
        disk::rename(&tmp, &path).map_err(at("rename", &tmp))?;
        let tail = KeptTail::new(head.source, head.lineage.clone(), head.from);
        let head_bytes = bytes.len() as u64;
        Ok(TailFile { file, path, head, head_bytes, tail, reserve_bytes, unlooked_bytes: 0 })
    }

    /// Reads a file back, frame by frame, and cuts off what is not a whole command at its end.
    pub(crate) fn open(path: &Path, cluster: ClusterId, reserve_bytes: u64) -> Result<Self, CannotRead> {
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(at("open", path))?;
        let mut buf = Vec::new();
        let (head, head_bytes) = loop {
            match TailHead::decode(&buf) {
                Ok(read) => break read,
                Err(error @ TailHeadError::Truncated { .. }) => {
                    if fill(&mut file, path, &mut buf)? == 0 {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        let (shard, epoch) = (head.shard, head.source.epoch);
        if head.cluster != cluster {
            return Err(CannotRead::OtherCluster { found: head.cluster, ours: cluster });
        }
        if path.file_name().is_none_or(|name| name != name_of(shard, epoch).as_str()) {
            return Err(CannotRead::OtherName { shard, epoch });
        }
        let mut tail = KeptTail::new(head.source, head.lineage.clone(), head.from);
        buf.drain(..head_bytes);
        loop {
            let taken = tail.read_back(&buf)?;
            buf.drain(..taken);
            if fill(&mut file, path, &mut buf)? == 0 {
                break;
            }
        }
        let head_bytes = head_bytes as u64;
        let mut opened = TailFile {
            file,
            path: path.to_owned(),
            head,
            head_bytes,
            tail,
            reserve_bytes,
            unlooked_bytes: 0,
        };
        opened.cut()?;
        Ok(opened)
    }

    pub(crate) fn head(&self) -> &TailHead {
        &self.head
    }

    pub(crate) fn tail(&self) -> &KeptTail {
        &self.tail
    }

    /// What the engine knows of it.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            epoch: self.head.source.epoch,
            by: self.head.keeper,
            isr_epoch: self.head.isr_epoch,
            from: self.tail.from(),
            whole: self.tail.whole(),
        }
    }

    /// The link begins anew, and the primary goes on from `from`. False: that is not where this tail ends.
    pub(crate) fn go_on(
        &mut self,
        source: Source,
        lineage: &Lineage,
        from: Offset,
    ) -> Result<bool, DiskError> {
        if self.tail.go_on(source, lineage, from).is_err() {
            return Ok(false);
        }
        self.cut()?;
        Ok(true)
    }

    /// Checks frames as they arrive: `admit` is handed the tail, and gives the bytes to append. All of them are, or none.
    pub(crate) fn append<E: From<CannotKeep>>(
        &mut self,
        admit: impl FnOnce(&mut KeptTail) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let mark = self.tail.mark();
        let written =
            admit(&mut self.tail).and_then(|frames| self.write(&frames, mark.end()).map_err(E::from));
        if written.is_err() {
            self.tail.take_back(mark);
        }
        written
    }

    fn write(&mut self, frames: &[u8], at_offset: Offset) -> Result<(), CannotKeep> {
        self.unlooked_bytes += frames.len() as u64;
        if self.unlooked_bytes >= LOOK_EVERY_BYTES {
            check_free(&self.file, &self.path, self.reserve_bytes)?;
            self.unlooked_bytes = 0;
        }
        let begin = self.place(at_offset);
        if let Err(source) = self.file.write_all_at(frames, begin) {
            // The first error is the one to tell; what is left of it lies behind the tail, and is written over.
            let _ = self.file.set_len(begin);
            return Err(at("write", &self.path)(source).into());
        }
        Ok(())
    }

    /// Up to `bytes_max` bytes of what is kept from `from` on.
    pub(crate) fn read(&self, from: Offset, bytes_max: usize) -> Result<Vec<u8>, DiskError> {
        let held = self.tail.whole().0.saturating_sub(from.0);
        let mut bytes = vec![0; bytes_max.min(usize::try_from(held).unwrap_or(usize::MAX))];
        self.file.read_exact_at(&mut bytes, self.place(from)).map_err(at("read", &self.path))?;
        Ok(bytes)
    }

    pub(crate) fn remove(self) -> Result<(), DiskError> {
        disk::remove_file(&self.path).map_err(at("remove", &self.path))
    }

    fn cut(&mut self) -> Result<(), DiskError> {
        self.tail.cut();
        self.file.set_len(self.place(self.tail.whole())).map_err(at("truncate", &self.path))
    }

    fn place(&self, offset: Offset) -> u64 {
        self.head_bytes + (offset.0 - self.tail.from().0)
    }
}

fn name_of(shard: ShardId, epoch: Epoch) -> String {
    format!("{shard}-{epoch}")
}

fn fill(file: &mut File, path: &Path, buf: &mut Vec<u8>) -> Result<usize, DiskError> {
    let before = buf.len();
    buf.resize(before + READ_BYTES, 0);
    let read = file.read(&mut buf[before..]).map_err(at("read", path));
    buf.truncate(before + *read.as_ref().unwrap_or(&0));
    read
}

pub(super) fn check_free(file: &File, path: &Path, reserve_bytes: u64) -> Result<(), CannotKeep> {
    let free_bytes = disk::free_bytes(file).map_err(at("look at", path))?;
    if free_bytes < reserve_bytes { Err(CannotKeep::Reserve { free_bytes, reserve_bytes }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
