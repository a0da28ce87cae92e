//! The last copy of a dataset stays.

use super::*;
use crate::{CheckpointFate, OnTrial, fate_of_checkpoint, is_only_copy};
use ironcache_control::{Recover, RecoveredBy};

/// Of a checkpoint that ended at 500, in the shard's first epoch.
fn fate(world: &World, me: Member, on_trial: OnTrial) -> CheckpointFate {
    let first = world.shard().lineage[0].epoch;
    fate_of_checkpoint(&world.state, me, &Lineage::new(first, Offset(0)), Offset(500), on_trial)
}

fn goes(world: &World, me: Member) -> bool {
    fate(world, me, OnTrial::No) == CheckpointFate::Goes
}

#[test]
fn the_checkpoint_of_a_set_of_one_stays() {
    let world = World::alone(AckMode::Primary);
    assert!(!goes(&world, A), "what it serves is on no other node");
    assert!(!goes(&world, B), "it is in no set");
}

#[test]
fn a_member_of_a_set_of_two_lets_its_checkpoint_go_on_both_ends() {
    let world = World::pair(AckMode::InSync);
    assert!(goes(&world, A) && goes(&world, B));
}

#[test]
fn the_role_of_an_earlier_life_says_nothing_of_this_one() {
    let mut world = World::pair(AckMode::InSync);
    let later = Member { incarnation: Incarnation(99), ..B };
    assert!(!goes(&world, later), "not registered");
    let me = world.restart(B);
    assert!(!goes(&world, me), "registered, and in no set yet");
    assert!(!goes(&world, A), "and the other one is alone now");
}

#[test]
fn a_trial_consumes_nothing() {
    let mut world = World::pair(AckMode::InSync);
    assert_eq!(fate(&world, B, OnTrial::Yes), CheckpointFate::Stays);
    let node = world.state.nodes.get_mut(&B.node).unwrap();
    node.out = Some(ironcache_control::OutStep {
        plan: ironcache_types::PlanId(1),
        epoch: Epoch(9),
        target: node.release.clone(),
        log_index: 1,
        phase: ironcache_control::TrialPhase::Confirming { incarnation: B.incarnation },
        base_from: None,
    });
    assert!(!goes(&world, B), "not until the log says that it is confirmed");
}

#[test]
fn what_the_shard_went_on_without_is_set_aside() {
    let mut world = World::pair(AckMode::Primary);
    let (a, b) = (world.restart(A), world.restart(B));
    let shard = world.shard();
    world.apply(&Command::Recover(Recover {
        shard: SHARD,
        shard_epoch: shard.epoch,
        isr_epoch: shard.isr_epoch,
        to: b,
        at: Offset(40),
        lost_bytes_min: 0,
        as_of_ms: None,
        given_up: shard.in_sync.clone(),
        term: 0,
        by: RecoveredBy::Policy,
        at_ms: 0,
    }));
    assert_eq!(fate(&world, a, OnTrial::No), CheckpointFate::Stays, "where it begins is not known yet");
    let epoch = world.shard().epoch;
    world.apply(&Command::PrimaryReady { shard: SHARD, epoch, start: Offset(40) });
    assert_eq!(fate(&world, a, OnTrial::No), CheckpointFate::IsSetAside);
}

#[test]
fn the_only_copy_is_that_of_whom_the_log_names_alone() {
    let alone = World::alone(AckMode::Primary);
    assert!(is_only_copy(&alone.state, A));
    assert!(!is_only_copy(&alone.state, B), "it holds nothing that anybody acknowledged");
    let pair = World::pair(AckMode::InSync);
    assert!(!is_only_copy(&pair.state, A) && !is_only_copy(&pair.state, B), "each has the other");
    // The replica stopped first, and its next life is in no set.
    let mut world = World::pair(AckMode::InSync);
    let replica = world.restart(B);
    assert!(is_only_copy(&world.state, A));
    assert!(!is_only_copy(&world.state, replica));
    // The last owner is back, and waits to be given its shard again.
    let me = world.restart(A);
    assert!(is_only_copy(&world.state, me));
    assert!(!is_only_copy(&world.state, replica));
}
