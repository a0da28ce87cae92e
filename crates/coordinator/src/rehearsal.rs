//! A roll played through on a copy of the state, in a world where everything works at once: what
//! `--dry-run` shows, and what the golden transcripts are made of.
//!
//! The coordinator decides until it waits; then the world makes one move (a node registers its new binary,
//! a replica gets in sync, a candidate meets the fence), and the coordinator is asked again.

use crate::bars::Bars;
use crate::decide::decide;
use crate::decision::Decision;
use crate::observation::{
    DataObservation, Duty, Holding, NodeObservation, Observation, RaftGroup, ReplicaObservation,
};
use ironcache_control::{
    AckMode, Command, ControlState, KeeperBase, NewKeeper, Node, Phase, Plan, PlanOptions, Reason, Rejection,
    Shard, StartedBy, TrialPhase,
};
use ironcache_types::{Incarnation, Member, NodeId, Offset, Version};
use std::collections::BTreeMap;

/// A roll that is being played through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// The coordinator's acts, in order; a last `Wait` if even this world does not let it go on.
    pub acts: Vec<Decision>,
    /// The state so far.
    pub state: ControlState,
    /// Who leads raft.
    pub leader: NodeId,
    /// How far the world's clock has gone on: it does while a plan soaks.
    pub now_ms: u64,
}

/// Plays a plan to `target` through, from `state`, led by `leader`.
///
/// # Errors
/// As of [`Rehearsal::begin`].
pub fn rehearse(
    state: &ControlState,
    leader: NodeId,
    target: &Version,
    options: PlanOptions,
) -> Result<Rehearsal, Rejection> {
    let mut rehearsal = Rehearsal::begin(state, leader, target, options)?;
    rehearsal.run()?;
    Ok(rehearsal)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Made,
    /// The plan has ended, or waits for what this world cannot give.
    Stuck,
}

impl Rehearsal {
    /// A plan to `target` that has just been accepted. One that is active already is taken as it is,
    /// whatever `target` and `options` say.
    ///
    /// # Errors
    /// The guardrail that refuses the plan.
    pub fn begin(
        state: &ControlState,
        leader: NodeId,
        target: &Version,
        options: PlanOptions,
    ) -> Result<Rehearsal, Rejection> {
        let mut rehearsal = Rehearsal { acts: Vec::new(), state: state.clone(), leader, now_ms: 0 };
        if state.plan.is_none() {
            let started_by = StartedBy::Operator;
            let target = state.check_plan(target)?;
            rehearsal.commit(&Command::StartPlan { target, options, leader, started_by, at_ms: 0 })?;
        }
        Ok(rehearsal)
    }

    /// Plays on until the plan has ended or is stuck.
    ///
    /// # Errors
    /// A rejection of what the coordinator proposed: our bug.
    pub fn run(&mut self) -> Result<(), Rejection> {
        // Every node takes about ten entries; a roll that needs far more goes round in circles.
        for _ in 0..100 * (self.state.nodes.len() + 1) {
            if self.step()? == Progress::Stuck {
                break;
            }
        }
        Ok(())
    }

    /// One act of the coordinator or, if it waits, one move of the world.
    ///
    /// # Errors
    /// As of [`Rehearsal::run`].
    pub fn step(&mut self) -> Result<Progress, Rejection> {
        if self.state.plan.is_none() {
            return Ok(Progress::Stuck);
        }
        let observation = observe_perfect(&self.state, self.leader);
        let decision = decide(&self.state, &observation, &Bars::default(), self.now_ms);
        match &decision {
            Decision::Propose(command) => self.commit(command)?,
            Decision::TransferLeader { to } => self.leader = *to,
            Decision::Wait(_) if self.soaks()? => return Ok(Progress::Made),
            // No plan starts while the nodes change.
            Decision::AddLearner { .. }
            | Decision::ChangeMembership { .. }
            | Decision::Wait(_)
            | Decision::Done => match world_moves(&self.state) {
                Some(command) => {
                    self.commit(&command)?;
                    return Ok(Progress::Made);
                }
                None => {
                    self.acts.push(decision);
                    return Ok(Progress::Stuck);
                }
            },
        }
        self.acts.push(decision);
        Ok(Progress::Made)
    }

    /// Lets the time pass that the plan still has to soak, if it becomes final by time; a leader has counted it.
    fn soaks(&mut self) -> Result<bool, Rejection> {
        let Some(Plan { id, epoch, phase: Phase::Soaking { since_ms: _, soaked_ms }, options, .. }) =
            &self.state.plan
        else {
            return Ok(false);
        };
        match options.finalize_after.soak_ms() {
            Some(ms) if *soaked_ms < ms => {
                self.now_ms = self.now_ms.saturating_add(ms - soaked_ms);
                let (plan, plan_epoch) = (*id, *epoch);
                self.commit(&Command::Soaked { plan, plan_epoch, ms })?;
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    fn commit(&mut self, command: &Command) -> Result<(), Rejection> {
        self.state.apply(0, command).map(|_| ())
    }
}

const OFFSET: Offset = Offset(0);

/// What a leader sees when everybody answers, serves, and is not behind.
pub fn observe_perfect(state: &ControlState, leader: NodeId) -> Observation {
    let data = |node: &Node| {
        let shard = state.shard_of_node(node.id)?;
        let replica = |member: &Member| ReplicaObservation {
            member: *member,
            applied: OFFSET,
            lag_bytes: 0,
            syncing: false,
            in_sync_for_ms: u64::MAX,
        };
        let replicas = match shard.is_primary(node.member()) {
            true => shard.in_sync.iter().filter(|m| m.node != node.id).map(replica).collect(),
            false => Vec::new(),
        };
        let duty = match shard.is_primary(node.member()) {
            true => Duty::Serves(shard.epoch),
            false => Duty::Follows(shard.epoch),
        };
        let (shard, isr_epoch) = (shard.id, shard.isr_epoch);
        Some(DataObservation {
            shard,
            duty,
            isr_epoch,
            offset: OFFSET,
            holds: Some(Holding::Nothing),
            replicas,
        })
    };
    let answer = |node: &Node| NodeObservation {
        seen_ms_ago: 0,
        member: node.member(),
        release: node.release.clone(),
        ready: true,
        raft_lag_entries: 0,
        state_hashes: Vec::new(),
        cannot_upgrade: None,
        cannot_keep: None,
        data: data(node),
    };
    let nodes: BTreeMap<_, _> = state.nodes.values().map(|n| (n.id, answer(n))).collect();
    let (voters, learners): (Vec<_>, Vec<_>) = state.nodes.values().partition(|node| node.voter);
    let ids = |nodes: Vec<&Node>| nodes.iter().map(|node| node.id).collect();
    let raft = RaftGroup { voters: ids(voters), is_joint: false, learners: ids(learners) };
    Observation { leader, leader_settled: true, nodes, raft, ..Observation::default() }
}

/// The first thing that nodes and primaries would do by themselves now.
fn world_moves(state: &ControlState) -> Option<Command> {
    let shards = || state.shards.values();
    let joins = || shards().find_map(|shard| joins_the_set(state, shard));
    let keeper = || shards().find_map(|shard| keeper_moves(state, shard));
    let node = || state.nodes.values().find_map(|node| node_moves(state, node));
    joins().or_else(keeper).or_else(node).or_else(|| shards().find_map(|shard| shard_moves(state, shard)))
}

fn node_moves(state: &ControlState, node: &Node) -> Option<Command> {
    let plan = state.plan.as_ref()?;
    let target = plan.target.clone();
    let Some(out) = &node.out else {
        if node.release == target {
            return None;
        }
        let (digest, turn) = (target.digest, plan.turn);
        if !node.staged.contains(&digest) {
            return Some(Command::ReportStaged { node: node.id, digest });
        }
        let tried = node.preflight.as_ref().is_some_and(|p| p.digest == digest && p.turn == turn);
        let member = node.member();
        return (!tried).then_some(Command::ReportPreflight { member, digest, turn, problem: None });
    };
    if node.release != target {
        let levels = state.releases.get(&target.digest).map_or(node.levels, |info| info.levels);
        let incarnation = Incarnation(node.incarnation.0 + 1);
        return Some(Command::RegisterNode {
            member: Member { node: node.id, incarnation },
            client_addr: node.client_addr.clone(),
            peer_addr: node.peer_addr.clone(),
            http_addr: node.http_addr.clone(),
            tls_port: node.tls_port,
            release: target,
            levels,
            launcher_protocol: node.launcher_protocol,
            machine: node.machine,
            #[cfg(feature = "next")]
            zone: None,
        });
    }
    match out.phase {
        TrialPhase::Told | TrialPhase::SetAside => None,
        TrialPhase::Confirming { .. } => Some(Command::Confirmed {
            plan: out.plan,
            step: out.epoch,
            member: node.member(),
            digest: target.digest,
            at_ms: 0,
        }),
    }
}

/// The wanted one attaches at once; it is dropped when two members hold everything.
fn keeper_moves(state: &ControlState, shard: &Shard) -> Option<Command> {
    let (primary, no_handover) = (shard.primary()?, shard.handover.is_none());
    let wanted = shard.keeper_wanted.and_then(|id| state.nodes.get(&id)).map(Node::member);
    let may_change = wanted.is_some() || shard.in_sync.len() >= shard.members_min();
    let (from, base) = (shard.last_start(), KeeperBase::Leaver);
    let on_record = shard.keeper.map(|keeper| keeper.member);
    (no_handover && may_change && wanted != on_record).then(|| Command::SetKeeper {
        shard: shard.id,
        isr_epoch: shard.isr_epoch,
        primary,
        keeper: wanted.map(|member| NewKeeper { member, from, base }),
        reason: Reason::new("wanted", "the leader wants it so"),
    })
}

fn shard_moves(state: &ControlState, shard: &Shard) -> Option<Command> {
    if let Some(handover) = shard.handover {
        return Some(Command::Promote {
            shard: shard.id,
            handover: handover.epoch,
            to: handover.to,
            offset: shard.last_start(),
            in_sync: shard.in_sync.clone(),
        });
    }
    let (id, isr_epoch, primary) = (shard.id, shard.isr_epoch, shard.primary()?);
    if shard.mode != AckMode::InSync && state.plan.as_ref().is_some_and(Plan::holds_mode) {
        return Some(Command::SetMode { shard: id, isr_epoch, primary, mode: AckMode::InSync });
    }
    None
}

fn joins_the_set(state: &ControlState, shard: &Shard) -> Option<Command> {
    let (id, isr_epoch, primary, no_handover) =
        (shard.id, shard.isr_epoch, shard.primary()?, shard.handover.is_none());
    let members = shard.nodes.iter().filter_map(|n| state.nodes.get(n)).filter(|n| n.out.is_none());
    let member = members.map(Node::member).find(|m| !shard.in_sync.contains(m))?;
    no_handover.then_some(Command::AddInSync { shard: id, isr_epoch, primary, member })
}
