//! Who this node is, and which cluster it belongs to.
//!
//! *Invariant:* a node joins at most one cluster in its life, durably, before it answers the first RPC of it; and none but
//! the one that it was bound to, if it was.
//! *Invariant:* the level of the cluster that it joins is durable before the joining is.
//! *Invariant:* nothing is answered by a log that is not durable, or that went back.

use crate::admission::Admission;
use crate::bodies::v1::RpcHeader;
use crate::level::{NodeLevel, RaiseError};
use crate::lives::{self, Lives, WentBack};
use crate::machine::AppliedView;
use crate::wal::Wal;
use ironcache_types::{ClusterId, Incarnation, Level, Member, NodeId};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use tokio::sync::{Mutex, oneshot, watch};

#[derive(Debug)]
pub(crate) struct Identity {
    pub node: NodeId,
    present: Incarnation,
    /// The newest life that was admitted, this one once it is.
    remembered: AtomicU64,
    wal: Wal,
    failure: watch::Receiver<Option<String>>,
    level: NodeLevel,
    may_join: Arc<dyn MayJoin>,
    /// Who has registered.
    views: watch::Receiver<Arc<AppliedView>>,
    admission: watch::Sender<Admission>,
    /// Of each node the life that was named in this node's own output: once is enough.
    named: std::sync::Mutex<BTreeMap<NodeId, Incarnation>>,
    /// Held while a first cluster is made durable, so that two callers cannot each win.
    joining: Mutex<()>,
}

/// Which cluster a node that belongs to none joins, when a member of it calls.
pub trait MayJoin: fmt::Debug + Send + Sync {
    fn may_join(&self, cluster: ClusterId) -> bool;
}

/// Whichever.
#[derive(Clone, Copy, Debug)]
pub struct AnyCluster;

impl MayJoin for AnyCluster {
    fn may_join(&self, _cluster: ClusterId) -> bool {
        true
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("this node is in no cluster yet, and cluster {theirs} is none that it was bound to")]
    OtherBinding { theirs: ClusterId },
    #[error("this node belongs to cluster {mine}, the caller to {theirs}: check the peer address")]
    OtherCluster { mine: ClusterId, theirs: ClusterId },
    #[error("this is node {mine}, the caller means {theirs}: that node moved, or its address was taken over")]
    OtherNode { mine: NodeId, theirs: NodeId },
    #[error("this node cannot join a cluster of that level")]
    Level(#[from] RaiseError),
    #[error("the raft log cannot record which cluster this node joins")]
    Io(#[from] io::Error),
    #[error(transparent)]
    WentBack(#[from] WentBack),
    #[error("this node's own log went back: it takes part in nothing")]
    MyLogWentBack,
    #[error("this node was started a moment ago, and a majority has not compared its log yet")]
    NotAdmitted,
    #[error("what this node's log says is not on its disk for certain: {0}")]
    NotDurable(String),
}

impl Identity {
    pub(crate) fn new(
        me: Member,
        wal: Wal,
        level: NodeLevel,
        may_join: Arc<dyn MayJoin>,
        views: watch::Receiver<Arc<AppliedView>>,
    ) -> Self {
        let Member { node, incarnation: present } = me;
        Identity {
            node,
            present,
            remembered: AtomicU64::new(wal.life().unwrap_or_default().0),
            failure: wal.failure(),
            wal,
            level,
            may_join,
            views,
            admission: watch::Sender::default(),
            named: std::sync::Mutex::default(),
            joining: Mutex::default(),
        }
    }

    /// What this node says of its lives.
    pub(crate) fn lives(&self) -> Lives {
        Lives { remembered: Incarnation(self.remembered.load(Ordering::Acquire)), present: self.present }
    }

    pub(crate) fn admission(&self) -> watch::Receiver<Admission> {
        self.admission.subscribe()
    }

    pub(crate) fn went_back(&self) -> Option<WentBack> {
        match &*self.admission.borrow() {
            Admission::WentBack(went_back) => Some(went_back.clone()),
            Admission::Comparing | Admission::New | Admission::Admitted => None,
        }
    }

    /// The newest life of `node` that this node has applied.
    fn registered(&self, node: NodeId) -> Option<Incarnation> {
        self.views.borrow().state.nodes.get(&node).map(|node| node.incarnation)
    }

    /// Compares what `node` says of its lives with what this node has applied. The first time that a life is found out,
    /// it is named.
    pub(crate) fn compare(&self, node: NodeId, lives: Lives) -> Result<(), WentBack> {
        lives::compare(node, lives, self.registered(node)).inspect_err(|went_back| {
            let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            if named.insert(node, went_back.present) != Some(went_back.present) {
                tracing::error!("{went_back}");
            }
        })
    }

    /// Another node, or this node's own log, knows of a later life.
    pub(crate) fn note_went_back(&self, went_back: WentBack) {
        self.admission.send_if_modified(|now| match now {
            Admission::WentBack(_) => false,
            Admission::Comparing | Admission::New | Admission::Admitted => {
                tracing::error!("this node takes part in nothing any more: {went_back}");
                *now = Admission::WentBack(went_back);
                true
            }
        });
    }

    /// Returns when the log says durably that this life was admitted.
    pub(crate) async fn be_admitted(&self) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        self.wal.save_life(self.present, Box::new(move |result| drop(done.send(result))))?;
        durable.await.map_err(io::Error::other)??;
        self.remembered.store(self.present.0, Ordering::Release);
        self.advance(Admission::Admitted);
        Ok(())
    }

    /// The log is empty: there is nothing in it that could have gone back.
    pub(crate) fn be_new(&self) {
        self.advance(Admission::New);
    }

    fn advance(&self, next: Admission) {
        self.admission.send_if_modified(|now| match now {
            Admission::Comparing | Admission::New => {
                *now = next;
                true
            }
            Admission::Admitted | Admission::WentBack(_) => false,
        });
    }

    /// # Errors
    /// Not before it is admitted, and never if its log went back.
    pub(crate) fn may_vote(&self) -> Result<(), IdentityError> {
        match &*self.admission.borrow() {
            Admission::New | Admission::Admitted => Ok(()),
            Admission::Comparing => Err(IdentityError::NotAdmitted),
            Admission::WentBack(_) => Err(IdentityError::MyLogWentBack),
        }
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
        let (cluster, lives) = (self.cluster()?, self.lives().into());
        let heard = self.registered(to).unwrap_or_default().0;
        Some(RpcHeader { cluster: cluster.0, from: self.node.0, to: to.0, lives, heard })
    }

    /// Refuses a request of another cluster, for another node, or of one whose log went back, and any while this node's
    /// own log is not to be relied on. A node without a cluster joins the caller's, which
    /// writes at `level`.
    pub(crate) async fn admit(&self, header: RpcHeader, level: Level) -> Result<(), IdentityError> {
        let RpcHeader { cluster, from, to, lives, heard } = header;
        let to = NodeId(to);
        if to != self.node {
            return Err(IdentityError::OtherNode { mine: self.node, theirs: to });
        }
        if let Some(why) = &*self.failure.borrow() {
            return Err(IdentityError::NotDurable(why.clone()));
        }
        self.join(ClusterId(cluster), level).await?;
        self.compare(NodeId(from), lives.into())?;
        if let Err(went_back) = lives::compare(self.node, self.lives(), Some(Incarnation(heard))) {
            self.note_went_back(went_back);
        }
        if self.went_back().is_some() { Err(IdentityError::MyLogWentBack) } else { Ok(()) }
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
        if !self.may_join.may_join(cluster) {
            return Err(IdentityError::OtherBinding { theirs: cluster });
        }
        self.level.make_durable(level)?;
        let (done, durable) = oneshot::channel();
        self.wal.save_cluster(cluster, Box::new(move |result| drop(done.send(result))))?;
        durable.await.map_err(io::Error::other)??;
        self.level.begin(level);
        Ok(())
    }
}
