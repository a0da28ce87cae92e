//! Commands for a state: what a cluster would propose next, and what it never should.

use crate::setup::{S1, info, joins, machine, new, old};
use ironcache_control::{
    AckMode, AutoRollout, Command, ControlState, HoldReason, KeeperBase, NewKeeper, Node, OnTotalLoss,
    Ownership, Phase, Plan, PlanOptions, Policy, Reason, Recover, RecoveredBy, Shard, StartedBy, TrialPhase,
};
use ironcache_types::{Epoch, Incarnation, Level, Member, NodeId, Offset, Release};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One draw: which of the candidates, and how it is spoiled.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    pub pick: Pick,
    pub index: prop::sample::Index,
    pub spoil: Spoil,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pick {
    /// Something that takes the cluster on.
    Useful,
    /// Anything at all.
    Any,
    /// A command that was drawn before.
    Again,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Spoil {
    No,
    /// The proposer saw an epoch that is this much older or newer.
    Epoch(i64),
}

pub(crate) fn draw() -> impl Strategy<Value = Draw> {
    let pick = prop_oneof![16 => Just(Pick::Useful), 4 => Just(Pick::Any), 1 => Just(Pick::Again)];
    let spoil = prop_oneof![12 => Just(Spoil::No), 1 => (-3i64..4).prop_map(Spoil::Epoch)];
    (pick, any::<prop::sample::Index>(), spoil).prop_map(|(pick, index, spoil)| Draw { pick, index, spoil })
}

impl Draw {
    pub(crate) fn command(&self, state: &ControlState, log: &[Command]) -> Command {
        let from = match self.pick {
            Pick::Useful => useful(state),
            Pick::Any => any_of(state),
            Pick::Again => log.to_vec(),
        };
        let from = if from.is_empty() { any_of(state) } else { from };
        let mut command = self.index.get(&from).clone();
        if let (Spoil::Epoch(by), Some(epoch)) = (self.spoil, epoch_of(&mut command)) {
            epoch.0 = epoch.0.saturating_add_signed(by);
        }
        command
    }
}

fn epoch_of(command: &mut Command) -> Option<&mut Epoch> {
    match command {
        Command::AddInSync { isr_epoch: epoch, .. }
        | Command::WantKeeper { shard_epoch: epoch, .. }
        | Command::SetKeeper { isr_epoch: epoch, .. }
        | Command::BeginRecovery { shard_epoch: epoch, .. }
        | Command::RemoveInSync { isr_epoch: epoch, .. }
        | Command::SetMode { isr_epoch: epoch, .. }
        | Command::BeginHandover { shard_epoch: epoch, .. }
        | Command::Promote { handover: epoch, .. }
        | Command::AbortHandover { handover: epoch, .. }
        | Command::ReportHandover { epoch, .. }
        | Command::Failover { shard_epoch: epoch, .. }
        | Command::Reclaim { shard_epoch: epoch, .. }
        | Command::Recover(Recover { isr_epoch: epoch, .. })
        | Command::PrimaryReady { epoch, .. }
        | Command::BeginRolling { plan_epoch: epoch, .. }
        | Command::UpgradeSelf { plan_epoch: epoch, .. }
        | Command::Confirm { step: epoch, .. }
        | Command::Confirmed { step: epoch, .. }
        | Command::StepFailed { step: epoch, .. }
        | Command::Rejoin { step: epoch, .. }
        | Command::Hold { plan_epoch: epoch, .. }
        | Command::BeginSoaking { plan_epoch: epoch, .. }
        | Command::Soaked { plan_epoch: epoch, .. }
        | Command::Rollback { plan_epoch: epoch, .. }
        | Command::TurnBack { plan_epoch: epoch, .. }
        | Command::ReportPreflight { turn: epoch, .. }
        | Command::NodeLeft { change: epoch, .. }
        | Command::MembershipDone { change: epoch }
        | Command::SetPolicy { seen: epoch, .. }
        | Command::ChangeUsers { seen: epoch, .. }
        | Command::ChangeLibraries { seen: epoch, .. }
        | Command::Finalize { plan_epoch: epoch, .. } => Some(epoch),
        Command::InitCluster(_)
        | Command::RegisterNode { .. }
        | Command::RegisterRelease { .. }
        | Command::ReportStaged { .. }
        | Command::StartPlan { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::LevelReached { .. }
        | Command::AllowRelease { .. }
        | Command::AddNode { .. }
        | Command::RemoveNode { .. }
        | Command::AddOperator { .. }
        | Command::RevokeOperator { .. }
        | Command::Abort { .. } => None,
        #[cfg(feature = "next")]
        Command::SetZone { .. } => None,
    }
}

/// What nodes, primaries and the leader would propose.
fn useful(state: &ControlState) -> Vec<Command> {
    let mut commands: Vec<Command> =
        state.shards.values().flat_map(|shard| useful_for_shard(state, shard)).collect();
    commands.extend(useful_for_members(state));
    let Some(plan) = &state.plan else {
        // On to the new one, or back to the old one; by somebody, or by the policy.
        commands.extend([start(new()), start(old()), start_by_policy(new())]);
        commands.extend(state.nodes.values().filter(|node| node.out.is_some()).flat_map(|node| {
            let step = node.out.as_ref().map(|out| out.epoch).unwrap_or_default();
            [
                Command::Rejoin { step, member: node.member() },
                register(node, old(), 1),
                register(node, new(), 1),
            ]
        }));
        return commands;
    };
    commands.extend(state.nodes.values().flat_map(|node| useful_for_node(state, plan, node)));
    match &plan.phase {
        Phase::Staging => commands.push(Command::BeginRolling { plan: plan.id, plan_epoch: plan.epoch }),
        Phase::Paused | Phase::Held { .. } => {
            commands.push(Command::Resume { plan: plan.id });
            commands.push(Command::Abort { plan: plan.id, at_ms: 0 });
        }
        Phase::Rolling if state.all_on(plan.target.digest) => {
            commands.push(Command::BeginSoaking { plan: plan.id, plan_epoch: plan.epoch, at_ms: 0 });
            commands.push(finalize(state, plan));
        }
        Phase::Soaking { .. } => {
            let (id, plan_epoch) = (plan.id, plan.epoch);
            let soaked = [3, 60_000, u64::MAX].map(|ms| Command::Soaked { plan: id, plan_epoch, ms });
            commands.extend(soaked);
            commands.extend([finalize(state, plan), rollback(plan)]);
        }
        Phase::TurningBack { .. } => {
            let (plan, plan_epoch, leader) = (plan.id, plan.epoch, NodeId(2));
            commands.push(Command::TurnBack { plan, plan_epoch, leader });
        }
        Phase::Rolling => {}
    }
    if matches!(plan.phase, Phase::Held { .. }) {
        commands.push(rollback(plan));
    }
    commands
}

fn useful_for_shard(state: &ControlState, shard: &Shard) -> Vec<Command> {
    let (id, shard_epoch) = (shard.id, shard.epoch);
    if let Some(flight) = shard.handover {
        return vec![promote(shard, flight.to, shard.in_sync.clone())];
    }
    let keeps = |node: &&Node| node.shard != Some(id) && node.out.is_none();
    let Some(primary) = shard.primary() else {
        let isr_epoch = shard.isr_epoch;
        let over = |to: &Member| Command::Failover { shard: id, shard_epoch, isr_epoch, to: *to, term: 0 };
        let back =
            |n: &NodeId| reclaim(shard, state.nodes[n].member(), last_owner(shard), shard.last_start());
        let rest = |n: &NodeId| recover(shard, state.nodes[n].member(), Offset(3), RecoveredBy::Policy);
        let (backs, rests) = (shard.nodes.iter().map(back), shard.nodes.iter().map(rest));
        let overs = shard.in_sync.iter().chain(&shard.in_sync).map(over);
        let tails = shard.nodes.iter().map(|n| recovery(shard, state.nodes[n].member(), 0));
        return overs.chain(backs).chain(rests).chain(tails).collect();
    };
    let isr_epoch = shard.isr_epoch;
    let mut commands = Vec::new();
    // Whoever leaves one member behind needs a keeper; before a handover, and after a plan, nobody does.
    let target = state.plan.as_ref().map(|plan| plan.target.clone());
    let waits =
        |n: &NodeId| *n != primary.node && target.as_ref().is_some_and(|to| state.nodes[n].release != *to);
    let step_is_next = shard.nodes.iter().any(waits);
    match shard.keeper {
        Some(keeper) => {
            let is_alive = state.nodes[&keeper.member.node].member() == keeper.member;
            if !is_alive || (shard.in_sync.len() >= 2 && !step_is_next) {
                commands.push(set_keeper(shard, primary, None));
            }
        }
        None if shard.in_sync.len() == 2 && step_is_next && shard.mode == AckMode::InSync => {
            let keeper = state.nodes.values().find(keeps).map(|node| kept_by(shard, node.member()));
            commands.push(set_keeper(shard, primary, keeper));
        }
        None => {}
    }
    for member in shard.nodes.iter().map(|n| state.nodes[n].member()) {
        if !shard.in_sync.contains(&member) {
            commands.push(Command::AddInSync { shard: id, isr_epoch, primary, member });
        } else if let Some(plan) = &state.plan
            && member != primary
            && state.nodes[&primary.node].release != plan.target
        {
            let plan = Some(plan.id);
            commands.push(Command::BeginHandover { shard: id, shard_epoch, from: primary, to: member, plan });
        }
    }
    if state.plan.is_some() && shard.mode != AckMode::InSync {
        commands.push(Command::SetMode { shard: id, isr_epoch, primary, mode: AckMode::InSync });
    }
    commands
}

/// What takes a change of the nodes to its end.
fn useful_for_members(state: &ControlState) -> Vec<Command> {
    let Some(change) = state.membership else { return Vec::new() };
    let leaves = |m: &&Member| m.node == change.node;
    let mut commands = vec![
        Command::NodeLeft { change: change.epoch, node: change.node },
        Command::MembershipDone { change: change.epoch },
    ];
    commands.extend(state.shards.values().filter_map(|shard| {
        let (primary, member) = (shard.primary()?, *shard.in_sync.iter().find(leaves)?);
        let (shard, isr_epoch) = (shard.id, shard.isr_epoch);
        Some(Command::RemoveInSync { shard, isr_epoch, primary, member, reason: Reason::new("leaving", "") })
    }));
    commands
}

/// Nodes that were never seen before, or were removed.
fn any_for_members(state: &ControlState, commands: &mut Vec<Command>) {
    for id in 7..=9 {
        for (shard, replaces) in [(None, None), (Some(S1), None), (Some(S1), Some(NodeId(4)))] {
            commands.push(Command::AddNode { spec: joins(id, shard), replaces, admitted: None });
        }
    }
    commands.extend(state.nodes.keys().map(|node| Command::RemoveNode { node: *node }));
    commands.extend(useful_for_members(state));
}

fn useful_for_node(state: &ControlState, plan: &Plan, node: &Node) -> Vec<Command> {
    let (member, digest, id) = (node.member(), plan.target.digest, plan.id);
    let Some(out) = &node.out else {
        if !node.staged.contains(&digest) {
            return vec![Command::ReportStaged { node: node.id, digest }];
        }
        if node.preflight.as_ref().is_none_or(|p| p.turn != plan.turn) {
            return vec![preflight(plan, node)];
        }
        let goes = node.release != plan.target && !state.is_primary_node(node.id);
        let upgrade = Command::UpgradeSelf { plan: id, plan_epoch: plan.epoch, member, at_ms: 0 };
        return goes.then_some(upgrade).into_iter().collect();
    };
    let step = out.epoch;
    match out.phase {
        // Three of four trials start: a quarantine ends all progress of a sequence.
        _ if node.release != plan.target => {
            let starts = register(node, plan.target.clone(), 1);
            let quarantine = node.id == NodeId(3);
            let reason = Reason::new("exit", "why");
            let fails = Command::StepFailed { plan: id, step, member, reason, quarantine, at_ms: 0 };
            vec![starts.clone(), starts.clone(), starts, fails]
        }
        TrialPhase::Told => vec![Command::Confirm { plan: id, step, member, digest }],
        TrialPhase::SetAside => unreachable!("a plan is active"),
        TrialPhase::Confirming { .. } => {
            vec![Command::Confirmed { plan: id, step, member, digest, at_ms: 0 }]
        }
    }
}

fn start(target: Release) -> Command {
    let options = PlanOptions::default();
    let started_by = StartedBy::Operator;
    Command::StartPlan { target, options, leader: NodeId(1), started_by, at_ms: 0 }
}

fn start_by_policy(target: Release) -> Command {
    let options = PlanOptions::default();
    let started_by = StartedBy::Policy;
    Command::StartPlan { target, options, leader: NodeId(2), started_by, at_ms: 0 }
}

fn rollback(plan: &Plan) -> Command {
    let reason = Reason::new("operator", "why");
    Command::Rollback { plan: plan.id, plan_epoch: plan.epoch, reason }
}

fn preflight(plan: &Plan, node: &Node) -> Command {
    let (digest, turn) = (plan.target.digest, plan.turn);
    Command::ReportPreflight { member: node.member(), digest, turn, problem: None }
}

fn finalize(state: &ControlState, plan: &Plan) -> Command {
    Command::Finalize { plan: plan.id, plan_epoch: plan.epoch, level: state.cluster_level, at_ms: 0 }
}

fn promote(shard: &Shard, to: Member, in_sync: BTreeSet<Member>) -> Command {
    let handover = shard.handover.map(|h| h.epoch).unwrap_or_default();
    let offset = Offset(shard.last_start().0 + 2);
    Command::Promote { shard: shard.id, handover, to, offset, in_sync }
}

fn kept_by(shard: &Shard, member: Member) -> NewKeeper {
    NewKeeper { member, from: Offset(shard.last_start().0 + 1), base: KeeperBase::Leaver }
}

fn set_keeper(shard: &Shard, primary: Member, keeper: Option<NewKeeper>) -> Command {
    let reason = Reason::new("wanted", "");
    Command::SetKeeper { shard: shard.id, isr_epoch: shard.isr_epoch, primary, keeper, reason }
}

fn recovery(shard: &Shard, to: Member, term: u64) -> Command {
    let (shard_epoch, isr_epoch) = (shard.epoch, shard.isr_epoch);
    Command::BeginRecovery { shard: shard.id, shard_epoch, isr_epoch, to, term }
}

fn last_owner(shard: &Shard) -> Incarnation {
    match shard.ownership {
        Ownership::Serving(owner) => owner.incarnation,
        Ownership::Recovering { last, .. } => last.incarnation,
    }
}

fn reclaim(shard: &Shard, member: Member, of: Incarnation, end: Offset) -> Command {
    Command::Reclaim { shard: shard.id, shard_epoch: shard.epoch, member, of, end }
}

fn recover(shard: &Shard, to: Member, at: Offset, by: RecoveredBy) -> Command {
    let (shard_epoch, isr_epoch) = (shard.epoch, shard.isr_epoch);
    let given_up = shard.in_sync.iter().copied().chain(shard.keeper.map(|keeper| keeper.member)).collect();
    let (shard, lost_bytes_min, term, at_ms) = (shard.id, 5, 0, 0);
    Command::Recover(Recover {
        shard,
        shard_epoch,
        isr_epoch,
        to,
        at,
        lost_bytes_min,
        given_up,
        term,
        by,
        at_ms,
        as_of_ms: None,
    })
}

fn register(node: &Node, release: Release, later: u64) -> Command {
    Command::RegisterNode {
        member: Member { node: node.id, incarnation: Incarnation(node.incarnation.0 + later) },
        client_addr: node.client_addr.clone(),
        peer_addr: node.peer_addr.clone(),
        http_addr: node.http_addr.clone(),
        tls_port: node.tls_port,
        release,
        levels: node.levels,
        launcher_protocol: node.launcher_protocol,
        machine: node.machine,
        #[cfg(feature = "next")]
        zone: node.zone.as_ref().map(|_| format!("zone {}", node.incarnation.0 % 2)),
    }
}

/// From a machine that no other node runs on.
fn moved(mut registers: Command) -> Command {
    if let Command::RegisterNode { machine: of, .. } = &mut registers {
        *of = machine(100);
    }
    registers
}

/// Every kind of command about everybody, fitting or not.
fn any_of(state: &ControlState) -> Vec<Command> {
    let everybody: BTreeSet<Member> = state.nodes.values().map(Node::member).collect();
    let mut commands = vec![start(new()), start(old()), start_by_policy(new()), start_by_policy(old())];
    for auto_rollout in [AutoRollout::Off, AutoRollout::Patch, AutoRollout::Minor] {
        let policy = Policy { auto_rollout, ..state.policy };
        commands.push(Command::SetPolicy { seen: state.policy_epoch, policy });
    }
    for on_total_loss in [OnTotalLoss::ServeWhatIsLeft, OnTotalLoss::Wait] {
        let policy = Policy { on_total_loss, ..state.policy };
        commands.push(Command::SetPolicy { seen: state.policy_epoch, policy });
    }
    commands.extend([new(), old()].map(|release| Command::AllowRelease { digest: release.digest }));
    commands.extend([new(), old()].map(|release| Command::RegisterRelease { info: info(release) }));
    for shard in state.shards.values() {
        any_for_shard(state, shard, &everybody, &mut commands);
    }
    for node in state.nodes.values() {
        any_for_node(state, node, &mut commands);
    }
    any_for_members(state, &mut commands);
    if let Some(plan) = &state.plan {
        commands.extend([rollback(plan), finalize(state, plan)]);
        let next = Level(state.cluster_level.0 + 1);
        let (plan, plan_epoch) = (plan.id, plan.epoch);
        let reason = HoldReason::StateMismatch { node: NodeId(1), log_index: 4 };
        commands.extend([
            Command::BeginRolling { plan, plan_epoch },
            Command::Hold { plan, plan_epoch, reason },
            Command::Pause { plan },
            Command::Resume { plan },
            Command::Abort { plan, at_ms: 0 },
            Command::BeginSoaking { plan, plan_epoch, at_ms: 0 },
            Command::Soaked { plan, plan_epoch, ms: 90_000 },
            Command::TurnBack { plan, plan_epoch, leader: NodeId(1) },
            Command::Finalize { plan, plan_epoch, level: next, at_ms: 0 },
        ]);
    }
    commands
}

fn any_for_shard(
    state: &ControlState,
    shard: &Shard,
    everybody: &BTreeSet<Member>,
    commands: &mut Vec<Command>,
) {
    let (id, shard_epoch, isr_epoch) = (shard.id, shard.epoch, shard.isr_epoch);
    let handover = shard.handover.map(|h| h.epoch).unwrap_or_default();
    commands.push(Command::AbortHandover { shard: id, handover });
    commands.push(Command::ReportHandover { shard: id, epoch: shard_epoch, stall_us: 830 });
    commands.push(Command::PrimaryReady { shard: id, epoch: shard_epoch, start: Offset(5) });
    for member in everybody.iter().copied() {
        let primary = shard.primary().unwrap_or(member);
        let plan = state.plan.as_ref().map(|p| p.id);
        let mode = if member.node.0 % 2 == 0 { AckMode::Primary } else { AckMode::InSync };
        commands.extend([
            Command::AddInSync { shard: id, isr_epoch, primary, member },
            Command::RemoveInSync { shard: id, isr_epoch, primary, member, reason: Reason::new("", "") },
            Command::SetMode { shard: id, isr_epoch, primary, mode },
            Command::BeginHandover { shard: id, shard_epoch, from: primary, to: member, plan },
            Command::BeginHandover { shard: id, shard_epoch, from: primary, to: member, plan: None },
            promote(shard, member, everybody.clone()),
            Command::Failover { shard: id, shard_epoch, isr_epoch, to: member, term: 0 },
            Command::Failover { shard: id, shard_epoch, isr_epoch, to: member, term: 1 },
            reclaim(shard, member, member.incarnation, Offset(3)),
            reclaim(shard, member, last_owner(shard), Offset(u64::MAX / 2)),
            recover(shard, member, Offset(0), RecoveredBy::Operator),
            set_keeper(shard, primary, None),
            set_keeper(shard, primary, Some(kept_by(shard, member))),
            set_keeper(shard, primary, Some(NewKeeper { base: KeeperBase::Own, ..kept_by(shard, member) })),
            set_keeper(
                shard,
                primary,
                Some(NewKeeper { from: Offset(u64::MAX / 2), ..kept_by(shard, member) }),
            ),
            Command::WantKeeper { shard: id, shard_epoch, node: Some(member.node) },
            Command::WantKeeper { shard: id, shard_epoch, node: None },
            recovery(shard, member, 0),
            recovery(shard, member, 1),
            Command::Promote {
                shard: id,
                handover,
                to: member,
                offset: Offset(1),
                in_sync: shard.in_sync.clone(),
            },
        ]);
        let Command::Recover(fits) = recover(shard, member, Offset(4), RecoveredBy::Policy) else { continue };
        commands.extend([everybody.clone(), BTreeSet::new()].map(|given_up| {
            let shard_epoch = Epoch(shard_epoch.0 + u64::from(given_up.is_empty()));
            Command::Recover(Recover { given_up, shard_epoch, ..fits.clone() })
        }));
        commands.push(Command::Recover(Recover { term: 1, ..fits }));
    }
}

fn any_for_node(state: &ControlState, node: &Node, commands: &mut Vec<Command>) {
    for release in [old(), new()] {
        commands.push(register(node, release.clone(), 0));
        commands.push(register(node, release.clone(), 1));
        commands.push(moved(register(node, release.clone(), 1)));
        commands.push(Command::ReportStaged { node: node.id, digest: release.digest });
    }
    let (step, member) = (node.out.as_ref().map(|o| o.epoch).unwrap_or_default(), node.member());
    commands.push(Command::Rejoin { step, member });
    for oldest in [Level(1), Level(2)] {
        commands.push(Command::LevelReached { member, oldest });
    }
    // Orders of a plan that ended come late, as those of one that is active do.
    let Some(plan) = state.plan.as_ref().or_else(|| state.history.back().map(|ended| &ended.plan)) else {
        return;
    };
    commands.push(preflight(plan, node));
    let (plan, plan_epoch, digest) = (plan.id, plan.epoch, plan.target.digest);
    commands.push(Command::UpgradeSelf { plan, plan_epoch, member, at_ms: 0 });
    commands.push(Command::Confirm { plan, step, member, digest });
    commands.push(Command::Confirmed { plan, step, member, digest, at_ms: 0 });
    // A quarantine ends all progress, so only one node is ever to blame.
    let quarantine = node.id == NodeId(3);
    let reason = Reason::new("exit", "why");
    commands.push(Command::StepFailed { plan, step, member, reason, quarantine, at_ms: 0 });
}
