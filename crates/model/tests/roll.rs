//! Small models in every test run; the large ones by `make model`.

use ironcache_model::roll::{Bounds, Broken, RollModel};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;

/// What every test run plays.
const QUICK: [(&str, Bounds); 2] =
    [("a roll, the witness done", Bounds::SMALL), ("a whole roll", Bounds::CALM)];

/// What a search of this size finds. The others of [`Broken`] lie deeper.
const FOUND: [Broken; 10] = [
    Broken::AbortLowersMode,
    Broken::RecoverBesideKeeper,
    Broken::TailCutShort,
    Broken::PromoteAtKeepersEnd,
    Broken::AckBeforeMember,
    Broken::AckBeforeKeeper,
    Broken::SnapshotForCleanEnd,
    Broken::PromoteOutsideSet,
    Broken::UnparkBeforeApply,
    Broken::StaleEpoch,
];

/// All of it: every state that can be reached.
fn check(what: &str, bounds: Bounds) {
    let began = Instant::now();
    let checker = RollModel::new(bounds, None).checker().threads(2).spawn_bfs().join();
    let (states, distinct, depth) =
        (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    let ms = began.elapsed().as_millis();
    println!("{what}: {distinct} states by {states} events, {depth} deep, {ms} ms");
    checker.assert_properties();
}

#[test]
fn a_roll_ends_in_whatever_order_things_happen() {
    QUICK.into_iter().for_each(|(what, bounds)| check(what, bounds));
}

/// `make model`.
#[test]
#[ignore = "minutes"]
fn a_roll_ends_and_keeps_a_write_of_any_moment() {
    check("a roll, the witness done, and a write", Bounds { writes: 1, ..Bounds::SMALL });
}

#[test]
fn rules_of_a_roll_that_are_broken_are_found_out() {
    for broken in FOUND {
        let model = RollModel::new(Bounds::to_find(broken), Some(broken));
        // One thread: what it meets first does not depend on chance.
        let checker = model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let found = checker.discoveries().into_iter().find(|(what, _)| *what != "the roll ends");
        match found {
            Some((what, path)) => println!("{broken:?}: {what}, in {} events", path.into_actions().len()),
            None => panic!("{broken:?} is not found out in {} states", checker.unique_state_count()),
        }
    }
}
