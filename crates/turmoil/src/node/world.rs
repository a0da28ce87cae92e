//! What is known outside of the hosts: the ledger of the clients, what was applied where, and which failures the promise
//! covers.
//!
//! *Invariant:* one index has one state, on every node and in every life.
//! *Invariant:* within a life the applied index never goes back.

use super::client::{Counter, Key};
use super::host::{CLIENT_PORT, name};
use ironcache_control::{ControlState, KeeperBase};
use ironcache_formats::state;
use ironcache_raft::AppliedView;
use ironcache_spine::State;
use ironcache_types::{Member, Release};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

pub(crate) struct World {
    nodes: u64,
    data_nodes: u64,
    clients: u64,
    founded: Cell<bool>,
    works: Cell<bool>,
    violation: RefCell<Option<String>>,
    hashes: RefCell<BTreeMap<u64, u64>>,
    /// Of each host its present life and what that has applied; empty from its start until it shows something.
    applied: RefCell<BTreeMap<u64, Option<(Member, u64)>>>,
    newest: RefCell<(u64, Arc<ControlState>)>,
    /// Whose hosts are told to stop by these.
    stops: RefCell<BTreeMap<u64, UnboundedSender<()>>>,
    /// What each launcher has made durable.
    states: RefCell<BTreeMap<u64, State>>,
    /// What each host's daemon is.
    running: RefCell<BTreeMap<u64, Release>>,
    /// Those that were told to stop, until they start again.
    stopping: RefCell<BTreeSet<u64>>,
    /// Those that something happened to since the shard was whole.
    hurt: RefCell<BTreeSet<u64>>,
    calm: Cell<bool>,
    rolled: Cell<bool>,
    rolls: Cell<u64>,
    quarantines: Cell<u64>,
    /// How often a shard's only member died, and a keeper had what it had acknowledged.
    kept: Cell<u64>,
    ended: RefCell<BTreeSet<u64>>,
    lives: Cell<u64>,
    keys: RefCell<BTreeMap<u64, Key>>,
    counters: RefCell<BTreeMap<u64, Counter>>,
    acknowledged: Cell<u64>,
    read_in_the_end: RefCell<BTreeSet<u64>>,
}

impl World {
    pub(crate) fn new(nodes: u64, data_nodes: u64, clients: u64) -> Self {
        World {
            nodes,
            data_nodes,
            clients,
            founded: Cell::new(false),
            works: Cell::new(true),
            violation: RefCell::default(),
            hashes: RefCell::default(),
            applied: RefCell::default(),
            newest: RefCell::default(),
            stops: RefCell::default(),
            states: RefCell::default(),
            running: RefCell::default(),
            stopping: RefCell::default(),
            hurt: RefCell::default(),
            calm: Cell::new(false),
            rolled: Cell::new(false),
            rolls: Cell::new(0),
            quarantines: Cell::new(0),
            kept: Cell::new(0),
            ended: RefCell::default(),
            lives: Cell::new(0),
            keys: RefCell::default(),
            counters: RefCell::default(),
            acknowledged: Cell::new(0),
            read_in_the_end: RefCell::default(),
        }
    }

    pub(crate) fn nodes(&self) -> u64 {
        self.nodes
    }

    pub(crate) fn data_nodes(&self) -> u64 {
        self.data_nodes
    }

    pub(crate) fn client_addr(&self, id: u64) -> String {
        format!("{}:{CLIENT_PORT}", name(id))
    }

    pub(crate) fn begin_life(&self, id: u64, stop: UnboundedSender<()>, release: Release) {
        self.lives.set(self.lives.get() + 1);
        self.stopping.borrow_mut().remove(&id);
        self.stops.borrow_mut().insert(id, stop);
        self.running.borrow_mut().insert(id, release);
        self.applied.borrow_mut().insert(id, None);
    }

    /// What its launcher made durable last; `None` before its first start.
    pub(crate) fn state_of(&self, id: u64) -> Option<State> {
        self.states.borrow().get(&id).cloned()
    }

    pub(crate) fn note_state(&self, id: u64, state: &State) {
        self.states.borrow_mut().insert(id, state.clone());
    }

    /// Its binary is about to be changed: it may hold no role (I18), as far as anybody knows.
    pub(crate) fn check_flip(&self, id: u64) {
        let newest = self.newest.borrow();
        let Some((me, _)) = self.applied.borrow().get(&id).copied().flatten() else {
            return self.violate(format!("n{id} changes its binary before it has applied anything"));
        };
        for shard in newest.1.shards.values() {
            if shard.is_primary(me) || shard.in_sync.contains(&me) {
                self.violate(format!("n{id} changes its binary while it holds a role: {shard:?}"));
            }
        }
    }

    /// Has its daemon stop in good order.
    pub(crate) fn stop(&self, id: u64) {
        self.stopping.borrow_mut().insert(id);
        self.hurt.borrow_mut().insert(id);
        if let Some(stop) = self.stops.borrow().get(&id) {
            // It may have ended meanwhile.
            let _ = stop.send(());
        }
    }

    pub(crate) fn ended(&self, id: u64) {
        self.ended.borrow_mut().insert(id);
    }

    /// Those whose daemons have ended by themselves since the last question.
    pub(crate) fn take_ended(&self) -> BTreeSet<u64> {
        self.ended.take()
    }

    /// The host is without power, or its process was killed.
    pub(crate) fn note_failed(&self, id: u64) {
        if self.alive_in_sync() == BTreeSet::from([id]) {
            self.kept.set(self.kept.get() + 1);
        }
        self.hurt.borrow_mut().insert(id);
        self.note_dead(id);
    }

    /// Its process is no more.
    pub(crate) fn note_dead(&self, id: u64) {
        self.applied.borrow_mut().insert(id, None);
        self.stops.borrow_mut().remove(&id);
        self.ended.borrow_mut().remove(&id);
    }

    pub(crate) fn note_founded(&self) {
        self.founded.set(true);
    }

    pub(crate) fn is_founded(&self) -> bool {
        self.founded.get()
    }

    pub(crate) fn works(&self) -> bool {
        self.works.get()
    }

    pub(crate) fn stop_working(&self) {
        self.works.set(false);
    }

    /// Nothing goes wrong from here on.
    pub(crate) fn note_calm(&self) {
        self.calm.set(true);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.get()
    }

    /// The operator is done.
    pub(crate) fn note_rolled(&self) {
        self.rolled.set(true);
    }

    pub(crate) fn has_rolled(&self) -> bool {
        self.rolled.get()
    }

    /// Every node runs what it was rolled to.
    pub(crate) fn note_roll(&self) {
        self.rolls.set(self.rolls.get() + 1);
    }

    pub(crate) fn note_quarantine(&self) {
        self.quarantines.set(self.quarantines.get() + 1);
    }

    /// Does every host run what the log says of it?
    ///
    /// # Errors
    /// One does not.
    pub(crate) fn check_releases(&self) -> Result<(), String> {
        let newest = self.newest.borrow();
        let mut members = self.applied.borrow().clone().into_iter();
        let wrong = members.find_map(|(id, now)| {
            let runs = self.running.borrow().get(&id).cloned();
            let said = newest.1.nodes.get(&now?.0.node).map(|node| node.release.clone());
            (runs != said).then(|| format!("n{id} runs {runs:?}, and the log says {said:?}"))
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Called once a ms.
    pub(crate) fn look(&self) {
        let is_over = !self.hurt.borrow().is_empty() && self.stopping.borrow().is_empty();
        if is_over && self.is_whole() {
            self.hurt.borrow_mut().clear();
        }
    }

    pub(crate) fn violate(&self, what: String) {
        self.violation.borrow_mut().get_or_insert(what);
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.violation.borrow().clone()
    }

    pub(crate) fn applied(&self, id: u64, me: Member, view: &AppliedView) {
        let hash = match state::hash(&view.state, []) {
            Ok(hash) => hash,
            Err(error) => return self.violate(format!("the state of n{id} has no hash: {error}")),
        };
        let before = *self.hashes.borrow_mut().entry(view.index).or_insert(hash);
        if before != hash {
            self.violate(format!("index {} has two states; one is n{id}'s", view.index));
        }
        let now = Some((me, view.index));
        if let Some(Some((life, index))) = self.applied.borrow_mut().insert(id, now)
            && life == me
            && index > view.index
        {
            self.violate(format!("n{id} had applied {index}, and has applied {} now", view.index));
        }
        let mut newest = self.newest.borrow_mut();
        if view.index >= newest.0 {
            *newest = (view.index, Arc::clone(&view.state));
        }
    }

    /// The members of the shard's set whose lives run, by the newest state that anybody has applied.
    fn alive_in_sync(&self) -> BTreeSet<u64> {
        let applied = self.applied.borrow();
        let newest = self.newest.borrow();
        let Some(shard) = newest.1.shards.values().next() else { return BTreeSet::new() };
        let alive = |member: &Member| {
            applied.iter().find(|(_, now)| now.is_some_and(|(life, _)| life == *member)).map(|(id, _)| *id)
        };
        shard.in_sync.iter().filter_map(alive).collect()
    }

    /// Is one more unplanned failure, of this host, within the promise: does a whole copy live on?
    pub(crate) fn may_fail(&self, id: u64) -> bool {
        let alive = self.alive_in_sync();
        alive.iter().any(|other| *other != id) || alive.contains(&id) && self.is_kept_without(id)
    }

    /// Does a keeper, which nothing has happened to, have what the shard's only member acknowledges, and another node
    /// what that continues?
    fn is_kept_without(&self, id: u64) -> bool {
        let (newest, hurt, applied) = (self.newest.borrow(), self.hurt.borrow(), self.applied.borrow());
        let Some(shard) = newest.1.shards.values().next() else { return false };
        let Some(keeper) = shard.keeper_that_counts() else { return false };
        let unhurt = |other: &u64| *other != id && !hurt.contains(other);
        let keeps = |now: &Option<(Member, u64)>| now.is_some_and(|(life, _)| life == keeper.member);
        let is_alive = applied.iter().any(|(other, now)| unhurt(other) && keeps(now));
        let out = |life: Member| newest.1.nodes.get(&life.node).and_then(|node| node.out.as_ref());
        let continued = |now: &Option<(Member, u64)>| {
            let base_from = now.and_then(|(life, _)| out(life)?.base_from);
            base_from.is_some_and(|base_from| keeper.from <= base_from)
        };
        match keeper.base {
            KeeperBase::Own => is_alive,
            KeeperBase::Leaver => {
                is_alive && applied.iter().any(|(other, now)| unhurt(other) && continued(now))
            }
        }
    }

    /// Is every data node in the set, in its present life?
    pub(crate) fn is_whole(&self) -> bool {
        self.alive_in_sync().len() as u64 == self.data_nodes
    }

    pub(crate) fn key(&self, key: u64) -> Key {
        self.keys.borrow().get(&key).cloned().unwrap_or_default()
    }

    pub(crate) fn write(&self, key: u64, change: impl FnOnce(&mut Key)) {
        change(self.keys.borrow_mut().entry(key).or_default());
    }

    pub(crate) fn count(&self, client: u64, change: impl FnOnce(&mut Counter)) {
        change(self.counters.borrow_mut().entry(client).or_default());
    }

    pub(crate) fn check_counter(&self, client: u64, shown: u64) {
        let Counter { acknowledged, begun } =
            self.counters.borrow().get(&client).cloned().unwrap_or_default();
        if shown < acknowledged || shown > begun {
            self.violate(format!(
                "n{client} counts {shown}; {acknowledged} are acknowledged, {begun} were begun"
            ));
        }
    }

    pub(crate) fn note_acknowledged(&self) {
        self.acknowledged.set(self.acknowledged.get() + 1);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.get()
    }

    pub(crate) fn note_read_in_the_end(&self, client: u64) {
        self.read_in_the_end.borrow_mut().insert(client);
    }

    pub(crate) fn all_read(&self) -> bool {
        self.read_in_the_end.borrow().len() as u64 == self.clients
    }

    pub(crate) fn summary(&self) -> String {
        let newest = self.newest.borrow();
        let epoch = newest.1.shards.values().next().map_or(0, |shard| shard.epoch.0);
        format!(
            "acknowledged={} lives={} index={} epoch={epoch} rolls={} quarantined={} kept={}",
            self.acknowledged.get(),
            self.lives.get(),
            newest.0,
            self.rolls.get(),
            self.quarantines.get(),
            self.kept.get(),
        )
    }

    pub(crate) fn shows(&self) -> String {
        let newest = self.newest.borrow();
        let shard = newest.1.shards.values().next();
        format!(
            "at index {}: {:?}; plan: {:?}; nodes out: {:?}; alive in the set: {:?}; applied: {:?}",
            newest.0,
            shard.map(|shard| (&shard.ownership, &shard.in_sync, &shard.handover, &shard.keeper)),
            newest.1.plan.as_ref().map(|plan| (&plan.phase, &plan.target)),
            newest.1.nodes.values().filter_map(|node| node.out.as_ref()).collect::<Vec<_>>(),
            self.alive_in_sync(),
            self.applied.borrow()
        )
    }
}
