//! Writing the log anew: a snapshot of what is applied, and the entries behind it go.

use crate::node::{AskError, RaftNode};
use ironcache_types::Level;
use openraft::async_runtime::watch::WatchReceiver;

impl RaftNode {
    /// The lowest level of anything that this node's log and snapshot hold.
    pub fn oldest_level(&self) -> Level {
        // Every entry and every snapshot is of the first level as long as no other is defined.
        Level::FIRST
    }

    /// Asks raft for a snapshot of what is applied, and to purge the log up to it. Returns at once: what is held
    /// afterwards is seen in [`oldest_level`](RaftNode::oldest_level).
    ///
    /// # Errors
    /// Raft has stopped on this node.
    pub async fn compact(&self) -> Result<(), AskError> {
        let raft = self.raft();
        let stopped = |error: openraft::errors::Fatal<_>| AskError::Refused { reason: error.to_string() };
        raft.trigger().snapshot().await.map_err(stopped)?;
        let covered = raft.metrics().borrow_watched().snapshot.map_or(0, |id| id.index);
        raft.trigger().purge_log(covered).await.map_err(stopped)
    }
}
