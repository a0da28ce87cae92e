//! The candidate's side of a handover: who is attached to it, and up to where.
//!
//! The other members and the old primary open a link to the candidate before the handover begins, and send it
//! the same acknowledgements that they send to (or, the old primary, would be sent by) the present primary.
//! Those that stand at the fence's offset are proven to be able to go on without a gap: with the candidate
//! they are the in-sync set that the promotion names.
//!
//! *Invariant:* nothing of one attempt is reused by the next: all is keyed by (present source, handover's id).

use crate::message::{Ack, Source};
use ironcache_types::{Epoch, Member, Offset};
use std::collections::{BTreeMap, BTreeSet};

/// Acknowledgements gathered by a candidate in one attempt at a handover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextSources {
    source: Source,
    handover_epoch: Epoch,
    applied: BTreeMap<Member, Offset>,
}

impl NextSources {
    /// An attempt begins: `source` is the present primary, nobody is proven attached.
    pub fn new(source: Source, handover_epoch: Epoch) -> Self {
        NextSources { source, handover_epoch, applied: BTreeMap::new() }
    }

    pub fn handover_epoch(&self) -> Epoch {
        self.handover_epoch
    }

    /// An acknowledgement arrived on the link of `member`. Of another source than the present primary it
    /// says nothing, and the member is not proven.
    pub fn on_ack(&mut self, member: Member, ack: Ack) {
        if ack.source == self.source {
            self.applied.insert(member, ack.applied);
        } else {
            self.applied.remove(&member);
        }
    }

    /// The link of `member` is gone.
    pub fn detach(&mut self, member: Member) {
        self.applied.remove(&member);
    }

    /// The members proven attached at exactly `offset`, in this attempt.
    pub fn attached_at(&self, handover_epoch: Epoch, offset: Offset) -> BTreeSet<Member> {
        if handover_epoch != self.handover_epoch {
            return BTreeSet::new();
        }
        self.applied.iter().filter(|(_, applied)| **applied == offset).map(|(member, _)| *member).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::{Incarnation, NodeId};

    const SOURCE: Source = Source { epoch: Epoch(4), incarnation: Incarnation(1) };

    fn member(node: u64) -> Member {
        Member { node: NodeId(node), incarnation: Incarnation(node) }
    }

    fn ack(source: Source, applied: u64) -> Ack {
        Ack { source, applied: Offset(applied) }
    }

    #[test]
    fn only_members_at_the_fence_are_attached() {
        let mut next = NextSources::new(SOURCE, Epoch(9));
        for (node, applied) in [(1, 100), (2, 99), (3, 100), (4, 101)] {
            next.on_ack(member(node), ack(SOURCE, applied));
        }
        next.detach(member(3));
        assert_eq!(next.attached_at(Epoch(9), Offset(100)), BTreeSet::from([member(1)]));
    }

    #[test]
    fn nothing_of_another_attempt_or_source_counts() {
        let mut next = NextSources::new(SOURCE, Epoch(9));
        next.on_ack(member(1), ack(SOURCE, 100));
        assert_eq!(next.attached_at(Epoch(8), Offset(100)), BTreeSet::new());
        next.on_ack(member(1), ack(Source { epoch: Epoch(9), ..SOURCE }, 100));
        assert_eq!(next.attached_at(Epoch(9), Offset(100)), BTreeSet::new());
    }
}
