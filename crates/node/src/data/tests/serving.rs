//! Who executes, who redirects, and which replies may leave.

use super::*;
use crate::data::acks::Verdict;
use ironcache_shard::{Owed, Reply, Route};
use ironcache_types::{ReadFrom, SLOT_COUNT, Slot};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

fn poll(ticket: &mut crate::data::acks::Ticket) -> Poll<Verdict> {
    Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_deposed_primary_answers_nothing_that_waited() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    attach(&mut plane, B);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v");
    let Reply::After(offset) = plane.may_reply(client.owed) else { panic!("B has not applied it") };
    let mut ticket = plane.waiters.wait(offset);
    world.restart(A);
    plane.apply_view(world.view());
    assert_eq!(poll(&mut ticket), Poll::Ready(Verdict::Lost));
    assert_eq!(plane.may_reply(client.owed), Reply::Lost);
}

#[test]
fn a_life_that_no_entry_names_serves_nothing_and_is_no_address() {
    let mut world = World::pair(AckMode::InSync);
    let later = Member { incarnation: Incarnation(11), ..A };
    let (mut plane, _proposals) = plane(later, &world);
    let mut client = client(&mut plane);
    for command in ["SET k v", "GET k", "FLUSHALL"] {
        assert_eq!(run(&mut plane, &mut client, command), (Some(Stop::Park), String::new()), "{command}");
    }
    world.restart(A);
    plane.apply_view(world.view());
    for command in ["SET k v", "FLUSHALL"] {
        assert_eq!(run(&mut plane, &mut client, command).0, Some(Stop::Park), "{command}: recovering");
    }
}

#[test]
fn a_write_without_keys_goes_where_the_nodes_own_keys_go() {
    let mut world = World::pair(AckMode::Primary);
    let (mut primary, _proposals) = without_lease(A, &world);
    let mut replica = following(&world);
    let (mut of_primary, mut of_replica) = (client(&mut primary), client(&mut replica));
    assert_eq!(run(&mut primary, &mut of_primary, "FLUSHALL").0, Some(Stop::Park), "it has no lease yet");
    grant(&mut primary, FOR_EVER);
    assert_eq!(answer(&mut primary, &mut of_primary, "FLUSHALL"), "+OK\r\n");
    assert!(answer(&mut replica, &mut of_replica, "FLUSHALL").starts_with("-READONLY"));
    let handover = world.begin_handover(A, B);
    replica.apply_view(world.view());
    assert_eq!(
        run(&mut replica, &mut of_replica, "FLUSHALL").0,
        Some(Stop::Park),
        "it may be the primary next"
    );
    world.abort(handover);
    replica.apply_view(world.view());
    assert!(answer(&mut replica, &mut of_replica, "FLUSHALL").starts_with("-READONLY"));
}

#[test]
fn no_route_names_the_node_itself() {
    let mut world = World::pair(AckMode::InSync);
    let mut worlds = vec![world.view()];
    let handover = world.begin_handover(A, B);
    worlds.push(world.view());
    world.promote(handover, Offset(0));
    worlds.push(world.view());
    for me in [A, B, Member { incarnation: Incarnation(99), ..A }] {
        let (mut plane, _proposals) = plane(me, &World::pair(AckMode::InSync));
        for view in &worlds {
            plane.apply_view(Arc::clone(view));
            for slot in (0..SLOT_COUNT).step_by(1000) {
                for read in [ReadFrom::Primary, ReadFrom::Replica] {
                    assert_ne!(plane.route(Slot(slot), read), Route::Moved(me.node), "{me}");
                }
            }
        }
    }
}

#[test]
fn a_node_without_a_shard_serves_none() {
    let world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    assert!(plane.is_serving());
    plane.apply_view(Arc::new(AppliedView::default()));
    assert!(!plane.is_serving());
}

#[test]
fn in_mode_in_sync_a_read_waits_for_what_it_shows() {
    let world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let link = attach(&mut plane, B);
    let mut writer = client(&mut plane);
    let mut reader = client(&mut plane);
    answer(&mut plane, &mut writer, "SET k v");
    for command in ["GET k", "DBSIZE", "KEYS *", "SETNX k w"] {
        answer(&mut plane, &mut reader, command);
        let owed = std::mem::take(&mut reader.owed);
        assert_eq!(plane.may_reply(owed), Reply::After(plane.offset().0), "{command}");
    }
    answer(&mut plane, &mut reader, "GET of-another-slot");
    assert_eq!(plane.may_reply(std::mem::take(&mut reader.owed)), Reply::Now);
    acknowledge(&mut plane, link);
    answer(&mut plane, &mut reader, "GET k");
    assert_eq!(plane.may_reply(reader.owed), Reply::Now);
}

#[test]
fn in_mode_primary_a_read_waits_for_nobody() {
    let world = World::pair(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v");
    client.owed = Owed::default();
    answer(&mut plane, &mut client, "GET k");
    assert!(!client.owed.is_nothing());
    assert_eq!(plane.may_reply(client.owed), Reply::Now, "although B was never heard");
}

#[test]
fn what_a_new_primary_held_at_its_start_is_read_without_waiting() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let link = attach(&mut plane, B);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v");
    acknowledge(&mut plane, link);
    client.owed = Owed::default();
    for (from, to) in [(A, B), (B, A)] {
        let handover = world.begin_handover(from, to);
        plane.apply_view(world.view());
        world.promote(handover, plane.offset());
        plane.apply_view(world.view());
    }
    assert!(plane.is_serving());
    answer(&mut plane, &mut client, "GET k");
    assert_eq!(plane.may_reply(client.owed), Reply::Now);
}

#[test]
fn a_write_needs_its_in_sync_members_also_when_it_is_acknowledged() {
    let mut world = World::pair(AckMode::InSync);
    world.set_policy(|policy| policy.min_in_sync = 2);
    let (mut plane, _proposals) = plane(A, &world);
    attach(&mut plane, B);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v");
    let Reply::After(offset) = plane.may_reply(client.owed) else { panic!("B has not applied it") };
    let mut ticket = plane.waiters.wait(offset);
    world.remove_in_sync(B);
    plane.apply_view(world.view());
    assert_eq!(poll(&mut ticket), Poll::Pending, "one is left, and two are needed");
    assert_eq!(plane.may_reply(client.owed), Reply::After(offset));
    let reply = answer(&mut plane, &mut client, "SET k w");
    assert!(reply.starts_with("-NOREPLICAS"), "{reply}");
}

#[test]
fn readonly_reads_need_a_whole_dataset_that_is_in_sync() {
    let mut world = World::pair(AckMode::InSync);
    let mut plane = following(&world);
    let moved = Route::Moved(A.node);
    assert_eq!(plane.route(Slot(0), ReadFrom::Replica), Route::Execute);
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), moved);
    let whole = std::mem::replace(cursor(&mut plane), ReplicaCursor::empty());
    assert_eq!(plane.route(Slot(0), ReadFrom::Replica), moved, "half an effect was applied");
    *cursor(&mut plane) = whole;
    world.remove_in_sync(B);
    plane.apply_view(world.view());
    assert_eq!(plane.route(Slot(0), ReadFrom::Replica), moved, "it left the set");
}

#[test]
fn the_first_primary_of_a_cluster_begins_with_nothing() {
    let world = World::alone(AckMode::Primary);
    let (to_control, _proposals) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(Config::default()), A, Version::new(1, 0, 0), LEVELS, to_control, 1);
    grant(&mut plane, super::FOR_EVER);
    let mut keyspace = Keyspace::new();
    ironcache_keyspace::apply_effects(&mut keyspace, &leftover(), Level::FIRST).unwrap();
    assert_eq!(keyspace.len(), 1);
    plane.loaded(keyspace, begun(Lineage::new(Epoch(1), Offset(0)), Offset(500)));
    plane.apply_view(world.view());
    assert!(plane.is_serving());
    assert_eq!((plane.keyspace.len(), plane.offset()), (0, Offset(0)));
}

/// The effects of one SET.
fn leftover() -> Vec<u8> {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v");
    let mut effects = Vec::new();
    plane.keyspace.dump_slot(ironcache_types::key_slot(b"k"), Level::FIRST, &mut effects);
    effects
}
