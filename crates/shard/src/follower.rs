//! The replica's side of its links: whom it follows, and what it says there.
//!
//! *Invariant:* nothing is followed that the applied state does not name as primary.

use crate::engine::Engine;
use crate::role::Role;
use ironcache_control::Node;
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
    /// The applied state does not name its sender as primary yet.
    NotYet,
    /// The dataset is being written down: nothing is followed any more.
    Sealed,
    /// Keep the dataset; frames follow from here.
    Continue { source: Source, from: Offset },
    /// Empty the dataset; slots follow.
    Discard { source: Source },
}

/// Did it change where commands are sent?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hinted {
    Yes,
    No,
}

impl Engine {
    /// Who is to be linked to: the primary, the candidate, and during a plan everybody of the shard: a handover then finds
    /// the link to its candidate open, and clients do not wait for a connection.
    pub fn sources(&self) -> Vec<Member> {
        let (me, state) = (self.me, &self.state);
        let Some(shard) = self.my_shard().filter(|_| !matches!(self.role, Role::Loading)) else {
            return Vec::new();
        };
        // Only the registered life of this node is accepted anywhere.
        if state.nodes.get(&me.node).is_none_or(|n| n.incarnation != me.incarnation) {
            return Vec::new();
        }
        let candidate = shard.handover.map(|h| h.to);
        let next = shard.nodes.iter().filter_map(|n| state.nodes.get(n));
        let next = next.filter(|n| state.plan.is_some() && n.out.is_none()).map(Node::member);
        let wanted: BTreeSet<Member> = shard.primary().into_iter().chain(candidate).chain(next).collect();
        wanted.into_iter().filter(|m| m.node != me.node).collect()
    }

    /// What is said first on a link to `to`; `None` if there is nothing to say.
    ///
    /// # Errors
    /// What was admitted is not applied yet.
    pub fn introduce(&self, to: Member, levels: LevelRange) -> Result<Option<Hello>, StreamError> {
        let (Some(cluster_id), Some(shard)) = (self.state.cluster_id, self.my_shard()) else {
            return Ok(None);
        };
        let purpose = if shard.is_primary(to) { Purpose::Follow } else { Purpose::NextSource };
        let position = match &self.role {
            Role::Loading => None,
            Role::Replica(replica) => replica.cursor.position()?,
            Role::Primary(primary) => primary.lineage.position_at(primary.gate.end()),
        };
        let (shard, member) = (shard.id, self.me);
        Ok(Some(Hello { versions: LINK_VERSIONS, cluster_id, shard, member, purpose, position, levels }))
    }

    /// Does the applied state still name `member` as primary, in the epoch in which it was followed?
    pub fn is_followed(&self, member: Member, source: Option<Source>) -> bool {
        let named =
            |source: Source| self.my_shard().is_some_and(|s| s.epoch == source.epoch && s.is_primary(member));
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

    /// Follows the sender of `begin`, once the applied state names it as primary.
    ///
    /// # Errors
    /// What it offers does not fit what this node holds.
    pub fn follow(&mut self, member: Member, begin: &SyncBegin) -> Result<Follow, StreamError> {
        if self.sealed {
            return Ok(Follow::Sealed);
        }
        let named = self.my_shard().filter(|s| s.is_primary(member)).map(|s| s.epoch);
        let in_sync = self.my_shard().is_some_and(|s| s.in_sync.contains(&self.me));
        let (Some(epoch), Role::Replica(replica)) = (named, &mut self.role) else {
            return Ok(Follow::NotYet);
        };
        if epoch < begin.source.epoch {
            return Ok(Follow::NotYet);
        }
        let source = Source { epoch, incarnation: member.incarnation };
        let standing = if in_sync { Standing::InSync } else { Standing::Outside };
        let follow = match replica.cursor.follow(source, begin, standing)? {
            Begin::Continue { from } => Follow::Continue { source, from },
            Begin::Discard => Follow::Discard { source },
        };
        replica.read = None;
        replica.link_up = true;
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
        match self.state.nodes.get(&member.node) {
            Some(node) => {
                self.routing.hint(promoted.epoch, member, node.client_addr.clone());
                Hinted::Yes
            }
            None => Hinted::No,
        }
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
