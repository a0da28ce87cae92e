//! Copies of the dataset that are written beside the running node, every `snapshot-interval-s`: what is left when all nodes
//! lose power at once.
//!
//! ```text
//!  due ─► walk: a piece ─► the disk ─► a pause ─┐ ─ through ─► end ─► fsync ─► rename ─► fsync of the directory
//!           ▲                                   │
//!           └───────────────────────────────────┘ the node stops, the dataset was replaced, no room: given up, and the
//!                                                 older one stays
//! ```
//! A snapshot is a full sync into a file (`walk`): no fork, no pre-images, writes never stop, and its point in time is its
//! end. What the writer does not get from the stream in time, because writes outrun the disk by a whole backlog, it
//! cannot have: it gives up, says so, and tries again.
//!
//! *Invariant:* the older one stays until the newer is durable; a snapshot never takes the checkpoint's place.
//! *Invariant:* it is never a clean end: it names nobody as who sealed it, so that what it holds is evidence for `Recover`,
//! and for a partial resync, and nothing more.
//! *Invariant:* the data thread never waits for the disk here, and is kept from clients for a piece at most.
//! *Invariant:* it takes no disk from the raft log: below [`ROOM_LEFT_BYTES`] it gives up.
//! *Invariant:* it is of a primary whose lease runs, or of a replica that follows one: of no branch that is cut off.

use super::end::End;
use super::head::Head;
use super::{CheckpointError, Copy, PART_BYTES, SYNC_BYTES, skim, write_part};
use crate::clock::unix_ms;
use crate::data::DataNode;
use crate::data::plane::Plane;
use crate::data::walk::{Onward, Sink, Walk, WalkError, Walked};
use ironcache_host::exec::spawn_blocking;
use ironcache_replication::{FullReason, Lineage, Position, Resync, SavedPosition};
use ironcache_shard::Role;
use ironcache_store::disk::{self, File};
use ironcache_store::publish;
use ironcache_types::{Level, Slot, SlotSet, chain};
use std::cell::Cell;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

pub(super) const TMP: &str = "snapshot.tmp";
/// How often is looked whether one is due: the setting may have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// One that was given up is tried again after this, if the next is not due before: at once, and a full disk would be written
/// to without a rest.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Dumped at a time: half a millisecond or so in which clients wait. Smaller, and the pauses make the most of it.
const PIECE_BYTES: usize = 256 << 10;
/// After each piece, so that clients have most of the thread: some 200 MB of the dataset a second at most.
const PAUSE: Duration = Duration::from_millis(1);
/// Left to others on the disk, the raft log before all: that one without room stops the node. A log is compacted long before
/// it is half as large.
const ROOM_LEFT_BYTES: u64 = 64 << 20;

/// Whether a snapshot is being taken, for whoever needs the disk.
#[derive(Default)]
pub(crate) struct Beside {
    is_held: Cell<bool>,
    running: Mutex<()>,
}

impl Beside {
    /// Has the one that is being taken given up, and none begin until the answer is dropped.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, ()> {
        self.is_held.set(true);
        let held = self.running.lock().await;
        self.is_held.set(false);
        held
    }
}

/// What is shown of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshots {
    /// The one that lies on the disk: since when it is what the dataset was, Unix ms.
    pub taken_ms: Option<u64>,
    pub is_running: bool,
    /// Why the last one was given up, if it was.
    pub failed: Option<String>,
    /// Of this life.
    written: u64,
}

impl Snapshots {
    /// Is what lies under that name another one than this life began with?
    pub(super) fn has_replaced(&self, copy: Copy) -> bool {
        copy == Copy::Snapshot && self.written > 0
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// No more than a stop, or a change of role: the next one comes.
    #[error("the node stops, or its dataset is another one now")]
    Interrupted,
    #[error("the level rose meanwhile")]
    LevelRose,
    #[error("{} MB are left on the disk, and {} MB are kept for the log", left_bytes / 1_000_000, ROOM_LEFT_BYTES / 1_000_000)]
    NoRoom { left_bytes: u64 },
    #[error("what was written meanwhile cannot be followed")]
    Walk(#[from] WalkError),
    #[error(transparent)]
    File(#[from] CheckpointError),
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        SnapshotError::File(error.into())
    }
}

/// Runs until the process ends.
pub(crate) async fn run(node: Rc<DataNode>) {
    let mut last = on_disk(&node).await;
    let (mut tried, mut wait_max) = (Instant::now(), Duration::MAX);
    loop {
        let interval = Duration::from_secs(node.plane.borrow().config.snapshot_interval_s);
        let wait = interval.min(wait_max).saturating_sub(tried.elapsed());
        if interval.is_zero() || !wait.is_zero() {
            tokio::time::sleep(if interval.is_zero() { LOOK_AGAIN } else { wait.min(LOOK_AGAIN) }).await;
            continue;
        }
        tried = Instant::now();
        // The same bytes again would only wear the disk out; and a trial leaves everything as it is.
        let position = position(&node.plane.borrow()).filter(|at| last.as_ref() != Some(at));
        if position.is_none() || node.launcher.borrow().trial.is_some() {
            wait_max = TRY_AGAIN;
            continue;
        }
        node.plane.borrow_mut().snapshots.is_running = true;
        let taken = take(&node).await;
        let mut plane = node.plane.borrow_mut();
        plane.snapshots.is_running = false;
        wait_max = match taken {
            Ok(end) => {
                tracing::info!(keys = end.keys, offset = %end.saved.position.offset, ms = tried.elapsed().as_millis(), "snapshot written");
                plane.snapshots.taken_ms = Some(end.taken_ms);
                plane.snapshots.failed = None;
                plane.snapshots.written += 1;
                last = Some(end.saved);
                Duration::MAX
            }
            Err(SnapshotError::Interrupted) => TRY_AGAIN,
            Err(error) => {
                let why = chain(&error).to_string();
                if plane.snapshots.failed.as_ref() != Some(&why) {
                    tracing::error!(
                        error = why,
                        "no snapshot was written; the older one stays, and it is tried again"
                    );
                }
                plane.snapshots.failed = Some(why);
                TRY_AGAIN
            }
        };
    }
}

/// The position of the snapshot that an earlier life wrote.
async fn on_disk(node: &DataNode) -> Option<SavedPosition> {
    let path = Copy::Snapshot.path(&node.data_dir);
    let (levels, mine) = (node.plane.borrow().levels, node.cluster);
    let end = spawn_blocking(move || skim(&path, mine, levels)).await.ok()?.ok()??;
    node.plane.borrow_mut().snapshots.taken_ms = Some(end.taken_ms);
    Some(end.saved)
}

/// What a snapshot would be of now; `None`: this node has nothing that is known to be of the shard's one history.
fn position(plane: &Plane) -> Option<SavedPosition> {
    SavedPosition::at(&history(plane)?, plane.offset())
}

fn history(plane: &Plane) -> Option<Lineage> {
    let is_of_the_shard = match plane.engine.role() {
        Role::Primary(_) => plane.engine.is_leased(),
        Role::Replica(replica) => replica.is_linked() && replica.cursor().ack().is_some(),
        Role::Loading => false,
    };
    plane.engine.saved_position().filter(|_| is_of_the_shard).map(|saved| saved.lineage)
}

/// Takes one now.
pub(crate) async fn take(node: &Rc<DataNode>) -> Result<End, SnapshotError> {
    let _running = node.beside.running.lock().await;
    let tmp = node.data_dir.join(TMP);
    let taken = write(node, &tmp).await;
    if taken.is_err() {
        // Half of one takes room from whoever needs it. The first error is the one to tell.
        let _ = spawn_blocking(move || disk::remove_file(tmp)).await;
    }
    taken
}

async fn write(node: &Rc<DataNode>, tmp: &Path) -> Result<End, SnapshotError> {
    let (head, mut at) = {
        let plane = node.plane.borrow();
        let saved = position(&plane).ok_or(SnapshotError::Interrupted)?;
        let cluster = plane.view.state.cluster_id.ok_or(SnapshotError::Interrupted)?;
        (
            Head { level: plane.level(), cluster },
            Reached { position: saved.position, replaced: plane.replaced },
        )
    };
    let mut walk = Walk::new(SlotSet::part(0, 1), at.position.offset, PIECE_BYTES);
    let mut file = Writing::begin(tmp.to_owned(), head).await?;
    let mut part = Part { effects: Vec::new(), full_bytes: 0, level: head.level };
    loop {
        let end = {
            let plane = node.plane.borrow();
            if node.beside.is_held.get() || plane.engine.is_sealed() {
                return Err(SnapshotError::Interrupted);
            }
            let history = at.go_on(&plane)?;
            if plane.level() != head.level {
                return Err(SnapshotError::LevelRose);
            }
            part.full_bytes = part.effects.len() + PIECE_BYTES;
            let walked = walk.go_on(&plane, &mut part)?;
            at.position = history.position_at(walk.cursor()).ok_or(SnapshotError::Interrupted)?;
            let saved = SavedPosition { position: at.position, lineage: history };
            let keys = plane.keyspace.len() as u64;
            (walked == Walked::Whole).then(|| End { sealed_by: None, taken_ms: unix_ms(), keys, saved })
        };
        if part.effects.len() >= PART_BYTES || end.is_some() {
            (file, part.effects) = file.part(std::mem::take(&mut part.effects)).await?;
        }
        if let Some(end) = end {
            // Whoever moves the older one to another name does not meet the newer.
            let _disk = node.disk.lock().await;
            file.end(&end, Copy::Snapshot.path(&node.data_dir)).await?;
            return Ok(end);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Up to where the walk has followed the dataset. It goes on by the rule of a partial resync: as a replica would that holds
/// what was handed on so far.
struct Reached {
    position: Position,
    /// [`Plane::replaced`] of it.
    replaced: u64,
}

impl Reached {
    fn go_on(&self, plane: &Plane) -> Result<Lineage, SnapshotError> {
        let history = history(plane).filter(|_| plane.replaced == self.replaced);
        let history = history.ok_or(SnapshotError::Interrupted)?;
        let (start, end) = (plane.backlog.start(), plane.backlog.end());
        match history.can_resume(Some(self.position), start, end) {
            Resync::Partial { from: _ } => Ok(history),
            Resync::Full { reason: FullReason::BacklogPassed { .. } } => Err(WalkError::BacklogPassed.into()),
            Resync::Full { reason: _ } => Err(SnapshotError::Interrupted),
        }
    }
}

/// What the walk yields, until it is written.
struct Part {
    effects: Vec<u8>,
    full_bytes: usize,
    level: Level,
}

impl Sink for Part {
    type Error = SnapshotError;

    fn is_full(&self) -> bool {
        self.effects.len() >= self.full_bytes
    }

    fn onward(&mut self, command: Onward<'_>) -> Result<(), SnapshotError> {
        let (Onward::Frame { command, .. } | Onward::Frames { command, .. } | Onward::Some(command)) =
            command;
        if command.level != self.level {
            return Err(SnapshotError::LevelRose);
        }
        self.effects.extend_from_slice(command.bytes);
        Ok(())
    }

    fn piece(&mut self, _: Slot, effects: Vec<u8>) -> Result<(), SnapshotError> {
        self.effects.extend_from_slice(&effects);
        Ok(())
    }
}

/// The file under its temporary name. Whatever touches the disk does so on another thread.
struct Writing {
    file: File,
    tmp: PathBuf,
    unsynced_bytes: usize,
}

impl Writing {
    async fn begin(tmp: PathBuf, head: Head) -> Result<Self, SnapshotError> {
        let begun = spawn_blocking(move || {
            let mut file = File::create(&tmp)?;
            file.write_all(&head.encode())?;
            Ok(Writing { file, tmp, unsynced_bytes: 0 })
        });
        begun.await.map_err(io::Error::other)?
    }

    /// Writes a part; hands its buffer back, empty.
    async fn part(mut self, mut effects: Vec<u8>) -> Result<(Self, Vec<u8>), SnapshotError> {
        let written = spawn_blocking(move || {
            let left_bytes = disk::free_bytes(&self.file)?;
            if left_bytes < ROOM_LEFT_BYTES + effects.len() as u64 {
                return Err(SnapshotError::NoRoom { left_bytes });
            }
            if !effects.is_empty() {
                write_part(&mut self.file, &effects)?;
            }
            self.unsynced_bytes += effects.len();
            if self.unsynced_bytes >= SYNC_BYTES {
                self.file.sync_data()?;
                self.unsynced_bytes = 0;
            }
            effects.clear();
            effects.shrink_to(2 * PART_BYTES);
            Ok((self, effects))
        });
        written.await.map_err(io::Error::other)?
    }

    async fn end(mut self, end: &End, path: PathBuf) -> Result<(), SnapshotError> {
        let end = end.encode();
        let written = spawn_blocking(move || {
            self.file.write_all(&end)?;
            publish(&self.file, &self.tmp, &path).map_err(CheckpointError::from)?;
            Ok(())
        });
        written.await.map_err(io::Error::other)?
    }
}
