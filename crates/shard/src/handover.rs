//! A planned promotion, from both sides.
//!
//! ```text
//!  old primary                                        candidate
//!  applies BeginHandover: holds back                  applies BeginHandover: holds back
//!  Draining: all executed is acknowledged
//!  RepliesLeaving: their replies go out
//!  Ready: the candidate is attached
//!  Fenced: the end O is fixed, Fence{e, O} ─────────► has applied O exactly
//!     │                                               waits a moment for who is not attached yet
//!     │                                               proposes Promote{e, O, itself + attached at O}
//!  applies the outcome: MOVED to what it held         applies the outcome: serves
//! ```
//! A shard whose primary is gone is handed over by its keeper, which sends the fence in the old primary's place. The old
//! primary, if it lives after all, holds commands back until the outcome, and fences nothing.
//!
//! *Invariant (I9):* from the fence to the applied outcome the old primary executes nothing and emits nothing.
//! *Invariant:* the fence is exact: what the candidate proposes begins where the old primary ended.
//! *Invariant:* only an applied entry ends a handover; a timeout merely proposes one.
//! *Invariant:* nothing of one attempt is reused by the next.

use crate::action::{Action, HandedOver, Note};
use crate::asked::{About, Ask};
use crate::at::At;
use crate::engine::Engine;
use crate::event::Now;
use crate::link::Link;
use crate::role::{Primary, Replica, Role};
use ironcache_control::{Command, Handover, HandoverVia};
use ironcache_replication::{Fence, FenceMet, Gate, NextSources, Source, StreamError};
use ironcache_types::{Epoch, Member, Offset};
use std::collections::BTreeSet;

/// The old primary's side, from the applied `BeginHandover` to the applied outcome.
#[derive(Clone, Debug)]
pub(crate) struct HandingOver {
    pub handover: Handover,
    stage: Stage,
    /// Without an outcome an abort is proposed then, and again after as long.
    give_up_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What was executed is not acknowledged yet.
    Draining,
    /// It is, and the replies that waited for it go out first.
    RepliesLeaving,
    /// The candidate is not attached.
    Ready,
    /// Nothing is emitted behind this offset.
    Fenced { at: Offset },
    /// It took too long, or the keeper fences: there will be no fence of this node's.
    GivenUp,
}

impl HandingOver {
    /// The end offset, once the fence is on its way.
    pub(crate) fn fence(&self) -> Option<Offset> {
        match self.stage {
            Stage::Fenced { at } => Some(at),
            Stage::Draining | Stage::RepliesLeaving | Stage::Ready | Stage::GivenUp => None,
        }
    }
}

/// The candidate's side: it has met the fence, and has not proposed itself yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidacy {
    met: FenceMet,
    /// So long it waits for members that are not attached yet. Whoever is not by then follows later.
    patient_until_ms: u64,
}

impl Engine {
    /// The log says whether a handover is in flight.
    pub(crate) fn follow_handover(&mut self, at: At<'_>, out: &mut Vec<Action>) {
        let Role::Primary(primary) = &mut self.role else { return };
        let held = primary.handover.as_ref().map(|held| held.handover);
        if held == at.shard.handover {
            return;
        }
        if let Some(handover) = held {
            primary.handover = None;
            // One that is still to be sent would be of an attempt that is over.
            self.links.values_mut().for_each(crate::link::Attachment::forget_fence);
            out.push(Action::HandoverEnded(HandedOver { shard: at.shard.id, handover, promoted: None }));
            out.push(Action::Tell(Note::HandoverAborted { shard: at.shard.id }));
        }
        if let Some(handover) = at.shard.handover {
            let timeout_ms = at.state.policy.handover_timeout_ms;
            let give_up_ms = at.now.boot_ms + timeout_ms;
            let stage = match handover.via {
                HandoverVia::Primary => Stage::Draining,
                // It is the keeper that fences: this node, which was taken for gone, waits for the outcome.
                HandoverVia::Keeper => Stage::GivenUp,
            };
            primary.handover = Some(HandingOver { handover, stage, give_up_ms });
            out.push(Action::HandoverBegan(handover));
            out.push(Action::TickAfter { ms: timeout_ms });
        }
    }

    /// Goes on with a handover as far as it goes now: after an acknowledgement, an applied entry, a tick.
    pub(crate) fn tend_handover(&mut self, now: Now, out: &mut Vec<Action>) {
        let timeout_ms = self.state.policy.handover_timeout_ms;
        let enough = self.has_enough_in_sync();
        let Role::Primary(Primary { shard, gate, handover: Some(held), .. }) = &mut self.role else { return };
        let epoch = held.handover.epoch;
        if held.stage == Stage::Draining && enough && gate.may_acknowledge(gate.end()) == Gate::Open {
            held.stage = Stage::RepliesLeaving;
            out.push(Action::SettleReplies);
            out.push(Action::TellRepliesLeft { handover: epoch });
        }
        if now.boot_ms >= held.give_up_ms {
            match held.stage {
                Stage::Draining | Stage::RepliesLeaving | Stage::Ready => {
                    held.stage = Stage::GivenUp;
                    out.push(Action::Tell(Note::HandoverGivenUp { shard: *shard, handover: epoch }));
                }
                Stage::Fenced { .. } | Stage::GivenUp => {}
            }
            held.give_up_ms = now.boot_ms + timeout_ms;
            let command = Command::AbortHandover { shard: *shard, handover: epoch };
            out.push(Action::Propose { command: Box::new(command), ask: None });
            out.push(Action::TickAfter { ms: timeout_ms });
        }
        self.fence(out);
    }

    pub(crate) fn replies_left(&mut self, handover: Epoch, now: Now, out: &mut Vec<Action>) {
        if let Role::Primary(Primary { handover: Some(held), .. }) = &mut self.role
            && (held.handover.epoch, held.stage) == (handover, Stage::RepliesLeaving)
        {
            held.stage = Stage::Ready;
        }
        self.tend_handover(now, out);
    }

    /// Fixes the end of this node's part of the stream, once the candidate is there to be told.
    fn fence(&mut self, out: &mut Vec<Action>) {
        let Role::Primary(Primary { gate, handover: Some(held), .. }) = &mut self.role else { return };
        let attachment = self.links.get_mut(&held.handover.to);
        let Some(flow) = attachment.and_then(|attachment| attachment.link.flow_mut()) else { return };
        let (handover, offset) = (held.handover.epoch, gate.end());
        match held.stage {
            Stage::Ready => {
                held.stage = Stage::Fenced { at: offset };
                flow.fence = Some(Fence { handover_epoch: handover, offset });
                out.push(Action::Tell(Note::Fenced { handover, offset }));
                out.push(Action::Feed);
            }
            Stage::Draining | Stage::RepliesLeaving | Stage::Fenced { .. } | Stage::GivenUp => {}
        }
    }

    /// The fence for a link of the candidate that takes the place of one which may not have carried it.
    pub(crate) fn fence_again(&mut self, to: Member) {
        let Role::Primary(Primary { handover: Some(held), .. }) = &self.role else { return };
        let (handover, fence) = (held.handover, held.fence());
        if let Some(offset) = fence.filter(|_| handover.to == to)
            && let Some(flow) = self.links.get_mut(&to).and_then(|attachment| attachment.link.flow_mut())
        {
            flow.fence = Some(Fence { handover_epoch: handover.epoch, offset });
        }
    }

    // --- the candidate's side ------------------------------------------------------------------------------

    /// A fence arrived from the primary that this replica follows.
    ///
    /// # Errors
    /// It is not met exactly: the link is to be closed.
    pub fn on_fence(&mut self, from: Source, fence: &Fence, now: Now) -> Result<Vec<Action>, StreamError> {
        let patient_ms = self.state.policy.handover_timeout_ms / 4;
        let Role::Replica(replica) = &mut self.role else { return Err(StreamError::Detached) };
        let met = replica.cursor.on_fence(from, fence)?;
        replica.candidacy = Some(Candidacy { met, patient_until_ms: now.boot_ms + patient_ms });
        let mut out = vec![Action::Wake];
        self.tend_candidacy(now, &mut out);
        if self.is_candidate() {
            out.push(Action::TickAfter { ms: patient_ms });
        }
        Ok(out)
    }

    /// Is there a fence that was met, and no proposal yet?
    fn is_candidate(&self) -> bool {
        matches!(&self.role, Role::Replica(Replica { candidacy: Some(_), .. }))
    }

    /// Proposes this node, once everybody is attached to it, or was waited for.
    pub(crate) fn tend_candidacy(&mut self, now: Now, out: &mut Vec<Action>) {
        let Role::Replica(Replica { candidacy: Some(Candidacy { met, patient_until_ms }), cursor, .. }) =
            &self.role
        else {
            return;
        };
        let (met, is_patient) = (*met, now.boot_ms < *patient_until_ms);
        let fence_holds = cursor.fence() == Some(met);
        let promotion = self.my_shard().filter(|_| fence_holds && !self.leaving).map(|shard| {
            let mut next = NextSources::new(met.source, met.handover_epoch);
            for (member, attachment) in &self.links {
                match attachment.link {
                    Link::StandingBy { ack: Some(ack) } => next.on_ack(*member, ack),
                    Link::StandingBy { ack: None }
                    | Link::Promoted { .. }
                    | Link::Syncing(_)
                    | Link::Streaming(_) => {}
                }
            }
            let mut in_sync = next.attached_at(met.handover_epoch, met.offset);
            let all = shard.in_sync.iter().filter(|m| **m != self.me).all(|m| in_sync.contains(m));
            let flight = shard.handover.filter(|handover| handover.epoch == met.handover_epoch);
            if flight.is_some_and(|handover| handover.via == HandoverVia::Keeper) {
                // Nobody else is in the set, or it would have taken over.
                return (shard.id, BTreeSet::from([self.me]), true);
            }
            in_sync.insert(self.me);
            (shard.id, in_sync, all)
        });
        match promotion {
            Some((_, _, false)) if is_patient => return,
            Some((shard, in_sync, _)) => {
                let (handover, offset, to) = (met.handover_epoch, met.offset, self.me);
                out.push(Action::Tell(Note::ProposesItself { handover, offset }));
                self.promise(handover, offset, now);
                let command = Command::Promote { shard, handover, to, offset, in_sync };
                let ask = Some(Ask { epoch: handover, number: 0, about: About::Promotion });
                out.push(Action::Propose { command: Box::new(command), ask });
            }
            None if self.leaving => out.push(Action::Tell(Note::StopsInstead)),
            None => {}
        }
        if let Role::Replica(replica) = &mut self.role {
            replica.candidacy = None;
        }
    }
}
