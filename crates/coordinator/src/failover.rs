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
use crate::observation::LeaseObservation;
use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Ownership, Shard};
use ironcache_types::{Member, Offset};

pub(crate) fn next(view: View<'_>, waiting: &mut Vec<WaitingOn>) -> Option<Command> {
    for shard in view.state.shards.values() {
        let to = match shard.ownership {
            Ownership::Serving(owner) => match view.obs.leases.get(&shard.id) {
                Some(lease) if lease.is_over() => instead_of(view, shard, owner, *lease),
                Some(_) | None => continue,
            },
            Ownership::Recovering { .. } => most_advanced(view, shard),
        };
        match to {
            Ok(to) => {
                return Some(Command::Failover {
                    shard: shard.id,
                    shard_epoch: shard.epoch,
                    isr_epoch: shard.isr_epoch,
                    to,
                    term: view.obs.term,
                });
            }
            Err(reasons) => reasons.into_iter().for_each(|reason| note(waiting, reason)),
        }
    }
    None
}

/// Who takes over from an owner whose lease is over: who has answered since, and a moment ago. What it holds is final then;
/// and a member that died with the owner would be an owner without a lease: the wait would begin anew.
fn instead_of(
    view: View<'_>,
    shard: &Shard,
    owner: Member,
    lease: LeaseObservation,
) -> Result<Member, Vec<WaitingOn>> {
    let over_ms = lease.unanswered_ms.saturating_sub(lease.over_after_ms);
    let young_ms = over_ms.min(view.bars.failover_answers_ms);
    let counts = |member, seen_ms_ago| member != owner && seen_ms_ago <= young_ms;
    let to = most_advanced_of(view, shard, over_ms, counts);
    to.map_err(|late| match late.is_empty() {
        true => vec![WaitingOn::PrimaryNotServing { shard: shard.id, primary: owner.node }],
        false => late,
    })
}

/// Of equals the one that runs the plan's target (it spares a handover), then the first.
fn most_advanced(view: View<'_>, shard: &Shard) -> Result<Member, Vec<WaitingOn>> {
    let recovering_ms = view.obs.timers.recovering_ms.get(&shard.id).copied().unwrap_or(0);
    most_advanced_of(view, shard, recovering_ms, |_, _| true).map_err(|late| match late.is_empty() {
        true => vec![view.no_primary(shard)],
        false => late,
    })
}

fn most_advanced_of(
    view: View<'_>,
    shard: &Shard,
    waited_ms: u64,
    counts: impl Fn(Member, u64) -> bool,
) -> Result<Member, Vec<WaitingOn>> {
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
        Some((_, member)) if late.is_empty() || waited_ms > view.bars.failover_answers_ms => Ok(member),
        Some(_) | None => Err(late),
    }
}
