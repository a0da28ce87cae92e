//! What is known outside of the hosts: the ledger of the clients, what was applied where, and which failures the promise
//! covers.
//!
//! *Invariant:* one index has one state, on every node and in every life.
//! *Invariant:* within a life the applied index never goes back.

use super::client::{Counter, Key};
use super::host::{CLIENT_PORT, name};
use ironcache_control::ControlState;
use ironcache_formats::state;
use ironcache_raft::AppliedView;
use ironcache_types::Member;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
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
    orders: RefCell<BTreeMap<u64, UnboundedSender<Duration>>>,
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
            orders: RefCell::default(),
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

    pub(crate) fn begin_life(&self, id: u64, order: UnboundedSender<Duration>) {
        self.lives.set(self.lives.get() + 1);
        self.orders.borrow_mut().insert(id, order);
        self.applied.borrow_mut().insert(id, None);
    }

    /// Has its daemon stop in good order.
    pub(crate) fn stop(&self, id: u64) {
        if let Some(order) = self.orders.borrow().get(&id) {
            // It may have ended meanwhile.
            let _ = order.send(Duration::from_secs(5));
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
    pub(crate) fn note_dead(&self, id: u64) {
        self.applied.borrow_mut().insert(id, None);
        self.orders.borrow_mut().remove(&id);
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

    /// Is one more unplanned failure, of this host, within the promise: a whole copy lives on?
    pub(crate) fn may_fail(&self, id: u64) -> bool {
        self.alive_in_sync().iter().any(|other| *other != id)
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
            "acknowledged={} lives={} index={} epoch={epoch}",
            self.acknowledged.get(),
            self.lives.get(),
            newest.0
        )
    }

    pub(crate) fn shows(&self) -> String {
        let newest = self.newest.borrow();
        let shard = newest.1.shards.values().next();
        format!(
            "at index {}: {:?}; alive in the set: {:?}; applied: {:?}",
            newest.0,
            shard.map(|shard| (&shard.ownership, &shard.in_sync, &shard.handover)),
            self.alive_in_sync(),
            self.applied.borrow()
        )
    }
}
