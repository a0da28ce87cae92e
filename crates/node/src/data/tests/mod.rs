//! The data plane against views of the log made by hand: what is never to happen, whatever the timing.

mod admission;
mod blocking;
mod checkpoints;
mod clients;
mod connections;
mod functions;
mod fuzz;
mod handovers;
mod leaving;
mod links;
mod memory;
mod monitors;
mod outputs;
mod pubsub;
mod retention;
mod script_calls;
mod scripts;
mod server_commands;
mod serving;
mod snapshots;
mod statistics;
mod tls;
mod total_loss;
mod tracking;
mod transactions;
mod trouble;
mod users;
mod waiting_reads;

use super::checkpoint::{Begun, Copy};
use super::client::Client;
use super::dispatch;
use super::plane::{Plane, ToControl};
use super::{DataNode, Door};
use crate::config::Config;
use ironcache_control::{
    AckMode, Command, ControlState, Handover, InitCluster, NodeRole, NodeSpec, Policy, Reason, Shard,
    ShardSpec,
};
use ironcache_keyspace::{Effect, Keyspace};
use ironcache_raft::AppliedView;
use ironcache_replication::{Ack, LINK_VERSIONS, Lineage, ReplicaCursor, Source, SyncBegin, SyncMode};
use ironcache_session::Stop;
use ironcache_shard::{Event, Follow, Grant, Held, Primary};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, LEVELS, Level, LevelRange, Member, NodeId, Offset, Release,
    ShardId, SlotSet, Version, WireRange,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};

pub(super) const A: Member = Member { node: NodeId(1), incarnation: Incarnation(10) };
pub(super) const B: Member = Member { node: NodeId(2), incarnation: Incarnation(20) };
const SHARD: ShardId = ShardId(0);

/// One shard with all slots, A its primary and B its replica; 3 is a witness.
pub(super) struct World {
    pub state: ControlState,
    index: u64,
}

impl World {
    /// A alone is in the in-sync set.
    pub(super) fn alone(mode: AckMode) -> World {
        let node = |member: Member, role: NodeRole| NodeSpec {
            member,
            client_addr: format!("c{}:1", member.node.0),
            peer_addr: format!("p{}:1", member.node.0),
            http_addr: format!("h{}:1", member.node.0),
            tls_port: None,
            role,
            voter: true,
            shard: (role == NodeRole::Data).then_some(SHARD),
            release: release(),
            levels: LEVELS,
            launcher_protocol: WireRange::CURRENT,
            machine: ironcache_types::MachineId(u128::from(member.node.0)),
        };
        let witness = Member { node: NodeId(3), incarnation: Incarnation(30) };
        let init = InitCluster {
            cluster_id: ClusterId(7),
            nodes: vec![node(A, NodeRole::Data), node(B, NodeRole::Data), node(witness, NodeRole::Witness)],
            shards: vec![ShardSpec { id: SHARD, slots: SlotSet::part(0, 1), nodes: vec![A.node, B.node] }],
            policy: Policy { steady_mode: mode, ..Policy::default() },
            security: ironcache_control::NewSecurity::Insecure,
        };
        let mut world = World { state: ControlState::default(), index: 0 };
        world.apply(&Command::InitCluster(init));
        world
    }

    /// A and B are in the in-sync set.
    pub(super) fn pair(mode: AckMode) -> World {
        let mut world = World::alone(mode);
        let isr_epoch = world.shard().isr_epoch;
        world.apply(&Command::AddInSync { shard: SHARD, isr_epoch, primary: A, member: B });
        world
    }

    pub(super) fn apply(&mut self, command: &Command) {
        self.index += 1;
        let applied = self.state.apply(self.index, command);
        applied.unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.state.shards[&SHARD]
    }

    pub(super) fn view(&self) -> Arc<AppliedView> {
        Arc::new(AppliedView {
            index: self.index,
            term: 1,
            state: Arc::new(self.state.clone()),
            hashes: Vec::new(),
        })
    }

    pub(super) fn begin_handover(&mut self, from: Member, to: Member) -> Handover {
        let shard_epoch = self.shard().epoch;
        self.apply(&Command::BeginHandover { shard: SHARD, shard_epoch, from, to, plan: None });
        self.shard().handover.expect("it just began")
    }

    pub(super) fn abort(&mut self, handover: Handover) {
        self.apply(&Command::AbortHandover { shard: SHARD, handover: handover.epoch });
    }

    pub(super) fn promote(&mut self, handover: Handover, offset: Offset) {
        let in_sync = BTreeSet::from([A, B]);
        let (to, handover) = (handover.to, handover.epoch);
        self.apply(&Command::Promote { shard: SHARD, handover, to, offset, in_sync });
    }

    /// Node `old` was restarted: its roles are gone.
    pub(super) fn restart(&mut self, old: Member) -> Member {
        let member = Member { incarnation: Incarnation(old.incarnation.0 + 1), ..old };
        let node = self.state.nodes[&old.node].clone();
        self.apply(&Command::RegisterNode {
            member,
            client_addr: node.client_addr,
            peer_addr: node.peer_addr,
            http_addr: node.http_addr,
            tls_port: node.tls_port,
            release: node.release,
            levels: node.levels,
            launcher_protocol: node.launcher_protocol,
            machine: node.machine,
            #[cfg(feature = "next")]
            zone: node.zone,
        });
        member
    }

    pub(super) fn set_policy(&mut self, change: impl FnOnce(&mut Policy)) {
        let mut policy = self.state.policy;
        change(&mut policy);
        self.apply(&Command::SetPolicy { seen: self.state.policy_epoch, policy });
    }

    pub(super) fn remove_in_sync(&mut self, member: Member) {
        let isr_epoch = self.shard().isr_epoch;
        let reason = Reason::new("silent", "a test");
        self.apply(&Command::RemoveInSync { shard: SHARD, isr_epoch, primary: A, member, reason });
    }

    /// The cluster is finalized at this level; at first it is at the newest.
    pub(super) fn raise(&mut self, level: Level) {
        self.index += 1;
        self.state.cluster_level = level;
    }

    pub(super) fn source(&self) -> Source {
        let primary = self.shard().primary().expect("the shard is served");
        Source { epoch: self.shard().epoch, incarnation: primary.incarnation }
    }
}

pub(super) fn release() -> Release {
    Release { version: Version::new(1, 0, 0), digest: Digest([1; 32]) }
}

/// A plane that has read an absent checkpoint, and applied the world.
pub(super) fn plane(me: Member, world: &World) -> (Plane, mpsc::UnboundedReceiver<ToControl>) {
    let (mut plane, proposals) = without_lease(me, world);
    grant(&mut plane, FOR_EVER);
    (plane, proposals)
}

/// The same, and no leader has answered it.
pub(super) fn without_lease(me: Member, world: &World) -> (Plane, mpsc::UnboundedReceiver<ToControl>) {
    let (to_control, proposals) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(Config::default()), me, Version::new(1, 0, 0), LEVELS, to_control, 1);
    plane.loaded(Keyspace::new(), None);
    plane.apply_view(world.view());
    (plane, proposals)
}

pub(super) fn grant(plane: &mut Plane, grant: Grant) {
    plane.on(Event::Granted(grant));
}

/// A lease that no test outlives.
pub(super) const FOR_EVER: Grant = Grant { until_ms: u64::MAX, index: 0 };

/// B's plane, following A from the very start.
pub(super) fn following(world: &World) -> Plane {
    let (mut plane, _) = plane(B, world);
    let source = world.source();
    let lineage = Lineage::new(source.epoch, Offset(0));
    plane.loaded(Keyspace::new(), begun(lineage.clone(), Offset(0)));
    plane.apply_view(world.view());
    let begin = SyncBegin { source, mode: SyncMode::Partial { from: Offset(0) }, lineage };
    let followed = plane.engine.follow(A, &begin).expect("both are at 0");
    assert!(matches!(followed, Follow::Continue { from: Offset(0), .. }), "{followed:?}");
    plane
}

/// What A has sealed as it stopped.
pub(super) fn begun(lineage: Lineage, offset: Offset) -> Option<Held> {
    let sealed_by = Some(A.incarnation);
    Some(Held { lineage, offset, sealed_by, taken_ms: TAKEN_MS })
}

pub(super) fn from_checkpoint(lineage: Lineage, offset: Offset) -> Begun {
    Begun { copy: Copy::Checkpoint, held: begun(lineage, offset).expect("it holds something") }
}

pub(super) const TAKEN_MS: u64 = 5_000;

pub(super) fn cursor(plane: &mut Plane) -> &mut ReplicaCursor {
    plane.engine.stream().expect("it is a replica")
}

pub(super) fn primary(plane: &Plane) -> &Primary {
    plane.primary().expect("it is primary")
}

/// A replica's link to this primary: whose, and its number.
pub(super) type Link = (Member, u64);

/// `member` is linked to this primary, and has applied everything so far.
pub(super) fn attach(plane: &mut Plane, member: Member) -> Link {
    let (from, now) = (plane.offset(), plane.now());
    let link = (member, plane.engine.register(member, now));
    let (_, actions) = plane.engine.attach(member, link.1, SyncMode::Partial { from }, now).unwrap();
    plane.perform(actions);
    acknowledge(plane, link);
    link
}

/// It acknowledges everything.
pub(super) fn acknowledge(plane: &mut Plane, (member, serial): Link) {
    let (applied, now) = (plane.offset(), plane.now());
    let source = primary(plane).gate().source();
    let actions = plane.engine.on_ack(member, serial, Ack { source, applied }, 50, now).unwrap();
    plane.settle_replies();
    plane.perform(actions);
}

/// It was sent everything up to here.
pub(super) fn sent(plane: &mut Plane, (member, serial): Link, cursor: Offset) {
    plane.engine.sent(member, serial, cursor);
    plane.retain();
}

pub(super) fn client(plane: &mut Plane) -> Client {
    let addr: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let everybody = Rc::clone(plane.accounts.everybody());
    plane.clients.connect(addr, addr, 0, &everybody, Door::Plain)
}

/// Runs one command, given as words; the reply is text.
pub(super) fn run(plane: &mut Plane, client: &mut Client, command: &str) -> (Option<Stop>, String) {
    let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
    let mut out = Vec::new();
    plane.statistics.stopwatch.begin();
    let stop = dispatch::run(plane, client, &args, &mut out);
    (stop, String::from_utf8(out).unwrap())
}

/// The same, for one that is answered at once.
pub(super) fn answer(plane: &mut Plane, client: &mut Client, command: &str) -> String {
    let (stop, reply) = run(plane, client, command);
    assert_eq!(stop, None, "{command}: {reply}");
    reply
}

/// What the tasks of the data thread share, around a plane.
pub(super) fn node(plane: Plane) -> Rc<DataNode> {
    node_in(PathBuf::new(), plane)
}

pub(super) fn node_in(data_dir: PathBuf, plane: Plane) -> Rc<DataNode> {
    Rc::new(DataNode {
        plane: RefCell::new(plane),
        changed: Rc::new(Notify::new()),
        feed: Rc::new(Notify::new()),
        acked: Rc::new(Notify::new()),
        drain: Rc::new(Notify::new()),
        pulse: crate::data::pulse::Pulse::of_this_thread(),
        drain_until: Cell::new(None),
        listeners: vec![(Door::Plain, listener()), (Door::Tls, listener())],
        places: std::sync::Arc::new(tokio::sync::Semaphore::new(super::tls::AT_ONCE)),
        turns: std::sync::Arc::new(tokio::sync::Semaphore::new(super::tls::proved_at_once())),
        reread: tokio::sync::Notify::new(),
        accepting: RefCell::default(),
        work: Default::default(),
        data_dir,
        launcher: watch::channel(Default::default()).1,
        disk: tokio::sync::Mutex::new(()),
        cluster: Some(ClusterId(7)),
        beside: Default::default(),
        doors: crate::doors::Doors::of_tests(),
    })
}

fn listener() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// The node applies the world, as `watch_views` has it do.
pub(super) fn show(node: &DataNode, world: &World) {
    node.plane.borrow_mut().apply_view(world.view());
    node.changed.notify_waiters();
    node.feed.notify_waiters();
}
