//! What a handover holds back, and what alone ends that.

use super::*;
use crate::data::handover::{Attached, Patience, promotion};
use crate::data::membership;
use crate::data::plane::{ReadFrom, Route};
use crate::data::role::Turned;
use crate::data::status;
use ironcache_keyspace::Expiry;
use ironcache_replication::Fence;
use ironcache_types::Slot;

const SLOT: Slot = Slot(12);

#[test]
fn a_primary_that_hands_over_executes_nothing() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v PX 1");
    world.begin_handover(A, B);
    plane.apply_view(world.view());
    let before = plane.offset();
    for command in ["SET k v", "GET k", "FLUSHALL", "WATCH k", "DEL k", "MGET k"] {
        assert_eq!(run(&mut plane, &mut client, command), (Turn::Park, String::new()), "{command}");
    }
    assert_eq!(plane.expiry(), Expiry::Hide);
    answer(&mut plane, &mut client, "KEYS *");
    assert_eq!((plane.offset(), plane.effects.count), (before, 0));
}

#[test]
fn expiry_stops_while_a_handover_is_in_flight() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v PXAT 1");
    answer(&mut plane, &mut client, "SET other v PXAT 2");
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    let (before, keys) = (plane.offset(), plane.keyspace.len());
    let node = node(plane);
    membership::expire(&node);
    assert_eq!((node.plane.borrow().offset(), node.plane.borrow().keyspace.len()), (before, keys));
    world.abort(handover);
    show(&node, &world);
    membership::expire(&node);
    assert_eq!(node.plane.borrow().keyspace.len(), 0);
}

#[test]
fn only_an_applied_outcome_lets_the_old_primary_execute_again() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let handover = world.begin_handover(A, B);
    assert_eq!(plane.apply_view(world.view()), Turned::HandOver(handover));
    assert_eq!(plane.apply_view(world.view()), Turned::Nothing, "told once");
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Park);
    // The candidate says so; that may redirect, never execute.
    plane.routing.hint(future(&world), B, "c2:1".to_owned());
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Moved("c2:1".to_owned()));
    world.abort(handover);
    plane.apply_view(world.view());
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Execute);
}

/// What the leader's gates compare: for which start of a primary a node does what it does, and by which set.
#[test]
fn a_node_says_under_which_epochs_it_serves_or_follows() {
    let mut world = World::pair(AckMode::InSync);
    let (mut old, _proposals) = plane(A, &world);
    let mut new = following(&world);
    let said = |plane: &Plane| {
        let shown = status::snapshot(plane);
        (shown.status.serves, shown.status.follows, shown.status.isr_epoch, shown.settled)
    };
    let before = world.shard().clone();
    assert_eq!(said(&old), (Some(before.epoch), None, before.isr_epoch, true));
    assert_eq!(said(&new), (None, Some(before.epoch), before.isr_epoch, true));
    let handover = world.begin_handover(A, B);
    world.promote(handover, Offset(0));
    // The log names B; until B has applied that, it says what it did before.
    assert_eq!(said(&new), (None, Some(before.epoch), before.isr_epoch, true));
    new.apply_view(world.view());
    old.apply_view(world.view());
    let now = world.shard();
    assert_eq!(said(&new), (Some(now.epoch), None, now.isr_epoch, true));
    assert_eq!(said(&old), (None, None, now.isr_epoch, false), "it has no link to B yet");
}

#[test]
fn an_older_hint_changes_nothing() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    world.begin_handover(A, B);
    plane.apply_view(world.view());
    plane.routing.hint(world.shard().epoch, B, "c2:1".to_owned());
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Park);
}

#[test]
fn the_candidate_holds_commands_back_until_the_outcome_and_no_longer() {
    let mut world = World::pair(AckMode::InSync);
    let mut plane = following(&world);
    let moved = Route::Moved("c1:1".to_owned());
    let source = world.source();
    let handover = world.begin_handover(A, B);
    // The fence overtakes the entry.
    let fence = Fence { handover_epoch: handover.epoch, offset: Offset(0) };
    replica(&mut plane).cursor.on_fence(source, &fence).unwrap();
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Park, "the entry is not applied yet");
    plane.apply_view(world.view());
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Park);
    world.abort(handover);
    plane.apply_view(world.view());
    assert!(replica(&mut plane).cursor.fence().is_some(), "no frame followed it");
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), moved, "the shard is idle, and its primary serves");
}

/// The old primary applies the promotion first, redirects here, and closes the link. Sent back to it, a client would go
/// to and fro until this node has applied the promotion too.
#[test]
fn a_candidate_that_is_behind_with_the_log_sends_nobody_back_to_the_primary_that_left() {
    let mut world = World::pair(AckMode::InSync);
    let mut plane = following(&world);
    let source = world.source();
    let handover = world.begin_handover(A, B);
    let fence = Fence { handover_epoch: handover.epoch, offset: Offset(0) };
    replica(&mut plane).cursor.on_fence(source, &fence).unwrap();
    replica(&mut plane).cursor.detach();
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Park, "not even the beginning is applied yet");
    plane.apply_view(world.view());
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Park);
    let mut aborted = World { state: world.state.clone(), index: world.index };
    aborted.abort(handover);
    plane.apply_view(aborted.view());
    assert_eq!(plane.route(SLOT, ReadFrom::Primary), Route::Moved("c1:1".to_owned()));
}

#[test]
fn a_candidate_that_is_being_stopped_does_not_have_itself_promoted() {
    let mut world = World::pair(AckMode::InSync);
    let mut plane = following(&world);
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    let fence = Fence { handover_epoch: handover.epoch, offset: Offset(0) };
    let met = replica(&mut plane).cursor.on_fence(world.source(), &fence).unwrap();
    assert!(matches!(promotion(&plane, met, Patience::Gone), Attached::Promote(_)));
    plane.leaving = true;
    assert!(matches!(promotion(&plane, met, Patience::Gone), Attached::Over));
}

#[test]
fn a_fence_that_was_not_sent_is_forgotten_with_its_handover() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    let mut link = crate::data::plane::LinkState::new(1);
    link.fence = Some(Fence { handover_epoch: handover.epoch, offset: plane.offset() });
    plane.links.insert(B, link);
    world.abort(handover);
    plane.apply_view(world.view());
    assert_eq!(plane.links[&B].fence, None);
}

#[tokio::test]
async fn changes_that_are_no_outcome_do_not_put_the_abort_off() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, mut proposals) = plane(A, &world);
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    let timeout = std::time::Duration::from_millis(plane.view.state.policy.handover_timeout_ms);
    let node = node(plane);
    let began = tokio::time::Instant::now();
    let local = tokio::task::LocalSet::new();
    let handing_over = local.spawn_local(crate::data::handover::hand_over(Rc::clone(&node), handover));
    let asked = local.run_until(async {
        let mut noise = tokio::time::interval(timeout / 10);
        loop {
            tokio::select! {
                biased;
                proposal = proposals.recv() => break proposal.expect("the plane lives").command,
                _ = noise.tick() => node.changed.notify_waiters(),
            }
            assert!(began.elapsed() < timeout * 100, "nothing is proposed after {:?}", began.elapsed());
        }
    });
    let expected = Command::AbortHandover { shard: SHARD, handover: handover.epoch };
    assert_eq!(asked.await, expected);
    world.abort(handover);
    show(&node, &world);
    local.run_until(handing_over).await.expect("it ends with the outcome");
}
