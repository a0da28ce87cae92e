//! One shard with primary 1 and replica 2, and the witness 3, on 1.3.0, with 1.4.0 to roll out.

use ironcache_agent::{Action, LauncherFacts, LauncherPhase, LocalFacts, next};
use ironcache_control::{
    AckMode, Command, ControlState, InitCluster, KeeperBase, NewKeeper, NodeRole, NodeSpec, PlanOptions,
    Policy, Reason, ReleaseInfo, ShardSpec, StageHold, StartedBy,
};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, Level, LevelRange, Member, NodeId, Offset, Release, ShardId,
    SlotSet, Version, WireRange,
};
use std::collections::BTreeSet;

pub(crate) fn old() -> Release {
    Release { version: Version::new(1, 3, 0), digest: Digest([3; 32]) }
}

pub(crate) fn new() -> Release {
    Release { version: Version::new(1, 4, 0), digest: Digest([4; 32]) }
}

pub(crate) const SHARD: ShardId = ShardId(0);

pub(crate) fn apply(state: &mut ControlState, command: &Command) {
    state.apply(77, command).unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
}

pub(crate) fn cluster() -> ControlState {
    let spec = |id: u64| NodeSpec {
        member: Member { node: NodeId(id), incarnation: Incarnation(1) },
        client_addr: format!("c{id}"),
        peer_addr: format!("p{id}"),
        http_addr: format!("h{id}"),
        tls_port: None,
        role: if id == 3 { NodeRole::Witness } else { NodeRole::Data },
        voter: true,
        shard: (id != 3).then_some(SHARD),
        release: old(),
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        machine: ironcache_types::MachineId(u128::from(id)),
    };
    let shard = ShardSpec { id: SHARD, slots: SlotSet::part(0, 1), nodes: vec![NodeId(1), NodeId(2)] };
    let nodes = [1, 2, 3].map(spec).to_vec();
    let mut state = ControlState::default();
    let policy = Policy { steady_mode: AckMode::InSync, ..Policy::default() };
    let init = InitCluster {
        cluster_id: ClusterId(7),
        nodes,
        shards: vec![shard],
        policy,
        security: ironcache_control::NewSecurity::Insecure,
    };
    apply(&mut state, &Command::InitCluster(init));
    register_release(&mut state, old());
    for id in [1, 2, 3] {
        apply(&mut state, &Command::ReportStaged { node: NodeId(id), digest: old().digest });
    }
    add_in_sync(&mut state, 2);
    state
}

pub(crate) fn register_release(state: &mut ControlState, release: Release) {
    let info = ReleaseInfo {
        release,
        size_bytes: 9_000,
        min_from: None,
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        hold: StageHold::None,
    };
    apply(state, &Command::RegisterRelease { info });
}

pub(crate) fn add_in_sync(state: &mut ControlState, id: u64) {
    let shard = &state.shards[&SHARD];
    let (isr_epoch, primary) = (shard.isr_epoch, shard.primary().unwrap());
    let member = state.nodes[&NodeId(id)].member();
    apply(state, &Command::AddInSync { shard: SHARD, isr_epoch, primary, member });
}

/// A plan to 1.4.0 in its rolling phase.
pub(crate) fn rolling() -> ControlState {
    let mut state = cluster();
    register_release(&mut state, new());
    let start = Command::StartPlan {
        target: new(),
        options: PlanOptions::default(),
        leader: NodeId(1),
        started_by: StartedBy::Operator,
        at_ms: 0,
    };
    apply(&mut state, &start);
    for id in [1, 2, 3] {
        apply(&mut state, &Command::ReportStaged { node: NodeId(id), digest: new().digest });
        preflight(&mut state, id);
    }
    let (plan, plan_epoch) = state.plan.as_ref().map(|p| (p.id, p.epoch)).unwrap();
    apply(&mut state, &Command::BeginRolling { plan, plan_epoch });
    state
}

/// The plan's target would start on the node.
pub(crate) fn preflight(state: &mut ControlState, id: u64) {
    let plan = state.plan.as_ref().unwrap();
    let (digest, turn, member) = (plan.target.digest, plan.turn, state.nodes[&NodeId(id)].member());
    apply(state, &Command::ReportPreflight { member, digest, turn, problem: None });
}

/// Rolling, and this node is out.
pub(crate) fn told(id: u64) -> ControlState {
    let mut state = rolling();
    take_out(&mut state, id);
    state
}

/// The witness keeps the tail of the shard's stream: without it no member of two may go.
fn keep(state: &mut ControlState) {
    let shard = &state.shards[&SHARD];
    let (shard_epoch, primary) = (shard.epoch, shard.primary().unwrap());
    apply(state, &Command::WantKeeper { shard: SHARD, shard_epoch, node: Some(NodeId(3)) });
    let isr_epoch = state.shards[&SHARD].isr_epoch;
    let member = state.nodes[&NodeId(3)].member();
    let keeper = Some(NewKeeper { member, from: Offset(0), base: KeeperBase::Leaver });
    let reason = Reason::new("wanted", "as wanted");
    apply(state, &Command::SetKeeper { shard: SHARD, isr_epoch, primary, keeper, reason });
}

pub(crate) fn take_out(state: &mut ControlState, id: u64) {
    if state.shard_of_node(NodeId(id)).is_some() {
        keep(state);
    }
    let (plan, plan_epoch) = state.plan.as_ref().map(|p| (p.id, p.epoch)).unwrap();
    let member = state.nodes[&NodeId(id)].member();
    apply(state, &Command::UpgradeSelf { plan, plan_epoch, member, at_ms: 0 });
}

pub(crate) fn step_of(state: &ControlState, id: u64) -> Epoch {
    state.nodes[&NodeId(id)].out.as_ref().map(|o| o.epoch).unwrap()
}

pub(crate) fn register(state: &mut ControlState, facts: &LocalFacts) {
    let node = state.nodes[&facts.me.node].clone();
    let command = Command::RegisterNode {
        member: facts.me,
        client_addr: node.client_addr,
        peer_addr: node.peer_addr,
        http_addr: node.http_addr,
        tls_port: node.tls_port,
        release: facts.running.clone(),
        levels: node.levels,
        launcher_protocol: node.launcher_protocol,
        machine: node.machine,
    };
    apply(state, &command);
}

pub(crate) fn confirm(state: &mut ControlState, id: u64) {
    let node = &state.nodes[&NodeId(id)];
    let (out, member) = (node.out.clone().unwrap(), node.member());
    let digest = out.target.digest;
    apply(state, &Command::Confirm { plan: out.plan, step: out.epoch, member, digest });
}

/// What the node of that id knows of itself: idle on the registered binary, the artifact at hand.
pub(crate) fn facts(state: &ControlState, id: u64) -> LocalFacts {
    let node = &state.nodes[&NodeId(id)];
    LocalFacts {
        me: node.member(),
        running: node.release.clone(),
        log_is_current: true,
        launcher: LauncherFacts { phase: LauncherPhase::Idle, ..LauncherFacts::default() },
        held: BTreeSet::from([old().digest, new().digest]),
        fetching: None,
        primary_applied: Some(77),
        activation_ordered: None,
        told_ms_ago: 0,
        cut_off: false,
        preflight: None,
        oldest: Level(1),
        now_wall_ms: 5,
    }
}

/// A later process of the node, on the new binary, on trial for its step.
pub(crate) fn on_trial(state: &ControlState, id: u64) -> LocalFacts {
    let mut facts = facts(state, id);
    facts.me.incarnation.0 += 1;
    facts.running = new();
    facts.launcher.phase = LauncherPhase::Trial { step: step_of(state, id) };
    facts
}

/// A later process of the node, back on the old binary.
pub(crate) fn back_on_old(state: &ControlState, id: u64) -> LocalFacts {
    let mut facts = facts(state, id);
    facts.me.incarnation.0 += 1;
    facts.running = old();
    facts.launcher.last_done = step_of(state, id);
    facts
}

pub(crate) fn check(state: &ControlState, facts: &LocalFacts, expected: &Action) {
    assert_eq!(&next(state, facts), expected);
}
