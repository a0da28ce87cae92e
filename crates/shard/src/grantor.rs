//! The leader's side of the lease: who was granted one, and which life may be deposed.
//!
//! A leader answers only after a quorum round that began after the question, so a leader that is elected later commits its
//! first entry after every question that an earlier one has answered. Therefore, counted from the last answer that *this*
//! leader gave, or from its own first commit, whichever is later, the length of a lease (and what clocks may differ) is
//! enough: no lease of the life still runs.
//!
//! ```text
//!   leader of term 4: ── answer ── answer ── ✗
//!   leader of term 5:                          elected ── first commit ──── lease and margin ────> may depose
//! ```
//! *Invariant:* from the moment in which a deposing entry is proposed until the log has rejected it, the life that it
//! deposes is granted nothing. If nobody tells what became of it, nothing is granted to that life in this term any more.
//! *Invariant:* a grant is in force only for who has applied every deposing entry of this leader of which it knew the outcome
//! by then: the round that a question waited for may have read an older index.
//! *Invariant:* an entry may depose only in the term of the leader that waited: see `Failover` in the control state.
//!
//! Assumed: no node's clock stands still, or runs slower by more than [`DRIFT_PERCENT`], while others run.

use ironcache_control::{Command, ControlState, RaftTimers, Recover};
use ironcache_types::{Epoch, Member, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// How much slower the clock of a primary may run than the leader's. Quartz differs by a thousandth of it; what is paid is a
/// hundredth of the time without a primary.
const DRIFT_PERCENT: u64 = 1;
/// What else lies between two readings of clocks in whole milliseconds.
const MARGIN_MS: u64 = 20;

/// For so long a life has to be without an answer before it may be deposed, in ms.
pub fn depose_after_ms(timers: &RaftTimers) -> u64 {
    let lease_ms = timers.lease_ms();
    lease_ms + lease_ms * DRIFT_PERCENT / 100 + MARGIN_MS
}

/// The owner that `command` would depose, if one may still answer: only the leader itself proposes that, after [`Grantor::depose`].
pub fn deposed(state: &ControlState, command: &Command) -> Option<(ShardId, Member)> {
    let (Command::Failover { shard, .. }
    | Command::BeginRecovery { shard, .. }
    | Command::Recover(Recover { shard, .. })) = command
    else {
        return None;
    };
    Some((*shard, state.shards.get(shard)?.may_answer()?))
}

/// Why a life gets no lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGranted {
    #[error("{member} is not the registered life of its node")]
    NotRegistered { member: Member },
    #[error("the data thread of {member} has not moved for {silence_ms} ms; {hang_timeout_ms} ms are a hang")]
    Hangs { member: Member, silence_ms: u64, hang_timeout_ms: u64 },
    #[error("an entry that deposes {member} is under way")]
    Deposing { member: Member },
    #[error("this node leads no term in which it has committed an entry")]
    NotLeading,
}

/// The quorum round that a question waited for: it began after the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    pub term: u64,
    /// The read index: what was committed when it began.
    pub index: u64,
}

/// One term of leadership. Another term begins with another value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grantor {
    term: Option<u64>,
    answered_ms: BTreeMap<Member, u64>,
    /// Under which ownership epoch each shard was last seen, and since when: at the earliest, when this leader had committed
    /// its first entry. An owner's own promotion was its first grant.
    owned_ms: BTreeMap<ShardId, (Epoch, u64)>,
    deposing: BTreeSet<Member>,
    /// The newest of its own deposing entries whose outcome it knows.
    settled_at: u64,
}

/// A deposing entry may be proposed, and has to be [`Grantor::settled`] when the log has rejected it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Deposing(pub Member);

impl Grantor {
    /// The leader of `term` has applied `state`, with an entry of its term in it.
    pub fn leads(&mut self, term: u64, state: &ControlState, now_ms: u64) {
        if self.term != Some(term) {
            *self = Grantor { term: Some(term), ..Grantor::default() };
        }
        for shard in state.shards.values() {
            let seen = self.owned_ms.entry(shard.id).or_insert((shard.epoch, now_ms));
            if seen.0 != shard.epoch {
                *seen = (shard.epoch, now_ms);
            }
        }
    }

    /// It leads no more.
    pub fn ended(&mut self) {
        *self = Grantor::default();
    }

    /// A life asked; `round` was after its question, and `state` is what was applied at some time since. Answers what the life
    /// has to have applied before the lease is in force.
    ///
    /// # Errors
    /// Why it is granted nothing.
    pub fn grant(
        &mut self,
        member: Member,
        silence_ms: u64,
        hang_timeout_ms: u64,
        round: Round,
        state: &ControlState,
        now_ms: u64,
    ) -> Result<u64, NotGranted> {
        if self.term != Some(round.term) {
            return Err(NotGranted::NotLeading);
        }
        if state.nodes.get(&member.node).is_none_or(|node| node.member() != member) {
            return Err(NotGranted::NotRegistered { member });
        }
        if self.deposing.contains(&member) {
            return Err(NotGranted::Deposing { member });
        }
        if silence_ms >= hang_timeout_ms {
            return Err(NotGranted::Hangs { member, silence_ms, hang_timeout_ms });
        }
        self.answered_ms.insert(member, now_ms);
        Ok(round.index.max(self.settled_at))
    }

    /// For how long the owner of a shard has certainly been without an answer, in ms: 0 while this node does not lead.
    pub fn unanswered_ms(&self, shard: ShardId, owner: Member, now_ms: u64) -> u64 {
        let Some((_, owned_ms)) = self.owned_ms.get(&shard) else { return 0 };
        let answered_ms = self.answered_ms.get(&owner).unwrap_or(owned_ms);
        now_ms.saturating_sub(*owned_ms.max(answered_ms))
    }

    /// Of each shard that has an owner which may still answer, for how long that has been without one itself.
    pub fn unanswered<'a>(
        &'a self,
        state: &'a ControlState,
        now_ms: u64,
    ) -> impl Iterator<Item = (ShardId, u64)> + 'a {
        let owned = state.shards.values().filter_map(|shard| Some((shard.id, shard.may_answer()?)));
        owned.map(move |(shard, owner)| (shard, self.unanswered_ms(shard, owner, now_ms)))
    }

    /// A deposing entry is to be proposed, if nothing speaks against it now: `None` if an answer came in between.
    pub fn depose(
        &mut self,
        shard: ShardId,
        owner: Member,
        timers: &RaftTimers,
        now_ms: u64,
    ) -> Option<Deposing> {
        let due = self.unanswered_ms(shard, owner, now_ms) >= depose_after_ms(timers);
        due.then(|| {
            self.deposing.insert(owner);
            Deposing(owner)
        })
    }

    /// The log has decided on the entry, at `index`, and this leader knows it.
    pub fn settled(&mut self, Deposing(owner): Deposing, index: u64) {
        self.deposing.remove(&owner);
        self.settled_at = self.settled_at.max(index);
    }
}
