//! One node: its launcher and its process, which holds a view of the log, and data.

use crate::clients::Requests;
use crate::disk::Disk;
use crate::entry::Entry;
use crate::keeper::Desk;
use crate::launcher::Launcher;
use crate::scenario::{incarnation, old};
use crate::stream::Store;
use ironcache_agent::PreflightResult;
use ironcache_control::{Command, ControlState, Shard};
use ironcache_coordinator::StateHash;
use ironcache_replication::RunningClock;
use ironcache_shard::keeper::Keepers;
use ironcache_shard::{Ask, Engine, Grant};
use ironcache_types::{Digest, Epoch, Level, Member, NodeId, Release};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// What its time of day is ahead of the true one by, in ms.
    pub wall_ahead_ms: i64,
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
    pub disk: Disk,
    /// What it proposed lately, and when.
    pub sent: Vec<(u64, Command)>,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub me: Member,
    pub release: Release,
    /// Entries applied.
    pub applied: usize,
    pub view: Arc<ControlState>,
    /// Of the newest index divisible by [`HASH_EVERY`].
    pub hash: Option<StateHash>,
    /// Its view counts once it has applied this many.
    pub current_at: usize,
    /// The step it is out for, and since when it knows.
    pub told: Option<(Epoch, u64)>,
    pub engine: Engine,
    pub store: Store,
    /// The level of the dataset that this life began with.
    pub began_at: Level,
    /// The checkpoint is read then.
    pub load_at_ms: Option<u64>,
    pub keepers: Keepers,
    pub desk: Desk,
    pub running: RunningClock,
    /// Links that failed are dialled again then.
    pub dial_at_ms: BTreeMap<Member, u64>,
    /// The ownership for which it asks for leases, and when it asks again.
    pub owned: Option<Epoch>,
    pub ask_at_ms: u64,
    /// A leader's answer on its way, and when it arrives.
    pub answer: Option<(u64, Grant)>,
    pub pursued: Vec<Pursued>,
    pub requests: Requests,
    /// The engine knows that the process is told to stop.
    pub leaves: bool,
    /// The engine has it end.
    pub ends: bool,
}

/// A proposal of the engine's whose outcome it has not heard.
#[derive(Clone, Debug)]
pub(crate) struct Pursued {
    pub entry: Entry,
    pub ask: Option<Ask>,
    pub until_ms: u64,
    pub again_ms: u64,
}

impl Node {
    pub(crate) fn new(id: NodeId, clock: (u64, u64), wall_ahead_ms: i64) -> Self {
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
            wall_ahead_ms,
            stalled_until_ms: 0,
            whole_since_ms: None,
            away_by_plan: false,
            starts: 0,
            preflight: None,
            oldest: Level::FIRST,
            disk: Disk::default(),
            sent: Vec::new(),
        }
    }

    /// Its clock says `clock_ms`; the checkpoint is read by `load_at_ms`.
    pub(crate) fn start(&mut self, committed: usize, clock_ms: u64, load_at_ms: u64) {
        self.starts += 1;
        let me = Member { node: self.id, incarnation: incarnation(self.id, self.starts) };
        self.process = Some(Process {
            me,
            release: self.launcher.active.clone(),
            applied: 0,
            view: Arc::default(),
            hash: None,
            current_at: committed,
            told: None,
            engine: Engine::new(me),
            store: Store::default(),
            began_at: Level::FIRST,
            load_at_ms: Some(load_at_ms),
            keepers: Keepers::new(me),
            desk: Desk::default(),
            running: RunningClock::new(clock_ms),
            dial_at_ms: BTreeMap::new(),
            owned: None,
            ask_at_ms: 0,
            answer: None,
            pursued: Vec::new(),
            requests: Requests::default(),
            leaves: false,
            ends: false,
        });
    }

    /// Nothing is wrong with the machine and its network.
    pub(crate) fn is_well(&self, now_ms: u64) -> bool {
        let faults_ms =
            [self.stalled_until_ms, self.cut_until_ms, self.patchy_until_ms, self.disk.full_until_ms];
        faults_ms.into_iter().all(|until_ms| now_ms >= until_ms)
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
        let _ = entry.apply(log_index, Arc::make_mut(&mut self.view), &self.release)?;
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

    /// Does it take itself for the primary?
    pub(crate) fn is_primary(&self) -> bool {
        self.engine.primary().is_some()
    }
}
