//! Planned promotions.

use super::{Result, stale};
use crate::plan::{HandoverRecord, Phase, Plan};
use crate::rejection::{Applied, Rejection};
use crate::shard::{Handover, HandoverVia, Shard};
use crate::state::ControlState;
use ironcache_types::{Epoch, Member, NodeId, Offset, PlanId, ShardId};
use std::collections::BTreeSet;

impl ControlState {
    pub(super) fn begin_handover(
        &mut self,
        log_index: u64,
        id: ShardId,
        shard_epoch: Epoch,
        from: Member,
        to: Member,
        plan: Option<PlanId>,
    ) -> Result {
        let shard = self.shard(id)?;
        if shard.epoch != shard_epoch {
            return Err(stale(format!("shard {id}"), shard_epoch, shard.epoch));
        }
        if let Some(handover) = shard.handover {
            return Err(Rejection::HandoverInFlight { shard: id, handover: handover.epoch });
        }
        if !shard.is_primary(from) {
            return Err(Rejection::NotPrimary { shard: id, member: from });
        }
        if from == to {
            return Err(Rejection::IsPrimary { shard: id, member: to });
        }
        if !shard.in_sync.contains(&to) {
            return Err(Rejection::NotInSync { shard: id, member: to });
        }
        match (&self.plan, plan) {
            // The new owner's own tail would begin anew, and the one that is kept ends with the old owner.
            (Some(active), Some(plan)) if active.id == plan && shard.keeper.is_some() => {
                return Err(Rejection::KeeperRecorded { shard: id });
            }
            (Some(active), Some(plan)) if active.id == plan => {
                if !matches!(active.phase, Phase::Rolling) {
                    return Err(self.wrong_phase("rolling"));
                }
                let on_target = self.nodes[&to.node].release.digest == active.target.digest;
                if !on_target && !self.gives_back(active, shard, to.node) {
                    return Err(Rejection::NotOnTarget { node: to.node });
                }
            }
            // The primary's node is being stopped: whoever is in sync takes over, plan or none, whatever the phase. Refused,
            // the shard would be without a primary until that node is back. A plan then goes on as after a failover: the
            // plan-start primary stays the one that goes last, and takes its role back for that if it has to.
            (Some(_) | None, None) => {}
            (Some(_) | None, Some(plan)) => return Err(Rejection::OtherPlan { plan }),
        }
        let epoch = self.fresh_epoch();
        self.shard_mut(id)?.handover =
            Some(Handover { epoch, from, to, log_index, via: HandoverVia::Primary });
        self.changed()
    }

    pub(super) fn promote(
        &mut self,
        id: ShardId,
        handover: Epoch,
        to: Member,
        offset: Offset,
        in_sync: &BTreeSet<Member>,
    ) -> Result {
        let shard = self.shard(id)?;
        let flight = shard
            .handover
            .filter(|h| h.epoch == handover)
            .ok_or(Rejection::NoSuchHandover { shard: id, handover })?;
        if flight.to != to {
            return Err(Rejection::NotInSync { shard: id, member: to });
        }
        if self.nodes.get(&to.node).is_some_and(|node| node.out.is_some()) {
            return Err(Rejection::NodeOut { node: to.node });
        }
        shard.check_start(offset)?;
        let kept = match flight.via {
            HandoverVia::Primary => shard.set_after_promotion(to, in_sync)?,
            HandoverVia::Keeper => shard.check_tail_of(&flight, offset).map(|()| BTreeSet::from([to]))?,
        };
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.begin_ownership(to, epoch, Some(offset));
        shard.in_sync = kept;
        if let Some(plan) = &mut self.plan {
            plan.handovers.push(HandoverRecord {
                shard: id,
                from: flight.from.node,
                to: to.node,
                epoch,
                stall_us: None,
            });
        }
        self.changed()
    }

    pub(super) fn abort_handover(&mut self, id: ShardId, handover: Epoch) -> Result {
        let shard = self.shard(id)?;
        if shard.handover.is_none_or(|h| h.epoch != handover) {
            return Err(Rejection::NoSuchHandover { shard: id, handover });
        }
        self.fresh_epoch();
        self.shard_mut(id)?.handover = None;
        self.changed()
    }

    pub(super) fn report_handover(&mut self, id: ShardId, epoch: Epoch, stall_us: u64) -> Result {
        self.shard(id)?;
        let ended = self.history.back_mut().map(|h| &mut h.plan);
        let record = self
            .plan
            .as_mut()
            .into_iter()
            .chain(ended)
            .flat_map(|plan| plan.handovers.iter_mut())
            .find(|h| h.shard == id && h.epoch == epoch);
        match record {
            Some(record) if record.stall_us.is_none() => {
                record.stall_us = Some(stall_us);
                self.changed()
            }
            // By hand, or reported before: there is nothing to keep.
            Some(_) | None => Ok(Applied::Unchanged),
        }
    }

    /// A failover may have left the plan-start primary as a mere replica. While no node of the shard runs
    /// the target, it may take its role back: it has to go last (I5), so the present primary has to be free
    /// to go before it.
    fn gives_back(&self, plan: &Plan, shard: &Shard, to: NodeId) -> bool {
        let on_target = |n: &NodeId| self.nodes[n].release.digest == plan.target.digest;
        plan.start_primaries.get(&shard.id) == Some(&to) && !shard.nodes.iter().any(on_target)
    }
}

impl Shard {
    /// The set that `to` begins with. Nobody gets in by this door who was not in sync before; and a planned promotion is
    /// no reason to go on with one copy where there were two.
    fn set_after_promotion(&self, to: Member, in_sync: &BTreeSet<Member>) -> Result<BTreeSet<Member>> {
        if !self.in_sync.contains(&to) {
            return Err(Rejection::NotInSync { shard: self.id, member: to });
        }
        let kept: BTreeSet<Member> =
            self.in_sync.iter().copied().filter(|m| *m == to || in_sync.contains(m)).collect();
        match self.in_sync.iter().find(|member| !kept.contains(member)) {
            Some(left) if kept.len() < 2 => Err(Rejection::LeftAlone { shard: self.id, member: *left }),
            Some(_) | None => Ok(kept),
        }
    }

    /// Does what the keeper of `flight` handed over reach up to `offset`? The record has to be the one that it began with.
    fn check_tail_of(&self, flight: &Handover, offset: Offset) -> Result<()> {
        let id = self.id;
        let keeper = self.keeper_that_counts().filter(|keeper| keeper.member == flight.from);
        let keeper = keeper.ok_or(Rejection::NoKeeper { shard: id })?;
        if offset < keeper.from {
            return Err(Rejection::BelowStart { shard: id, offset, start: keeper.from });
        }
        Ok(())
    }
}
