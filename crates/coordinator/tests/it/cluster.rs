//! Small clusters on 1.3.0, with 1.4.0 to roll out.

use ironcache_control::{
    AckMode, Command, ControlState, InitCluster, KeeperBase, NewKeeper, NodeRole, NodeSpec, PlanOptions,
    Policy, Reason, ReleaseInfo, ShardSpec, StageHold, StartedBy,
};
use ironcache_coordinator::{Bars, Decision, Observation, decide, observe_perfect};
use ironcache_types::{
    ClusterId, Digest, Incarnation, LevelRange, Member, NodeId, Release, ShardId, SlotSet, Version, WireRange,
};

pub(crate) fn old() -> Release {
    Release { version: Version::new(1, 3, 0), digest: Digest([3; 32]) }
}

pub(crate) fn new() -> Release {
    Release { version: Version::new(1, 4, 0), digest: Digest([4; 32]) }
}

pub(crate) struct Layout {
    pub shards: u16,
    pub nodes_per_shard: u16,
    pub witnesses: u16,
    pub voters: usize,
}

impl Layout {
    /// Nodes are numbered from 1: the primaries first, then the replicas, then the witnesses. The first
    /// `voters` of them vote, counted from the witnesses backwards if there are any.
    pub(crate) fn build(&self) -> ControlState {
        let data = self.shards * self.nodes_per_shard;
        let count = data + self.witnesses;
        let spec = |index: u16| {
            let id = NodeId(u64::from(index) + 1);
            let shard = (index < data).then(|| ShardId(index % self.shards));
            let from_end = usize::from(count - 1 - index);
            let voter =
                if self.witnesses > 0 { from_end < self.voters } else { usize::from(index) < self.voters };
            NodeSpec {
                member: Member { node: id, incarnation: Incarnation(1) },
                client_addr: format!("10.0.0.{}:6379", id.0),
                peer_addr: format!("10.0.0.{}:16379", id.0),
                http_addr: format!("10.0.0.{}:8379", id.0),
                tls_port: None,
                role: if shard.is_some() { NodeRole::Data } else { NodeRole::Witness },
                voter,
                shard,
                release: old(),
                levels: LevelRange::new(1, 1),
                launcher_protocol: WireRange::CURRENT,
                machine: ironcache_types::MachineId(u128::from(id.0)),
            }
        };
        let nodes: Vec<NodeSpec> = (0..count).map(spec).collect();
        let shards = (0..self.shards)
            .map(|s| ShardSpec {
                id: ShardId(s),
                slots: SlotSet::part(s, self.shards),
                nodes: nodes.iter().filter(|n| n.shard == Some(ShardId(s))).map(|n| n.member.node).collect(),
            })
            .collect();
        let mut state = ControlState::default();
        let init = InitCluster {
            cluster_id: ClusterId(7),
            nodes,
            shards,
            policy: Policy::default(),
            security: ironcache_control::NewSecurity::Insecure,
        };
        apply(&mut state, &Command::InitCluster(init));
        for release in [old(), new()] {
            let info = ReleaseInfo {
                release,
                size_bytes: 9,
                min_from: None,
                levels: LevelRange::new(1, 1),
                launcher_protocol: WireRange::CURRENT,
                hold: StageHold::None,
            };
            apply(&mut state, &Command::RegisterRelease { info });
        }
        state
    }
}

/// 3 × (1+1): nodes 1 to 3 are primaries, 4 to 6 their replicas; node 6 does not vote.
pub(crate) fn three_by_two() -> ControlState {
    Layout { shards: 3, nodes_per_shard: 2, witnesses: 0, voters: 5 }.build()
}

/// One shard: primary 1, replicas 2 and 3; all vote.
pub(crate) fn one_by_three() -> ControlState {
    Layout { shards: 1, nodes_per_shard: 3, witnesses: 0, voters: 3 }.build()
}

pub(crate) fn apply(state: &mut ControlState, command: &Command) {
    state.apply(1, command).unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
}

pub(crate) fn start(state: &mut ControlState, options: PlanOptions) {
    let target = new();
    let started_by = StartedBy::Operator;
    apply(state, &Command::StartPlan { target, options, leader: NodeId(1), started_by, at_ms: 0 });
}

/// A plan in its rolling phase, with everything in sync.
pub(crate) fn rolling(mut state: ControlState) -> ControlState {
    start(&mut state, PlanOptions::default());
    for id in state.nodes.keys().copied().collect::<Vec<_>>() {
        for digest in [old().digest, new().digest] {
            apply(&mut state, &Command::ReportStaged { node: id, digest });
        }
        preflight(&mut state, id);
    }
    for id in state.shards.keys().copied().collect::<Vec<_>>() {
        add_all(&mut state, id);
        let shard = &state.shards[&id];
        let (isr_epoch, primary) = (shard.isr_epoch, shard.primary().unwrap());
        apply(&mut state, &Command::SetMode { shard: id, isr_epoch, primary, mode: AckMode::InSync });
    }
    let plan = state.plan.as_ref().unwrap();
    let begin = Command::BeginRolling { plan: plan.id, plan_epoch: plan.epoch };
    apply(&mut state, &begin);
    let seen = see(&state, 1);
    keep_as_wanted(&mut state, &seen);
    state
}

/// Whoever is wanted as a keeper, by a leader that sees this, is one.
pub(crate) fn keep_as_wanted(state: &mut ControlState, seen: &Observation) {
    while let Decision::Propose(wish @ Command::WantKeeper { shard, .. }) = ask(state, seen) {
        apply(state, &wish);
        keep(state, shard);
    }
}

/// The primary of the shard takes whom the leader wants for its keeper.
pub(crate) fn keep(state: &mut ControlState, id: ShardId) {
    let shard = &state.shards[&id];
    let (isr_epoch, primary) = (shard.isr_epoch, shard.primary().unwrap());
    let wanted = shard.keeper_wanted.map(|wanted| state.nodes[&wanted].member());
    let (from, base) = (shard.last_start(), KeeperBase::Leaver);
    let keeper = wanted.map(|member| NewKeeper { member, from, base });
    let reason = Reason::new("wanted", "the leader wants it so");
    apply(state, &Command::SetKeeper { shard: id, isr_epoch, primary, keeper, reason });
}

/// The plan's target would start on the node.
pub(crate) fn preflight(state: &mut ControlState, id: NodeId) {
    let plan = state.plan.as_ref().expect("a plan is active");
    let (digest, turn, member) = (plan.target.digest, plan.turn, state.nodes[&id].member());
    apply(state, &Command::ReportPreflight { member, digest, turn, problem: None });
}

/// Takes every node of the shard that may be in sync into the set.
pub(crate) fn add_all(state: &mut ControlState, id: ShardId) {
    for node in state.shards[&id].nodes.clone() {
        let shard = &state.shards[&id];
        let member = state.nodes[&node].member();
        if state.nodes[&node].out.is_none() && !shard.in_sync.contains(&member) {
            let (isr_epoch, primary) = (shard.isr_epoch, shard.primary().unwrap());
            apply(state, &Command::AddInSync { shard: id, isr_epoch, primary, member });
        }
    }
}

/// A new process of the node registers.
pub(crate) fn restart(state: &mut ControlState, id: NodeId, release: Release) {
    let node = state.nodes[&id].clone();
    let command = Command::RegisterNode {
        member: Member { node: id, incarnation: Incarnation(node.incarnation.0 + 1) },
        client_addr: node.client_addr,
        peer_addr: node.peer_addr,
        http_addr: node.http_addr,
        tls_port: node.tls_port,
        release,
        levels: node.levels,
        launcher_protocol: node.launcher_protocol,
        machine: node.machine,
    };
    apply(state, &command);
}

pub(crate) fn see(state: &ControlState, leader: u64) -> Observation {
    observe_perfect(state, NodeId(leader))
}

pub(crate) fn ask(state: &ControlState, observation: &Observation) -> Decision {
    decide(state, observation, &Bars::default(), 0)
}

/// What people read, with short names for nodes.
pub(crate) fn text(decision: &Decision) -> String {
    short(&decision.to_string())
}

pub(crate) fn short(text: &str) -> String {
    text.replace("node 000000000000000", "n").replace("replica 000000000000000", "replica n")
}
