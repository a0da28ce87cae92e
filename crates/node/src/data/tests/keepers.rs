//! A primary and its keeper; a node of the shard that recovers from one.

use super::*;
use crate::data::follower::{SourceKind, asked_keeper, source_named};
use crate::data::handover::{Attached, Patience, promotion};
use crate::data::membership::tend;
use crate::data::refusal::Refusal;
use ironcache_control::{HandoverVia, KeeperBase, NewKeeper};
use ironcache_replication::{Fence, Hello, Position, Purpose, Requirement};
use ironcache_shard::keeper::NotAttached;

const W: Member = Member { node: NodeId(3), incarnation: Incarnation(30) };

impl World {
    fn wish(&mut self, node: Option<NodeId>) {
        let shard_epoch = self.shard().epoch;
        self.apply(&Command::WantKeeper { shard: SHARD, shard_epoch, node });
    }

    fn set_keeper(&mut self, from: Option<Offset>) {
        let isr_epoch = self.shard().isr_epoch;
        let keeper = from.map(|from| NewKeeper { member: W, from, base: KeeperBase::Leaver });
        let reason = Reason::new("test", "a test");
        self.apply(&Command::SetKeeper { shard: SHARD, isr_epoch, primary: A, keeper, reason });
    }
}

fn hello(position: Option<Position>) -> Hello {
    Hello {
        versions: LINK_VERSIONS,
        cluster_id: ClusterId(7),
        shard: SHARD,
        member: W,
        purpose: Purpose::Keep,
        position,
        levels: LEVELS,
    }
}

/// W is linked to this primary as its keeper, and holds everything so far.
fn keeps(plane: &mut Plane) -> Link {
    let mode = plane.attach_keeper(&hello(None)).unwrap();
    assert_eq!(mode, SyncMode::Partial { from: plane.offset() });
    attach(plane, W)
}

fn requirement(plane: &mut Plane) -> Option<Requirement> {
    primary(plane).gate.followers().find(|f| f.member == W).and_then(|f| f.requirement)
}

/// About keepers and members, since this was last called.
fn proposed(proposals: &mut mpsc::UnboundedReceiver<ToControl>) -> Vec<Command> {
    let all = std::iter::from_fn(|| proposals.try_recv().ok()).map(|proposal| proposal.command);
    all.filter(|command| matches!(command, Command::SetKeeper { .. } | Command::AddInSync { .. })).collect()
}

fn recorded(world: &World, from: u64) -> Command {
    let keeper = Some(NewKeeper { member: W, from: Offset(from), base: KeeperBase::Leaver });
    let reason = Reason::new("holds", "it holds what was acknowledged since its tail began");
    let isr_epoch = world.shard().isr_epoch;
    Command::SetKeeper { shard: SHARD, isr_epoch, primary: A, keeper, reason }
}

/// A and B in sync, W wished, linked and proposed.
async fn asked() -> (World, Rc<DataNode>, [Link; 2], mpsc::UnboundedReceiver<ToControl>) {
    let mut world = World::pair(AckMode::InSync);
    world.wish(Some(W.node));
    let (mut plane, mut proposals) = plane(A, &world);
    let links = [attach(&mut plane, B), keeps(&mut plane)];
    let node = node(plane);
    tend(&node);
    assert_eq!(proposed(&mut proposals), [recorded(&world, 0)], "as a keeper, and not as a member");
    (world, node, links, proposals)
}

/// All of them are to drop the keeper: why.
fn reason_of(commands: &[Command]) -> Vec<&str> {
    let each = commands.iter().map(|command| match command {
        Command::SetKeeper { keeper: None, reason, .. } => reason.code.as_str(),
        other => panic!("{other:?}"),
    });
    each.collect()
}

#[tokio::test]
async fn a_keeper_is_required_from_the_proposal_until_its_removal_is_applied() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (mut world, node, [of_b, link], mut proposals) = asked().await;
            let mut writer = client(&mut node.plane.borrow_mut());
            assert_eq!(requirement(&mut node.plane.borrow_mut()), Some(Requirement::Proposed));
            let acknowledged = |node: &DataNode| primary(&mut node.plane.borrow_mut()).gate.acknowledged();
            run(&mut node.plane.borrow_mut(), &mut writer, "SET k v");
            let end = node.plane.borrow().offset();
            acknowledge(&mut node.plane.borrow_mut(), of_b);
            assert!(acknowledged(&node) < end, "the log may have accepted it already");
            world.set_keeper(Some(Offset(0)));
            show(&node, &world);
            assert_eq!(requirement(&mut node.plane.borrow_mut()), Some(Requirement::Committed));
            assert!(acknowledged(&node) < end);
            primary(&mut node.plane.borrow_mut()).gate.detach(link);
            assert!(acknowledged(&node) < end, "a link that is lost is no removal");
            tend(&node);
            assert_eq!(proposed(&mut proposals), [], "it is wished");
            world.wish(None);
            show(&node, &world);
            tend(&node);
            assert_eq!(reason_of(&proposed(&mut proposals)), ["not_needed"]);
            assert_eq!(requirement(&mut node.plane.borrow_mut()), Some(Requirement::Committed));
            world.set_keeper(None);
            show(&node, &world);
            assert_eq!(requirement(&mut node.plane.borrow_mut()), None);
        })
        .await;
}

#[tokio::test]
async fn with_one_member_left_a_keeper_that_nobody_wishes_any_more_stays() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (mut world, node, _, mut proposals) = asked().await;
            world.set_keeper(Some(Offset(0)));
            world.remove_in_sync(B);
            world.wish(None);
            show(&node, &world);
            tend(&node);
            assert_eq!(proposed(&mut proposals), []);
        })
        .await;
}

#[tokio::test]
async fn a_keeper_that_says_it_cannot_write_is_dropped_at_once() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (mut world, node, _, mut proposals) = asked().await;
            world.set_keeper(Some(Offset(0)));
            world.remove_in_sync(B);
            show(&node, &world);
            node.plane.borrow_mut().keeper_gave_up(W, "no space left");
            tend(&node);
            tend(&node);
            assert_eq!(reason_of(&proposed(&mut proposals)), ["cannot_keep"], "once a pause");
        })
        .await;
}

#[tokio::test]
async fn a_keeper_counts_where_writes_ask_for_copies() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (mut world, node, _, _proposals) = asked().await;
            world.set_policy(|policy| policy.min_in_sync = 2);
            world.set_keeper(Some(Offset(0)));
            world.remove_in_sync(B);
            show(&node, &world);
            assert!(node.plane.borrow().has_enough_in_sync());
            world.set_keeper(None);
            show(&node, &world);
            assert!(!node.plane.borrow().has_enough_in_sync());
        })
        .await;
}

#[test]
fn a_new_start_as_primary_knows_no_keeper() {
    let mut world = World::pair(AckMode::InSync);
    world.wish(Some(W.node));
    let mut candidate = following(&world);
    world.set_keeper(Some(Offset(0)));
    candidate.apply_view(world.view());
    world.restart(A);
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    world.apply(&Command::Failover { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 0 });
    candidate.apply_view(world.view());
    assert_eq!(requirement(&mut candidate), None);
    let not_wanted = NotAttached::NotWanted { shard: SHARD, node: W.node };
    assert_eq!(candidate.attach_keeper(&hello(None)), Err(Refusal::NotAttached(not_wanted)));
}

#[test]
fn the_source_is_the_primary_or_the_keeper_that_the_log_records_for_it() {
    let mut world = World::pair(AckMode::InSync);
    world.wish(Some(W.node));
    assert_eq!(source_named(world.shard(), W), None, "a wish is no record");
    world.set_keeper(Some(Offset(0)));
    let epoch = world.shard().epoch;
    let of = |member: Member, kind| Some((Source { epoch, incarnation: member.incarnation }, kind));
    assert_eq!(source_named(world.shard(), A), of(A, SourceKind::Primary));
    assert_eq!(source_named(world.shard(), W), of(W, SourceKind::Keeper));
    assert_eq!(source_named(world.shard(), B), None);
    let later = Member { incarnation: Incarnation(31), ..W };
    assert_eq!(source_named(world.shard(), later), None);
}

/// B left with everything below 0 of A's stream, and A ended.
fn left_behind() -> (World, Plane) {
    let mut world = World::pair(AckMode::InSync);
    world.wish(Some(W.node));
    let lineage = Lineage::new(world.shard().epoch, Offset(0));
    world.set_keeper(Some(Offset(0)));
    world.remove_in_sync(B);
    let (mut plane, _) = plane(B, &world);
    plane.loaded(Keyspace::new(), Some((lineage, Offset(0))));
    world.restart(A);
    plane.apply_view(world.view());
    (world, plane)
}

/// B has taken everything that W kept.
fn follows_keeper(world: &World, plane: &mut Plane) -> Source {
    let (source, kind) = source_named(world.shard(), W).expect("it is recorded");
    assert_eq!(kind, SourceKind::Keeper);
    let lineage = Lineage::new(source.epoch, Offset(0));
    let begin = SyncBegin { source, mode: SyncMode::Partial { from: Offset(0) }, lineage };
    let _ = replica(plane).cursor.follow(source, &begin, Standing::InSync).expect("it continues");
    replica(plane).link_up = true;
    source
}

#[test]
fn a_keeper_is_asked_by_who_is_not_in_the_set_and_follows_no_primary() {
    let (world, mut plane) = left_behind();
    assert_eq!(asked_keeper(&plane, world.shard()), Some(W));
    follows_keeper(&world, &mut plane);
    assert_eq!(asked_keeper(&plane, world.shard()), Some(W), "it is followed");

    let mut world = World::pair(AckMode::InSync);
    world.wish(Some(W.node));
    world.set_keeper(Some(Offset(0)));
    let mut replica_of_a = following(&world);
    assert_eq!(asked_keeper(&replica_of_a, world.shard()), None, "a member of the set");
    world.remove_in_sync(B);
    replica_of_a.apply_view(world.view());
    assert_eq!(asked_keeper(&replica_of_a, world.shard()), None, "it follows the primary");
    replica(&mut replica_of_a).link_up = false;
    assert_eq!(asked_keeper(&replica_of_a, world.shard()), Some(W));
}

#[test]
fn a_recovery_through_a_keeper_promotes_alone_and_at_what_is_held() {
    let (mut world, mut plane) = left_behind();
    let source = follows_keeper(&world, &mut plane);
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    world.apply(&Command::BeginRecovery { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 0 });
    let handover = world.shard().handover.expect("it began");
    assert_eq!((handover.via, handover.from), (HandoverVia::Keeper, W));
    plane.apply_view(world.view());
    let fence = Fence { handover_epoch: handover.epoch, offset: Offset(0) };
    let met = replica(&mut plane).cursor.on_fence(source, &fence).expect("everything is there");
    let Attached::Promote(command) = promotion(&plane, met, Patience::Left) else {
        panic!("there is nobody to wait for");
    };
    world.apply(&command);
    plane.apply_view(world.view());
    assert_eq!(world.shard().primary(), Some(B));
    assert_eq!(world.shard().in_sync, BTreeSet::from([B]));
    let (epoch, start) = primary(&mut plane).lineage.last();
    assert_eq!((epoch, start), (world.shard().epoch, Offset(0)));
}
