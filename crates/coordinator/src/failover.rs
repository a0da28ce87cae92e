//! A shard without a primary gets one: the most advanced member of its in-sync set that answers.
//!
//! A primary whose process ended leaves its shard recovering by the entry that registers the next one. One that hangs, is cut
//! off, or whose machine is gone still owns its shard by the log: it is deposed once its lease is certainly over, for a
//! member that is there to take over.
//!
//! With nobody of the set left, and a keeper that is there: who follows it takes over from it, and nothing is lost.
//!
//! A life that registers from another machine proves nothing about the one before: the shard is recovering, and that one's
//! lease is waited out as if it owned the shard still.
//!
//! What a member holds is final once it has applied the end of its primary: it takes nothing more from it. An answer from
//! before that says what the member held once, and would let a primary be chosen that holds less than another. A primary
//! without a lease executes nothing: what a member says after the lease's end is final too.

use crate::disagreement;
use crate::keeper;
use crate::observation::Duty;
use crate::recover::{self, Lost};
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, LastLease, Node, Ownership, Shard};
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
            Ownership::Recovering { last, lease } => {
                if let Some(remaining_ms) = lease_left_ms(view, shard, lease) {
                    note(waiting, WaitingOn::LastLease { shard: shard.id, last: last.node, remaining_ms });
                    continue;
                }
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
                let command = match with_the_keeper(view, lost) {
                    Tail::Goes(to) => Some(Command::BeginRecovery {
                        shard: shard.id,
                        shard_epoch: shard.epoch,
                        isr_epoch: shard.isr_epoch,
                        to,
                        term: view.obs.term,
                    }),
                    Tail::Waits(reason) => {
                        note(waiting, reason);
                        None
                    }
                    Tail::None => recover::next(view, lost, now_wall_ms, waiting),
                };
                if command.is_some() {
                    return command;
                }
            }
        }
    }
    None
}

/// A later life of the last owner registered from another machine, so that nothing proves the end of the earlier one: for
/// how long it may still answer clients. `None` once it certainly does not.
fn lease_left_ms(view: View<'_>, shard: &Shard, lease: LastLease) -> Option<u64> {
    match lease {
        LastLease::Ended => None,
        // Nothing is known of it yet: it may have been granted one a moment ago.
        LastLease::MayRun => match view.obs.leases.get(&shard.id) {
            None => Some(0),
            Some(lease) if lease.is_over() => None,
            Some(lease) => Some(lease.over_after_ms.saturating_sub(lease.unanswered_ms)),
        },
    }
}

/// What becomes of the tail that a keeper holds.
enum Tail {
    /// The node follows the keeper, and takes over with all that was acknowledged.
    Goes(Member),
    /// A handover of it is under way, or was a moment ago.
    Waits(WaitingOn),
    /// Nobody keeps one, or nobody follows.
    None,
}

/// Nobody of the set is left: who follows the keeper holds what lies before the tail, and the tail. Of several the one that
/// has taken most of it.
fn with_the_keeper(view: View<'_>, lost: Lost<'_>) -> Tail {
    let Lost { shard, owner, without_ms } = lost;
    let Some(keeper) = keeper::alive(view, shard) else { return Tail::None };
    if shard.in_sync.iter().any(|member| *member != owner) {
        return Tail::None;
    }
    if let Some(flight) = shard.handover {
        let age_ms = view.obs.timers.handover_age_ms.get(&shard.id).copied().unwrap_or(0);
        let (to, timeout_ms) = (flight.to.node, view.state.policy.handover_timeout_ms);
        return Tail::Waits(WaitingOn::HandoverInFlight { shard: shard.id, to, age_ms, timeout_ms });
    }
    let odd = disagreement::odd(view).map(|odd| odd.node);
    let is_final = |seen_ms_ago| shard.primary().is_none() || seen_ms_ago <= without_ms;
    let follows = |node: &Node| {
        let answer = view.answer(node).ok().filter(|answer| is_final(answer.seen_ms_ago))?;
        let data = View::data_of_set(answer, shard).ok()?;
        let holds_it = data.duty == Duty::Follows(shard.epoch) && data.offset >= keeper.from;
        holds_it.then_some(data.offset)
    };
    let may = |node: &&Node| node.out.is_none() && Some(node.id) != odd && node.member() != owner;
    let fit = view.nodes_of(shard).filter(may).filter_map(|node| Some((follows(node)?, node.member())));
    // Of equals the first of the shard's nodes.
    let best = fit.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let Some((_, to)) = best else { return Tail::None };
    let not_before_ms = view.obs.timers.handover_not_before_ms.get(&shard.id).copied().unwrap_or(0);
    match not_before_ms.checked_sub(view.obs.now_ms).filter(|ms| *ms > 0) {
        Some(remaining_ms) => Tail::Waits(WaitingOn::HandoverBackoff { shard: shard.id, remaining_ms }),
        None => Tail::Goes(to),
    }
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
