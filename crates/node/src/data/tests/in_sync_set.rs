//! Proposals whose outcome nobody told, and the shard that a node asks back.

use super::*;
use crate::data::role::{Asked, SetChange};
use ironcache_replication::Requirement;
use std::time::{Duration, Instant};

fn requirement(plane: &mut Plane) -> Option<Requirement> {
    primary(plane).gate.followers().find(|f| f.member == B).and_then(|f| f.requirement)
}

/// A has proposed B, and hears nothing.
fn proposed(world: &World) -> Plane {
    let (mut plane, _) = plane(A, world);
    attach(&mut plane, B);
    let isr_epoch = world.shard().isr_epoch;
    let primary = primary(&mut plane);
    primary.gate.propose(B).unwrap();
    primary.proposals.insert(B, Asked { what: SetChange::Add, at: Instant::now(), isr_epoch });
    plane
}

#[test]
fn a_proposal_that_may_still_be_accepted_stays_required() {
    let world = World::alone(AckMode::InSync);
    let mut plane = proposed(&world);
    plane.apply_view(world.view());
    assert_eq!(requirement(&mut plane), Some(Requirement::Proposed));
}

#[test]
fn a_proposal_that_became_stale_requires_nothing() {
    let mut world = World::alone(AckMode::InSync);
    let mut plane = proposed(&world);
    let isr_epoch = world.shard().isr_epoch;
    world.apply(&Command::SetMode { shard: SHARD, isr_epoch, primary: A, mode: AckMode::Primary });
    plane.apply_view(world.view());
    assert_eq!(requirement(&mut plane), None);
}

#[test]
fn a_proposed_life_that_ended_is_not_waited_for() {
    let mut world = World::alone(AckMode::InSync);
    let mut plane = proposed(&world);
    world.restart(B);
    plane.apply_view(world.view());
    assert_eq!(requirement(&mut plane), None);
}

#[test]
fn an_accepted_proposal_is_required_as_a_member() {
    let mut world = World::alone(AckMode::InSync);
    let mut plane = proposed(&world);
    let isr_epoch = world.shard().isr_epoch;
    world.apply(&Command::AddInSync { shard: SHARD, isr_epoch, primary: A, member: B });
    plane.apply_view(world.view());
    assert_eq!(requirement(&mut plane), Some(Requirement::Committed));
    assert!(primary(&mut plane).proposals.is_empty());
}

#[test]
fn an_unanswered_proposal_is_made_again_and_not_dropped() {
    let world = World::alone(AckMode::InSync);
    let (to_control, mut proposals) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(Config::default()), A, Version::new(1, 0, 0), LEVELS, to_control, 1);
    plane.granted(super::FOR_EVER);
    plane.loaded(Keyspace::new(), None);
    plane.apply_view(world.view());
    attach(&mut plane, B);
    let isr_epoch = world.shard().isr_epoch;
    primary(&mut plane).gate.propose(B).unwrap();
    let Some(at) = Instant::now().checked_sub(Duration::from_secs(60)) else { return };
    primary(&mut plane).proposals.insert(B, Asked { what: SetChange::Add, at, isr_epoch });
    crate::data::membership::ask_again(&mut plane);
    crate::data::membership::ask_again(&mut plane);
    let command = proposals.try_recv().unwrap().command;
    assert_eq!(command, Command::AddInSync { shard: SHARD, isr_epoch, primary: A, member: B });
    assert!(proposals.try_recv().is_err(), "once");
    assert_eq!(requirement(&mut plane), Some(Requirement::Proposed));
}

/// The starts that were asked to be published since this was last called.
fn published(proposals: &mut mpsc::UnboundedReceiver<ToControl>) -> Vec<(Epoch, Offset)> {
    std::iter::from_fn(|| proposals.try_recv().ok())
        .filter_map(|proposal| {
            let Command::PrimaryReady { shard: SHARD, epoch, start } = proposal.command else { return None };
            Some((epoch, start))
        })
        .collect()
}

#[test]
fn the_start_of_a_primary_is_proposed_until_the_log_has_it() {
    let mut world = World::pair(AckMode::InSync);
    let lineage = Lineage::new(world.shard().epoch, Offset(0));
    let (mut plane, mut proposals) = plane(B, &world);
    plane.loaded(Keyspace::new(), begun(lineage, Offset(500)));
    world.restart(A);
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    world.apply(&Command::Failover { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 0 });
    plane.apply_view(world.view());
    let (epoch, start) = (world.shard().epoch, Offset(500));
    assert_eq!(published(&mut proposals), [(epoch, start)], "at once");

    let node = node(plane);
    let time_passes = || {
        let long_ago =
            Instant::now().checked_sub(Duration::from_secs(2)).expect("the machine is up for longer");
        primary(&mut node.plane.borrow_mut()).start_proposed = Some(long_ago);
    };
    crate::data::membership::tend(&node);
    assert_eq!(published(&mut proposals), [], "its outcome may be on its way");
    time_passes();
    crate::data::membership::tend(&node);
    crate::data::membership::tend(&node);
    assert_eq!(published(&mut proposals), [(epoch, start)], "without an outcome again, once a pause");
    world.apply(&Command::PrimaryReady { shard: SHARD, epoch, start });
    show(&node, &world);
    time_passes();
    crate::data::membership::tend(&node);
    assert_eq!(published(&mut proposals), [], "the log has it");
}

/// A was the last owner, stopped with everything below 500, and is back.
fn reclaiming(epoch: impl FnOnce(&World) -> Epoch) -> Vec<Command> {
    let mut world = World::alone(AckMode::Primary);
    let epoch = epoch(&world);
    let me = world.restart(A);
    let (to_control, mut proposals) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(Config::default()), me, Version::new(1, 0, 0), LEVELS, to_control, 1);
    plane.granted(super::FOR_EVER);
    plane.loaded(Keyspace::new(), begun(Lineage::new(epoch, Offset(0)), Offset(500)));
    for _ in 0..5 {
        plane.apply_view(world.view());
    }
    std::iter::from_fn(|| proposals.try_recv().ok()).map(|p| p.command).collect()
}

#[test]
fn the_last_owner_asks_its_shard_back_once_and_not_at_every_entry() {
    let asked = reclaiming(|world| world.shard().epoch);
    let [Command::Reclaim { shard: SHARD, end: Offset(500), .. }] = asked.as_slice() else {
        panic!("{asked:?}")
    };
}

#[test]
fn a_checkpoint_of_another_epoch_reclaims_nothing() {
    assert_eq!(reclaiming(|world| world.shard().epoch.next()), []);
}
