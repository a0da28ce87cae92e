//! The promise of the gate, under random messages, crashes of links, set changes, modes and epochs:
//! every member of the in-sync set *of the log* holds every acknowledged frame (in mode `primary` it lacks
//! at most the mode's lag), whatever the primary has heard of the log so far.
//!
//! What a node holds is kept apart from what its cursor believes, frame by frame.

use ironcache_replication::*;
use ironcache_types::{Epoch, Incarnation, Level, Member, NodeId, Offset};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const NODES: usize = 4;
const MAX_LAG_OPS: u64 = 2;
const WEAK: AckMode = AckMode::Primary { max_lag_bytes: 10_000, max_lag_ops: MAX_LAG_OPS };
const LIMITS: GateLimits = GateLimits { isr_timeout_ms: 50, hold_ms: 10, settle_ms: 5, near_ms: 20 };

#[derive(Clone, Debug)]
enum Op {
    Write {
        bytes: usize,
    },
    /// The primary sends the replies that the gate allows.
    Reply,
    Attach {
        node: usize,
        backlog_frames: usize,
        old: OldLink,
    },
    Detach {
        node: usize,
    },
    /// Ends a full sync.
    SyncEnd {
        node: usize,
    },
    /// The first frame on its way to the node is lost.
    Lose {
        node: usize,
    },
    Admit {
        node: usize,
    },
    Apply {
        node: usize,
    },
    Ack {
        node: usize,
    },
    DeliverAck {
        node: usize,
    },
    /// An acknowledgement of a link that is gone, or a rejection of an older primary's proposal, arrives late.
    DeliverLate {
        pick: usize,
    },
    /// All of the above until the node has acknowledged everything.
    Pump {
        node: usize,
    },
    Await {
        node: usize,
    },
    StopAwaiting {
        node: usize,
    },
    Propose {
        node: usize,
    },
    /// The leader takes a node out.
    LogRemove {
        node: usize,
    },
    Tighten,
    ProposeInSync,
    LogWeaken,
    /// The log decides on the oldest proposal.
    Decide,
    /// The primary applies the next entry that it has not applied.
    PrimaryApplies,
    /// Level-triggered: it acts again on what it has applied already.
    PrimaryLooksAgain,
    Promote {
        node: usize,
    },
    Wait {
        ms: u64,
    },
}

/// Whether the primary hears of the end of a link before the replica's next hello.
#[derive(Clone, Copy, Debug, PartialEq)]
enum OldLink {
    Closed,
    Unnoticed,
}

fn op() -> impl Strategy<Value = Op> {
    let node = 0..NODES;
    let old = prop_oneof![Just(OldLink::Closed), Just(OldLink::Unnoticed)];
    // Weights: a case has to get through whole stories (attach, catch up, enter, write, reply) between upheavals.
    prop_oneof![
        30 => (0usize..4).prop_map(|bytes| Op::Write { bytes }),
        30 => Just(Op::Reply),
        12 => (node.clone(), 0usize..6, old).prop_map(|(node, backlog_frames, old)| Op::Attach { node, backlog_frames, old }),
        3 => node.clone().prop_map(|node| Op::Detach { node }),
        8 => node.clone().prop_map(|node| Op::SyncEnd { node }),
        3 => node.clone().prop_map(|node| Op::Lose { node }),
        16 => node.clone().prop_map(|node| Op::Admit { node }),
        12 => node.clone().prop_map(|node| Op::Apply { node }),
        16 => node.clone().prop_map(|node| Op::Ack { node }),
        16 => node.clone().prop_map(|node| Op::DeliverAck { node }),
        6 => (0usize..100).prop_map(|pick| Op::DeliverLate { pick }),
        16 => node.clone().prop_map(|node| Op::Pump { node }),
        3 => node.clone().prop_map(|node| Op::Await { node }),
        3 => node.clone().prop_map(|node| Op::StopAwaiting { node }),
        16 => node.clone().prop_map(|node| Op::Propose { node }),
        2 => node.clone().prop_map(|node| Op::LogRemove { node }),
        6 => Just(Op::Tighten),
        8 => Just(Op::ProposeInSync),
        1 => Just(Op::LogWeaken),
        12 => Just(Op::Decide),
        12 => Just(Op::PrimaryApplies),
        6 => Just(Op::PrimaryLooksAgain),
        2 => node.prop_map(|node| Op::Promote { node }),
        4 => (0u64..100).prop_map(|ms| Op::Wait { ms }),
    ]
}

/// Equal (epoch, offset) means equal content: this names a frame.
type FrameName = (Epoch, Offset);

#[derive(Clone, Copy)]
struct Frame {
    epoch: Epoch,
    start: Offset,
    bytes: usize,
}

impl Frame {
    fn effects(&self) -> Effects<'static> {
        Effects {
            level: Level::FIRST,
            epoch: self.epoch,
            start: self.start,
            scope: Scope::All,
            bytes: &[0; 4][..self.bytes],
        }
    }

    fn name(&self) -> FrameName {
        (self.epoch, self.start)
    }
}

struct Node {
    cursor: ReplicaCursor,
    holds: BTreeSet<FrameName>,
    link: Option<NodeLink>,
}

struct NodeLink {
    link: Link,
    syncing: bool,
    sent: VecDeque<Frame>,
    admitted: VecDeque<(Frame, Admitted)>,
    acks: VecDeque<Ack>,
}

#[derive(Clone, Copy)]
enum Change {
    Add(usize),
    InSync,
}

#[derive(Clone, Copy)]
enum Outcome {
    /// Of no proposal of the primary.
    Unasked,
    Accepted,
    Rejected(Proposal),
}

#[derive(Clone)]
struct Entry {
    set: BTreeSet<usize>,
    mode: AckMode,
    outcome: Outcome,
}

struct World {
    nodes: Vec<Node>,
    primary: usize,
    source: Source,
    lineage: Lineage,
    history: Vec<Frame>,
    gate: AckGate,
    replied: usize,
    acknowledged: BTreeMap<FrameName, ()>,
    late: Vec<(Link, Ack)>,
    /// The log's state, and what of it the primary has yet to apply.
    set: BTreeSet<usize>,
    mode: AckMode,
    unapplied: VecDeque<Entry>,
    /// With the number of set and mode changes that the proposer had seen.
    proposals: VecDeque<(Change, Proposal, u64)>,
    /// Rejections that reach whoever is primary later.
    late_rejections: Vec<Proposal>,
    version: u64,
    version_at_primary: u64,
    /// What the primary has applied of the log.
    applied: (BTreeSet<usize>, AckMode),
    now_ms: u64,
}

fn member(node: usize) -> Member {
    Member { node: NodeId(node as u64), incarnation: Incarnation(node as u64 + 100) }
}

fn members(set: &BTreeSet<usize>) -> BTreeSet<Member> {
    set.iter().map(|&node| member(node)).collect()
}

impl World {
    fn new(mode: AckMode) -> Self {
        let source = Source { epoch: Epoch(1), incarnation: Incarnation(100) };
        let node = || Node { cursor: ReplicaCursor::empty(), holds: BTreeSet::new(), link: None };
        World {
            nodes: (0..NODES).map(|_| node()).collect(),
            primary: 0,
            source,
            lineage: Lineage::new(Epoch(1), Offset(0)),
            history: Vec::new(),
            gate: AckGate::new(source, Offset(0), mode, &BTreeSet::new(), LIMITS, 0),
            replied: 0,
            acknowledged: BTreeMap::new(),
            late: Vec::new(),
            set: BTreeSet::new(),
            mode,
            unapplied: VecDeque::new(),
            proposals: VecDeque::new(),
            late_rejections: Vec::new(),
            version: 0,
            version_at_primary: 0,
            applied: (BTreeSet::new(), mode),
            now_ms: 0,
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Write { bytes } => self.write(bytes),
            Op::Reply => self.reply(),
            Op::Attach { node, backlog_frames, old } => self.attach(node, backlog_frames, old),
            Op::Detach { node } => self.detach(node, OldLink::Closed),
            Op::SyncEnd { node } => self.sync_end(node),
            Op::Lose { node } => drop(self.nodes[node].link.as_mut().and_then(|link| link.sent.pop_front())),
            Op::Admit { node } => self.admit(node),
            Op::Apply { node } => self.apply(node),
            Op::Ack { node } => {
                let node = &mut self.nodes[node];
                if let (Some(link), Some(ack)) = (&mut node.link, node.cursor.ack()) {
                    link.acks.push_back(ack);
                }
            }
            Op::DeliverAck { node } => self.deliver_ack(node),
            Op::DeliverLate { pick } => {
                if !self.late_rejections.is_empty() {
                    let proposal = self.late_rejections.swap_remove(pick % self.late_rejections.len());
                    self.gate.on_rejected(proposal);
                }
                if !self.late.is_empty() {
                    let (link, ack) = self.late.swap_remove(pick % self.late.len());
                    // It may count only if the primary has not heard of a newer link: then it is still true.
                    let _ = self.gate.on_ack(link, ack, self.now_ms);
                }
            }
            Op::Pump { node } => self.pump(node),
            Op::Await { node } => drop(self.gate.await_member(member(node))),
            Op::StopAwaiting { node } => self.gate.stop_awaiting(member(node)),
            Op::Propose { node } => {
                if let Ok(proposal) = self.gate.propose(member(node)) {
                    self.proposals.push_back((Change::Add(node), proposal, self.version_at_primary));
                }
            }
            Op::LogRemove { node } => {
                let mut set = self.set.clone();
                if set.remove(&node) {
                    self.commit(Entry { set, mode: self.mode, outcome: Outcome::Unasked });
                }
            }
            Op::Tighten => self.gate.tighten(),
            Op::ProposeInSync => {
                if let Ok(proposal) = self.gate.propose_in_sync() {
                    self.proposals.push_back((Change::InSync, proposal, self.version_at_primary));
                }
            }
            Op::LogWeaken => {
                self.commit(Entry { set: self.set.clone(), mode: WEAK, outcome: Outcome::Unasked })
            }
            Op::Decide => self.decide(),
            Op::PrimaryApplies => self.primary_applies(),
            Op::PrimaryLooksAgain => self.look(),
            Op::Promote { node } => self.promote(node),
            Op::Wait { ms } => self.now_ms += ms,
        }
    }

    fn end(&self) -> Offset {
        self.history.last().map_or(Offset(0), |frame| frame.effects().end())
    }

    fn write(&mut self, bytes: usize) {
        let frame = Frame { epoch: self.source.epoch, start: self.end(), bytes };
        self.history.push(frame);
        let primary = self.primary;
        self.nodes[primary].holds.insert(frame.name());
        self.gate.on_frame(frame.effects().end(), self.now_ms);
        for link in self.nodes.iter_mut().filter_map(|node| node.link.as_mut()) {
            link.sent.push_back(frame);
        }
    }

    fn reply(&mut self) {
        let until = match self.gate.effective_mode() {
            AckMode::InSync => self.gate.acknowledged(),
            AckMode::Primary { .. } => Offset(u64::MAX),
        };
        while let Some(frame) = self.history.get(self.replied) {
            let end = frame.effects().end();
            if end > until || self.gate.may_acknowledge(end) != Gate::Open {
                break;
            }
            self.acknowledged.insert(frame.name(), ());
            self.replied += 1;
        }
    }

    fn attach(&mut self, at: usize, backlog_frames: usize, old: OldLink) {
        if at == self.primary {
            return;
        }
        self.detach(at, old);
        let first_kept = self.history.len().saturating_sub(backlog_frames);
        let backlog_start = self.history.get(first_kept).map_or(self.end(), |frame| frame.start);
        let position = self.nodes[at].cursor.position().unwrap();
        let mode = self.lineage.can_resume(position, backlog_start, self.end()).mode();
        let standing = if self.set.contains(&at) { Standing::InSync } else { Standing::Outside };
        let begin = SyncBegin { source: self.source, mode, lineage: self.lineage.clone() };
        // Only the primary knows whether the node is proposed.
        let Ok(link) = self.gate.attach(member(at), mode, self.now_ms) else { return };
        let node = &mut self.nodes[at];
        let sent = match node.cursor.follow(self.source, &begin, standing) {
            Ok(Begin::Continue { from }) => {
                self.history.iter().copied().filter(|f| f.start >= from).collect()
            }
            Ok(Begin::Discard) => {
                node.holds.clear();
                VecDeque::new()
            }
            Err(error) => {
                assert_eq!(error, StreamError::DiscardWhileInSync);
                self.gate.detach(link);
                return;
            }
        };
        let syncing = mode == SyncMode::Full;
        node.link = Some(NodeLink { link, syncing, sent, admitted: VecDeque::new(), acks: VecDeque::new() });
    }

    fn detach(&mut self, at: usize, old: OldLink) {
        while self.nodes[at].link.as_ref().is_some_and(|link| !link.admitted.is_empty()) {
            self.apply(at);
        }
        self.nodes[at].cursor.detach();
        if let Some(NodeLink { link, acks, .. }) = self.nodes[at].link.take() {
            self.late.extend(acks.into_iter().map(|ack| (link, ack)));
            if old == OldLink::Closed {
                self.gate.detach(link);
            }
        }
    }

    fn sync_end(&mut self, at: usize) {
        if !self.nodes[at].link.as_ref().is_some_and(|link| link.syncing) {
            return;
        }
        // It comes in-band: all that was sent before is read and applied first.
        for _ in 0..self.history.len() {
            self.admit(at);
            self.apply(at);
        }
        let end = SyncEnd { lineage: self.lineage.clone(), offset: self.end() };
        let node = &mut self.nodes[at];
        if let Some(link) = &mut node.link {
            node.cursor.on_sync_end(self.source, &end).unwrap();
            node.holds = self.history.iter().map(Frame::name).collect();
            link.syncing = false;
        }
    }

    fn admit(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(link) = &mut node.link else { return };
        let Some(frame) = link.sent.pop_front() else { return };
        match node.cursor.accept(self.source, &frame.effects()) {
            Ok(admitted) => link.admitted.push_back((frame, admitted)),
            Err(StreamError::Gap { .. }) => self.detach(at, OldLink::Closed),
            Err(error) => panic!("{error}"),
        }
    }

    fn apply(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some((frame, admitted)) = node.link.as_mut().and_then(|link| link.admitted.pop_front()) else {
            return;
        };
        node.holds.insert(frame.name());
        node.cursor.applied(admitted).unwrap();
    }

    fn deliver_ack(&mut self, at: usize) {
        let Some(link) = &mut self.nodes[at].link else { return };
        if let Some(ack) = link.acks.pop_front() {
            self.gate.on_ack(link.link, ack, self.now_ms).unwrap();
        }
    }

    fn pump(&mut self, at: usize) {
        self.sync_end(at);
        for _ in 0..self.history.len() {
            self.admit(at);
            self.apply(at);
        }
        self.step(&Op::Ack { node: at });
        while self.nodes[at].link.as_ref().is_some_and(|link| !link.acks.is_empty()) {
            self.deliver_ack(at);
        }
    }

    fn commit(&mut self, entry: Entry) {
        self.version += 1;
        self.set.clone_from(&entry.set);
        self.mode = entry.mode;
        self.unapplied.push_back(entry);
    }

    fn decide(&mut self) {
        let Some((change, proposal, seen)) = self.proposals.pop_front() else { return };
        let (mut set, mut mode) = (self.set.clone(), self.mode);
        if seen == self.version {
            match change {
                Change::Add(node) => drop(set.insert(node)),
                Change::InSync => mode = AckMode::InSync,
            }
            self.commit(Entry { set, mode, outcome: Outcome::Accepted });
        } else {
            // Rejected: nothing changes, and the primary learns of it in order.
            self.unapplied.push_back(Entry { set, mode, outcome: Outcome::Rejected(proposal) });
        }
    }

    fn primary_applies(&mut self) {
        let Some(Entry { set, mode, outcome }) = self.unapplied.pop_front() else { return };
        if self.unapplied.is_empty() {
            self.version_at_primary = self.version;
        }
        self.applied = (set, mode);
        self.look();
        match outcome {
            Outcome::Rejected(proposal) => self.gate.on_rejected(proposal),
            Outcome::Accepted | Outcome::Unasked => {}
        }
    }

    fn look(&mut self) {
        let (set, mode) = &self.applied;
        self.gate.set_committed(&members(set), self.now_ms);
        self.gate.set_mode(*mode);
    }

    /// A failover to a member: its history becomes the shard's; only who holds a prefix of it stays.
    fn promote(&mut self, to: usize) {
        if !self.set.contains(&to) {
            return;
        }
        let old_end = self.end();
        (0..NODES).for_each(|node| self.detach(node, OldLink::Closed));
        let epoch = Epoch(self.source.epoch.0 + 1);
        let (lineage, start) = self.nodes[to].cursor.promote(epoch).unwrap();
        self.nodes[self.primary].cursor = ReplicaCursor::holding(self.lineage.clone(), old_end);
        self.primary = to;
        self.source = Source { epoch, incarnation: member(to).incarnation };
        self.history.retain(|frame| frame.start < start);
        let holds: BTreeSet<_> = self.history.iter().map(Frame::name).collect();
        assert_eq!(holds, self.nodes[to].holds, "a position means a prefix of the history");
        self.lineage = lineage;
        self.replied = self.history.len();
        self.acknowledged.retain(|name, ()| holds.contains(name));
        let resumes = |node: &usize| {
            let position = self.nodes[*node].cursor.position().unwrap();
            matches!(self.lineage.can_resume(position, Offset(0), start), Resync::Partial { .. })
        };
        self.set = self.set.iter().copied().filter(|node| *node != to).filter(resumes).collect();
        self.gate.reset(self.source, start, &members(&self.set), self.now_ms);
        self.applied = (self.set.clone(), self.mode);
        self.look();
        // Whatever the old primary proposed compares a version that is past.
        let undecided = self.proposals.drain(..).map(|(_, proposal, _)| proposal);
        let unheard = self.unapplied.drain(..).filter_map(|entry| match entry.outcome {
            Outcome::Rejected(proposal) => Some(proposal),
            Outcome::Accepted | Outcome::Unasked => None,
        });
        self.late_rejections.extend(undecided.chain(unheard));
        self.version += 1;
        self.version_at_primary = self.version;
    }

    fn check(&self) -> TestCaseResult {
        let may_lack = if self.mode == AckMode::InSync { 0 } else { MAX_LAG_OPS };
        for &node in &self.set {
            let holds = &self.nodes[node].holds;
            let lacks = self.acknowledged.keys().filter(|name| !holds.contains(name)).count() as u64;
            prop_assert!(lacks <= may_lack, "node {node} lacks {lacks} acknowledged frames");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_in_sync_set_holds_what_was_acknowledged(
        in_sync: bool,
        ops in prop::collection::vec(op(), 0..250),
    ) {
        let mut world = World::new(if in_sync { AckMode::InSync } else { WEAK });
        for op in &ops {
            world.step(op);
            world.check()?;
        }
    }
}
