//! What a handover holds back, and what alone ends that.

use super::*;
use crate::data::clockwork;
use crate::data::status;
use ironcache_keyspace::Expiry;

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
        assert_eq!(run(&mut plane, &mut client, command), (Some(Stop::Park), String::new()), "{command}");
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
    clockwork::expire(&node);
    assert_eq!((node.plane.borrow().offset(), node.plane.borrow().keyspace.len()), (before, keys));
    world.abort(handover);
    show(&node, &world);
    clockwork::expire(&node);
    assert_eq!(node.plane.borrow().keyspace.len(), 0);
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
