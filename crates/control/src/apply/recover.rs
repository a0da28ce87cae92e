//! A shard that lost every member of its set goes on with what is left.
//!
//! ```text
//!   recovering, or served by an owner whose lease is over; nobody of the set alive
//!     ── Recover{to, at} ─► serving(to), which holds everything below `at`; the rest is a known loss
//! ```
//! The only start of a primary that may lack what was acknowledged (I3), and so it says what it gives up: the set as its
//! proposer saw it, member by member. `at` may lie below where the last primary began. Then the starts above it go:
//! what is held elsewhere of those epochs is of a branch that is cut off, and its holders take a full sync.
//!
//! *Invariant:* an owner that may still run is deposed in the term only whose leader waited for the end of its lease.
//! *Invariant:* by itself nobody gives up a tail that a registered keeper holds, and that continues what `to` has. A tail
//! that nobody reaches helps nobody.
//! *Invariant:* every accepted one stands in [`Shard::losses`].

use super::{Result, stale};
use crate::command::Recover;
use crate::log_id::LogId;
use crate::policy::OnTotalLoss;
use crate::rejection::Rejection;
use crate::shard::{KeeperBase, RecoveredBy, Recovery, Shard};
use crate::state::ControlState;
use ironcache_types::{Member, Offset};
use std::collections::BTreeSet;

impl ControlState {
    pub(super) fn recover(&mut self, entry: LogId, recover: &Recover) -> Result {
        let Recover {
            shard: id,
            shard_epoch,
            isr_epoch,
            to,
            at,
            lost_bytes_min,
            given_up,
            term,
            by,
            at_ms,
            as_of_ms,
        } = recover;
        let shard = self.shard(*id)?;
        if shard.epoch != *shard_epoch {
            return Err(stale(format!("shard {id}"), *shard_epoch, shard.epoch));
        }
        shard.check_deposable(entry, *term)?;
        if shard.isr_epoch != *isr_epoch {
            return Err(stale(format!("the in-sync set of shard {id}"), *isr_epoch, shard.isr_epoch));
        }
        let node = self.registered(*to)?;
        if !shard.nodes.contains(&to.node) {
            return Err(Rejection::NotAReplica { shard: *id, member: *to });
        }
        if shard.in_sync.contains(to) {
            return Err(Rejection::TakesOver { shard: *id, member: *to });
        }
        if node.out.is_some() {
            return Err(Rejection::NodeOut { node: to.node });
        }
        if who_could_take_over(shard) != *given_up {
            return Err(Rejection::GivenUp { shard: *id });
        }
        match by {
            RecoveredBy::Operator => {}
            RecoveredBy::Policy => self.check_recovery_by_policy(shard, *at)?,
        }
        // The log knows as well how far the stream had come.
        let bytes_min = (*lost_bytes_min).max(shard.last_start().0.saturating_sub(at.0));
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(*id)?;
        // The new owner publishes where it began: what reached it from the last one after it said what it holds counts too.
        shard.cut_lineage(Some(*at));
        shard.begin_ownership(*to, epoch, None);
        shard.in_sync = BTreeSet::from([*to]);
        let (to, at, given_up, by, at_ms, as_of_ms) = (*to, *at, given_up.clone(), *by, *at_ms, *as_of_ms);
        shard.losses.note(Recovery { epoch, to, at, bytes_min, given_up, by, at_ms, as_of_ms });
        self.changed()
    }

    /// A node that is out may come back with more than whoever is there now, so only an operator goes on without it.
    fn check_recovery_by_policy(&self, shard: &Shard, at: Offset) -> Result<()> {
        match self.policy.on_total_loss {
            OnTotalLoss::ServeWhatIsLeft => {}
            OnTotalLoss::Wait => return Err(Rejection::LossNotAccepted { shard: shard.id }),
        }
        if let Some(node) = shard.nodes.iter().find(|n| self.nodes.get(n).is_some_and(|n| n.out.is_some())) {
            return Err(Rejection::NodeOut { node: *node });
        }
        // With a tail that reaches the best of what is left nothing is lost: it is handed over instead.
        let keeper = shard.keeper_that_counts().filter(|keeper| self.registered(keeper.member).is_ok());
        let reaches = |from: Offset, base| match base {
            KeeperBase::Own => true,
            KeeperBase::Leaver => at >= from,
        };
        match keeper.filter(|keeper| reaches(keeper.from, keeper.base)) {
            Some(keeper) => Err(Rejection::KeepsTail { shard: shard.id, member: keeper.member }),
            None => Ok(()),
        }
    }
}

/// Everybody with whom the shard could go on without a loss: the set, and who keeps the tail of its stream.
fn who_could_take_over(shard: &Shard) -> BTreeSet<Member> {
    shard.in_sync.iter().copied().chain(shard.keeper.map(|keeper| keeper.member)).collect()
}
