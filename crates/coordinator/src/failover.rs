//! A shard without a primary gets one: the most advanced member of its in-sync set that answers.
//!
//! What a member holds is final once it has applied the end of its primary: it takes nothing more from it. An answer from
//! before that says what the member held once, and would let a primary be chosen that holds less than another.

use crate::disagreement;
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Ownership, Shard};
use ironcache_types::{Member, Offset};

pub(crate) fn next(view: View<'_>, waiting: &mut Vec<WaitingOn>) -> Option<Command> {
    for shard in view.state.shards.values() {
        match shard.ownership {
            Ownership::Serving(_) => {}
            Ownership::Recovering { .. } => match most_advanced(view, shard) {
                Ok(to) => {
                    return Some(Command::Failover { shard: shard.id, shard_epoch: shard.epoch, to });
                }
                Err(reasons) => reasons.into_iter().for_each(|reason| note(waiting, reason)),
            },
        }
    }
    None
}

/// Of equals the one that runs the plan's target (it spares a handover), then the first.
fn most_advanced(view: View<'_>, shard: &Shard) -> Result<Member, Vec<WaitingOn>> {
    let target = view.state.plan.as_ref().map(|p| p.target.digest);
    let mut best: Option<((Offset, bool), Member)> = None;
    let mut late = Vec::new();
    let odd = disagreement::odd(view).map(|odd| odd.node);
    for member in shard.in_sync.iter().filter(|member| Some(member.node) != odd) {
        let Some(node) = view.state.nodes.get(&member.node) else { continue };
        let Ok(answer) = view.answer(node) else { continue };
        match View::data_of_set(answer, shard) {
            Ok(data) => {
                let rank = (data.offset, target.is_some_and(|t| view.is_on(member.node, t)));
                if best.as_ref().is_none_or(|(known, _)| rank > *known) {
                    best = Some((rank, *member));
                }
            }
            Err(reason) => late.push(reason),
        }
    }
    let recovering_ms = view.obs.timers.recovering_ms.get(&shard.id).copied().unwrap_or(0);
    match best {
        Some((_, member)) if late.is_empty() || recovering_ms > view.bars.failover_answers_ms => Ok(member),
        Some(_) => Err(late),
        None if late.is_empty() => Err(vec![view.no_primary(shard)]),
        None => Err(late),
    }
}
