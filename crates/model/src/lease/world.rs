//! What there is: a log, two lives of data nodes, and those who take themselves for the leader.

use super::LeaseModel;
use super::broken::Broken;
use ironcache_control::{
    AckMode, Command, ControlState, InitCluster, LogId, NodeRole, NodeSpec, Policy, RaftTimers, Reason,
    Shard, ShardSpec,
};
use ironcache_shard::{Grantor, Lease, depose_after_ms};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, Level, LevelRange, MachineId, Member, NodeId, Offset, Release,
    ShardId, SlotSet, Version, WireRange,
};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

pub(super) const A: Member = Member { node: NodeId(1), incarnation: Incarnation(1) };
pub(super) const B: Member = Member { node: NodeId(2), incarnation: Incarnation(1) };
pub(super) const LIVES: [Member; 2] = [A, B];
pub(super) const SHARD: ShardId = ShardId(0);
/// A lease of 100 ms, the shortest that there is.
pub(super) const TIMERS: RaftTimers =
    RaftTimers { heartbeat_ms: 5, election_min_ms: 10, election_max_ms: 20 };
pub(super) const LEASE_MS: u64 = 100;
/// Where every promotion begins: nothing tells two attempts apart by it.
const START: Offset = Offset(9);
/// The founding, and the entry that takes B into the set.
const BEFORE: u64 = 2;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The first entry of a term.
    Elected,
    Depose {
        shard_epoch: Epoch,
        isr_epoch: Epoch,
        to: Member,
        term: u64,
    },
    Begin {
        shard_epoch: Epoch,
        from: Member,
        to: Member,
    },
    Promote {
        handover: Epoch,
        to: Member,
    },
    Abort {
        handover: Epoch,
    },
    Remove {
        isr_epoch: Epoch,
        primary: Member,
        member: Member,
    },
    Add {
        isr_epoch: Epoch,
        primary: Member,
        member: Member,
    },
    Ready {
        epoch: Epoch,
    },
    Register {
        member: Member,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Of the leader that appended it.
    pub term: u8,
    pub what: What,
}

/// A process of a data node.
#[derive(Clone, Debug)]
pub struct Life {
    pub alive: bool,
    /// Ticks that its clock has missed.
    pub late: u16,
    pub applied: usize,
    pub lease: Lease,
    pub asking: Option<Asking>,
    /// The handover for which it has proposed its promotion, and since when.
    pub promise_ms: Option<(Epoch, u64)>,
    /// On its way to the log.
    pub proposed: Option<What>,
}

/// A question for a lease: one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asking {
    /// Of whom it was asked.
    pub term: u8,
    pub asked_ms: u64,
    pub stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Asked,
    Read { index: u64 },
    Confirmed { index: u64 },
    Granted { index: u64 },
}

impl Stage {
    /// What is applied already counts no more.
    fn not_below(self, applied: u64) -> Stage {
        match self {
            Stage::Asked => Stage::Asked,
            Stage::Read { index } => Stage::Read { index: index.max(applied) },
            Stage::Confirmed { index } => Stage::Confirmed { index: index.max(applied) },
            Stage::Granted { index } => Stage::Granted { index: index.max(applied) },
        }
    }
}

/// Who takes itself for the leader.
#[derive(Clone, Debug)]
pub struct Leader {
    pub term: u8,
    /// Ticks that its clock has counted twice.
    pub early: u16,
    pub applied: usize,
    pub grantor: Grantor,
    /// Not committed.
    pub appended: Vec<Entry>,
    /// So many entries there are with its first one.
    pub first: Option<usize>,
    /// A deposing command that it has decided on, and not appended.
    pub decided: Option<What>,
    /// The one whose outcome it waits for, and whom it deposes.
    pub deposing: Option<(What, Member)>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    pub elections: u8,
    pub skews: u8,
    pub changes: u8,
    pub handovers: u8,
    pub kills: u8,
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: u16,
    tick_ms: u64,
    /// `None`: for ever.
    pub ticks_left: Option<u8>,
    /// Committed.
    pub log: Vec<Entry>,
    /// After so many entries of it: a function of the log.
    states: Vec<Arc<ControlState>>,
    pub lives: [Life; 2],
    /// The newest is the last.
    pub leaders: Vec<Leader>,
    pub left: Left,
}

impl World {
    pub(super) fn founded(model: &LeaseModel) -> World {
        let life = Life {
            alive: true,
            late: 0,
            applied: 0,
            lease: Lease::default(),
            asking: None,
            promise_ms: None,
            proposed: None,
        };
        let LeaseModel { elections, skews, changes, handovers, kills, tick_ms, ticks, .. } = *model;
        let mut world = World {
            now: 0,
            tick_ms,
            ticks_left: ticks,
            log: Vec::new(),
            states: vec![Arc::new(founded_state())],
            lives: [life.clone(), life],
            leaders: Vec::new(),
            left: Left { elections, skews, changes, handovers, kills },
        };
        world.elect(&[]);
        world
    }

    pub(super) fn state(&self, applied: usize) -> Arc<ControlState> {
        Arc::clone(&self.states[applied])
    }

    pub(super) fn shard(&self, applied: usize) -> &Shard {
        &self.states[applied].shards[&SHARD]
    }

    /// How a life sees its shard.
    pub(super) fn seen_by(&self, life: usize) -> &Shard {
        self.shard(self.lives[life].applied)
    }

    /// May it own the shard, by its own view or ever again? If not, nothing that it knows is of any consequence.
    pub(super) fn matters(&self, life: usize) -> bool {
        let end = self.shard(self.log.len());
        let Life { alive, applied, .. } = self.lives[life];
        alive
            && (end.in_sync.contains(&LIVES[life])
                || self.left.changes > 0
                || (applied..self.log.len()).any(|entries| self.shard(entries).is_primary(LIVES[life])))
    }

    pub(super) fn newest(&mut self) -> &mut Leader {
        self.leaders.last_mut().expect("somebody leads from the start")
    }

    pub(super) fn is_newest(&self, term: u8) -> bool {
        self.leaders.last().is_some_and(|leader| leader.term == term)
    }

    /// With what it keeps of an earlier leader's entries.
    pub(super) fn elect(&mut self, adopted: &[Entry]) {
        let term = self.leaders.last().map_or(1, |leader| leader.term + 1);
        let mut appended = adopted.to_vec();
        appended.push(Entry { term, what: What::Elected });
        let leader = Leader {
            term,
            early: 0,
            // What it does it does once all of this is applied.
            applied: self.log.len(),
            grantor: Grantor::default(),
            appended,
            first: None,
            decided: None,
            deposing: None,
        };
        self.leaders.push(leader);
        if self.leaders.len() > 2 {
            self.leaders.remove(0);
        }
    }

    /// The newest leader's next entry is committed.
    pub(super) fn commit(&mut self, broken: Option<Broken>) -> Option<()> {
        let newest = self.newest();
        if newest.appended.is_empty() {
            return None;
        }
        let entry = newest.appended.remove(0);
        let own_first = entry == Entry { term: newest.term, what: What::Elected };
        let mut state = ControlState::clone(&self.states[self.log.len()]);
        let index = self.log.len() as u64 + BEFORE + 1;
        if let Some(command) = entry.what.command(&state) {
            let term = match entry.what {
                What::Depose { term, .. } if broken == Some(Broken::AnyTerm) => term,
                _ => u64::from(entry.term),
            };
            // A rejection is an outcome like any other, and changes nothing.
            let _ = state.apply(LogId { term, index }, &command);
        }
        self.log.push(entry);
        self.states.push(Arc::new(state));
        let entries = self.log.len();
        if own_first {
            self.newest().first = Some(entries);
        }
        Some(())
    }

    /// The lives that would answer a client now.
    pub(super) fn answering<'a>(&'a self, model: &'a LeaseModel) -> impl Iterator<Item = usize> + 'a {
        (0..2).filter(|life| self.answers(model, *life))
    }

    fn answers(&self, model: &LeaseModel, life: usize) -> bool {
        let Life { alive, applied, mut lease, .. } = self.lives[life].clone();
        let shard = self.seen_by(life);
        let parked = shard.handover.is_some() && model.broken != Some(Broken::AnswersWhileHandingOver);
        let leased =
            model.broken == Some(Broken::LeaseIgnored) || lease.holds(self.clock_ms(life), applied as u64);
        alive && shard.is_primary(LIVES[life]) && !parked && leased
    }

    /// By the clock of that life.
    pub(super) fn clock_ms(&self, life: usize) -> u64 {
        u64::from(self.now - self.lives[life].late) * self.tick_ms
    }

    /// By the clock of that leader.
    pub(super) fn leader_ms(&self, leader: usize) -> u64 {
        u64::from(self.now + self.leaders[leader].early) * self.tick_ms
    }
}

/// Two worlds are one if they differ only by the time that it is: what counts is how long ago each thing was, up to where it
/// counts no more. Of a grantor and a lease that is what they answer; whatever else they know follows from the log.
impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { now, tick_ms, ticks_left, log, states: _, lives, leaders, left } = self;
        (ticks_left, log, left).hash(hasher);
        for (life, it) in lives.iter().enumerate() {
            let Life { alive, late, applied, lease, asking, promise_ms, proposed } = it;
            alive.hash(hasher);
            if !self.matters(life) {
                continue;
            }
            (applied, proposed).hash(hasher);
            let clock_ms = u64::from(now - late) * tick_ms;
            let ends = |entries: usize| lease.clone().until_ms(entries as u64).unwrap_or_default();
            for entries in *applied..=log.len() {
                ends(entries).saturating_sub(clock_ms).hash(hasher);
            }
            let age_ms = |then_ms: u64| (clock_ms - then_ms).min(LEASE_MS);
            let asking = asking.map(|Asking { term, asked_ms, stage }| {
                (term, age_ms(asked_ms), stage.not_below(*applied as u64))
            });
            asking.hash(hasher);
            promise_ms.map(|(handover, since_ms)| (handover, age_ms(since_ms))).hash(hasher);
        }
        for it in leaders {
            let clock_ms = u64::from(now + it.early) * tick_ms;
            let Leader { term, early: _, applied, grantor, appended, first, decided, deposing, .. } = it;
            (term, applied, appended, first, decided, deposing).hash(hasher);
            let longest_ms = depose_after_ms(&TIMERS) + tick_ms;
            let owner = self.shard(*applied).primary();
            owner.map(|owner| grantor.unanswered_ms(SHARD, owner, clock_ms).min(longest_ms)).hash(hasher);
        }
    }
}

/// By its fingerprint, as the checker tells states apart.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let fingerprint = |world: &World| {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        fingerprint(self) == fingerprint(other)
    }
}

impl What {
    fn command(self, state: &ControlState) -> Option<Command> {
        let shard = SHARD;
        Some(match self {
            What::Elected => return None,
            What::Depose { shard_epoch, isr_epoch, to, term } => {
                Command::Failover { shard, shard_epoch, isr_epoch, to, term }
            }
            What::Begin { shard_epoch, from, to } => {
                Command::BeginHandover { shard, shard_epoch, from, to, plan: None }
            }
            What::Promote { handover, to } => {
                Command::Promote { shard, handover, to, offset: START, in_sync: LIVES.into() }
            }
            What::Abort { handover } => Command::AbortHandover { shard, handover },
            What::Remove { isr_epoch, primary, member } => {
                let reason = Reason::new("silent", "silent");
                Command::RemoveInSync { shard, isr_epoch, primary, member, reason }
            }
            What::Add { isr_epoch, primary, member } => {
                Command::AddInSync { shard, isr_epoch, primary, member }
            }
            What::Ready { epoch } => Command::PrimaryReady { shard, epoch, start: START },
            What::Register { member } => {
                let node = &state.nodes[&member.node];
                Command::RegisterNode {
                    member,
                    client_addr: node.client_addr.clone(),
                    peer_addr: node.peer_addr.clone(),
                    http_addr: node.http_addr.clone(),
                    tls_port: node.tls_port,
                    release: node.release.clone(),
                    levels: node.levels,
                    launcher_protocol: node.launcher_protocol,
                    machine: node.machine,
                    #[cfg(feature = "next")]
                    zone: None,
                }
            }
        })
    }
}

fn founded_state() -> ControlState {
    let node = |member: Member, role: NodeRole| NodeSpec {
        member,
        client_addr: "a:1".to_owned(),
        peer_addr: "a:2".to_owned(),
        http_addr: "a:3".to_owned(),
        tls_port: None,
        role,
        voter: true,
        shard: (role == NodeRole::Data).then_some(SHARD),
        release: Release { version: Version::new(0, 1, 0), digest: Digest([1; 32]) },
        levels: LevelRange { min: Level::FIRST, max: Level::FIRST },
        launcher_protocol: WireRange { min: 1, max: 1 },
        machine: MachineId(u128::from(member.node.0)),
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
    state.apply(1, &Command::InitCluster(init)).expect("it is a cluster");
    let isr_epoch = state.shards[&SHARD].isr_epoch;
    let both = Command::AddInSync { shard: SHARD, isr_epoch, primary: A, member: B };
    state.apply(BEFORE, &both).expect("it is not in the set yet");
    assert_eq!(state.shards[&SHARD].in_sync, BTreeSet::from(LIVES));
    assert_eq!(state.policy.timers.lease_ms(), LEASE_MS);
    state
}
