//! The thread that owns the log file.
//!
//! ```text
//! appends, votes ──► queue ──► [ all that is queued = one frame ] ──► write ──► fsync ──► callbacks
//! ```
//! Who runs this, and when, is [`super::queue`]'s.
//!
//!
//! *Invariant:* a callback says `Ok` only after an fsync that covers its record returned `Ok`.
//! *Invariant:* after one failed write or fsync nothing is acknowledged any more: the kernel may have
//! dropped the dirty pages, so a later successful fsync proves nothing about earlier records. The file is distrusted:
//! before anybody uses it again it is written anew, by this process when the disk takes it, or by the next one.
//! *Invariant:* at most one unsynced frame is in the file (see [`super::frame`]).

use super::file::LogFile;
use super::frame;
use super::queue::{Queue, Worker};
use ironcache_types::NodeId;
use std::io;
use std::time::Duration;
use tokio::sync::watch;

/// Called once, from the writer's thread, with whether the record is durable.
pub(super) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// How long an advisory record may wait for a frame to ride on. Longer: a killed process restarts from
/// an older committed index. Shorter: a quiet node syncs twice for one command.
pub(super) const ADVISORY_DELAY: Duration = Duration::from_millis(50);

/// The records of one frame, in bytes; what is queued beyond goes into the next frame.
const FRAME_BYTES_MAX: usize = 4 << 20;

pub(super) enum Op {
    /// Append these records, then call `done`.
    Append { records: Vec<u8>, done: Option<Done> },
    /// Written with the next frame, or alone after a quiet moment.
    Advisory { records: Vec<u8> },
    /// Replace the file by one with these records: compaction.
    Replace { records: Vec<u8> },
    /// The same after a failure, for the next process: this one acknowledges nothing any more.
    Mend { records: Vec<u8>, done: Done },
    /// Write what is left, sync, and end.
    Stop,
}

/// The queue's end that the log store holds.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Queue,
    worker: Option<Worker>,
}

impl Writer {
    /// `sequence` is the next frame's. With `failed` nothing is acknowledged from the start; whoever watches `failure`
    /// is told so, then or later.
    pub(super) fn start(
        file: impl LogFile,
        node: NodeId,
        sequence: u64,
        failed: Option<String>,
        failure: watch::Sender<Option<String>>,
    ) -> io::Result<Writer> {
        let mut state =
            State { file, node, sequence, advisory: Vec::new(), failed: None, failure, may_note: true };
        if let Some(error) = failed {
            state.fail(&error);
        }
        let (queue, worker) = Queue::start(state)?;
        Ok(Writer { queue, worker: Some(worker) })
    }

    /// Queues `op`. If the writer has ended, its callback is told so.
    pub(super) fn send(&self, op: Op) {
        let Err(refused) = self.queue.send(op) else { return };
        match refused {
            Op::Append { done: Some(done), .. } | Op::Mend { done, .. } => done(Err(stopped())),
            Op::Append { done: None, .. } | Op::Advisory { .. } | Op::Replace { .. } | Op::Stop => {}
        }
    }

    /// Ends the thread after it wrote and synced what is queued.
    pub(super) fn stop(&mut self) {
        self.send(Op::Stop);
        if let Some(worker) = self.worker.take() {
            worker.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn stopped() -> io::Error {
    io::Error::other("the raft log's writer has stopped")
}

pub(super) struct State<F> {
    file: F,
    node: NodeId,
    sequence: u64,
    /// Advisory records that wait for a frame.
    advisory: Vec<u8>,
    /// The first failure. From then on everything is refused.
    failed: Option<String>,
    failure: watch::Sender<Option<String>>,
    /// A note that cannot be written is told of once, and not tried again.
    may_note: bool,
}

/// What one group commit gathered.
#[derive(Default)]
pub(super) struct Batch {
    records: Vec<u8>,
    done: Vec<Done>,
}

/// What is to be done for what was queued.
pub(super) enum Work {
    Commit(Batch),
    Replace { records: Vec<u8> },
    Mend { records: Vec<u8>, done: Done },
    Stop,
}

/// A frame that is in the file and not synced yet, or why it is not.
pub(super) struct Written {
    result: Result<Frame, String>,
    done: Vec<Done>,
}

enum Frame {
    /// There was nothing to write.
    Empty,
    Unsynced,
}

impl<F: LogFile> State<F> {
    /// Has an advisory record waited for no frame to ride on?
    pub(super) fn has_advisory(&self) -> bool {
        !self.advisory.is_empty()
    }

    /// The frame that an advisory record gets alone, after a quiet moment.
    pub(super) fn advisory_alone(&mut self) -> Work {
        self.frame_of(Batch::default())
    }

    /// Gathers what is queued: one frame, as long as nothing has to come in between.
    pub(super) fn gather(&mut self, first: Op, mut queued: impl FnMut() -> Option<Op>) -> Vec<Work> {
        let (mut works, mut batch, mut next) = (Vec::new(), Batch::default(), Some(first));
        while let Some(op) = next {
            match op {
                Op::Append { records, done } => {
                    batch.records.extend_from_slice(&records);
                    batch.done.extend(done);
                }
                Op::Advisory { records } => self.advisory = records,
                Op::Replace { records } => {
                    works.push(self.frame_of(std::mem::take(&mut batch)));
                    works.push(Work::Replace { records });
                }
                Op::Mend { records, done } => {
                    works.push(self.frame_of(std::mem::take(&mut batch)));
                    works.push(Work::Mend { records, done });
                }
                Op::Stop => {
                    works.push(self.frame_of(batch));
                    works.push(Work::Stop);
                    return works;
                }
            }
            next = if batch.records.len() < FRAME_BYTES_MAX { queued() } else { None };
        }
        if !batch.records.is_empty() || !batch.done.is_empty() {
            works.push(self.frame_of(batch));
        }
        works
    }

    /// What advises rides along.
    fn frame_of(&mut self, mut batch: Batch) -> Work {
        batch.records.append(&mut self.advisory);
        Work::Commit(batch)
    }

    /// Writes one frame. Nobody is told yet.
    pub(super) fn write(&mut self, batch: Batch) -> Written {
        let Batch { records, done } = batch;
        let result = match &self.failed {
            Some(first) => Err(first.clone()),
            None if records.is_empty() => Ok(Frame::Empty),
            None => match self.file.append(&frame::encode(self.sequence, &records)) {
                Ok(()) => Ok(Frame::Unsynced),
                Err(error) => Err(error.to_string()),
            },
        };
        Written { result, done }
    }

    /// Syncs what was written, then tells everyone who waits for it.
    pub(super) fn settle(&mut self, written: Written) {
        let Written { result, done } = written;
        let result = result.and_then(|frame| match frame {
            Frame::Empty => Ok(()),
            Frame::Unsynced => self.sync_frame().map_err(|error| error.to_string()),
        });
        if let Err(error) = &result {
            self.fail(error);
        }
        for done in done {
            done(
                result
                    .clone()
                    .map_err(|error| io::Error::other(format!("the raft log is not writable: {error}"))),
            );
        }
    }

    fn sync_frame(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.sequence += 1;
        self.note();
        Ok(())
    }

    pub(super) fn mend(&mut self, records: &[u8], done: Done) {
        done(self.rewrite(records));
    }

    pub(super) fn replace(&mut self, records: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.rewrite(records) {
            self.fail(&error.to_string());
        }
    }

    fn rewrite(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.replace(&whole(self.node, self.sequence, records))?;
        self.sequence += 1;
        self.note();
        Ok(())
    }

    /// Costs no sync: a note that is older than the log accuses nobody.
    fn note(&mut self) {
        if self.may_note
            && let Err(error) = self.file.note_synced(self.sequence)
        {
            self.may_note = false;
            tracing::warn!(%error, "how far the raft log is synced cannot be noted; a log that is cut will not be noticed");
        }
    }

    fn fail(&mut self, error: &str) {
        if self.failed.is_some() {
            return;
        }
        tracing::error!("the raft log failed, nothing more is acknowledged: {error}");
        self.failed = Some(error.to_owned());
        if let Err(error) = self.file.distrust() {
            tracing::error!(%error, "the next process will not know that the raft log has to be written anew");
        }
        // Nobody watches in a test of the log alone.
        let _ = self.failure.send_replace(Some(error.to_owned()));
    }
}

/// A log file of one frame.
pub(super) fn whole(node: NodeId, sequence: u64, records: &[u8]) -> Vec<u8> {
    [frame::header(node, sequence), frame::encode(sequence, records)].concat()
}
