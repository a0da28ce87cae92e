//! The data plane's state: one dataset, one role, one stream of effects.
//!
//! ```text
//!  applied control state ──► apply_view ──► Engine: role, routing, in-sync set, handover
//!  client command ──► route ──► execute ──► effects ──► frame ──► backlog ──► links
//!                       │                                            │
//!                       ├─ MOVED                    acks from links ─┴─► Engine ──► waiting replies
//!                       └─ held back (handover, recovery)
//! ```
//!
//! *Invariant:* what this node is, may do and asks of the log is decided by the engine alone; see `perform`.
//! *Invariant:* everything here runs on one thread, and nothing here awaits: between two awaits of a
//! connection the state is whole.

use super::Door;
use super::acks::AckWaiters;
use super::blocked::BlockedClients;
use super::checkpoint::Snapshots;
use super::client::Clients;
use super::memory::Memory;
use super::pause::Pause;
use super::scripts::Scripts;
use super::statistics::Statistics;
use super::stats::Stats;
use super::tls::Tls;
use super::tracking::Standing;
use super::trouble::HeldUp;
use crate::config::Config;
use crate::keepalive::Keepalive;
use crate::messages::{self, Heard, Outbox};
use ironcache_acl::AclLog;
use ironcache_control::{Command, Origin, Shard};
use ironcache_keyspace::{Effect, Effects, Expiry, Keyspace};
use ironcache_raft::{AppliedView, Contact, Refusal};
use ironcache_replication::{Backlog, FollowerView, Hello, Look, RunningClock, Scope, encode_group};
use ironcache_session::{Accounts, Endpoint, KeyChange, Watches};
use ironcache_shard::{Engine, Leased, Note, Now, Objection, Owed, Primary, Reply, Retention, Route};
use ironcache_spine::boottime_ms;
use ironcache_types::{
    Epoch, Level, LevelRange, Member, NodeId, Offset, ReadFrom, SLOT_COUNT, Slot, Version,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub(crate) struct Plane {
    pub config: Arc<Config>,
    /// As it was at the start, or when it was last written to its file.
    pub written_config: Arc<Config>,
    pub me: Member,
    pub version: Version,
    /// What this release reads and writes.
    pub levels: LevelRange,
    /// Of the dataset that this life began with: an earlier one had applied that level.
    began_at: Level,
    pub keyspace: Keyspace,
    /// How often the dataset was given up for another one.
    pub replaced: u64,
    /// At the last look.
    pub standing: Standing,
    /// What is written of it beside the running node.
    pub snapshots: Snapshots,
    /// Scratch: the effects of the command or transaction under way.
    pub effects: Effects,
    frame: Vec<u8>,
    pub view: Arc<AppliedView>,
    /// What this life of the node is to its shard.
    pub engine: Engine,
    /// Frames verbatim, on every role; its end is the offset of the dataset.
    pub backlog: Backlog,
    /// What somebody still asks for.
    pub retained: Retention,
    /// Per slot the offset after its last effect since this node's promotion; 0 before the first.
    slot_written: Vec<u64>,
    /// The same of all slots.
    last_written: u64,
    /// When the handover began that holds commands back.
    pub held_back_since: Option<Instant>,
    /// How often the primary has told the time.
    #[cfg(feature = "next")]
    pub clocks_heard: u64,
    /// When a leader was last heard of; of nobody but this plane until it is given the node's.
    pub contact: Contact,
    pub held_up: HeldUp,
    pub waiters: AckWaiters,
    pub clients: Clients,
    /// Which keys their transactions depend on.
    pub watches: Watches,
    pub blocked: BlockedClients,
    /// Messages to other nodes, and which of theirs were heard.
    pub outbox: Outbox,
    pub heard: Heard,
    pub scripts: Scripts,
    pub stats: Stats,
    pub memory: Memory,
    pub statistics: Statistics,
    pub pause: Pause,
    /// Of sockets that begin after it was set, in every thread.
    pub keepalive: Keepalive,
    /// Keys go when their time is over, also if nobody asks for them. Only tests want it otherwise.
    pub expires_by_itself: bool,
    pub to_control: UnboundedSender<ToControl>,
    /// Connections whose next command is held back now.
    pub parked: u32,
    /// The users that this node has applied, and `requirepass`.
    pub accounts: Accounts,
    pub acl_log: AclLog,
    /// A node of a cluster: until it has applied anything of that, it does not know who may do what.
    pub is_member: bool,
    pub tls: Tls,
    random: u64,
    started: Instant,
    /// The time in which this process ran.
    clock: RunningClock,
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
    /// A client asked for it, and waits.
    pub asked: Option<Asked>,
}

/// What a client has ordered.
pub(crate) struct Asked {
    pub origin: Origin,
    pub outcome: oneshot::Sender<Ordered>,
}

/// What came of it: where in the log it stands, accepted or not, or why that is not known.
pub(crate) type Ordered = Result<(u64, Result<(), Refusal>), String>;

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
        let statistics = Statistics::new(&config);
        let keepalive = Keepalive::new(config.tcp_keepalive);
        let mut effects = Effects::at(Level::FIRST);
        effects.events.want(config.notify_keyspace_events.is_on());
        Self {
            accounts: Accounts::new(&config.requirepass),
            acl_log: AclLog::default(),
            is_member: false,
            tls: Tls::default(),
            written_config: Arc::clone(&config),
            config,
            me,
            version,
            levels,
            began_at: Level(0),
            keyspace: Keyspace::new(),
            replaced: 0,
            standing: Standing::default(),
            snapshots: Snapshots::default(),
            effects,
            frame: Vec::new(),
            view: Arc::new(AppliedView::default()),
            engine: Engine::new(me),
            backlog,
            retained: Retention::default(),
            slot_written: vec![0; usize::from(SLOT_COUNT)],
            last_written: 0,
            held_back_since: None,
            #[cfg(feature = "next")]
            clocks_heard: 0,
            contact: Contact::new(u64::MAX),
            held_up: HeldUp::default(),
            waiters: AckWaiters::default(),
            clients: Clients::default(),
            watches: Watches::default(),
            blocked: BlockedClients::default(),
            // Nobody carries what is left there, until it is given the node's.
            outbox: messages::pair().0,
            heard: Heard::default(),
            scripts: Scripts::default(),
            stats: Stats::default(),
            memory: Memory::new(random),
            statistics,
            pause: Pause::default(),
            keepalive,
            expires_by_itself: true,
            to_control,
            parked: 0,
            random: random | 1,
            started: Instant::now(),
            clock: RunningClock::new(0),
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

    /// A changed configuration is in force from here on.
    pub(crate) fn reconfigure(&mut self, config: Config) {
        self.accounts.set_requirepass(&config.requirepass);
        self.effects.events.want(config.notify_keyspace_events.is_on());
        self.statistics.obey(&config);
        self.keepalive.set(config.tcp_keepalive);
        if config.script_memory_bytes > self.config.script_memory_bytes {
            self.scripts.libraries.try_again();
        }
        self.config = Arc::new(config);
        self.tell_time();
    }

    /// Does it not know yet who may do what? For a moment, as the process starts.
    #[inline]
    pub(crate) fn knows_no_users(&self) -> bool {
        self.is_member && self.view.state.cluster_id.is_none()
    }

    /// Where clients who came by this door are sent. The port is 0 if the node has no TLS, and that of TLS if it has no other.
    pub(crate) fn client_addr(&self, node: NodeId, door: Door) -> Endpoint {
        let Some(node) = self.view.state.nodes.get(&node) else { return Default::default() };
        let Some((host, port)) = node.client_addr.rsplit_once(':') else { return Default::default() };
        let port = match door {
            Door::Plain => port.parse().unwrap_or(0),
            Door::Tls => node.tls_port.unwrap_or(0),
        };
        Endpoint { host: host.trim_matches(['[', ']']).to_owned(), port }
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
    pub(crate) fn clock_ms(&mut self) -> u64 {
        let shown_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Look { ran_ms, since_last_ms } = self.clock.look(shown_ms);
        if since_last_ms > TICK_MS {
            self.engine.note_pause(since_last_ms - TICK_MS, ran_ms);
        }
        ran_ms
    }

    /// Reads both clocks.
    pub(crate) fn now(&mut self) -> Now {
        Now { ran_ms: self.clock_ms(), boot_ms: boottime_ms() }
    }

    pub(crate) fn uptime_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    pub(crate) fn offset(&self) -> Offset {
        self.backlog.end()
    }

    /// Of a primary: its attached replicas. A keeper is attached as well, and holds no copy of the shard.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = FollowerView> + '_ {
        let followers = self.primary().into_iter().flat_map(|primary| primary.gate().followers());
        followers.filter(|follower| follower.attached && self.is_of_my_shard(follower.member.node))
    }

    /// How many replicas have applied everything below `offset`: the answer to `WAIT`.
    pub(crate) fn replicas_that_hold(&self, offset: Offset) -> usize {
        let count =
            |primary: &Primary| primary.gate().holders(offset, |member| self.is_of_my_shard(member.node));
        self.primary().map_or(0, count)
    }

    fn is_of_my_shard(&self, node: NodeId) -> bool {
        self.my_shard().is_some_and(|shard| shard.nodes.contains(&node))
    }

    pub(crate) fn my_shard(&self) -> Option<&Shard> {
        self.view.state.shard_of_node(self.me.node)
    }

    /// The level that this node has applied: at which it writes. Never below that of what it holds, however little of
    /// the log a new process has applied yet.
    pub(crate) fn level(&self) -> Level {
        self.view.state.cluster_level.max(self.began_at)
    }

    pub(crate) fn objection(&self, hello: &Hello) -> Option<Objection> {
        self.engine.objection(hello, self.level())
    }

    /// The dataset that is read was written at this level.
    pub(crate) fn begin_at(&mut self, level: Level) {
        self.began_at = level;
    }

    /// Where a command on `slot` goes.
    #[inline]
    pub(crate) fn route(&self, slot: Slot, read: ReadFrom) -> Route {
        self.engine.route(slot, read)
    }

    /// Where a write without keys goes.
    pub(crate) fn route_without_keys(&self) -> Route {
        self.engine.route_without_keys()
    }

    pub(crate) fn expiry(&self) -> Expiry {
        // A key that expires is written to the stream, and that waits with every other write.
        let writes = self.is_serving() && !self.is_backed_up() && self.pause.what().is_none();
        if writes { Expiry::Delete } else { Expiry::Hide }
    }

    #[inline]
    pub(crate) fn is_serving(&self) -> bool {
        self.engine.is_serving()
    }

    /// Do writes wait until replicas have taken more of what was written?
    #[inline]
    pub(crate) fn is_backed_up(&self) -> bool {
        self.retained.is_backed_up(self.offset())
    }

    /// Reads the clock. Before anything is executed as a primary, and again before what was executed is told.
    pub(crate) fn look_at_lease(&mut self) -> Leased {
        let leased = self.engine.look_at_lease(boottime_ms());
        if let (Leased::Changed, false, Some(primary)) = (leased, self.is_leased(), self.primary()) {
            super::perform::tell(Note::LeaseOver { shard: primary.shard() });
        }
        if leased == Leased::Changed {
            self.look_at_standing();
        }
        leased
    }

    #[inline]
    pub(crate) fn is_leased(&self) -> bool {
        self.engine.is_leased()
    }

    pub(crate) fn primary(&self) -> Option<&Primary> {
        self.engine.primary()
    }

    /// Puts the effects of one command (or one EXEC) into the stream, indivisibly, and forgets them. However much it
    /// wrote, and it may be more than it was sent, it is one frame or one group of them.
    /// Answers the stream's new end.
    pub(crate) fn commit(&mut self, scope: Scope) -> Offset {
        if !self.watches.is_empty() | self.blocked.waits_for_keys() | self.clients.is_tracked() {
            self.tell_of_changes();
        }
        let now_ms = self.clock_ms();
        let start = self.backlog.end();
        let epoch = self.engine.primary_epoch().expect("only a primary executes writes");
        let (level, effects, backlog) = (self.effects.level(), &self.effects.bytes, &mut self.backlog);
        let end = encode_group(&mut self.frame, level, epoch, start, scope, effects, |frame| {
            backlog.push(frame);
        });
        self.engine.on_frame(end, now_ms);
        self.stats.effects += self.effects.count as u64;
        self.effects.clear();
        match scope {
            Scope::Slot(slot) => self.slot_written[usize::from(slot.0)] = end.0,
            Scope::All => self.slot_written.fill(end.0),
        }
        self.last_written = end.0;
        end
    }

    /// Tells those who watch keys, or wait for them, which have changed.
    #[cold]
    fn tell_of_changes(&mut self) {
        if self.clients.is_tracked() {
            self.tell_of_untold(None);
        }
        let Self { keyspace, effects, watches, blocked, .. } = self;
        let exists = |key: &[u8]| keyspace.get(key).is_some();
        for effect in effects.iter() {
            blocked.note(&effect);
            match effect {
                Effect::Clear => watches.cleared(exists),
                Effect::Delete { key } => watches.changed(key, KeyChange::Deleted, || exists(key)),
                Effect::Rename { key, to } => {
                    watches.changed(key, KeyChange::Written, || exists(key));
                    watches.changed(to, KeyChange::Written, || exists(to));
                }
                other => {
                    if let Some(key) = other.key() {
                        watches.changed(key, KeyChange::Written, || exists(key));
                    }
                }
            }
        }
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
        self.engine.primary_epoch()
    }

    /// May a write be acknowledged with the present in-sync set (`min-in-sync`)?
    #[inline]
    pub(crate) fn has_enough_in_sync(&self) -> bool {
        self.engine.has_enough_in_sync()
    }

    /// May the replies that owe this be sent now?
    pub(crate) fn may_reply(&mut self, owed: Owed) -> Reply {
        self.engine.may_reply(owed)
    }

    /// `host:port` of a node's peer port.
    pub(crate) fn peer_addr(&self, node: NodeId) -> Option<String> {
        self.view.state.nodes.get(&node).map(|n| n.peer_addr.clone())
    }
}
