//! Shard 0 on nodes 1 (primary), 3 and 5, shard 1 on nodes 2 (primary) and 4, and the witness 6. All but
//! node 5 vote. Everybody is on 1.3.0; 1.4.0 is registered.

use ironcache_control::{
    AckMode, Admitted, Applied, AskedBy, Command, ControlState, InitCluster, KeeperBase, NewKeeper,
    NewOperator, NewSecurity, NodeRole, NodeSpec, Ownership, PlanOptions, Policy, Reason, Recover,
    RecoveredBy, Rejection, ReleaseInfo, Shard, ShardSpec, StageHold, StartedBy,
};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, KeyHash, LevelRange, MachineId, Member, NodeId, Offset, PlanId,
    Release, ShardId, SlotSet, Version, WireRange,
};

pub(crate) const S0: ShardId = ShardId(0);
pub(crate) const S1: ShardId = ShardId(1);

pub(crate) fn old() -> Release {
    Release { version: Version::new(1, 3, 0), digest: Digest([3; 32]) }
}

pub(crate) fn new() -> Release {
    Release { version: Version::new(1, 4, 0), digest: Digest([4; 32]) }
}

pub(crate) fn info(release: Release) -> ReleaseInfo {
    ReleaseInfo {
        release,
        size_bytes: 9,
        min_from: None,
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        hold: StageHold::None,
    }
}

pub(crate) fn layout() -> InitCluster {
    let spec = |id: u64| NodeSpec {
        member: Member { node: NodeId(id), incarnation: Incarnation(1) },
        client_addr: format!("c{id}"),
        peer_addr: format!("p{id}"),
        http_addr: format!("h{id}"),
        tls_port: None,
        role: if id == 6 { NodeRole::Witness } else { NodeRole::Data },
        voter: id != 5,
        shard: (id != 6).then_some(if id % 2 == 1 { S0 } else { S1 }),
        release: old(),
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        machine: machine(id),
    };
    let shard = |id: u16, nodes: &[u64]| ShardSpec {
        id: ShardId(id),
        slots: SlotSet::part(id, 2),
        nodes: nodes.iter().map(|n| NodeId(*n)).collect(),
    };
    InitCluster {
        cluster_id: ClusterId(7),
        nodes: (1..=6).map(spec).collect(),
        shards: vec![shard(0, &[1, 3, 5]), shard(1, &[2, 4])],
        policy: Policy::default(),
        security: NewSecurity::Insecure,
    }
}

/// The same, with keys: node `n` has [`key`] `n`, and the first admin, ada, has key 100.
pub(crate) fn layout_with_keys() -> InitCluster {
    let nodes = (1..=6).map(|id| (NodeId(id), key(id as u8))).collect();
    let admin = NewOperator { key: key(100), name: "ada".to_owned() };
    let codes = (1..=6).map(|id| Digest([100 + id; 32])).collect();
    InitCluster { security: NewSecurity::Keys { nodes, admin, codes }, ..layout() }
}

pub(crate) fn key(id: u8) -> KeyHash {
    KeyHash(Digest([id; 32]))
}

/// The first admin asks.
pub(crate) fn admin() -> AskedBy {
    AskedBy::Operator(key(100))
}

/// What a node that joins proves in a cluster with keys.
pub(crate) fn admitted(id: u64) -> Admitted {
    Admitted { key: key(id as u8), code: Digest([0xc0 | id as u8; 32]) }
}

/// A new node that is to vote: of `shard`, or a witness.
pub(crate) fn joins(id: u64, shard: Option<ShardId>) -> NodeSpec {
    NodeSpec {
        member: Member { node: NodeId(id), incarnation: Incarnation(1) },
        client_addr: format!("c{id}"),
        peer_addr: format!("p{id}"),
        http_addr: format!("h{id}"),
        tls_port: None,
        role: if shard.is_some() { NodeRole::Data } else { NodeRole::Witness },
        voter: true,
        shard,
        release: old(),
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        machine: machine(id),
    }
}

/// Every node has a machine of its own.
pub(crate) fn machine(id: u64) -> MachineId {
    MachineId(u128::from(id))
}

/// A state under test. Panics where a fact that the test needs cannot be set up.
pub(crate) struct Cluster {
    pub state: ControlState,
    pub log_index: u64,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let mut cluster = Cluster { state: ControlState::default(), log_index: 0 };
        cluster.ok(&Command::InitCluster(layout()));
        for release in [old(), new()] {
            cluster.ok(&Command::RegisterRelease { info: info(release) });
        }
        cluster
    }

    /// The same layout, and everybody has a key.
    pub(crate) fn with_keys() -> Self {
        let mut cluster = Cluster { state: ControlState::default(), log_index: 0 };
        cluster.ok(&Command::InitCluster(layout_with_keys()));
        for release in [old(), new()] {
            cluster.ok(&Command::RegisterRelease { info: info(release) });
        }
        cluster
    }

    /// Every node is in sync.
    pub(crate) fn in_sync() -> Self {
        let mut cluster = Cluster::new();
        for (shard, node) in [(S0, 3), (S0, 5), (S1, 4)] {
            cluster.ok(&cluster.add_in_sync(shard, node));
        }
        cluster
    }

    /// A plan to 1.4.0 in staging, with everything that it waits for.
    pub(crate) fn staged() -> Self {
        let mut cluster = Cluster::in_sync();
        cluster.ok(&cluster.start_plan());
        for node in 1..=6 {
            for digest in [old().digest, new().digest] {
                cluster.ok(&Command::ReportStaged { node: NodeId(node), digest });
            }
            cluster.ok(&cluster.preflight(node));
        }
        for shard in [S0, S1] {
            cluster.ok(&cluster.set_mode(shard, AckMode::InSync));
        }
        cluster
    }

    pub(crate) fn rolling() -> Self {
        let mut cluster = Cluster::staged();
        cluster.ok(&cluster.begin_rolling());
        cluster
    }

    /// Everybody runs the target, and nothing is final.
    pub(crate) fn soaking() -> Self {
        let mut cluster = Cluster::upgraded(&[3, 5, 4, 6]);
        for (shard, to, then) in [(S0, 3, 1), (S1, 4, 2)] {
            cluster.ok(&cluster.hand_over(shard, to));
            cluster.ok(&cluster.promote(shard));
            cluster.upgrade(then);
        }
        cluster.ok(&cluster.soak());
        cluster
    }

    /// Rolling, and these nodes are upgraded, confirmed and in sync again.
    pub(crate) fn upgraded(nodes: &[u64]) -> Self {
        let mut cluster = Cluster::rolling();
        for node in nodes {
            cluster.upgrade(*node);
        }
        cluster
    }

    /// The node goes out; who leaves one member behind does so with node 1 as keeper.
    #[track_caller]
    pub(crate) fn go(&mut self, node: u64) {
        if self.state.nodes[&NodeId(node)].shard == Some(S1) {
            self.ok(&self.keep(S1, 1));
        }
        self.ok(&self.take_out(node));
    }

    pub(crate) fn upgrade(&mut self, node: u64) {
        self.go(node);
        self.ok(&self.restart(node, new()));
        self.ok(&self.confirm(node));
        self.ok(&self.confirmed(node));
        if let Some(shard) = self.state.nodes[&NodeId(node)].shard {
            self.ok(&self.add_in_sync(shard, node));
            self.ok(&self.keep_no_more(shard));
        }
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Result<Applied, Rejection> {
        self.log_index += 1;
        self.state.apply(self.log_index, command)
    }

    #[track_caller]
    pub(crate) fn ok(&mut self, command: &Command) -> Applied {
        match self.apply(command) {
            Ok(applied) => applied,
            Err(rejection) => panic!("{command:?}: {rejection}"),
        }
    }

    /// The command is refused with this code, and nothing changes.
    #[track_caller]
    pub(crate) fn refused(&mut self, command: &Command, code: &str) {
        let before = self.state.clone();
        match self.apply(command) {
            Ok(applied) => panic!("{command:?} is accepted: {applied:?}"),
            Err(rejection) => assert_eq!(rejection.code(), code, "{rejection}"),
        }
        assert_eq!(self.state, before);
    }

    pub(crate) fn member(&self, node: u64) -> Member {
        self.state.nodes[&NodeId(node)].member()
    }

    pub(crate) fn primary(&self, shard: ShardId) -> Member {
        self.state.shards[&shard].primary().expect("the shard has a primary")
    }

    pub(crate) fn plan(&self) -> (PlanId, Epoch) {
        self.state.plan.as_ref().map(|p| (p.id, p.epoch)).expect("a plan is active")
    }

    fn step(&self, node: u64) -> (PlanId, Epoch) {
        let out = self.state.nodes[&NodeId(node)].out.as_ref().expect("the node is out");
        (out.plan, out.epoch)
    }

    pub(crate) fn add_in_sync(&self, shard: ShardId, node: u64) -> Command {
        let (isr_epoch, primary) = (self.state.shards[&shard].isr_epoch, self.primary(shard));
        Command::AddInSync { shard, isr_epoch, primary, member: self.member(node) }
    }

    pub(crate) fn remove_in_sync(&self, shard: ShardId, node: u64) -> Command {
        let (isr_epoch, primary) = (self.state.shards[&shard].isr_epoch, self.primary(shard));
        let (member, reason) = (self.member(node), Reason::new("silent", "silent"));
        Command::RemoveInSync { shard, isr_epoch, primary, member, reason }
    }

    /// The node keeps the tail of the shard's stream from 10 past its start on, for a member that leaves.
    pub(crate) fn keep(&self, shard: ShardId, node: u64) -> Command {
        let from = Offset(self.state.shards[&shard].last_start().0 + 10);
        self.set_keeper(shard, Some(NewKeeper { member: self.member(node), from, base: KeeperBase::Leaver }))
    }

    pub(crate) fn keep_no_more(&self, shard: ShardId) -> Command {
        self.set_keeper(shard, None)
    }

    pub(crate) fn set_keeper(&self, shard: ShardId, keeper: Option<NewKeeper>) -> Command {
        let (isr_epoch, primary) = (self.state.shards[&shard].isr_epoch, self.primary(shard));
        Command::SetKeeper { shard, isr_epoch, primary, keeper, reason: Reason::new("wanted", "as wanted") }
    }

    pub(crate) fn want_keeper(&self, shard: ShardId, node: Option<u64>) -> Command {
        let shard_epoch = self.state.shards[&shard].epoch;
        Command::WantKeeper { shard, shard_epoch, node: node.map(NodeId) }
    }

    /// The keeper hands its tail over to the node, by the leader of term 0.
    pub(crate) fn begin_recovery(&self, shard: ShardId, to: u64) -> Command {
        let Shard { epoch, isr_epoch, .. } = self.state.shards[&shard];
        Command::BeginRecovery { shard, shard_epoch: epoch, isr_epoch, to: self.member(to), term: 0 }
    }

    pub(crate) fn set_mode(&self, shard: ShardId, mode: AckMode) -> Command {
        let (isr_epoch, primary) = (self.state.shards[&shard].isr_epoch, self.primary(shard));
        Command::SetMode { shard, isr_epoch, primary, mode }
    }

    pub(crate) fn hand_over(&self, shard: ShardId, to: u64) -> Command {
        let (shard_epoch, from) = (self.state.shards[&shard].epoch, self.primary(shard));
        let plan = self.state.plan.as_ref().map(|p| p.id);
        Command::BeginHandover { shard, shard_epoch, from, to: self.member(to), plan }
    }

    /// The primary's node is stopped in order: a handover of no plan.
    pub(crate) fn leave(&self, shard: ShardId, to: u64) -> Command {
        let (shard_epoch, from) = (self.state.shards[&shard].epoch, self.primary(shard));
        Command::BeginHandover { shard, shard_epoch, from, to: self.member(to), plan: None }
    }

    pub(crate) fn promote(&self, shard: ShardId) -> Command {
        let flight = self.state.shards[&shard].handover.expect("a handover is in flight");
        let in_sync = self.state.shards[&shard].in_sync.clone();
        let offset = Offset(self.state.shards[&shard].last_start().0 + 100);
        Command::Promote { shard, handover: flight.epoch, to: flight.to, offset, in_sync }
    }

    pub(crate) fn fail_over(&self, shard: ShardId, to: u64) -> Command {
        let Shard { epoch, isr_epoch, .. } = self.state.shards[&shard];
        Command::Failover { shard, shard_epoch: epoch, isr_epoch, to: self.member(to), term: 0 }
    }

    /// What the node holds was sealed by the shard's last owner, 50 bytes past its start.
    pub(crate) fn reclaim(&self, shard: ShardId, node: u64) -> Command {
        let (of_shard, member) = (&self.state.shards[&shard], self.member(node));
        let (shard_epoch, end) = (of_shard.epoch, Offset(of_shard.last_start().0 + 50));
        let of = match of_shard.ownership {
            Ownership::Serving(owner) => owner.incarnation,
            Ownership::Recovering { last, .. } => last.incarnation,
        };
        Command::Reclaim { shard, shard_epoch, member, of, end }
    }

    /// The shard goes on with what the node holds, by the policy.
    pub(crate) fn recover(&self, shard: ShardId, node: u64, at: u64) -> Recover {
        let of_shard = &self.state.shards[&shard];
        Recover {
            shard,
            shard_epoch: of_shard.epoch,
            isr_epoch: of_shard.isr_epoch,
            to: self.member(node),
            at: Offset(at),
            lost_bytes_min: 0,
            given_up: of_shard.in_sync.iter().copied().chain(of_shard.keeper.map(|k| k.member)).collect(),
            term: 0,
            by: RecoveredBy::Policy,
            at_ms: 8,
            as_of_ms: None,
        }
    }

    /// The node's next process registers.
    pub(crate) fn restart(&self, node: u64, release: Release) -> Command {
        let node = &self.state.nodes[&NodeId(node)];
        Command::RegisterNode {
            member: Member { node: node.id, incarnation: Incarnation(node.incarnation.0 + 1) },
            client_addr: node.client_addr.clone(),
            peer_addr: node.peer_addr.clone(),
            http_addr: node.http_addr.clone(),
            tls_port: node.tls_port,
            release,
            levels: node.levels,
            launcher_protocol: node.launcher_protocol,
            machine: node.machine,
            #[cfg(feature = "next")]
            zone: None,
        }
    }

    pub(crate) fn start_plan(&self) -> Command {
        let (target, options) = (new(), PlanOptions::default());
        let started_by = StartedBy::Operator;
        Command::StartPlan { target, options, leader: NodeId(1), started_by, at_ms: 1 }
    }

    /// The policy starts 1.4.0 by itself.
    pub(crate) fn start_by_policy(&self) -> Command {
        let (target, options) = (new(), self.state.policy.plan_options());
        let started_by = StartedBy::Policy;
        Command::StartPlan { target, options, leader: NodeId(1), started_by, at_ms: 1 }
    }

    /// The plan's target would start on the node.
    pub(crate) fn preflight(&self, node: u64) -> Command {
        let plan = self.state.plan.as_ref().expect("a plan is active");
        let (digest, turn) = (plan.target.digest, plan.turn);
        Command::ReportPreflight { member: self.member(node), digest, turn, problem: None }
    }

    pub(crate) fn set_policy(&self, change: impl FnOnce(&mut Policy)) -> Command {
        let mut policy = self.state.policy;
        change(&mut policy);
        Command::SetPolicy { seen: self.state.policy_epoch, policy }
    }

    pub(crate) fn begin_rolling(&self) -> Command {
        let (plan, plan_epoch) = self.plan();
        Command::BeginRolling { plan, plan_epoch }
    }

    pub(crate) fn take_out(&self, node: u64) -> Command {
        let (plan, plan_epoch) = self.plan();
        Command::UpgradeSelf { plan, plan_epoch, member: self.member(node), at_ms: 2 }
    }

    pub(crate) fn confirm(&self, node: u64) -> Command {
        let (plan, step) = self.step(node);
        Command::Confirm { plan, step, member: self.member(node), digest: new().digest }
    }

    pub(crate) fn confirmed(&self, node: u64) -> Command {
        let (plan, step) = self.step(node);
        Command::Confirmed { plan, step, member: self.member(node), digest: new().digest, at_ms: 3 }
    }

    /// The node's step failed; `quarantine` says whether the release is at fault.
    pub(crate) fn failed(&self, node: u64, quarantine: bool) -> Command {
        let (plan, step) = self.step(node);
        let reason = Reason::new("exit", "exit status 7");
        Command::StepFailed { plan, step, member: self.member(node), reason, quarantine, at_ms: 4 }
    }

    pub(crate) fn hold(&self) -> Command {
        let (plan, plan_epoch) = self.plan();
        let reason = ironcache_control::HoldReason::StepTimedOut { node: NodeId(1), waited_ms: 9 };
        Command::Hold { plan, plan_epoch, reason }
    }

    pub(crate) fn pause(&self) -> Command {
        Command::Pause { plan: self.plan().0 }
    }

    pub(crate) fn resume(&self) -> Command {
        Command::Resume { plan: self.plan().0 }
    }

    pub(crate) fn abort(&self) -> Command {
        Command::Abort { plan: self.plan().0, at_ms: 5 }
    }

    pub(crate) fn rejoin(&self, node: u64) -> Command {
        Command::Rejoin { step: self.step(node).1, member: self.member(node) }
    }

    pub(crate) fn finalize(&self) -> Command {
        let (plan, plan_epoch) = self.plan();
        let level = self.state.nodes.values().map(|n| n.levels.max).min().expect("there are nodes");
        Command::Finalize { plan, plan_epoch, level, at_ms: 6 }
    }

    pub(crate) fn soak(&self) -> Command {
        let (plan, plan_epoch) = self.plan();
        Command::BeginSoaking { plan, plan_epoch, at_ms: 7 }
    }

    pub(crate) fn soaked(&self, ms: u64) -> Command {
        let (plan, plan_epoch) = self.plan();
        Command::Soaked { plan, plan_epoch, ms }
    }

    pub(crate) fn roll_back(&self) -> Command {
        let (plan, plan_epoch) = self.plan();
        Command::Rollback { plan, plan_epoch, reason: Reason::new("operator", "latency doubled") }
    }

    pub(crate) fn roll_back_of_none(&self) -> Command {
        let reason = Reason::new("operator", "too late");
        Command::Rollback { plan: self.state.last_plan, plan_epoch: self.state.epoch, reason }
    }

    pub(crate) fn add_node(&self, id: u64, shard: Option<ShardId>) -> Command {
        Command::AddNode { spec: joins(id, shard), replaces: None, admitted: None }
    }

    pub(crate) fn replace(&self, old: u64, id: u64) -> Command {
        let old = &self.state.nodes[&NodeId(old)];
        let spec = NodeSpec { voter: old.voter, ..joins(id, old.shard) };
        Command::AddNode { spec, replaces: Some(old.id), admitted: None }
    }

    pub(crate) fn remove(&self, id: u64) -> Command {
        Command::RemoveNode { node: NodeId(id) }
    }

    fn change(&self) -> (Epoch, NodeId) {
        self.state.membership.map(|c| (c.epoch, c.node)).expect("a change of the nodes is under way")
    }

    pub(crate) fn left(&self) -> Command {
        let (change, node) = self.change();
        Command::NodeLeft { change, node }
    }

    pub(crate) fn members_done(&self) -> Command {
        Command::MembershipDone { change: self.change().0 }
    }

    pub(crate) fn set_mode_if_needed(&self, shard: ShardId) -> Command {
        self.set_mode(shard, AckMode::InSync)
    }

    pub(crate) fn turn_back(&self) -> Command {
        let (plan, plan_epoch) = self.plan();
        Command::TurnBack { plan, plan_epoch, leader: NodeId(1) }
    }
}
