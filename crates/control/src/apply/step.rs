//! One node's step: taken out, confirmed from both sides, or failed.

use super::Result;
use crate::plan::{HoldReason, Phase, Plan, StepRecord, StepRole, StepState};
use crate::reason::Reason;
use crate::rejection::{Applied, Rejection};
use crate::shard::{AckMode, Shard};
use crate::state::{ControlState, Node, OutStep, Quarantine, TrialPhase};
use ironcache_types::{Digest, Epoch, Member, NodeId, PlanId, Release};

/// Copies of a shard with as many other nodes that stay while one is out. More, and one slow replica of many stops every
/// roll; fewer, and one failure beyond the step's own outage takes the dataset along.
const COPIES_MIN: usize = 2;

impl ControlState {
    pub(super) fn upgrade_self(
        &mut self,
        log_index: u64,
        id: PlanId,
        plan_epoch: Epoch,
        member: Member,
        at_ms: u64,
    ) -> Result {
        let plan = self.plan_at(id, plan_epoch)?;
        if plan.phase != Phase::Rolling {
            return Err(self.wrong_phase("rolling"));
        }
        self.check_no_change()?;
        let target = plan.target.clone();
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.incarnation != member.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        if node.release.digest == target.digest {
            return Err(Rejection::AlreadyOnTarget { node: member.node });
        }
        if node.out.is_some() {
            return Ok(Applied::Unchanged);
        }
        self.check_nobody_exposed()?;
        self.check_keeps_nothing(member.node)?;
        self.refuse_quarantined(target.digest)?;
        if !node.staged.contains(&target.digest) {
            return Err(Rejection::NotStaged { node: member.node });
        }
        if self.nodes.values().filter(|n| n.out.is_some()).count()
            >= usize::from(plan.options.max_parallel.max(1))
        {
            return Err(Rejection::TooManyOut { max: plan.options.max_parallel });
        }
        if node.voter {
            let (voters, majority) = (self.voters().count(), self.majority());
            let left = voters - self.voters_out() - 1;
            if left < majority {
                return Err(Rejection::NoQuorumToSpare { voters, left, majority });
            }
        }
        let role = match self.shard_of_node(member.node) {
            None => StepRole::Witness,
            Some(shard) => self.check_takeout(plan, shard, member, target.digest)?,
        };
        let (shard, led_raft) = (node.shard, plan.start_leader == member.node);
        let kept_for = shard.and_then(|id| self.shards.get(&id)).and_then(Shard::keeper_that_counts);
        let base_from = kept_for.map(|keeper| keeper.from);
        let (epoch, digest) = (self.fresh_epoch(), target.digest);
        let node = self.nodes.get_mut(&member.node).expect("looked up above");
        node.out = Some(OutStep { plan: id, epoch, target, log_index, phase: TrialPhase::Told, base_from });
        if let Some(shard) = shard.and_then(|id| self.shards.get_mut(&id))
            && shard.in_sync.remove(&member)
        {
            shard.isr_epoch = epoch;
        }
        let plan = self.plan.as_mut().expect("looked up above");
        plan.steps.push(StepRecord {
            node: member.node,
            target: digest,
            shard,
            role,
            led_raft,
            epoch,
            state: StepState::Out,
            began_at_ms: at_ms,
            ended_at_ms: None,
        });
        Ok(Applied::Changed { epoch })
    }

    /// May `member` of `shard` be taken out? What it was when the plan began.
    pub(super) fn check_takeout(
        &self,
        plan: &Plan,
        shard: &Shard,
        member: Member,
        target: Digest,
    ) -> Result<StepRole> {
        let id = shard.id;
        let Some(primary) = shard.primary() else {
            return Err(Rejection::Recovering { shard: id });
        };
        if primary.node == member.node {
            return Err(Rejection::IsPrimary { shard: id, member });
        }
        if let Some(handover) = shard.handover {
            return Err(Rejection::HandoverInFlight { shard: id, handover: handover.epoch });
        }
        if shard.mode != AckMode::InSync {
            return Err(Rejection::ModeTooWeak { shard: id });
        }
        let others = || shard.nodes.iter().filter(|n| **n != member.node).map(|n| &self.nodes[n]);
        if let Some(other) = others().find(|n| n.out.is_some()) {
            return Err(Rejection::ShardHasNodeOut { shard: id, other: other.id });
        }
        // A proposal may be older than the loss of a member: of three copies two stay. (Of two, one, and a keeper.)
        let kept = others().filter(|n| shard.in_sync.contains(&n.member())).count();
        if let Some(other) = others().find(|n| !shard.in_sync.contains(&n.member()))
            && kept < COPIES_MIN
            && shard.keeper_that_counts().is_none()
        {
            return Err(Rejection::NotInSync { shard: id, member: other.member() });
        }
        self.check_kept_without(shard, member, kept)?;
        if plan.start_primaries.get(&id) != Some(&member.node) {
            return Ok(StepRole::Replica);
        }
        match others().find(|n| n.release.digest != target) {
            Some(waiting) => {
                Err(Rejection::PrimaryGoesLast { shard: id, node: member.node, waiting: waiting.id })
            }
            None => Ok(StepRole::Primary),
        }
    }

    pub(super) fn confirm(&mut self, plan: PlanId, step: Epoch, member: Member, digest: Digest) -> Result {
        self.active_plan(plan)?;
        let node = self.stepping(member, step)?;
        if node.release.digest != digest || node.out.as_ref().is_none_or(|o| o.target.digest != digest) {
            return Err(Rejection::NotOnTarget { node: member.node });
        }
        self.refuse_quarantined(digest)?;
        let confirming = TrialPhase::Confirming { incarnation: member.incarnation };
        if node.out.as_ref().is_some_and(|o| o.phase == confirming) {
            return Ok(Applied::Unchanged);
        }
        self.fresh_epoch();
        let node = self.nodes.get_mut(&member.node).expect("looked up above");
        node.out.as_mut().expect("checked above").phase = confirming;
        self.changed()
    }

    pub(super) fn confirmed(
        &mut self,
        plan: PlanId,
        step: Epoch,
        member: Member,
        digest: Digest,
        at_ms: u64,
    ) -> Result {
        self.active_plan(plan)?;
        if self.step_ended(step, &StepState::Confirmed) {
            return Ok(Applied::Unchanged);
        }
        let node = self.stepping(member, step)?;
        if node.release.digest != digest || node.out.as_ref().is_none_or(|o| o.target.digest != digest) {
            return Err(Rejection::NotOnTarget { node: member.node });
        }
        // Two-sided: the node makes a trial final only after the leader has accepted it.
        if node.out.as_ref().is_none_or(|o| o.phase == TrialPhase::Told) {
            return Err(Rejection::TrialNotAccepted { node: member.node, step });
        }
        self.end_step(member.node, step, StepState::Confirmed, at_ms);
        self.changed()
    }

    pub(super) fn step_failed(
        &mut self,
        plan: PlanId,
        step: Epoch,
        member: Member,
        reason: &Reason,
        verdict: Verdict,
        at_ms: u64,
    ) -> Result {
        self.active_plan(plan)?;
        let state = match verdict {
            Verdict::Failed => StepState::Failed { reason: reason.clone() },
            Verdict::Inconclusive => StepState::Inconclusive { reason: reason.clone() },
        };
        if self.step_ended(step, &state) {
            return Ok(Applied::Unchanged);
        }
        // The step's own: the plan may have been turned round since.
        let node = self.stepping(member, step)?;
        let target = node.out.as_ref().map(|out| out.target.clone()).ok_or(Rejection::NoPlan)?;
        if node.release.digest == target.digest {
            return Err(Rejection::StillOnTarget { node: member.node });
        }
        let (node, reason) = (member.node, reason.clone());
        let held = match verdict {
            Verdict::Failed => {
                if self.active_plan(plan)?.wanted().digest == target.digest {
                    self.decline(reason.clone());
                }
                let Release { version, digest } = target;
                self.quarantined.insert(digest, Quarantine { version, node, reason: reason.clone() });
                HoldReason::StepFailed { node, reason }
            }
            Verdict::Inconclusive => HoldReason::StepInconclusive { node, reason },
        };
        self.end_step(node, step, state, at_ms);
        // The first reason stays: what follows from it says less.
        match self.active_plan(plan)?.phase {
            Phase::Held { reason: HoldReason::StepFailed { .. } } | Phase::TurningBack { .. } => {
                self.changed()
            }
            Phase::Held { .. } | Phase::Staging | Phase::Rolling | Phase::Paused | Phase::Soaking { .. } => {
                self.set_phase(Phase::Held { reason: held })
            }
        }
    }

    /// The nodes that are out stay out, of no plan any more: what becomes of their trials is not known here.
    pub(super) fn set_steps_aside(&mut self, at_ms: u64) {
        let mut aside = Vec::new();
        for node in self.nodes.values_mut() {
            if let Some(out) = &mut node.out {
                out.phase = TrialPhase::SetAside;
                aside.push(out.epoch);
            }
        }
        let steps = self.plan.iter_mut().flat_map(|plan| &mut plan.steps);
        for record in steps.filter(|record| aside.contains(&record.epoch)) {
            record.state = StepState::SetAside;
            record.ended_at_ms = Some(at_ms);
        }
    }

    pub(super) fn rejoin(&mut self, step: Epoch, member: Member) -> Result {
        match self.stepping(member, step)?.out.as_ref().map(|out| out.phase) {
            Some(TrialPhase::SetAside) => {}
            Some(TrialPhase::Told | TrialPhase::Confirming { .. }) | None => {
                return Err(Rejection::StepInFlight { node: member.node });
            }
        }
        self.fresh_epoch();
        self.nodes.get_mut(&member.node).expect("looked up above").out = None;
        self.changed()
    }

    pub(super) fn end_step(&mut self, node: NodeId, step: Epoch, state: StepState, at_ms: u64) {
        self.fresh_epoch();
        if let Some(node) = self.nodes.get_mut(&node) {
            node.out = None;
        }
        let record = self.plan.as_mut().and_then(|p| p.steps.iter_mut().find(|s| s.epoch == step));
        if let Some(record) = record {
            record.state = state;
            record.ended_at_ms = Some(at_ms);
        }
    }

    pub(super) fn step_ended(&self, step: Epoch, state: &StepState) -> bool {
        self.plan.as_ref().is_some_and(|p| p.steps.iter().any(|s| s.epoch == step && s.state == *state))
    }

    pub(super) fn stepping(&self, member: Member, step: Epoch) -> Result<&Node> {
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.out.as_ref().is_none_or(|o| o.epoch != step) {
            return Err(Rejection::NoSuchStep { node: member.node, step });
        }
        if node.incarnation != member.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        Ok(node)
    }
}

/// How a step failed.
#[derive(Clone, Copy)]
pub(super) enum Verdict {
    /// The release is at fault: it is quarantined.
    Failed,
    Inconclusive,
}
