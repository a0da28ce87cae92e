//! A plan's life: accepted or refused, rolling, paused, held, ended.

use super::{Result, stale};
use crate::plan::{HistoryEntry, HoldReason, Outcome, Phase, Plan, PlanOptions};
use crate::rejection::{Applied, Rejection};
use crate::shard::AckMode;
use crate::state::ControlState;
use ironcache_types::{Epoch, NodeId, PlanId, Release, Version};

impl ControlState {
    /// Could a plan to `target` start now? The release it would roll out, or what stands against it.
    ///
    /// # Errors
    /// The guardrail that refuses.
    pub fn check_plan(&self, target: &Version) -> Result<Release> {
        if let Some(plan) = &self.plan {
            return Err(Rejection::PlanActive {
                plan: plan.id,
                target: plan.target.version.clone(),
                phase: plan.phase.to_string(),
            });
        }
        if self.nodes.values().all(|n| n.release.version == *target) && !self.nodes.is_empty() {
            return Err(Rejection::SameVersion { version: target.clone() });
        }
        let info = self
            .release_by_version(target)
            .ok_or_else(|| Rejection::UnknownRelease { version: target.clone() })?;
        let release = &info.release;
        self.refuse_quarantined(release.digest)?;
        if let Some(min_from) = &info.min_from
            && let Some(node) = self.nodes.values().find(|n| n.release.version < *min_from)
        {
            return Err(Rejection::TooOld {
                version: target.clone(),
                min_from: Box::new(min_from.clone()),
                node: node.id,
                runs: Box::new(node.release.version.clone()),
            });
        }
        if let Some(node) = self.nodes.values().find(|n| n.out.is_some()) {
            return Err(Rejection::NodeOut { node: node.id });
        }
        if !info.wire.contains(self.cluster_level) {
            return Err(Rejection::CannotRead {
                version: target.clone(),
                reads: info.wire,
                level: self.cluster_level,
            });
        }
        if self.nodes.len() == 1 {
            return Err(Rejection::SingleNode);
        }
        let (voters, majority) = (self.voters().count(), self.majority());
        if voters - 1 < majority {
            return Err(Rejection::NoQuorumToSpare { voters, left: voters - 1, majority });
        }
        for shard in self.shards.values() {
            if shard.nodes.len() < 2 {
                return Err(Rejection::NoReplica { shard: shard.id });
            }
            if shard.primary().is_none() {
                return Err(Rejection::Recovering { shard: shard.id });
            }
        }
        Ok(release.clone())
    }

    pub(super) fn start_plan(
        &mut self,
        target: &Version,
        options: PlanOptions,
        leader: NodeId,
        at_ms: u64,
    ) -> Result {
        let target = self.check_plan(target)?;
        let epoch = self.fresh_epoch();
        let id = PlanId(self.last_plan.0 + 1);
        let start_primaries =
            self.shards.values().filter_map(|s| s.primary().map(|p| (s.id, p.node))).collect();
        self.last_plan = id;
        self.plan = Some(Plan {
            id,
            from: self.common_version(),
            target,
            options,
            phase: Phase::Staging,
            epoch,
            start_leader: leader,
            start_primaries,
            steps: Vec::new(),
            handovers: Vec::new(),
            started_at_ms: at_ms,
        });
        Ok(Applied::PlanStarted { plan: id })
    }

    pub(super) fn begin_rolling(&mut self, plan: PlanId, plan_epoch: Epoch) -> Result {
        let active = self.plan_at(plan, plan_epoch)?;
        let digest = active.target.digest;
        if active.phase != Phase::Staging {
            return Err(self.wrong_phase("staging"));
        }
        if let Some(node) =
            self.nodes.values().find(|n| !n.staged.contains(&digest) && n.release.digest != digest)
        {
            return Err(Rejection::NotStaged { node: node.id });
        }
        if let Some(shard) = self.shards.values().find(|s| s.mode != AckMode::InSync) {
            return Err(Rejection::ModeTooWeak { shard: shard.id });
        }
        self.set_phase(Phase::Rolling)
    }

    pub(super) fn hold(&mut self, plan: PlanId, plan_epoch: Epoch, reason: &HoldReason) -> Result {
        self.plan_at(plan, plan_epoch)?;
        self.set_phase(Phase::Held { reason: reason.clone() })
    }

    pub(super) fn pause(&mut self, plan: PlanId) -> Result {
        match self.active_plan(plan)?.phase {
            Phase::Paused => Ok(Applied::Unchanged),
            Phase::Staging | Phase::Rolling => self.set_phase(Phase::Paused),
            Phase::Held { .. } => Err(self.wrong_phase("staging or rolling")),
        }
    }

    pub(super) fn resume(&mut self, plan: PlanId) -> Result {
        let active = self.active_plan(plan)?;
        let target = active.target.clone();
        match &active.phase {
            Phase::Staging | Phase::Rolling => Ok(Applied::Unchanged),
            Phase::Paused | Phase::Held { .. } => {
                self.refuse_quarantined(target.digest)?;
                // Staging again: its gates are the ones to pass before any step.
                self.set_phase(Phase::Staging)
            }
        }
    }

    pub(super) fn abort(&mut self, plan: PlanId, at_ms: u64) -> Result {
        let active = self.active_plan(plan)?;
        let out = self.nodes.values().find(|n| n.out.is_some()).map(|n| n.id);
        match (&active.phase, out) {
            // A node that may be lost must not keep the plan for ever: whoever stopped the plan may end it without.
            (Phase::Held { .. } | Phase::Paused, Some(_)) => self.set_steps_aside(at_ms),
            (Phase::Staging | Phase::Rolling, Some(node)) => return Err(Rejection::StepInFlight { node }),
            (Phase::Staging | Phase::Rolling | Phase::Paused | Phase::Held { .. }, None) => {}
        }
        self.end_plan(Outcome::Aborted, at_ms)
    }

    pub(super) fn finalize(&mut self, plan: PlanId, plan_epoch: Epoch, at_ms: u64) -> Result {
        let active = self.plan_at(plan, plan_epoch)?;
        let digest = active.target.digest;
        if active.phase != Phase::Rolling {
            return Err(self.wrong_phase("rolling"));
        }
        if let Some(node) = self.nodes.values().find(|n| n.release.digest != digest) {
            return Err(Rejection::NotOnTarget { node: node.id });
        }
        if let Some(node) = self.nodes.values().find(|n| n.out.is_some()) {
            return Err(Rejection::NodeOut { node: node.id });
        }
        self.cluster_level =
            self.nodes.values().map(|n| n.wire.max).min().unwrap_or(0).max(self.cluster_level);
        self.end_plan(Outcome::Finalized, at_ms)
    }

    pub(super) fn end_plan(&mut self, outcome: Outcome, ended_at_ms: u64) -> Result {
        let mut plan = self.plan.take().ok_or(Rejection::NoPlan)?;
        plan.epoch = self.fresh_epoch();
        self.history.push_back(HistoryEntry { plan, outcome, ended_at_ms });
        while self.history.len() > Self::HISTORY_MAX {
            self.history.pop_front();
        }
        self.changed()
    }

    pub(super) fn active_plan(&self, id: PlanId) -> Result<&Plan> {
        match &self.plan {
            None => Err(Rejection::NoPlan),
            Some(plan) if plan.id == id => Ok(plan),
            Some(_) => Err(Rejection::OtherPlan { plan: id }),
        }
    }

    pub(super) fn plan_at(&self, id: PlanId, epoch: Epoch) -> Result<&Plan> {
        let plan = self.active_plan(id)?;
        if plan.epoch != epoch {
            return Err(stale(format!("plan {id}"), epoch, plan.epoch));
        }
        Ok(plan)
    }

    pub(super) fn wrong_phase(&self, wanted: &str) -> Rejection {
        let phase = self.plan.as_ref().map_or_else(|| "gone".to_owned(), |p| p.phase.to_string());
        Rejection::WrongPhase { phase, wanted: wanted.to_owned() }
    }

    pub(super) fn set_phase(&mut self, phase: Phase) -> Result {
        let epoch = self.fresh_epoch();
        let plan = self.plan.as_mut().ok_or(Rejection::NoPlan)?;
        plan.phase = phase;
        plan.epoch = epoch;
        self.changed()
    }

    /// The version that most nodes run.
    pub(super) fn common_version(&self) -> Version {
        let count = |v: &Version| self.nodes.values().filter(|n| n.release.version == *v).count();
        self.nodes
            .values()
            .map(|n| &n.release.version)
            .max_by_key(|v| count(v))
            .cloned()
            .unwrap_or(Version::new(0, 0, 0))
    }
}
