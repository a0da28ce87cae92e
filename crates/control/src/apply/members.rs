//! Nodes that join and leave.
//!
//! *Invariant:* who goes has no role left: it owns no shard, is in no in-sync set, keeps no tail, and is at no end of a
//! handover. What
//! takes a role away is an entry of its own, before.
//! *Invariant:* counts are checked here, health by who proposes.

use super::{Result, stale};
use crate::command::NodeSpec;
use crate::membership::{MembershipChange, MembershipStage};
use crate::plan::{HoldReason, Phase, Plan, StepState};
use crate::rejection::{Applied, Rejection};
use crate::security::Admitted;
use crate::shard::Shard;
use crate::state::{ControlState, Node, NodeRole, OutStep, TrialPhase};
use ironcache_types::{Epoch, NodeId};
use std::collections::BTreeSet;

impl ControlState {
    /// Could the node join now, in the place of `replaces`, if that names one?
    ///
    /// # Errors
    /// What stands against it.
    pub fn check_join(&self, spec: &NodeSpec, replaces: Option<NodeId>) -> Result<()> {
        let NodeSpec { member, client_addr, peer_addr, http_addr, role, voter, shard, .. } = spec;
        let node = member.node;
        if self.removed.contains(&node) {
            return Err(Rejection::Removed { node });
        }
        if self.nodes.contains_key(&node) {
            return Err(Rejection::AlreadyMember { node });
        }
        self.check_no_change()?;
        self.check_plan_leaves_room(replaces)?;
        if !spec.levels.admits(self.cluster_level) {
            let (version, admits, level) = (spec.release.version.clone(), spec.levels, self.cluster_level);
            return Err(Rejection::CannotJoin { node, version, admits, level });
        }
        // The log that it is sent may go back as far.
        if let Some(holder) = self.nodes.values().find(|n| n.oldest < spec.levels.min) {
            let (version, admits, oldest) = (spec.release.version.clone(), spec.levels, holder.oldest);
            return Err(Rejection::OlderFiles { version, admits, node: holder.id, oldest });
        }
        self.refuse_quarantined(spec.release.digest)?;
        match (role, shard) {
            (NodeRole::Data, Some(shard)) => drop(self.shard(*shard)?),
            (NodeRole::Witness, None) => {}
            (NodeRole::Data, None) | (NodeRole::Witness, Some(_)) => {
                let detail = format!("node {node} holds a shard, or is a witness, and not both or neither");
                return Err(Rejection::BadLayout { detail });
            }
        }
        let taken = |other: &&Node| {
            Some(other.id) != replaces
                && (other.client_addr == *client_addr
                    || other.peer_addr == *peer_addr
                    || other.http_addr == *http_addr)
        };
        if let Some(other) = self.nodes.values().find(taken) {
            return Err(Rejection::AddressTaken { node, other: other.id });
        }
        let Some(old) = replaces else {
            let voters = self.voters().count();
            if *voter && voters >= Self::VOTERS_MAX {
                return Err(Rejection::TooManyVoters { voters, max: Self::VOTERS_MAX });
            }
            return Ok(());
        };
        let old = self.nodes.get(&old).ok_or(Rejection::UnknownNode { node: old })?;
        if (old.role, old.voter, old.shard) != (*role, *voter, *shard) {
            let detail =
                format!("node {node} is to be what node {} is: its shard, its role, its vote", old.id);
            return Err(Rejection::BadLayout { detail });
        }
        self.check_may_go(old)
    }

    pub(super) fn add_node(
        &mut self,
        spec: &NodeSpec,
        replaces: Option<NodeId>,
        admitted: Option<&Admitted>,
    ) -> Result {
        let node = spec.member.node;
        if let Some(change) = &self.membership
            && change.node == node
            && change.stage == (MembershipStage::Joining { voter: spec.voter, replaces })
        {
            return Ok(Applied::Unchanged);
        }
        self.check_join(spec, replaces)?;
        self.check_admitted(node, admitted)?;
        let NodeSpec {
            member,
            client_addr,
            peer_addr,
            http_addr,
            role,
            voter,
            shard,
            release,
            levels,
            launcher_protocol,
            machine,
        } = spec;
        let epoch = self.fresh_epoch();
        self.nodes.insert(
            node,
            Node {
                id: node,
                client_addr: client_addr.clone(),
                peer_addr: peer_addr.clone(),
                http_addr: http_addr.clone(),
                role: *role,
                voter: false,
                shard: *shard,
                incarnation: member.incarnation,
                release: release.clone(),
                levels: *levels,
                launcher_protocol: *launcher_protocol,
                machine: *machine,
                // It begins with a snapshot, or with entries, of a cluster at this level; the log may hold older ones.
                oldest: self.nodes.values().map(|n| n.oldest).min().unwrap_or(self.cluster_level),
                staged: BTreeSet::new(),
                preflight: None,
                out: None,
                #[cfg(feature = "next")]
                zone: super::next::first_zone(self.cluster_level),
            },
        );
        if let Some(shard) = shard {
            self.shard_mut(*shard)?.nodes.push(node);
        }
        self.pin(node, admitted);
        let stage = MembershipStage::Joining { voter: *voter, replaces };
        self.membership = Some(MembershipChange { epoch, node, stage });
        self.changed()
    }

    /// Could `node` be told to leave now?
    ///
    /// # Errors
    /// What stands against it, and what to do first.
    pub fn check_leave(&self, node: NodeId) -> Result<()> {
        let leaves = self.nodes.get(&node).ok_or(Rejection::UnknownNode { node })?;
        match &self.membership {
            // What was begun is taken back; the node has no role yet, or has one like any other by now.
            Some(MembershipChange { node: joins, stage: MembershipStage::Joining { .. }, .. })
                if *joins == node => {}
            Some(_) | None => self.check_no_change()?,
        }
        self.check_plan_leaves_room(Some(node))?;
        self.check_may_go(leaves)?;
        if leaves.voter {
            let voters = self.voters().count() - 1;
            let (majority, left) =
                (voters / 2 + 1, voters - self.voters().filter(|n| n.id != node && n.out.is_some()).count());
            if voters == 0 || left < majority {
                return Err(Rejection::NoQuorumToSpare { voters: voters + 1, left, majority });
            }
        }
        if let Some(shard) = self.shard_of_node(node) {
            let (left, min_in_sync) = (shard.nodes.len() - 1, self.policy.min_in_sync);
            if left < usize::from(min_in_sync) {
                return Err(Rejection::MinInSync { shard: shard.id, left, min_in_sync });
            }
        }
        Ok(())
    }

    pub(super) fn remove_node(&mut self, node: NodeId) -> Result {
        if self.removed.contains(&node) || self.membership.is_some_and(|change| change.takes_away(node)) {
            return Ok(Applied::Unchanged);
        }
        self.check_leave(node)?;
        let epoch = self.fresh_epoch();
        self.membership = Some(MembershipChange { epoch, node, stage: MembershipStage::Leaving });
        self.changed()
    }

    pub(super) fn node_left(&mut self, change: Epoch, node: NodeId) -> Result {
        let pending = self.membership_at(change)?;
        if pending.node != node || pending.stage != MembershipStage::Leaving {
            return Err(Rejection::OtherChange { node: pending.node });
        }
        let leaves = self.nodes.get(&node).ok_or(Rejection::UnknownNode { node })?;
        self.check_may_go(leaves)?;
        let in_a_set = |shard: &&Shard| shard.in_sync.iter().any(|m| m.node == node);
        if let Some(shard) = self.shards.values().find(in_a_set) {
            return Err(Rejection::StillInSync { shard: shard.id, node });
        }
        let epoch = self.fresh_epoch();
        let step = self.nodes.remove(&node).and_then(|node| node.out).map(|out| out.epoch);
        for shard in self.shards.values_mut() {
            shard.nodes.retain(|id| *id != node);
            shard.keeper_wanted = shard.keeper_wanted.filter(|wanted| *wanted != node);
        }
        if let Some(plan) = &mut self.plan {
            plan.start_primaries.retain(|_, primary| *primary != node);
            for record in plan.steps.iter_mut().filter(|record| Some(record.epoch) == step) {
                record.state = StepState::SetAside;
            }
        }
        self.removed.push_back(node);
        while self.removed.len() > Self::REMOVED_MAX {
            self.removed.pop_front();
        }
        self.membership = Some(MembershipChange { epoch, node, stage: MembershipStage::Left });
        self.changed()
    }

    pub(super) fn membership_done(&mut self, change: Epoch) -> Result {
        let MembershipChange { epoch: _, node, stage } = self.membership_at(change)?;
        self.membership = None;
        let epoch = self.fresh_epoch();
        match stage {
            MembershipStage::Left => self.unpin(node),
            MembershipStage::Joining { voter, replaces } => {
                if let Some(joined) = self.nodes.get_mut(&node) {
                    joined.voter = voter;
                }
                if let Some(old) = replaces.and_then(|old| self.nodes.get_mut(&old)) {
                    old.voter = false;
                    let stage = MembershipStage::Leaving;
                    self.membership = Some(MembershipChange { epoch, node: old.id, stage });
                }
            }
            MembershipStage::Leaving => return Err(Rejection::OtherChange { node }),
        }
        self.changed()
    }

    /// # Errors
    /// A change of the membership is under way: steps of a plan wait for its end.
    pub(super) fn check_no_change(&self) -> Result<()> {
        match &self.membership {
            None => Ok(()),
            Some(change) => {
                Err(Rejection::MembershipPending { node: change.node, stage: change.stage.word() })
            }
        }
    }

    fn membership_at(&self, epoch: Epoch) -> Result<MembershipChange> {
        match self.membership {
            Some(change) if change.epoch == epoch => Ok(change),
            Some(change) => Err(stale("the membership".to_owned(), epoch, change.epoch)),
            None => Err(stale("the membership".to_owned(), epoch, self.epoch)),
        }
    }

    /// During a plan only a node that holds it goes, or is replaced.
    fn check_plan_leaves_room(&self, goes: Option<NodeId>) -> Result<()> {
        match &self.plan {
            None => Ok(()),
            Some(plan) if goes.is_some_and(|node| self.is_held_on(plan, node)) => Ok(()),
            Some(_) => Err(Rejection::DuringPlan { what: "a change of the cluster's nodes".to_owned() }),
        }
    }

    /// Has the node no role that only an entry of its own takes away, in-sync sets aside?
    fn check_may_go(&self, node: &Node) -> Result<()> {
        match node.out.as_ref().map(|OutStep { phase, .. }| phase) {
            None | Some(TrialPhase::SetAside) => {}
            Some(TrialPhase::Told | TrialPhase::Confirming { .. }) => {
                if !self.plan.as_ref().is_some_and(|plan| self.is_held_on(plan, node.id)) {
                    return Err(Rejection::NodeOut { node: node.id });
                }
            }
        }
        self.check_keeps_nothing(node.id)?;
        let Some(shard) = self.shard_of_node(node.id) else { return Ok(()) };
        let Some(primary) = shard.primary() else {
            return Err(Rejection::Recovering { shard: shard.id });
        };
        if primary.node == node.id {
            return Err(Rejection::IsPrimary { shard: shard.id, member: primary });
        }
        match shard.handover {
            Some(handover) if [handover.from.node, handover.to.node].contains(&node.id) => {
                Err(Rejection::HandoverInFlight { shard: shard.id, handover: handover.epoch })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Does the plan stand still for this very node's sake? One that is not back leaves its shard exposed.
    fn is_held_on(&self, plan: &Plan, id: NodeId) -> bool {
        match &plan.phase {
            Phase::Held { reason: HoldReason::Exposed { shard } } => {
                self.nodes.get(&id).is_some_and(|node| node.shard == Some(*shard))
            }
            Phase::Held { reason } => reason.node() == Some(id),
            Phase::Staging
            | Phase::Rolling
            | Phase::Paused
            | Phase::TurningBack { .. }
            | Phase::Soaking { .. } => false,
        }
    }
}
