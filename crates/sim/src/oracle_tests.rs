//! The oracle is tried: what is well in a run is spoilt by hand, and the check that is there for it has to say so.

use crate::entry::Entry;
use crate::ledger::{Ledger, MAX_LAG};
use crate::stream::{Store, Write};
use crate::world::World;
use ironcache_control::{AckMode, Command, InitCluster, Phase, Shard};
use ironcache_types::{ClusterId, Epoch, Incarnation, Level, Member, NodeId, ShardId, Slot};
use std::sync::Arc;

const SHARD: ShardId = ShardId(0);
const SLOT: Slot = Slot(1);
/// Something that some seed of so many comes to.
const SEEDS: u64 = 200;

/// The first moment of the first seeds in which `found` finds what it looks for.
fn at_the_first<T>(found: impl Fn(&mut World) -> Option<T>) -> (World, T) {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        while world.is_chaotic() {
            world.tick().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
            if let Some(found) = found(&mut world) {
                return (world, found);
            }
        }
    }
    panic!("no seed of {SEEDS} comes to that");
}

/// A shard in mode `in-sync` whose clients were acknowledged something, its primary, and another member of its set.
fn in_service(world: &mut World) -> Option<(Shard, Member, Member)> {
    let found = world.truth.shards.values().find_map(|shard| {
        let primary = shard.primary()?;
        let lives =
            |m: &Member| world.process(m.node).is_some_and(|p| p.me == *m && !p.store.writes.is_empty());
        let other = *shard.in_sync.iter().find(|m| **m != primary && lives(m))?;
        let is_well = shard.mode == AckMode::InSync
            && lives(&primary)
            && world.process(primary.node).is_some_and(|p| p.engine.is_serving())
            && world.ledger.of(shard.id).len() > 5;
        is_well.then(|| (shard.clone(), primary, other))
    })?;
    world.check_tick().is_ok().then_some(found)
}

fn store_of(world: &mut World, member: Member) -> &mut Store {
    &mut world.process_mut(member.node).expect("it lives").store
}

/// Its dataset without what was acknowledged last.
fn forget_the_newest_acknowledged(world: &mut World, shard: ShardId, member: Member) {
    let acknowledged = world.ledger.of(shard).len();
    let store = store_of(world, member);
    let kept = store.writes[..acknowledged - 1].to_vec();
    store.load(kept);
}

fn says(result: Result<(), String>, text: &str) {
    match result {
        Err(what) if what.contains(text) => {}
        other => panic!("{text:?} is not said: {other:?}"),
    }
}

// --- datasets -------------------------------------------------------------------------------------------------------

#[test]
fn a_member_that_lacks_an_acknowledged_write_is_noticed() {
    let (mut world, (shard, _, other)) = at_the_first(in_service);
    forget_the_newest_acknowledged(&mut world, shard.id, other);
    says(world.check_tick(), "I13");
}

#[test]
fn a_primary_that_starts_without_an_acknowledged_write_is_noticed() {
    let (mut world, (shard, _, other)) = at_the_first(in_service);
    forget_the_newest_acknowledged(&mut world, shard.id, other);
    says(world.check_start(&shard, &shard, other), "I13");
}

#[test]
fn a_primary_that_starts_elsewhere_than_the_log_says_is_noticed() {
    let (mut world, (shard, primary, _)) = at_the_first(in_service);
    // It goes on for some time after its start.
    says(world.check_start(&shard, &shard, primary), "becomes primary");
}

#[test]
fn a_member_of_another_history_at_a_start_is_noticed() {
    let (mut world, (shard, primary, other)) = at_the_first(in_service);
    let mut started = shard.clone();
    let end = store_of(&mut world, primary).end();
    started.lineage.last_mut().expect("it has a primary").start = Some(end);
    let store = store_of(&mut world, other);
    store.writes[0] = Write::new(Level::FIRST, Epoch(u64::MAX), SLOT, u64::MAX);
    says(world.check_start(&shard, &started, primary), "is in sync at the start");
}

#[test]
fn a_shard_that_ends_without_an_acknowledged_write_is_noticed() {
    let (mut world, (shard, primary, _)) = at_the_first(in_service);
    forget_the_newest_acknowledged(&mut world, shard.id, primary);
    says(world.check_end(), "I13");
}

// --- time -----------------------------------------------------------------------------------------------------------

#[test]
fn a_plan_that_is_final_before_it_has_soaked_is_noticed() {
    let (mut world, finalize) = at_the_first(|world| {
        let plan = world.truth.plan.as_ref()?;
        let has_begun = matches!(plan.phase, Phase::Soaking { soaked_ms: 0, .. });
        let (plan, plan_epoch, soak_ms) = (plan.id, plan.epoch, plan.options.finalize_after.soak_ms()?);
        let finalize = Command::Finalize { plan, plan_epoch, level: world.truth.cluster_level, at_ms: 0 };
        (has_begun && soak_ms > 0).then_some(finalize)
    });
    let entry = Entry::seal(finalize, &world.truth);
    says(world.append(entry).map(drop), "was to soak for");
}

// --- who executes ---------------------------------------------------------------------------------------------------

/// A process goes on elsewhere, by the clock that it has a lease of.
fn put_in_the_place_of(world: &mut World, from: NodeId, to: NodeId) {
    let from = world.nodes.get_mut(&from).expect("it is there");
    let (process, clock) = (from.process.take(), from.clock);
    let to = world.nodes.get_mut(&to).expect("it is there");
    (to.process, to.clock) = (process, clock);
}

#[test]
fn one_that_executes_without_owning_the_shard_is_noticed() {
    let (mut world, (_, primary, other)) = at_the_first(in_service);
    put_in_the_place_of(&mut world, primary.node, other.node);
    says(world.check_tick(), "which it does not own any more");
}

#[test]
fn two_that_execute_at_once_are_noticed() {
    let serves = |world: &World, shard: &Shard| {
        let node = shard.primary()?.node;
        world.process(node).is_some_and(|p| p.engine.is_serving()).then_some(node)
    };
    let (mut world, (another, replica)) = at_the_first(|world| {
        let mut shards = world.truth.shards.values();
        let (first, second) = (shards.next()?, shards.next()?);
        let primary = serves(world, first)?;
        let replica = *first.nodes.iter().find(|node| **node != primary)?;
        Some((serves(world, second)?, replica))
    });
    put_in_the_place_of(&mut world, another, replica);
    says(world.check_tick(), "at once");
}

#[test]
fn what_is_executed_twice_is_noticed() {
    let (mut world, _) = at_the_first(in_service);
    let said = (0..200).find_map(|_| {
        world.clients.deliver_twice();
        world.tick().err()
    });
    says(said.map_or(Ok(()), Err), "for the second time");
}

// --- the log --------------------------------------------------------------------------------------------------------

#[test]
fn a_handover_without_an_end_is_noticed() {
    let (mut world, ()) = at_the_first(|world| {
        let is_in_flight = world.truth.shards.values().any(|shard| shard.handover.is_some());
        (is_in_flight && world.leadership.is_some() && world.has_quorum()).then_some(())
    });
    assert_eq!(world.check_handovers(1), Ok(()));
    says(world.check_handovers(60_000), "I19");
}

#[test]
fn a_release_that_is_quarantined_for_nothing_is_noticed() {
    let (mut world, ()) = at_the_first(|world| (!world.truth.quarantined.is_empty()).then_some(()));
    assert_eq!(world.check_quarantine(), Ok(()));
    world.nodes.values_mut().for_each(|node| node.launcher.has_blamed = false);
    says(world.check_quarantine(), "for nothing that it did");
}

#[test]
fn a_binary_that_changes_under_a_role_or_without_a_step_is_noticed() {
    let (world, (_, primary, other)) = at_the_first(in_service);
    says(world.check_activation(primary), "I5/I18");
    says(world.check_activation(other), "I5/I18");
    let earlier_life = Member { incarnation: Incarnation(0), ..other };
    says(world.check_activation(earlier_life), "without a step");
}

#[test]
fn a_node_that_stops_while_its_primary_waits_for_it_is_noticed() {
    at_the_first(|world| {
        let out = world.truth.nodes.values().filter(|node| node.out.is_some());
        let lives: Vec<Member> = out.filter_map(|node| Some(world.process(node.id)?.me)).collect();
        let said = lives.into_iter().filter_map(|me| world.check_activation(me).err());
        said.into_iter().any(|what| what.contains("still waits for it")).then_some(())
    });
}

#[test]
fn a_state_of_its_own_is_noticed() {
    let (mut world, node) = at_the_first(|world| {
        let all = world.log.len();
        let nodes: Vec<NodeId> = world.nodes.keys().copied().collect();
        let has_applied_all =
            nodes.into_iter().find(|id| world.process(*id).is_some_and(|p| p.applied == all));
        has_applied_all.filter(|_| world.check_end().is_ok())
    });
    let process = world.process_mut(node).expect("it lives");
    Arc::make_mut(&mut process.view).last_plan.0 += 1;
    says(world.check_end(), "I17");
}

#[test]
fn a_proposal_that_its_own_proposer_has_to_refuse_is_noticed() {
    let (world, (_, primary, _)) = at_the_first(in_service);
    let of_another = InitCluster { cluster_id: ClusterId(u128::MAX), ..world.scenario.layout() };
    says(world.check_proposal(primary.node, &Command::InitCluster(of_another)), "its own state refuses");
}

// --- clients --------------------------------------------------------------------------------------------------------

fn written(operations: impl IntoIterator<Item = u64>) -> Store {
    Store::holding(operations.into_iter().map(|op| Write::new(Level::FIRST, Epoch(1), SLOT, op)).collect())
}

#[test]
fn an_answer_of_another_history_is_noticed() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.acknowledge(SHARD, &written([1, 2, 3]), 3), Ok(()));
    says(ledger.acknowledge(SHARD, &written([1, 2, 9, 4]), 4), "I13");
    says(ledger.acknowledge(SHARD, &written([1, 9, 3]), 2), "I16");
    assert_eq!(ledger.acknowledge(SHARD, &written([1, 2, 3, 4]), 2), Ok(()), "it has answered that before");
    assert_eq!(ledger.missing(SHARD, &written([1, 2])), 1);
    assert_eq!(ledger.len(), 3);
}

#[test]
fn what_is_given_up_is_counted_and_not_asked_for_again() {
    let mut ledger = Ledger::default();
    let all: Vec<u64> = (0..=MAX_LAG as u64).collect();
    assert_eq!(ledger.acknowledge(SHARD, &written(all.clone()), all.len()), Ok(()));
    ledger.give_up(SHARD, &written([0, 1]));
    assert_eq!((ledger.lost, ledger.len()), (all.len() - 2, 2));
    assert_eq!(ledger.missing(SHARD, &written([0, 1])), 0);
}

#[test]
fn a_read_that_is_older_than_what_somebody_was_told_is_noticed() {
    let mut ledger = Ledger::default();
    let store = written([1, 2, 3]);
    assert_eq!(ledger.acknowledge(SHARD, &store, 3), Ok(()));
    let before = ledger.floor(SHARD, SLOT);
    let generation = ledger.is_sure(SHARD, &store, 3).expect("it was acknowledged");
    ledger.heard(SHARD, SLOT, generation, 3);
    let after = ledger.floor(SHARD, SLOT);
    assert_eq!(ledger.check_read(SHARD, before, 2), Ok(()), "who asked before may be shown either");
    says(ledger.check_read(SHARD, after, 2), "had been acknowledged before");
    assert_eq!(ledger.check_read(SHARD, after, 3), Ok(()));
    assert_eq!(ledger.is_sure(SHARD, &written([1, 2, 9]), 3), None, "that was never acknowledged");
}
