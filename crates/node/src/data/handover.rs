//! A planned promotion, from both sides.
//!
//! ```text
//!  old primary                              candidate
//!  applies BeginHandover: holds back        applies BeginHandover: holds back
//!  attaches to the candidate   ──────────►
//!  waits: all executed is acknowledged
//!  fixes the end O, sends Fence{e, O} ───►  has applied O exactly
//!                                           proposes Promote{e, O, itself + attached at O}
//!  applies Promote: MOVED to what it held   applies Promote: serves
//! ```
//!
//! A shard whose primary is gone is handed over by its keeper: it sends the fence in the old primary's place. The old primary,
//! if it lives after all, holds commands back until the outcome, and fences nothing.
//!
//! *Invariant (I9):* from the fence to the applied outcome the old primary executes nothing and emits nothing.
//! *Invariant:* only an applied entry ends a handover; a timeout merely proposes one.

use super::DataNode;
use super::acks::Verdict;
use super::plane::Plane;
use super::role::Role;
use ironcache_control::{Command, Handover, HandoverVia};
use ironcache_replication::{Fence, FenceMet, NextSources};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// The old primary's side, from the applied `BeginHandover` to the applied outcome.
pub(super) async fn hand_over(node: Rc<DataNode>, handover: Handover) {
    let began = Instant::now();
    let (shard, timeout) = {
        let plane = node.plane.borrow();
        let Some(primary) = plane.primary() else { return };
        (primary.shard, Duration::from_millis(plane.view.state.policy.handover_timeout_ms))
    };
    tracing::debug!(%shard, epoch = %handover.epoch, "commands are held back");
    match handover.via {
        HandoverVia::Primary => {
            if tokio::time::timeout(timeout, fence(&node, handover)).await.is_err() {
                tracing::warn!(%shard, epoch = %handover.epoch, "a member does not acknowledge; the handover is given up");
            }
        }
        HandoverVia::Keeper => {
            tracing::warn!(%shard, epoch = %handover.epoch, "the shard is recovered through its keeper; commands are held back");
        }
    }
    // The fence is out, or will never be: what is left is the outcome. A point in time, not a pause: other changes wake
    // this loop too, and must not put the abort off.
    let mut give_up = began + timeout;
    loop {
        let changed = Rc::clone(&node.changed);
        let outcome = changed.notified();
        if !is_in_flight(&node.plane.borrow(), handover) {
            break;
        }
        // Checked first: a change that is always there would be taken for the outcome again and again.
        if Instant::now() >= give_up || tokio::time::timeout_at(give_up, outcome).await.is_err() {
            let command = Command::AbortHandover { shard, handover: handover.epoch };
            node.plane.borrow().propose(command, None);
            give_up = Instant::now() + timeout;
        }
    }
    let stall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut plane = node.plane.borrow_mut();
    plane.stats.handovers += 1;
    plane.stats.handover_stall_us = stall_us;
    let epoch = plane.my_shard().filter(|s| s.is_primary(handover.to)).map(|s| s.epoch);
    if let Some(epoch) = epoch {
        tracing::info!(%shard, %epoch, stall_us, to = %handover.to, "handed over");
        plane.propose(Command::ReportHandover { shard, epoch, stall_us }, None);
    }
}

fn is_in_flight(plane: &Plane, handover: Handover) -> bool {
    plane.primary().and_then(|p| p.handover.as_ref()).is_some_and(|held| held.handover == handover)
}

/// Waits until every member has applied what was executed, and sends the fence.
async fn fence(node: &Rc<DataNode>, handover: Handover) {
    let ticket = {
        let mut plane = node.plane.borrow_mut();
        let end = plane.offset();
        let ticket = plane.waiters.wait(end.0);
        plane.settle_replies();
        ticket
    };
    if ticket.await == Verdict::Lost {
        return;
    }
    tracing::debug!(epoch = %handover.epoch, "everything executed is acknowledged");
    // The replies that were waiting go out first: their connections were woken before this task.
    tokio::task::yield_now().await;
    loop {
        let changed = Rc::clone(&node.changed);
        let outcome = changed.notified();
        {
            let mut plane = node.plane.borrow_mut();
            if !is_in_flight(&plane, handover) {
                return;
            }
            let offset = plane.offset();
            let attached = match plane.links.get_mut(&handover.to) {
                Some(link) => {
                    link.fence = Some(Fence { handover_epoch: handover.epoch, offset });
                    true
                }
                None => false,
            };
            if attached {
                if let Role::Primary(primary) = &mut plane.role
                    && let Some(held) = &mut primary.handover
                {
                    held.fence = Some(offset);
                }
                drop(plane);
                tracing::debug!(epoch = %handover.epoch, %offset, "the fence is on its way");
                node.feed.notify_waiters();
                return;
            }
        }
        outcome.await;
    }
}

/// The candidate's side: it has met the fence.
pub(super) async fn on_fence(node: Rc<DataNode>, met: FenceMet) {
    tracing::debug!(epoch = %met.handover_epoch, offset = %met.offset, "the fence is met");
    let deadline = {
        let plane = node.plane.borrow();
        // A quarter of the patience for stragglers: whoever is not attached by then follows later.
        Instant::now() + Duration::from_millis(plane.view.state.policy.handover_timeout_ms / 4)
    };
    loop {
        let acked = Rc::clone(&node.acked);
        let progress = acked.notified();
        let proposal = {
            let plane = node.plane.borrow();
            promotion(&plane, met, if Instant::now() < deadline { Patience::Left } else { Patience::Gone })
        };
        match proposal {
            Attached::Promote(command) => {
                let (rejected, rejection) = tokio::sync::oneshot::channel();
                tracing::debug!(epoch = %met.handover_epoch, "proposing the promotion");
                {
                    let mut plane = node.plane.borrow_mut();
                    plane.promised(met.handover_epoch, met.offset);
                    plane.propose(*command, Some(rejected));
                }
                if let Ok(rejection) = rejection.await {
                    tracing::warn!(%rejection, "not promoted");
                }
                return;
            }
            Attached::Waiting => {
                // Past the deadline the next round goes on with whoever is there.
                let _ = tokio::time::timeout_at(deadline, progress).await;
            }
            Attached::Over => return,
        }
    }
}

/// Is there time left to wait for members that are not attached yet?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Left,
    Gone,
}

pub(super) enum Attached {
    Promote(Box<Command>),
    Waiting,
    Over,
}

pub(super) fn promotion(plane: &Plane, met: FenceMet, patience: Patience) -> Attached {
    let Role::Replica(replica) = &plane.role else { return Attached::Over };
    if plane.leaving {
        tracing::info!("this node is being stopped, and is not promoted");
        return Attached::Over;
    }
    if replica.cursor.fence() != Some(met) {
        return Attached::Over;
    }
    let Some(shard) = plane.my_shard() else { return Attached::Over };
    if shard.handover.is_some_and(|h| h.epoch == met.handover_epoch && h.via == HandoverVia::Keeper) {
        // Nobody else was in the set, or it would have taken over.
        return Attached::Promote(Box::new(Command::Promote {
            shard: shard.id,
            handover: met.handover_epoch,
            to: plane.me,
            offset: met.offset,
            in_sync: BTreeSet::from([plane.me]),
        }));
    }
    let mut next = NextSources::new(met.source, met.handover_epoch);
    for (member, link) in &plane.links {
        if let Some(ack) = link.ack {
            next.on_ack(*member, ack);
        }
    }
    let mut in_sync = next.attached_at(met.handover_epoch, met.offset);
    let all = shard.in_sync.iter().filter(|m| **m != plane.me).all(|m| in_sync.contains(m));
    if !all && patience == Patience::Left {
        return Attached::Waiting;
    }
    in_sync.insert(plane.me);
    Attached::Promote(Box::new(Command::Promote {
        shard: shard.id,
        handover: met.handover_epoch,
        to: plane.me,
        offset: met.offset,
        in_sync,
    }))
}
