//! A person with the command line: stages a release, starts a plan, and deals with a plan that is held.

use crate::scenario::new;
use crate::world::World;
use ironcache_control::{Command, HoldReason, Phase, PlanOptions, ReleaseInfo};
use ironcache_types::{NodeId, WireRange};

impl World {
    pub fn operate(&mut self) {
        let Some(node) = self.leadership.as_ref().map(|l| l.leader) else { return };
        if !self.rng.chance(1, 20) {
            return;
        }
        let target = new();
        let command = match &self.truth.plan {
            _ if !self.truth.releases.contains_key(&target.digest) => {
                self.nodes.get_mut(&node).expect("it leads").held.insert(target.digest);
                Command::RegisterRelease {
                    info: ReleaseInfo {
                        release: target,
                        size_bytes: 9,
                        min_from: None,
                        wire: WireRange::CURRENT,
                    },
                }
            }
            None if self.truth.quarantined.is_empty() => self.start_plan(node),
            None => return,
            Some(plan) => {
                let id = plan.id;
                match &plan.phase {
                    Phase::Held { reason: HoldReason::StepFailed { .. } } => {
                        Command::Abort { plan: id, at_ms: self.now_ms }
                    }
                    // Whoever is out then is set aside until it is back.
                    Phase::Held { .. } | Phase::Paused if self.is_chaotic() && self.rng.chance(1, 3) => {
                        Command::Abort { plan: id, at_ms: self.now_ms }
                    }
                    Phase::Held { .. } | Phase::Paused => Command::Resume { plan: id },
                    Phase::Staging | Phase::Rolling if self.is_chaotic() && self.rng.chance(1, 10) => {
                        Command::Pause { plan: id }
                    }
                    Phase::Staging | Phase::Rolling => return,
                }
            }
        };
        self.propose(node, command);
    }

    fn start_plan(&self, leader: NodeId) -> Command {
        let options = PlanOptions { max_parallel: 8, settle_ms: 50, step_timeout_ms: 6_000 };
        Command::StartPlan { target: new().version, options, leader, at_ms: self.now_ms }
    }
}
