//! The raft log: one file, one writer thread, all entries in memory.
//!
//! ```text
//! LogStore (openraft's trait) ──► Wal ──► Index (memory, read by replication)
//!                                  └────► Writer thread ──► LogFile (disk)
//! ```
//!
//! *Invariant:* index and queue change together, under one lock, so the file's order is the index's.
//! *Invariant:* a vote or an entry is acknowledged only after the fsync that covers it.
//! *Invariant:* what was read is durable before it is relied on, as what was written is: the process that wrote it may
//! have died before its fsync.
//! *Invariant:* damaged acknowledged data is refused, never cut off; only a torn tail is. So is a log that ends before
//! what is known to have been synced.

pub(crate) mod file;
pub(crate) mod frame;
mod index;
mod log_store;
mod queue;
pub(crate) mod record;
mod writer;

pub(crate) use log_store::LogStore;

use crate::types::{Entry, LogId, Vote};
use file::LogFile;
use frame::{HeaderError, Tail};
use index::{Index, IndexError};
use ironcache_types::{ClusterId, Incarnation, Level, NodeId};
use record::{Record, RecordError};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use writer::{Done, Op, Writer};

/// Compaction starts when at least this much of the file is dead. Smaller: more rewriting of what is
/// live. Larger: a longer file to read at start.
const DEAD_BYTES_MAX: u64 = 1 << 20;

/// Why a log file was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("the raft log cannot be read or written")]
    Io(#[from] io::Error),
    #[error("the raft log is not usable: {0}; start the node with the data directory that is its own")]
    Header(HeaderError),
    #[error(
        "the raft log is corrupt: the bytes at {at} are damaged, and acknowledged records follow at {next_valid}. \
         Nothing was changed. Do not erase the log under this node id: remove this node from the cluster and add a \
         new one, or restore the file from an intact copy"
    )]
    Corrupt { at: usize, next_valid: usize },
    #[error("the raft log has, in the frame at byte {at}, a record that this release cannot use")]
    Record { at: usize, source: RecordError },
    #[error("the raft log is inconsistent in the frame at byte {at}")]
    Index { at: usize, source: IndexError },
    #[error(
        "log went back: the raft log ends before frame {found}, and frames up to {synced} were synced: its end was cut or \
         overwritten, or an older copy was put back. What it promised to the others is lost, so it must not go on under \
         this node id; {REJOIN}"
    )]
    WentBack { found: u64, synced: u64 },
}

/// How a node whose log is lost comes back: as another one.
pub(crate) const REJOIN: &str = "stop the node, remove its data directory, start it empty, and have it take the old one's place as a new node: \
     `ironcache cluster replace-node`";

/// The log of one node; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Wal {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    index: Index,
    writer: Writer,
    /// Why nothing more is acknowledged, if so.
    failure: watch::Receiver<Option<String>>,
    /// Bytes of records in the file, dead ones included.
    file_bytes: u64,
    /// What `file_bytes` was right after the last compaction.
    live_bytes: u64,
}

impl Wal {
    /// Opens the log of `node`, or makes a new one. A torn tail is cut off, with a line in the log. One that cannot be
    /// made durable is opened as one that has failed: it is readable, and acknowledges nothing.
    pub(crate) fn open(mut file: impl LogFile, node: NodeId) -> Result<Wal, WalError> {
        let mut failed = None;
        let (index, sequence, bytes) = match file.read()? {
            None => {
                file.replace(&frame::header(node, 0))?;
                (Index::default(), 0, 0)
            }
            Some(bytes) => {
                let Recovered { index, mut sequence, torn } = recover(&bytes, node)?;
                if let Some(synced) = file.noted().filter(|synced| *synced > sequence) {
                    return Err(WalError::WentBack { found: sequence, synced });
                }
                if let Err(error) = make_durable(&mut file, node, torn, &index, &mut sequence) {
                    failed = Some(error.to_string());
                }
                (index, sequence, bytes.len() as u64)
            }
        };
        let (failure, watched) = watch::channel(None);
        let writer = Writer::start(file, node, sequence, failed, failure)?;
        let shared = Shared { index, writer, failure: watched, file_bytes: bytes, live_bytes: 0 };
        Ok(Wal { shared: Arc::new(Mutex::new(shared)) })
    }

    /// Why nothing more is acknowledged, if so. What the log says is not durable then, and must not be relied on.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.lock().failure.clone()
    }

    /// Writes the file anew, for the next process, after a failure.
    pub(crate) fn mend(&self, done: Done) -> io::Result<()> {
        let shared = self.lock();
        let live: Vec<Record> = shared.index.records().collect();
        shared.writer.send(Op::Mend { records: encode(&live)?, done });
        Ok(())
    }

    /// The newest life of this node that was admitted.
    pub(crate) fn life(&self) -> Option<Incarnation> {
        self.lock().index.life
    }

    pub(crate) fn save_life(&self, life: Incarnation, done: Done) -> io::Result<()> {
        self.lock().write(&[Record::Life(life)], Some(done), |index| {
            index.life = Some(life);
            Ok(())
        })
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.lock().index.cluster
    }

    pub(crate) fn purged(&self) -> Option<LogId> {
        self.lock().index.purged
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.lock().index.last()
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.lock().index.vote
    }

    pub(crate) fn committed(&self) -> Option<LogId> {
        self.lock().index.committed
    }

    pub(crate) fn entries(&self, range: impl std::ops::RangeBounds<u64>) -> Vec<Entry> {
        self.lock().index.range(range)
    }

    /// The lowest level of an entry that is held.
    pub(crate) fn oldest_level(&self) -> Option<Level> {
        self.lock().index.oldest_level()
    }

    /// Readable at once; `done` is called when it is durable.
    pub(crate) fn save_vote(&self, vote: Vote, done: Done) -> io::Result<()> {
        self.lock().write(&[Record::Vote(vote.into())], Some(done), |index| {
            index.vote = Some(vote);
            Ok(())
        })
    }

    pub(crate) fn save_cluster(&self, id: ClusterId, done: Done) -> io::Result<()> {
        self.lock().write(&[Record::Cluster(id)], Some(done), |index| {
            index.cluster = Some(id);
            Ok(())
        })
    }

    /// Readable at once; `done` is called when all of them are durable.
    pub(crate) fn append(&self, entries: Vec<Entry>, done: Done) -> io::Result<()> {
        let records: Vec<Record> = entries.iter().map(|entry| Record::Entry(entry.into())).collect();
        self.lock().write(&records, Some(done), |index| {
            entries.into_iter().try_for_each(|entry| index.append(entry))
        })
    }

    /// Written in order with what follows. Losing it in a power cut is harmless: nothing after it was
    /// acknowledged then, and raft truncates again.
    pub(crate) fn truncate_after(&self, after: Option<LogId>) -> io::Result<()> {
        self.lock().write(&[Record::Truncate(after.map(Into::into))], None, |index| {
            index.truncate_after(after);
            Ok(())
        })
    }

    /// The caller has made a snapshot durable that covers `upto`.
    pub(crate) fn purge(&self, upto: LogId) -> io::Result<()> {
        let mut shared = self.lock();
        shared.write(&[Record::Purge(upto.into())], None, |index| {
            index.purge(upto);
            Ok(())
        })?;
        shared.compact_if_worthwhile()
    }

    /// Advisory: written with the next frame.
    pub(crate) fn save_committed(&self, upto: Option<LogId>) -> io::Result<()> {
        let mut shared = self.lock();
        shared.index.committed = upto;
        let records = encode(&[Record::Committed(upto.map(Into::into))])?;
        shared.file_bytes += records.len() as u64;
        shared.writer.send(Op::Advisory { records });
        Ok(())
    }

    /// Writes and syncs what is queued, then ends the writer thread. Later writes fail. Blocks.
    pub(crate) fn stop(&self) {
        self.lock().writer.stop();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nothing panics while it holds the raft log's lock")
    }
}

impl Shared {
    fn write(
        &mut self,
        records: &[Record],
        done: Option<Done>,
        change: impl FnOnce(&mut Index) -> Result<(), IndexError>,
    ) -> io::Result<()> {
        let records = encode(records)?;
        change(&mut self.index).map_err(io::Error::other)?;
        self.file_bytes += records.len() as u64;
        self.writer.send(Op::Append { records, done });
        Ok(())
    }

    fn compact_if_worthwhile(&mut self) -> io::Result<()> {
        // What is dead cannot be more than what was written since the last compaction.
        if self.file_bytes - self.live_bytes < DEAD_BYTES_MAX.max(self.live_bytes) {
            return Ok(());
        }
        let live: Vec<Record> = self.index.records().collect();
        let records = encode(&live)?;
        self.live_bytes = records.len() as u64;
        self.file_bytes = self.live_bytes;
        self.writer.send(Op::Replace { records });
        Ok(())
    }
}

/// Makes what was read durable, before anything relies on it: synced, or written anew if the file is distrusted or the
/// sync fails.
fn make_durable(
    file: &mut impl LogFile,
    node: NodeId,
    torn: Option<(usize, usize)>,
    index: &Index,
    sequence: &mut u64,
) -> io::Result<()> {
    if !file.is_distrusted()? {
        let cut = torn.map_or(Ok(()), |(at, len)| {
            tracing::warn!("the raft log ended in a torn append: {len} bytes from {at} on are cut off");
            file.truncate(at as u64)
        });
        match cut.and_then(|()| file.settle()) {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the raft log cannot be synced as it was found");
                file.distrust()?;
            }
        }
    }
    tracing::warn!("the raft log was not on the disk for certain: it is written anew");
    let live: Vec<Record> = index.records().collect();
    file.replace(&writer::whole(node, *sequence, &encode(&live)?))?;
    *sequence += 1;
    Ok(())
}

fn encode(records: &[Record]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        record.encode_into(&mut bytes).map_err(io::Error::other)?;
    }
    Ok(bytes)
}

struct Recovered {
    index: Index,
    /// The next frame's.
    sequence: u64,
    /// Where a torn tail starts, and its length.
    torn: Option<(usize, usize)>,
}

fn recover(file: &[u8], node: NodeId) -> Result<Recovered, WalError> {
    let first = frame::check_header(file, node).map_err(WalError::Header)?;
    let (frames, tail) = frame::scan(file, first);
    let torn = match tail {
        Tail::Clean => None,
        Tail::Torn { at, len } => Some((at, len)),
        Tail::Corrupt { at, next_valid } => return Err(WalError::Corrupt { at, next_valid }),
    };
    let mut index = Index::default();
    let mut sequence = first;
    for frame in frames {
        let at = frame.at;
        let mut records = frame.records;
        while !records.is_empty() {
            let record =
                Record::decode_from(&mut records).map_err(|source| WalError::Record { at, source })?;
            index.replay(record).map_err(|source| WalError::Index { at, source })?;
        }
        sequence = frame.sequence.wrapping_add(1);
    }
    Ok(Recovered { index, sequence, torn })
}

#[cfg(test)]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
