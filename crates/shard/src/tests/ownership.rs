//! Promoted, deposed, asked back; and a node that cannot be what the log made it.

use super::*;
use crate::{CannotServe, Holds, Note, Role};

fn became(world: &World, start: u64) -> Action {
    let (shard, epoch, start) = (SHARD, world.shard().epoch, Offset(start));
    Action::Tell(Note::BecamePrimary { shard, epoch, start })
}

#[test]
fn a_promoted_node_that_cannot_serve_ends_its_process() {
    let mut world = World::pair(AckMode::InSync);
    let mut nothing = Brain::new(B, &world, None);
    world.restart(A);
    world.failover(B);
    let (shard, epoch) = (SHARD, world.shard().epoch);
    let why = CannotServe::HoldsNothing;
    let actions = nothing.apply(&world);
    assert_eq!(actions[..2], [Action::Tell(Note::CannotServe { shard, epoch, why }), Action::End]);
    assert!(nothing.engine.primary().is_none());
    assert!(!nothing.engine.is_serving());

    let mut world = World::pair(AckMode::InSync);
    let mut elsewhere = Brain::new(B, &world, Some(90));
    let handover = world.begin_handover(A, B);
    world.promote(handover, 100);
    let epoch = world.shard().epoch;
    let why = CannotServe::OtherOffset { committed: Offset(100), held: Offset(90) };
    let actions = elsewhere.apply(&world);
    assert_eq!(actions[..2], [Action::Tell(Note::CannotServe { shard, epoch, why }), Action::End]);
}

#[test]
fn deposed_and_promoted_again_between_two_views_it_is_a_new_primary() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(A, &world, None);
    brain.attach(B);
    brain.write(100);
    let first = world.shard().epoch;
    for (from, to) in [(A, B), (B, A)] {
        let handover = world.begin_handover(from, to);
        world.promote(handover, 100);
    }
    let second = world.shard().epoch;
    let actions = brain.apply(&world);
    let deposed = Note::Deposed { shard: SHARD, epoch: first, end: Offset(100) };
    let path = [
        Action::Tell(deposed),
        Action::LoseReplies,
        Action::BeginStream { at: Offset(100) },
        Action::ForgetWritten,
        became(&world, 100),
    ];
    assert_eq!(actions[..5], path, "the replica's path in between");
    let primary = brain.engine.primary().unwrap();
    assert_eq!(primary.epoch(), second);
    assert!(primary.lineage().entries().ends_with(&[(second, Offset(100))]));
    assert!(
        primary.gate().followers().all(|f| f.applied.is_none()),
        "what B acknowledged was of another source"
    );
    let ack = Ack { source: Source { epoch: first, incarnation: A.incarnation }, applied: Offset(100) };
    assert!(brain.engine.on_ack(B, brain.serial, ack, DUE_MS, brain.now).is_err());
}

#[test]
fn the_first_primary_of_a_shard_begins_with_nothing_and_a_later_one_with_what_it_holds() {
    let mut world = World::alone(AckMode::Primary);
    let mut brain = Brain::loaded(A, Some((Lineage::new(Epoch(1), Offset(0)), Offset(500))));
    let actions = brain.apply(&world);
    let begins = [Action::ClearKeyspace, Action::BeginStream { at: Offset(0) }, Action::ForgetWritten];
    assert_eq!(actions[..3], begins, "what this directory held is of another cluster");

    world.add(B);
    let mut next = Brain::new(B, &world, Some(500));
    world.restart(A);
    world.failover(B);
    let actions = next.apply(&world);
    assert!(!actions.contains(&Action::ClearKeyspace));
    assert!(actions.contains(&became(&world, 500)));
}

#[test]
fn a_role_waits_until_the_checkpoint_is_read() {
    let world = World::alone(AckMode::Primary);
    let mut brain = Brain { engine: Engine::new(A), now: Now::default(), serial: 0 };
    let actions = brain.apply(&world);
    assert_eq!(actions, [Action::Wake, Action::Feed]);
    assert!(matches!(brain.engine.role(), Role::Loading));
    assert_eq!(brain.route(), Route::Park);
}

/// A was the last owner, stopped with everything below 500, and is back.
fn reclaims(epoch: impl FnOnce(&World) -> Epoch) -> (Brain, World, Vec<Command>) {
    let mut world = World::alone(AckMode::Primary);
    let epoch = epoch(&world);
    let me = world.restart(A);
    let mut brain = Brain::loaded(me, Some((Lineage::new(epoch, Offset(0)), Offset(500))));
    let actions: Vec<Action> = (0..50).flat_map(|_| brain.apply(&world)).collect();
    (brain, world, proposed(&actions))
}

#[test]
fn the_last_owner_asks_its_shard_back_once_and_not_at_every_entry() {
    let (mut brain, world, asked) = reclaims(|world| world.shard().epoch);
    let [reclaim @ Command::Reclaim { shard: SHARD, end: Offset(500), .. }] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    brain.pass(900);
    assert_eq!(proposed(&brain.apply(&world)), []);
    brain.pass(200);
    assert_eq!(
        proposed(&brain.apply(&world)),
        std::slice::from_ref(reclaim),
        "nobody told what became of it"
    );
}

#[test]
fn a_checkpoint_of_another_epoch_reclaims_nothing() {
    // It wrote more in a later epoch, and was killed; or it is of a branch that the log does not know.
    for epoch in
        [|world: &World| Epoch(world.shard().epoch.0 - 1), |world: &World| world.shard().epoch.next()]
    {
        let (_, _, asked) = reclaims(epoch);
        assert_eq!(asked, []);
    }
}

#[test]
fn what_no_owner_sealed_as_it_stopped_reclaims_nothing() {
    // A snapshot, what began with one, and what another life of the node sealed.
    for sealed_by in [None, Some(B.incarnation)] {
        let mut world = World::alone(AckMode::Primary);
        let (lineage, offset) = (Lineage::new(world.shard().epoch, Offset(0)), Offset(500));
        let mut brain = Brain::loaded(world.restart(A), None);
        brain.on(Event::Loaded { held: Some(Held { lineage, offset, sealed_by, taken_ms: 7 }) });
        assert_eq!(proposed(&brain.apply(&world)), []);
        let epoch = world.shard().epoch;
        let holds = brain.engine.holds(world.shard());
        assert_eq!(
            holds,
            Some(Holds::UpTo { epoch, offset, as_of_ms: Some(7) }),
            "it is evidence, and says of when"
        );
    }
}

#[test]
fn a_node_that_is_written_down_serves_nothing_and_follows_nobody() {
    let world = World::pair(AckMode::InSync);
    let mut primary = Brain::new(A, &world, None);
    assert!(primary.engine.is_serving());
    primary.on(Event::Sealed);
    assert!(!primary.engine.is_serving());
    assert_eq!(primary.on(Event::Unsealed), [Action::Wake]);
    assert!(primary.engine.is_serving());
    let mut replica = Brain::following(&world, 100);
    assert!(replica.engine.is_followed(A, Some(world.source())));
    replica.on(Event::Sealed);
    assert!(!replica.engine.is_followed(A, Some(world.source())));
}
