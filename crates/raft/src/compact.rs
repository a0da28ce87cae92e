//! Writing the log anew: a snapshot of what is applied, and the entries behind it go.

use crate::node::{AskError, RaftNode};
use crate::types::{RAFT_REFUSED, Refusal};
use ironcache_types::Level;
use openraft::async_runtime::watch::WatchReceiver;

impl RaftNode {
    /// The lowest level of anything that this node's log and snapshot hold; the node's own, if they hold nothing. Looks
    /// at the header of every entry that is not purged: some thousands at most.
    pub fn oldest_level(&self) -> Level {
        let held = [self.wal().oldest_level(), self.machine().snapshot_level()];
        held.into_iter().flatten().min().unwrap_or_else(|| self.level())
    }

    /// Asks raft for a snapshot of what is applied, and to purge the log up to it. Returns at once: what is held
    /// afterwards is seen in [`oldest_level`](RaftNode::oldest_level).
    ///
    /// # Errors
    /// Raft has stopped on this node.
    pub async fn compact(&self) -> Result<(), AskError> {
        let raft = self.raft();
        let stopped =
            |error: openraft::errors::Fatal<_>| AskError::Refused(Refusal::new(RAFT_REFUSED, error));
        raft.trigger().snapshot().await.map_err(stopped)?;
        let covered = raft.metrics().borrow_watched().snapshot.map_or(0, |id| id.index);
        raft.trigger().purge_log(covered).await.map_err(stopped)
    }
}
