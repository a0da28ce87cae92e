//! Who is proposed, removed, awaited; proposals that are rejected, and those whose outcome nobody tells.

use super::*;
use ironcache_control::Command::{AddInSync, RemoveInSync, SetMode};
use ironcache_replication::Requirement;

fn requirement(brain: &Brain) -> Option<Requirement> {
    let gate = brain.engine.primary().unwrap().gate();
    gate.followers().find(|f| f.member == B).and_then(|f| f.requirement)
}

/// What would have B join.
fn add(world: &World) -> Command {
    AddInSync { shard: SHARD, isr_epoch: world.shard().isr_epoch, primary: A, member: B }
}

/// Time passes, and B says all the time that it has everything.
fn keep_up(brain: &mut Brain, ms: u64) -> Vec<Action> {
    let mut out = Vec::new();
    for _ in 0..ms / 10 {
        out.extend(brain.ack(B));
        out.extend(brain.pass(10));
    }
    out
}

/// A has proposed B, and hears nothing.
fn with_proposal(world: &World) -> (Brain, Vec<Action>) {
    let mut brain = Brain::new(A, world, None);
    brain.attach(B);
    let actions = keep_up(&mut brain, 100);
    assert_eq!(proposed(&actions), [add(world)], "once it has kept up for a moment, and once");
    assert_eq!(requirement(&brain), Some(Requirement::Proposed));
    (brain, actions)
}

#[test]
fn a_proposal_that_may_still_be_accepted_stays_required() {
    let world = World::alone(AckMode::InSync);
    let (mut brain, _) = with_proposal(&world);
    brain.apply(&world);
    assert_eq!(requirement(&brain), Some(Requirement::Proposed));
}

#[test]
fn a_proposal_that_became_stale_requires_nothing() {
    let mut world = World::alone(AckMode::InSync);
    let (mut brain, _) = with_proposal(&world);
    world.set_mode(AckMode::Primary);
    brain.apply(&world);
    assert_eq!(requirement(&brain), None);
}

#[test]
fn a_proposed_life_that_ended_is_not_waited_for() {
    let mut world = World::alone(AckMode::InSync);
    let (mut brain, _) = with_proposal(&world);
    world.restart(B);
    brain.apply(&world);
    assert_eq!(requirement(&brain), None);
}

#[test]
fn an_accepted_proposal_is_required_as_a_member() {
    let mut world = World::alone(AckMode::InSync);
    let (mut brain, _) = with_proposal(&world);
    world.add(B);
    brain.apply(&world);
    assert_eq!(requirement(&brain), Some(Requirement::Committed));
    assert_eq!(proposed(&keep_up(&mut brain, 10_000)), []);
}

#[test]
fn a_proposal_whose_outcome_nobody_tells_stays_required_and_is_made_again() {
    let world = World::alone(AckMode::InSync);
    let (mut brain, _) = with_proposal(&world);
    assert_eq!(proposed(&keep_up(&mut brain, 5_000)), [], "it may be on its way");
    assert_eq!(proposed(&keep_up(&mut brain, 2_000)), [add(&world)], "once");
    assert_eq!(requirement(&brain), Some(Requirement::Proposed));
}

#[test]
fn a_rejection_ends_the_requirement_and_does_not_make_a_storm() {
    let mut world = World::alone(AckMode::InSync);
    let (mut brain, actions) = with_proposal(&world);
    let mut ask = asks(&actions)[0];
    let mut again = 0;
    // Each rejection is an entry, which leads back here, and so is each of somebody else's.
    for _ in 0..10 {
        let rejected = brain.on(Event::Rejected(ask));
        assert_eq!(proposed(&rejected), []);
        assert_eq!(requirement(&brain), None);
        world.index += 1;
        for _ in 0..50 {
            brain.apply(&world);
            let actions = brain.on(Event::Tick);
            assert_eq!(proposed(&actions), [], "at once");
        }
        let actions = keep_up(&mut brain, 110);
        again += proposed(&actions).len();
        ask = asks(&actions)[0];
    }
    assert_eq!(again, 10, "one in a pause");
}

#[test]
fn a_late_rejection_of_an_earlier_ownership_says_nothing() {
    let mut world = World::alone(AckMode::InSync);
    let (mut brain, actions) = with_proposal(&world);
    let late = asks(&actions)[0];
    world.add(B);
    for (from, to) in [(A, B), (B, A)] {
        let handover = world.begin_handover(from, to);
        world.promote(handover, 0);
    }
    world.remove(B);
    brain.apply(&world);
    brain.attach(B);
    assert_eq!(proposed(&keep_up(&mut brain, 100)), [add(&world)]);
    brain.on(Event::Rejected(late));
    assert_eq!(requirement(&brain), Some(Requirement::Proposed));
}

#[test]
fn a_replica_that_lacks_what_was_acknowledged_is_awaited_first() {
    let world = World::alone(AckMode::Primary);
    let mut brain = Brain::new(A, &world, None);
    brain.attach(B);
    // In mode `primary` each write is acknowledged before B has it.
    let write = |brain: &mut Brain| {
        brain.ack(B);
        brain.write(10);
        let end = brain.engine.end().unwrap();
        brain.engine.is_released(end.0)
    };
    while requirement(&brain).is_none() {
        assert!(write(&mut brain));
        assert_eq!(proposed(&brain.pass(10)), []);
        assert!(brain.now.ran_ms < 2_000, "it keeps up, and is never awaited");
    }
    assert_eq!(requirement(&brain), Some(Requirement::Awaited));
    assert!(!write(&mut brain), "replies wait for it from here on");
    brain.ack(B);
    assert_eq!(proposed(&brain.pass(10)), [add(&world)]);
}

#[test]
fn a_silent_member_stays_required_until_its_removal_is_applied() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(A, &world, None);
    brain.attach(B);
    brain.write(10);
    assert!(!brain.engine.is_released(10));
    let removals = proposed(&brain.pass(1_000));
    assert!(matches!(removals.as_slice(), [RemoveInSync { member: B, .. }]), "{removals:?}");
    assert!(!brain.engine.is_released(10), "nobody has told what became of it");
    assert_eq!(proposed(&brain.pass(1_000)).len(), 1, "asked again, once a second");
    world.remove(B);
    assert!(brain.apply(&world).contains(&Action::SettleReplies));
    assert!(brain.engine.is_released(10));
}

#[test]
fn while_this_process_stands_still_nobody_is_silent() {
    let world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(A, &world, None);
    brain.attach(B);
    brain.write(10);
    // Frozen for a minute: the one clock went on.
    brain.now.boot_ms += 60_000;
    assert_eq!(proposed(&brain.pass(100)), []);
}

#[test]
fn nothing_is_proposed_while_a_handover_is_in_flight() {
    let mut world = World::alone(AckMode::InSync);
    let mut brain = Brain::new(A, &world, None);
    brain.attach(B);
    // As the log does not allow it, of a shard of which B is no member.
    world.state.shards.get_mut(&SHARD).unwrap().handover = Some(Handover {
        epoch: Epoch(99),
        from: A,
        to: B,
        log_index: 1,
        via: ironcache_control::HandoverVia::Primary,
    });
    brain.apply(&world);
    let all = proposed(&keep_up(&mut brain, 90));
    assert!(
        !all.iter().any(|c| matches!(c, AddInSync { .. } | RemoveInSync { .. } | SetMode { .. })),
        "{all:?}"
    );
}

#[test]
fn a_mode_that_rises_acknowledges_nothing_weaker_from_then_on() {
    let mut world = World::pair(AckMode::Primary);
    let mut policy = world.state.policy;
    policy.steady_mode = AckMode::InSync;
    let mut brain = Brain::new(A, &world, None);
    brain.attach(B);
    brain.write(10);
    assert!(brain.engine.is_released(10));
    world.apply(&Command::SetPolicy { seen: world.state.policy_epoch, policy });
    brain.apply(&world);
    assert_eq!(proposed(&brain.pass(10)), [], "B lacks what was acknowledged");
    brain.write(10);
    assert!(!brain.engine.is_released(20));
    brain.ack(B);
    let actions = brain.pass(10);
    let isr_epoch = world.shard().isr_epoch;
    let raise = SetMode { shard: SHARD, isr_epoch, primary: A, mode: AckMode::InSync };
    assert_eq!(proposed(&actions), std::slice::from_ref(&raise));
    brain.on(Event::Rejected(asks(&actions)[0]));
    brain.write(10);
    assert!(!brain.engine.is_released(30), "another proposal of the same may be on its way");
    brain.ack(B);
    assert_eq!(proposed(&brain.pass(90)), []);
    assert_eq!(proposed(&brain.pass(20)), [raise], "after a pause");
}

#[test]
fn the_start_of_a_primary_is_proposed_until_the_log_has_it() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(B, &world, Some(500));
    world.restart(A);
    world.failover(B);
    let ready = Command::PrimaryReady { shard: SHARD, epoch: world.shard().epoch, start: Offset(500) };
    assert_eq!(proposed(&brain.apply(&world)), std::slice::from_ref(&ready), "at once");
    assert_eq!(proposed(&brain.pass(900)), [], "its outcome may be on its way");
    assert_eq!(
        proposed(&brain.pass(200)),
        std::slice::from_ref(&ready),
        "without an outcome again, once a pause"
    );
    assert!(!brain.engine.is_serving());
    world.apply(&ready);
    brain.apply(&world);
    assert!(brain.engine.is_serving());
    assert_eq!(proposed(&brain.pass(5_000)), [], "the log has it");
}
