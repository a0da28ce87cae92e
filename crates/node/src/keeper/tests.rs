//! The keeper's thread over real sockets: a primary that is played, a returning node that is played.

use super::*;
use ironcache_control::{
    Command, ControlState, InitCluster, KeeperBase, NewKeeper, NodeRole, NodeSpec, Ownership, Policy, Reason,
    ShardSpec,
};
use ironcache_replication::{
    Accept, Ack, Effects, Fence, Hello, LINK_VERSIONS, Lineage, LinkVersion, Message, Position, Purpose,
    Refuse, Scope, Source, SyncBegin, SyncMode, decode, encode,
};
use ironcache_types::{
    Digest, Epoch, Incarnation, LEVELS, Level, MachineId, NodeId, Offset, Release, ShardId, SlotSet, Version,
    WireRange,
};
use std::time::Instant;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PRIMARY: Member = Member { node: NodeId(1), incarnation: Incarnation(10) };
const REPLICA: Member = Member { node: NodeId(2), incarnation: Incarnation(20) };
const ME: Member = Member { node: NodeId(3), incarnation: Incarnation(30) };
const SHARD: ShardId = ShardId(0);
const FROM: u64 = 100;
/// Far above what anything here takes.
const BOUND: Duration = Duration::from_secs(30);

/// A keeper, a primary that it can dial, and the log between them.
struct World {
    state: ControlState,
    index: u64,
    views: watch::Sender<Arc<AppliedView>>,
    keeper: KeeperHandle,
    listener: TcpListener,
    dir: TempDir,
}

impl World {
    async fn new() -> World {
        World::with_reserve(0).await
    }

    async fn with_reserve(reserve_bytes: u64) -> World {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer_addr = listener.local_addr().unwrap().to_string();
        let node = |member: Member, role: NodeRole| NodeSpec {
            member,
            client_addr: "c:1".to_owned(),
            peer_addr: peer_addr.clone(),
            http_addr: "h:1".to_owned(),
            tls_port: None,
            role,
            voter: true,
            shard: (role == NodeRole::Data).then_some(SHARD),
            release: Release { version: Version::new(1, 0, 0), digest: Digest([1; 32]) },
            levels: LEVELS,
            launcher_protocol: WireRange::CURRENT,
            machine: MachineId(u128::from(member.node.0)),
        };
        let init = InitCluster {
            cluster_id: ClusterId(7),
            nodes: vec![
                node(PRIMARY, NodeRole::Data),
                node(REPLICA, NodeRole::Data),
                node(ME, NodeRole::Witness),
            ],
            shards: vec![ShardSpec {
                id: SHARD,
                slots: SlotSet::part(0, 1),
                nodes: vec![PRIMARY.node, REPLICA.node],
            }],
            policy: Policy::default(),
            security: ironcache_control::NewSecurity::Insecure,
        };
        let (views, receiver) = watch::channel(Arc::default());
        let dir = tempfile::tempdir().unwrap();
        let keeper = start(KeeperOptions { reserve_bytes, ..options(&dir, receiver) }).unwrap();
        let mut world = World { state: ControlState::default(), index: 0, views, keeper, listener, dir };
        world.apply(&Command::InitCluster(init));
        let shard_epoch = world.epoch();
        let isr_epoch = world.state.shards[&SHARD].isr_epoch;
        world.apply(&Command::AddInSync { shard: SHARD, isr_epoch, primary: PRIMARY, member: REPLICA });
        world.apply(&Command::WantKeeper { shard: SHARD, shard_epoch, node: Some(ME.node) });
        world.show();
        world
    }

    fn apply(&mut self, command: &Command) {
        self.index += 1;
        self.state.apply(self.index, command).unwrap_or_else(|why| panic!("{command:?}: {why}"));
    }

    fn show(&self) {
        let state = Arc::new(self.state.clone());
        let view = AppliedView { index: self.index, term: 1, state, hashes: Vec::new() };
        self.views.send_replace(Arc::new(view));
    }

    fn epoch(&self) -> Epoch {
        self.state.shards[&SHARD].epoch
    }

    fn source(&self) -> Source {
        Source { epoch: self.epoch(), incarnation: PRIMARY.incarnation }
    }

    fn lineage(&self) -> Lineage {
        Lineage::new(self.epoch(), Offset(0))
    }

    /// Whole frames of this primary, from `start` on.
    fn frames(&self, start: u64, count: u64) -> (Vec<u8>, u64) {
        let (mut out, mut at) = (Vec::new(), start);
        for _ in 0..count {
            let (level, scope) = (Level(1), Scope::All);
            let effects = Effects { level, epoch: self.epoch(), start: Offset(at), scope, bytes: b"SET k v" };
            at += encode(&Message::Effects(effects), LINK_VERSIONS.max, &mut out).unwrap() as u64;
        }
        (out, at)
    }

    /// The keeper has dialled, and said hello.
    async fn dialled(&self) -> (Peer, Hello) {
        let (stream, _) = tokio::time::timeout(BOUND, self.listener.accept()).await.unwrap().unwrap();
        let mut peer = Peer { stream, buf: Vec::new(), version: LinkVersion::HANDSHAKE };
        peer.switch_protocols().await;
        let hello = peer.hear(|message| match message {
            Message::Hello(hello) => *hello,
            other => panic!("{other:?}"),
        });
        let hello = hello.await;
        assert_eq!((hello.purpose, hello.member, hello.shard), (Purpose::Keep, ME, SHARD));
        (peer, hello)
    }

    /// And was accepted from there on: what it acknowledges first.
    async fn kept_from(&self, from: u64) -> (Peer, Option<Position>) {
        let (mut peer, hello) = self.dialled().await;
        peer.say(&Message::Accept(Accept { version: LINK_VERSIONS.max })).await;
        peer.version = LINK_VERSIONS.max;
        let mode = SyncMode::Partial { from: Offset(from) };
        let begin = SyncBegin { source: self.source(), mode, lineage: self.lineage() };
        peer.say(&Message::SyncBegin(begin)).await;
        assert_eq!(peer.acknowledged().await, Ack { source: self.source(), applied: Offset(from) });
        (peer, hello.position)
    }

    fn record(&mut self) {
        let isr_epoch = self.state.shards[&SHARD].isr_epoch;
        let keeper = Some(NewKeeper { member: ME, from: Offset(FROM), base: KeeperBase::Leaver });
        let reason = Reason::new("test", "a test");
        self.apply(&Command::SetKeeper { shard: SHARD, isr_epoch, primary: PRIMARY, keeper, reason });
        self.show();
    }

    /// The replica leaves the set, and the primary's life ends.
    fn lose_primary(&mut self) {
        let shard = self.state.shards.get_mut(&SHARD).unwrap();
        shard.in_sync.clear();
        shard.ownership = Ownership::Recovering { last: PRIMARY, lease: ironcache_control::LastLease::Ended };
        self.index += 1;
        self.show();
    }

    /// The replica comes back and says hello to the keeper.
    async fn returns(&self, position: Option<Position>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let far = listener.accept().await.unwrap().0.into_std().unwrap();
        self.keeper.link(LinkSocket::of_tests(far));
        let mut peer = Peer { stream, buf: Vec::new(), version: LinkVersion::HANDSHAKE };
        let hello = Hello {
            versions: LINK_VERSIONS,
            cluster_id: ClusterId(7),
            shard: SHARD,
            member: REPLICA,
            purpose: Purpose::Follow,
            position,
            levels: LEVELS,
        };
        peer.say(&Message::Hello(hello)).await;
        peer
    }

    fn at(&self, offset: u64) -> Option<Position> {
        Some(Position { lineage_epoch: self.epoch(), offset: Offset(offset) })
    }
}

fn options(dir: &TempDir, views: watch::Receiver<Arc<AppliedView>>) -> KeeperOptions {
    let data_dir = dir.path().to_owned();
    KeeperOptions {
        me: ME,
        cluster: Some(ClusterId(7)),
        data_dir,
        levels: LEVELS,
        reserve_bytes: 0,
        views,
        doors: crate::doors::Doors::of_tests(),
    }
}

/// The other end of a link.
struct Peer {
    stream: TcpStream,
    buf: Vec<u8>,
    version: LinkVersion,
}

impl Peer {
    async fn switch_protocols(&mut self) {
        while !self.buf.ends_with(b"\r\n\r\n") {
            self.stream.read_buf(&mut self.buf).await.unwrap();
        }
        self.buf.clear();
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ironcache-replication\r\n\r\n";
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }

    async fn say(&mut self, message: &Message<'_>) {
        let mut out = Vec::new();
        encode(message, self.version, &mut out).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    /// The next message that is no ping.
    async fn hear<T>(&mut self, take: impl Fn(&Message<'_>) -> T) -> T {
        let until = Instant::now() + BOUND;
        loop {
            if let Some((message, len)) = decode(&self.buf, self.version).unwrap() {
                let heard = (!matches!(message, Message::Ping { .. })).then(|| take(&message));
                self.buf.drain(..len);
                match heard {
                    Some(heard) => return heard,
                    None => continue,
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            let read = tokio::time::timeout(left, self.stream.read_buf(&mut self.buf)).await;
            assert_ne!(read.expect("it says something in time").unwrap(), 0, "the link was closed");
        }
    }

    async fn acknowledged(&mut self) -> Ack {
        let ack = self.hear(|message| match message {
            Message::Ack(ack) => *ack,
            other => panic!("{other:?}"),
        });
        ack.await
    }

    async fn refused(&mut self) -> String {
        let code = self.hear(|message| match message {
            Message::Refuse(Refuse { code, text: _ }) => (*code).to_owned(),
            other => panic!("{other:?}"),
        });
        code.await
    }

    async fn begins(&mut self) -> SyncBegin {
        let version = self.hear(|message| match message {
            Message::Accept(Accept { version }) => *version,
            other => panic!("{other:?}"),
        });
        self.version = version.await;
        let begin = self.hear(|message| match message {
            Message::SyncBegin(begin) => begin.clone(),
            other => panic!("{other:?}"),
        });
        begin.await
    }

    /// Effects up to `end`: where each begins.
    async fn effects(&mut self, end: u64) -> Vec<u64> {
        let mut starts = Vec::new();
        loop {
            let (start, after) = self
                .hear(|message| match message {
                    Message::Effects(effects) => (effects.start.0, effects.end().0),
                    other => panic!("{other:?}"),
                })
                .await;
            starts.push(start);
            if after >= end {
                assert_eq!(after, end);
                return starts;
            }
        }
    }

    async fn closed(&mut self) {
        let read = async { while self.stream.read_buf(&mut self.buf).await.is_ok_and(|read| read > 0) {} };
        tokio::time::timeout(BOUND, read).await.expect("it is closed in time");
    }
}

#[tokio::test]
async fn what_the_primary_streams_is_kept_and_handed_to_a_node_that_returns() {
    let mut world = World::new().await;
    let (mut primary, position) = world.kept_from(FROM).await;
    assert_eq!(position, None);
    let (frames, end) = world.frames(FROM, 3);
    primary.stream.write_all(&frames[..50]).await.unwrap();
    primary.stream.write_all(&frames[50..]).await.unwrap();
    while primary.acknowledged().await.applied != Offset(end) {}
    world.record();
    world.lose_primary();
    primary.closed().await;

    let mut returning = world.returns(world.at(FROM + 36)).await;
    let begin = returning.begins().await;
    let source = Source { epoch: world.epoch(), incarnation: ME.incarnation };
    assert_eq!((begin.source, begin.lineage), (source, world.lineage()));
    assert_eq!(begin.mode, SyncMode::Partial { from: Offset(FROM + 36) });
    assert_eq!(returning.effects(end).await, [FROM + 36, FROM + 72]);

    let isr_epoch = world.state.shards[&SHARD].isr_epoch;
    let shard_epoch = world.epoch();
    world.apply(&Command::BeginRecovery { shard: SHARD, shard_epoch, isr_epoch, to: REPLICA, term: 0 });
    world.show();
    let handover_epoch = world.state.shards[&SHARD].handover.unwrap().epoch;
    let fence = returning.hear(|message| match message {
        Message::Fence(fence) => *fence,
        other => panic!("{other:?}"),
    });
    assert_eq!(fence.await, Fence { handover_epoch, offset: Offset(end) });

    let (handover, to, offset) = (handover_epoch, REPLICA, Offset(end));
    let in_sync = [REPLICA].into();
    world.apply(&Command::Promote { shard: SHARD, handover, to, offset, in_sync });
    world.show();
    returning.closed().await;
    let mut late = world.returns(world.at(FROM)).await;
    assert_eq!(late.refused().await, "not_keeper");
}

#[tokio::test]
async fn a_node_that_lacks_what_was_not_kept_is_refused_and_one_that_holds_more_is_fenced_where_it_stands() {
    let mut world = World::new().await;
    let (mut primary, _) = world.kept_from(FROM).await;
    let (frames, end) = world.frames(FROM, 2);
    primary.stream.write_all(&frames).await.unwrap();
    while primary.acknowledged().await.applied != Offset(end) {}
    world.record();
    let mut early = world.returns(world.at(FROM)).await;
    assert_eq!(early.refused().await, "primary_is_heard");
    world.lose_primary();
    for position in [None, world.at(FROM - 1)] {
        assert_eq!(world.returns(position).await.refused().await, "not_continued", "{position:?}");
    }
    let isr_epoch = world.state.shards[&SHARD].isr_epoch;
    let shard_epoch = world.epoch();
    world.apply(&Command::BeginRecovery { shard: SHARD, shard_epoch, isr_epoch, to: REPLICA, term: 0 });
    world.show();
    let mut ahead = world.returns(world.at(end + 36)).await;
    assert_eq!(ahead.begins().await.mode, SyncMode::Partial { from: Offset(end + 36) });
    let fence = ahead.hear(|message| match message {
        Message::Fence(fence) => fence.offset,
        other => panic!("{other:?}"),
    });
    assert_eq!(fence.await, Offset(end + 36));
}

#[tokio::test]
async fn a_lost_link_goes_on_where_the_tail_ends_and_so_does_the_next_life() {
    let mut world = World::new().await;
    let (mut primary, _) = world.kept_from(FROM).await;
    let (frames, end) = world.frames(FROM, 2);
    primary.stream.write_all(&frames).await.unwrap();
    while primary.acknowledged().await.applied != Offset(end) {}
    // And half a frame, which is forgotten.
    primary.stream.write_all(&world.frames(end, 1).0[..20]).await.unwrap();
    drop(primary);
    let (primary, position) = world.kept_from(end).await;
    assert_eq!(position, world.at(end));
    world.record();
    drop(primary);

    let (views, receiver) = watch::channel(Arc::new(AppliedView::default()));
    let next = Member { incarnation: Incarnation(31), ..ME };
    let keeper = start(KeeperOptions { me: next, ..options(&world.dir, receiver) }).unwrap();
    drop(std::mem::replace(&mut world.keeper, keeper));
    world.views = views;
    world.state.nodes.get_mut(&ME.node).unwrap().incarnation = next.incarnation;
    world.show();
    let position = loop {
        let (stream, _) = tokio::time::timeout(BOUND, world.listener.accept()).await.unwrap().unwrap();
        let mut peer = Peer { stream, buf: Vec::new(), version: LinkVersion::HANDSHAKE };
        peer.switch_protocols().await;
        let hello = peer.hear(|message| match message {
            Message::Hello(hello) => (hello.member, hello.position),
            other => panic!("{other:?}"),
        });
        // The life before may have dialled once more.
        if let (member, position) = hello.await
            && member == next
        {
            break position;
        }
    };
    assert_eq!(position, world.at(end));
}

#[tokio::test]
async fn a_frame_that_does_not_follow_costs_the_link_and_is_not_acknowledged() {
    let world = World::new().await;
    let (mut primary, _) = world.kept_from(FROM).await;
    let (frames, end) = world.frames(FROM, 1);
    primary.stream.write_all(&frames).await.unwrap();
    while primary.acknowledged().await.applied != Offset(end) {}
    primary.stream.write_all(&world.frames(end + 1, 1).0).await.unwrap();
    primary.closed().await;
    let (_primary, position) = world.kept_from(end).await;
    assert_eq!(position, world.at(end));
}

#[tokio::test]
async fn a_keeper_whose_disk_is_full_says_so_to_its_primary_and_to_the_leader() {
    let world = World::with_reserve(u64::MAX).await;
    let mut told = world.keeper.cannot_keep.clone();
    let waited = tokio::time::timeout(BOUND, told.wait_for(Option::is_some));
    let why = waited.await.expect("it is told before anybody asks").unwrap().clone();
    assert!(matches!(why, Some(CannotKeep::Full { reserve_bytes: u64::MAX, .. })), "{why:?}");
    assert_eq!(world.keeper.cannot_keep(), why);
    let (mut primary, _) = world.dialled().await;
    primary.say(&Message::Accept(Accept { version: LINK_VERSIONS.max })).await;
    primary.version = LINK_VERSIONS.max;
    let mode = SyncMode::Partial { from: Offset(FROM) };
    primary
        .say(&Message::SyncBegin(SyncBegin { source: world.source(), mode, lineage: world.lineage() }))
        .await;
    assert_eq!(primary.refused().await, "cannot_keep");
}
