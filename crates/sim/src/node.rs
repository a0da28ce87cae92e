//! One node: its launcher and its process, which holds a view of the log, and data.

use crate::entry::Entry;
use crate::keeper::Tail;
use crate::launcher::Launcher;
use crate::scenario::old;
use ironcache_agent::PreflightResult;
use ironcache_control::{Command, ControlState, Shard};
use ironcache_coordinator::StateHash;
use ironcache_shard::{Grant, Lease};
use ironcache_types::{Digest, Epoch, Incarnation, Level, Member, NodeId, Offset, Release, ShardId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Node {
    pub id: NodeId,
    pub launcher: Launcher,
    /// Artifacts on disk.
    pub held: BTreeSet<Digest>,
    pub process: Option<Process>,
    pub start_at_ms: u64,
    /// Its process was told to stop (SIGTERM), and goes at this time at the latest.
    pub leaving_until_ms: Option<u64>,
    /// No message gets in or out before this time.
    pub cut_until_ms: u64,
    /// Some of its messages are lost before this time, one way or both.
    pub patchy_until_ms: u64,
    /// Its clock's offset in ms, and by how many thousandths it is slow.
    pub clock: (u64, u64),
    /// It stands still (SIGSTOP, a full disk queue) before this time.
    pub stalled_until_ms: u64,
    /// Since when nothing has been wrong with it: whole in its set, or away by plan only.
    pub whole_since_ms: Option<u64>,
    /// Out for a step, or not back in the set since.
    pub away_by_plan: bool,
    /// How many processes there have been.
    pub starts: u64,
    /// The newest answer of an unstarted binary.
    pub preflight: Option<PreflightResult>,
    /// The lowest level of anything that its log and snapshot hold.
    pub oldest: Level,
    /// What the next process finds on disk.
    pub on_disk: Vec<u64>,
    /// The epoch of the newest primary whose start that has reached.
    pub line_on_disk: Epoch,
    /// It is all that the process had, and the process was its shard's owner: it stopped in order, or its journal stayed.
    pub sealed_on_disk: bool,
    /// What it wrote down when it last stopped in order. It goes when a life of it is in a set of two.
    pub checkpoint: Option<(Vec<u64>, Epoch)>,
    /// What it proposed lately, and when.
    pub sent: Vec<(u64, Command)>,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub me: Member,
    pub release: Release,
    /// Entries applied.
    pub applied: usize,
    pub view: ControlState,
    /// Of the newest index divisible by [`HASH_EVERY`].
    pub hash: Option<StateHash>,
    /// Its view counts once it has applied this many.
    pub current_at: usize,
    /// The step it is out for, and since when it knows.
    pub told: Option<(Epoch, u64)>,
    pub data: Data,
    /// What it keeps of other shards.
    pub tails: BTreeMap<ShardId, Tail>,
}

/// The data plane of one process.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// The writes it holds, in order.
    pub writes: Vec<u64>,
    /// The epoch of the newest primary whose start it has reached.
    pub line: Epoch,
    /// Nothing was done since the owner that this node was had all of it written down.
    pub sealed: bool,
    /// A replica's link to its primary.
    pub link: Link,
    /// A primary: whom it has proposed for the in-sync set, and the set's epoch at that time. Each is asked until the set
    /// changes: any of the proposals may be the one that the log takes.
    pub proposed: Vec<(Member, Epoch)>,
    /// A primary: whom it has proposed for its keeper, as above.
    pub keepers_proposed: Vec<(Member, Epoch)>,
    /// A primary: since when its keeper does not answer.
    pub keeper_silent_ms: Option<u64>,
    /// A primary: the epoch of the set at which it proposed mode in-sync. Until the set changes the log may take it, so
    /// nothing weaker is acknowledged.
    pub raised_at: Option<Epoch>,
    /// A primary: its ownership epoch, and how many writes it held when it took the role up.
    pub start: Option<(Epoch, Offset)>,
    /// A primary: how many of its writes may have been acknowledged.
    pub acknowledged: usize,
    /// A primary: members that did not answer, and since when.
    pub silent: Vec<(Member, u64)>,
    /// May it answer clients as a primary?
    pub lease: Lease,
    /// A leader's answer on its way, and when it arrives.
    pub answer: Option<(u64, Grant)>,
    /// A primary asks again at this time.
    pub ask_at_ms: u64,
    /// Where its ownership would begin by what it has proposed itself, under which epoch, and since when.
    pub promise: Option<(Epoch, Offset, u64)>,
    /// In sync since, as far as this primary saw.
    pub in_sync_since: Vec<(Member, u64)>,
}

impl Data {
    pub(crate) fn streams(&self) -> bool {
        matches!(self.link, Link::Streaming(_))
    }

    pub(crate) fn offset(&self) -> Offset {
        Offset(self.writes.len() as u64)
    }
}

/// How much of a process's data is on disk when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    All,
    /// What the last orderly stop wrote down.
    Checkpoint,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    #[default]
    Down,
    /// A full sync runs from the primary of this epoch: what was held before is gone.
    Syncing(Epoch),
    /// The dataset is a prefix of that of the primary of this epoch.
    Streaming(Epoch),
}

impl Node {
    pub(crate) fn new(id: NodeId, clock: (u64, u64)) -> Self {
        Node {
            id,
            launcher: Launcher::new(),
            held: BTreeSet::from([old().digest]),
            process: None,
            start_at_ms: 0,
            leaving_until_ms: None,
            cut_until_ms: 0,
            patchy_until_ms: 0,
            clock,
            stalled_until_ms: 0,
            whole_since_ms: None,
            away_by_plan: false,
            starts: 0,
            preflight: None,
            oldest: Level::FIRST,
            on_disk: Vec::new(),
            line_on_disk: Epoch::default(),
            sealed_on_disk: false,
            checkpoint: None,
            sent: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, committed: usize) {
        self.starts += 1;
        self.process = Some(Process {
            me: Member { node: self.id, incarnation: Incarnation(self.starts) },
            release: self.launcher.active.clone(),
            applied: 0,
            view: ControlState::default(),
            hash: None,
            current_at: committed,
            told: None,
            tails: BTreeMap::new(),
            data: Data {
                writes: self.on_disk.clone(),
                line: self.line_on_disk,
                sealed: self.sealed_on_disk,
                ..Data::default()
            },
        });
    }

    /// The process is over. What of its data the next one finds.
    pub(crate) fn keep(&mut self, process: Process, kept: Kept) {
        let owned = process.is_primary() || process.data.sealed;
        self.sealed_on_disk = owned && kept == Kept::All;
        self.line_on_disk = process.data.line;
        self.on_disk = process.data.writes;
        match (kept, &self.checkpoint) {
            (Kept::All, _) => {}
            (Kept::Checkpoint, Some((writes, line))) => {
                (self.on_disk, self.line_on_disk) = (writes.clone(), *line);
            }
            (Kept::Checkpoint, None) => self.on_disk.clear(),
        }
        if self.on_disk.is_empty() {
            self.line_on_disk = Epoch::default();
        }
    }

    /// Nothing is wrong with the machine and its network.
    pub(crate) fn is_well(&self, now_ms: u64) -> bool {
        now_ms >= self.stalled_until_ms.max(self.cut_until_ms).max(self.patchy_until_ms)
    }

    pub(crate) fn is_cut_off(&self, now_ms: u64) -> bool {
        now_ms < self.cut_until_ms
    }
}

/// Nodes take the hash of their state at multiples of this log index, as the real state machine does. Its number: a smaller
/// one costs more than everything else that a run does.
pub(crate) const HASH_EVERY: u64 = 64;

impl Process {
    /// Where a node says that it stands: what the level below cannot say.
    #[cfg(feature = "next")]
    pub(crate) fn zone(&self) -> Option<String> {
        (self.view.cluster_level >= ironcache_types::NEXT).then(|| "a".to_owned())
    }

    /// Applies the next entry. The state's hash, if every node takes one here.
    ///
    /// # Errors
    /// The entry is none that this process may apply: a violation.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<Option<StateHash>, String> {
        self.applied += 1;
        let log_index = self.applied as u64;
        // A rejection is an outcome like any other; one that is not was found when the entry was committed.
        let _ = entry.apply(log_index, &mut self.view, &self.release)?;
        if !log_index.is_multiple_of(HASH_EVERY) {
            return Ok(None);
        }
        self.hash = Some(StateHash { log_index, hash: crate::checks::hash(&self.view) });
        Ok(self.hash)
    }

    /// Has it applied what was committed when it started? Before that it acts on nothing.
    pub(crate) fn is_current(&self) -> bool {
        self.applied >= self.current_at
    }

    pub(crate) fn my_shard(&self) -> Option<&Shard> {
        self.view.shard_of_node(self.me.node)
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.is_current() && self.my_shard().is_some_and(|shard| shard.is_primary(self.me))
    }

    /// Does it execute writes? Not while it hands its role over, nor without a lease, nor before the log says where it begins.
    /// The time is that of its own clock.
    pub(crate) fn executes(&self, now_ms: u64) -> bool {
        let mut lease = self.data.lease;
        let leased = lease.holds(now_ms, self.applied as u64);
        let begun = |shard: &Shard| shard.lineage.last().is_some_and(|entry| entry.start.is_some());
        leased && self.is_primary() && self.my_shard().is_some_and(|s| s.handover.is_none() && begun(s))
    }
}
