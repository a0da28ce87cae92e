//! The handle that the daemon holds: one raft node with its log, its state and its connections.
//!
//! ```text
//! propose ─► leader? ─ yes ─► raft ─► log ─► committed ─► ControlState ─► watch ─► everyone
//!               └──── no ──► POST /raft/forward to the leader, again until the deadline
//! ```
//!
//! *Invariant:* every verb works on every node, and may be called again when its outcome is unknown.

use crate::admission::{self, Admission};
use crate::ask::{Answer, Ask};
use crate::bodies::v1;
use crate::contact::Contact;
use crate::ended::Ended;
use crate::identity::{Identity, IdentityError};
use crate::leader::proposed;
use crate::level::NodeLevel;
use crate::machine::{AppliedView, MachineError, StateMachine};
use crate::network::client::{CallError, Peers};
use crate::network::server::REMOVED_STATUS;
use crate::network::{FORWARD, server};
use crate::options::RaftOptions;
use crate::snapshot::SnapshotStore;
use crate::types::{PeerAddr, Proposed, RAFT_REFUSED, REMOVED, Refusal, Role, TypeConfig, node_id};
use crate::view::{LeaderView, RaftView};
use crate::wal::file::DiskFile;
use crate::wal::{LogStore, REJOIN, Wal, WalError};
use axum::Router;
use ironcache_control::{Proposal, RaftTimers};
use ironcache_formats::entry::{self, EntryBytes, NOT_YET, SealError};
use ironcache_formats::snapshot;
use ironcache_host::exec::spawn_blocking;
use ironcache_store::disk::{self, File};
use ironcache_store::{LevelError, sync_parent};
use ironcache_types::{ClusterId, Incarnation, Level, LevelRange, Member, NodeId, RequestId, chain};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::{Raft, ServerState};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Raft reports within a millisecond of its start; a machine that needs this long is not usable.
const FIRST_REPORT_MAX: Duration = Duration::from_secs(10);

/// Clones share the node.
#[derive(Clone)]
pub struct RaftNode {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub options: RaftOptions,
    pub timers: RaftTimers,
    pub contact: Contact,
    pub identity: Arc<Identity>,
    pub raft: Raft<TypeConfig, StateMachine>,
    wal: Wal,
    pub views: watch::Receiver<Arc<AppliedView>>,
    pub peers: Peers,
    leader: watch::Receiver<LeaderView>,
    /// Copies leadership from openraft's metrics to `leader`.
    follower_of_metrics: JoinHandle<()>,
    /// What openraft applies to.
    machine: StateMachine,
    /// The number of the next request that this process names.
    next_request: AtomicU64,
    /// Drawn at start: the upper half of this process's request ids.
    request_prefix: u64,
    /// Held while the node runs: one process a directory.
    lock: Mutex<Option<File>>,
    /// Has the others compare this node's lives.
    admission: Mutex<Option<JoinHandle<()>>>,
}

/// Why a node was not opened. Nothing on disk was changed, but for a torn tail that was cut off.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the raft directory {} cannot be used", dir.display())]
    Dir { dir: PathBuf, source: io::Error },
    #[error("the raft directory {} is in use by another process; stop that one first", dir.display())]
    InUse { dir: PathBuf },
    #[error("cannot open the raft log in {}", dir.display())]
    Wal { dir: PathBuf, source: WalError },
    #[error(transparent)]
    Level(#[from] LevelError),
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// What is stored goes on to an entry that this release cannot apply.
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error(
        "the raft log in {} was purged up to entry {purged}, but the snapshot covers {snapshot:?}; restore the file \
         `snapshot`, or remove this node from the cluster and add a new one",
        dir.display()
    )]
    SnapshotMissing { dir: PathBuf, purged: u64, snapshot: Option<u64> },
    #[error(
        "log went back: there is no `raft.wal` in {}, and this node is a member of a cluster: what it promised to the \
         others is lost, so it must not go on under its id. Put the file back if it is the newest one; else {REJOIN}",
        dir.display()
    )]
    LogMissing { dir: PathBuf },
    #[error(
        "log went back: the raft log in {} knows of life {newest} of this node, and the process that starts is {me}: \
         the file `node.json` beside it is an older copy; {REJOIN}",
        dir.display()
    )]
    LifeWentBack { dir: PathBuf, me: Member, newest: Incarnation },
    #[error("the raft timers are not usable: {0}")]
    Timers(#[from] openraft::ConfigError),
    #[error("raft does not start: {0}")]
    Raft(String),
}

#[derive(Debug, thiserror::Error)]
pub enum InitializeNodeError {
    #[error("node {node} is not among the voters; a cluster is initialized on one of them")]
    NotAVoter { node: NodeId },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("raft refused: {0}")]
    Raft(String),
    #[error("the cluster is founded, but not every node is a member yet; initialize it again to go on")]
    Learners(#[from] AskError),
}

/// Why a verb has no outcome. After [`AskError::Unknown`] it may have happened: ask again.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(
        "no outcome within {after_ms} ms, it is unknown whether it happened; the last attempt said: {last}"
    )]
    Unknown { after_ms: u64, last: String },
    #[error("refused: {0}")]
    Refused(Refusal),
}

impl OpenError {
    /// What is stored is older than what this node has promised: nobody may start it as it is.
    pub fn went_back(&self) -> bool {
        match self {
            OpenError::LogMissing { .. }
            | OpenError::LifeWentBack { .. }
            | OpenError::SnapshotMissing { .. }
            | OpenError::Wal { source: WalError::WentBack { .. }, .. } => true,
            OpenError::Wal { .. }
            | OpenError::Ended(_)
            | OpenError::Level(_)
            | OpenError::Machine(_)
            | OpenError::Dir { .. }
            | OpenError::InUse { .. }
            | OpenError::Timers(_)
            | OpenError::Raft(_) => false,
        }
    }

    /// The level of what is stored, if this release does not admit it: another one has to run here.
    pub fn above_level(&self) -> Option<Level> {
        match self {
            OpenError::Ended(Ended::AboveLevel { level, .. })
            | OpenError::Level(LevelError::Above { level, .. })
            | OpenError::Machine(MachineError::State(snapshot::OpenError::AboveLevel { level, .. })) => {
                Some(*level)
            }
            OpenError::Ended(_)
            | OpenError::Level(_)
            | OpenError::Machine(_)
            | OpenError::Dir { .. }
            | OpenError::InUse { .. }
            | OpenError::Wal { .. }
            | OpenError::SnapshotMissing { .. }
            | OpenError::LogMissing { .. }
            | OpenError::LifeWentBack { .. }
            | OpenError::Timers(_)
            | OpenError::Raft(_) => None,
        }
    }
}

impl RaftNode {
    /// Opens the node of `options.dir`, or makes a new one there. A new one waits for
    /// [`initialize`](RaftNode::initialize), or to be made a member by another node. A node that was a
    /// member goes on as one. Needs no quorum and no network.
    pub async fn open(options: RaftOptions) -> Result<RaftNode, OpenError> {
        let dir = || options.dir.clone();
        let lock = lock_dir(&options)?;
        let (log_path, snapshot_path) = (options.dir.join("raft.wal"), options.dir.join("snapshot"));
        let exists = |path: &Path| disk::exists(path).map_err(|source| OpenError::Dir { dir: dir(), source });
        if !exists(&log_path)? && (exists(&snapshot_path)? || options.is_member) {
            return Err(OpenError::LogMissing { dir: dir() });
        }
        let level = NodeLevel::new(options.level.clone(), options.admits)?;
        let file = DiskFile::new(log_path);
        let wal = Wal::open(file, options.node).map_err(|source| OpenError::Wal { dir: dir(), source })?;
        let machine = StateMachine::open(SnapshotStore::new(snapshot_path, options.node), level.clone())?;
        let snapshot = machine.snapshot_index();
        if let Some(purged) = wal.purged().map(|id| id.index)
            && snapshot.is_none_or(|covered| covered < purged)
        {
            return Err(OpenError::SnapshotMissing { dir: dir(), purged, snapshot });
        }
        let timers = options.timers.resolve(&machine, &wal);
        let config = Arc::new(options.config(timers)?);
        let me = Member { node: options.node, incarnation: options.incarnation };
        if let Some(newest) = wal.life().filter(|newest| *newest >= me.incarnation) {
            return Err(OpenError::LifeWentBack { dir: dir(), me, newest });
        }
        let identity =
            Arc::new(Identity::new(me, wal.clone(), level, Arc::clone(&options.may_join), machine.views()));
        let peers = Peers::new(identity.clone(), &options);
        let (views, applies_to) = (machine.views(), machine.clone());
        let log = LogStore::new(wal.clone());
        let raft = Raft::new(options.node.0, config, peers.clone(), log, machine).await.map_err(|error| {
            match applies_to.ended() {
                Some(why) => OpenError::Ended(why),
                None => OpenError::Raft(chain(&error)),
            }
        })?;
        // Until its first report, the metrics would show an empty node.
        let stored = wal.last().map(|id| id.index);
        raft.wait(Some(FIRST_REPORT_MAX))
            .metrics(|metrics| metrics.last_log_index >= stored, "raft has reported what is stored")
            .await
            .map_err(|error| OpenError::Raft(chain(&error)))?;
        let metrics = raft.metrics();
        peers.look_up_with(move |to| {
            metrics.borrow_watched().membership_config.membership().get_node(&to.0).cloned()
        });
        let (follower_of_metrics, leader) = follow_leader(&raft);
        let contact = Contact::new(timers.lease_ms());
        contact.leads_by(raft.clone());
        let inner = Inner {
            contact,
            identity,
            raft,
            wal,
            views,
            peers,
            leader,
            follower_of_metrics,
            machine: applies_to,
            next_request: AtomicU64::new(0),
            request_prefix: random(),
            lock: Mutex::new(Some(lock)),
            admission: Mutex::default(),
            options,
            timers,
        };
        let node = RaftNode { inner: Arc::new(inner) };
        let voters = node.view().voters;
        if voters.is_empty() {
            node.inner.identity.be_new();
            node.inner.raft.runtime_config().elect(true);
        } else if voters == [me.node]
            && let Err(error) = node.inner.take_part().await
        {
            tracing::warn!(%error, "this life of the node is not admitted: its log cannot record it");
        }
        let admission = tokio::spawn(admission::run(Arc::downgrade(&node.inner)));
        *node.inner.admission.lock().unwrap_or_else(PoisonError::into_inner) = Some(admission);
        Ok(node)
    }

    /// The peer port's routes, all under `/raft/`.
    pub fn router(&self) -> Router {
        server::router(self.inner.clone())
    }

    /// Founds a cluster that begins at `level`, which every member admits: this node, a new one, and the others as they
    /// come up. Returns when a leader is elected and the learners are members of the log. The founder must be a voter.
    /// Called again for the same cluster it goes on where it was; the voters are those of the first call.
    ///
    /// # Errors
    /// What kept it from being founded; nothing is, if this release does not admit the level.
    pub async fn initialize(
        &self,
        cluster: ClusterId,
        level: Level,
        members: BTreeMap<NodeId, (PeerAddr, Role)>,
    ) -> Result<(), InitializeNodeError> {
        let node = self.inner.options.node;
        let (voters, learners): (BTreeMap<_, _>, BTreeMap<_, _>) =
            members.into_iter().partition(|(_, (_, role))| *role == Role::Voter);
        if !voters.contains_key(&node) {
            return Err(InitializeNodeError::NotAVoter { node });
        }
        self.inner.identity.join(cluster, level).await?;
        let voters: BTreeMap<u64, PeerAddr> =
            voters.into_iter().map(|(id, (addr, _))| (id.0, addr)).collect();
        match self.inner.raft.initialize(voters).await {
            // Not allowed: founded before, here or through another voter.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(InitializeNodeError::Raft(error.to_string())),
        }
        self.confirm_index().await?;
        for (node, (addr, _)) in learners {
            self.add_learner(node, addr).await?;
        }
        Ok(())
    }

    /// Seals `proposal` at the level that this node has applied, and has it committed and applied, by whoever leads. `Ok`
    /// carries what the control state said, which may be a refusal. The same attempt is never applied twice.
    ///
    /// # Errors
    /// There is no outcome; a command that came after this node's level is refused here as `not_yet`.
    pub async fn propose(&self, proposal: impl Into<Proposal>) -> Result<Proposed, AskError> {
        let entry = self.sealed(&proposal.into()).map_err(AskError::Refused)?;
        let answer = self.inner.ask(Ask::Propose(entry)).await?;
        proposed(answer).ok_or_else(|| unexpected("no proposal"))
    }

    pub(crate) fn sealed(&self, proposal: &Proposal) -> Result<EntryBytes, Refusal> {
        let (id, level) = (self.inner.next_request_id(), self.inner.identity.level());
        entry::seal_proposal(proposal, id, level).map_err(|error| {
            let code = match &error {
                SealError::AboveLevel(_) => NOT_YET,
                SealError::Encode(_) | SealError::Origin { .. } => RAFT_REFUSED,
            };
            Refusal::new(code, chain(&error))
        })
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The level that this node seals at: the one that it has applied.
    pub fn level(&self) -> Level {
        self.inner.identity.level()
    }

    /// What raft runs by in this process.
    pub fn timers(&self) -> RaftTimers {
        self.inner.timers
    }

    /// The levels that this node may be at.
    pub fn admits(&self) -> LevelRange {
        self.inner.options.admits
    }

    pub(crate) fn raft(&self) -> &Raft<TypeConfig, StateMachine> {
        &self.inner.raft
    }

    pub(crate) fn wal(&self) -> &Wal {
        &self.inner.wal
    }

    /// Has [`shutdown`](RaftNode::shutdown) come to its end?
    pub(crate) fn has_ended(&self) -> bool {
        self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    pub(crate) fn machine(&self) -> &StateMachine {
        &self.inner.machine
    }

    /// Every applied change. Changes may be coalesced: act on the state, not on entries.
    pub fn applied(&self) -> watch::Receiver<Arc<AppliedView>> {
        self.inner.views.clone()
    }

    pub fn view(&self) -> RaftView {
        self.inner.view()
    }

    /// Who leads; changes with elections only.
    pub fn view_changes(&self) -> watch::Receiver<LeaderView> {
        self.inner.leader.clone()
    }

    /// When a leader with a majority behind it was last heard of.
    pub fn contact(&self) -> Contact {
        self.inner.contact.clone()
    }

    /// Does this node take part in elections?
    pub fn admission(&self) -> watch::Receiver<Admission> {
        self.inner.identity.admission()
    }

    /// Writes the log anew, for the next process, after it has failed. This one acknowledges nothing any more.
    ///
    /// # Errors
    /// The disk does not take it.
    pub async fn mend_log(&self) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.inner.wal.mend(Box::new(move |result| drop(done.send(result))))?;
        written.await.map_err(io::Error::other)?
    }

    pub fn cluster(&self) -> Option<ClusterId> {
        self.inner.identity.cluster()
    }

    /// The peer address of every member, this node included, by the newest membership in its log.
    pub fn addresses(&self) -> BTreeMap<NodeId, PeerAddr> {
        self.inner.members()
    }

    /// A commit index that the present leader confirmed by a quorum round begun after this call: whoever has
    /// applied it has seen everything that was acknowledged before.
    pub async fn confirm_index(&self) -> Result<u64, AskError> {
        match self.inner.ask(Ask::ConfirmIndex).await? {
            Answer::Index(index) => Ok(index),
            other => Err(unexpected(&format!("{other:?}"))),
        }
    }

    /// Waits until this node has applied a commit index that the leader confirmed after this call.
    pub async fn catch_up(&self) -> Result<Arc<AppliedView>, AskError> {
        let started = Instant::now();
        let index = self.confirm_index().await?;
        let left = self.inner.options.ask_timeout().saturating_sub(started.elapsed());
        let mut views = self.applied();
        let caught_up = tokio::time::timeout(left, views.wait_for(|view| view.index >= index)).await;
        match caught_up {
            Ok(Ok(view)) => Ok(view.clone()),
            Ok(Err(_)) | Err(_) => Err(AskError::Unknown {
                after_ms: self.inner.options.ask_timeout_ms,
                last: format!("index {index} is confirmed, but not applied on this node"),
            }),
        }
    }

    /// Moves leadership to `to`. `Ok` means that `to` led and had an entry of its term committed. One attempt:
    /// under load another node may win, then the caller asks again.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), AskError> {
        self.inner.ask(Ask::TransferLeader { to }).await.and_then(done)
    }

    /// Tells the others that this process, a life of a member, listens at `addr` now. It needs no leader that reaches
    /// this node: any member that this node reaches says who leads.
    pub async fn move_to(&self, incarnation: Incarnation, addr: PeerAddr) -> Result<(), AskError> {
        let member = Member { node: self.inner.options.node, incarnation };
        self.inner.ask(Ask::Move { member, addr }).await.and_then(done)
    }

    /// Makes `node` a member without a vote; it gets the log from now on. Does not wait for it to catch up.
    pub async fn add_learner(&self, node: NodeId, addr: PeerAddr) -> Result<(), AskError> {
        self.inner.ask(Ask::AddLearner { node, addr }).await.and_then(done)
    }

    /// Makes exactly these nodes voters and learners. Each must be a member already.
    pub async fn change_membership(
        &self,
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    ) -> Result<(), AskError> {
        self.inner.ask(Ask::ChangeMembership { voters, learners }).await.and_then(done)
    }

    /// Returns when raft has stopped on this node without being told to, and why: its log cannot be written, say. What
    /// was applied stays readable; nothing is applied or proposed here any more.
    pub async fn ended(&self) -> Ended {
        let mut failure = self.inner.wal.failure();
        let failed = async {
            match failure.wait_for(Option::is_some).await {
                Ok(why) => why.clone().unwrap_or_default(),
                // The writer has ended with nothing failed.
                Err(_) => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            why = self.raft_stopped() => why,
            why = failed => why,
        };
        self.inner.machine.ended().unwrap_or(Ended::Raft { why })
    }

    async fn raft_stopped(&self) -> String {
        let mut metrics = self.inner.raft.metrics();
        loop {
            let stopped = metrics.borrow_watched().running_state.as_ref().err().map(ToString::to_string);
            if let Some(why) = stopped {
                return why;
            }
            if metrics.changed().await.is_err() {
                let last = metrics.borrow_watched().running_state.as_ref().err().map(ToString::to_string);
                return last.unwrap_or_else(|| "its task is gone".to_owned());
            }
        }
    }

    /// Ends raft on this node: what is queued is written and synced, the directory is free again. Handles
    /// that are left answer errors.
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        if let Some(admission) = inner.admission.lock().unwrap_or_else(PoisonError::into_inner).take() {
            admission.abort();
        }
        if let Err(error) = inner.raft.shutdown().await {
            tracing::error!("raft did not end well: {error}");
        }
        inner.follower_of_metrics.abort();
        let wal = inner.wal.clone();
        if let Err(error) = spawn_blocking(move || wal.stop()).await {
            tracing::error!("the raft log did not end well: {error}");
        }
        drop(inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Inner {
    pub(crate) fn view(&self) -> RaftView {
        let mut view = RaftView::new(&self.raft.metrics().borrow_watched());
        // Raft itself may not have met it yet.
        view.stopped = view.stopped.or_else(|| self.wal.failure().borrow().clone());
        view
    }

    /// The peer address of every member, this node included, by the newest membership in its log.
    pub(crate) fn members(&self) -> BTreeMap<NodeId, PeerAddr> {
        let metrics = self.raft.metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        membership.membership().nodes().map(|(id, addr)| (node_id(*id), addr.clone())).collect()
    }

    /// A restarted group of one need not wait for an election timeout.
    pub(crate) async fn elect_if_alone(&self) {
        let view = self.view();
        if view.voters == [view.node]
            && let Err(error) = self.raft.trigger().elect(false).await
        {
            tracing::warn!("the only voter cannot elect itself: {error}");
        }
    }

    /// The leader and its address, as far as this node knows.
    pub(crate) fn leader_addr(&self) -> Option<(NodeId, PeerAddr)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let addr = metrics.membership_config.membership().get_node(&leader)?;
        Some((node_id(leader), addr.clone()))
    }

    /// Within this time, after a leader was lost, another one asks for the votes.
    pub(crate) fn election_max(&self) -> Duration {
        Duration::from_millis(self.timers.election_max_ms)
    }

    /// The newest life of `node` that the applied state knows.
    pub(crate) fn registered(&self, node: NodeId) -> Option<Incarnation> {
        self.views.borrow().state.nodes.get(&node).map(|node| node.incarnation)
    }

    /// Did `node` leave for good, by the log, and has raft's group let it go? Until it has, it may be needed for a majority.
    pub(crate) fn has_let_go(&self, node: NodeId) -> bool {
        if !self.views.borrow().state.removed.contains(&node) {
            return false;
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&node.0).is_none()
    }

    /// One of the other members, in turn.
    fn some_member(&self, turn: usize) -> Option<(NodeId, PeerAddr)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let nodes = metrics.membership_config.membership().nodes();
        let others: Vec<_> = nodes.filter(|(id, _)| **id != self.options.node.0).collect();
        let (id, addr) = others.get(turn % others.len().max(1))?;
        Some((node_id(**id), (*addr).clone()))
    }

    fn next_request_id(&self) -> RequestId {
        let number = self.next_request.fetch_add(1, Ordering::Relaxed);
        RequestId(u128::from(self.request_prefix) << 64 | u128::from(number))
    }

    /// Has the leader, whoever it is, answer `ask`; again until it did, or time is up. A transfer is tried once.
    async fn ask(&self, ask: Ask) -> Result<Answer, AskError> {
        let started = Instant::now();
        let total = self.options.ask_timeout();
        let try_once = matches!(ask, Ask::TransferLeader { .. });
        let mut leader = self.leader.clone();
        let mut hint = None;
        let mut last = "no leader is known".to_owned();
        let (mut turn, mut leader_failed) = (0, false);
        loop {
            let left = total.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(AskError::Unknown { after_ms: self.options.ask_timeout_ms, last });
            }
            leader.borrow_and_update();
            let hinted = hint.is_some();
            // An election is waited for. When it takes longer, there may be a leader that does not find this node:
            // the other members know it.
            let ask_around = started.elapsed() >= self.election_max();
            let known = || self.leader_addr().filter(|_| !(ask_around && leader_failed));
            let target = hint.take().or_else(known);
            leader_failed = false;
            let answer = match target {
                Some((to, addr)) => self.ask_node(to, &addr, &ask, left).await,
                None if ask_around => {
                    turn += 1;
                    match self.some_member(turn) {
                        Some((to, addr)) => tokio::select! {
                            answer = self.ask_node(to, &addr, &ask, left) => answer,
                            _ = leader.changed() => Answer::NotLeader(None),
                        },
                        None => Answer::NotLeader(None),
                    }
                }
                None => Answer::NotLeader(None),
            };
            match answer {
                Answer::Proposed(_) | Answer::Index(_) | Answer::Done => return Ok(answer),
                Answer::Refused(refusal) => return Err(AskError::Refused(refusal)),
                Answer::Retry(reason) if try_once => {
                    return Err(AskError::Refused(Refusal::new(RAFT_REFUSED, reason)));
                }
                // Followed at once, but not twice in a row: two nodes may each take the other for the leader.
                Answer::NotLeader(Some(to)) if !hinted => hint = Some(to),
                Answer::NotLeader(to) => {
                    last =
                        to.map_or("no leader is known".to_owned(), |(id, _)| format!("sent on to node {id}"));
                    pause(&mut leader).await;
                }
                Answer::Retry(reason) => {
                    leader_failed = true;
                    last = reason;
                    pause(&mut leader).await;
                }
            }
        }
    }

    async fn ask_node(&self, to: NodeId, addr: &PeerAddr, ask: &Ask, left: Duration) -> Answer {
        // One attempt that hangs, say on a leader that was cut off, must not eat the whole deadline.
        let timeout = left.min(self.election_max() * 2);
        if to == self.options.node {
            return self.answer(ask.clone(), timeout).await;
        }
        let request = v1::ForwardRequest { ask: ask.into(), timeout_ms: timeout.as_millis() as u64 };
        match self.peers.call::<_, v1::Answer>(to, addr, FORWARD, &request, timeout).await {
            Ok(answer) => answer.into(),
            Err(CallError::Refused { status, text, .. }) if status == REMOVED_STATUS.as_u16() => {
                Answer::Refused(Refusal::new(REMOVED, text))
            }
            Err(error) => Answer::Retry(chain(&error)),
        }
    }
}

/// Until leadership changes, or a moment has passed.
async fn pause(leader: &mut watch::Receiver<LeaderView>) {
    /// Short against an election, long against a round trip.
    const PAUSE: Duration = Duration::from_millis(20);
    match tokio::time::timeout(PAUSE, leader.changed()).await {
        Ok(Ok(())) | Err(_) => {}
        // Raft has stopped; the metrics will never change again.
        Ok(Err(_)) => tokio::time::sleep(PAUSE).await,
    }
}

fn done(answer: Answer) -> Result<(), AskError> {
    match answer {
        Answer::Done => Ok(()),
        other => Err(unexpected(&format!("{other:?}"))),
    }
}

pub(crate) fn unexpected(answer: &str) -> AskError {
    AskError::Refused(Refusal::new(RAFT_REFUSED, format!("the leader answered another question: {answer}")))
}

fn lock_dir(options: &RaftOptions) -> Result<File, OpenError> {
    let dir = || options.dir.clone();
    let failed = |source| OpenError::Dir { dir: dir(), source };
    disk::create_dir_all(&options.dir).map_err(failed)?;
    // A directory that a power cut takes away takes the votes in it along.
    sync_parent(&options.dir).map_err(|error| failed(error.source))?;
    let file = File::create(options.dir.join("lock")).map_err(failed)?;
    match disk::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn follow_leader(raft: &Raft<TypeConfig, StateMachine>) -> (JoinHandle<()>, watch::Receiver<LeaderView>) {
    let mut metrics = raft.server_metrics();
    let (changes, leader) = watch::channel(LeaderView::default());
    let task = tokio::spawn(async move {
        loop {
            let now = {
                let metrics = metrics.borrow_and_update();
                LeaderView {
                    leader: metrics.current_leader.map(node_id),
                    is_leader: metrics.state == ServerState::Leader,
                    term: metrics.vote.leader_id.term,
                }
            };
            changes.send_if_modified(|seen| std::mem::replace(seen, now) != now);
            if metrics.changed().await.is_err() {
                return;
            }
        }
    });
    (task, leader)
}

/// Unpredictable enough to tell two processes' request ids apart: the standard library's hash keys.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("request ids")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_control::Command;
    use ironcache_types::PlanId;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_node_whose_log_cannot_be_written_says_that_raft_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let me = Member { node: NodeId(1), incarnation: Incarnation(1) };
        let node = RaftNode::open(RaftOptions::new(me, dir.path().join("raft"))).await.unwrap();
        let me = BTreeMap::from([(NodeId(1), (PeerAddr("127.0.0.1:1".to_owned()), Role::Voter))]);
        node.initialize(ClusterId(7), Level::FIRST, me).await.unwrap();
        assert_eq!(node.view().stopped, None);
        // Nothing is written from here on, as after a failed fsync.
        let wal = node.inner.wal.clone();
        tokio::task::spawn_blocking(move || wal.stop()).await.unwrap();
        let asking = node.clone();
        let asked = tokio::spawn(async move { asking.propose(Command::Resume { plan: PlanId(1) }).await });
        let why =
            tokio::time::timeout(Duration::from_secs(20), node.ended()).await.expect("it is told in time");
        let Ended::Raft { why } = why else { panic!("{why}") };
        assert!(why.contains("stopped") || why.contains("raft log"), "{why}");
        assert!(node.view().stopped.is_some());
        asked.abort();
    }
}
