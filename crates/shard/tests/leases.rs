//! Two lives that each believe to own a shard never answer at the same moment, whatever is elected, delayed, lost or
//! proposed twice in between. The real `apply`, `Grantor` and `Lease`; network, raft's order and time are played.
//!
//! What is played of raft: one leader is the newest; only that one gets a quorum, and so commits and confirms. A proposal may
//! be appended by a leader that is not the newest, and is lost, or is adopted by the next one with the log id that it had.

use ironcache_control::{
    AckMode, Command, ControlState, InitCluster, LogId, NodeRole, NodeSpec, Policy, RaftTimers, ShardSpec,
};
use ironcache_shard::{Deposing, Grant, Grantor, Lease, Round, depose_after_ms};
use ironcache_types::{
    ClusterId, Digest, Incarnation, Level, LevelRange, Member, NodeId, Offset, Release, ShardId, SlotSet,
    Version, WireRange,
};
use proptest::prelude::*;

const A: Member = Member { node: NodeId(1), incarnation: Incarnation(1) };
const B: Member = Member { node: NodeId(2), incarnation: Incarnation(1) };
const LIVES: [Member; 2] = [A, B];
const SHARD: ShardId = ShardId(0);
const HANG_MS: u64 = 10_000;
/// A lease of 100 ms: a run has time for several.
const TIMERS: RaftTimers = RaftTimers { heartbeat_ms: 5, election_min_ms: 10, election_max_ms: 20 };

#[derive(Clone, Debug)]
enum Op {
    Pass {
        ms: u64,
    },
    /// A life asks whom it takes for the leader: the newest, or the one before.
    Ask {
        life: usize,
        stale: bool,
    },
    /// A question arrives, and is answered if a quorum confirms.
    Arrive,
    /// An answer arrives.
    Answer,
    /// A life applies so much of the log.
    Apply {
        life: usize,
        entries: usize,
    },
    Elect {
        adopts: bool,
    },
    /// A leader, the newest or the one before, deposes the owner that it knows if it may; perhaps by way of the newest.
    Depose {
        stale: bool,
        forwarded: bool,
    },
    /// The newest leader commits what it has appended.
    Commit,
    /// A leader applies so much of the log.
    Follow {
        stale: bool,
        entries: usize,
    },
    /// Nothing is in the way: a life asks the newest leader and hears the answer.
    Renew {
        life: usize,
    },
    /// The newest leader commits and applies all there is; so does the life.
    Settle {
        life: usize,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (1u64..60).prop_map(|ms| Op::Pass { ms }),
        4 => (0usize..2, prop::bool::weighted(0.2)).prop_map(|(life, stale)| Op::Ask { life, stale }),
        4 => Just(Op::Arrive),
        4 => Just(Op::Answer),
        3 => (0usize..2, 1usize..4).prop_map(|(life, entries)| Op::Apply { life, entries }),
        1 => any::<bool>().prop_map(|adopts| Op::Elect { adopts }),
        3 => (prop::bool::weighted(0.3), prop::bool::weighted(0.2))
            .prop_map(|(stale, forwarded)| Op::Depose { stale, forwarded }),
        3 => Just(Op::Commit),
        3 => (prop::bool::weighted(0.3), 1usize..4).prop_map(|(stale, entries)| Op::Follow { stale, entries }),
        6 => (0usize..2).prop_map(|life| Op::Renew { life }),
        6 => (0usize..2).prop_map(|life| Op::Settle { life }),
    ];
    prop::collection::vec(op, 0..200)
}

fn founded() -> ControlState {
    let node = |member: Member, role: NodeRole| NodeSpec {
        member,
        client_addr: "a:1".to_owned(),
        peer_addr: "a:2".to_owned(),
        http_addr: "a:3".to_owned(),
        role,
        voter: true,
        shard: (role == NodeRole::Data).then_some(SHARD),
        release: Release { version: Version::new(0, 1, 0), digest: Digest([1; 32]) },
        levels: LevelRange { min: Level::FIRST, max: Level::FIRST },
        launcher_protocol: WireRange { min: 1, max: 1 },
        machine: ironcache_types::MachineId(u128::from(member.node.0)),
    };
    let witness = Member { node: NodeId(3), incarnation: Incarnation(1) };
    let init = InitCluster {
        cluster_id: ClusterId(1),
        nodes: vec![node(A, NodeRole::Data), node(B, NodeRole::Data), node(witness, NodeRole::Witness)],
        shards: vec![ShardSpec { id: SHARD, slots: SlotSet::part(0, 1), nodes: vec![A.node, B.node] }],
        policy: Policy { timers: TIMERS, steady_mode: AckMode::InSync, ..Policy::default() },
        security: ironcache_control::NewSecurity::Insecure,
    };
    let mut state = ControlState::default();
    state.apply(1, &Command::InitCluster(init)).unwrap();
    state
}

/// A committed entry.
#[derive(Clone, Debug)]
struct Entry {
    at: LogId,
    command: Option<Command>,
}

/// Whoever has applied the log up to here.
#[derive(Clone, Debug)]
struct View {
    state: ControlState,
    applied: usize,
}

impl View {
    fn follow(&mut self, log: &[Entry], entries: usize) {
        let upto = self.applied.saturating_add(entries).min(log.len());
        for entry in &log[self.applied..upto] {
            if let Some(command) = &entry.command {
                // A rejection changes nothing.
                let _ = self.state.apply(entry.at, command);
            }
        }
        self.applied = upto;
    }
}

#[derive(Debug)]
struct Leader {
    term: u64,
    view: View,
    grantor: Grantor,
    /// Appended, and not committed yet.
    appended: Vec<Entry>,
    /// What it waits to hear of: the entry's index once it is committed.
    deposing: Vec<Deposing>,
    /// The index of its first entry; it leads for others once that is committed.
    first: Option<usize>,
}

struct World {
    now_ms: u64,
    log: Vec<Entry>,
    lives: Vec<(Member, View, Lease)>,
    /// The one before the newest, and the newest.
    leaders: Vec<Leader>,
    questions: Vec<(usize, u64, u64)>,
    answers: Vec<(usize, Grant)>,
}

impl World {
    fn new() -> World {
        let founded = founded();
        let index = 1;
        let view = View { state: founded, applied: 0 };
        let mut world = World {
            now_ms: 1_000,
            log: Vec::new(),
            lives: LIVES.map(|life| (life, view.clone(), Lease::default())).into(),
            leaders: Vec::new(),
            questions: Vec::new(),
            answers: Vec::new(),
        };
        let both = Command::AddInSync {
            shard: SHARD,
            isr_epoch: view.state.shards[&SHARD].isr_epoch,
            primary: A,
            member: B,
        };
        world.log.push(Entry { at: LogId { term: 0, index: index + 1 }, command: Some(both) });
        world.lives.iter_mut().for_each(|(_, view, _)| view.follow(&world.log, 1));
        world.elect(false);
        world
    }

    fn base(&self) -> View {
        View { state: founded(), applied: 0 }
    }

    fn elect(&mut self, adopts: bool) {
        let term = self.leaders.last().map_or(1, |leader| leader.term + 1);
        let mut appended = match self.leaders.last_mut() {
            Some(old) if adopts => old.appended.clone(),
            Some(_) | None => Vec::new(),
        };
        appended.push(Entry { at: LogId { term, index: 0 }, command: None });
        let leader = Leader {
            term,
            view: self.base(),
            grantor: Grantor::default(),
            appended,
            deposing: Vec::new(),
            first: None,
        };
        self.leaders.push(leader);
        if self.leaders.len() > 2 {
            self.leaders.remove(0);
        }
    }

    fn leader(&mut self, stale: bool) -> &mut Leader {
        let at = if stale { 0 } else { self.leaders.len() - 1 };
        &mut self.leaders[at]
    }

    fn play(&mut self, op: &Op) {
        match *op {
            Op::Pass { ms } => self.now_ms += ms,
            Op::Ask { life, stale } => {
                let term = self.leader(stale).term;
                self.questions.push((life, term, self.now_ms));
            }
            Op::Arrive => self.arrive(),
            Op::Answer => {
                if !self.answers.is_empty() {
                    let (life, grant) = self.answers.remove(0);
                    let (_, view, lease) = &mut self.lives[life];
                    lease.granted(grant, self.now_ms, view.applied as u64);
                }
            }
            Op::Apply { life, entries } => self.lives[life].1.follow(&self.log, entries),
            Op::Elect { adopts } => self.elect(adopts),
            Op::Depose { stale, forwarded } => self.depose(stale, forwarded),
            Op::Commit => self.commit(),
            Op::Follow { stale, entries } => self.follow(stale, entries),
            Op::Renew { life } => {
                let (asked, answers) =
                    (std::mem::take(&mut self.questions), std::mem::take(&mut self.answers));
                for op in [Op::Ask { life, stale: false }, Op::Arrive, Op::Answer] {
                    self.play(&op);
                }
                (self.questions, self.answers) = (asked, answers);
            }
            Op::Settle { life } => {
                self.commit();
                self.follow(false, usize::MAX);
                let (log, (_, view, _)) = (&self.log, &mut self.lives[life]);
                view.follow(log, usize::MAX);
            }
        }
    }

    /// Only the newest leader gets a quorum, in a round that begins now.
    fn arrive(&mut self) {
        if self.questions.is_empty() {
            return;
        }
        let (life, term, asked_ms) = self.questions.remove(0);
        let (now_ms, index, member) = (self.now_ms, self.log.len() as u64, self.lives[life].0);
        let newest = self.leader(false);
        if newest.term != term {
            return;
        }
        let round = Round { term, index };
        if let Ok(index) = newest.grantor.grant(member, 0, HANG_MS, round, &newest.view.state, now_ms) {
            let until_ms = asked_ms + TIMERS.lease_ms();
            self.answers.push((life, Grant { until_ms, index }));
        }
    }

    fn follow(&mut self, stale: bool, entries: usize) {
        let (log, now_ms) = (self.log.clone(), self.now_ms);
        let leader = self.leader(stale);
        leader.view.follow(&log, entries);
        if leader.first.is_some_and(|first| leader.view.applied > first) {
            leader.grantor.leads(leader.term, &leader.view.state, now_ms);
        }
        let owner = leader.view.state.shards[&SHARD].primary();
        let (gone, left): (Vec<_>, Vec<_>) =
            leader.deposing.drain(..).partition(|Deposing(life)| Some(*life) != owner);
        leader.deposing = left;
        gone.into_iter().for_each(|deposing| leader.grantor.settled(deposing, leader.view.applied as u64));
    }

    fn depose(&mut self, stale: bool, forwarded: bool) {
        let now_ms = self.now_ms;
        let leader = self.leader(stale);
        let shard = leader.view.state.shards[&SHARD].clone();
        let Some(owner) = shard.primary() else { return };
        let to = LIVES[usize::from(owner == A)];
        let Some(deposing) = leader.grantor.depose(SHARD, owner, &TIMERS, now_ms) else { return };
        leader.deposing.push(deposing);
        let command = Command::Failover {
            shard: SHARD,
            shard_epoch: shard.epoch,
            isr_epoch: shard.isr_epoch,
            to,
            term: leader.term,
        };
        let by = self.leader(stale && !forwarded);
        let at = LogId { term: by.term, index: 0 };
        by.appended.push(Entry { at, command: Some(command) });
    }

    fn commit(&mut self) {
        let begin = self.log.len();
        let newest = self.leaders.last_mut().expect("there is a leader from the start");
        let appended = std::mem::take(&mut newest.appended);
        for (offset, entry) in appended.into_iter().enumerate() {
            if entry.at.term == newest.term && entry.command.is_none() {
                newest.first = Some(begin + offset);
            }
            let index = (begin + offset) as u64 + 2;
            self.log.push(Entry { at: LogId { index, ..entry.at }, ..entry });
        }
    }

    /// The lives that would answer a client now.
    fn answering(&mut self) -> Vec<Member> {
        let now_ms = self.now_ms;
        let answers = |(life, view, lease): &mut (Member, View, Lease)| {
            let names = view.state.shards[&SHARD].is_primary(*life);
            (names && lease.holds(now_ms, view.applied as u64)).then_some(*life)
        };
        self.lives.iter_mut().filter_map(answers).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn two_lives_never_answer_at_once(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.play(op);
            let answering = world.answering();
            prop_assert!(answering.len() < 2, "{answering:?} after {op:?} at {} ms", world.now_ms);
        }
    }
}

/// The property above would hold if nobody ever answered.
#[test]
fn a_shard_passes_from_life_to_life_and_each_answers_in_its_time() {
    let mut world = World::new();
    let mut seen = Vec::new();
    for round in 0..4 {
        let life = round % 2;
        for op in [Op::Commit, Op::Follow { stale: false, entries: 9 }, Op::Apply { life, entries: 9 }] {
            world.play(&op);
        }
        for op in [Op::Ask { life, stale: false }, Op::Arrive, Op::Answer] {
            world.play(&op);
        }
        seen.extend(world.answering());
        world.play(&Op::Pass { ms: 150 });
        assert_eq!(world.answering(), [], "its lease is over");
        world.play(&Op::Depose { stale: false, forwarded: false });
        world.play(&Op::Commit);
        // Only one of the two is in the set then: the other one is taken in again.
        let view = &mut world.lives[1 - life].1;
        view.follow(&world.log, 9);
        let shard = &view.state.shards[&SHARD];
        let add = Command::AddInSync {
            shard: SHARD,
            isr_epoch: shard.isr_epoch,
            primary: LIVES[1 - life],
            member: LIVES[life],
        };
        let at = LogId { term: 1, index: world.log.len() as u64 + 2 };
        world.log.push(Entry { at, command: Some(add) });
    }
    assert_eq!(seen, [A, B, A, B]);
}

/// It runs from when the owner proposed its own promotion, and nobody was asked for it.
#[test]
fn an_owner_is_counted_from_its_promotion_on() {
    let mut state = founded();
    let (shard, isr_epoch, primary) = (SHARD, state.shards[&SHARD].isr_epoch, A);
    state.apply(2, &Command::AddInSync { shard, isr_epoch, primary, member: B }).unwrap();
    let mut grantor = Grantor::default();
    grantor.leads(1, &state, 0);
    let epoch = state.shards[&SHARD].epoch;
    state
        .apply(3, &Command::BeginHandover { shard, shard_epoch: epoch, from: A, to: B, plan: None })
        .unwrap();
    let handover = state.shards[&SHARD].handover.unwrap().epoch;
    let (offset, in_sync) = (Offset(9), [A, B].into());
    state.apply(4, &Command::Promote { shard, handover, to: B, offset, in_sync }).unwrap();
    grantor.leads(1, &state, 5_000);
    assert_eq!(grantor.unanswered_ms(SHARD, B, 5_000), 0);
    assert_eq!(grantor.depose(SHARD, B, &TIMERS, 5_000 + TIMERS.lease_ms()), None);
    assert_eq!(grantor.depose(SHARD, B, &TIMERS, 5_000 + depose_after_ms(&TIMERS)), Some(Deposing(B)));
}
