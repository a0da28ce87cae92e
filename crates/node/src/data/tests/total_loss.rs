//! A shard of whose set nobody is left: what a node says that it holds, and how it begins with it.

use super::*;
use crate::data::checkpoint::let_go;
use crate::data::perform::Errand;
use crate::data::status;
use ironcache_api::Holding;
use ironcache_control::{Recover, RecoveredBy};
use ironcache_keyspace::{Effect, SetExpiry, apply_effects};
use std::fs;

/// A life of `me` that has read a dataset of `epoch` up to `offset`, or none.
fn loaded(me: Member, world: &World, held: Option<(Epoch, Offset)>) -> Plane {
    let (to_control, _proposals) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(Config::default()), me, Version::new(1, 0, 0), LEVELS, to_control, 1);
    plane.loaded(
        Keyspace::new(),
        held.and_then(|(epoch, offset)| begun(Lineage::new(epoch, Offset(0)), offset)),
    );
    plane.apply_view(world.view());
    plane
}

/// Is the process to end?
fn ends(errands: &[Errand]) -> bool {
    errands.iter().any(|errand| matches!(errand, Errand::End))
}

fn holds(plane: &Plane) -> Option<Holding> {
    status::snapshot(plane).status.holds
}

fn recover(world: &mut World, to: Member, at: Offset) {
    let shard = world.shard();
    let recover = Recover {
        shard: SHARD,
        shard_epoch: shard.epoch,
        isr_epoch: shard.isr_epoch,
        to,
        at,
        lost_bytes_min: 0,
        given_up: shard.in_sync.clone(),
        term: 0,
        by: RecoveredBy::Policy,
        at_ms: 0,
        as_of_ms: None,
    };
    world.apply(&Command::Recover(recover));
}

#[test]
fn a_node_says_what_it_could_begin_with() {
    let mut world = World::pair(AckMode::Primary);
    let epoch = world.shard().epoch;
    let (a, b) = (world.restart(A), world.restart(B));
    let nothing = loaded(b, &world, None);
    assert_eq!(holds(&nothing), Some(Holding::Nothing));
    let (offset, as_of_ms) = (Offset(500), Some(TAKEN_MS));
    let replica = loaded(b, &world, Some((epoch, offset)));
    assert_eq!(holds(&replica), Some(Holding::UpTo { epoch, offset, as_of_ms }), "it was not the last owner");
    let owner = loaded(a, &world, Some((epoch, offset)));
    assert_eq!(holds(&owner), Some(Holding::Sealed { offset }), "it stopped in order, and nobody followed");
    let older = Epoch(epoch.0 - 1);
    let killed = loaded(a, &world, Some((older, offset)));
    assert_eq!(
        holds(&killed),
        Some(Holding::UpTo { epoch: older, offset, as_of_ms }),
        "it wrote more, and was killed"
    );
    let (to_control, _proposals) = mpsc::unbounded_channel();
    let mut reads = Plane::new(Arc::new(Config::default()), a, Version::new(1, 0, 0), LEVELS, to_control, 1);
    reads.apply_view(world.view());
    assert_eq!(holds(&reads), None);
}

#[test]
fn the_chosen_node_begins_with_what_it_holds_and_the_log_learns_where() {
    let mut world = World::pair(AckMode::Primary);
    let epoch = world.shard().epoch;
    let (_, b) = (world.restart(A), world.restart(B));
    let mut plane = loaded(b, &world, Some((epoch, Offset(500))));
    recover(&mut world, b, Offset(500));
    assert!(!ends(&plane.apply_view(world.view())));
    assert_eq!(primary(&plane).lineage().entries(), [(epoch, Offset(0)), (world.shard().epoch, Offset(500))]);
    assert_eq!(plane.offset(), Offset(500));
}

#[test]
fn the_chosen_node_of_a_shard_of_which_nothing_is_left_begins_anew() {
    let mut world = World::alone(AckMode::Primary);
    let a = world.restart(A);
    let mut plane = loaded(a, &world, None);
    // Half of a full sync, say.
    let mut effects = Vec::new();
    let set = Effect::SetString { key: b"k", value: b"v", expiry: SetExpiry::Never };
    set.encode(Level::FIRST, &mut effects).unwrap();
    apply_effects(&mut plane.keyspace, &effects, Level::FIRST).unwrap();
    recover(&mut world, a, Offset(0));
    assert!(!ends(&plane.apply_view(world.view())));
    let epoch = world.shard().epoch;
    assert_eq!(primary(&plane).lineage().entries(), [(epoch, Offset(0))]);
    world.apply(&Command::PrimaryReady { shard: SHARD, epoch, start: Offset(0) });
    plane.apply_view(world.view());
    assert_eq!((plane.keyspace.len(), plane.offset()), (0, Offset(0)));
}

/// Nobody else would take the shard from it.
#[test]
fn a_node_that_cannot_be_what_the_log_made_it_says_so() {
    let mut world = World::pair(AckMode::Primary);
    world.restart(A);
    let mut plane = loaded(B, &world, None);
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    world.apply(&Command::Failover { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 0 });
    assert!(ends(&plane.apply_view(world.view())));
}

#[tokio::test]
async fn a_checkpoint_of_a_branch_that_was_cut_off_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    fs::write(&path, b"what was acknowledged up to 500").unwrap();
    let mut world = World::pair(AckMode::Primary);
    let epoch = world.shard().epoch;
    let (a, b) = (world.restart(A), world.restart(B));
    let plane = loaded(a, &world, Some((epoch, Offset(500))));
    let node = node_in(dir.path().to_owned(), plane);
    let going = let_go(Rc::clone(&node), from_checkpoint(Lineage::new(epoch, Offset(0)), Offset(500)));
    let mut going = Box::pin(going);
    assert_eq!(futures_util::FutureExt::now_or_never(&mut going), None);
    recover(&mut world, b, Offset(40));
    let (epoch, start) = (world.shard().epoch, Offset(40));
    world.apply(&Command::PrimaryReady { shard: SHARD, epoch, start });
    show(&node, &world);
    going.await;
    assert!(!path.exists());
    assert!(dir.path().join("checkpoint.cut-off").exists());
}
