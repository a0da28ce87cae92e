//! The primary's care for its in-sync set, its mode and the start of its ownership.
//!
//! ```text
//!  attached, keeps up ─► awaited ─► holds all that was acknowledged: proposed ─► applied: in the set
//!                                                      │ rejected: required no more, asked again later
//!                                                      └ nobody tells: stays required, asked again
//!  in the set, silent ─► its removal proposed ─► applied: required no more
//! ```
//! *Invariant:* only the primary proposes, each time with the `isr_epoch` that it saw; it requires a member from the
//! proposal on, and stops requiring one only after applying its removal.

use crate::action::{Action, Note};
use crate::asked::{AGAIN_MS, About, Ask, Asked, OUTCOME_MS_MAX, REJECTED_AGAIN_MS, may_ask};
use crate::at::At;
use crate::engine::Engine;
use crate::event::Now;
use crate::keeper::Recorded;
use crate::keeping::{is_keeper, recording};
use crate::role::{Primary, Role};
use ironcache_control::{AckMode, Command, Plan, Reason};
use ironcache_replication::{Eligibility, RaiseError, Requirement, Silent};
use ironcache_types::{Epoch, Member, Offset};

/// A change of the in-sync set that was proposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetAsked {
    pub(crate) what: SetChange,
    pub(crate) asked: Asked,
    /// What the proposal compares: at another `isr_epoch` the log can only reject it.
    pub(crate) isr_epoch: Epoch,
}

impl SetAsked {
    /// May the log accept it still, or have done so?
    pub(crate) fn may_add(&self) -> bool {
        match self.what {
            SetChange::Add | SetChange::Record { .. } => self.asked.is_open(),
            SetChange::Remove => false,
        }
    }

    /// Where the tail begins of which the log may say that it is kept.
    pub(crate) fn may_record(&self) -> Option<Offset> {
        match self.what {
            SetChange::Record { from } => Some(from).filter(|_| self.asked.is_open()),
            SetChange::Add | SetChange::Remove => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetChange {
    Add,
    /// As keeper of a tail.
    Record {
        from: Offset,
    },
    Remove,
}

impl Engine {
    pub(crate) fn tend(&mut self, now: Now, out: &mut Vec<Action>) {
        let limits = self.gate_limits();
        self.with_shard(now, |engine, at| {
            engine.publish_start(at, out);
            let Role::Primary(primary) = &mut engine.role else { return };
            primary.gate.set_limits(limits);
            if primary.handover.is_some() {
                return;
            }
            primary.tend(at, out);
            out.push(Action::SettleReplies);
        });
    }

    /// Has the log say where this ownership started, unless it does: a replica of an earlier epoch resumes only up to a
    /// known end. Level-triggered, because a proposal may go without an outcome.
    pub(crate) fn publish_start(&mut self, at: At<'_>, out: &mut Vec<Action>) {
        let Role::Primary(primary) = &mut self.role else { return };
        let epoch = primary.epoch;
        let lacks = at.shard.lineage.iter().any(|entry| entry.epoch == epoch && entry.start.is_none());
        if !lacks || !may_ask(primary.start_asked, at.now.boot_ms, AGAIN_MS) {
            return;
        }
        let Some(start) = primary.lineage.start_of(epoch) else { return };
        primary.start_asked = Some(Asked::new(primary.next_ask(), at.now.boot_ms));
        propose(out, Command::PrimaryReady { shard: at.shard.id, epoch, start }, None);
    }

    /// The log rejected one of this node's proposals.
    pub(crate) fn rejected(&mut self, ask: Ask, now: Now, out: &mut Vec<Action>) {
        let Role::Primary(primary) = &mut self.role else { return };
        if primary.epoch != ask.epoch {
            return;
        }
        match ask.about {
            About::Member { member, proposal } => {
                primary.gate.on_rejected(proposal);
                if let Some(SetAsked { asked, .. }) = primary.set.get_mut(&member) {
                    asked.rejected(ask.number, now.boot_ms);
                }
            }
            About::Mode { proposal } => {
                if let Some(asked) = &mut primary.mode_asked {
                    asked.rejected(ask.number, now.boot_ms);
                }
                if let Some(proposal) = proposal {
                    primary.gate.on_rejected(proposal);
                    // Another proposal of the same may be on its way: nothing weaker is acknowledged in between.
                    primary.gate.tighten();
                }
            }
            About::Promotion => {}
        }
        out.push(Action::SettleReplies);
    }
}

impl Primary {
    /// Forgets proposals that the log can only reject from here on, and with them what they required. Also finds
    /// those whose outcome nobody told: without this, a member whose proposal was lost would be waited for
    /// for ever.
    pub(crate) fn forget_settled(&mut self, at: At<'_>) {
        let gate = &mut self.gate;
        self.set.retain(|member, change| {
            let open = change.isr_epoch == at.shard.isr_epoch && at.is_registered(*member);
            let counts = at.shard.in_sync.contains(member) || is_keeper(at.shard, *member);
            if !open && change.may_add() && !counts {
                gate.abandon_proposal(*member);
            }
            open
        });
    }

    fn tend(&mut self, at: At<'_>, out: &mut Vec<Action>) {
        let candidates: Vec<Member> = self
            .gate
            .followers()
            .filter(|f| f.attached && matches!(f.requirement, None | Some(Requirement::Awaited)))
            .map(|f| f.member)
            // A keeper is in no set.
            .filter(|member| at.shard.nodes.contains(&member.node))
            .collect();
        let silent = self.gate.silent_members(at.now.ran_ms);
        for member in candidates {
            self.consider(member, at, out);
        }
        self.tend_keeper(at, out);
        self.ask_again(at, out);
        for silent in silent {
            match silent.requirement {
                Requirement::Awaited => self.gate.stop_awaiting(silent.member),
                Requirement::Committed | Requirement::Proposed => self.remove(silent, at, out),
            }
        }
        self.tend_mode(at, out);
    }

    /// Proposes a replica that has kept up.
    fn consider(&mut self, member: Member, at: At<'_>, out: &mut Vec<Action>) {
        if self.set.get(&member).is_some_and(|c| !c.asked.is_due(at.now.boot_ms, REJECTED_AGAIN_MS)) {
            return;
        }
        if !at.is_admissible(member) || self.gate.eligible(member, at.now.ran_ms) != Eligibility::Eligible {
            return;
        }
        let Ok(proposal) = self.gate.propose(member) else {
            // Under load it is always a round trip behind: let replies wait for it, and try on the next tick.
            // Refused, it went meanwhile, and the next tick does not see it.
            let _ = self.gate.await_member(member);
            return;
        };
        let (number, isr_epoch) = (self.next_ask(), at.shard.isr_epoch);
        let asked = Asked::new(number, at.now.boot_ms);
        self.set.insert(member, SetAsked { what: SetChange::Add, asked, isr_epoch });
        let ask = Ask { epoch: self.epoch, number, about: About::Member { member, proposal } };
        let command = Command::AddInSync { shard: at.shard.id, isr_epoch, primary: at.me, member };
        propose(out, command, Some(ask));
    }

    /// Proposes again what has gone unanswered for so long that its outcome is unknown. Whichever of the two is accepted,
    /// the other is stale; so its rejection says nothing, and only the applied state ends the requirement.
    fn ask_again(&mut self, at: At<'_>, out: &mut Vec<Action>) {
        let mut again = Vec::new();
        for (member, change) in &mut self.set {
            let open = change.may_add() && change.isr_epoch == at.shard.isr_epoch;
            if open && change.asked.is_due(at.now.boot_ms, OUTCOME_MS_MAX) {
                self.asks += 1;
                change.asked = Asked::new(self.asks, at.now.boot_ms);
                again.push((*member, *change));
            }
        }
        for (member, SetAsked { what, isr_epoch, .. }) in again {
            let shard = at.shard.id;
            out.push(Action::Tell(Note::OutcomeUnknown { shard, member }));
            let command = match what {
                SetChange::Add => Command::AddInSync { shard, isr_epoch, primary: at.me, member },
                SetChange::Record { from } => recording(Recorded { member, from }, isr_epoch, at),
                // It is asked for in `remove`.
                SetChange::Remove => continue,
            };
            propose(out, command, None);
        }
    }

    /// Has a member removed from the in-sync set, or a keeper dropped; nothing changes before the removal is applied.
    fn remove(&mut self, silent: Silent, at: At<'_>, out: &mut Vec<Action>) {
        let Silent { member, requirement: _, evidence: silence } = silent;
        if !at.shard.nodes.contains(&member.node) {
            return self.drop_keeper(member, Reason::new("silent", silence.to_string()), at, out);
        }
        let asked = self.set.get(&member).filter(|change| change.what == SetChange::Remove);
        if !may_ask(asked.map(|change| change.asked), at.now.boot_ms, AGAIN_MS)
            || !at.shard.in_sync.contains(&member)
        {
            return;
        }
        let (shard, isr_epoch) = (at.shard.id, at.shard.isr_epoch);
        let asked = Asked::new(self.next_ask(), at.now.boot_ms);
        self.set.insert(member, SetAsked { what: SetChange::Remove, asked, isr_epoch });
        out.push(Action::Tell(Note::ToLeave { shard, member, silence }));
        let reason = Reason::new("silent", silence.to_string());
        propose(out, Command::RemoveInSync { shard, isr_epoch, primary: at.me, member, reason }, None);
    }

    fn tend_mode(&mut self, at: At<'_>, out: &mut Vec<Action>) {
        let wanted = wanted_mode(at);
        if self.mode == wanted {
            self.mode_asked = None;
            if wanted == AckMode::Primary {
                // Refused while a rise is under way: its outcome ends it.
                let _ = self.gate.stop_tightening();
            }
            return;
        }
        if wanted == AckMode::InSync {
            self.gate.tighten();
        }
        if !may_ask(self.mode_asked, at.now.boot_ms, AGAIN_MS) {
            return;
        }
        let mut proposal = None;
        if wanted == AckMode::InSync {
            match self.gate.propose_in_sync() {
                Ok(number) => proposal = Some(number),
                // Its outcome is unknown, and asking twice does no harm.
                Err(RaiseError::AlreadyProposed) => {}
                Err(RaiseError::NotTightened | RaiseError::LacksAcknowledged(_)) => return,
            }
        }
        let number = self.next_ask();
        self.mode_asked = Some(Asked::new(number, at.now.boot_ms));
        let ask = Ask { epoch: self.epoch, number, about: About::Mode { proposal } };
        let (shard, isr_epoch) = (at.shard.id, at.shard.isr_epoch);
        let command = Command::SetMode { shard, isr_epoch, primary: at.me, mode: wanted };
        propose(out, command, Some(ask));
    }
}

/// While a plan holds the mode, or a node is out (of an active plan, or of one that ended), what is acknowledged has to be
/// elsewhere. A keeper, too, is there for what was acknowledged to be safe.
fn wanted_mode(at: At<'_>) -> AckMode {
    let is_out = |node| at.state.nodes.get(node).is_some_and(|n| n.out.is_some());
    let held = at.shard.nodes.iter().any(is_out)
        || at.shard.keeper.is_some()
        || at.state.plan.as_ref().is_some_and(Plan::holds_mode);
    if held { AckMode::InSync } else { at.state.policy.steady_mode }
}

pub(crate) fn propose(out: &mut Vec<Action>, command: Command, ask: Option<Ask>) {
    out.push(Action::Propose { command: Box::new(command), ask });
}
