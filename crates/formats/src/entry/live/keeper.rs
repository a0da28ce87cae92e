//! Who keeps the tail of a shard's stream, and the recovery with it.

use crate::entry::v1::keeper::{BeginRecovery, NewKeeper, SetKeeper, WantKeeper};
use ironcache_control as live;
use ironcache_control::Command;
use ironcache_types::{Epoch, NodeId, Offset, ShardId};

impl From<WantKeeper> for Command {
    fn from(WantKeeper { shard, shard_epoch, node }: WantKeeper) -> Self {
        Command::WantKeeper { shard: ShardId(shard), shard_epoch: Epoch(shard_epoch), node: node.map(NodeId) }
    }
}

impl From<SetKeeper> for Command {
    fn from(SetKeeper { shard, isr_epoch, primary, keeper, reason }: SetKeeper) -> Self {
        Command::SetKeeper {
            shard: ShardId(shard),
            isr_epoch: Epoch(isr_epoch),
            primary: primary.into(),
            keeper: keeper.map(Into::into),
            reason: reason.into(),
        }
    }
}

impl From<live::NewKeeper> for NewKeeper {
    fn from(live::NewKeeper { member, from, base }: live::NewKeeper) -> Self {
        NewKeeper { member: member.into(), from: from.0, base: base.into() }
    }
}

impl From<NewKeeper> for live::NewKeeper {
    fn from(NewKeeper { member, from, base }: NewKeeper) -> Self {
        live::NewKeeper { member: member.into(), from: Offset(from), base: base.into() }
    }
}

impl From<BeginRecovery> for Command {
    fn from(BeginRecovery { shard, shard_epoch, isr_epoch, to, term }: BeginRecovery) -> Self {
        Command::BeginRecovery {
            shard: ShardId(shard),
            shard_epoch: Epoch(shard_epoch),
            isr_epoch: Epoch(isr_epoch),
            to: to.into(),
            term,
        }
    }
}
