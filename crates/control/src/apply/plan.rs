//! A plan's life once it has started: rolling, paused, held, soaking, ended.

use super::{Result, stale};
use crate::plan::{Direction, HistoryEntry, HoldReason, Outcome, Phase, Plan};
use crate::reason::Reason;
use crate::rejection::{Applied, Rejection};
use crate::shard::AckMode;
use crate::state::{ControlState, Declined, Node, Preflight, Unfinished};
use ironcache_types::{Epoch, Level, PlanId};

impl ControlState {
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
        let (turn, goes_on) = (active.turn, |n: &&Node| n.release.digest != digest);
        for node in self.nodes.values().filter(goes_on) {
            match &node.preflight {
                Some(Preflight { digest: of, turn: at, problem }) if *of == digest && *at == turn => {
                    if let Some(reason) = problem {
                        return Err(Rejection::PreflightFailed { node: node.id, reason: reason.clone() });
                    }
                }
                Some(_) | None => return Err(Rejection::NotPreflighted { node: node.id }),
            }
        }
        if let Some(shard) = self.shards.values().find(|s| s.mode != AckMode::InSync) {
            return Err(Rejection::ModeTooWeak { shard: shard.id });
        }
        self.check_nobody_exposed()?;
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
            Phase::Held { .. } | Phase::TurningBack { .. } | Phase::Soaking { .. } => {
                Err(self.wrong_phase("staging or rolling"))
            }
        }
    }

    pub(super) fn resume(&mut self, plan: PlanId) -> Result {
        let active = self.active_plan(plan)?;
        let target = active.target.clone();
        match &active.phase {
            Phase::Staging | Phase::Rolling | Phase::TurningBack { .. } | Phase::Soaking { .. } => {
                Ok(Applied::Unchanged)
            }
            Phase::Paused | Phase::Held { .. } => {
                self.refuse_quarantined(target.digest)?;
                self.check_nobody_exposed()?;
                // Staging again: its gates are the ones to pass before any step.
                self.set_phase(Phase::Staging)
            }
        }
    }

    pub(super) fn abort(&mut self, plan: PlanId, at_ms: u64) -> Result {
        let active = self.active_plan(plan)?;
        let out = self.nodes.values().find(|n| n.out.is_some()).map(|n| n.id);
        match (&active.phase, out) {
            // Everybody runs the target: there is nothing left to abort.
            (Phase::Soaking { .. }, _) => {
                let (plan, target) = (active.id, active.target.version.clone());
                return Err(Rejection::Soaking { plan, target });
            }
            // A node that may be lost must not keep the plan for ever: whoever stopped the plan may end it without.
            (Phase::Held { .. } | Phase::Paused | Phase::TurningBack { .. }, Some(_)) => {
                self.set_steps_aside(at_ms);
            }
            (Phase::Staging | Phase::Rolling, Some(node)) => return Err(Rejection::StepInFlight { node }),
            (
                Phase::Staging
                | Phase::Rolling
                | Phase::Paused
                | Phase::Held { .. }
                | Phase::TurningBack { .. },
                None,
            ) => {}
        }
        self.end_plan(Outcome::Aborted, at_ms)
    }

    /// Every node runs the target and is confirmed: from here on the plan only waits to become final.
    pub(super) fn begin_soaking(&mut self, plan: PlanId, plan_epoch: Epoch, at_ms: u64) -> Result {
        let active = self.plan_at(plan, plan_epoch)?;
        if active.phase != Phase::Rolling {
            return Err(self.wrong_phase("rolling"));
        }
        if active.goes_back() {
            return Err(Rejection::GoesBack);
        }
        self.check_all_on_target(active)?;
        self.set_phase(Phase::Soaking { since_ms: at_ms, soaked_ms: 0 })
    }

    /// So much of the soak is over, as a leader counted. Each counts on from what the log said, so no entry says more than has
    /// passed, and the greatest of any number of them, in any order, holds. It draws no epoch: nothing else is void by it.
    pub(super) fn soaked(&mut self, plan: PlanId, plan_epoch: Epoch, ms: u64) -> Result {
        self.plan_at(plan, plan_epoch)?;
        let not_soaking = self.wrong_phase("soaking");
        let Some(Plan { phase: Phase::Soaking { soaked_ms, .. }, options, .. }) = &mut self.plan else {
            return Err(not_soaking);
        };
        // A plan that becomes final by command only soaks for no time that anybody counts.
        let ms = ms.min(options.finalize_after.soak_ms().unwrap_or(0));
        if ms <= *soaked_ms {
            return Ok(Applied::Unchanged);
        }
        *soaked_ms = ms;
        self.changed()
    }

    fn check_all_on_target(&self, plan: &Plan) -> Result<()> {
        if let Some(node) = self.nodes.values().find(|n| n.release.digest != plan.target.digest) {
            return Err(Rejection::NotOnTarget { node: node.id });
        }
        // Who is out has not said `Confirmed`, whatever it runs.
        match self.nodes.values().find(|n| n.out.is_some()) {
            Some(node) => Err(Rejection::NodeOut { node: node.id }),
            None => Ok(()),
        }
    }

    pub(super) fn finalize(&mut self, plan: PlanId, plan_epoch: Epoch, level: Level, at_ms: u64) -> Result {
        let active = self.plan_at(plan, plan_epoch)?;
        let outcome = match (&active.direction, &active.phase) {
            (Direction::Forward, Phase::Soaking { .. }) => Outcome::Finalized,
            (Direction::Back { .. }, Phase::Rolling) => Outcome::RolledBack,
            (_, Phase::Held { reason: HoldReason::StateMismatch { node, log_index } }) => {
                return Err(Rejection::HashDiffers { node: *node, log_index: *log_index });
            }
            (Direction::Forward, _) => return Err(self.wrong_phase("soaking")),
            (Direction::Back { .. }, _) => return Err(self.wrong_phase("rolling back")),
        };
        self.check_all_on_target(active)?;
        self.check_level(level, outcome)?;
        if outcome == Outcome::Finalized {
            let target = active.target.digest;
            self.declined.remove(&target);
        }
        self.raise_to(level);
        self.end_plan(outcome, at_ms)
    }

    /// May the level rise to `level`? Only to what every node admits, and on the way forward.
    fn check_level(&self, level: Level, outcome: Outcome) -> Result<()> {
        let stays = level == self.cluster_level;
        if level < self.cluster_level || (outcome == Outcome::RolledBack && !stays) {
            let (seen, state) = (level, self.cluster_level);
            return Err(Rejection::NotYet { level: seen, state });
        }
        match self.nodes.values().find(|n| !n.levels.admits(level)) {
            Some(node) => Err(Rejection::CannotRead {
                version: node.release.version.clone(),
                admits: node.levels,
                level,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn end_plan(&mut self, outcome: Outcome, ended_at_ms: u64) -> Result {
        let mut plan = self.plan.take().ok_or(Rejection::NoPlan)?;
        plan.epoch = self.fresh_epoch();
        match outcome {
            Outcome::Finalized | Outcome::RolledBack => self.unfinished = None,
            Outcome::Superseded => {}
            Outcome::Aborted => {
                let (origin, target) = (plan.before().clone(), plan.wanted().clone());
                let mixed = |n: &Node| n.release.digest != origin.digest || n.out.is_some();
                let declined = Reason::new("aborted", String::new());
                let declined = Declined { version: target.version.clone(), plan: plan.id, reason: declined };
                self.declined.insert(target.digest, declined);
                if self.nodes.values().any(mixed) {
                    self.unfinished = Some(Unfinished { origin, target });
                }
            }
        }
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
        let phase = self.plan.as_ref().map_or_else(|| "gone".to_owned(), Plan::phase_word);
        Rejection::WrongPhase { phase, wanted: wanted.to_owned() }
    }

    pub(super) fn set_phase(&mut self, phase: Phase) -> Result {
        let epoch = self.fresh_epoch();
        let plan = self.plan.as_mut().ok_or(Rejection::NoPlan)?;
        plan.phase = phase;
        plan.epoch = epoch;
        self.changed()
    }
}
