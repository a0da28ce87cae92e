//! A node whose applied state differs from the others' takes over theirs, and begins anew from it.
//!
//! ```text
//!  any node   snapshot_file(covers): the bytes of its file `snapshot`, taken anew if it does not cover that much
//!  odd node   taken_over(bytes): whole, of this cluster, readable, and of an entry that this node has applied and that is
//!             not before what its log was purged of
//!             shutdown ─► begin_anew: the file `snapshot` is replaced ─► the next process applies its own log on from there
//! ```
//! The log is what every node has alike; what was made of it differs. So the log stays, and with it every vote and promise.
//!
//! *Invariant:* the file is replaced only after raft has ended in this process, and what is still being built is not written
//! after that: no snapshot of the odd state follows.
//! *Invariant:* between the snapshot and the first entry that the log still holds nothing is missing.
//! *Invariant:* the snapshot ends at an entry that was committed and applied here too: its id and the log's are in order.

use crate::foreign::{self, Foreign};
use crate::node::RaftNode;
use crate::snapshot::{self, SnapshotError, SnapshotStore, Stored};
use ironcache_formats::snapshot as state_snapshot;
use ironcache_host::exec::spawn_blocking;
use ironcache_types::{ClusterId, NodeId};
use std::time::Duration;

/// A snapshot takes milliseconds to take; a node whose disk is slow is asked again.
const TAKEN_MAX: Duration = Duration::from_millis(5_000);

/// What another node has made of the log, whole and checked.
#[derive(Clone, Debug)]
pub struct TakenOver {
    from: NodeId,
    covers: u64,
    stored: Stored,
}

#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("no snapshot is taken here: {0}")]
    NotTaken(String),
    #[error("no snapshot that covers entry {covers} was taken within {} ms", TAKEN_MAX.as_millis())]
    Late { covers: u64 },
    #[error("the snapshot cannot be used")]
    File(#[from] SnapshotError),
    #[error("the state in the snapshot cannot be used")]
    State(#[from] state_snapshot::OpenError),
    #[error("the snapshot is of cluster {found:?}, and this node belongs to {ours:?}")]
    OtherCluster { found: Option<ClusterId>, ours: Option<ClusterId> },
    #[error("the snapshot is none of this node's log")]
    Foreign(#[from] Foreign),
    #[error(
        "the snapshot covers entry {covers}, and the log here was purged up to {purged}: the entries between are gone"
    )]
    Gap { covers: u64, purged: u64 },
    #[error("the snapshot is to cover entry {covers}, and this node has applied no more than {applied}")]
    Ahead { covers: u64, applied: u64 },
    #[error("raft has not ended in this process: its own snapshot might follow")]
    StillRunning,
}

impl TakenOver {
    /// Whose it was.
    pub fn from(&self) -> NodeId {
        self.from
    }

    /// The last entry that it is made of.
    pub fn covers(&self) -> u64 {
        self.covers
    }
}

impl RaftNode {
    /// The file `snapshot` of this node, of all entries up to `covers` at least.
    ///
    /// # Errors
    /// It cannot be taken now, or so much was never applied here: nothing is taken for that.
    pub async fn snapshot_file(&self, covers: u64) -> Result<Vec<u8>, ReloadError> {
        self.check_applied(covers)?;
        let does = |node: &RaftNode| node.machine().snapshot_index().is_some_and(|index| index >= covers);
        if !does(self) {
            let asked = self.raft().trigger().snapshot().await;
            asked.map_err(|error| ReloadError::NotTaken(error.to_string()))?;
            let taken = async {
                while !does(self) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(TAKEN_MAX, taken).await.map_err(|_| ReloadError::Late { covers })?;
        }
        let stored = self.machine().snapshot().ok_or(ReloadError::Late { covers })?;
        Ok(snapshot::to_bytes(self.view().node, &stored)?)
    }

    /// The entries that a snapshot has to cover if it is to take the place of this node's.
    pub fn has_to_cover(&self) -> u64 {
        self.wal().purged().map_or(0, |id| id.index)
    }

    /// What another node sent as its file `snapshot`, if this one can begin from it.
    ///
    /// # Errors
    /// It is damaged, of another cluster or a level that is not admitted, too old for the log here, or of an entry that was
    /// not applied here yet.
    pub fn taken_over(&self, bytes: &[u8]) -> Result<TakenOver, ReloadError> {
        let (from, stored) = snapshot::from_bytes(bytes, "of another node".as_ref())?;
        let state_snapshot::Snapshot { state, .. } = state_snapshot::open(&stored.data, self.admits())?;
        let (found, ours) = (state.cluster_id, self.cluster());
        if found.is_none() || found != ours {
            return Err(ReloadError::OtherCluster { found, ours });
        }
        foreign::check(&state, &self.applied().borrow().state)?;
        let covers = stored.meta.last_log_id.map_or(0, |id| id.index);
        let taken = TakenOver { from, covers, stored };
        self.check(&taken)?;
        Ok(taken)
    }

    /// Has the next process begin from `taken`. To be called after [`shutdown`](RaftNode::shutdown).
    ///
    /// # Errors
    /// Nothing was changed, or the disk failed when the file had its name already.
    pub async fn begin_anew(&self, taken: TakenOver) -> Result<(), ReloadError> {
        if !self.has_ended() {
            return Err(ReloadError::StillRunning);
        }
        self.check(&taken)?;
        let store: SnapshotStore = self.machine().store();
        let replaced = spawn_blocking(move || store.replace(&taken.stored)).await;
        Ok(replaced.map_err(|error| ReloadError::NotTaken(error.to_string()))??)
    }

    fn check(&self, taken: &TakenOver) -> Result<(), ReloadError> {
        let (covers, purged) = (taken.covers, self.has_to_cover());
        if covers < purged {
            return Err(ReloadError::Gap { covers, purged });
        }
        self.check_applied(covers)
    }

    fn check_applied(&self, covers: u64) -> Result<(), ReloadError> {
        let applied = self.applied().borrow().index;
        if covers > applied { Err(ReloadError::Ahead { covers, applied }) } else { Ok(()) }
    }
}
