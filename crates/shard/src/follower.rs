//! The replica's side of its links: whom it follows, and what it says there.
//!
//! *Invariant:* nothing is followed that the applied state does not name as the shard's source ([`source_named`]): its
//! primary, or the keeper that it records. A keeper is asked only while no primary is followed, offers no full sync, and
//! costs nothing of what is held.
//! *Invariant:* a primary that a recovery in flight deposes is followed no more: its machine may be gone without a word, and
//! a link that is silent for that is not waited for. What its keeper has is all that was acknowledged.

use crate::engine::Engine;
use crate::role::{Replica, Role};
use ironcache_control::{HandoverVia, Node, Shard};
use ironcache_replication::{
    Ack, Begin, Hello, LINK_VERSIONS, Promoted, Purpose, ReplicaCursor, Source, Standing, StreamError,
    SyncBegin,
};
use ironcache_types::{LevelRange, Member, Offset};
use std::collections::BTreeSet;

/// What becomes of a `SyncBegin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Follow {
    /// The applied state does not name its sender as source yet, or not any more.
    NotYet,
    /// The dataset is being written down: nothing is followed any more.
    Sealed,
    /// Keep the dataset; frames follow from here.
    Continue { source: Source, from: Offset },
    /// Empty the dataset; slots follow.
    Discard { source: Source },
}

/// As what the applied state names a peer, to a node of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    Primary,
    /// It keeps the tail of the present primary's stream.
    Keeper,
}

/// Who may be followed, and in which epoch: the primary that the state names, or the keeper that it records for it.
pub(crate) fn source_named(shard: &Shard, peer: Member) -> Option<(Source, SourceKind)> {
    let source = Source { epoch: shard.epoch, incarnation: peer.incarnation };
    if shard.is_primary(peer) && !is_deposed(shard, peer) {
        return Some((source, SourceKind::Primary));
    }
    let is_keeper = shard.keeper_that_counts().is_some_and(|keeper| keeper.member == peer);
    is_keeper.then_some((source, SourceKind::Keeper))
}

/// Is the link of `replica` up, and that to the primary which the applied state names?
fn follows_primary(shard: &Shard, replica: &Replica) -> bool {
    let primary = shard.primary().filter(|primary| !is_deposed(shard, *primary));
    let of_primary = |source: Source| primary.is_some_and(|p| p.incarnation == source.incarnation);
    replica.link_up && replica.cursor.source().is_some_and(of_primary)
}

/// Is `member` the primary in whose place the keeper hands the shard over?
fn is_deposed(shard: &Shard, member: Member) -> bool {
    shard.is_primary(member) && shard.handover.is_some_and(|handover| handover.via == HandoverVia::Keeper)
}

/// Did it change where commands are sent?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hinted {
    Yes,
    No,
}

impl Engine {
    /// Who is to be linked to: the primary, the keeper while no primary is found, the candidate, and during a plan everybody of the shard: a handover then finds
    /// the link to its candidate open, and clients do not wait for a connection.
    pub fn sources(&self) -> Vec<Member> {
        let (me, state) = (self.me, &self.state);
        let Some(shard) = self.my_shard().filter(|_| !matches!(self.role, Role::Loading)) else {
            return Vec::new();
        };
        // What was sealed is written to the disk as it is: nothing more of a stream is taken.
        if self.sealed {
            return Vec::new();
        }
        // Only the registered life of this node is accepted anywhere.
        if state.nodes.get(&me.node).is_none_or(|n| n.incarnation != me.incarnation) {
            return Vec::new();
        }
        let candidate = shard.handover.map(|h| h.to);
        let next = shard.nodes.iter().filter_map(|n| state.nodes.get(n));
        let next = next.filter(|n| state.plan.is_some() && n.out.is_none()).map(Node::member);
        let keeper = self.asked_keeper(shard);
        let wanted = shard.primary().into_iter().chain(candidate).chain(next).chain(keeper);
        let wanted: BTreeSet<Member> = wanted.collect();
        wanted.into_iter().filter(|m| m.node != me.node && !is_deposed(shard, *m)).collect()
    }

    /// What is said first on a link to `to`; `None` if there is nothing to say.
    ///
    /// # Errors
    /// What was admitted is not applied yet.
    pub fn introduce(&self, to: Member, levels: LevelRange) -> Result<Option<Hello>, StreamError> {
        let (Some(cluster_id), Some(shard)) = (self.state.cluster_id, self.my_shard()) else {
            return Ok(None);
        };
        let purpose = match source_named(shard, to) {
            Some((_, SourceKind::Primary | SourceKind::Keeper)) => Purpose::Follow,
            None => Purpose::NextSource,
        };
        let position = match &self.role {
            Role::Loading => None,
            Role::Replica(replica) => replica.cursor.position()?,
            Role::Primary(primary) => primary.lineage.position_at(primary.gate.end()),
        };
        let (shard, member) = (shard.id, self.me);
        Ok(Some(Hello { versions: LINK_VERSIONS, cluster_id, shard, member, purpose, position, levels }))
    }

    /// The keeper, as long as this node holds less than everything and follows no primary. A member of the set needs none:
    /// it takes over by itself.
    fn asked_keeper(&self, shard: &Shard) -> Option<Member> {
        let Role::Replica(replica) = &self.role else { return None };
        let keeper = shard.keeper_that_counts()?.member;
        (!shard.in_sync.contains(&self.me) && !follows_primary(shard, replica)).then_some(keeper)
    }

    /// The log index that the primary has applied, as it said last; `None` while this node follows no primary. A keeper,
    /// which it may follow instead, says nothing of one that is gone.
    pub fn told_applied(&self) -> Option<u64> {
        match &self.role {
            Role::Replica(replica) => {
                let follows = self.my_shard().is_some_and(|shard| follows_primary(shard, replica));
                follows.then_some(replica.primary_applied)
            }
            Role::Loading | Role::Primary(_) => None,
        }
    }

    /// Does the applied state still name `member` as source, in the epoch in which it was followed?
    pub fn is_followed(&self, member: Member, source: Option<Source>) -> bool {
        let named = |source: Source| {
            let by_now = self.my_shard().and_then(|shard| source_named(shard, member));
            by_now.is_some_and(|(named, _)| named == source)
        };
        !self.sealed && source.is_none_or(named)
    }

    /// What the stream of `source` changes; `None` if this node is no replica.
    #[inline]
    pub fn stream(&mut self) -> Option<&mut ReplicaCursor> {
        match &mut self.role {
            Role::Replica(replica) => Some(&mut replica.cursor),
            Role::Loading | Role::Primary(_) => None,
        }
    }

    /// Follows the sender of `begin`, once the applied state names it as source.
    ///
    /// # Errors
    /// What it offers does not fit what this node holds.
    pub fn follow(&mut self, member: Member, begin: &SyncBegin) -> Result<Follow, StreamError> {
        if self.sealed {
            return Ok(Follow::Sealed);
        }
        let Some(shard) = self.my_shard() else { return Ok(Follow::NotYet) };
        let named = source_named(shard, member);
        let in_sync = shard.in_sync.contains(&self.me);
        // What a recovery goes through is the shard's only copy, until its outcome is known.
        let recovers = shard.handover.is_some_and(|h| h.to == self.me && h.via == HandoverVia::Keeper);
        let is_asked = self.asked_keeper(shard) == Some(member);
        let (Some((source, kind)), Role::Replica(replica)) = (named, &mut self.role) else {
            return Ok(Follow::NotYet);
        };
        if source.epoch < begin.source.epoch {
            return Ok(Follow::NotYet);
        }
        if kind == SourceKind::Keeper && !is_asked {
            // A primary was found meanwhile: a keeper never comes before it.
            return Ok(Follow::NotYet);
        }
        // A keeper has no dataset that could stand for what is held here.
        let may_discard = !in_sync && !recovers && kind == SourceKind::Primary;
        let standing = if may_discard { Standing::Outside } else { Standing::InSync };
        let follow = match replica.cursor.follow(source, begin, standing)? {
            Begin::Continue { from } => Follow::Continue { source, from },
            Begin::Discard => Follow::Discard { source },
        };
        replica.read = None;
        replica.link_up = true;
        // What an earlier primary said is not of this one.
        replica.primary_applied = 0;
        Ok(follow)
    }

    /// The link to `member` is gone. Answers whether it was the source: nothing comes from it any more.
    pub fn unfollow(&mut self, member: Member) -> bool {
        match &mut self.role {
            Role::Replica(replica)
                if replica.cursor.source().is_some_and(|s| s.incarnation == member.incarnation) =>
            {
                replica.cursor.detach();
                replica.link_up = false;
                true
            }
            Role::Loading | Role::Replica(_) | Role::Primary(_) => false,
        }
    }

    /// The primary says how far it has applied the log.
    pub fn primary_applied(&mut self, index: u64) {
        if let Role::Replica(replica) = &mut self.role {
            replica.primary_applied = replica.primary_applied.max(index);
        }
    }

    /// A candidate says that it was promoted, before that is applied here: commands are redirected to it already.
    pub fn hint(&mut self, member: Member, promoted: Promoted) -> Hinted {
        if !self.state.nodes.contains_key(&member.node) {
            return Hinted::No;
        }
        self.routing.hint(promoted.epoch, member);
        Hinted::Yes
    }

    /// Would a handover in flight promote this member?
    pub fn is_candidate_of(&self, member: Member) -> bool {
        self.my_shard().and_then(|s| s.handover).is_some_and(|h| h.to == member)
    }

    /// What this node tells `member`, from which it streams as `source` or, without one, may do so one day.
    pub fn acknowledgement(&self, member: Member, source: Option<Source>) -> Option<Ack> {
        // The next source hears nothing before a handover to it has begun.
        if source.is_none() && !self.is_candidate_of(member) {
            return None;
        }
        match &self.role {
            Role::Loading => None,
            Role::Replica(replica) => replica.cursor.ack(),
            // Handing over: fenced, it stands at the end of its own stream.
            Role::Primary(primary) => {
                let fence = primary.handover.as_ref().and_then(crate::handover::HandingOver::fence);
                fence.map(|applied| Ack { source: primary.gate.source(), applied })
            }
        }
    }
}
