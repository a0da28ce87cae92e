//! A primary answers clients while its lease runs, and at no other time.

use super::{A, B, SHARD, World, begun, plane};
use crate::data::plane::{Leased, ReadFrom, Route};
use ironcache_control::{AckMode, Command};
use ironcache_keyspace::Keyspace;
use ironcache_replication::Lineage;
use ironcache_shard::{Grant, Lease};
use ironcache_spine::boottime_ms;
use ironcache_types::{Offset, Slot};

/// Longer than any test takes.
const LONG_MS: u64 = 600_000;

#[test]
fn without_a_lease_a_primary_holds_commands_back() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    plane.lease = Lease::default();
    assert_eq!(plane.look_at_lease(), Leased::Changed);
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Park);
    let now_ms = boottime_ms();
    assert_eq!(plane.granted(Grant { until_ms: now_ms, index: 0 }), Leased::AsBefore, "it came too late");
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Park);
    assert_eq!(plane.granted(Grant { until_ms: now_ms + LONG_MS, index: 0 }), Leased::Changed);
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Execute);
}

#[test]
fn an_answer_counts_once_what_it_was_given_at_is_applied_here() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    plane.lease = Lease::default();
    let index = world.view().index + 1;
    plane.granted(Grant { until_ms: boottime_ms() + LONG_MS, index });
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Park);
    let (shard, isr_epoch) = (SHARD, world.shard().isr_epoch);
    world.apply(&Command::SetMode { shard, isr_epoch, primary: A, mode: AckMode::InSync });
    plane.apply_view(world.view());
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Execute);
}

/// The leader counts from when it applied the promotion, which was proposed before: nobody has to ask in a handover.
#[test]
fn a_promotion_that_the_node_proposed_itself_is_its_first_lease() {
    let mut world = World::pair(AckMode::InSync);
    let lineage = Lineage::new(world.shard().epoch, Offset(0));
    let (mut plane, _proposals) = plane(B, &world);
    plane.loaded(Keyspace::new(), begun(lineage, Offset(500)));
    plane.lease = Lease::default();
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    plane.promised(handover.epoch, Offset(500));
    world.promote(handover, Offset(500));
    plane.apply_view(world.view());
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Execute);
}

#[test]
fn a_promotion_that_another_node_proposed_gives_no_lease() {
    let mut world = World::pair(AckMode::InSync);
    let lineage = Lineage::new(world.shard().epoch, Offset(0));
    let (mut plane, _proposals) = plane(B, &world);
    plane.loaded(Keyspace::new(), begun(lineage, Offset(500)));
    plane.lease = Lease::default();
    // Its own proposal of an attempt that came to nothing is older than what follows.
    plane.promised(world.shard().epoch, Offset(500));
    world.restart(A);
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    world.apply(&Command::Failover { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 0 });
    plane.apply_view(world.view());
    assert!(plane.primary().is_some());
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Park, "it asks the leader first");
    plane.granted(Grant { until_ms: boottime_ms() + LONG_MS, index: world.view().index });
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Park, "and has the log say where it begins");
    let epoch = world.shard().epoch;
    world.apply(&Command::PrimaryReady { shard: SHARD, epoch, start: Offset(500) });
    plane.apply_view(world.view());
    assert_eq!(plane.route(Slot(0), ReadFrom::Primary), Route::Execute);
}

#[test]
fn a_lease_that_ended_suspends_and_keeps_the_role() {
    let world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    plane.lease = Lease::default();
    plane.granted(Grant { until_ms: boottime_ms() + 30, index: 0 });
    while plane.look_at_lease() == Leased::AsBefore {}
    assert!(!plane.is_serving());
    assert!(plane.primary().is_some(), "who owns the shard is said by the log");
    plane.granted(super::FOR_EVER);
    assert!(plane.is_serving());
}
