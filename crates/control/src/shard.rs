//! A shard: who owns its slots, who may be promoted, how writes are acknowledged.

use ironcache_types::{Epoch, Incarnation, Member, NodeId, Offset, ShardId, SlotSet};
use std::collections::BTreeSet;
use std::fmt;

/// When the primary may answer a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckMode {
    /// At once; an in-sync member may trail by at most the configured lag.
    Primary,
    /// After every in-sync member has applied it.
    InSync,
}

impl fmt::Display for AckMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AckMode::Primary => "primary",
            AckMode::InSync => "in-sync",
        })
    }
}

/// Who executes a shard's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    Serving(Member),
    /// The primary's process ended, and nobody has taken over yet.
    Recovering {
        last: Member,
        lease: LastLease,
    },
}

/// Is it certain that the last owner answers nobody any more?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLease {
    /// Its node runs a later process on the same machine, and a data directory has one process at a time.
    Ended,
    /// A later life registered from elsewhere: the last owner may run on, and answer for as long as its lease lasts.
    MayRun,
}

/// Who holds the tail of the shard's stream while the shard has one full member left: whole frames of `epoch`, from
/// `from` on, each acknowledged to the primary before anybody is told of the write.
///
/// *Invariant:* as it was recorded, every member of the set held everything below `from`: what a leaver takes along and
/// the tail are the whole dataset.
/// *Invariant:* it counts only while its epoch is the shard's; every start of an owner clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeper {
    pub member: Member,
    /// The shard's, as it was recorded.
    pub epoch: Epoch,
    pub from: Offset,
    pub base: KeeperBase,
}

/// What the tail of a keeper continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperBase {
    /// What a member took along when it left: the keeper has nothing below `from`.
    Leaver,
    /// A whole dataset that the keeper received first.
    Own,
}

/// A keeper as its primary names it. The record takes the shard's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewKeeper {
    pub member: Member,
    pub from: Offset,
    pub base: KeeperBase,
}

/// A start of a primary: the ownership epoch, and the offset at which it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineageEntry {
    pub epoch: Epoch,
    /// `None` until the promoted node has published it (`PrimaryReady`).
    pub start: Option<Offset>,
}

/// Whose stream the candidate of a handover takes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandoverVia {
    /// The primary's own: it fixes the end, and says so in the stream.
    Primary,
    /// The primary is gone; `from` is its keeper, which does so in its place.
    Keeper,
}

/// A promotion in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Names the attempt. Frames are never checked against it; only a committed promotion raises the
    /// ownership epoch.
    pub epoch: Epoch,
    pub from: Member,
    pub to: Member,
    /// Log index of `BeginHandover` or `BeginRecovery`.
    pub log_index: u64,
    pub via: HandoverVia,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub id: ShardId,
    pub slots: SlotSet,
    /// The nodes that hold this shard, in the order of the cluster's creation.
    pub nodes: Vec<NodeId>,
    pub ownership: Ownership,
    /// Ownership epoch: fresh at every start of a primary.
    pub epoch: Epoch,
    /// Epoch of the last change of the in-sync set or of the mode.
    pub isr_epoch: Epoch,
    /// The incarnations that a promotion may choose from, the primary's included while it serves.
    pub in_sync: BTreeSet<Member>,
    /// Between plans as the policy's `steady_mode` says; a plan raises it to in-sync.
    pub mode: AckMode,
    /// Oldest first; bounded. Its epochs rise, and its starts never fall.
    pub lineage: Vec<LineageEntry>,
    pub handover: Option<Handover>,
    pub losses: Losses,
    pub keeper: Option<Keeper>,
    /// Whom the leader wants to keep; the primary takes it for its keeper once it holds the tail.
    pub keeper_wanted: Option<NodeId>,
    /// A node of the shard is out, or was, and what has been acknowledged since is in one process only. Until another
    /// keeper, or a set of two.
    pub exposed: bool,
}

/// What a shard is known to have lost: every [`crate::Recover`] that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// How often the shard went on without any member of its set.
    pub recoveries: u64,
    /// Of all of them: the bytes that are known to be gone.
    pub bytes_min: u64,
    /// The newest, oldest first; at most [`Losses::NEWEST_MAX`].
    pub newest: Vec<Recovery>,
}

/// One time that a shard went on with what was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The ownership epoch that began with it.
    pub epoch: Epoch,
    pub to: Member,
    /// Everything below it was kept.
    pub at: Offset,
    pub bytes_min: u64,
    /// The members whose data was not waited for any longer.
    pub given_up: BTreeSet<Member>,
    pub by: RecoveredBy,
    /// The proposer's clock, Unix ms.
    pub at_ms: u64,
    /// When what was kept had been written to a disk, Unix ms: whatever came later is lost. `None`: it was in memory.
    pub as_of_ms: Option<u64>,
}

/// Who accepted the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveredBy {
    /// The leader, as the policy's `on-total-loss` says.
    Policy,
    Operator,
}

impl fmt::Display for RecoveredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecoveredBy::Policy => "policy",
            RecoveredBy::Operator => "operator",
        })
    }
}

impl Losses {
    /// More are of no use to anybody who asks what happened; all of them are in every snapshot.
    pub const NEWEST_MAX: usize = 8;

    pub(crate) fn note(&mut self, recovery: Recovery) {
        self.recoveries = self.recoveries.saturating_add(1);
        self.bytes_min = self.bytes_min.saturating_add(recovery.bytes_min);
        self.newest.push(recovery);
        if self.newest.len() > Self::NEWEST_MAX {
            self.newest.remove(0);
        }
    }
}

impl Shard {
    /// How many starts the lineage keeps. More would only help a replica that slept through this many
    /// promotions and still has its position in the backlog; fewer makes such a replica sync in full.
    pub const LINEAGE_MAX: usize = 64;

    pub fn primary(&self) -> Option<Member> {
        match self.ownership {
            Ownership::Serving(member) => Some(member),
            Ownership::Recovering { .. } => None,
        }
    }

    pub fn is_primary(&self, member: Member) -> bool {
        self.primary() == Some(member)
    }

    /// The life that may answer clients under a lease: who takes its place has to wait for the lease's end. `None` if it is
    /// certain that nobody does.
    pub fn may_answer(&self) -> Option<Member> {
        match self.ownership {
            Ownership::Serving(owner) | Ownership::Recovering { last: owner, lease: LastLease::MayRun } => {
                Some(owner)
            }
            Ownership::Recovering { last: _, lease: LastLease::Ended } => None,
        }
    }

    /// The keeper, if what it holds is of the present owner's stream.
    pub fn keeper_that_counts(&self) -> Option<&Keeper> {
        self.keeper.as_ref().filter(|keeper| keeper.epoch == self.epoch)
    }

    /// As many members as hold the dataset in two places, or everywhere that it can be.
    pub fn members_min(&self) -> usize {
        self.nodes.len().min(2)
    }

    /// The in-sync members other than the primary.
    pub fn in_sync_replicas(&self) -> impl Iterator<Item = Member> + '_ {
        self.in_sync.iter().copied().filter(|m| !self.is_primary(*m))
    }

    pub(crate) fn begin_ownership(&mut self, owner: Member, epoch: Epoch, start: Option<Offset>) {
        self.ownership = Ownership::Serving(owner);
        self.epoch = epoch;
        self.isr_epoch = epoch;
        self.handover = None;
        self.keeper = None;
        self.keeper_wanted = None;
        self.cut_lineage(start);
        self.lineage.push(LineageEntry { epoch, start });
        if self.lineage.len() > Self::LINEAGE_MAX {
            self.lineage.remove(0);
        }
    }

    /// Where the newest primary whose start is published began: nothing below it is in doubt.
    pub fn last_start(&self) -> Offset {
        self.lineage.iter().rev().find_map(|entry| entry.start).unwrap_or(Offset(0))
    }

    /// A primary begins at `start`. What others began above it is of a branch that this one has cut off.
    pub(crate) fn cut_lineage(&mut self, start: Option<Offset>) {
        let is_cut_off = |entry: &LineageEntry| entry.start.zip(start).is_some_and(|(of, at)| of > at);
        self.lineage.retain(|entry| !is_cut_off(entry));
    }

    /// Takes every role away from the lives of `node` other than `current`. Answers whether anything changed.
    ///
    /// The record of a keeper stays: what an earlier life of it wrote may be there still, and the primary, which asks for
    /// its acknowledgement, is the one to drop it.
    pub(crate) fn revoke(
        &mut self,
        node: NodeId,
        current: Incarnation,
        lease: LastLease,
        epoch: Epoch,
    ) -> bool {
        let stale = |m: Member| m.node == node && m.incarnation != current;
        let before = (self.ownership, self.in_sync.len(), self.handover);
        if let Ownership::Serving(owner) = self.ownership
            && stale(owner)
        {
            self.ownership = Ownership::Recovering { last: owner, lease };
        }
        self.in_sync.retain(|m| !stale(*m));
        if self.handover.is_some_and(|h| stale(h.from) || stale(h.to)) {
            self.handover = None;
        }
        let changed = before != (self.ownership, self.in_sync.len(), self.handover);
        if changed {
            self.isr_epoch = epoch;
        }
        changed
    }
}
