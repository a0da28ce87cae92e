//! One node: what outlives its processes, and the process that runs.

use ironcache_agent::{LauncherFacts, LauncherPhase, PreflightResult, StepOutcome, StepResult};
use ironcache_control::Reason;
use ironcache_replication::KeptTail;
use ironcache_shard::keeper::{Keepers, Kept};
use ironcache_shard::{Engine, Held, Now};
use ironcache_types::{Epoch, Member, NodeId, Release, ShardId};
use std::collections::BTreeMap;
use std::fmt;

/// By which the clock of a process goes on when it waits in vain for everything.
pub(super) const LATE_MS: u64 = 1_000_000;
/// For so long a process is granted a lease.
pub(super) const LEASE_MS: u64 = 150_000;
/// A tick comes so much later than what it looks at.
const TICK_MS: u64 = 50;

#[derive(Clone)]
pub struct Node {
    pub id: NodeId,
    pub process: Option<Process>,
    /// How far its log was applied when its last process ended.
    pub applied: usize,
    /// The number of its newest life.
    pub life: u64,
    pub launcher: Launcher,
    /// A dataset that was written down.
    pub checkpoint: Option<Copy>,
    /// What it keeps of other shards.
    pub tails: BTreeMap<(ShardId, Epoch), Tail>,
}

/// How far the log is applied is the world's to say.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Node { id, process, applied: _, life, launcher, checkpoint, tails } = self;
        let mut out = f.debug_struct("Node");
        out.field("process", process).field("id", id).field("life", life).field("launcher", launcher);
        out.field("checkpoint", checkpoint).field("tails", tails).finish()
    }
}

/// A dataset on a disk.
#[derive(Clone, Debug)]
pub struct Copy {
    pub held: Held,
    pub data: Vec<u8>,
}

/// The file of a keeper.
#[derive(Clone, Debug)]
pub struct Tail {
    pub kept: KeptTail,
    pub file: Kept,
    /// One number a frame, from where it begins.
    pub data: Vec<u8>,
}

#[derive(Clone)]
pub struct Launcher {
    pub running: Release,
    /// Where a trial goes back to.
    pub before: Release,
    pub facts: LauncherFacts,
}

/// Of a release the version's number says enough.
impl fmt::Debug for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Launcher { running, before, facts } = self;
        let LauncherFacts { phase, last_done, last_outcome, degraded, needs } = facts;
        let mut out = f.debug_struct("Launcher");
        out.field("running", &running.version.minor).field("before", &before.version.minor);
        out.field("phase", phase).field("last_done", last_done).field("last_outcome", last_outcome);
        out.field("degraded", degraded).field("needs", needs).finish()
    }
}

impl Launcher {
    pub(super) fn new(running: Release) -> Self {
        let facts = LauncherFacts { phase: LauncherPhase::Idle, ..LauncherFacts::default() };
        Launcher { before: running.clone(), running, facts }
    }

    pub(super) fn try_out(&mut self, step: Epoch, target: Release) {
        self.before = std::mem::replace(&mut self.running, target);
        self.facts.phase = LauncherPhase::Trial { step };
    }

    /// The trial is over.
    pub(super) fn end(&mut self, result: StepResult) {
        let LauncherPhase::Trial { step } = self.facts.phase else { return };
        if result != StepResult::Done {
            self.running = self.before.clone();
        }
        self.facts.phase = LauncherPhase::Idle;
        self.facts.last_done = step;
        self.facts.last_outcome = Some(StepOutcome { step, result });
    }

    pub(super) fn is_on_trial(&self) -> bool {
        matches!(self.facts.phase, LauncherPhase::Trial { .. })
    }
}

/// Why a step did not succeed: only that it did not counts here.
pub(super) fn failed() -> StepResult {
    StepResult::Failed { reason: Reason::new("failed", "failed") }
}

/// As of `failed`.
pub(super) fn inconclusive() -> StepResult {
    StepResult::Inconclusive { reason: Reason::new("inconclusive", "inconclusive") }
}

#[derive(Clone, Debug)]
pub struct Process {
    pub me: Member,
    pub engine: Engine,
    pub keepers: Keepers,
    /// Its clock.
    pub now_ms: u64,
    pub applied: usize,
    /// The dataset: one number a frame.
    pub data: Vec<u8>,
    /// Replies that wait: where their writes end, and their numbers.
    pub owed: Vec<(u64, u8)>,
    /// Whom it keeps a tail of, or tries to.
    pub dials: BTreeMap<ShardId, (Member, Epoch)>,
    /// Recoveries for which it ends what it hands over.
    pub fences: BTreeMap<ShardId, Epoch>,
    pub preflight: Option<PreflightResult>,
    /// What it has asked its launcher for: it ends soon.
    pub exit: Option<Exit>,
}

#[derive(Clone, Debug)]
pub enum Exit {
    /// The new binary is to be tried.
    Activate { step: Epoch, target: Release },
    /// The old one is to go on.
    Abandon,
}

impl Process {
    pub(super) fn new(me: Member) -> Self {
        Process {
            me,
            engine: Engine::new(me),
            keepers: Keepers::new(me),
            now_ms: LATE_MS,
            applied: 0,
            data: Vec::new(),
            owed: Vec::new(),
            dials: BTreeMap::new(),
            fences: BTreeMap::new(),
            preflight: None,
            exit: None,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { ran_ms: self.now_ms, boot_ms: self.now_ms }
    }

    pub(super) fn at_tick(&self) -> Now {
        Now { ran_ms: self.now_ms + TICK_MS, boot_ms: self.now_ms + TICK_MS }
    }
}
