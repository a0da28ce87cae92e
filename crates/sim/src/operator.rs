//! A person with the command line: stages a release, starts a plan, and deals with a plan that is held.

use crate::scenario::{info, new, old};
use crate::world::World;
use ironcache_control::{Command, HoldReason, OnFailure, Outcome, Phase, Reason, StartedBy};
use ironcache_types::NodeId;

impl World {
    pub(crate) fn operate(&mut self) {
        let Some(node) = self.leadership.as_ref().map(|l| l.leader) else { return };
        if !self.rng.chance(1, 20) {
            return;
        }
        let (target, at_ms) = (new(), self.wall_ms(node));
        let command = match &self.truth.plan {
            _ if !self.truth.releases.contains_key(&target.digest) => {
                self.nodes.get_mut(&node).expect("it leads").held.insert(target.digest);
                Command::RegisterRelease { info: info(target) }
            }
            // Once everybody was taken back, that is where they stay.
            None if self.truth.quarantined.is_empty() && !self.stays_back() => self.start_plan(node),
            None => return,
            Some(plan) => {
                let id = plan.id;
                if self.scenario.turns_back && self.is_chaotic() && !plan.goes_back() && self.rng.chance(1, 6)
                {
                    let (plan, plan_epoch) = (id, plan.epoch);
                    let reason = Reason::new("operator", "second thoughts");
                    return self.propose(node, Command::Rollback { plan, plan_epoch, reason });
                }
                match &plan.phase {
                    // Killed three times on its trial, the old release is blamed too: nothing is left to go to.
                    Phase::Held { reason: HoldReason::StepFailed { .. } }
                        if plan.goes_back() && self.truth.quarantined.contains_key(&plan.target.digest) =>
                    {
                        Command::Abort { plan: id, at_ms }
                    }
                    Phase::Held { reason: HoldReason::StepFailed { .. } } if plan.goes_back() => {
                        Command::Resume { plan: id }
                    }
                    Phase::Held { reason: HoldReason::StepFailed { .. } } => match plan.options.on_failure {
                        // The leader does it.
                        OnFailure::Rollback => return,
                        OnFailure::Hold => Command::Abort { plan: id, at_ms },
                    },
                    // Whoever is out then is set aside until it is back.
                    Phase::Held { .. } | Phase::Paused if self.is_chaotic() && self.rng.chance(1, 3) => {
                        Command::Abort { plan: id, at_ms }
                    }
                    Phase::Held { .. } | Phase::Paused => Command::Resume { plan: id },
                    Phase::Staging | Phase::Rolling if self.is_chaotic() && self.rng.chance(1, 10) => {
                        Command::Pause { plan: id }
                    }
                    Phase::Staging | Phase::Rolling | Phase::TurningBack { .. } | Phase::Soaking { .. } => {
                        return;
                    }
                }
            }
        };
        self.propose(node, command);
    }

    fn start_plan(&self, leader: NodeId) -> Command {
        let (options, started_by) = (self.truth.policy.plan_options(), StartedBy::Operator);
        Command::StartPlan { target: new(), options, leader, started_by, at_ms: self.wall_ms(leader) }
    }

    /// Everybody was taken back, and is there. (A command can be committed twice: a plan may start again after one was
    /// rolled back, and be given up half way.)
    pub(crate) fn stays_back(&self) -> bool {
        self.truth.all_on(old().digest)
            && self.truth.history.iter().any(|ended| ended.outcome == Outcome::RolledBack)
    }
}
