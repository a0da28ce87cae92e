//! A shard without a primary gets one: the most advanced member of its in-sync set that answers.
//!
//! A primary whose process ended leaves its shard recovering by the entry that registers the next one. One that hangs, is cut
//! off, or whose machine is gone still owns its shard by the log: it is deposed once its lease is certainly over, for a
//! member that is there to take over.
//!
//! What a member holds is final once it has applied the end of its primary: it takes nothing more from it. An answer from
//! before that says what the member held once, and would let a primary be chosen that holds less than another. A primary
//! without a lease executes nothing: what a member says after the lease's end is final too.

use crate::disagreement;
use crate::recover::{self, Lost};
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Ownership, Shard};
use ironcache_types::{Member, Offset};

pub(crate) fn next(view: View<'_>, now_wall_ms: u64, waiting: &mut Vec<WaitingOn>) -> Option<Command> {
    for shard in view.state.shards.values() {
        let (owner, without_ms, heirs) = match shard.ownership {
            Ownership::Serving(owner) => match view.obs.leases.get(&shard.id) {
                Some(lease) if lease.is_over() => {
                    let over_ms = lease.over_for_ms();
                    (owner, over_ms, instead_of(view, shard, owner, over_ms))
                }
                Some(_) | None => continue,
            },
            Ownership::Recovering { last, .. } => {
                let recovering_ms = view.obs.timers.recovering_ms.get(&shard.id).copied().unwrap_or(0);
                (last, recovering_ms, most_advanced_of(view, shard, recovering_ms, |_, _| true))
            }
        };
        match heirs {
            Heirs::Best(to) => {
                return Some(Command::Failover {
                    shard: shard.id,
                    shard_epoch: shard.epoch,
                    isr_epoch: shard.isr_epoch,
                    to,
                    term: view.obs.term,
                });
            }
            Heirs::Late(reasons) => reasons.into_iter().for_each(|reason| note(waiting, reason)),
            Heirs::None => {
                if shard.primary().is_some() {
                    note(waiting, WaitingOn::PrimaryNotServing { shard: shard.id, primary: owner.node });
                }
                let lost = Lost { shard, owner, without_ms };
                let command = recover::next(view, lost, now_wall_ms, waiting);
                if command.is_some() {
                    return command;
                }
            }
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

/// Who takes over from an owner whose lease is over: who has answered since, and a moment ago. What it holds is final then;
/// and a member that died with the owner would be an owner without a lease: the wait would begin anew.
fn instead_of(view: View<'_>, shard: &Shard, owner: Member, over_ms: u64) -> Heirs {
    let young_ms = over_ms.min(view.bars.failover_answers_ms);
    let counts = |member, seen_ms_ago| member != owner && seen_ms_ago <= young_ms;
    most_advanced_of(view, shard, over_ms, counts)
}

/// Of equals the one that runs the plan's target (it spares a handover), then the first.
fn most_advanced_of(
    view: View<'_>,
    shard: &Shard,
    waited_ms: u64,
    counts: impl Fn(Member, u64) -> bool,
) -> Heirs {
    let target = view.state.plan.as_ref().map(|p| p.target.digest);
    let mut best: Option<((Offset, bool), Member)> = None;
    let mut late = Vec::new();
    let odd = disagreement::odd(view).map(|odd| odd.node);
    for member in shard.in_sync.iter().filter(|member| Some(member.node) != odd) {
        let Some(node) = view.state.nodes.get(&member.node) else { continue };
        let Ok(answer) = view.answer(node) else { continue };
        if !counts(*member, answer.seen_ms_ago) {
            continue;
        }
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
    match best {
        Some((_, member)) if late.is_empty() || waited_ms > view.bars.failover_answers_ms => {
            Heirs::Best(member)
        }
        None if late.is_empty() => Heirs::None,
        Some(_) | None => Heirs::Late(late),
    }
}
