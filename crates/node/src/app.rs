//! What the tasks of the control plane share.

use crate::config::Config;
use crate::data::{DataHandle, DataSnapshot};
use crate::doors::Doors;
use crate::ground::Wants;
use crate::http::Refusals;
use crate::keeper::KeeperHandle;
use crate::launcher::LauncherView;
use crate::removed;
use ironcache_api::DataStatus;
use ironcache_coordinator::WaitingOn;
use ironcache_raft::{Admission, RaftNode};
use ironcache_shard::Grantor;
use ironcache_spine::{LAUNCHER_PROTOCOL, SlotStore};
use ironcache_types::{MachineId, Member, NodeId, Release, WireRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

/// Binaries that come in from operators at a time: one, and another one beside it whose sender has stalled. Each may take a
/// gigabyte of the disk.
pub(crate) const UPLOADS_MAX: usize = 2;

/// One node's control plane. Everything in it can be asked from any task.
pub(crate) struct App {
    pub config: Arc<Config>,
    pub me: Member,
    /// What this process runs.
    pub release: Release,
    pub raft: RaftNode,
    pub data: DataHandle,
    pub keeper: KeeperHandle,
    pub slots: Arc<SlotStore>,
    pub launcher: watch::Receiver<LauncherView>,
    /// For peers and the leader; keeps connections open.
    pub client: ironcache_host::http::Client,
    pub doors: Arc<Doors>,
    /// Where it runs.
    pub machine: MachineId,
    /// What it was told to have, before that was fitted to what there is.
    pub wants: Wants,
    pub started: Instant,
    /// Has this process applied up to a commit index that a leader confirmed after it started?
    pub log_is_current: watch::Receiver<bool>,
    /// Held while a binary is in its slot and the log does not say so yet: slots are tidied with nobody in here.
    pub incoming: tokio::sync::RwLock<()>,
    /// One for each binary that may come in from an operator at a time.
    pub uploads: Arc<Semaphore>,
    /// This process was told to stop: it takes no role any more.
    leaving: AtomicBool,
    /// The others said that this node left the cluster for good.
    removed: AtomicBool,
    /// Somebody said that this node holds another control state than most: it looks itself.
    pub look_at_hashes: Notify,
    /// One for the snapshot that is given to an odd node.
    pub snapshots: Semaphore,
    /// It does, and why that stays so.
    odd: Mutex<Option<String>>,
    /// Why it cannot stop: it holds what nobody else holds.
    stays: Mutex<Option<String>>,
    /// Attempts that the HTTP port refused.
    pub refused: Arc<Refusals>,
    /// Attempts that the peer port refused.
    pub refused_peers: Arc<Refusals>,
    lead: Mutex<Lead>,
    grantor: Mutex<Grantor>,
}

/// What the leader's loop last saw and decided; empty on followers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lead {
    pub reports: BTreeMap<NodeId, Seen>,
    /// What the coordinator waits for.
    pub waiting_on: Vec<WaitingOn>,
    /// For how long the plan has soaked, as this leader counts.
    pub soaked_ms: Option<u64>,
}

/// A node's newest report, and when it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub report: NodeReport,
    pub at: Instant,
}

/// What a node tells the leader: `GET /node/report` on the peer port, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeReport {
    pub member: Member,
    pub release: Release,
    /// Does it serve its role?
    pub ready: bool,
    pub applied_index: u64,
    /// The newest log indexes at which every node hashes its state, and the hashes there; oldest first.
    #[serde(default)]
    pub state_hashes: Vec<(u64, u64)>,
    /// Why its binary cannot be changed, if so.
    pub cannot_upgrade: Option<String>,
    /// Why it cannot keep the tail of another shard, if so.
    #[serde(default)]
    pub cannot_keep: Option<ironcache_api::CannotKeep>,
    pub data: DataStatus,
}

/// What an [`App`] is made of.
pub(crate) struct Parts {
    pub config: Arc<Config>,
    pub wants: Wants,
    pub me: Member,
    pub release: Release,
    pub raft: RaftNode,
    pub data: DataHandle,
    pub keeper: KeeperHandle,
    pub slots: Arc<SlotStore>,
    pub launcher: watch::Receiver<LauncherView>,
    pub log_is_current: watch::Receiver<bool>,
    pub client: ironcache_host::http::Client,
    pub doors: Arc<Doors>,
}

impl App {
    /// The protocols that this node's running launcher speaks. Without a launcher no other one will do either.
    pub(crate) fn launcher_protocol(&self) -> WireRange {
        self.launcher.borrow().protocol.unwrap_or(LAUNCHER_PROTOCOL)
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            config,
            wants,
            me,
            release,
            raft,
            data,
            keeper,
            slots,
            launcher,
            log_is_current,
            client,
            doors,
        } = parts;
        Self {
            config,
            me,
            release,
            raft,
            data,
            keeper,
            slots,
            launcher,
            client,
            doors,
            machine: crate::identity::machine(),
            wants,
            started: Instant::now(),
            log_is_current,
            incoming: tokio::sync::RwLock::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            leaving: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            look_at_hashes: Notify::new(),
            snapshots: Semaphore::new(1),
            odd: Mutex::default(),
            stays: Mutex::default(),
            refused: Arc::default(),
            refused_peers: Arc::default(),
            lead: Mutex::default(),
            grantor: Mutex::default(),
        }
    }

    /// Whom this node has granted a lease, while it leads. Held across no await.
    pub(crate) fn grantor(&self) -> MutexGuard<'_, Grantor> {
        self.grantor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leader's last observation. A std mutex: held to copy or replace, never across an await.
    pub(crate) fn lead(&self) -> MutexGuard<'_, Lead> {
        self.lead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process stops: it gives its roles away, is not ready for another one, and refuses one.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.data.leave();
        self.keeper.leave();
    }

    /// This node was told that it left for good.
    pub(crate) fn mark_removed(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// This node holds another control state than most, and keeps it. Said once for each reason.
    pub(crate) fn is_odd(&self, why: String) {
        let mut odd = self.odd.lock().unwrap_or_else(PoisonError::into_inner);
        if odd.as_ref() != Some(&why) {
            tracing::error!("{why}");
            *odd = Some(why);
        }
    }

    /// This node holds what most others hold.
    pub(crate) fn agrees(&self) {
        if self.odd.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("this node holds the control state of most others again");
        }
    }

    /// Why this node keeps another control state than most, if it does.
    pub(crate) fn odd(&self) -> Option<String> {
        self.odd.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This process holds the only copy of its dataset, cannot write it, and serves on. Said once for each reason.
    pub(crate) fn stays(&self, why: String) {
        let mut stays = self.stays.lock().unwrap_or_else(PoisonError::into_inner);
        if stays.as_ref() != Some(&why) {
            tracing::error!(
                why,
                "this node does not stop: it holds the only copy of its shard's dataset, and cannot write it. Make room, or \
                 bring a replica in sync; asked a second time it ends all the same"
            );
            *stays = Some(why);
        }
    }

    /// Is this node what the applied state says it is? `Err` says what is missing.
    pub(crate) async fn readiness(&self) -> Result<(), String> {
        let data = self.data.snapshot().await.map_err(|error| error.to_string())?;
        self.ready_with(&data)
    }

    /// The same, for the data plane as it was shown: what is told together is of one moment.
    pub(crate) fn ready_with(&self, data: &DataSnapshot) -> Result<(), String> {
        if self.removed.load(Ordering::Relaxed)
            || self.raft.applied().borrow().state.removed.contains(&self.me.node)
        {
            return Err(removed::text(self));
        }
        if let Some(why) = self.odd() {
            return Err(why);
        }
        let stays = self.stays.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(why) = stays {
            return Err(format!(
                "this node is to end, and stays: it holds the only copy of its dataset, and {why}"
            ));
        }
        if self.leaving.load(Ordering::Relaxed) {
            return Err("this node is being stopped".to_owned());
        }
        if let Some(why) = self.raft.view().stopped {
            return Err(format!("raft has stopped on this node: {why}"));
        }
        if let Admission::WentBack(why) = &*self.raft.admission().borrow() {
            return Err(why.to_string());
        }
        let view = self.raft.applied().borrow().clone();
        let state = &view.state;
        if state.cluster_id.is_none() {
            return Err("this node belongs to no cluster yet".to_owned());
        }
        let Some(node) = state.nodes.get(&self.me.node) else {
            return Err("this node is not part of the cluster".to_owned());
        };
        if let Some(trouble) = data.trouble {
            return Err(trouble.to_string());
        }
        if node.incarnation != self.me.incarnation {
            return Err("this process has not registered yet".to_owned());
        }
        if !*self.log_is_current.borrow() {
            return Err("catching up with the log".to_owned());
        }
        if data.settled {
            Ok(())
        } else {
            Err(format!("the dataset is not in place yet (role: {})", data.status.role))
        }
    }
}

impl App {
    /// What this node tells the leader of itself.
    pub(crate) async fn report(&self) -> Result<NodeReport, crate::data::DataStopped> {
        let view = Arc::clone(&self.raft.applied().borrow());
        let data = self.data.snapshot().await?;
        let ready = self.ready_with(&data).is_ok();
        let launcher = self.launcher.borrow().facts.clone();
        let cannot_upgrade = match launcher.phase {
            ironcache_agent::LauncherPhase::Absent => {
                Some("it runs without a launcher; start it with `ironcache server`".to_owned())
            }
            ironcache_agent::LauncherPhase::Idle | ironcache_agent::LauncherPhase::Trial { .. } => {
                launcher.degraded
            }
        };
        Ok(NodeReport {
            member: self.me,
            release: self.release.clone(),
            ready,
            applied_index: view.index,
            state_hashes: view.hashes.iter().map(|at| (at.index, at.hash)).collect(),
            cannot_upgrade,
            cannot_keep: self.keeper.cannot_keep(),
            data: data.status,
        })
    }
}
