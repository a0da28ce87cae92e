//! Whom a keeper sends what it kept: a node of the shard that came back and finds no primary.
//!
//! *Invariant:* who is not served is told why, by name.

use super::{Action, Keepers, State};
use ironcache_control::Shard;
use ironcache_types::{Epoch, Member, NodeId, ShardId};

/// Why a node that asks is sent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    #[error("shard {shard} is unknown here")]
    UnknownShard { shard: ShardId },
    #[error("node {node} does not hold shard {shard}")]
    NotOfShard { shard: ShardId, node: NodeId },
    #[error("{member} is not the registered life of its node")]
    OtherLife { member: Member },
    #[error("the log does not record this life as keeper of shard {shard} at epoch {epoch}")]
    NotRecorded { shard: ShardId, epoch: Epoch },
    #[error("this keeper holds nothing of shard {shard} at epoch {epoch}")]
    NothingKept { shard: ShardId, epoch: Epoch },
    #[error("the primary of shard {shard}, {primary}, is heard: follow it")]
    PrimaryIsHeard { shard: ShardId, primary: Member },
}

impl Keepers {
    pub(super) fn hello(&self, id: ShardId, member: Member) -> Action {
        match self.served(id, member) {
            Ok(epoch) => Action::Serve { shard: id, member, epoch },
            Err(why) => Action::Refuse { member, why },
        }
    }

    fn served(&self, id: ShardId, member: Member) -> Result<Epoch, NotServed> {
        let shard = self.state.shards.get(&id).ok_or(NotServed::UnknownShard { shard: id })?;
        if !shard.nodes.contains(&member.node) {
            return Err(NotServed::NotOfShard { shard: id, node: member.node });
        }
        if self.state.nodes.get(&member.node).is_none_or(|node| node.member() != member) {
            return Err(NotServed::OtherLife { member });
        }
        let epoch =
            epoch_served(shard, self.me).ok_or(NotServed::NotRecorded { shard: id, epoch: shard.epoch })?;
        let of = self.shards.get(&id).filter(|of| of.files.contains_key(&epoch));
        let of = of.ok_or(NotServed::NothingKept { shard: id, epoch })?;
        match of.state {
            State::Keeping { primary, .. } => Err(NotServed::PrimaryIsHeard { shard: id, primary }),
            State::Idle | State::Attaching { .. } | State::Fenced { .. } | State::Broken { .. } => Ok(epoch),
        }
    }
}

/// The epoch whose tail this life may hand on: the shard's own, if the log records this very life for it.
pub(super) fn epoch_served(shard: &Shard, me: Member) -> Option<Epoch> {
    shard.keeper_that_counts().filter(|keeper| keeper.member == me).map(|keeper| keeper.epoch)
}
