//! The scheduler: time in ticks, and in each tick everybody once, in an arbitrary order.

use crate::clients::Clients;
use crate::entry::Entry;
use crate::leader::Leadership;
use crate::ledger::Ledger;
use crate::network::Network;
use crate::node::{HASH_EVERY, Node, Process};
use crate::rng::Rng;
use crate::scenario::{Ailment, Scenario, info, levels, new};
use crate::wall;
use crate::wire::Link;
use ironcache_agent::{Action, LocalFacts, PreflightResult, next};
use ironcache_control::{Command, ControlState, HandoverVia, Rejection};
use ironcache_coordinator::StateHash;
use ironcache_shard::Role;
use ironcache_types::{Epoch, Member, NodeId, ShardId, WireRange};
use std::collections::BTreeMap;

const TICK_MS: u64 = 10;
/// Faults happen for this long.
pub(crate) const CHAOS_MS: u64 = 15_000;
/// After them the cluster has this long to converge: many times what a roll without faults takes.
const HEAL_MS: u64 = 60_000;

/// Clocks of two machines say anything.
const CLOCK_OFFSET_MS: u64 = 1_000_000;
/// The drift between two clocks for which a leader waits in any case.
pub(crate) const SLOW_PER_MILLE: u64 = 10;

/// So much of what happened is told of a run that fails.
const LATELY: usize = 120;

/// A proposer that hears nothing for this long tries again.
const PATIENCE_MS: u64 = 50;

/// What a run was.
#[derive(Clone, Debug)]
pub struct Summary {
    pub scenario: Scenario,
    pub entries: usize,
    pub simulated_ms: u64,
    pub kills: u64,
    /// Of the kills those that took the dataset along.
    pub datasets_lost: u64,
    /// Shards of which every process was killed at once.
    pub shards_lost: u64,
    /// How often a shard went on with what was left.
    pub recoveries: u64,
    /// How often one went on with what its keeper held.
    pub from_keepers: u64,
    pub plans: u64,
    /// Nodes that were made primary and could not be that.
    pub unable: usize,
    /// Reads that clients were answered, operations that they tried again, and such whose outcome they do not know.
    pub reads: u64,
    pub retries: u64,
    pub unknown: u64,
    /// Writes acknowledged and there in the end.
    pub acknowledged: usize,
    /// Writes acknowledged in mode `primary` that failovers cost, within the bound of that mode.
    pub lost: usize,
}

/// A run that broke something: its seed repeats it.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub at_ms: u64,
    pub what: String,
    /// What went wrong lately, and the newest entries that the log accepted.
    pub lately: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, at_ms, what, lately } = self;
        write!(f, "seed {seed} at {at_ms} ms: {what}\n{}", lately.join("\n"))
    }
}

/// For the report of a run that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happened {
    /// The log accepted what is at this place.
    Entry(usize),
    Fault(NodeId, &'static str),
}

#[derive(Debug)]
pub(crate) struct World {
    pub scenario: Scenario,
    pub rng: Rng,
    /// The chance of what nodes take for the time of day: one apart, for nothing may come of it.
    pub walls: Rng,
    /// The chance of keepers, and of what goes wrong between two nodes: one apart, so that whoever has no keeper is as before.
    pub side: Rng,
    /// What goes from the one to the other is lost until then.
    pub lost_ways: BTreeMap<(NodeId, NodeId), u64>,
    pub now_ms: u64,
    pub log: Vec<Entry>,
    /// The state at the end of the log.
    pub truth: ControlState,
    pub nodes: BTreeMap<NodeId, Node>,
    pub leadership: Option<Leadership>,
    /// Of the newest leader.
    pub term: u64,
    /// What a leader appended, and was gone before anybody could tell what became of it.
    pub appended: Vec<Entry>,
    /// A leader that does not know yet that it is none, and when it will.
    pub former: Option<(u64, Leadership)>,
    network: Network,
    /// The state's hash at every index at which nodes take theirs.
    hashes: BTreeMap<u64, u64>,
    pub ledger: Ledger,
    pub clients: Clients,
    /// The links of the data plane, and the chance that rules them.
    pub links: Vec<Link>,
    pub wire: Rng,
    /// What became of what the data planes proposed: whether it was accepted.
    pub outcomes: BTreeMap<u64, bool>,
    pub newest_request: u64,
    /// Who was made primary, and could not be that.
    pub unable: Vec<NodeId>,
    /// What happened, and when.
    pub happened: Vec<(u64, Happened)>,
    pub kills: u64,
    pub datasets_lost: u64,
    pub from_keepers: u64,
    /// When a whole shard is lost, and the chance that decides what is left of it: one apart, so that a seed without such a
    /// loss is what it was.
    pub total_loss: Option<(u64, Rng)>,
    pub shards_lost: u64,
    /// When the plan that soaks began to.
    pub soaks_since_ms: u64,
    /// How long each handover has been in flight while somebody led.
    pub handovers_ms: BTreeMap<(ShardId, Epoch), u64>,
    broken: Option<String>,
}

/// Runs the cluster that `seed` names.
///
/// # Errors
/// The first invariant that broke, or why the cluster does not converge.
pub fn run(seed: u64) -> Result<Summary, Failure> {
    let mut world = World::new(seed);
    while world.now_ms < CHAOS_MS + HEAL_MS && !(world.now_ms > CHAOS_MS && world.is_done()) {
        if let Err(what) = world.tick() {
            return Err(world.failure(seed, what));
        }
    }
    if !world.is_done() {
        let what = format!("it does not converge ({}): {}", world.undone().join("; "), world.why_waiting());
        return Err(world.failure(seed, what));
    }
    if let Err(what) = world.check_end() {
        return Err(world.failure(seed, what));
    }
    Ok(Summary {
        entries: world.log.len(),
        simulated_ms: world.now_ms,
        kills: world.kills,
        plans: world.truth.last_plan.0,
        datasets_lost: world.datasets_lost,
        from_keepers: world.from_keepers,
        shards_lost: world.shards_lost,
        recoveries: world.truth.shards.values().map(|shard| shard.losses.recoveries).sum(),
        unable: world.unable.len(),
        reads: world.clients.reads,
        retries: world.clients.retries,
        unknown: world.clients.unknown,
        acknowledged: world.ledger.len(),
        lost: world.ledger.lost,
        scenario: world.scenario,
    })
}

/// One seed of sixteen loses a whole shard, somewhere in the middle of its faults.
fn total_loss(seed: u64) -> Option<(u64, Rng)> {
    let mut rng = Rng::new(!seed);
    (seed % 16 == 8).then(|| (CHAOS_MS / 10 + rng.below(CHAOS_MS * 8 / 10), rng))
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let scenario = Scenario::of(&mut rng);
        let layout = scenario.layout();
        let mut side = Rng::new(seed ^ 0x6b65_6570);
        let mut walls = Rng::new(seed ^ 0x7761_6c6c);
        let mut node = |id| {
            let clock = (side.below(CLOCK_OFFSET_MS), side.below(SLOW_PER_MILLE + 1));
            (id, Node::new(id, clock, wall::any(&mut walls)))
        };
        let nodes = layout.nodes.iter().map(|n| node(n.member.node)).collect();
        let mut truth = ControlState::default();
        let init = Command::InitCluster(layout);
        truth.apply(1, &init).expect("the scenarios are clusters");
        let network = Network::new(scenario.lost_percent);
        let shards = scenario.shards;
        World {
            scenario,
            rng,
            walls,
            side,
            lost_ways: BTreeMap::new(),
            now_ms: 0,
            log: vec![Entry::seal(init, &ControlState::default())],
            truth,
            nodes,
            leadership: None,
            former: None,
            term: 0,
            appended: Vec::new(),
            network,
            hashes: BTreeMap::new(),
            ledger: Ledger::default(),
            clients: Clients::new(shards, Rng::new(seed ^ 0x636c_6965)),
            links: Vec::new(),
            wire: Rng::new(seed ^ 0x7769_7265),
            outcomes: BTreeMap::new(),
            newest_request: 0,
            unable: Vec::new(),
            happened: Vec::new(),
            kills: 0,
            datasets_lost: 0,
            from_keepers: 0,
            total_loss: total_loss(seed),
            shards_lost: 0,
            soaks_since_ms: 0,
            handovers_ms: BTreeMap::new(),
            broken: None,
        }
    }

    pub(crate) fn tick(&mut self) -> Result<(), String> {
        self.now_ms += TICK_MS;
        if self.is_chaotic() {
            self.faults();
        } else {
            self.network.lost_percent = 0;
        }
        self.elect();
        for entry in self.network.arrivals(self.now_ms, &mut self.rng) {
            self.commit(&entry)?;
        }
        if self.is_chaotic() {
            for entry in self.untimely() {
                self.commit(&entry)?;
            }
        }
        self.close_dead_links();
        self.clients_tick();
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let first = self.rng.below(ids.len() as u64) as usize;
        for id in ids[first..].iter().chain(&ids[..first]) {
            self.node_tick(*id);
        }
        self.lead()?;
        self.operate();
        self.note_recoveries();
        self.check_tick()?;
        self.check_handovers(TICK_MS)?;
        self.broken.take().map_or(Ok(()), Err)
    }

    fn commit(&mut self, entry: &Entry) -> Result<(), String> {
        let Some(leadership) = self.leadership.as_ref().filter(|_| self.has_quorum()) else { return Ok(()) };
        let term = leadership.term;
        if entry.settles && self.outcomes.contains_key(&entry.request) {
            // The log remembers its answer.
            return Ok(());
        }
        let mut entry = entry.clone();
        entry.term = term;
        let request = entry.request;
        let accepted = self.append(entry)?;
        if request > 0 {
            self.outcomes.entry(request).or_insert(accepted);
        }
        Ok(())
    }

    /// It is committed, by whoever leads. Answers whether it was accepted.
    pub(crate) fn append(&mut self, entry: Entry) -> Result<bool, String> {
        let before = self.truth.clone();
        let command = entry.command.clone();
        self.log.push(entry);
        let entry = &self.log[self.log.len() - 1];
        let index = self.log.len() as u64;
        // Whoever keeps the log can read all of it.
        let outcome = entry.apply(index, &mut self.truth, &new())?;
        if index.is_multiple_of(HASH_EVERY) {
            self.hashes.insert(index, crate::checks::hash(&self.truth));
        }
        match outcome {
            Ok(_) => {
                self.happened.push((self.now_ms, Happened::Entry(self.log.len() - 1)));
                self.check_entry(&before)?;
                if let Command::Promote { shard, .. } = &command
                    && let Some(flight) = before.shards.get(shard).and_then(|shard| shard.handover)
                    && flight.via == HandoverVia::Keeper
                {
                    self.from_keepers += 1;
                }
                if self.is_chaotic() {
                    self.strike(&command);
                }
                Ok(true)
            }
            // A debug build panics there; a release build only rejects, and must not get away with it.
            Err(Rejection::Invariant(violation)) => Err(format!("{violation} by {command:?}")),
            Err(_) => Ok(false),
        }
    }

    pub(crate) fn is_leaving(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|n| n.leaving_until_ms.is_some())
    }

    /// An orderly stop: a primary waits for a while for somebody to take over. Answers whether the process has gone.
    fn leave_tick(&mut self, id: NodeId) -> bool {
        let Some(until_ms) = self.nodes.get(&id).and_then(|n| n.leaving_until_ms) else { return false };
        if self.process_mut(id).is_some_and(|process| !std::mem::replace(&mut process.leaves, true)) {
            self.engine_on(id, ironcache_shard::Event::Leaving);
            let _ = self.keepers_on(id, ironcache_shard::keeper::Event::Leaving);
        }
        let role =
            self.process(id).filter(|p| p.is_primary()).and_then(|p| Some((p.me, p.my_shard()?.clone())));
        let waits_for = role.filter(|_| self.now_ms < until_ms).and_then(|(from, shard)| {
            let heir = shard.in_sync_replicas().last();
            (shard.handover.is_some() || heir.is_some()).then_some((from, heir, shard))
        });
        let Some((from, heir, shard)) = waits_for else {
            return self.drain(id);
        };
        if shard.handover.is_none()
            && let Some(to) = heir
        {
            let (shard, shard_epoch) = (shard.id, shard.epoch);
            self.propose(id, Command::BeginHandover { shard, shard_epoch, from, to, plan: None });
        }
        false
    }

    fn node_tick(&mut self, id: NodeId) {
        let (now_ms, committed) = (self.now_ms, self.log.len());
        let (clock_ms, load_at_ms) = (self.clock_ms(id), now_ms + self.wire.below(100));
        let node = self.nodes.get_mut(&id).expect("listed");
        if node.launcher.tick(now_ms) {
            self.note(id, "is stopped: its trial took too long");
            self.stop(id);
            return;
        }
        if node.process.is_none() {
            if now_ms >= node.start_at_ms {
                node.start(committed, clock_ms, load_at_ms);
                self.read_back(id);
            }
            return;
        }
        // A bad release dies on its first breath.
        if self.scenario.bad_release && node.launcher.active == new() {
            self.kill(id);
            return;
        }
        if now_ms < node.stalled_until_ms || self.ails(id) {
            return;
        }
        let leader = self.leadership.as_ref().map(|leadership| leadership.leader);
        if !self.is_cut_off(id) && leader.is_none_or(|leader| leader == id || self.passes(leader, id)) {
            self.apply_some(id);
        }
        if self.leave_tick(id) {
            return;
        }
        self.agent_tick(id);
        if self.process(id).is_some() {
            self.data_tick(id);
        }
    }

    /// Does its release keep it from doing anything now?
    fn ails(&self, id: NodeId) -> bool {
        let node = &self.nodes[&id];
        let runs_new = node.process.as_ref().is_some_and(|process| process.release == new());
        runs_new
            && match self.scenario.ailment {
                Ailment::None => false,
                Ailment::Slow => !(self.now_ms / TICK_MS).is_multiple_of(3),
                Ailment::Hangs => self.is_chaotic() && node.starts.is_multiple_of(2),
            }
    }

    fn apply_some(&mut self, id: NodeId) {
        let count = if self.rng.chance(1, 3) { 0 } else { 1 + self.rng.below(40) as usize };
        let process = self.nodes.get_mut(&id).and_then(|n| n.process.as_mut()).expect("it ticks");
        let before = process.applied;
        for entry in self.log.iter().skip(process.applied).take(count) {
            let hash = match process.apply(entry) {
                Ok(hash) => hash,
                Err(what) => {
                    self.broken.get_or_insert(what);
                    return;
                }
            };
            if let Some(StateHash { log_index, hash }) = hash
                && self.hashes.get(&log_index) != Some(&hash)
            {
                let what = format!("I17: {} holds another state than the log's at {log_index}", process.me);
                self.broken.get_or_insert(what);
            }
        }
        if process.applied > before {
            self.tell_applied(id);
        }
    }

    fn agent_tick(&mut self, id: NodeId) {
        let Some(facts) = self.facts(id) else { return };
        let view = &self.process(id).expect("it has facts").view;
        if view.cluster_id.is_none() {
            return;
        }
        match next(view, &facts) {
            Action::Register => self.propose_checked(id, self.registration(&facts)),
            Action::Fetch { digest, .. } => {
                if !self.is_cut_off(id) && self.rng.chance(1, 10) {
                    self.nodes.get_mut(&id).expect("it ticks").held.insert(digest);
                }
            }
            Action::ReportStaged { digest } => {
                self.propose_checked(id, Command::ReportStaged { node: id, digest });
            }
            Action::Activate { step, target, .. } => {
                if let Err(what) = self.check_activation(facts.me) {
                    self.broken.get_or_insert(what);
                }
                let now_ms = self.now_ms;
                if self.nodes.get_mut(&id).expect("it ticks").launcher.activate(step, target, now_ms) {
                    self.stop(id);
                }
            }
            Action::ConfirmTrial { step } => {
                self.nodes.get_mut(&id).expect("it ticks").launcher.confirm(step);
            }
            Action::AbandonTrial { step, reason } => {
                if self.nodes.get_mut(&id).expect("it ticks").launcher.abandon(step, reason) {
                    self.stop(id);
                }
            }
            Action::ReportConfirmed(command)
            | Action::ReportFailed(command)
            | Action::ReportPreflight(command)
            | Action::ReportLevelReached(command)
            | Action::Rejoin(command) => self.propose_checked(id, command),
            Action::RegisterRunning => {
                self.propose(id, Command::RegisterRelease { info: info(facts.running) });
            }
            Action::Preflight { digest, turn } => {
                let answer = PreflightResult { digest, turn, problem: None };
                self.nodes.get_mut(&id).expect("it ticks").preflight = Some(answer);
            }
            Action::Compact => {
                let level = view.cluster_level;
                self.nodes.get_mut(&id).expect("it ticks").oldest = level;
            }
            Action::Wait(_) | Action::Nothing => {}
        }
    }

    fn facts(&mut self, id: NodeId) -> Option<LocalFacts> {
        let now_ms = self.now_ms;
        let (primary_applied, now_wall_ms) = (self.primary_applied(id), self.wall_ms(id));
        let leader = self.leadership.as_ref().map(|leadership| leadership.leader);
        let unheard = |leader: NodeId| leader != id && self.is_cut_between(leader, id);
        let nobody_leads = self.is_cut_off(id) || leader.is_none_or(unheard);
        let node = self.nodes.get_mut(&id)?;
        let process = node.process.as_mut()?;
        let step = process.view.nodes.get(&id).and_then(|n| n.out.as_ref()).map(|o| o.epoch);
        process.told = match (step, process.told) {
            (None, _) => None,
            (Some(step), Some((known, since))) if known == step => Some((step, since)),
            (Some(step), _) => Some((step, now_ms)),
        };
        Some(LocalFacts {
            me: process.me,
            running: process.release.clone(),
            log_is_current: process.is_current(),
            launcher: node.launcher.facts.clone(),
            held: node.held.clone(),
            fetching: None,
            primary_applied,
            // This launcher acts at once: the process that ordered it does not see another tick.
            activation_ordered: None,
            told_ms_ago: process.told.map_or(0, |(_, since)| now_ms - since),
            cut_off: nobody_leads && node.launcher.is_nearly_over(now_ms),
            preflight: node.preflight.clone(),
            oldest: node.oldest,
            now_wall_ms,
        })
    }

    fn primary_applied(&self, id: NodeId) -> Option<u64> {
        self.process(id)?.engine.told_applied()
    }

    fn registration(&self, facts: &LocalFacts) -> Command {
        let node = &self.truth.nodes[&facts.me.node];
        Command::RegisterNode {
            member: facts.me,
            client_addr: node.client_addr.clone(),
            peer_addr: node.peer_addr.clone(),
            http_addr: node.http_addr.clone(),
            tls_port: node.tls_port,
            release: facts.running.clone(),
            levels: levels(&facts.running),
            launcher_protocol: WireRange::CURRENT,
            // Every node has one of its own.
            machine: ironcache_types::MachineId(u128::from(facts.me.node.0)),
            #[cfg(feature = "next")]
            zone: self.process(facts.me.node).and_then(Process::zone),
        }
    }

    /// Is this the life that the log knows?
    pub(crate) fn is_registered(&self, member: Member) -> bool {
        let running = self.process(member.node).is_some_and(|p| p.me == member);
        running && self.truth.nodes.get(&member.node).is_some_and(|n| n.member() == member)
    }

    fn propose_checked(&mut self, from: NodeId, command: Command) {
        if let Err(what) = self.check_proposal(from, &command) {
            self.broken.get_or_insert(what);
        }
        self.propose(from, command);
    }

    pub(crate) fn propose(&mut self, from: NodeId, command: Command) {
        if !self.was_just_sent(from, &command) {
            let state = self.process(from).map_or(&self.truth, |process| &process.view);
            let entry = Entry::seal(command, state);
            self.send(from, entry);
        }
    }

    /// Towards whoever leads.
    pub(crate) fn send(&mut self, from: NodeId, entry: Entry) {
        let leader = self.leadership.as_ref().map(|leadership| leadership.leader);
        let arrives = leader.is_none_or(|leader| leader == from || self.passes(from, leader));
        if !self.is_cut_off(from) && arrives {
            self.network.send(entry, self.now_ms, &mut self.rng);
        }
    }

    /// A proposer waits a while for the outcome before it proposes the same again.
    fn was_just_sent(&mut self, from: NodeId, command: &Command) -> bool {
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.get_mut(&from) else { return false };
        node.sent.retain(|(at, _)| now_ms < at + PATIENCE_MS);
        let known = node.sent.iter().any(|(_, sent)| sent == command);
        if !known {
            node.sent.push((now_ms, command.clone()));
        }
        known
    }

    pub(crate) fn process(&self, id: NodeId) -> Option<&Process> {
        self.nodes.get(&id)?.process.as_ref()
    }

    pub(crate) fn process_mut(&mut self, id: NodeId) -> Option<&mut Process> {
        self.nodes.get_mut(&id)?.process.as_mut()
    }

    pub(crate) fn is_cut_off(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|n| n.is_cut_off(self.now_ms))
    }

    /// Does a message get from the one to the other?
    pub(crate) fn passes(&self, from: NodeId, to: NodeId) -> bool {
        let lost = self.lost_ways.get(&(from, to)).is_some_and(|until_ms| self.now_ms < *until_ms);
        !lost && !self.is_cut_off(from) && !self.is_cut_off(to)
    }

    /// No question of one of the two is answered by the other.
    pub(crate) fn is_cut_between(&self, a: NodeId, b: NodeId) -> bool {
        !(self.passes(a, b) && self.passes(b, a))
    }

    /// What that node's own clock says: it began anywhere, and runs a little slow.
    pub(crate) fn clock_ms(&self, id: NodeId) -> u64 {
        let (offset_ms, slow_per_mille) = self.nodes.get(&id).map_or((0, 0), |node| node.clock);
        offset_ms + self.now_ms * (1_000 - slow_per_mille) / 1_000
    }

    pub(crate) fn is_chaotic(&self) -> bool {
        self.now_ms <= CHAOS_MS
    }

    /// Writes stop when the cluster heals, so that it can come to rest.
    pub(crate) fn writes_go_on(&self) -> bool {
        self.is_chaotic()
    }

    pub(crate) fn broken(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// What is not yet as it should be in the end.
    fn undone(&self) -> Vec<String> {
        let mut undone = Vec::new();
        if let Some(plan) = &self.truth.plan {
            undone.push(format!("plan {} is {}", plan.id, plan.phase));
        }
        // A quarantine ends the plan where it stands.
        let settled = self.truth.all_on(new().digest) || self.stays_back();
        if !settled && self.truth.quarantined.is_empty() {
            undone.push("not every node runs the target, nor is every node back".to_owned());
        }
        let level = self.truth.cluster_level;
        for (id, node) in &self.truth.nodes {
            let held = self.nodes[id].oldest;
            if held < level || node.oldest < level {
                let said = node.oldest;
                undone.push(format!("node {id} holds files of level {held}, said {said}, of {level}"));
            }
        }
        for (id, node) in &self.truth.nodes {
            if self.process(*id).is_none_or(|p| p.me != node.member()) {
                undone.push(format!("node {id} is down, or its life is not registered"));
            }
        }
        for process in self.truth.nodes.keys().filter_map(|id| self.process(*id)) {
            if !self.is_ready(process) {
                undone.push(self.describe(process));
            }
        }
        for shard in self.truth.shards.values() {
            if shard.in_sync.len() < shard.nodes.len() || shard.primary().is_none() {
                undone.push(format!(
                    "shard {} is not whole: {:?}, {:?}",
                    shard.id, shard.ownership, shard.in_sync
                ));
            }
        }
        undone
    }

    fn describe(&self, process: &Process) -> String {
        let (id, engine) = (process.me.node, &process.engine);
        let role = match engine.role() {
            Role::Loading => "reads its checkpoint".to_owned(),
            Role::Primary(primary) => format!("is primary of epoch {}", primary.epoch()),
            Role::Replica(replica) => {
                let cursor = replica.cursor();
                let (linked, source) = (replica.is_linked(), cursor.source());
                format!("linked {linked}, follows {source:?} at {:?}", cursor.applied_offset())
            }
        };
        let links = self.links.iter().filter(|link| link.dialer == process.me);
        let links: Vec<_> =
            links.map(|link| format!("{}: {:?} {:?}", link.acceptor, link.near, link.far)).collect();
        let leaves = if self.is_leaving(id) { ", leaves" } else { "" };
        format!("{} does not serve its role: {role}{leaves}; {}", process.me, links.join(", "))
    }

    fn is_done(&self) -> bool {
        self.undone().is_empty()
    }

    fn failure(&self, seed: u64, what: String) -> Failure {
        let told = |(at_ms, happened): &(u64, Happened)| match happened {
            Happened::Entry(index) => format!("{at_ms:>6} ms  {:?}", self.log[*index].command),
            Happened::Fault(node, what) => format!("{at_ms:>6} ms  ** node {} {what}", node.0),
        };
        let from = self.happened.len().saturating_sub(LATELY);
        let lately = self.happened[from..].iter().map(told).collect();
        Failure { seed, at_ms: self.now_ms, what, lately }
    }
}
