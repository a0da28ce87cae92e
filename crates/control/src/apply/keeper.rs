//! The keeper: no planned step leaves what was acknowledged in one process.
//!
//! ```text
//!   leader  ── WantKeeper{node} ──► the node attaches to the primary and takes its stream from `from` on
//!   primary ── SetKeeper{keeper} ─► its acknowledgement is required; now a step may leave one full member
//!   a member goes out, and comes back ─► leader: WantKeeper{none} ─► primary: SetKeeper{none}
//!
//!   the primary is gone meanwhile: leader ── BeginRecovery{to} ─► the keeper hands its tail over to `to`,
//!   which came back with everything below `from` ── Promote ─► it owns the shard, and nothing is lost
//! ```
//!
//! *Invariant:* while a node of a shard is out and fewer than two members hold what is acknowledged, somebody else keeps
//! the tail of it, or the shard is `exposed` and no further step begins (I22). [`ControlState::settle_exposure`] looks
//! after every command, whatever it was: who is lost, and by which entry, makes no difference.
//! *Invariant:* a keeper is a node of another shard or a witness, and belongs to the cluster: it is not taken out, and
//! does not leave.

use super::{Result, stale};
use crate::log_id::LogId;
use crate::plan::{HoldReason, Phase};
use crate::rejection::{Applied, Rejection};
use crate::shard::{Handover, HandoverVia, Keeper, KeeperBase, NewKeeper, Ownership, Shard};
use crate::state::ControlState;
use ironcache_types::{Epoch, Member, NodeId, Offset, ShardId};

impl ControlState {
    pub(super) fn want_keeper(&mut self, id: ShardId, shard_epoch: Epoch, node: Option<NodeId>) -> Result {
        let shard = self.shard(id)?;
        if shard.epoch != shard_epoch {
            return Err(stale(format!("shard {id}"), shard_epoch, shard.epoch));
        }
        if shard.keeper_wanted == node {
            return Ok(Applied::Unchanged);
        }
        if let Some(node) = node {
            self.check_could_keep(shard, node)?;
            if self.is_leaving(node) {
                return Err(Rejection::NodeLeaving { node });
            }
        }
        self.shard_mut(id)?.keeper_wanted = node;
        self.changed()
    }

    pub(super) fn set_keeper(
        &mut self,
        id: ShardId,
        isr_epoch: Epoch,
        primary: Member,
        keeper: Option<&NewKeeper>,
    ) -> Result {
        self.check_set_change(id, isr_epoch, primary)?;
        let shard = self.shard(id)?;
        let (next, is_dropped) = match keeper {
            Some(NewKeeper { member, from, base }) => {
                let next = Keeper { member: *member, epoch: shard.epoch, from: *from, base: *base };
                if shard.keeper == Some(next) {
                    return Ok(Applied::Unchanged);
                }
                self.check_no_change()?;
                self.registered(*member)?;
                self.check_could_keep(shard, member.node)?;
                self.check_continues(shard, *from, *base)?;
                (Some(next), false)
            }
            None if shard.keeper.is_none() => return Ok(Applied::Unchanged),
            // Enough members hold everything: it is not needed. Else it is dropped, and that is a loss of safety.
            None => (None, shard.in_sync.len() < shard.members_min()),
        };
        let epoch = self.fresh_epoch();
        let shard = self.shard_mut(id)?;
        shard.keeper = next;
        // Whether the one that was recorded ends that, `settle_exposure` says.
        shard.exposed |= is_dropped;
        shard.isr_epoch = epoch;
        if is_dropped {
            self.hold_exposed(id);
        }
        self.changed()
    }

    /// May the node keep what the shard acknowledges?
    fn check_could_keep(&self, shard: &Shard, id: NodeId) -> Result<()> {
        let node = self.nodes.get(&id).ok_or(Rejection::UnknownNode { node: id })?;
        if shard.nodes.contains(&id) {
            return Err(Rejection::OfTheShard { shard: shard.id, node: id });
        }
        if node.out.is_some() {
            return Err(Rejection::NodeOut { node: id });
        }
        Ok(())
    }

    /// A node that is out took along what lies below the tail that was kept for it: a later keeper has to go as far back.
    fn check_continues(&self, shard: &Shard, from: Offset, base: KeeperBase) -> Result<()> {
        let leaver =
            shard.nodes.iter().filter_map(|id| self.nodes.get(id)).find_map(|node| node.out.as_ref());
        match (base, leaver) {
            (KeeperBase::Own, _) | (KeeperBase::Leaver, None) => Ok(()),
            (KeeperBase::Leaver, Some(out)) => match out.base_from {
                Some(base_from) if from <= base_from => Ok(()),
                base_from => Err(Rejection::TailTooShort { shard: shard.id, from, base_from }),
            },
        }
    }

    /// May `member` leave the shard with so many other members in the set? What it leaves behind has to be with two, or
    /// with one and a keeper whose tail continues what it takes along.
    pub(super) fn check_kept_without(&self, shard: &Shard, member: Member, kept: usize) -> Result<()> {
        if kept >= 2 {
            return Ok(());
        }
        let id = shard.id;
        let keeper = shard.keeper_that_counts().ok_or(Rejection::NoKeeper { shard: id })?;
        let keeps = self.registered(keeper.member)?;
        if keeps.out.is_some() {
            return Err(Rejection::NodeOut { node: keeps.id });
        }
        match keeper.base {
            KeeperBase::Own => Ok(()),
            KeeperBase::Leaver if shard.in_sync.contains(&member) => Ok(()),
            KeeperBase::Leaver => Err(Rejection::NotInSync { shard: id, member }),
        }
    }

    /// # Errors
    /// The node keeps the tail of a shard: that role leaves by an entry of its own.
    pub(super) fn check_keeps_nothing(&self, node: NodeId) -> Result<()> {
        match self.shard_kept_by(node) {
            Some(shard) => Err(Rejection::KeepsShard { shard: shard.id, node }),
            None => Ok(()),
        }
    }

    pub(super) fn begin_recovery(
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
        if let Some(handover) = shard.handover {
            return Err(Rejection::HandoverInFlight { shard: id, handover: handover.epoch });
        }
        let keeper = shard.keeper_that_counts().ok_or(Rejection::NoKeeper { shard: id })?;
        let from = keeper.member;
        self.registered(from)?;
        let node = self.registered(to)?;
        if !shard.nodes.contains(&to.node) {
            return Err(Rejection::NotAReplica { shard: id, member: to });
        }
        if node.out.is_some() {
            return Err(Rejection::NodeOut { node: to.node });
        }
        // Whoever is in the set besides the owner that is gone holds everything, and takes over by itself.
        let gone = match shard.ownership {
            Ownership::Serving(owner) => Some(owner),
            Ownership::Recovering { .. } => None,
        };
        if let Some(member) = shard.in_sync.iter().find(|member| Some(**member) != gone) {
            return Err(Rejection::TakesOver { shard: id, member: *member });
        }
        if gone == Some(to) {
            return Err(Rejection::IsPrimary { shard: id, member: to });
        }
        let epoch = self.fresh_epoch();
        let via = HandoverVia::Keeper;
        self.shard_mut(id)?.handover = Some(Handover { epoch, from, to, log_index: at.index, via });
        self.changed()
    }

    /// After every command: is what a shard acknowledges in one process only while a node of it is out? Then it says so,
    /// and no further step begins.
    ///
    /// A keeper ends that only while somebody is out whose part its tail continues, which was looked at when it was recorded.
    /// One that the only member takes later begins at the end of what that member alone has.
    pub(super) fn settle_exposure(&mut self) {
        let mut newly = Vec::new();
        for id in self.shards.keys().copied().collect::<Vec<_>>() {
            let shard = &self.shards[&id];
            let (has_node_out, was) = (self.has_node_out(shard), shard.exposed);
            let is_kept = shard
                .keeper_that_counts()
                .is_some_and(|keeper| keeper.base == KeeperBase::Own || has_node_out || !was);
            let is_covered = shard.in_sync.len() >= shard.members_min() || is_kept;
            let Some(shard) = self.shards.get_mut(&id) else { continue };
            if is_covered {
                shard.exposed = false;
            } else if has_node_out && !was {
                shard.exposed = true;
                newly.push(id);
            }
        }
        if let Some(first) = newly.first() {
            self.hold_exposed(*first);
        }
    }

    /// No step begins before the shard is safe again. A plan that stands still already keeps its own reason.
    fn hold_exposed(&mut self, shard: ShardId) {
        let epoch = self.epoch.next();
        let Some(plan) = &mut self.plan else { return };
        match plan.phase {
            Phase::Staging | Phase::Rolling => {
                plan.phase = Phase::Held { reason: HoldReason::Exposed { shard } };
                plan.epoch = epoch;
                self.epoch = epoch;
            }
            Phase::Paused | Phase::Held { .. } | Phase::TurningBack { .. } | Phase::Soaking { .. } => {}
        }
    }

    /// # Errors
    /// A shard is exposed: no step is near before it is safe again.
    pub(super) fn check_nobody_exposed(&self) -> Result<()> {
        match self.shards.values().find(|shard| shard.exposed) {
            Some(shard) => Err(Rejection::Exposed { shard: shard.id }),
            None => Ok(()),
        }
    }
}
