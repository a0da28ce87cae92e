//! Who this node is, and which cluster it belongs to.
//!
//! *Invariant:* a node joins at most one cluster in its life, durably, before it answers the first RPC of it.
//! *Invariant:* the level of the cluster that it joins is durable before the joining is.

use crate::bodies::v1::RpcHeader;
use crate::level::{NodeLevel, RaiseError};
use crate::wal::Wal;
use ironcache_types::{ClusterId, Level, NodeId};
use std::io;
use tokio::sync::{Mutex, oneshot};

#[derive(Debug)]
pub(crate) struct Identity {
    pub node: NodeId,
    wal: Wal,
    level: NodeLevel,
    /// Held while a first cluster is made durable, so that two callers cannot each win.
    joining: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("this node belongs to cluster {mine}, the caller to {theirs}: check the peer address")]
    OtherCluster { mine: ClusterId, theirs: ClusterId },
    #[error("this is node {mine}, the caller means {theirs}: that node moved, or its address was taken over")]
    OtherNode { mine: NodeId, theirs: NodeId },
    #[error("this node cannot join a cluster of that level")]
    Level(#[from] RaiseError),
    #[error("the raft log cannot record which cluster this node joins")]
    Io(#[from] io::Error),
}

impl Identity {
    pub(crate) fn new(node: NodeId, wal: Wal, level: NodeLevel) -> Self {
        Identity { node, wal, level, joining: Mutex::default() }
    }

    /// What this node writes at.
    pub(crate) fn level(&self) -> Level {
        self.level.now()
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.wal.cluster()
    }

    /// What this node puts in front of a request; `None` while it belongs to no cluster.
    pub(crate) fn header(&self, to: NodeId) -> Option<RpcHeader> {
        Some(RpcHeader::new(self.cluster()?, self.node, to))
    }

    /// Refuses a request of another cluster or for another node. A node without a cluster joins the caller's, which
    /// writes at `level`.
    pub(crate) async fn admit(&self, header: RpcHeader, level: Level) -> Result<(), IdentityError> {
        let RpcHeader { cluster, from: _, to } = header;
        let to = NodeId(to);
        if to != self.node {
            return Err(IdentityError::OtherNode { mine: self.node, theirs: to });
        }
        self.join(ClusterId(cluster), level).await
    }

    /// Returns when the membership is durable; does nothing if this node is in `cluster` already.
    pub(crate) async fn join(&self, cluster: ClusterId, level: Level) -> Result<(), IdentityError> {
        // The common case costs no lock of ours. What the log says here may not be synced yet, but
        // whoever set it waits for that, and nothing raft acknowledges overtakes it in the log.
        let check = |mine: ClusterId| match mine == cluster {
            true => Ok(()),
            false => Err(IdentityError::OtherCluster { mine, theirs: cluster }),
        };
        if let Some(mine) = self.cluster() {
            return check(mine);
        }
        let _joining = self.joining.lock().await;
        if let Some(mine) = self.cluster() {
            return check(mine);
        }
        self.level.make_durable(level)?;
        let (done, durable) = oneshot::channel();
        self.wal.save_cluster(cluster, Box::new(move |result| drop(done.send(result))))?;
        durable.await.map_err(io::Error::other)??;
        self.level.begin(level);
        Ok(())
    }
}
