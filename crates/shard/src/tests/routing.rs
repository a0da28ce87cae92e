//! Who executes, who redirects, and who holds back.

use super::*;
use crate::Follow;
use ironcache_types::SLOT_COUNT;

#[test]
fn no_route_names_the_node_itself() {
    let mut world = World::pair(AckMode::InSync);
    let mut worlds = vec![world.clone()];
    let handover = world.begin_handover(A, B);
    worlds.push(world.clone());
    world.promote(handover, 0);
    worlds.push(world);
    for me in [A, B, Member { incarnation: Incarnation(99), ..A }] {
        let mut brain = Brain::new(me, &worlds[0], None);
        for world in &worlds {
            brain.apply(world);
            for slot in (0..SLOT_COUNT).step_by(1000) {
                for read in [ReadFrom::Primary, ReadFrom::Replica] {
                    assert_ne!(brain.engine.route(Slot(slot), read), world.moved_to(me), "{me}");
                }
            }
        }
    }
}

#[test]
fn a_life_that_no_entry_names_serves_nothing_and_is_no_address() {
    let mut world = World::pair(AckMode::InSync);
    let later = Member { incarnation: Incarnation(11), ..A };
    let mut brain = Brain::new(later, &world, Some(100));
    assert_eq!(brain.route(), Route::Park);
    assert_eq!(brain.engine.sources(), [], "nobody would accept it");
    world.restart(A);
    brain.apply(&world);
    assert_eq!(brain.route(), Route::Park, "recovering");
}

#[test]
fn a_replica_answers_reads_while_it_is_in_the_set_and_linked() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::following(&world, 100);
    let read = |brain: &Brain| brain.engine.route(SLOT, ReadFrom::Replica);
    assert_eq!(read(&brain), Route::Execute);
    assert_eq!(brain.route(), world.moved_to(A));
    assert!(!brain.engine.unfollow(B) && brain.engine.unfollow(A));
    assert_eq!(read(&brain), world.moved_to(A));
    let source = world.source();
    let lineage = Lineage::new(source.epoch, Offset(0));
    let begin = SyncBegin { source, mode: SyncMode::Partial { from: Offset(100) }, lineage };
    assert!(matches!(brain.engine.follow(A, &begin), Ok(Follow::Continue { .. })));
    assert_eq!(read(&brain), Route::Execute);
    world.remove(B);
    brain.apply(&world);
    assert_eq!(read(&brain), world.moved_to(A), "it left the set");
}

#[test]
fn a_slot_that_nobody_owns_is_nobodys() {
    let mut brain = Brain::loaded(A, None);
    assert_eq!(brain.route(), Route::Unowned);
    brain.apply(&World { state: ControlState::default(), index: 1 });
    assert_eq!(brain.route(), Route::Unowned);
}

#[test]
fn a_node_says_that_it_serves_once_it_executes() {
    let mut world = World::pair(AckMode::Primary);
    let mut brain = Brain::following(&world, 100);
    brain.on(Event::Granted(Grant { until_ms: u64::MAX, index: 0 }));
    world.failover(B);
    let actions = brain.apply(&world);
    assert!(brain.engine.primary().is_some(), "{actions:?}");
    assert_eq!((brain.route(), brain.engine.route_without_keys()), (Route::Park, Route::Park));
    assert_eq!(
        (brain.engine.serves(), brain.engine.is_settled()),
        (None, false),
        "its start is not in the log"
    );
    for command in proposed(&actions) {
        world.apply(&command);
    }
    brain.apply(&world);
    assert_eq!((brain.route(), brain.engine.route_without_keys()), (Route::Execute, Route::Execute));
    assert_eq!((brain.engine.serves(), brain.engine.is_settled()), (Some(world.shard().epoch), true));
}
