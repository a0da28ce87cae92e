//! A plan that is turned round: it goes back to where it came from, under the same gates.
//!
//! ```text
//!   staging, rolling, paused, held, soaking ── Rollback ─> turning back ── TurnBack ─> staging (back) ─> …
//! ```
//! *Invariant:* the plan is turned round only when nobody is out and no handover is in flight: what was begun for the
//! one release has come to its end before a step to the other begins.

use super::Result;
use crate::plan::{Direction, Phase, Plan};
use crate::reason::Reason;
use crate::rejection::{NoRollback, Rejection};
use crate::state::{ControlState, Declined};
use ironcache_types::{Epoch, NodeId, PlanId};

impl ControlState {
    /// What stands against turning `plan` round, for good or for now; empty if it could be.
    pub fn rollback_blockers(&self, plan: &Plan) -> Option<NoRollback> {
        let origin = plan.before();
        let version = || origin.version.clone();
        if self.quarantined.contains_key(&origin.digest) {
            return Some(NoRollback::OriginQuarantined { version: version() });
        }
        match self.releases.get(&origin.digest) {
            None => Some(NoRollback::OriginUnknown { version: version() }),
            Some(info) if !info.levels.admits(self.cluster_level) => Some(NoRollback::OriginCannotRead {
                version: version(),
                admits: info.levels,
                level: self.cluster_level,
            }),
            Some(_) => None,
        }
    }

    pub(super) fn rollback(&mut self, id: PlanId, plan_epoch: Epoch, reason: &Reason) -> Result {
        let plan = self.plan_at(id, plan_epoch)?;
        if plan.goes_back() {
            return Err(Rejection::GoesBack);
        }
        match plan.phase {
            Phase::TurningBack { .. } => {
                return Err(Rejection::NoRollback { why: NoRollback::TurningBack });
            }
            Phase::Staging | Phase::Rolling | Phase::Paused | Phase::Held { .. } | Phase::Soaking { .. } => {}
        }
        if let Some(why) = self.rollback_blockers(plan) {
            return Err(Rejection::NoRollback { why });
        }
        self.decline(reason.clone());
        self.set_phase(Phase::TurningBack { reason: reason.clone() })
    }

    pub(super) fn turn_back(&mut self, id: PlanId, plan_epoch: Epoch, leader: NodeId) -> Result {
        let plan = self.plan_at(id, plan_epoch)?;
        let Phase::TurningBack { reason } = plan.phase.clone() else {
            return Err(self.wrong_phase("turning back"));
        };
        self.check_node(leader)?;
        let refuse = |why| Err(Rejection::NoRollback { why });
        if let Some(node) = self.nodes.values().find(|n| n.out.is_some()) {
            return refuse(NoRollback::NodeOut { node: node.id });
        }
        if let Some(shard) = self.shards.values().find(|s| s.handover.is_some()) {
            return refuse(NoRollback::HandoverInFlight { shard: shard.id });
        }
        let start_primaries = self.primaries();
        let epoch = self.fresh_epoch();
        let plan = self.plan.as_mut().ok_or(Rejection::NoPlan)?;
        std::mem::swap(&mut plan.origin, &mut plan.target);
        plan.direction = Direction::Back { reason };
        plan.turn = epoch;
        plan.start_leader = leader;
        plan.start_primaries = start_primaries;
        self.set_phase(Phase::Staging)
    }

    /// The policy does not start the active plan's release again.
    pub(super) fn decline(&mut self, reason: Reason) {
        let Some(plan) = &self.plan else { return };
        let (wanted, plan) = (plan.wanted().clone(), plan.id);
        self.declined.insert(wanted.digest, Declined { version: wanted.version, plan, reason });
    }
}
