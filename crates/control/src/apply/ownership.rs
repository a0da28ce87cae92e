//! Starts of a primary that nobody planned.

use super::{Result, stale};
use crate::log_id::LogId;
use crate::rejection::{Applied, Rejection};
use crate::shard::{Ownership, Shard};
use crate::state::ControlState;
use ironcache_types::{Epoch, Member, Offset, ShardId};
use std::collections::BTreeSet;

impl ControlState {
    pub(super) fn failover(
        &mut self,
        at: LogId,
        id: ShardId,
        shard_epoch: Epoch,
        isr_epoch: Epoch,
        to: Member,
        term: u64,
    ) -> Result {
        let shard = self.shard(id)?;
        if shard.epoch != shard_epoch {
            return Err(stale(format!("shard {id}"), shard_epoch, shard.epoch));
        }
        if shard.isr_epoch != isr_epoch {
            return Err(stale(format!("the in-sync set of shard {id}"), isr_epoch, shard.isr_epoch));
        }
        match shard.ownership {
            Ownership::Recovering { .. } => {}
            Ownership::Serving(_) if term == at.term => {}
            Ownership::Serving(_) => {
                return Err(Rejection::OtherTerm { shard: id, proposed: term, entry: at.term });
            }
        }
        if shard.is_primary(to) {
            return Err(Rejection::IsPrimary { shard: id, member: to });
        }
        if !shard.in_sync.contains(&to) {
            return Err(Rejection::NotInSync { shard: id, member: to });
        }
        if self.nodes.get(&to.node).is_some_and(|node| node.out.is_some()) {
            return Err(Rejection::NodeOut { node: to.node });
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.begin_ownership(to, epoch, None);
        // The others prove themselves again: what each holds of the old epoch is not known here.
        shard.in_sync = BTreeSet::from([to]);
        self.changed()
    }

    pub(super) fn reclaim(&mut self, id: ShardId, shard_epoch: Epoch, member: Member, end: Offset) -> Result {
        let shard = self.recovering(id, shard_epoch)?;
        let Ownership::Recovering { last } = shard.ownership else {
            return Err(Rejection::StillServing { shard: id });
        };
        let registered = self.nodes.get(&member.node).map(|n| n.incarnation);
        if last.node != member.node || registered != Some(member.incarnation) || !shard.in_sync.is_empty() {
            return Err(Rejection::NotInSync { shard: id, member });
        }
        if self.nodes[&member.node].out.is_some() {
            return Err(Rejection::NodeOut { node: member.node });
        }
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.begin_ownership(member, epoch, Some(end));
        shard.in_sync = BTreeSet::from([member]);
        self.changed()
    }

    pub(super) fn primary_ready(&mut self, id: ShardId, epoch: Epoch, start: Offset) -> Result {
        let shard = self.shard_mut(id)?;
        match shard.lineage.iter_mut().find(|entry| entry.epoch == epoch) {
            Some(entry) if entry.start.is_none() => entry.start = Some(start),
            Some(_) => return Ok(Applied::Unchanged),
            None => {
                let current = shard.epoch;
                return Err(stale(format!("shard {id}"), epoch, current));
            }
        }
        self.changed()
    }

    pub(super) fn recovering(&self, id: ShardId, shard_epoch: Epoch) -> Result<&Shard> {
        let shard = self.shard(id)?;
        if shard.epoch != shard_epoch {
            return Err(stale(format!("shard {id}"), shard_epoch, shard.epoch));
        }
        match shard.ownership {
            Ownership::Recovering { .. } => Ok(shard),
            Ownership::Serving(_) => Err(Rejection::StillServing { shard: id }),
        }
    }
}
