//! A shard.

use crate::BadField;
use crate::parts::{each, slot_set, slots};
use crate::state::v1::shard::{
    Handover, HandoverVia, Keeper, LastLease, LineageEntry, Losses, Ownership, Recovery, Shard,
};
use ironcache_control as live;
use ironcache_types::{Epoch, NodeId, Offset, ShardId};

impl From<&live::Shard> for Shard {
    fn from(shard: &live::Shard) -> Self {
        let live::Shard {
            id,
            slots: ranges,
            nodes,
            ownership,
            epoch,
            isr_epoch,
            in_sync,
            mode,
            lineage,
            handover,
            losses,
            keeper,
            keeper_wanted,
            exposed,
        } = shard;
        Shard {
            id: id.0,
            slots: slots(ranges),
            nodes: nodes.iter().map(|node| node.0).collect(),
            ownership: match ownership {
                live::Ownership::Serving(owner) => Ownership::Serving((*owner).into()),
                live::Ownership::Recovering { last, lease } => {
                    Ownership::Recovering { last: (*last).into(), lease: (*lease).into() }
                }
            },
            epoch: epoch.0,
            isr_epoch: isr_epoch.0,
            in_sync: each(in_sync.iter().copied()),
            mode: (*mode).into(),
            lineage: each(lineage),
            handover: handover.map(Into::into),
            losses: losses.into(),
            keeper: keeper.map(Into::into),
            keeper_wanted: keeper_wanted.map(|node| node.0),
            exposed: *exposed,
        }
    }
}

impl TryFrom<Shard> for live::Shard {
    type Error = BadField;

    fn try_from(shard: Shard) -> Result<Self, BadField> {
        let Shard {
            id,
            slots,
            nodes,
            ownership,
            epoch,
            isr_epoch,
            in_sync,
            mode,
            lineage,
            handover,
            losses,
            keeper,
            keeper_wanted,
            exposed,
        } = shard;
        Ok(live::Shard {
            id: ShardId(id),
            slots: slot_set(&slots),
            nodes: nodes.into_iter().map(NodeId).collect(),
            ownership: match ownership {
                Ownership::Serving(owner) => live::Ownership::Serving(owner.into()),
                Ownership::Recovering { last, lease } => {
                    live::Ownership::Recovering { last: last.into(), lease: lease.into() }
                }
            },
            epoch: Epoch(epoch),
            isr_epoch: Epoch(isr_epoch),
            in_sync: each(in_sync),
            mode: mode.into(),
            lineage: each(lineage),
            handover: handover.map(Into::into),
            losses: losses.into(),
            keeper: keeper.map(Into::into),
            keeper_wanted: keeper_wanted.map(NodeId),
            exposed,
        })
    }
}

impl From<&live::LineageEntry> for LineageEntry {
    fn from(live::LineageEntry { epoch, start }: &live::LineageEntry) -> Self {
        LineageEntry { epoch: epoch.0, start: start.map(|offset| offset.0) }
    }
}

impl From<LineageEntry> for live::LineageEntry {
    fn from(LineageEntry { epoch, start }: LineageEntry) -> Self {
        live::LineageEntry { epoch: Epoch(epoch), start: start.map(Offset) }
    }
}

impl From<live::Handover> for Handover {
    fn from(live::Handover { epoch, from, to, log_index, via }: live::Handover) -> Self {
        let via = match via {
            live::HandoverVia::Primary => HandoverVia::Primary,
            live::HandoverVia::Keeper => HandoverVia::Keeper,
        };
        Handover { epoch: epoch.0, from: from.into(), to: to.into(), log_index, via }
    }
}

impl From<Handover> for live::Handover {
    fn from(Handover { epoch, from, to, log_index, via }: Handover) -> Self {
        let via = match via {
            HandoverVia::Primary => live::HandoverVia::Primary,
            HandoverVia::Keeper => live::HandoverVia::Keeper,
        };
        live::Handover { epoch: Epoch(epoch), from: from.into(), to: to.into(), log_index, via }
    }
}

impl From<live::LastLease> for LastLease {
    fn from(lease: live::LastLease) -> Self {
        match lease {
            live::LastLease::Ended => LastLease::Ended,
            live::LastLease::MayRun => LastLease::MayRun,
        }
    }
}

impl From<LastLease> for live::LastLease {
    fn from(lease: LastLease) -> Self {
        match lease {
            LastLease::Ended => live::LastLease::Ended,
            LastLease::MayRun => live::LastLease::MayRun,
        }
    }
}

impl From<live::Keeper> for Keeper {
    fn from(live::Keeper { member, epoch, from, base }: live::Keeper) -> Self {
        Keeper { member: member.into(), epoch: epoch.0, from: from.0, base: base.into() }
    }
}

impl From<Keeper> for live::Keeper {
    fn from(Keeper { member, epoch, from, base }: Keeper) -> Self {
        live::Keeper { member: member.into(), epoch: Epoch(epoch), from: Offset(from), base: base.into() }
    }
}

impl From<&live::Losses> for Losses {
    fn from(live::Losses { recoveries, bytes_min, newest }: &live::Losses) -> Self {
        Losses { recoveries: *recoveries, bytes_min: *bytes_min, newest: each(newest) }
    }
}

impl From<Losses> for live::Losses {
    fn from(Losses { recoveries, bytes_min, newest }: Losses) -> Self {
        live::Losses { recoveries, bytes_min, newest: each(newest) }
    }
}

impl From<&live::Recovery> for Recovery {
    fn from(recovery: &live::Recovery) -> Self {
        let live::Recovery { epoch, to, at, bytes_min, given_up, by, at_ms, as_of_ms } = recovery;
        Recovery {
            epoch: epoch.0,
            to: (*to).into(),
            at: at.0,
            bytes_min: *bytes_min,
            given_up: each(given_up.iter().copied()),
            by: (*by).into(),
            at_ms: *at_ms,
            as_of_ms: *as_of_ms,
        }
    }
}

impl From<Recovery> for live::Recovery {
    fn from(recovery: Recovery) -> Self {
        let Recovery { epoch, to, at, bytes_min, given_up, by, at_ms, as_of_ms } = recovery;
        live::Recovery {
            epoch: Epoch(epoch),
            to: to.into(),
            at: Offset(at),
            bytes_min,
            given_up: each(given_up),
            by: by.into(),
            at_ms,
            as_of_ms,
        }
    }
}
