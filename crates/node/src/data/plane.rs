//! The data plane's state: one dataset, one role, one stream of effects.
//!
//! ```text
//!  applied control state ──► apply_view ──► role, routing, in-sync set
//!  client command ──► route ──► execute ──► effects ──► frame ──► backlog ──► links
//!                       │                                            │
//!                       ├─ MOVED                    acks from links ─┴─► AckGate ──► waiting replies
//!                       └─ held back (handover, recovery)
//! ```
//!
//! *Invariant:* a command is executed only while this life of the node is named as primary by the applied
//! state and no handover holds it back.
//! *Invariant:* everything here runs on one thread, and nothing here awaits: between two awaits of a
//! connection the state is whole.

use super::acks::AckWaiters;
use super::checkpoint::Snapshots;
use super::client::{Clients, Owed};
use super::role::{Primary, Role};
use super::routing::Routing;
use super::stats::Stats;
use super::trouble::HeldUp;
use crate::config::Config;
use ironcache_control::{AckMode, Command, Shard};
use ironcache_keyspace::{Effects, Expiry, Keyspace};
use ironcache_raft::{AppliedView, Contact, Refusal};
use ironcache_replication::{
    Ack, Backlog, Fence, Gate, Link, Look, Patience, Promoted, RunningClock, Scope, encode_group,
};
use ironcache_shard::{Grant, Lease};
use ironcache_spine::boottime_ms;
use ironcache_types::{Epoch, Level, LevelRange, Member, NodeId, Offset, SLOT_COUNT, Slot, Version};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

pub(crate) struct Plane {
    pub config: Arc<Config>,
    pub me: Member,
    pub version: Version,
    /// What this release reads and writes.
    pub levels: LevelRange,
    /// Of the dataset that this life began with: an earlier one had applied that level.
    began_at: Level,
    pub keyspace: Keyspace,
    /// How often the dataset was given up for another one.
    pub replaced: u64,
    /// What is written of it beside the running node.
    pub snapshots: Snapshots,
    /// Scratch: the effects of the command or transaction under way.
    pub effects: Effects,
    frame: Vec<u8>,
    pub view: Arc<AppliedView>,
    pub routing: Routing,
    pub role: Role,
    /// Frames verbatim, on every role; its end is the offset of the dataset.
    pub backlog: Backlog,
    /// On a primary: from here on somebody has yet to take the stream; and how much that may be while writes are executed.
    pub tail_from: Option<Offset>,
    pub tail_bytes_max: u64,
    /// Per slot the offset after its last effect since this node's promotion; 0 before the first.
    slot_written: Vec<u64>,
    /// The same of all slots.
    last_written: u64,
    /// May this life answer clients as a primary? What the leader granted, and what it came to at the last look.
    pub lease: Lease,
    leased: bool,
    /// Where this node's ownership would begin by what it has proposed itself, and since when.
    promise: Option<Promise>,
    /// When a leader was last heard of; of nobody but this plane until it is given the node's.
    pub contact: Contact,
    pub held_up: HeldUp,
    /// The checkpoint is being written, or is: nothing is executed or applied any more.
    sealed: bool,
    /// The node stops soon: a promotion now would be an outage in a moment.
    pub leaving: bool,
    pub waiters: AckWaiters,
    pub clients: Clients,
    /// Attached replicas, on a primary or on a candidate.
    pub links: BTreeMap<Member, LinkState>,
    /// The number of the newest link.
    pub link_serial: u64,
    pub stats: Stats,
    to_control: UnboundedSender<ToControl>,
    /// Connections whose next command is held back now.
    pub parked: u32,
    /// `CONFIG SET requirepass`; empty asks for none.
    pub requirepass: String,
    random: u64,
    started: Instant,
    /// The time in which this process ran, and how long pauses last here.
    clock: Cell<RunningClock>,
    patience: Cell<Patience>,
    /// Unix time in ms as of the last tick of the plane's clockwork: for what is shown in seconds, without reading
    /// a clock where commands are executed.
    pub coarse_ms: u64,
    /// When an HTTP request was last warned of.
    http_warned: Option<Instant>,
}

/// How often the plane's clockwork ticks.
pub(super) const TICK_MS: u64 = 10;

/// Whoever makes a browser send requests can send many: one line in this time tells as much as all.
const WARN_OF_HTTP_AGAIN: Duration = Duration::from_secs(60);

/// What the data plane asks of the control plane: have a command committed. Whoever asked watches the
/// applied state for its outcome; a rejection is told here.
pub(crate) struct ToControl {
    pub command: Command,
    pub rejected: Option<oneshot::Sender<Refusal>>,
}

/// One attached replica.
pub(crate) struct LinkState {
    /// Distinguishes a link from the one that replaces it.
    pub serial: u64,
    /// In the gate of this primary; `None` on a candidate.
    pub link: Option<Link>,
    /// What it last acknowledged, to whom.
    pub ack: Option<Ack>,
    pub syncing: bool,
    /// To be sent once everything before it is.
    pub fence: Option<Fence>,
    pub promoted: Option<Promoted>,
    /// Since when it has been in the committed in-sync set.
    pub in_sync_since: Option<Instant>,
    /// When it was last heard.
    pub heard_ms: u64,
    /// What was taken from the stream for it, and when its socket last took something.
    pub sent: Offset,
    pub moved_ms: u64,
}

impl LinkState {
    /// Of a replica that has said hello, and nothing else.
    pub(crate) fn new(serial: u64) -> Self {
        Self {
            serial,
            link: None,
            ack: None,
            syncing: false,
            fence: None,
            promoted: None,
            in_sync_since: None,
            heard_ms: 0,
            sent: Offset(0),
            moved_ms: 0,
        }
    }
}

/// This node proposed to own its shard from `start` on. It cannot own it before it was proposed: so the lease that comes with
/// the ownership runs from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promise {
    /// The handover, or the ownership epoch that it would end.
    of: Epoch,
    start: Offset,
    since_ms: u64,
}

/// What became of the lease at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leased {
    AsBefore,
    /// It began, or ended.
    Changed,
}

/// What to do with a keyed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Execute,
    /// Hold it back, unexecuted: who serves it is being decided.
    Park,
    /// `host:port` of the primary.
    Moved(String),
    /// Nobody owns the slot.
    Unowned,
}

/// Which copies a read may be answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    Primary,
    Replica,
}

/// Whether a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Now,
    /// When everything below this offset may be acknowledged.
    After(u64),
    /// The role is lost: never.
    Lost,
}

impl Plane {
    pub(crate) fn new(
        config: Arc<Config>,
        me: Member,
        version: Version,
        levels: LevelRange,
        to_control: UnboundedSender<ToControl>,
        random: u64,
    ) -> Self {
        let backlog = Backlog::new(usize::try_from(config.backlog_bytes).unwrap_or(usize::MAX), Offset(0));
        Self {
            requirepass: config.requirepass.clone(),
            config,
            me,
            version,
            levels,
            began_at: Level(0),
            keyspace: Keyspace::new(),
            replaced: 0,
            snapshots: Snapshots::default(),
            effects: Effects::at(Level::FIRST),
            frame: Vec::new(),
            view: Arc::new(AppliedView::default()),
            routing: Routing::empty(),
            role: Role::Loading,
            backlog,
            tail_from: None,
            tail_bytes_max: 0,
            slot_written: vec![0; usize::from(SLOT_COUNT)],
            last_written: 0,
            lease: Lease::default(),
            leased: false,
            promise: None,
            contact: Contact::new(u64::MAX),
            held_up: HeldUp::default(),
            sealed: false,
            leaving: false,
            waiters: AckWaiters::default(),
            clients: Clients::default(),
            links: BTreeMap::new(),
            link_serial: 0,
            stats: Stats::default(),
            to_control,
            parked: 0,
            random: random | 1,
            started: Instant::now(),
            clock: Cell::new(RunningClock::new(0)),
            patience: Cell::new(Patience::new(0)),
            coarse_ms: crate::clock::unix_ms(),
            http_warned: None,
        }
    }

    /// A random number that need not be secret (xorshift64*).
    pub(crate) fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A changed configuration is in force from here on, for replies that wait already as well.
    pub(crate) fn reconfigure(&mut self, config: Config) {
        self.requirepass.clone_from(&config.requirepass);
        self.config = Arc::new(config);
        if let Some(mode) = self.primary().map(|primary| self.gate_mode(primary.mode))
            && let Role::Primary(primary) = &mut self.role
        {
            primary.gate.set_mode(mode);
        }
        self.settle_replies();
    }

    /// A connection is closed because it speaks HTTP.
    pub(crate) fn warn_of_http(&mut self, addr: SocketAddr) {
        if self.http_warned.is_none_or(|at| at.elapsed() >= WARN_OF_HTTP_AGAIN) {
            self.http_warned = Some(Instant::now());
            tracing::warn!(
                %addr,
                "a connection sent POST or Host: and was closed: HTTP at the client port, perhaps a web page that has \
                 a browser send commands (cross-protocol scripting)"
            );
        }
    }

    /// For how many milliseconds this process has run: frozen, or waiting for a processor, it did not.
    pub(crate) fn clock_ms(&self) -> u64 {
        let mut clock = self.clock.get();
        let Look { ran_ms, since_last_ms } =
            clock.look(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.clock.set(clock);
        if since_last_ms > TICK_MS {
            self.note_pause(since_last_ms - TICK_MS, ran_ms);
        }
        ran_ms
    }

    /// Something came so much later than it was due: a tick, or what a replica says.
    pub(crate) fn note_pause(&self, pause_ms: u64, now_ms: u64) {
        let mut patience = self.patience.get();
        patience.observe(pause_ms, self.view.state.policy.isr_timeout_ms, now_ms);
        self.patience.set(patience);
    }

    /// How long a member for which something waits may be silent.
    pub(crate) fn hold_ms(&self) -> u64 {
        self.patience.get().ms(self.view.state.policy.isr_timeout_ms)
    }

    pub(crate) fn uptime_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    pub(crate) fn offset(&self) -> Offset {
        self.backlog.end()
    }

    pub(crate) fn my_shard(&self) -> Option<&Shard> {
        self.view.state.shard_of_node(self.me.node)
    }

    /// The level that this node has applied: at which it writes. Never below that of what it holds, however little of
    /// the log a new process has applied yet.
    pub(crate) fn level(&self) -> Level {
        self.view.state.cluster_level.max(self.began_at)
    }

    /// The dataset that is read was written at this level.
    pub(crate) fn begin_at(&mut self, level: Level) {
        self.began_at = level;
    }

    /// Where a command on `slot` goes.
    #[inline]
    pub(crate) fn route(&self, slot: Slot, read: ReadFrom) -> Route {
        let Some((index, shard)) = self.routing.shard_of(slot) else {
            return Route::Unowned;
        };
        if self.routing.is_mine(index) {
            match &self.role {
                Role::Primary(_) if self.is_serving() => return Route::Execute,
                // Held back until the outcome, or until the candidate said that it is promoted.
                Role::Primary(primary) if shard.epoch <= primary.epoch => return Route::Park,
                Role::Replica(_) if read == ReadFrom::Replica && self.in_sync() => return Route::Execute,
                Role::Replica(_) if self.is_fenced_candidate() => return Route::Park,
                Role::Loading | Role::Replica(_) | Role::Primary(_) => {}
            }
            if shard.candidate == Some(self.me) {
                return Route::Park;
            }
        }
        match shard.primary {
            // Never to itself: an earlier life of this node is no address for the present one.
            Some(primary) if primary.node != self.me.node => Route::Moved(shard.addr.clone()),
            Some(_) | None => Route::Park,
        }
    }

    /// Does this node hold everything that was acknowledged: a serving primary, or a replica that the log
    /// names in sync and whose link is up?
    pub(crate) fn in_sync(&self) -> bool {
        match &self.role {
            Role::Loading => false,
            Role::Primary(_) => true,
            Role::Replica(replica) => {
                let whole = replica.link_up && replica.cursor.ack().is_some() && !self.sealed;
                whole && self.my_shard().is_some_and(|s| s.in_sync.contains(&self.me))
            }
        }
    }

    /// Has this node met the fence of a handover whose outcome it has not applied?
    fn is_fenced_candidate(&self) -> bool {
        let Role::Replica(replica) = &self.role else { return false };
        replica.cursor.met_last().is_some_and(|met| {
            let in_flight = self.my_shard().and_then(|s| s.handover).map(|h| h.epoch);
            // The fence may have overtaken the entry that began the handover. A fence is not in force any more
            // once its handover is neither in flight nor yet to come, even if no frame has followed it.
            in_flight == Some(met.handover_epoch) || met.handover_epoch > self.view.state.epoch
        })
    }

    pub(crate) fn expiry(&self) -> Expiry {
        // A key that expires is written to the stream, and that waits with every other write.
        if self.is_serving() && !self.is_backed_up() { Expiry::Delete } else { Expiry::Hide }
    }

    /// A primary whose start is in the log, that no handover holds back, and whose lease runs.
    pub(crate) fn is_serving(&self) -> bool {
        let serves = matches!(&self.role, Role::Primary(p) if p.begun && p.handover.is_none());
        serves && !self.sealed && self.leased
    }

    /// The leader's answer.
    pub(crate) fn granted(&mut self, grant: Grant) -> Leased {
        self.lease.granted(grant, boottime_ms(), self.view.index);
        self.look_at_lease()
    }

    /// Reads the clock. Before anything is executed as a primary, and again before what was executed is told.
    pub(crate) fn look_at_lease(&mut self) -> Leased {
        let leased = self.lease.holds(boottime_ms(), self.view.index);
        if leased == std::mem::replace(&mut self.leased, leased) {
            return Leased::AsBefore;
        }
        if let Role::Primary(primary) = &self.role
            && !leased
        {
            tracing::warn!(shard = %primary.shard, "the lease is over: clients wait until the leader grants another");
        }
        Leased::Changed
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.leased
    }

    /// This node proposes that it owns its shard from `start` on; asked again for the same, it keeps the first time.
    pub(crate) fn promised(&mut self, of: Epoch, start: Offset) {
        if self.promise.is_none_or(|promise| (promise.of, promise.start) != (of, start)) {
            self.promise = Some(Promise { of, start, since_ms: boottime_ms() });
        }
    }

    /// It owns its shard, from `start` on by the entry itself.
    pub(crate) fn redeem_promise(&mut self, start: Offset) {
        if let Some(Promise { since_ms, .. }) = self.promise.take_if(|promise| promise.start == start) {
            let until_ms = since_ms + self.view.state.policy.timers.lease_ms();
            self.granted(Grant { until_ms, index: self.view.index });
        }
    }

    /// From here on the dataset stays as it is: what the checkpoint says is all that was ever acknowledged.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    /// No checkpoint came of it: what was held is served on.
    pub(crate) fn unseal(&mut self) {
        self.sealed = false;
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(crate) fn primary(&self) -> Option<&Primary> {
        match &self.role {
            Role::Primary(primary) => Some(primary),
            Role::Loading | Role::Replica(_) => None,
        }
    }

    /// Puts the effects of one command (or one EXEC) into the stream, indivisibly, and forgets them. However much it
    /// wrote, and it may be more than it was sent, it is one frame or one group of them.
    /// Answers the stream's new end.
    pub(crate) fn commit(&mut self, scope: Scope) -> Offset {
        let now_ms = self.clock_ms();
        let start = self.backlog.end();
        let Role::Primary(primary) = &mut self.role else {
            unreachable!("only a primary executes writes");
        };
        let (level, effects, backlog) = (self.effects.level(), &self.effects.bytes, &mut self.backlog);
        let end = encode_group(&mut self.frame, level, primary.epoch, start, scope, effects, |frame| {
            backlog.push(frame);
        });
        primary.gate.on_frame(end, now_ms);
        self.stats.effects += self.effects.count as u64;
        self.effects.clear();
        match scope {
            Scope::Slot(slot) => self.slot_written[usize::from(slot.0)] = end.0,
            Scope::All => self.slot_written.fill(end.0),
        }
        self.last_written = end.0;
        end
    }

    /// A new start as primary: what was held then is held by every member of the in-sync set, and offsets of an
    /// earlier start may be of another history.
    pub(crate) fn forget_written(&mut self) {
        self.slot_written.fill(0);
        self.last_written = 0;
    }

    /// The offset after the last effect on `slot` (on any slot, for `None`) that this node executed since its
    /// promotion: what a read of it shows. 0 if there is none.
    pub(crate) fn written(&self, slot: Option<Slot>) -> u64 {
        slot.map_or(self.last_written, |slot| self.slot_written[usize::from(slot.0)])
    }

    /// The ownership epoch in which this node is primary.
    pub(crate) fn primary_epoch(&self) -> Option<Epoch> {
        self.primary().map(|primary| primary.epoch)
    }

    /// May a write be acknowledged with the present in-sync set (`min-in-sync`)?
    pub(crate) fn has_enough_in_sync(&self) -> bool {
        self.primary().is_none_or(|p| p.in_sync >= usize::from(self.view.state.policy.min_in_sync))
    }

    /// May the replies that owe this be sent now?
    pub(crate) fn may_reply(&mut self, owed: Owed) -> Reply {
        let enough = self.has_enough_in_sync();
        let Role::Primary(primary) = &mut self.role else {
            return Reply::Lost;
        };
        let Owed { write, read } = owed;
        // In mode `in-sync` no read shows what a later primary may lack.
        let needed = match primary.mode {
            AckMode::InSync => write.max(read),
            AckMode::Primary => write,
        };
        if needed == 0 {
            return Reply::Now;
        }
        if write > 0 && !enough {
            return Reply::After(needed);
        }
        match primary.gate.may_acknowledge(Offset(needed)) {
            Gate::Open => Reply::Now,
            Gate::WaitFor { member: _, behind_bytes: _ } => Reply::After(needed),
        }
    }

    /// Something moved the gate: wakes the replies that it lets through.
    pub(crate) fn settle_replies(&mut self) {
        if !self.has_enough_in_sync() {
            return;
        }
        let Role::Primary(primary) = &mut self.role else { return };
        while let Some(offset) = self.waiters.first() {
            match primary.gate.may_acknowledge(Offset(offset)) {
                Gate::Open => self.waiters.acknowledged(offset),
                Gate::WaitFor { member: _, behind_bytes: _ } => break,
            }
        }
    }

    pub(crate) fn propose(&self, command: Command, rejected: Option<oneshot::Sender<Refusal>>) {
        // The receiver lives as long as the process does; while it stops, nothing needs proposing.
        let _ = self.to_control.send(ToControl { command, rejected });
    }

    /// `host:port` of a node's peer port.
    pub(crate) fn peer_addr(&self, node: NodeId) -> Option<String> {
        self.view.state.nodes.get(&node).map(|n| n.peer_addr.clone())
    }
}
