//! What there is: a log, nodes with their processes, links, and what is under way to the log.

use super::Bounds;
use super::broken::Broken;
use super::founded;
use super::link::Link;
use super::node::{Copy, Exit, LEASE_MS, Node, Process};
use super::print::{Kind, Print, Ranks};
use ironcache_agent::{Action as AgentAction, LocalFacts, PreflightResult, StepResult};
use ironcache_control::{Command, ControlState, Phase};
use ironcache_replication::EFFECTS_OVERHEAD_BYTES;
use ironcache_shard::keeper;
use ironcache_shard::{Action, Ask, CheckpointFate, Event, Grant, Held, OnTrial, fate_of_checkpoint};
use ironcache_types::{Epoch, Level, Member, NodeId, Offset, ShardId};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Every write is one frame of so many bytes.
pub(super) const FRAME_BYTES: u64 = EFFECTS_OVERHEAD_BYTES as u64 + 1;

/// How many frames end at or below this offset.
pub(super) fn frame_number(offset: Offset) -> usize {
    usize::try_from(offset.0 / FRAME_BYTES).expect("a model plays a few writes")
}

/// The state after an entry, and what tells it apart.
#[derive(Clone, Debug)]
pub struct View {
    pub state: Arc<ControlState>,
    pub print: Arc<Print>,
}

/// A command under way to the log.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The life that asked; of the leader's and of an operator's nobody is told a rejection.
    pub by: Option<Member>,
    pub from_leader: bool,
    pub command: Command,
    pub ask: Option<Ask>,
    pub print: Arc<Print>,
}

/// A write that was executed: where, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Executed {
    pub shard: ShardId,
    pub epoch: Epoch,
    pub number: usize,
    pub write: u8,
}

/// What may still go wrong, or be wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    pub writes: u8,
    pub crashes: u8,
    pub lost: u8,
    pub cuts: u8,
    pub lates: u8,
    pub failures: u8,
    pub orders: u8,
    pub snapshots: u8,
    pub stalls: u8,
}

#[derive(Clone, Debug)]
pub struct World {
    pub(super) broken: Option<Broken>,
    /// How far a node may be behind.
    pub(super) lag: usize,
    /// Who may crash.
    pub(super) victims: &'static [usize],
    /// The newest states of the log; the first is that of entry `base`.
    pub base: usize,
    pub log: Vec<View>,
    pub nodes: Vec<Arc<Node>>,
    pub(super) prints: Vec<Arc<Print>>,
    pub links: Vec<Link>,
    pub proposals: Vec<Arc<Proposal>>,
    pub leader: usize,
    pub term: u64,
    /// The leader acts once it has applied so much.
    pub settled_at: usize,
    /// It hears no leader, and no leader hears it; its links are up.
    pub cut: Option<usize>,
    pub executed: BTreeSet<Executed>,
    pub acknowledged: BTreeSet<(ShardId, u8)>,
    pub left: Left,
    /// A rule that an event broke, beside those that every state is asked for.
    pub wrong: Option<&'static str>,
    /// Nodes that this event changed, a bit each; none between events.
    touched: u32,
}

impl World {
    pub(super) fn founded(bounds: &Bounds, broken: Option<Broken>) -> World {
        let state = founded::state(bounds);
        let nodes = founded::nodes(&state);
        let view = View::of(state);
        let Bounds { writes, crashes, lost, cuts, lates, failures, orders, snapshots, stalls, .. } = *bounds;
        let Bounds { lag, leader, victims, begins, .. } = *bounds;
        let mut world = World {
            broken,
            lag,
            victims,
            base: 1,
            log: vec![view],
            prints: Vec::new(),
            nodes: nodes.into_iter().map(Arc::new).collect(),
            links: Vec::new(),
            proposals: Vec::new(),
            leader,
            term: 1,
            settled_at: 1,
            cut: None,
            executed: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            left: Left::default(),
            wrong: None,
            touched: 0,
        };
        for at in 0..world.nodes.len() {
            world.start(at);
        }
        // The second member holds what the first one does: nothing yet.
        world.settle();
        world.calm_start();
        world.calm_until(begins);
        world.left = Left { writes, crashes, lost, cuts, lates, failures, orders, snapshots, stalls };
        world
    }

    // --- who is where ----------------------------------------------------------------------------------------

    pub(super) fn process(&self, at: usize) -> Option<&Process> {
        self.nodes.get(at)?.process.as_ref()
    }

    pub(super) fn node_mut(&mut self, at: usize) -> &mut Node {
        self.touched |= 1 << at;
        Arc::make_mut(&mut self.nodes[at])
    }

    pub(super) fn process_mut(&mut self, at: usize) -> Option<&mut Process> {
        self.nodes.get(at)?.process.as_ref()?;
        self.node_mut(at).process.as_mut()
    }

    pub(super) fn member(&self, at: usize) -> Option<Member> {
        self.process(at).map(|process| process.me)
    }

    /// The newest life of the node, whether it runs or not.
    pub(super) fn last_member(&self, at: usize) -> Member {
        founded::member(at, self.nodes[at].life)
    }

    /// Where that life runs.
    pub(super) fn at(&self, member: Member) -> Option<usize> {
        (0..self.nodes.len()).find(|at| self.member(*at) == Some(member))
    }

    pub(super) fn index_of(node: NodeId) -> usize {
        usize::try_from(node.0 - 1).expect("a model has a few nodes")
    }

    pub(super) fn end(&self) -> usize {
        self.base + self.log.len() - 1
    }

    pub(super) fn view(&self, applied: usize) -> &View {
        &self.log[applied.max(self.base) - self.base]
    }

    pub(super) fn truth(&self) -> &Arc<ControlState> {
        &self.log.last().expect("it was founded").state
    }

    pub(super) fn state_of(&self, at: usize) -> &Arc<ControlState> {
        &self.view(self.process(at).map_or(self.end(), |p| p.applied)).state
    }

    /// The shard whose data the node holds; a witness holds none, and answers the number after the last.
    pub(super) fn shard_of(&self, at: usize) -> ShardId {
        ShardId(u16::try_from(at / 2).expect("a model has a few nodes"))
    }

    pub(super) fn is_witness(&self, at: usize) -> bool {
        at + 1 == self.nodes.len()
    }

    pub(super) fn is_connected(&self, at: usize) -> bool {
        self.cut != Some(at) && self.process(at).is_some()
    }

    /// Can anything be committed?
    pub(super) fn has_quorum(&self) -> bool {
        let state = self.truth();
        let up = state.voters().filter(|node| self.is_connected(Self::index_of(node.id))).count();
        up >= state.majority() && self.is_connected(self.leader)
    }

    // --- processes -------------------------------------------------------------------------------------------

    /// A process starts, and reads what lies on its disk.
    pub(super) fn start(&mut self, at: usize) {
        let applied = self.applied_at(at);
        let node = self.node_mut(at);
        node.life += 1;
        let me = founded::member(at, node.life);
        let mut process = Process::new(me);
        let held = node.checkpoint.as_ref().map(|copy| copy.held.clone());
        if let Some(Copy { data, .. }) = &node.checkpoint {
            process.data.clone_from(data);
        }
        let tails: Vec<_> = node.tails.iter().map(|((shard, _), tail)| (*shard, tail.file)).collect();
        for (shard, file) in tails {
            let _ = process.keepers.on(keeper::Event::Found { shard, file }, 0);
        }
        node.process = Some(process);
        self.feed(at, Event::Loaded { held });
        self.apply(at, applied);
    }

    /// The process is gone, with what it had in memory.
    pub(super) fn end_process(&mut self, at: usize) {
        self.leave_under_way(at);
        let node = self.node_mut(at);
        if let Some(process) = node.process.take() {
            node.applied = process.applied;
        }
    }

    /// It writes down what it holds.
    pub(super) fn write_down(&mut self, at: usize, sealed: bool) {
        let Some(process) = self.process(at) else { return };
        let Some(saved) = process.engine.saved_position() else { return };
        let offset = saved.position.offset;
        let by_owner = process.engine.primary().is_some() && sealed;
        let read = process.engine.unchanged().and_then(|read| read.sealed_by).filter(|_| sealed);
        let as_if = self.broken == Some(Broken::SnapshotForCleanEnd) && !sealed;
        let sealed_by = if by_owner || as_if { Some(process.me.incarnation) } else { read };
        let held = Held { lineage: saved.lineage, offset, sealed_by, taken_ms: 0 };
        let copy = Copy { held, data: process.data.clone() };
        self.node_mut(at).checkpoint = Some(copy);
    }

    /// The node has applied the log up to there.
    pub(super) fn apply(&mut self, at: usize, applied: usize) {
        let state = Arc::clone(&self.view(applied).state);
        let connected = self.cut != Some(at);
        let Some(process) = self.process_mut(at) else { return };
        process.applied = applied;
        if connected {
            self.grant(at);
        }
        let seen = self.as_seen(&state);
        self.feed(at, Event::Applied { index: applied as u64, state: Arc::clone(&seen) });
        self.keeper_event(at, keeper::Event::Applied(seen));
        self.tend_checkpoint(at, &state);
        self.agent(at);
    }

    /// What a process makes of the state.
    fn as_seen(&self, state: &Arc<ControlState>) -> Arc<ControlState> {
        if self.broken != Some(Broken::AbortLowersMode) || state.plan.is_some() {
            return Arc::clone(state);
        }
        Arc::new(founded::without_who_is_out(state))
    }

    /// The leader answers: for as long as it hears it.
    pub(super) fn grant(&mut self, at: usize) {
        let Some(process) = self.process(at) else { return };
        let grant = Grant { until_ms: process.now_ms + LEASE_MS, index: 0 };
        self.feed(at, Event::Granted(grant));
    }

    fn tend_checkpoint(&mut self, at: usize, state: &ControlState) {
        let node = &self.nodes[at];
        let (Some(copy), Some(process)) = (&node.checkpoint, &node.process) else { return };
        let trial = if node.launcher.is_on_trial() { OnTrial::Yes } else { OnTrial::No };
        let Held { lineage, offset, .. } = &copy.held;
        match fate_of_checkpoint(state, process.me, lineage, *offset, trial) {
            CheckpointFate::Stays => {}
            CheckpointFate::Goes | CheckpointFate::IsSetAside => self.node_mut(at).checkpoint = None,
        }
    }

    pub(super) fn feed(&mut self, at: usize, event: Event) {
        let Some(process) = self.process_mut(at) else { return };
        let now = process.now();
        let actions = process.engine.on(event, now);
        self.perform(at, actions);
    }

    /// What the shell does.
    pub(super) fn perform(&mut self, at: usize, actions: Vec<Action>) {
        for action in actions {
            let Some(process) = self.process_mut(at) else { return };
            match action {
                Action::Propose { command, ask } => self.propose(at, *command, ask),
                Action::ClearKeyspace => process.data.clear(),
                Action::BeginStream { at: offset } => {
                    if process.data.len() != frame_number(offset) {
                        self.wrong = Some("a dataset is what its offset says");
                    }
                }
                Action::SettleReplies => self.reply(at),
                Action::LoseReplies => process.owed.clear(),
                Action::TellRepliesLeft { handover } => {
                    self.reply(at);
                    self.feed(at, Event::RepliesLeft { handover });
                }
                Action::End => {
                    self.wrong = Some("whom the log names can serve");
                    self.end_process(at);
                }
                Action::ForgetWritten
                | Action::Wake
                | Action::Feed
                | Action::TickAfter { .. }
                | Action::HandoverBegan(_)
                | Action::HandoverEnded(_)
                | Action::Tell(_) => {}
            }
        }
    }

    pub(super) fn keeper_event(&mut self, at: usize, event: keeper::Event) {
        let Some(process) = self.process_mut(at) else { return };
        for action in process.keepers.on(event, process.now_ms) {
            self.perform_keeper(at, &action);
        }
    }

    fn perform_keeper(&mut self, at: usize, action: &keeper::Action) {
        let Some(process) = self.process_mut(at) else { return };
        match *action {
            keeper::Action::Dial { shard, primary, epoch } => {
                process.dials.insert(shard, (primary, epoch));
            }
            keeper::Action::HangUp { shard } | keeper::Action::GiveUp { shard } => {
                process.dials.remove(&shard);
            }
            keeper::Action::Acknowledge { shard, whole } => self.acknowledge_kept(at, shard, whole),
            keeper::Action::Fence { shard, handover } => {
                process.fences.insert(shard, handover);
            }
            keeper::Action::Lift { shard } => {
                process.fences.remove(&shard);
            }
            keeper::Action::Remove { shard, epoch } => {
                self.node_mut(at).tails.remove(&(shard, epoch));
            }
            keeper::Action::Serve { .. }
            | keeper::Action::Refuse { .. }
            | keeper::Action::EndServing { .. } => {}
        }
    }

    /// What the node does about its own binary.
    pub(super) fn agent(&mut self, at: usize) {
        for _ in 0..8 {
            let Some(facts) = self.facts(at) else { return };
            let action = ironcache_agent::next(self.state_of(at), &facts);
            let me = facts.me;
            match action {
                AgentAction::Register => self.propose(at, founded::registration(&self.nodes[at], me), None),
                AgentAction::ReportStaged { digest } => {
                    self.propose(at, Command::ReportStaged { node: me.node, digest }, None);
                }
                AgentAction::Preflight { digest, turn } => {
                    let said = PreflightResult { digest, turn, problem: None };
                    self.process_mut(at).expect("it asks").preflight = Some(said);
                    continue;
                }
                // Who soaks is asked for the way back, which nothing waits for.
                AgentAction::ReportPreflight(_) if self.soaks(at) => {}
                AgentAction::ReportPreflight(command)
                | AgentAction::ReportLevelReached(command)
                | AgentAction::ReportConfirmed(command)
                | AgentAction::ReportFailed(command)
                | AgentAction::Rejoin(command) => self.propose(at, command, None),
                AgentAction::Activate { step, target, .. } => {
                    self.process_mut(at).expect("it asks").exit = Some(Exit::Activate { step, target });
                }
                AgentAction::ConfirmTrial { .. } => {
                    self.node_mut(at).launcher.end(StepResult::Done);
                    continue;
                }
                AgentAction::AbandonTrial { .. } => {
                    self.process_mut(at).expect("it asks").exit = Some(Exit::Abandon);
                }
                AgentAction::RegisterRunning
                | AgentAction::Fetch { .. }
                | AgentAction::Compact
                | AgentAction::Wait(_)
                | AgentAction::Nothing => {}
            }
            return;
        }
    }

    fn soaks(&self, at: usize) -> bool {
        self.state_of(at).plan.as_ref().is_some_and(|plan| matches!(plan.phase, Phase::Soaking { .. }))
    }

    fn facts(&self, at: usize) -> Option<LocalFacts> {
        let node = &self.nodes[at];
        let process = node.process.as_ref()?;
        let applied_by_primary = process.engine.told_applied();
        let primary = self.state_of(at).shard_of_node(node.id).and_then(ironcache_control::Shard::primary);
        let is_there = primary.and_then(|primary| self.at(primary)).is_some();
        let activation_ordered = match &process.exit {
            Some(Exit::Activate { step, .. }) => Some(*step),
            Some(Exit::Abandon) | None => None,
        };
        Some(LocalFacts {
            me: process.me,
            running: node.launcher.running.clone(),
            log_is_current: process.applied == self.end() && self.is_connected(at),
            launcher: node.launcher.facts.clone(),
            held: founded::digests(),
            fetching: None,
            primary_applied: applied_by_primary,
            activation_ordered,
            // A primary that is there is asked; one that is gone has been so for long.
            told_ms_ago: if is_there { 0 } else { u64::MAX },
            cut_off: false,
            preflight: process.preflight.clone(),
            oldest: Level::FIRST,
            now_wall_ms: 0,
        })
    }

    // --- the end of an event ---------------------------------------------------------------------------------

    /// What follows at once: links, ticks, and that nothing is kept of the log which everybody has applied.
    pub(super) fn settle(&mut self) {
        self.wire();
        // What a tick leads to may be followed by another one.
        for _ in 0..4 {
            let touched = std::mem::take(&mut self.touched);
            if touched == 0 {
                break;
            }
            (0..self.nodes.len()).filter(|at| touched >> at & 1 == 1).for_each(|at| self.tick(at));
            self.wire();
        }
        self.touched = 0;
        self.forget();
    }

    fn tick(&mut self, at: usize) {
        let touched = self.touched;
        let Some(process) = self.process_mut(at) else { return };
        let now = process.at_tick();
        let mut actions = process.engine.on(Event::Tick, now);
        actions.retain(|action| !matches!(action, Action::SettleReplies));
        // Most ticks change nothing.
        if actions.is_empty() {
            self.touched = touched;
        }
        self.perform(at, actions);
        self.reply(at);
    }

    /// How far the node has applied the log.
    pub(super) fn applied_at(&self, at: usize) -> usize {
        let node = &self.nodes[at];
        node.process.as_ref().map_or(node.applied, |process| process.applied).max(self.base)
    }

    /// How many entries it is behind, as far as that counts: who is further behind goes to the end at one go.
    fn gap(&self, at: usize) -> usize {
        (self.end() - self.applied_at(at)).min(self.lag + 1)
    }

    /// Will somebody look at the state of this entry?
    fn is_needed(&self, index: usize) -> bool {
        let is_needed_by = |at: usize| {
            let applied = self.applied_at(at);
            applied == index || (applied < index && self.gap(at) <= self.lag)
        };
        index == self.end() || (0..self.nodes.len()).any(is_needed_by)
    }

    fn forget(&mut self) {
        let needed = (0..self.nodes.len()).map(|at| self.applied_at(at)).min();
        let needed = needed.unwrap_or(self.base).min(self.end());
        if needed > self.base {
            self.log.drain(..needed - self.base);
            self.base = needed;
        }
        self.links.sort_by_key(|link| (link.sender, link.taker, link.left.is_some()));
    }

    /// After an event: what tells the nodes apart now.
    pub(super) fn reprint(&mut self, before: Option<&World>) {
        let print = |at: usize| match before {
            Some(before) if Arc::ptr_eq(&before.nodes[at], &self.nodes[at]) => before.prints[at].clone(),
            Some(_) | None => {
                let node = &self.nodes[at];
                let now_ms = node.process.as_ref().map_or(0, |process| process.now_ms);
                Arc::new(Print::of(at, now_ms, &**node))
            }
        };
        self.prints = (0..self.nodes.len()).map(print).collect();
    }
}

impl View {
    pub(super) fn of(state: ControlState) -> View {
        // What handovers took is told to people, and read by nothing that decides.
        let mut read = state.clone();
        read.plan.iter_mut().for_each(|plan| plan.handovers.clear());
        read.history.iter_mut().for_each(|entry| entry.plan.handovers.clear());
        View { print: Arc::new(Print::of(0, 0, &read)), state: Arc::new(state) }
    }
}

/// Two worlds are one if their nodes, links and log cannot be told apart.
impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let World {
            broken: _,
            lag: _,
            victims: _,
            base,
            log,
            nodes: _,
            prints,
            links,
            proposals,
            leader,
            term,
            settled_at,
            cut,
            executed,
            acknowledged,
            left,
            wrong,
            touched: _,
        } = self;
        let links: Vec<Print> = links.iter().map(Link::print).collect();
        let needed: Vec<usize> = (*base..=self.end()).filter(|index| self.is_needed(*index)).collect();
        let awaited = Some(*settled_at).filter(|index| *index > self.applied_at(*leader));
        let parts = || {
            let states = needed.iter().map(|index| &*log[index - base].print);
            states.chain(prints.iter().map(|print| &**print)).chain(&links)
        };
        let under_way = proposals.iter().map(|proposal| &*proposal.print);
        let indices = needed.iter().chain(&awaited).map(|index| (Kind::Index, *index as u64));
        let epochs = executed.iter().map(|executed| (Kind::Epoch, executed.epoch.0));
        let more = indices.chain(epochs).chain([(Kind::Term, *term)]);
        let ranks = Ranks::of(parts().chain(under_way.clone()), more);
        parts().for_each(|print| ranks.hash(print, hasher));
        (needed.len(), links.len()).hash(hasher);
        let rank_of = |index: usize| ranks.rank((Kind::Index, index as u64));
        (rank_of(self.end()), awaited.map(rank_of)).hash(hasher);
        for at in 0..self.nodes.len() {
            (rank_of(self.applied_at(at)), self.gap(at)).hash(hasher);
        }
        (ranks.rank((Kind::Term, *term)), leader, cut, acknowledged, left, wrong).hash(hasher);
        for Executed { shard, epoch, number, write } in executed {
            (shard, ranks.rank((Kind::Epoch, epoch.0)), number, write).hash(hasher);
        }
        let mut under_way: Vec<u64> = under_way.map(|print| ranks.fingerprint(print)).collect();
        under_way.sort_unstable();
        under_way.hash(hasher);
    }
}

/// By its fingerprint, as the checker tells states apart.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let fingerprint = |world: &World| {
            let mut hasher = std::hash::DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        fingerprint(self) == fingerprint(other)
    }
}
