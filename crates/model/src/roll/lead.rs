//! What the leader sees, and does about it: the real `decide`.

use super::broken::Broken;
use super::node::Process;
use super::world::World;
use ironcache_control::{ControlState, Ownership};
use ironcache_coordinator::{
    Bars, DataObservation, Decision, Duty, Holding, LeaseObservation, NodeObservation, Observation,
    RaftGroup, ReplicaObservation, Timers, decide,
};
use ironcache_shard::Holds;
use ironcache_types::NodeId;
use std::collections::BTreeMap;

/// For how long the leader has waited for whatever it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    Fresh,
    /// For longer than it does.
    Over,
}

const LONG_MS: u64 = 1 << 40;

impl World {
    /// The leader looks, and has something under way, or hands leadership over.
    pub(super) fn lead(&mut self, patience: Patience) -> Option<()> {
        if !self.is_connected(self.leader) || self.proposals.iter().any(|proposal| proposal.from_leader) {
            return None;
        }
        let state = self.leaders_view();
        let observation = self.observe(&state, patience);
        match decide(&state, &observation, &Bars::default(), 0) {
            Decision::Propose(command) => self.order(command),
            Decision::TransferLeader { to } => self.make_leader(World::index_of(to))?,
            Decision::AddLearner { .. }
            | Decision::ChangeMembership { .. }
            | Decision::Wait(_)
            | Decision::Done => return None,
        }
        Some(())
    }

    /// Why nothing happens, for who reads a failed run.
    pub fn why(&self) -> String {
        let state = self.leaders_view();
        decide(&state, &self.observe(&state, Patience::Over), &Bars::default(), 0).to_string()
    }

    fn leaders_view(&self) -> ControlState {
        let mut state = ControlState::clone(self.state_of(self.leader));
        match self.broken {
            Some(Broken::RecoverBesideKeeper) => {
                let ownerless = state.shards.values_mut().filter(|shard| shard.primary().is_none());
                ownerless.for_each(|shard| shard.keeper = None);
            }
            Some(Broken::PromoteOutsideSet) => {
                let there: Vec<_> = (0..self.nodes.len()).filter_map(|at| self.member(at)).collect();
                for shard in state.shards.values_mut().filter(|shard| shard.primary().is_none()) {
                    let of_shard = there.iter().filter(|member| shard.nodes.contains(&member.node));
                    shard.in_sync.extend(of_shard.copied());
                }
            }
            Some(_) | None => {}
        }
        state
    }

    /// Somebody else leads, by an election or because it was asked to.
    pub(super) fn make_leader(&mut self, at: usize) -> Option<()> {
        if at == self.leader || !self.is_connected(at) {
            return None;
        }
        self.leader = at;
        self.term += 1;
        self.settled_at = self.end();
        Some(())
    }

    /// An election: the leader is gone, or hears nobody.
    pub(super) fn elect(&mut self, at: usize) -> Option<()> {
        if self.is_connected(self.leader) || !self.truth().nodes[&self.nodes[at].id].voter {
            return None;
        }
        let before = self.leader;
        self.make_leader(at)?;
        if !self.has_quorum() {
            self.leader = before;
            return None;
        }
        Some(())
    }

    fn observe(&self, state: &ControlState, patience: Patience) -> Observation {
        let long_ms = match patience {
            Patience::Fresh => 0,
            Patience::Over => LONG_MS,
        };
        let mut leases = BTreeMap::new();
        for shard in state.shards.values() {
            if let Ownership::Serving(owner) = shard.ownership {
                // A lease is over for the leader only when it is for the owner: the other model's matter.
                let runs =
                    self.at(owner).and_then(|at| self.process(at)).is_some_and(|p| p.engine.is_leased());
                let over_after_ms = if runs { u64::MAX } else { 0 };
                leases.insert(shard.id, LeaseObservation { unanswered_ms: 0, over_after_ms });
            }
        }
        let answering = (0..self.nodes.len()).filter(|at| self.is_connected(*at));
        let nodes: BTreeMap<NodeId, NodeObservation> =
            answering.filter_map(|at| Some((self.nodes[at].id, self.answer(at)?))).collect();
        let shards = || state.shards.keys().map(|shard| (*shard, long_ms));
        let timers = Timers {
            recovering_ms: shards().collect(),
            handover_age_ms: shards().collect(),
            ..Timers::default()
        };
        let leader_settled = self.process(self.leader).is_some_and(|p| p.applied >= self.settled_at);
        Observation {
            now_ms: 0,
            leader: self.nodes[self.leader].id,
            leader_settled,
            term: self.term,
            leases,
            nodes,
            timers,
            raft: RaftGroup::default(),
        }
    }

    /// What a node says of itself, by what it has applied.
    fn answer(&self, at: usize) -> Option<NodeObservation> {
        let process = self.process(at)?;
        Some(NodeObservation {
            seen_ms_ago: 0,
            member: process.me,
            release: self.nodes[at].launcher.running.clone(),
            ready: process.engine.is_settled(),
            raft_lag_entries: (self.end() - process.applied) as u64,
            state_hashes: Vec::new(),
            cannot_upgrade: None,
            cannot_keep: None,
            data: data(process),
        })
    }
}

fn data(process: &Process) -> Option<DataObservation> {
    let engine = &process.engine;
    let shard = engine.my_shard()?;
    let duty = match (engine.serves(), engine.follows()) {
        (Some(epoch), _) => Duty::Serves(epoch),
        (None, Some(epoch)) => Duty::Follows(epoch),
        (None, None) => Duty::Neither,
    };
    let holds = engine.holds(shard).map(|holds| match holds {
        Holds::Nothing => Holding::Nothing,
        Holds::UpTo { epoch, offset, as_of_ms } => Holding::UpTo { epoch, offset, as_of_ms },
        Holds::Sealed { offset } => Holding::Sealed { offset },
    });
    let offset = engine.end().unwrap_or_default();
    Some(DataObservation {
        shard: shard.id,
        duty,
        isr_epoch: shard.isr_epoch,
        offset,
        holds,
        replicas: replicas(process),
    })
}

fn replicas(process: &Process) -> Vec<ReplicaObservation> {
    let engine = &process.engine;
    let Some(primary) = engine.primary() else { return Vec::new() };
    let followers = primary.gate().followers().filter(|follower| follower.attached);
    followers
        .filter_map(|follower| {
            let attachment = engine.attachment_of(follower.member)?;
            Some(ReplicaObservation {
                member: follower.member,
                applied: follower.applied.unwrap_or_default(),
                lag_bytes: follower.behind_bytes,
                syncing: attachment.is_syncing(),
                in_sync_for_ms: attachment.in_sync_for_ms(process.now_ms),
            })
        })
        .collect()
}
