//! Starts of a primary that nobody planned.

use super::{Result, stale};
use crate::log_id::LogId;
use crate::rejection::{Applied, Rejection};
use crate::shard::{Ownership, Shard};
use crate::state::{ControlState, Node};
use ironcache_types::{Epoch, Incarnation, Member, Offset, ShardId};
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
        shard.check_deposable(at, term)?;
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

    /// Whoever is in the set besides: it holds a part of what the last owner wrote down when it stopped. So the set does
    /// not stand in the way, and neither does a member of it that never returns.
    pub(super) fn reclaim(
        &mut self,
        id: ShardId,
        shard_epoch: Epoch,
        member: Member,
        of: Incarnation,
        end: Offset,
    ) -> Result {
        let shard = self.recovering(id, shard_epoch)?;
        let Ownership::Recovering { last, lease: _ } = shard.ownership else {
            return Err(Rejection::StillServing { shard: id });
        };
        if last != (Member { node: member.node, incarnation: of }) {
            return Err(Rejection::NotInSync { shard: id, member });
        }
        shard.check_start(end)?;
        let node = self.registered(member)?;
        if node.out.is_some() {
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
        match shard.lineage.iter().find(|entry| entry.epoch == epoch).map(|entry| entry.start) {
            // Where an earlier primary began is of no use to anybody, and may be above where the present one did.
            Some(None) if epoch == shard.epoch => {
                shard.cut_lineage(Some(start));
                let own = shard.lineage.iter_mut().filter(|entry| entry.epoch == epoch);
                own.for_each(|entry| entry.start = Some(start));
                self.changed()
            }
            Some(Some(_)) => Ok(Applied::Unchanged),
            Some(None) | None => Err(stale(format!("shard {id}"), epoch, shard.epoch)),
        }
    }

    /// The node of `member`, if that is its registered life.
    pub(super) fn registered(&self, member: Member) -> Result<&Node> {
        let node = self.nodes.get(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.incarnation == member.incarnation {
            return Ok(node);
        }
        let (seen, current) = (member.incarnation, node.incarnation);
        Err(Rejection::StaleIncarnation { node: member.node, seen, current })
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

impl Shard {
    /// May somebody else become its owner, by an entry that names `term`?
    pub(super) fn check_deposable(&self, at: LogId, term: u64) -> Result<()> {
        match self.may_answer() {
            None => Ok(()),
            Some(_) if term == at.term => Ok(()),
            Some(_) => Err(Rejection::OtherTerm { shard: self.id, proposed: term, entry: at.term }),
        }
    }

    /// Whoever begins with all that was acknowledged begins at or above where its predecessor did.
    pub(super) fn check_start(&self, offset: Offset) -> Result<()> {
        let start = self.last_start();
        if offset < start {
            return Err(Rejection::BelowStart { shard: self.id, offset, start });
        }
        Ok(())
    }
}
