//! A shard without a primary gets one: the most advanced member of its in-sync set that answers.
//!
//! What a member holds is final once it has applied the end of its primary: it takes nothing more from it. An answer from
//! before that says what the member held once, and would let a primary be chosen that holds less than another.

use crate::disagreement;
use crate::recover;
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Ownership, Shard};
use ironcache_types::{Member, Offset};

pub(crate) fn next(view: View<'_>, now_wall_ms: u64, waiting: &mut Vec<WaitingOn>) -> Option<Command> {
    for shard in view.state.shards.values() {
        match shard.ownership {
            Ownership::Serving(_) => {}
            Ownership::Recovering { last } => match most_advanced(view, shard) {
                Heirs::Best(to) => {
                    return Some(Command::Failover { shard: shard.id, shard_epoch: shard.epoch, to });
                }
                Heirs::Late(reasons) => reasons.into_iter().for_each(|reason| note(waiting, reason)),
                Heirs::None => {
                    let command = recover::next(view, shard, last, now_wall_ms, waiting);
                    if command.is_some() {
                        return command;
                    }
                }
            },
        }
    }
    None
}

/// The members of a set that could take over without a loss.
enum Heirs {
    /// The one that holds most.
    Best(Member),
    /// There are some, and what they hold is not known yet.
    Late(Vec<WaitingOn>),
    /// Nobody of them answers.
    None,
}

/// Of equals the one that runs the plan's target (it spares a handover), then the first.
fn most_advanced(view: View<'_>, shard: &Shard) -> Heirs {
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
        Some((_, member)) if late.is_empty() || recovering_ms > view.bars.failover_answers_ms => {
            Heirs::Best(member)
        }
        None if late.is_empty() => Heirs::None,
        Some(_) | None => Heirs::Late(late),
    }
}
