//! Who leads raft, and what the leader's loop does: the real `decide` on its own view.

use crate::data::offset;
use crate::node::Process;
use crate::world::World;
use ironcache_coordinator::{
    Bars, DataObservation, Decision, LeaderMemory, NodeObservation, Observation, ReplicaObservation, decide,
};
use ironcache_types::NodeId;

#[derive(Debug)]
pub struct Leadership {
    pub leader: NodeId,
    memory: LeaderMemory,
    /// It may act once it has applied this many entries.
    settled_at: usize,
    /// It waits for the outcome of its last act.
    busy_until_ms: u64,
}

/// Simulated machines are slow: entries take tens of ms.
const BARS: Bars = Bars {
    seen_ms_max: 500,
    raft_lag_entries_max: 64,
    handover_lag_bytes_max: 64,
    handover_alone_ms: 200,
    handover_backoff_ms: 100,
    handover_backoff_ms_max: 1_000,
};

impl World {
    /// A majority of the voters is up and connected.
    pub fn has_quorum(&self) -> bool {
        let up = |id: &NodeId| self.process(*id).is_some() && !self.is_cut_off(*id);
        self.truth.voters().filter(|n| up(&n.id)).count() >= self.truth.majority()
    }

    pub fn elect(&mut self) {
        let fit = |id: &NodeId| self.process(*id).is_some() && !self.is_cut_off(*id);
        let voters: Vec<NodeId> = self.truth.voters().map(|n| n.id).filter(fit).collect();
        if self.leadership.as_ref().is_some_and(|l| fit(&l.leader)) || !self.has_quorum() {
            return;
        }
        // An election takes a while; meanwhile nobody leads.
        self.leadership = None;
        if self.rng.chance(1, 10)
            && let Some(leader) = self.rng.pick(&voters)
        {
            self.make_leader(leader);
        }
    }

    pub fn make_leader(&mut self, leader: NodeId) {
        self.leadership = Some(Leadership {
            leader,
            memory: LeaderMemory::default(),
            settled_at: self.log.len(),
            busy_until_ms: 0,
        });
    }

    /// A random voter takes over; the old leader does not know yet and may act once more.
    pub fn change_leader(&mut self) {
        self.lead();
        self.leadership = None;
    }

    pub fn lead(&mut self) {
        let Some(mut leadership) = self.leadership.take() else { return };
        let decision = self.ask(&mut leadership);
        let leader = leadership.leader;
        if self.now_ms >= leadership.busy_until_ms {
            leadership.busy_until_ms = self.now_ms + 30;
            self.leadership = Some(leadership);
            match decision {
                Decision::Propose(command) => self.propose(leader, command),
                // Leadership may be lost on the way.
                Decision::TransferLeader { to } if self.rng.chance(4, 5) => self.make_leader(to),
                Decision::TransferLeader { .. } => self.leadership = None,
                Decision::Wait(_) | Decision::Done => {}
            }
        } else {
            self.leadership = Some(leadership);
        }
    }

    fn ask(&self, leadership: &mut Leadership) -> Decision {
        let Some(process) = self.process(leadership.leader) else { return Decision::Done };
        let timers = leadership.memory.note(&process.view, &BARS, self.now_ms);
        let nodes = self.nodes.keys().filter_map(|id| Some((*id, self.observe(*id)?))).collect();
        let observation = Observation {
            now_ms: self.now_ms,
            leader: leadership.leader,
            leader_settled: process.applied >= leadership.settled_at,
            nodes,
            timers,
        };
        decide(&process.view, &observation, &BARS, self.now_ms)
    }

    /// Why the leader waits, for the report of a failed run.
    pub fn why_waiting(&mut self) -> String {
        let Some(mut leadership) = self.leadership.take() else { return "nobody leads".to_owned() };
        self.ask(&mut leadership).to_string()
    }

    fn observe(&self, id: NodeId) -> Option<NodeObservation> {
        let process = self.process(id).filter(|_| !self.is_cut_off(id))?;
        let data = process.my_shard().map(|shard| DataObservation {
            shard: shard.id,
            offset: offset(&process.data),
            replicas: if process.is_primary() { self.replicas_of(process) } else { Vec::new() },
        });
        Some(NodeObservation {
            seen_ms_ago: 0,
            member: process.me,
            release: process.release.clone(),
            ready: self.is_ready(process),
            raft_lag_entries: (self.log.len() - process.applied) as u64,
            state_hashes: Vec::new(),
            cannot_upgrade: None,
            data,
        })
    }

    fn replicas_of(&self, process: &Process) -> Vec<ReplicaObservation> {
        let all = process.data.writes.len() as u64;
        let since = |m| process.data.in_sync_since.iter().find(|(known, _)| *known == m).map(|(_, ms)| *ms);
        let siblings = process.my_shard().into_iter().flat_map(|shard| &shard.nodes);
        siblings
            .filter_map(|id| {
                let member = self.process(*id)?.me;
                let applied = self.copied(member, process.me)? as u64;
                Some(ReplicaObservation {
                    member,
                    applied: ironcache_types::Offset(applied),
                    lag_bytes: all - applied,
                    syncing: false,
                    in_sync_for_ms: since(member).map_or(0, |ms| self.now_ms - ms),
                })
            })
            .collect()
    }

    fn is_ready(&self, process: &Process) -> bool {
        if self.is_leaving(process.me.node) {
            return false;
        }
        match process.my_shard() {
            None => process.applied > 0,
            Some(_) => process.is_primary() || process.data.linked,
        }
    }
}
