//! How a model begins: a cluster whose plan rolls, everything staged, nothing written.

use super::Bounds;
use super::node::{Copy, Launcher, Node};
use ironcache_control::{
    AckMode, Command, ControlState, FinalizeAfter, HoldReason, InitCluster, NewKeeper, NodeRole, NodeSpec,
    Phase, Policy, Reason, Recover, ReleaseInfo, ShardSpec, StageHold, StartedBy,
};
use ironcache_control::{KeeperBase, TrialPhase};
use ironcache_replication::Lineage;
use ironcache_shard::Held;
use ironcache_types::{
    ClusterId, Digest, Incarnation, Level, LevelRange, MachineId, Member, NodeId, Offset, Release, ShardId,
    SlotSet, Version, WireRange,
};
use std::collections::{BTreeMap, BTreeSet};

const LEVELS: LevelRange = LevelRange { min: Level::FIRST, max: Level::FIRST };
const LAUNCHER: WireRange = WireRange { min: 1, max: 1 };

/// What runs, and what is rolled out.
pub(super) fn releases() -> [Release; 2] {
    [1, 2].map(|n| Release { version: Version::new(0, n, 0), digest: Digest([n as u8; 32]) })
}

pub(super) fn digests() -> BTreeSet<Digest> {
    releases().map(|release| release.digest).into()
}

pub(super) fn id(at: usize) -> NodeId {
    NodeId(at as u64 + 1)
}

/// No two processes have one incarnation: links are told apart by it.
pub(super) fn member(at: usize, life: u64) -> Member {
    Member { node: id(at), incarnation: incarnation(at, life) }
}

pub(super) fn incarnation(at: usize, life: u64) -> Incarnation {
    Incarnation(life * LIVES_APART + at as u64)
}

/// Whose life it is.
pub(super) fn node_of(incarnation: u64) -> usize {
    (incarnation % LIVES_APART) as usize
}

const LIVES_APART: u64 = 16;

fn machine(at: usize) -> MachineId {
    MachineId(at as u128 + 1)
}

/// A process says that it runs.
pub(super) fn registration(node: &Node, member: Member) -> Command {
    register(member, node.launcher.running.clone())
}

fn register(member: Member, release: Release) -> Command {
    Command::RegisterNode {
        member,
        client_addr: "a:1".to_owned(),
        peer_addr: "a:2".to_owned(),
        http_addr: "a:3".to_owned(),
        tls_port: None,
        release,
        levels: LEVELS,
        launcher_protocol: LAUNCHER,
        machine: machine(super::world::World::index_of(member.node)),
        #[cfg(feature = "next")]
        zone: None,
    }
}

/// Two nodes a shard, and a witness; three of them vote.
pub(super) fn state(bounds: &Bounds) -> ControlState {
    let Bounds { shards, steady_mode, .. } = *bounds;
    let nodes = 2 * shards + 1;
    let voters = if shards == 1 { vec![0, 1, 2] } else { vec![0, 2, nodes - 1] };
    let [running, target] = releases();
    let node = |at: usize| {
        let is_witness = at + 1 == nodes;
        NodeSpec {
            member: member(at, 1),
            client_addr: "a:1".to_owned(),
            peer_addr: "a:2".to_owned(),
            http_addr: "a:3".to_owned(),
            tls_port: None,
            role: if is_witness { NodeRole::Witness } else { NodeRole::Data },
            voter: voters.contains(&at),
            shard: (!is_witness).then_some(ShardId((at / 2) as u16)),
            release: running.clone(),
            levels: LEVELS,
            launcher_protocol: LAUNCHER,
            machine: machine(at),
        }
    };
    let shard = |at: usize| ShardSpec {
        id: ShardId(at as u16),
        slots: SlotSet::part(at as u16, shards as u16),
        nodes: vec![id(2 * at), id(2 * at + 1)],
    };
    let policy = Policy {
        finalize_after: FinalizeAfter::Seconds(0),
        settle_ms: 0,
        // Nobody waits for it before a process has waited for everything.
        handover_timeout_ms: 1_000,
        steady_mode,
        ..Policy::default()
    };
    let init = InitCluster {
        cluster_id: ClusterId(1),
        nodes: (0..nodes).map(node).collect(),
        shards: (0..shards).map(shard).collect(),
        policy,
        security: ironcache_control::NewSecurity::Insecure,
    };
    let mut log = Founding { state: ControlState::default() };
    log.apply(&Command::InitCluster(init));
    for shard in 0..shards {
        log.add(shard);
    }
    for release in [&running, &target] {
        log.apply(&Command::RegisterRelease { info: info(release) });
        for at in 0..nodes {
            log.apply(&Command::ReportStaged { node: id(at), digest: release.digest });
        }
    }
    let options = policy.plan_options();
    let (release, leader) = (target.clone(), id(bounds.leader));
    let started_by = StartedBy::Operator;
    log.apply(&Command::StartPlan { target: release, options, leader, started_by, at_ms: 0 });
    for shard in 0..shards {
        let (id, isr_epoch, primary) = log.set(shard);
        if log.state.shards[&id].mode != AckMode::InSync {
            log.apply(&Command::SetMode { shard: id, isr_epoch, primary, mode: AckMode::InSync });
        }
    }
    let plan = log.state.plan.as_ref().expect("it has started");
    let (plan, plan_epoch, turn) = (plan.id, plan.epoch, plan.turn);
    for at in 0..nodes {
        let (member, digest) = (member(at, 1), target.digest);
        log.apply(&Command::ReportPreflight { member, digest, turn, problem: None });
    }
    log.apply(&Command::BeginRolling { plan, plan_epoch });
    for at in bounds.done {
        log.step(*at, &target);
    }
    log.state
}

pub(super) fn nodes(state: &ControlState) -> Vec<Node> {
    // The first owner begins with nothing, and so everybody of its set holds all of it.
    let nothing = |shard: &ironcache_control::Shard| {
        let lineage = Lineage::new(shard.epoch, Offset(0));
        let held = Held { lineage, offset: Offset(0), sealed_by: None, taken_ms: 0 };
        Copy { held, data: Vec::new() }
    };
    let node = |node: &ironcache_control::Node| Node {
        id: node.id,
        process: None,
        applied: 0,
        // Its process starts in a moment.
        life: node.incarnation.0 / LIVES_APART - 1,
        launcher: Launcher::new(node.release.clone()),
        checkpoint: state.shard_of_node(node.id).map(nothing),
        tails: BTreeMap::new(),
    };
    state.nodes.values().map(node).collect()
}

fn info(release: &Release) -> ReleaseInfo {
    ReleaseInfo {
        release: release.clone(),
        size_bytes: 1,
        min_from: None,
        levels: LEVELS,
        launcher_protocol: LAUNCHER,
        hold: StageHold::None,
    }
}

/// Entries that a model does not play.
struct Founding {
    state: ControlState,
}

impl Founding {
    fn apply(&mut self, command: &Command) {
        let applied = self.state.apply(1, command);
        applied.unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
    }

    fn set(&self, shard: usize) -> (ShardId, ironcache_types::Epoch, Member) {
        let shard = &self.state.shards[&ShardId(shard as u16)];
        (shard.id, shard.isr_epoch, shard.primary().expect("it has its first owner"))
    }

    /// Whoever of the shard is not in its set.
    fn add(&mut self, of: usize) {
        let (shard, isr_epoch, primary) = self.set(of);
        let shard_nodes = &self.state.shards[&shard].nodes;
        let members = shard_nodes.iter().map(|node| self.state.nodes[node].member());
        let missing = members.filter(|m| !self.state.shards[&shard].in_sync.contains(m)).collect::<Vec<_>>();
        for member in missing {
            self.apply(&Command::AddInSync { shard, isr_epoch, primary, member });
        }
    }

    fn keeper(&mut self, of: usize, node: Option<NodeId>) {
        let (shard, isr_epoch, primary) = self.set(of);
        let shard_epoch = self.state.shards[&shard].epoch;
        self.apply(&Command::WantKeeper { shard, shard_epoch, node });
        let new = |node| NewKeeper {
            member: self.state.nodes[&node].member(),
            from: Offset(0),
            base: KeeperBase::Leaver,
        };
        let (keeper, reason) = (node.map(new), Reason::new("wanted", "wanted"));
        self.apply(&Command::SetKeeper { shard, isr_epoch, primary, keeper, reason });
    }

    /// One node's step, from its beginning to its end.
    fn step(&mut self, at: usize, target: &Release) {
        let of = at / 2;
        let witness = *self.state.nodes.keys().last().expect("there are nodes");
        let holds_data = id(at) != witness;
        if holds_data {
            self.keeper(of, Some(witness));
        }
        let plan = self.state.plan.as_ref().expect("it rolls");
        let (plan, plan_epoch) = (plan.id, plan.epoch);
        self.apply(&Command::UpgradeSelf { plan, plan_epoch, member: member(at, 1), at_ms: 0 });
        let out = self.state.nodes[&id(at)].out.as_ref().expect("it is out");
        assert!(out.phase == TrialPhase::Told, "it is told, and nothing more");
        let (step, member, digest) = (out.epoch, member(at, 2), target.digest);
        self.apply(&register(member, target.clone()));
        self.apply(&Command::Confirm { plan, step, member, digest });
        self.apply(&Command::Confirmed { plan, step, member, digest, at_ms: 0 });
        if holds_data {
            self.add(of);
            self.keeper(of, None);
        }
    }
}

/// As if nobody were out, and nobody kept anything.
pub(super) fn without_who_is_out(state: &ControlState) -> ControlState {
    let mut state = state.clone();
    state.nodes.values_mut().for_each(|node| node.out = None);
    for shard in state.shards.values_mut() {
        (shard.keeper, shard.keeper_wanted) = (None, None);
    }
    state
}

/// What `apply` says of every shard after every command, once a broken rule has changed what it sees: is it exposed, and does
/// the plan stand still for that?
pub(super) fn settle_exposure(before: &ControlState, state: &mut ControlState) {
    let out: BTreeSet<NodeId> =
        state.nodes.values().filter(|node| node.out.is_some()).map(|n| n.id).collect();
    for shard in state.shards.values_mut() {
        let is_covered = shard.in_sync.len() >= 2 || shard.keeper_that_counts().is_some();
        shard.exposed = !is_covered && (shard.exposed || shard.nodes.iter().any(|node| out.contains(node)));
    }
    let exposed = state.shards.values().find(|shard| shard.exposed).map(|shard| shard.id);
    let (Some(plan), was) = (&mut state.plan, before.plan.as_ref().map(|plan| &plan.phase)) else { return };
    match (exposed, &plan.phase) {
        (Some(shard), Phase::Staging | Phase::Rolling) => {
            state.epoch = state.epoch.next();
            (plan.phase, plan.epoch) = (Phase::Held { reason: HoldReason::Exposed { shard } }, state.epoch);
        }
        (None, Phase::Held { reason: HoldReason::Exposed { .. } }) if was == Some(&Phase::Rolling) => {
            plan.phase = Phase::Rolling;
        }
        (Some(_) | None, _) => {}
    }
}

/// The command as if its proposer had seen the epochs of now.
pub(super) fn refresh(state: &ControlState, command: &mut Command) {
    match command {
        Command::Failover { shard, shard_epoch, isr_epoch, .. }
        | Command::BeginRecovery { shard, shard_epoch, isr_epoch, .. }
        | Command::Recover(Recover { shard, shard_epoch, isr_epoch, .. }) => {
            if let Some(shard) = state.shards.get(shard) {
                (*shard_epoch, *isr_epoch) = (shard.epoch, shard.isr_epoch);
            }
        }
        Command::AddInSync { shard, isr_epoch, .. }
        | Command::RemoveInSync { shard, isr_epoch, .. }
        | Command::SetMode { shard, isr_epoch, .. }
        | Command::SetKeeper { shard, isr_epoch, .. } => {
            if let Some(shard) = state.shards.get(shard) {
                *isr_epoch = shard.isr_epoch;
            }
        }
        Command::BeginHandover { shard, shard_epoch, .. } | Command::Reclaim { shard, shard_epoch, .. } => {
            if let Some(shard) = state.shards.get(shard) {
                *shard_epoch = shard.epoch;
            }
        }
        Command::Promote { shard, handover, .. } => {
            if let Some(flight) = state.shards.get(shard).and_then(|shard| shard.handover) {
                *handover = flight.epoch;
            }
        }
        Command::UpgradeSelf { plan_epoch, .. } => {
            if let Some(plan) = &state.plan {
                *plan_epoch = plan.epoch;
            }
        }
        // What else there is names no epoch that the data relies on.
        _other => {}
    }
}
