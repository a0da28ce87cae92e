//! What is known outside of the hosts: what survives their power cuts, and what they must never contradict.
//!
//! *Invariant:* a node votes once a term, whatever it has forgotten.
//! *Invariant:* one term has one leader; one index has one state, on every node and in every life.
//! *Invariant:* within a life the applied index never goes back; what was acknowledged is in every later state.

use super::host::{digest_of, version_of};
use ironcache_control::ControlState;
use ironcache_formats::state;
use ironcache_raft::AppliedView;
use ironcache_types::{Incarnation, Member};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

thread_local! {
    /// (voter, term) → candidate. Of the thread, since what hears votes is a service that threads may share.
    static VOTES: RefCell<BTreeMap<(u64, u64), u64>> = const { RefCell::new(BTreeMap::new()) };
    /// Who has granted a vote since the last question.
    static VOTERS: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
    static VIOLATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A state that is full forgets its lowest version for each release that comes, whatever that one's version is: so many may
/// come late and stay. Three nodes propose one after the other; what has no outcome may still come.
const LATE_MAX: usize = 8;

pub(crate) struct World {
    nodes: u64,
    lives: RefCell<BTreeMap<u64, Incarnation>>,
    admitted: RefCell<BTreeMap<u64, Incarnation>>,
    founded: Cell<bool>,
    proposes: Cell<bool>,
    next_release: Cell<u64>,
    /// number → index
    acknowledged: RefCell<BTreeMap<u64, u64>>,
    leaders: RefCell<BTreeMap<u64, u64>>,
    hashes: RefCell<BTreeMap<u64, u64>>,
    /// Of each node its present life, its applied index, and whether everything acknowledged is in its state.
    applied: RefCell<BTreeMap<u64, (Incarnation, u64, Missing)>>,
}

/// The first acknowledged release that a state lacks.
type Missing = Option<u64>;

impl World {
    pub(crate) fn new(nodes: u64) -> Self {
        World {
            nodes,
            lives: RefCell::default(),
            admitted: RefCell::default(),
            founded: Cell::new(false),
            proposes: Cell::new(true),
            next_release: Cell::new(0),
            acknowledged: RefCell::default(),
            leaders: RefCell::default(),
            hashes: RefCell::default(),
            applied: RefCell::default(),
        }
    }

    pub(crate) fn ids(&self) -> RangeInclusive<u64> {
        1..=self.nodes
    }

    pub(crate) fn begin_life(&self, id: u64) -> Incarnation {
        let mut lives = self.lives.borrow_mut();
        let life = lives.entry(id).or_default();
        life.0 += 1;
        *life
    }

    pub(crate) fn life(&self, id: u64) -> Incarnation {
        self.lives.borrow().get(&id).copied().unwrap_or_default()
    }

    pub(crate) fn note_founded(&self) {
        self.founded.set(true);
    }

    pub(crate) fn is_founded(&self) -> bool {
        self.founded.get()
    }

    /// As the daemon notes it in a file of its own, durably.
    pub(crate) fn note_admitted(&self, id: u64) {
        self.admitted.borrow_mut().insert(id, self.life(id));
    }

    pub(crate) fn is_member(&self, id: u64) -> bool {
        self.admitted.borrow().contains_key(&id)
    }

    pub(crate) fn all_admitted(&self) -> bool {
        self.founded.get() && self.ids().all(|id| self.is_member(id))
    }

    pub(crate) fn proposes(&self) -> bool {
        self.proposes.get()
    }

    pub(crate) fn stop_proposing(&self) {
        self.proposes.set(false);
    }

    pub(crate) fn next_release(&self) -> u64 {
        self.next_release.replace(self.next_release.get() + 1)
    }

    pub(crate) fn acknowledged(&self, number: u64, index: u64) {
        self.acknowledged.borrow_mut().insert(number, index);
    }

    pub(crate) fn violate(&self, what: String) {
        violate(what);
    }

    pub(crate) fn violation(&self) -> Option<String> {
        VIOLATION.with_borrow(Clone::clone)
    }

    pub(crate) fn voted(voter: u64, term: u64, candidate: u64) {
        let before = VOTES.with_borrow_mut(|votes| *votes.entry((voter, term)).or_insert(candidate));
        if before != candidate {
            violate(format!("node {voter} voted twice in term {term}: for {before}, then for {candidate}"));
        }
    }

    pub(crate) fn granted(voter: u64, term: u64, candidate: u64) {
        VOTERS.with_borrow_mut(|voters| voters.insert(voter));
        World::voted(voter, term, candidate);
    }

    pub(crate) fn take_voters() -> BTreeSet<u64> {
        VOTERS.take()
    }

    pub(crate) fn leads(&self, id: u64, term: u64) {
        let before = *self.leaders.borrow_mut().entry(term).or_insert(id);
        if before != id {
            violate(format!("term {term} has two leaders: {before} and {id}"));
        }
    }

    pub(crate) fn applied(&self, me: Member, view: &AppliedView) {
        let id = me.node.0;
        let hash = match state::hash(&view.state, []) {
            Ok(hash) => hash,
            Err(error) => return violate(format!("the state of node {id} has no hash: {error}")),
        };
        let before = *self.hashes.borrow_mut().entry(view.index).or_insert(hash);
        if before != hash {
            violate(format!("index {} has two states; one is node {id}'s", view.index));
        }
        let acknowledged = self.acknowledged.borrow();
        let known = &view.state.releases;
        let lacks = |(number, index): (&u64, &u64)| {
            let is_held = known.contains_key(&digest_of(*number));
            let later = known.values().filter(|info| info.release.version > version_of(*number)).count();
            let made_room =
                known.len() >= ControlState::RELEASES_MAX && later + LATE_MAX >= ControlState::RELEASES_MAX;
            (!is_held && !made_room).then_some((*number, *index))
        };
        let missing = acknowledged.iter().find_map(lacks);
        if let Some((number, index)) = missing
            && index <= view.index
        {
            violate(format!(
                "release {number} was acknowledged at {index}, and node {id} lacks it at {}",
                view.index
            ));
        }
        let now = (me.incarnation, view.index, missing.map(|(number, _)| number));
        if let Some((life, index, _)) = self.applied.borrow_mut().insert(id, now)
            && life == me.incarnation
            && index > view.index
        {
            violate(format!("node {id} had applied {index}, and has applied {} now", view.index));
        }
    }

    /// Does every node, in its present life, hold everything that was acknowledged, in the same state?
    pub(crate) fn converged(&self) -> Result<(), String> {
        let applied = self.applied.borrow();
        let acknowledged = self.acknowledged.borrow().values().max().copied().unwrap_or(0);
        let mut indexes = Vec::new();
        for id in self.ids() {
            match applied.get(&id) {
                Some((life, index, _)) if *life == self.life(id) => indexes.push(*index),
                Some(_) | None => return Err(format!("node {id} shows nothing in life {}", self.life(id))),
            }
            if self.admitted.borrow().get(&id) != Some(&self.life(id)) {
                return Err(format!("life {} of node {id} is not admitted", self.life(id)));
            }
        }
        let same = indexes.iter().all(|index| *index == indexes[0]);
        if same && indexes[0] >= acknowledged {
            Ok(())
        } else {
            Err(format!("applied {indexes:?}, acknowledged {acknowledged}"))
        }
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "acknowledged={} terms={} lives={}",
            self.acknowledged.borrow().len(),
            self.leaders.borrow().len(),
            self.lives.borrow().values().map(|life| life.0).sum::<u64>(),
        )
    }
}

fn violate(what: String) {
    VIOLATION.with_borrow_mut(|first| first.get_or_insert(what).clone());
}
