//! The state machine: applies committed entries to [`ControlState`] and shows the result to watchers.
//!
//! *Invariant:* what is published was committed; an answer is given only after its view is published.
//! *Invariant:* nothing here decides: it hands commands to `ControlState::apply`, in log order, once each.
//! *Invariant:* a level takes effect here only after the node's file says it durably; one that this release does not
//! admit, and an entry that it cannot read, end raft on this node before anything is changed.

use crate::answers::Answers;
use crate::ended::Ended;
use crate::level::{NodeLevel, RaiseError};
use crate::snapshot::{SnapshotError, SnapshotStore, Stored};
use crate::types::{
    LogId, PeerAddr, Proposed, Refusal, Response, SnapshotMeta, StoredMembership, TypeConfig,
};
use futures_util::{Stream, StreamExt};
use ironcache_control::{Applied, ControlState, Proposal};
use ironcache_formats::entry::{self, EntryBytes, EntryError, NOT_YET};
use ironcache_formats::state::{self, Answer};
use ironcache_formats::{snapshot, wire};
use ironcache_host::exec::spawn_blocking;
use ironcache_types::Level;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use tokio::sync::watch;

/// The control state after the entry `index` of `term`. Before anything was applied, index and term are 0
/// and the state is empty.
#[derive(Clone, Debug, Default)]
pub struct AppliedView {
    pub index: u64,
    pub term: u64,
    pub state: Arc<ControlState>,
    /// The state's hashes at the newest multiples of [`HASH_EVERY`] that this process has applied: at most
    /// [`HASHES_KEPT`], oldest first.
    pub hashes: Vec<StateHash>,
}

/// Nodes compare the hashes of their states at multiples of this log index (I17). Smaller, and hashing the state would
/// be felt with every command; larger, and a difference would be found late in a quiet cluster.
pub const HASH_EVERY: u64 = 64;

/// Hashes kept. With one, two busy nodes that are asked a moment apart would have none in common; with four they meet
/// while they are within 192 entries of each other. More would only help nodes that lag so far that no plan goes on.
pub const HASHES_KEPT: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHash {
    pub index: u64,
    pub hash: u64,
}

pub(crate) type SnapshotData = Arc<Vec<u8>>;

#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the content of the raft snapshot cannot be used")]
    State(#[from] snapshot::OpenError),
    #[error("the level of the raft snapshot cannot be taken over")]
    Level(#[from] RaiseError),
}

/// Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct StateMachine {
    shared: Arc<Mutex<Machine>>,
    store: SnapshotStore,
    level: NodeLevel,
    views: watch::Sender<Arc<AppliedView>>,
    /// Why an entry or a snapshot ended raft here.
    ended: Arc<OnceLock<Ended>>,
}

#[derive(Clone, Debug, Default)]
struct Machine {
    last_applied: Option<LogId>,
    membership: StoredMembership,
    control: Arc<ControlState>,
    answers: Answers,
    /// Taken as the entry is applied: watchers skip entries, and would skip the ones that every node hashes.
    hashes: VecDeque<StateHash>,
    snapshot: Option<Stored>,
}

impl StateMachine {
    /// Starts from the stored snapshot, if there is one.
    pub(crate) fn open(store: SnapshotStore, level: NodeLevel) -> Result<Self, MachineError> {
        let machine = match store.load()? {
            None => Machine::default(),
            Some(stored) => Machine::from_snapshot(stored, &level)?,
        };
        machine.begin_level(&level);
        let (views, _) = watch::channel(Arc::new(machine.view()));
        let shared = Arc::new(Mutex::new(machine));
        Ok(StateMachine { shared, store, level, views, ended: Arc::default() })
    }

    pub(crate) fn views(&self) -> watch::Receiver<Arc<AppliedView>> {
        self.views.subscribe()
    }

    /// Why an entry or a snapshot has ended raft here.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.get().cloned()
    }

    pub(crate) fn snapshot_index(&self) -> Option<u64> {
        self.lock().snapshot.as_ref()?.meta.last_log_id.map(|id| id.index)
    }

    pub(crate) fn snapshot(&self) -> Option<Stored> {
        self.lock().snapshot.clone()
    }

    pub(crate) fn store(&self) -> SnapshotStore {
        self.store.clone()
    }

    /// `None` while there is no snapshot.
    pub(crate) fn snapshot_level(&self) -> Option<Level> {
        self.lock().snapshot.as_ref().map(|stored| stored.level)
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        lock(&self.shared)
    }

    fn publish(&self) {
        let machine = self.lock();
        machine.begin_level(&self.level);
        self.views.send_replace(Arc::new(machine.view()));
    }

    /// Keeps the first reason, and makes of it what openraft stops at.
    fn end(&self, failure: Failure) -> io::Error {
        match failure {
            Failure::Ended(why) => {
                let first = self.ended.get_or_init(|| why);
                tracing::error!("raft ends on this node: {first}");
                io::Error::other(first.clone())
            }
            Failure::Io(error) => error,
        }
    }
}

/// Why an entry or a snapshot is not applied.
#[derive(Debug)]
enum Failure {
    Ended(Ended),
    /// Another attempt may succeed: the disk, say.
    Io(io::Error),
}

impl From<RaiseError> for Failure {
    fn from(error: RaiseError) -> Self {
        match error {
            RaiseError::NotAdmitted { level, admits } => Failure::Ended(Ended::AboveLevel { level, admits }),
            RaiseError::File(error) => Failure::Io(io::Error::other(error)),
        }
    }
}

impl From<MachineError> for Failure {
    fn from(error: MachineError) -> Self {
        match error {
            MachineError::State(snapshot::OpenError::AboveLevel { level, admits }) => {
                Failure::Ended(Ended::AboveLevel { level, admits })
            }
            MachineError::Level(error) => error.into(),
            error @ (MachineError::Snapshot(_) | MachineError::State(_)) => {
                Failure::Io(io::Error::other(error))
            }
        }
    }
}

async fn save(store: SnapshotStore, stored: Stored) -> Result<(), io::Error> {
    let saved = spawn_blocking(move || store.save(&stored)).await;
    saved.map_err(io::Error::other)?.map_err(io::Error::other)
}

/// Works on what was applied when it was made, while later entries are applied.
pub(crate) struct SnapshotBuilder {
    frozen: Machine,
    shared: Arc<Mutex<Machine>>,
    store: SnapshotStore,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(
        &mut self,
    ) -> Result<openraft::alias::SnapshotOf<TypeConfig, SnapshotData>, io::Error> {
        let Machine { last_applied, membership, control, answers, hashes: _, snapshot: _ } = &self.frozen;
        let data = snapshot::seal(control, answers.iter()).map_err(io::Error::other)?;
        let meta = SnapshotMeta { last_log_id: *last_applied, last_membership: membership.clone() };
        let level = state::level_of(control);
        let stored = Stored { meta, level, data: Arc::new(data) };
        save(self.store.clone(), stored.clone()).await?;
        let mut machine = lock(&self.shared);
        if machine.snapshot.as_ref().is_none_or(|newer| newer.meta.last_log_id <= stored.meta.last_log_id) {
            machine.snapshot = Some(stored.clone());
        }
        Ok(Snapshot { meta: stored.meta, snapshot: stored.data })
    }
}

fn lock(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().expect("nothing panics while it holds the state machine's lock")
}

impl Machine {
    /// The node's level is durable before the machine is.
    fn from_snapshot(stored: Stored, level: &NodeLevel) -> Result<Machine, MachineError> {
        let snapshot::Snapshot { state, answers, hash } = snapshot::open(&stored.data, level.admits())?;
        if state.cluster_id.is_some() {
            level.make_durable(state::level_of(&state))?;
        }
        let mut machine = Machine {
            last_applied: stored.meta.last_log_id,
            membership: stored.meta.last_membership.clone(),
            control: Arc::new(state),
            answers: answers.into_iter().collect(),
            hashes: VecDeque::new(),
            snapshot: Some(stored),
        };
        machine.keep_hash(|_| hash);
        Ok(machine)
    }

    fn view(&self) -> AppliedView {
        AppliedView {
            index: self.last_applied.map_or(0, |id| id.index),
            term: self.last_applied.map_or(0, |id| id.leader_id.term),
            state: self.control.clone(),
            hashes: self.hashes.iter().copied().collect(),
        }
    }

    /// The level of the applied state is the node's, once there is a cluster.
    fn begin_level(&self, level: &NodeLevel) {
        if self.control.cluster_id.is_some() {
            level.begin(state::level_of(&self.control));
        }
    }

    /// Hashes the state if it is at an index that every node hashes.
    fn keep_hash(&mut self, hash: impl FnOnce(&Self) -> u64) {
        let index = self.last_applied.map(|id| id.index).filter(|index| index.is_multiple_of(HASH_EVERY));
        if let Some(index) = index {
            let hash = StateHash { index, hash: hash(self) };
            self.hashes.push_back(hash);
            while self.hashes.len() > HASHES_KEPT {
                self.hashes.pop_front();
            }
        }
    }

    /// Applies one entry, or changes nothing.
    fn apply(
        &mut self,
        log_id: LogId,
        payload: EntryPayload<EntryBytes, u64, PeerAddr>,
        level: &NodeLevel,
    ) -> Result<Response, Failure> {
        let response = match payload {
            EntryPayload::Blank => Response::Internal,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership);
                Response::Internal
            }
            EntryPayload::Normal(entry) => Response::Command(self.apply_entry(log_id, &entry, level)?),
        };
        self.last_applied = Some(log_id);
        self.keep_hash(|machine| {
            state::hash(&machine.control, machine.answers.iter())
                .expect("a state is at a level that was admitted when it was applied")
        });
        Ok(response)
    }

    fn apply_entry(&mut self, at: LogId, entry: &EntryBytes, level: &NodeLevel) -> Result<Proposed, Failure> {
        let (index, term) = (at.index, at.leader_id.term);
        let request = entry.header().request;
        if let Some(first) = self.answers.get(request) {
            return Ok(said_before(first));
        }
        let admits = level.admits();
        let founded = self.control.cluster_id.is_some();
        // What founds a cluster says its level; so until then an entry may be of any that this release admits.
        let state_level = if founded { state::level_of(&self.control) } else { admits.max };
        let outcome = match entry::open_proposal(entry, state_level) {
            Ok((_, Proposal { command, origin })) => {
                let mut next = ControlState::clone(&self.control);
                let outcome = next
                    .apply_of(ironcache_control::LogId { term, index }, &command, origin.as_ref())
                    .map_err(|rejection| Refusal::from(&rejection));
                let reached = state::level_of(&next);
                if next.cluster_id.is_some() && (!founded || reached > state_level) {
                    level.make_durable(reached)?;
                }
                self.control = Arc::new(next);
                outcome
            }
            Err(EntryError::NotYet { level, state: _ }) if !founded => {
                return Err(Failure::Ended(Ended::AboveLevel { level, admits }));
            }
            Err(error @ EntryError::NotYet { .. }) => Err(Refusal::new(NOT_YET, error)),
            Err(error) => {
                let why = ironcache_types::chain(&error);
                return Err(Failure::Ended(Ended::Unreadable { index, why }));
            }
        };
        let refused = outcome.as_ref().err().map(|refusal| refusal.code.clone());
        self.answers.remember(Answer { request, index, refused });
        Ok(Proposed { index, outcome })
    }
}

/// The answer to a request that was applied before: of the first answer, only its code is remembered.
fn said_before(first: &Answer) -> Proposed {
    let Answer { request: _, index, refused } = first;
    let outcome = match refused {
        None => Ok(Applied::Unchanged),
        Some(code) => Err(Refusal::new(code, format!("refused before, as entry {index} of the log: {code}"))),
    };
    Proposed { index: *index, outcome }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let machine = self.lock();
        Ok((machine.last_applied, machine.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut answers = Vec::new();
        let mut failed = None;
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            match self.lock().apply(entry.log_id, entry.payload, &self.level) {
                Ok(response) => answers.extend(responder.map(|responder| (responder, response))),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        self.publish();
        for (responder, response) in answers {
            responder.send(response);
        }
        failed.map_or(Ok(()), |failure| Err(self.end(failure)))
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            frozen: self.lock().clone(),
            shared: self.shared.clone(),
            store: self.store.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let level = wire::level_of(&snapshot).map_err(io::Error::other)?;
        let stored = Stored { meta: meta.clone(), level, data: snapshot };
        let machine =
            Machine::from_snapshot(stored.clone(), &self.level).map_err(|error| self.end(error.into()))?;
        save(self.store.clone(), stored).await?;
        *self.lock() = machine;
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<openraft::alias::SnapshotOf<TypeConfig, SnapshotData>>, io::Error> {
        let stored = self.lock().snapshot.clone();
        Ok(stored.map(|Stored { meta, level: _, data }| Snapshot { meta, snapshot: data }))
    }
}

#[cfg(test)]
mod tests;
