//! A primary answers clients while its lease runs, and at no other time.

use super::*;
use crate::{Leased, Owed, Reply};

/// A, which nobody has granted anything.
fn without_lease(me: Member, world: &World, held: Option<u64>) -> Brain {
    let held = held.map(|end| (Lineage::new(world.shard().epoch, Offset(0)), Offset(end)));
    let mut brain = Brain::loaded(me, held);
    brain.apply(world);
    brain
}

#[test]
fn without_a_lease_a_primary_holds_commands_back() {
    let mut brain = without_lease(A, &World::alone(AckMode::Primary), None);
    assert_eq!(brain.route(), Route::Park);
    let now_ms = brain.now.boot_ms;
    assert_eq!(brain.on(Event::Granted(Grant { until_ms: now_ms, index: 0 })), [], "it came too late");
    assert_eq!(brain.route(), Route::Park);
    let actions = brain.on(Event::Granted(Grant { until_ms: now_ms + 500, index: 0 }));
    assert_eq!(actions, [Action::SettleReplies, Action::Wake]);
    assert_eq!(brain.route(), Route::Execute);
}

/// Cut off, it may be deposed by now; what it catches up on first lowers the mode, and says nothing of these writes.
#[test]
fn a_reply_that_waited_for_a_member_does_not_leave_without_a_lease() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = without_lease(A, &world, None);
    brain.on(Event::Granted(Grant { until_ms: brain.now.boot_ms + 30, index: 0 }));
    brain.attach(B);
    brain.write(100);
    let owed = Owed { write: 100, read: 0 };
    assert_eq!(brain.engine.may_reply(owed), Reply::After(100), "B has not applied it");
    brain.pass(40);
    world.set_mode(AckMode::Primary);
    brain.apply(&world);
    assert!(!brain.engine.is_released(100));
    assert_eq!(brain.engine.may_reply(owed), Reply::After(100));
    let granted = Grant { until_ms: brain.now.boot_ms + 30, index: world.index };
    assert!(brain.on(Event::Granted(granted)).contains(&Action::SettleReplies));
    assert!(brain.engine.is_released(100), "nobody else was primary meanwhile");
}

#[test]
fn an_answer_counts_once_what_it_was_given_at_is_applied_here() {
    let mut world = World::alone(AckMode::Primary);
    let mut brain = without_lease(A, &world, None);
    brain.on(Event::Granted(Grant { until_ms: 9_000, index: world.index + 1 }));
    assert_eq!(brain.route(), Route::Park);
    world.set_mode(AckMode::InSync);
    brain.apply(&world);
    assert_eq!(brain.route(), Route::Execute);
}

/// The leader counts from when it applied the promotion, which was proposed before: nobody has to ask in a handover.
#[test]
fn a_promotion_that_the_node_proposed_itself_is_its_first_lease() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::following(&world, 500);
    brain.engine.lease = crate::Lease::default();
    let handover = world.begin_handover(A, B);
    brain.apply(&world);
    let fence = Fence { handover_epoch: handover.epoch, offset: Offset(500) };
    brain.engine.on_fence(world.source(), &fence, brain.now).unwrap();
    brain.pass(200);
    world.promote(handover, 500);
    brain.apply(&world);
    assert_eq!(brain.route(), Route::Execute);
    let lease_ms = world.state.policy.timers.lease_ms();
    brain.pass(lease_ms - 220);
    assert_eq!(brain.route(), Route::Execute);
    // Nobody is attached to it: it has waited a moment before it proposed itself.
    brain.pass(60);
    assert_eq!(brain.route(), Route::Park, "it ran from the proposal, and not from its outcome");
}

#[test]
fn a_promotion_that_another_node_proposed_gives_no_lease() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = without_lease(B, &world, Some(500));
    // Its own proposal of an attempt that came to nothing is older than what follows.
    brain.engine.promise(world.shard().epoch, Offset(500), brain.now);
    world.restart(A);
    world.failover(B);
    brain.apply(&world);
    assert!(brain.engine.primary().is_some());
    assert_eq!(brain.route(), Route::Park, "it asks the leader first");
    brain.on(Event::Granted(Grant { until_ms: 9_000, index: world.index }));
    assert_eq!(brain.route(), Route::Park, "and has the log say where it begins");
    let epoch = world.shard().epoch;
    world.apply(&Command::PrimaryReady { shard: SHARD, epoch, start: Offset(500) });
    brain.apply(&world);
    assert_eq!(brain.route(), Route::Execute);
}

#[test]
fn a_lease_that_ended_suspends_and_keeps_the_role() {
    let mut brain = without_lease(A, &World::alone(AckMode::Primary), None);
    brain.on(Event::Granted(Grant { until_ms: brain.now.boot_ms + 30, index: 0 }));
    assert_eq!(brain.engine.look_at_lease(brain.now.boot_ms + 29), Leased::AsBefore);
    assert!(brain.pass(40).contains(&Action::Wake), "told once, at a tick");
    assert!(!brain.engine.is_serving());
    assert!(brain.engine.primary().is_some(), "who owns the shard is said by the log");
    brain.on(Event::Granted(Grant { until_ms: brain.now.boot_ms + 30, index: 0 }));
    assert!(brain.engine.is_serving());
}
