//! A node that does not do for its clients what the log says it does says so, and keeps nobody waiting for ever.

use super::connections::{connect, expect, expect_end, until};
use super::*;
use crate::data::trouble::Trouble;
use ironcache_control::RaftTimers;
use ironcache_raft::Contact;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::task::LocalSet;

/// A lease of 100 ms.
fn short_lease(world: &mut World) -> u64 {
    world.state.policy.timers = RaftTimers { heartbeat_ms: 1, election_min_ms: 1, election_max_ms: 1 };
    world.state.policy.timers.lease_ms()
}

fn cut_off() -> Contact {
    let contact = Contact::new(0);
    while contact.check().is_ok() {
        std::thread::yield_now();
    }
    contact
}

fn cluster_state(plane: &mut Plane) -> String {
    let mut client = client(plane);
    let info = answer(plane, &mut client, "CLUSTER INFO");
    info.lines().find_map(|line| line.strip_prefix("cluster_state:")).unwrap().to_owned()
}

/// Waits for what outlasts a lease, and says after how long it came.
fn trouble_after(plane: &mut Plane) -> (Trouble, u64) {
    let began = Instant::now();
    loop {
        plane.look_at_writes();
        if let Some(trouble) = plane.trouble() {
            return (trouble, began.elapsed().as_millis() as u64);
        }
        assert!(began.elapsed().as_secs() < 20, "it is never told");
    }
}

#[test]
fn a_node_that_hears_no_leader_says_so_whatever_it_is() {
    let world = World::pair(AckMode::Primary);
    for member in [A, B] {
        let (mut plane, _proposals) = plane(member, &world);
        assert_eq!((plane.trouble(), cluster_state(&mut plane).as_str()), (None, "ok"));
        plane.contact = cut_off();
        let trouble = plane.trouble().unwrap();
        assert!(matches!(trouble, Trouble::NoLeader(none) if none.silence_ms > none.lease_ms), "{trouble}");
        assert_eq!(cluster_state(&mut plane), "fail");
        plane.contact = Contact::new(u64::MAX);
        assert_eq!((plane.trouble(), cluster_state(&mut plane).as_str()), (None, "ok"));
    }
}

#[test]
fn a_node_of_no_cluster_yet_misses_no_leader() {
    let nobody = World { state: ControlState::default(), index: 0 };
    let (mut plane, _proposals) = plane(A, &nobody);
    plane.contact = cut_off();
    assert_eq!(plane.trouble(), None);
}

#[test]
fn a_primary_without_a_lease_says_so() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = without_lease(A, &world);
    assert_eq!(plane.trouble(), Some(Trouble::NoLease));
    assert_eq!(cluster_state(&mut plane), "fail");
}

#[test]
fn a_write_that_nobody_acknowledges_is_told_once_it_outlasts_a_lease() {
    let mut world = World::pair(AckMode::InSync);
    let lease_ms = short_lease(&mut world);
    let (mut plane, _proposals) = plane(A, &world);
    let link = attach(&mut plane, B);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET k v");
    let _reply = plane.waiters.wait(client.owed.write);
    let (trouble, after_ms) = trouble_after(&mut plane);
    assert!(matches!(trouble, Trouble::NotAcknowledged { for_ms } if for_ms > lease_ms), "{trouble}");
    assert!(after_ms >= lease_ms, "told after {after_ms} ms");
    assert_eq!(cluster_state(&mut plane), "ok", "it reads, and knows the majority");
    acknowledge(&mut plane, link);
    plane.look_at_writes();
    assert_eq!(plane.trouble(), None);
}

#[test]
fn too_few_in_sync_is_told_once_it_outlasts_a_lease() {
    let mut world = World::alone(AckMode::Primary);
    world.set_policy(|policy| policy.min_in_sync = 2);
    let lease_ms = short_lease(&mut world);
    let (mut plane, _proposals) = plane(A, &world);
    let (trouble, after_ms) = trouble_after(&mut plane);
    assert!(matches!(trouble, Trouble::FewInSync { in_sync: 1, needed: 2, .. }), "{trouble}");
    assert!(after_ms >= lease_ms, "told after {after_ms} ms");
}

#[tokio::test]
async fn a_command_that_waits_for_a_leader_is_answered_and_never_executed() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::alone(AckMode::Primary);
            world.set_policy(|policy| policy.park_ms_max = 5);
            let (plane, _proposals) = without_lease(A, &world);
            let node = node(plane);
            let mut stream = connect(&node).await;
            stream.write_all(b"SET k v\r\nPING\r\n").await.unwrap();
            let why = "this node is a primary without a lease: no leader says that it is the only one, so it answers nobody";
            expect(&mut stream, &format!("-CLUSTERDOWN {why}; the command was not executed\r\n+PONG\r\n")).await;
            let mut plane = node.plane.borrow_mut();
            assert_eq!((plane.keyspace.len(), plane.stats.clusterdown), (0, 1));
            grant(&mut plane, FOR_EVER);
        })
        .await;
}

#[tokio::test]
async fn a_reply_that_nobody_can_vouch_for_any_more_closes_its_connection() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::InSync);
            world.set_policy(|policy| policy.park_ms_max = 5);
            let (mut plane, _proposals) = plane(A, &world);
            attach(&mut plane, B);
            let node = node(plane);
            let mut stream = connect(&node).await;
            stream.write_all(b"SET k v\r\n").await.unwrap();
            until(&node, |plane| plane.waiters.first().is_some()).await;
            node.plane.borrow_mut().contact = cut_off();
            expect_end(&mut stream).await;
        })
        .await;
}
