//! The state machine: applies committed entries to [`ControlState`] and shows the result to watchers.
//!
//! *Invariant:* what is published was committed; an answer is given only after its view is published.
//! *Invariant:* nothing here decides: it hands commands to `ControlState::apply`, in log order, once each.

use crate::answers::Answers;
use crate::snapshot::{SnapshotError, SnapshotStore, Stored};
use crate::types::{LogId, Proposed, Request, Response, SnapshotMeta, StoredMembership, TypeConfig};
use crate::wire::{self, Kind, WireError, types::MachineState};
use futures_util::{Stream, StreamExt};
use ironcache_control::ControlState;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;

/// The control state after the entry `index` of `term`. Before anything was applied, index and term are 0
/// and the state is empty.
#[derive(Clone, Debug, Default)]
pub struct AppliedView {
    pub index: u64,
    pub term: u64,
    pub state: Arc<ControlState>,
    /// The newest multiple of [`HASH_EVERY`] that this process has applied, and the state's hash there.
    pub hash: Option<StateHash>,
}

/// Nodes compare the hashes of their states at multiples of this log index (I17). Smaller, and hashing the state would
/// be felt with every command; larger, and a difference would be found late in a quiet cluster.
pub const HASH_EVERY: u64 = 64;

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
    #[error("the content of the raft snapshot cannot be read; a newer release may have written it")]
    State(#[from] WireError),
}

/// Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct StateMachine {
    shared: Arc<Mutex<Machine>>,
    store: SnapshotStore,
    views: watch::Sender<Arc<AppliedView>>,
}

#[derive(Clone, Debug, Default)]
struct Machine {
    last_applied: Option<LogId>,
    membership: StoredMembership,
    control: Arc<ControlState>,
    answers: Answers,
    /// Taken as the entry is applied: watchers skip entries, and would skip the ones that every node hashes.
    hash: Option<StateHash>,
    snapshot: Option<Stored>,
}

impl StateMachine {
    /// Starts from the stored snapshot, if there is one.
    pub fn open(store: SnapshotStore) -> Result<Self, MachineError> {
        let machine = match store.load()? {
            None => Machine::default(),
            Some(stored) => Machine::from_snapshot(stored)?,
        };
        let (views, _) = watch::channel(Arc::new(machine.view()));
        Ok(StateMachine { shared: Arc::new(Mutex::new(machine)), store, views })
    }

    pub fn views(&self) -> watch::Receiver<Arc<AppliedView>> {
        self.views.subscribe()
    }

    pub fn snapshot_index(&self) -> Option<u64> {
        self.lock().snapshot.as_ref()?.meta.last_log_id.map(|id| id.index)
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        lock(&self.shared)
    }
}

async fn save(store: SnapshotStore, stored: Stored) -> Result<(), io::Error> {
    let saved = tokio::task::spawn_blocking(move || store.save(&stored)).await;
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
        let Machine { last_applied, membership, control, answers, hash: _, snapshot: _ } = &self.frozen;
        let state = MachineState { control: control.as_ref().clone(), answers: answers.to_vec() };
        let data = wire::seal(Kind::MachineState, &state).map_err(io::Error::other)?;
        let meta = SnapshotMeta { last_log_id: *last_applied, last_membership: membership.clone() };
        let stored = Stored { meta, data: Arc::new(data) };
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
    fn from_snapshot(stored: Stored) -> Result<Machine, WireError> {
        let MachineState { control, answers } = wire::open(Kind::MachineState, &stored.data)?;
        let mut machine = Machine {
            last_applied: stored.meta.last_log_id,
            membership: stored.meta.last_membership.clone(),
            control: Arc::new(control),
            answers: answers.into_iter().collect(),
            hash: None,
            snapshot: Some(stored),
        };
        machine.take_hash();
        Ok(machine)
    }

    fn view(&self) -> AppliedView {
        AppliedView {
            index: self.last_applied.map_or(0, |id| id.index),
            term: self.last_applied.map_or(0, |id| id.leader_id.term),
            state: self.control.clone(),
            hash: self.hash,
        }
    }

    /// Hashes the state if it is at an index that every node hashes.
    fn take_hash(&mut self) {
        if let Some(index) =
            self.last_applied.map(|id| id.index).filter(|index| index.is_multiple_of(HASH_EVERY))
        {
            self.hash = Some(StateHash { index, hash: self.control.hash() });
        }
    }

    fn apply(
        &mut self,
        log_id: LogId,
        payload: EntryPayload<Request, u64, crate::types::PeerAddr>,
    ) -> Response {
        let response = self.transition(log_id, payload);
        self.take_hash();
        response
    }

    fn transition(
        &mut self,
        log_id: LogId,
        payload: EntryPayload<Request, u64, crate::types::PeerAddr>,
    ) -> Response {
        self.last_applied = Some(log_id);
        match payload {
            EntryPayload::Blank => Response::Internal,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership);
                Response::Internal
            }
            EntryPayload::Normal(Request { id, command }) => {
                if let Some(first) = self.answers.get(id) {
                    return Response::Command(first.clone());
                }
                let outcome = Arc::make_mut(&mut self.control).apply(log_id.index, &command);
                let answer = Proposed { index: log_id.index, outcome };
                self.answers.remember(id, answer.clone());
                Response::Command(answer)
            }
        }
    }
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
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let response = self.lock().apply(entry.log_id, entry.payload);
            answers.extend(responder.map(|responder| (responder, response)));
        }
        let view = self.lock().view();
        self.views.send_replace(Arc::new(view));
        for (responder, response) in answers {
            responder.send(response);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let frozen = self.lock().clone();
        SnapshotBuilder { frozen, shared: self.shared.clone(), store: self.store.clone() }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let stored = Stored { meta: meta.clone(), data: snapshot };
        let machine = Machine::from_snapshot(stored.clone()).map_err(io::Error::other)?;
        save(self.store.clone(), stored).await?;
        let view = machine.view();
        *self.lock() = machine;
        self.views.send_replace(Arc::new(view));
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<openraft::alias::SnapshotOf<TypeConfig, SnapshotData>>, io::Error> {
        let stored = self.lock().snapshot.clone();
        Ok(stored.map(|Stored { meta, data }| Snapshot { meta, snapshot: data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Entry;
    use futures_util::stream;
    use ironcache_control::{Applied, Command, Rejection};
    use ironcache_types::{Digest, NodeId, PlanId, Release, RequestId, Version, WireRange};
    use openraft::entry::RaftEntry;

    const NODE: NodeId = NodeId(1);

    fn machine(dir: &tempfile::TempDir) -> StateMachine {
        StateMachine::open(SnapshotStore::new(dir.path().join("snapshot"), NODE)).unwrap()
    }

    async fn apply(machine: &mut StateMachine, index: u64, request: u128, command: Command) -> Proposed {
        let id = RequestId(request);
        let log_id = LogId::new_term_index(1, index);
        let entry = Entry::new(log_id, EntryPayload::Normal(Request { id, command }));
        machine.apply(stream::iter([Ok((entry, None))])).await.unwrap();
        machine.lock().answers.get(id).unwrap().clone()
    }

    fn found() -> Command {
        let release = Release { version: Version::new(1, 0, 0), digest: Digest([1; 32]) };
        Command::InitCluster(ironcache_control::InitCluster {
            cluster_id: ironcache_types::ClusterId(9),
            nodes: vec![ironcache_control::NodeSpec {
                member: ironcache_types::Member { node: NODE, incarnation: ironcache_types::Incarnation(1) },
                client_addr: "127.0.0.1:7001".to_owned(),
                peer_addr: "127.0.0.1:17001".to_owned(),
                http_addr: "127.0.0.1:27001".to_owned(),
                role: ironcache_control::NodeRole::Data,
                voter: true,
                shard: Some(ironcache_types::ShardId(0)),
                release,
                levels: ironcache_types::LEVELS,
                launcher_protocol: WireRange::CURRENT,
            }],
            shards: vec![ironcache_control::ShardSpec {
                id: ironcache_types::ShardId(0),
                slots: ironcache_types::SlotSet::part(0, 1),
                nodes: vec![NODE],
            }],
            policy: ironcache_control::Policy::default(),
        })
    }

    fn resume() -> Command {
        Command::Resume { plan: PlanId(1) }
    }

    #[tokio::test]
    async fn a_request_sent_again_gets_its_first_answer_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = machine(&dir);
        let refused = apply(&mut first, 1, 70, resume()).await;
        assert_eq!(refused, Proposed { index: 1, outcome: Err(Rejection::NoCluster) });
        let founded = apply(&mut first, 2, 71, found()).await;
        assert!(
            matches!(founded, Proposed { index: 2, outcome: Ok(Applied::Changed { .. }) }),
            "{founded:?}"
        );
        let hash = first.views().borrow().state.hash();

        assert_eq!(apply(&mut first, 3, 70, resume()).await, refused);
        first.get_snapshot_builder().await.build_snapshot().await.unwrap();
        let mut second = machine(&dir);
        assert_eq!(second.views().borrow().index, 3);
        assert_eq!(apply(&mut second, 4, 71, found()).await, founded);
        assert_eq!(apply(&mut second, 5, 70, resume()).await, refused);
        assert_eq!(second.views().borrow().state.hash(), hash);
        assert_ne!(
            apply(&mut second, 6, 72, resume()).await.outcome,
            refused.outcome,
            "a new request is asked anew"
        );
    }

    #[tokio::test]
    async fn every_node_hashes_the_same_entries_however_they_arrive() {
        let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut one_by_one, mut at_once) = (machine(&one), machine(&many));
        let command = |index: u64| match index {
            1 => found(),
            _ => Command::ReportStaged { node: NODE, digest: Digest([index as u8; 32]) },
        };
        let mut entries = Vec::new();
        let mut hashes = std::collections::BTreeMap::new();
        for index in 1..=3 * HASH_EVERY - 1 {
            apply(&mut one_by_one, index, u128::from(index), command(index)).await;
            let view = one_by_one.views().borrow().clone();
            hashes.insert(index, view.state.hash());
            let newest = index - index % HASH_EVERY;
            let expected = (newest > 0).then(|| StateHash { index: newest, hash: hashes[&newest] });
            assert_eq!(view.hash, expected, "after entry {index}");
            let request = Request { id: RequestId(u128::from(index)), command: command(index) };
            let log_id = LogId::new_term_index(1, index);
            entries.push(Ok((Entry::new(log_id, EntryPayload::Normal(request)), None)));
        }
        at_once.apply(stream::iter(entries)).await.unwrap();
        assert_eq!(at_once.views().borrow().hash, one_by_one.views().borrow().hash);
        assert_ne!(hashes[&HASH_EVERY], hashes[&(2 * HASH_EVERY)], "the states differ, so the hashes do");
    }

    #[tokio::test]
    async fn an_older_snapshot_never_replaces_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = machine(&dir);
        apply(&mut machine, 1, 70, found()).await;
        let mut slow = machine.get_snapshot_builder().await;
        apply(&mut machine, 2, 71, resume()).await;
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        slow.build_snapshot().await.unwrap();
        assert_eq!(machine.snapshot_index(), Some(2));
        assert_eq!(self::machine(&dir).snapshot_index(), Some(2));
    }

    #[tokio::test]
    async fn a_damaged_or_foreign_snapshot_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = machine(&dir);
        apply(&mut machine, 1, 70, found()).await;
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        let path = dir.path().join("snapshot");
        let foreign = SnapshotStore::new(path.clone(), NodeId(2));
        assert!(matches!(foreign.load(), Err(SnapshotError::OtherNode { .. })));
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).unwrap();
            let opened = StateMachine::open(SnapshotStore::new(path.clone(), NODE));
            assert!(
                matches!(opened, Err(MachineError::Snapshot(SnapshotError::Unreadable { .. }))),
                "byte {at}"
            );
        }
    }
}
