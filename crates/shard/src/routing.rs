//! Which node serves which slot, as the applied control state has it.
//!
//! *Invariant:* what is only heard of (a hint) redirects, and never makes anybody execute.

use ironcache_control::{ControlState, Ownership, Shard};
use ironcache_types::{Epoch, Member, NodeId, SLOT_COUNT, Slot};

/// A lookup table over the applied state: one load per keyed command.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Per slot an index into `shards`, or [`Routing::NONE`].
    slots: Vec<u16>,
    shards: Vec<ShardRoute>,
    /// Index of the shard that this node holds.
    mine: Option<usize>,
}

/// Where a shard's commands go.
#[derive(Clone, Debug)]
pub struct ShardRoute {
    pub epoch: Epoch,
    /// `None` while the shard is recovering.
    pub primary: Option<Member>,
    /// Who a handover in flight would promote.
    pub candidate: Option<Member>,
}

impl Routing {
    const NONE: u16 = u16::MAX;

    pub fn empty() -> Self {
        Self { slots: vec![Self::NONE; usize::from(SLOT_COUNT)], shards: Vec::new(), mine: None }
    }

    pub fn of(state: &ControlState, me: NodeId) -> Self {
        let mut routing = Self::empty();
        for (index, shard) in state.shards.values().enumerate() {
            let code = u16::try_from(index).expect("shards have 16-bit ids");
            for range in &shard.slots.0 {
                routing.slots[usize::from(range.start)..=usize::from(range.end)].fill(code);
            }
            if shard.nodes.contains(&me) {
                routing.mine = Some(index);
            }
            routing.shards.push(route_of(shard));
        }
        routing
    }

    #[inline]
    pub fn shard_of(&self, slot: Slot) -> Option<(usize, &ShardRoute)> {
        let index = usize::from(self.slots[usize::from(slot.0)]);
        self.shards.get(index).map(|shard| (index, shard))
    }

    #[inline]
    pub fn is_mine(&self, index: usize) -> bool {
        self.mine == Some(index)
    }

    #[inline]
    pub(crate) fn mine(&self) -> Option<&ShardRoute> {
        self.mine.and_then(|index| self.shards.get(index))
    }

    /// The candidate's promotion was heard of before it was applied here: redirect to it already.
    pub(crate) fn hint(&mut self, epoch: Epoch, to: Member) {
        if let Some(mine) = self.mine {
            let route = &mut self.shards[mine];
            if epoch > route.epoch {
                route.epoch = epoch;
                route.primary = Some(to);
                route.candidate = None;
            }
        }
    }
}

fn route_of(shard: &Shard) -> ShardRoute {
    let primary = match shard.ownership {
        Ownership::Serving(member) => Some(member),
        Ownership::Recovering { .. } => None,
    };
    ShardRoute { epoch: shard.epoch, primary, candidate: shard.handover.map(|h| h.to) }
}
