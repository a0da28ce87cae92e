//! Changes of the in-sync set and of the acknowledgement mode: only the primary proposes them.

use super::{Result, stale};
use crate::plan::Plan;
use crate::rejection::{Applied, Rejection};
use crate::shard::AckMode;
use crate::state::ControlState;
use ironcache_types::{Epoch, Member, ShardId};

impl ControlState {
    pub(super) fn add_in_sync(
        &mut self,
        id: ShardId,
        isr_epoch: Epoch,
        primary: Member,
        member: Member,
    ) -> Result {
        self.check_set_change(id, isr_epoch, primary)?;
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.incarnation != member.incarnation {
            return Err(Rejection::StaleIncarnation {
                node: member.node,
                seen: member.incarnation,
                current: node.incarnation,
            });
        }
        if node.out.is_some() {
            return Err(Rejection::NodeOut { node: member.node });
        }
        if self.is_leaving(member.node) {
            return Err(Rejection::NodeLeaving { node: member.node });
        }
        let shard = &self.shards[&id];
        if !shard.nodes.contains(&member.node) {
            return Err(Rejection::NotAReplica { shard: id, member });
        }
        if shard.in_sync.contains(&member) {
            return Ok(Applied::Unchanged);
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.in_sync.insert(member);
        shard.isr_epoch = epoch;
        self.changed()
    }

    pub(super) fn remove_in_sync(
        &mut self,
        id: ShardId,
        isr_epoch: Epoch,
        primary: Member,
        member: Member,
    ) -> Result {
        self.check_set_change(id, isr_epoch, primary)?;
        if member == primary {
            return Err(Rejection::IsPrimary { shard: id, member });
        }
        if !self.shards[&id].in_sync.contains(&member) {
            return Ok(Applied::Unchanged);
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.in_sync.remove(&member);
        shard.isr_epoch = epoch;
        self.changed()
    }

    pub(super) fn set_mode(
        &mut self,
        id: ShardId,
        isr_epoch: Epoch,
        primary: Member,
        mode: AckMode,
    ) -> Result {
        self.check_set_change(id, isr_epoch, primary)?;
        if self.shards[&id].mode == mode {
            return Ok(Applied::Unchanged);
        }
        if mode == AckMode::Primary {
            if self.plan.as_ref().is_some_and(Plan::holds_mode) {
                return Err(Rejection::DuringPlan { what: "weakening the acknowledgement mode".to_owned() });
            }
            if let Some(keeper) = self.shards[&id].keeper {
                return Err(Rejection::KeepsShard { shard: id, node: keeper.member.node });
            }
            // A node that an aborted plan left out: what is acknowledged meanwhile has to be elsewhere.
            if let Some(node) = self.shards[&id].nodes.iter().find(|n| self.nodes[n].out.is_some()) {
                return Err(Rejection::NodeOut { node: *node });
            }
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.mode = mode;
        shard.isr_epoch = epoch;
        self.changed()
    }

    pub(super) fn check_set_change(&self, id: ShardId, isr_epoch: Epoch, primary: Member) -> Result<()> {
        let shard = self.shard(id)?;
        if !shard.is_primary(primary) {
            return Err(Rejection::NotPrimary { shard: id, member: primary });
        }
        if shard.isr_epoch != isr_epoch {
            return Err(stale(format!("the in-sync set of shard {id}"), isr_epoch, shard.isr_epoch));
        }
        if let Some(handover) = shard.handover {
            return Err(Rejection::HandoverInFlight { shard: id, handover: handover.epoch });
        }
        Ok(())
    }
}
