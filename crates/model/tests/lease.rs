//! Small models in every test run; the large ones by `make model`.

use ironcache_model::lease::{Broken, LeaseModel};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;

const RULE: &str = "two lives never answer at once";

/// All of it: every state that can be reached.
fn check(what: &str, model: LeaseModel) {
    let began = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    let (states, distinct, depth) =
        (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    let ms = began.elapsed().as_millis();
    println!("{what}: {distinct} states by {states} events, {depth} deep, {ms} ms");
    checker.assert_properties();
}

#[test]
fn two_lives_never_answer_at_once() {
    LeaseModel::QUICK.into_iter().for_each(|(what, model)| check(what, model));
}

/// `make model`.
#[test]
#[ignore = "minutes"]
fn two_lives_never_answer_at_once_in_the_large_models() {
    LeaseModel::LARGE.into_iter().for_each(|(what, model)| check(what, model));
}

/// How the rule is broken by `model`, if it is.
fn broken_by(model: LeaseModel) -> Result<usize, usize> {
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let path = checker.discovery(RULE).map(|path| path.into_actions().len());
    path.ok_or(checker.unique_state_count())
}

#[test]
fn every_rule_that_is_broken_is_found_out() {
    for broken in Broken::ALL {
        match broken_by(LeaseModel::to_find(broken)) {
            Ok(events) => println!("{broken:?}: found in {events} events"),
            Err(states) => panic!("{broken:?} is not found out in {states} states"),
        }
    }
}

/// The assumption is needed: with more skew than the wait covers, two lives do answer at once.
#[test]
fn clocks_that_differ_by_more_than_the_margin_are_outside_of_the_promise() {
    assert!(broken_by(LeaseModel { skews: 2, goes_on: false, ..LeaseModel::SMALL }).is_ok());
}
