//! Who leads raft, and what the leader's loop does: the real `decide` on its own view.

use crate::entry::Entry;
use crate::node::Process;
use crate::world::World;
use ironcache_control::Command;
use ironcache_coordinator::{
    Bars, DataObservation, Decision, Duty, Holding, LeaderMemory, LeaseObservation, NodeObservation,
    Observation, RaftGroup, ReplicaObservation, decide,
};
use ironcache_shard::{Attachment, Deposing, Grantor, Holds, Role, Round, depose_after_ms, deposed};
use ironcache_types::{Member, NodeId, Offset};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Leadership {
    pub leader: NodeId,
    pub term: u64,
    grantor: Grantor,
    memory: LeaderMemory,
    /// The newest answer of each node.
    answers: BTreeMap<NodeId, Answer>,
    /// It may act once it has applied this many entries.
    settled_at: usize,
    /// It waits for the outcome of its last act.
    busy_until_ms: u64,
}

/// What a node said, and when.
#[derive(Debug)]
struct Answer {
    at_ms: u64,
    applied: usize,
    said: NodeObservation,
}

/// A leader that was deposed learns it within this.
const FORMER_MS: u64 = 500;

/// Simulated machines are slow: entries take tens of ms.
const BARS: Bars = Bars {
    seen_ms_max: 500,
    dropped_seen_ms_max: 300,
    raft_lag_entries_max: 64,
    handover_lag_bytes_max: 2_048,
    handover_alone_ms: 200,
    failover_answers_ms: 200,
    handover_backoff_ms: 100,
    handover_backoff_ms_max: 1_000,
};

impl World {
    /// A majority of the voters is up and connected.
    pub(crate) fn has_quorum(&self) -> bool {
        let leader = self.leadership.as_ref().map(|leadership| leadership.leader);
        let reached = |id: NodeId| leader.is_none_or(|l| l == id || !self.is_cut_between(l, id));
        let up = |id: &NodeId| self.process(*id).is_some() && !self.is_cut_off(*id) && reached(*id);
        self.truth.voters().filter(|n| up(&n.id)).count() >= self.truth.majority()
    }

    pub(crate) fn elect(&mut self) {
        let is_fit = |world: &World, id: &NodeId| world.process(*id).is_some() && !world.is_cut_off(*id);
        let voters: Vec<NodeId> = self.truth.voters().map(|n| n.id).filter(|id| is_fit(self, id)).collect();
        // A leader that does not hear a majority any more, which is there, gives up.
        if voters.len() >= self.truth.majority() && !self.has_quorum() {
            self.change_leader();
        }
        if self.leadership.as_ref().is_some_and(|l| is_fit(self, &l.leader)) || !self.has_quorum() {
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

    pub(crate) fn make_leader(&mut self, leader: NodeId) {
        self.term += 1;
        // What an earlier leader appended is in this one's log, or nowhere; it comes before anything of its own.
        for entry in std::mem::take(&mut self.appended) {
            if self.rng.chance(1, 2)
                && let Err(what) = self.append(entry)
            {
                self.broken(what);
            }
        }
        self.leadership = Some(Leadership {
            leader,
            term: self.term,
            grantor: Grantor::default(),
            memory: LeaderMemory::default(),
            answers: BTreeMap::new(),
            settled_at: self.log.len(),
            busy_until_ms: 0,
        });
    }

    /// Nobody leads for a while. The old leader does not know yet, and goes on deciding by what it has applied; what it
    /// proposes is handed on to whoever leads by then.
    pub(crate) fn change_leader(&mut self) {
        if let Some(leadership) = self.leadership.take() {
            self.former = Some((self.now_ms + FORMER_MS, leadership));
        }
    }

    pub(crate) fn lead(&mut self) -> Result<(), String> {
        if let Some((until_ms, mut former)) =
            self.former.take().filter(|(until_ms, _)| self.now_ms < *until_ms)
        {
            match self.act(&mut former)? {
                Decision::Propose(command) => self.propose(former.leader, command),
                Decision::TransferLeader { .. }
                | Decision::AddLearner { .. }
                | Decision::ChangeMembership { .. }
                | Decision::Wait(_)
                | Decision::Done => {}
            }
            self.former = Some((until_ms, former));
        }
        let Some(mut leadership) = self.leadership.take() else { return Ok(()) };
        let decision = self.act(&mut leadership)?;
        let leader = leadership.leader;
        let deposing = match &decision {
            Decision::Propose(command) => {
                self.process(leader).and_then(|process| deposed(&process.view, command))
            }
            Decision::TransferLeader { .. }
            | Decision::AddLearner { .. }
            | Decision::ChangeMembership { .. }
            | Decision::Wait(_)
            | Decision::Done => None,
        };
        if let (Some((shard, owner)), Decision::Propose(command)) = (deposing, &decision) {
            let timers = self.truth.policy.timers;
            let deposing = leadership.grantor.depose(shard, owner, &timers, self.clock_ms(leader));
            self.leadership = Some(leadership);
            return match deposing {
                Some(deposing) => self.depose(deposing, command.clone()),
                None => Ok(()),
            };
        }
        self.leadership = Some(leadership);
        match decision {
            Decision::Propose(command) => self.propose(leader, command),
            // Leadership may be lost on the way.
            Decision::TransferLeader { to } if self.rng.chance(4, 5) => self.make_leader(to),
            Decision::TransferLeader { .. } => self.leadership = None,
            // The simulated clusters keep their nodes.
            Decision::AddLearner { .. }
            | Decision::ChangeMembership { .. }
            | Decision::Wait(_)
            | Decision::Done => {}
        }
        Ok(())
    }

    /// The leader appends the entry itself: it commits it, or is gone before it does.
    fn depose(&mut self, deposing: Deposing, command: Command) -> Result<(), String> {
        let Some(leadership) = &self.leadership else { return Ok(()) };
        let Some(process) = self.process(leadership.leader) else { return Ok(()) };
        let mut entry = Entry::seal(command, &process.view);
        entry.term = leadership.term;
        if self.rng.chance(1, 4) {
            self.appended.push(entry);
            self.change_leader();
            return Ok(());
        }
        self.append(entry)?;
        // It hears the outcome: whatever it was, there is no entry under way.
        if let Some(leadership) = &mut self.leadership {
            leadership.grantor.settled(deposing, self.log.len() as u64);
        }
        Ok(())
    }

    /// A life asks for a lease. Only the newest leader gets a quorum, and it answers once it has applied an entry of its own.
    pub(crate) fn grant(&mut self, member: Member) -> Option<u64> {
        let index = self.log.len() as u64;
        if self.is_cut_off(member.node) || !self.has_quorum() {
            return None;
        }
        let leader = self.leadership.as_ref()?.leader;
        if leader != member.node && self.is_cut_between(leader, member.node) {
            return None;
        }
        let now_ms = self.clock_ms(leader);
        let mut leadership = self.leadership.take()?;
        let answer = self.process(leadership.leader).and_then(|process| {
            let silence_ms = 0;
            let state = &process.view;
            let round = Round { term: leadership.term, index };
            leadership.grantor.grant(member, silence_ms, u64::MAX, round, state, now_ms).ok()
        });
        self.leadership = Some(leadership);
        answer
    }

    /// What it does now. A coordinator never asks for what the state that it saw refuses.
    fn act(&mut self, leadership: &mut Leadership) -> Result<Decision, String> {
        self.hear(leadership);
        if self.now_ms < leadership.busy_until_ms {
            return Ok(Decision::Wait(Vec::new()));
        }
        leadership.busy_until_ms = self.now_ms + 30;
        let decision = self.ask(leadership);
        if let Decision::Propose(command) = &decision {
            self.check_proposal(leadership.leader, command)?;
        }
        Ok(decision)
    }

    /// Some nodes answer in this tick; what the others said before grows old.
    fn hear(&mut self, leadership: &mut Leadership) {
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            if self.rng.chance(1, 3)
                && (id == leadership.leader || !self.is_cut_between(id, leadership.leader))
                && !self.is_cut_off(leadership.leader)
                && let Some(answer) = self.observe(id)
            {
                leadership.answers.insert(id, answer);
            }
        }
    }

    fn ask(&self, leadership: &mut Leadership) -> Decision {
        let Some(process) = self.process(leadership.leader) else { return Decision::Done };
        let now_ms = self.clock_ms(leadership.leader);
        let timers = leadership.memory.note(&process.view, &BARS, now_ms);
        let leader_settled = process.applied >= leadership.settled_at;
        if leader_settled {
            leadership.grantor.leads(leadership.term, &process.view, now_ms);
        }
        let over_after_ms = depose_after_ms(&process.view.policy.timers);
        let observed = |(shard, unanswered_ms)| (shard, LeaseObservation { unanswered_ms, over_after_ms });
        let leases = leadership.grantor.unanswered(&process.view, now_ms).map(observed).collect();
        let nodes = leadership.answers.iter().map(|(id, answer)| (*id, self.aged(answer))).collect();
        let observation = Observation {
            now_ms,
            leader: leadership.leader,
            leader_settled,
            term: leadership.term,
            leases,
            nodes,
            timers,
            raft: RaftGroup::default(),
        };
        decide(&process.view, &observation, &BARS, self.wall_ms(leadership.leader))
    }

    /// Why the leader waits, for the report of a failed run.
    pub(crate) fn why_waiting(&mut self) -> String {
        let Some(mut leadership) = self.leadership.take() else { return "nobody leads".to_owned() };
        self.ask(&mut leadership).to_string()
    }

    /// The answer as it looks to the leader now.
    fn aged(&self, answer: &Answer) -> NodeObservation {
        NodeObservation {
            seen_ms_ago: self.now_ms - answer.at_ms,
            raft_lag_entries: (self.log.len() - answer.applied) as u64,
            ..answer.said.clone()
        }
    }

    fn observe(&self, id: NodeId) -> Option<Answer> {
        let node = &self.nodes[&id];
        let stands_still = node.is_cut_off(self.now_ms) || self.now_ms < node.stalled_until_ms;
        let process = node.process.as_ref().filter(|_| !stands_still)?;
        let engine = &process.engine;
        let data = process.my_shard().map(|shard| DataObservation {
            shard: shard.id,
            duty: match (engine.serves(), engine.follows()) {
                (Some(epoch), _) => Duty::Serves(epoch),
                (None, Some(epoch)) => Duty::Follows(epoch),
                (None, None) => Duty::Neither,
            },
            isr_epoch: shard.isr_epoch,
            offset: match engine.role() {
                Role::Loading => Offset(0),
                Role::Replica(replica) => replica.cursor().applied_offset().unwrap_or(Offset(0)),
                Role::Primary(primary) => primary.gate().end(),
            },
            holds: engine.holds(shard).map(holding),
            replicas: self.replicas_of(process),
        });
        let said = NodeObservation {
            seen_ms_ago: 0,
            member: process.me,
            release: process.release.clone(),
            ready: self.is_ready(process),
            raft_lag_entries: 0,
            state_hashes: process.hash.into_iter().collect(),
            cannot_upgrade: None,
            cannot_keep: None,
            data,
        };
        Some(Answer { at_ms: self.now_ms, applied: process.applied, said })
    }

    /// The product's `data/status::replicas`: a keeper is attached as well, and holds no copy.
    fn replicas_of(&self, process: &Process) -> Vec<ReplicaObservation> {
        let Some(shard) = process.my_shard() else { return Vec::new() };
        let now_ms = self.clock_ms(process.me.node);
        let followers = process.engine.primary().into_iter().flat_map(|primary| primary.gate().followers());
        let attached = followers.filter(|f| f.attached && shard.nodes.contains(&f.member.node));
        attached
            .map(|f| {
                let link = process.engine.attachment_of(f.member);
                ReplicaObservation {
                    member: f.member,
                    applied: f.applied.unwrap_or(Offset(0)),
                    lag_bytes: f.behind_bytes,
                    syncing: link.is_some_and(Attachment::is_syncing),
                    in_sync_for_ms: link.map_or(0, |link| link.in_sync_for_ms(now_ms)),
                }
            })
            .collect()
    }

    pub(crate) fn is_ready(&self, process: &Process) -> bool {
        if self.is_leaving(process.me.node) {
            return false;
        }
        process.engine.is_settled()
    }
}

fn holding(holds: Holds) -> Holding {
    match holds {
        Holds::Nothing => Holding::Nothing,
        Holds::UpTo { epoch, offset, as_of_ms } => Holding::UpTo { epoch, offset, as_of_ms },
        Holds::Sealed { offset } => Holding::Sealed { offset },
    }
}
