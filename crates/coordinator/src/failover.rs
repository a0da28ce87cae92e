//! A shard without a primary gets one: the most advanced member of its in-sync set that answers.

use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Ownership, Shard};
use ironcache_types::{Member, Offset};

pub(crate) fn next(view: View<'_>, waiting: &mut Vec<WaitingOn>) -> Option<Command> {
    for shard in view.state.shards.values() {
        match shard.ownership {
            Ownership::Serving(_) => {}
            Ownership::Recovering { .. } => match most_advanced(view, shard) {
                Some(to) => {
                    return Some(Command::Failover { shard: shard.id, shard_epoch: shard.epoch, to });
                }
                None => note(waiting, view.no_primary(shard)),
            },
        }
    }
    None
}

/// Of equals the one that runs the plan's target (it spares a handover), then the first.
fn most_advanced(view: View<'_>, shard: &Shard) -> Option<Member> {
    let target = view.state.plan.as_ref().map(|p| p.target.digest);
    let mut best: Option<((Offset, bool), Member)> = None;
    let rank = |member: Member| {
        let node = view.state.nodes.get(&member.node)?;
        let data = view.answer(node).ok()?.data.as_ref().filter(|d| d.shard == shard.id)?;
        Some((data.offset, target.is_some_and(|t| view.is_on(member.node, t))))
    };
    for member in &shard.in_sync {
        if let Some(rank) = rank(*member)
            && best.as_ref().is_none_or(|(known, _)| rank > *known)
        {
            best = Some((rank, *member));
        }
    }
    best.map(|(_, member)| member)
}
