//! Small models in every test run; the large ones by `make model`.

use ironcache_model::lease::{Broken, LeaseModel};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;

/// All of it: every state that can be reached.
fn check(what: &str, model: LeaseModel) {
    let began = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    println!(
        "{what}: {} states, {} distinct, depth {}, {} ms",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_millis()
    );
}

#[test]
fn two_lives_never_answer_at_once_through_a_change_of_leader() {
    check("one change of leader", LeaseModel::SMALL);
}

/// Each is searched for in the smallest model that has what it needs.
#[test]
fn every_rule_that_is_broken_is_found_out() {
    for broken in Broken::ALL {
        let model = match broken {
            Broken::AnswersWhileHandingOver | Broken::PromotionRunsFromItsCommit => {
                LeaseModel { handovers: 1, elections: 0, ..LeaseModel::SMALL }
            }
            Broken::AnyTerm => LeaseModel { skews: 0, ..LeaseModel::SMALL },
            Broken::GrantsWhileDeposing | Broken::ForgetsWhatItSettled => {
                LeaseModel { elections: 0, ..LeaseModel::SMALL }
            }
            Broken::LeaseIgnored
            | Broken::RunsFromTheAnswer
            | Broken::NoReadIndex
            | Broken::NoQuorumRound
            | Broken::ShorterWait
            | Broken::NewLeaderDoesNotWait => LeaseModel::SMALL,
        };
        let model = LeaseModel { broken: Some(broken), ..model };
        let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let found = checker.discovery("two lives never answer at once");
        let states = checker.unique_state_count();
        let path = found.unwrap_or_else(|| panic!("{broken:?} is not found out in {states} states"));
        println!("{broken:?}: {states} states, {} events", path.into_actions().len());
    }
}

/// The assumption is needed: with more skew than the wait covers, two lives do answer at once.
#[test]
fn clocks_that_differ_by_more_than_the_margin_are_outside_of_the_promise() {
    let model = LeaseModel { skews: 2, elections: 0, ..LeaseModel::SMALL };
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    assert!(checker.discovery("two lives never answer at once").is_some());
}
