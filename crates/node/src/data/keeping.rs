//! The primary's side of its keeper: attaches it, has it recorded, requires it, and lets it go.
//!
//! ```text
//!  leader: WantKeeper{node} ─► the node says hello ─► attached: where its tail begins ─► it holds what was acknowledged
//!     ─► SetKeeper{it} proposed, and required from here on ─► … ─► SetKeeper{none} applied: required no more
//! ```
//!
//! *Invariant:* a recorded keeper, and one that may be, is required like a member of the set: nothing is acknowledged
//! without it (the same [`AckGate`](ironcache_replication::AckGate)), and it counts where writes ask for a number of copies.
//! *Invariant:* it leaves by an entry, for one of three reasons: it is silent, it said that it cannot write, or enough
//! members hold everything and nobody wishes it.
//! *Invariant:* a new start as primary knows no keeper: every start of an owner clears the record.

use super::DataNode;
use super::membership::{PROPOSE_AGAIN, REJECTED_AGAIN, undo_if_rejected};
use super::plane::Plane;
use super::refusal::Refusal;
use super::role::{Asked, Role, SetChange};
use ironcache_control::{Command, KeeperBase, NewKeeper, Reason, Shard};
use ironcache_replication::{Hello, Resync, SyncMode};
use ironcache_shard::keeper::{Attach, Recorded, Stream, attach};
use ironcache_types::{Epoch, Member, NodeId};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

/// What a primary knows of its keeper besides the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeping {
    attached: Option<Recorded>,
    /// The log may have accepted it.
    proposed: Option<Recorded>,
    /// It said so itself.
    gave_up: Option<(Member, String)>,
}

/// What the log is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Record(Recorded),
    Drop { member: Member, reason: Reason },
}

impl Keeping {
    fn next(&self, shard: &Shard) -> Option<Step> {
        let recorded = shard.keeper_that_counts();
        if let (Some(keeper), Some((member, text))) = (recorded, &self.gave_up)
            && keeper.member == *member
        {
            return Some(Step::Drop { member: *member, reason: Reason::new("cannot_keep", text.clone()) });
        }
        if let Some(keeper) = recorded
            && shard.keeper_wanted.is_none()
            && shard.in_sync.len() >= shard.members_min()
        {
            let reason = Reason::new("not_needed", "enough members hold what is acknowledged");
            return Some(Step::Drop { member: keeper.member, reason });
        }
        let attached = self.attached.filter(|a| shard.keeper_wanted == Some(a.member.node))?;
        let known = recorded.is_some_and(|k| (k.member, k.from) == (attached.member, attached.from));
        (!known).then_some(Step::Record(attached))
    }

    /// What the log says, or may come to say, of a tail that this node keeps.
    fn recorded(&self, shard: &Shard, member: Member, is_open: impl Fn(Member) -> bool) -> Option<Recorded> {
        let proposed = self.proposed.filter(|p| p.member == member && is_open(p.member));
        let recorded = shard.keeper_that_counts().filter(|keeper| keeper.member.node == member.node);
        proposed.or(recorded.map(|keeper| Recorded { member: keeper.member, from: keeper.from }))
    }
}

impl Plane {
    /// A node says that it keeps the tail of this shard: from where on it is sent the stream.
    pub(crate) fn attach_keeper(&mut self, hello: &Hello) -> Result<SyncMode, Refusal> {
        let state = Arc::clone(&self.view.state);
        let stream = Stream { start: self.backlog.start(), end: self.backlog.end() };
        let Role::Primary(primary) = &mut self.role else { return Err(Refusal::NotPrimary) };
        let shard = state.shards.get(&primary.shard).filter(|shard| shard.epoch == primary.epoch);
        let shard = shard.ok_or(Refusal::NotPrimary)?;
        let member = hello.member;
        let is_open =
            |member| primary.proposals.get(&member).is_some_and(|asked| asked.what == SetChange::Add);
        let recorded = primary.keeping.recorded(shard, member, is_open);
        let resumes_at = match primary.lineage.can_resume(hello.position, stream.start, stream.end) {
            Resync::Partial { from } => Some(from),
            Resync::Full { reason: _ } => None,
        };
        let Attach { start, from } = attach(&state, shard, member, recorded, resumes_at, stream)?;
        tracing::info!(shard = %shard.id, %member, %from, %start, "a keeper is attached");
        primary.keeping.attached = Some(Recorded { member, from });
        primary.keeping.gave_up = None;
        Ok(SyncMode::Partial { from: start })
    }

    /// The other end of a link says that it takes nothing more.
    pub(crate) fn keeper_gave_up(&mut self, member: Member, why: &str) {
        let Role::Primary(primary) = &mut self.role else { return };
        if primary.keeping.attached.is_some_and(|attached| attached.member == member) {
            primary.keeping.attached = None;
            primary.keeping.gave_up = Some((member, why.to_owned()));
        }
    }

    /// Does this node hold a copy of the shard? A keeper does not.
    pub(crate) fn is_of_my_shard(&self, node: NodeId) -> bool {
        self.my_shard().is_some_and(|shard| shard.nodes.contains(&node))
    }
}

/// Whose acknowledgement the applied state demands of a primary.
pub(super) fn required(shard: &Shard, me: Member) -> BTreeSet<Member> {
    let keeper = shard.keeper_that_counts().map(|keeper| keeper.member);
    shard.in_sync.iter().copied().filter(|member| *member != me).chain(keeper).collect()
}

/// In how many places the applied state says that an acknowledged write is.
pub(super) fn copies(shard: &Shard) -> usize {
    shard.in_sync.len() + usize::from(shard.keeper_that_counts().is_some())
}

pub(super) fn is_keeper(shard: &Shard, member: Member) -> bool {
    shard.keeper_that_counts().is_some_and(|keeper| keeper.member == member)
}

/// To be called at every tick of a primary that hands nothing over.
pub(super) fn tend(node: &Rc<DataNode>, plane: &mut Plane) {
    let state = Arc::clone(&plane.view.state);
    let Some(shard) = state.shard_of_node(plane.me.node) else { return };
    let Role::Primary(primary) = &plane.role else { return };
    if primary.epoch != shard.epoch {
        return;
    }
    match primary.keeping.next(shard) {
        Some(Step::Record(attached)) => record(node, plane, shard, attached),
        Some(Step::Drop { member, reason }) => drop_keeper(plane, shard, member, reason),
        None => {}
    }
}

/// Proposes a keeper that holds all that was acknowledged.
fn record(node: &Rc<DataNode>, plane: &mut Plane, shard: &Shard, attached: Recorded) {
    let member = attached.member;
    let Role::Primary(primary) = &mut plane.role else { return };
    let is_open = |asked: &Asked| match asked.what {
        SetChange::Add | SetChange::Remove => true,
        SetChange::Rejected => asked.at.elapsed() < REJECTED_AGAIN,
    };
    if primary.proposals.get(&member).is_some_and(is_open) {
        return;
    }
    let Ok(proposal) = primary.gate.propose(member) else {
        // Under load it is always a round trip behind: let replies wait for it, and try on the next tick.
        if let Err(error) = primary.gate.await_member(member) {
            tracing::debug!(%error, "the keeper is not awaited");
        }
        return;
    };
    let isr_epoch = shard.isr_epoch;
    primary.keeping.proposed = Some(attached);
    primary.proposals.insert(member, Asked { what: SetChange::Add, at: Instant::now(), isr_epoch });
    let command = recording(shard, plane.me, attached, isr_epoch);
    let (rejected, rejection) = oneshot::channel();
    plane.propose(command, Some(rejected));
    spawn_local(undo_if_rejected(Rc::clone(node), member, proposal, rejection));
}

/// The same proposal, whose outcome is unknown.
pub(super) fn record_again(
    plane: &Plane,
    shard: &Shard,
    member: Member,
    isr_epoch: Epoch,
) -> Option<Command> {
    let proposed = plane.primary()?.keeping.proposed.filter(|proposed| proposed.member == member)?;
    Some(recording(shard, plane.me, proposed, isr_epoch))
}

fn recording(shard: &Shard, me: Member, tail: Recorded, isr_epoch: Epoch) -> Command {
    let Recorded { member, from } = tail;
    let keeper = Some(NewKeeper { member, from, base: KeeperBase::Leaver });
    let reason = Reason::new("holds", "it holds what was acknowledged since its tail began");
    Command::SetKeeper { shard: shard.id, isr_epoch, primary: me, keeper, reason }
}

/// Has the keeper dropped; it is required until that is applied.
pub(super) fn drop_keeper(plane: &mut Plane, shard: &Shard, member: Member, reason: Reason) {
    let me = plane.me;
    let Role::Primary(primary) = &mut plane.role else { return };
    let asked = primary.proposals.get(&member).filter(|asked| asked.what == SetChange::Remove);
    if asked.is_some_and(|asked| asked.at.elapsed() < PROPOSE_AGAIN) || !is_keeper(shard, member) {
        return;
    }
    let isr_epoch = shard.isr_epoch;
    primary.proposals.insert(member, Asked { what: SetChange::Remove, at: Instant::now(), isr_epoch });
    tracing::info!(shard = %shard.id, %member, %reason, "the keeper is to be dropped");
    plane.propose(Command::SetKeeper { shard: shard.id, isr_epoch, primary: me, keeper: None, reason }, None);
}
