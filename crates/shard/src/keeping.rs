//! The primary's side of its keeper: attaches it, has it recorded, requires it, and lets it go.
//!
//! ```text
//!  leader: WantKeeper{node} ─► the node says hello ─► attached: where its tail begins ─► it holds what was acknowledged
//!     ─► SetKeeper{it} proposed, and required from here on ─► … ─► SetKeeper{none} applied: required no more
//! ```
//!
//! *Invariant:* a recorded keeper, and one that may be, is required like a member of the set: nothing is acknowledged
//! without it (the same [`AckGate`](ironcache_replication::AckGate)), and it counts where writes ask for a number of copies.
//! *Invariant:* a tail is recorded once every member holds what is before it, as it said itself: whoever leaves takes the
//! base along that the tail continues.
//! *Invariant:* while one member is left, no tail takes the place of a recorded one that begins earlier.
//! *Invariant:* what was proposed of a tail stays known until the log can accept it no more, whoever is wished meanwhile: a
//! keeper that comes back goes on where its file ends, or is not attached.
//! *Invariant:* it leaves by an entry, for one of three reasons: it is silent, it said that it cannot write, or enough
//! members hold everything and nobody wishes it; and were heard since the log says so: one that died while its entry was
//! under way takes no keeper's place.
//! *Invariant:* a new start as primary knows no keeper: every start of an owner clears the record.

use crate::action::{Action, Note};
use crate::asked::{AGAIN_MS, About, Ask, Asked, OUTCOME_MS_MAX, may_ask};
use crate::at::At;
use crate::engine::Engine;
use crate::keeper::{Attach, NotAttached, Recorded, Stream, attach, relied_on};
use crate::role::{Primary, Role};
use crate::set::{SetAsked, SetChange, propose};
use ironcache_control::{Command, KeeperBase, NewKeeper, Reason, Shard};
use ironcache_replication::{Hello, Resync, SyncMode};
use ironcache_types::{Epoch, Member, NodeId, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a primary knows of its keeper besides the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeping {
    /// Each node's newest. The leader may wish for one, for another, and for the first one again, whose link is up still.
    attached: BTreeMap<NodeId, Recorded>,
    /// It said so itself.
    gave_up: Option<(Member, String)>,
    /// The newest in-sync set by its epoch, and when this primary had applied it (`ran_ms`).
    set_since: Option<(Epoch, u64)>,
}

/// Why a node that would keep the tail is not sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    #[error("this node is not the primary of the shard")]
    NotPrimary,
    #[error(transparent)]
    NotAttached(#[from] NotAttached),
}

/// What the log is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Record(Recorded),
    Drop { member: Member, reason: Reason },
}

impl Keeping {
    /// The log says who is in the set.
    pub(crate) fn applied(&mut self, shard: &Shard, now_ms: u64) {
        if self.set_since.is_none_or(|(epoch, _)| epoch != shard.isr_epoch) {
            self.set_since = Some((shard.isr_epoch, now_ms));
        }
    }

    /// `are_heard`: every other member of the set was, since that set was applied.
    fn next(&self, shard: &Shard, are_heard: bool) -> Option<Step> {
        let recorded = shard.keeper_that_counts();
        if let (Some(keeper), Some((member, text))) = (recorded, &self.gave_up)
            && keeper.member == *member
        {
            return Some(Step::Drop { member: *member, reason: Reason::new("cannot_keep", text.clone()) });
        }
        if let Some(keeper) = recorded
            && shard.keeper_wanted.is_none()
            && shard.in_sync.len() >= shard.members_min()
            && are_heard
        {
            let reason = Reason::new("not_needed", "enough members hold what is acknowledged");
            return Some(Step::Drop { member: keeper.member, reason });
        }
        let attached = *self.attached.get(&shard.keeper_wanted?)?;
        let known = recorded.is_some_and(|k| (k.member, k.from) == (attached.member, attached.from));
        // It was attached while there were two members. The other one may lack what the stream has before this tail, and the
        // recorded one has that.
        let is_shorter = relied_on(shard, attached.member.node).is_some_and(|k| attached.from > k.from);
        (!known && !is_shorter).then_some(Step::Record(attached))
    }
}

/// What the log says, or by `asked` may come to say, of a tail that this node keeps.
fn recorded(shard: &Shard, member: Member, asked: Option<&SetAsked>) -> Option<Recorded> {
    let proposed = asked.and_then(SetAsked::may_record).map(|from| Recorded { member, from });
    let recorded = shard.keeper_that_counts().filter(|keeper| keeper.member.node == member.node);
    proposed.or(recorded.map(|keeper| Recorded { member: keeper.member, from: keeper.from }))
}

impl Engine {
    /// A node says that it keeps the tail of this shard, whose backlog begins at `backlog_start`: from where on it is sent
    /// the stream.
    ///
    /// # Errors
    /// Why it is not.
    pub fn attach_keeper(&mut self, hello: &Hello, backlog_start: Offset) -> Result<SyncMode, NotKept> {
        let state = Arc::clone(&self.state);
        let Role::Primary(primary) = &mut self.role else { return Err(NotKept::NotPrimary) };
        let shard = state.shards.get(&primary.shard).filter(|shard| shard.epoch == primary.epoch);
        let shard = shard.ok_or(NotKept::NotPrimary)?;
        let member = hello.member;
        let stream = Stream { start: backlog_start, end: primary.gate.end() };
        let recorded = recorded(shard, member, primary.set.get(&member));
        let resumes_at = match primary.lineage.can_resume(hello.position, stream.start, stream.end) {
            Resync::Partial { from } => Some(from),
            Resync::Full { reason: _ } => None,
        };
        let Attach { start, from } = attach(&state, shard, member, recorded, resumes_at, stream)?;
        primary.keeping.attached.insert(member.node, Recorded { member, from });
        primary.keeping.gave_up.take_if(|(earlier, _)| earlier.node == member.node);
        Ok(SyncMode::Partial { from: start })
    }

    /// The other end of a link says that it takes nothing more.
    pub fn keeper_gave_up(&mut self, member: Member, why: &str) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Keeping { attached, gave_up, set_since: _ } = &mut primary.keeping;
        if attached.get(&member.node).is_some_and(|attached| attached.member == member) {
            attached.remove(&member.node);
            *gave_up = Some((member, why.to_owned()));
        }
    }
}

/// Whose acknowledgement the applied state demands of a primary.
pub(crate) fn required(shard: &Shard, me: Member) -> BTreeSet<Member> {
    let keeper = shard.keeper_that_counts().map(|keeper| keeper.member);
    shard.in_sync.iter().copied().filter(|member| *member != me).chain(keeper).collect()
}

/// In how many places the applied state says that an acknowledged write is.
pub(crate) fn copies(shard: &Shard) -> usize {
    shard.in_sync.len() + usize::from(shard.keeper_that_counts().is_some())
}

pub(crate) fn is_keeper(shard: &Shard, member: Member) -> bool {
    shard.keeper_that_counts().is_some_and(|keeper| keeper.member == member)
}

impl Primary {
    /// To be called at every tick of a primary that hands nothing over.
    pub(crate) fn tend_keeper(&mut self, at: At<'_>, out: &mut Vec<Action>) {
        if self.epoch != at.shard.epoch {
            return;
        }
        let are_heard = self.keeping.set_since.is_some_and(|(_, since_ms)| {
            let mut others = at.shard.in_sync.iter().filter(|member| **member != at.me);
            others.all(|member| self.gate.is_heard_since(*member, since_ms))
        });
        match self.keeping.next(at.shard, are_heard) {
            Some(Step::Record(attached)) => self.record_keeper(attached, at, out),
            Some(Step::Drop { member, reason }) => self.drop_keeper(member, reason, at, out),
            None => {}
        }
    }

    /// Proposes a keeper that holds all that was acknowledged.
    fn record_keeper(&mut self, tail: Recorded, at: At<'_>, out: &mut Vec<Action>) {
        let member = tail.member;
        if self.set.get(&member).is_some_and(|change| !change.asked.is_due(at.now.boot_ms, OUTCOME_MS_MAX)) {
            return;
        }
        // Each member may leave from here on, and what it takes along is all that there is below the tail.
        if self.gate.acknowledged() < tail.from {
            return;
        }
        let Ok(proposal) = self.gate.propose(member) else {
            // Under load it is always a round trip behind: let replies wait for it, and try on the next tick.
            let _ = self.gate.await_member(member);
            return;
        };
        let (number, isr_epoch) = (self.next_ask(), at.shard.isr_epoch);
        let asked = Asked::new(number, at.now.boot_ms);
        self.set.insert(member, SetAsked { what: SetChange::Record { from: tail.from }, asked, isr_epoch });
        let ask = Ask { epoch: self.epoch, number, about: About::Member { member, proposal } };
        propose(out, recording(tail, isr_epoch, at), Some(ask));
    }

    /// Has the keeper dropped; it is required until that is applied.
    pub(crate) fn drop_keeper(&mut self, member: Member, reason: Reason, at: At<'_>, out: &mut Vec<Action>) {
        let asked = self.set.get(&member).filter(|change| change.what == SetChange::Remove);
        if !may_ask(asked.map(|change| change.asked), at.now.boot_ms, AGAIN_MS)
            || !is_keeper(at.shard, member)
        {
            return;
        }
        let (shard, isr_epoch) = (at.shard.id, at.shard.isr_epoch);
        let asked = Asked::new(self.next_ask(), at.now.boot_ms);
        self.set.insert(member, SetAsked { what: SetChange::Remove, asked, isr_epoch });
        out.push(Action::Tell(Note::KeeperToGo { shard, member }));
        propose(out, Command::SetKeeper { shard, isr_epoch, primary: at.me, keeper: None, reason }, None);
    }
}

/// The entry that would have it recorded.
pub(crate) fn recording(tail: Recorded, isr_epoch: Epoch, at: At<'_>) -> Command {
    let Recorded { member, from } = tail;
    let keeper = Some(NewKeeper { member, from, base: KeeperBase::Leaver });
    let reason = Reason::new("holds", "it holds what was acknowledged since its tail began");
    Command::SetKeeper { shard: at.shard.id, isr_epoch, primary: at.me, keeper, reason }
}

#[cfg(test)]
mod tests;
