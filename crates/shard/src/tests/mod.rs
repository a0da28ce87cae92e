//! The engine as facts: what the log says, what links say, what time it is; and what the engine asks for.

mod copies;
mod handovers;
mod in_sync_set;
mod leases;
mod links;
mod ownership;
mod routing;

use crate::StandBy;
use crate::{Action, Ask, Engine, Event, Grant, Held, Now, Route};
use ironcache_control::{
    AckMode, Command, ControlState, Handover, InitCluster, NodeRole, NodeSpec, Policy, Reason, Shard,
    ShardSpec,
};
use ironcache_replication::{Ack, Fence, Lineage, Scope, Source, SyncBegin, SyncMode};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, LEVELS, Level, Member, NodeId, Offset, ReadFrom, Release, ShardId,
    Slot, SlotSet, Version, WireRange,
};
use std::collections::BTreeSet;
use std::sync::Arc;

const A: Member = Member { node: NodeId(1), incarnation: Incarnation(10) };
const B: Member = Member { node: NodeId(2), incarnation: Incarnation(20) };
const SHARD: ShardId = ShardId(0);
const SLOT: Slot = Slot(12);
/// How often a link is asked to say something.
const DUE_MS: u64 = 50;

/// The log: one shard with all slots, A its primary and B its replica; 3 is a witness.
#[derive(Clone)]
struct World {
    state: ControlState,
    index: u64,
}

impl World {
    /// A alone is in the in-sync set.
    fn alone(mode: AckMode) -> World {
        let node = |member: Member, role: NodeRole| NodeSpec {
            member,
            client_addr: format!("c{}:1", member.node.0),
            peer_addr: format!("p{}:1", member.node.0),
            http_addr: format!("h{}:1", member.node.0),
            tls_port: None,
            role,
            voter: true,
            shard: (role == NodeRole::Data).then_some(SHARD),
            release: Release { version: Version::new(1, 0, 0), digest: Digest([1; 32]) },
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
    fn pair(mode: AckMode) -> World {
        let mut world = World::alone(mode);
        world.add(B);
        world
    }

    fn apply(&mut self, command: &Command) {
        self.index += 1;
        let applied = self.state.apply(self.index, command);
        applied.unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
    }

    fn add(&mut self, member: Member) {
        let (isr_epoch, primary) = (self.shard().isr_epoch, self.shard().primary().unwrap());
        self.apply(&Command::AddInSync { shard: SHARD, isr_epoch, primary, member });
    }

    fn remove(&mut self, member: Member) {
        let (isr_epoch, primary) = (self.shard().isr_epoch, self.shard().primary().unwrap());
        let reason = Reason::new("silent", "a test");
        self.apply(&Command::RemoveInSync { shard: SHARD, isr_epoch, primary, member, reason });
    }

    fn set_mode(&mut self, mode: AckMode) {
        let (isr_epoch, primary) = (self.shard().isr_epoch, self.shard().primary().unwrap());
        self.apply(&Command::SetMode { shard: SHARD, isr_epoch, primary, mode });
    }

    fn shard(&self) -> &Shard {
        &self.state.shards[&SHARD]
    }

    fn begin_handover(&mut self, from: Member, to: Member) -> Handover {
        let shard_epoch = self.shard().epoch;
        self.apply(&Command::BeginHandover { shard: SHARD, shard_epoch, from, to, plan: None });
        self.shard().handover.expect("it just began")
    }

    fn abort(&mut self, handover: Handover) {
        self.apply(&Command::AbortHandover { shard: SHARD, handover: handover.epoch });
    }

    fn promote(&mut self, handover: Handover, offset: u64) {
        let (to, handover, offset) = (handover.to, handover.epoch, Offset(offset));
        let in_sync = BTreeSet::from([A, B]);
        self.apply(&Command::Promote { shard: SHARD, handover, to, offset, in_sync });
    }

    fn failover(&mut self, to: Member) {
        let (shard_epoch, isr_epoch) = (self.shard().epoch, self.shard().isr_epoch);
        self.apply(&Command::Failover { shard: SHARD, shard_epoch, isr_epoch, to, term: 0 });
    }

    /// Node `old` was restarted: its roles are gone.
    fn restart(&mut self, old: Member) -> Member {
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
        });
        member
    }

    fn source(&self) -> Source {
        let primary = self.shard().primary().expect("the shard is served");
        Source { epoch: self.shard().epoch, incarnation: primary.incarnation }
    }

    fn moved_to(&self, member: Member) -> Route {
        Route::Moved(member.node)
    }
}

/// One engine, and the clock that it is shown.
struct Brain {
    engine: Engine,
    now: Now,
    serial: u64,
}

impl Brain {
    /// It has read a dataset that ends at `held`, written in the shard's present epoch, or none; and applied the world.
    fn new(me: Member, world: &World, held: Option<u64>) -> Brain {
        let held = held.map(|end| (Lineage::new(world.shard().epoch, Offset(0)), Offset(end)));
        let mut brain = Brain::loaded(me, held);
        brain.apply(world);
        brain.on(Event::Granted(Grant { until_ms: u64::MAX, index: 0 }));
        brain
    }

    fn loaded(me: Member, held: Option<(Lineage, Offset)>) -> Brain {
        let now = Now { ran_ms: 1_000, boot_ms: 1_000 };
        let mut brain = Brain { engine: Engine::new(me), now, serial: 0 };
        // By the first owner of these tests.
        let sealed_by = Some(A.incarnation);
        let held = held.map(|(lineage, offset)| Held { lineage, offset, sealed_by, taken_ms: 0 });
        assert_eq!(brain.on(Event::Loaded { held }), []);
        brain
    }

    /// B, which follows A and holds everything up to `end`.
    fn following(world: &World, end: u64) -> Brain {
        let mut brain = Brain::new(B, world, Some(end));
        let source = world.source();
        let lineage = Lineage::new(source.epoch, Offset(0));
        let begin = SyncBegin { source, mode: SyncMode::Partial { from: Offset(end) }, lineage };
        let from = Offset(end);
        assert_eq!(brain.engine.follow(A, &begin), Ok(crate::Follow::Continue { source, from }));
        brain
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        self.engine.on(event, self.now)
    }

    fn apply(&mut self, world: &World) -> Vec<Action> {
        self.on(Event::Applied { index: world.index, state: Arc::new(world.state.clone()) })
    }

    /// So much time passes, in ticks.
    fn pass(&mut self, ms: u64) -> Vec<Action> {
        let mut out = Vec::new();
        for _ in 0..ms / 10 {
            self.now.ran_ms += 10;
            self.now.boot_ms += 10;
            out.extend(self.on(Event::Tick));
        }
        out
    }

    /// `member` links itself, holding everything up to here.
    fn attach(&mut self, member: Member) -> Vec<Action> {
        self.serial = self.engine.register(member, self.now);
        let from = self.engine.end().unwrap();
        let mode = SyncMode::Partial { from };
        let (attached, mut out) = self.engine.attach(member, self.serial, mode, self.now).unwrap();
        assert_eq!(attached.from, from);
        out.extend(self.ack(member));
        out
    }

    /// It has applied everything.
    fn ack(&mut self, member: Member) -> Vec<Action> {
        let (source, applied) = (self.engine.primary().unwrap().gate().source(), self.engine.end().unwrap());
        let ack = Ack { source, applied };
        self.engine.on_ack(member, self.serial, ack, DUE_MS, self.now).unwrap()
    }

    /// A command is executed whose frame has so many bytes.
    fn write(&mut self, bytes: u64) {
        assert!(self.engine.is_serving());
        let end = self.engine.end().unwrap();
        self.engine.on_frame(Offset(end.0 + bytes), self.now.ran_ms);
    }

    fn route(&self) -> Route {
        self.engine.route(SLOT, ReadFrom::Primary)
    }
}

/// The commands that these actions propose.
fn proposed(actions: &[Action]) -> Vec<Command> {
    let proposals = actions.iter().filter_map(|action| match action {
        Action::Propose { command, ask: _ } => Some((**command).clone()),
        _ => None,
    });
    proposals.collect()
}

/// The asks that come with them.
fn asks(actions: &[Action]) -> Vec<Ask> {
    let asks = actions.iter().filter_map(|action| match action {
        Action::Propose { command: _, ask } => *ask,
        _ => None,
    });
    asks.collect()
}
