//! Small models in every test run; the large ones by `make model`.

use ironcache_model::roll::{Bounds, Broken, Moment, RollModel};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;

/// What every test run plays.
const QUICK: [(&str, Bounds); 3] = [
    ("a roll, the witness done", Bounds::SMALL),
    ("a whole roll", Bounds::CALM),
    ("what an owner had sent arrives after it was replaced", Bounds::REPLACED),
];

/// All of it: every state that can be reached, depth first, so that little of it is held at a time.
fn check(what: &str, bounds: Bounds) {
    let began = Instant::now();
    let checker = RollModel::new(bounds, None).checker().threads(2).spawn_dfs().join();
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

/// `make model`.
#[test]
#[ignore = "minutes"]
fn a_roll_ends_although_any_one_message_is_lost() {
    check("a roll, the witness done, and a proposal or a link lost", Bounds { lost: 1, ..Bounds::SMALL });
}

/// `make model`.
#[test]
#[ignore = "minutes"]
fn a_roll_ends_although_any_one_process_ends_at_any_moment() {
    check("a roll, the witness done, and a crash", Bounds { crashes: 1, ..Bounds::SMALL });
}

/// `make model`.
#[test]
#[ignore = "minutes"]
fn a_roll_ends_although_a_process_ends_and_a_message_is_lost() {
    check(
        "a roll, the witness done, a crash, and a proposal or a link lost",
        Bounds { crashes: 1, lost: 1, ..Bounds::SMALL },
    );
}

/// `make model`.
#[test]
#[ignore = "minutes"]
fn a_roll_ends_although_something_else_goes_wrong_or_is_ordered() {
    check("a roll, the witness done, and a node cut off", Bounds { cuts: 1, ..Bounds::SMALL });
    check("a roll, the witness done, and somebody waits in vain", Bounds { lates: 1, ..Bounds::SMALL });
    check("a roll, the witness done, and a trial fails", Bounds { failures: 1, ..Bounds::SMALL });
    check("a roll, the witness done, and an order", Bounds { orders: 1, ..Bounds::SMALL });
    check("a roll, the witness done, and a snapshot", Bounds { snapshots: 1, ..Bounds::SMALL });
}

/// `make model`.
#[test]
#[ignore = "minutes"]
fn two_shards_are_handed_over_at_once() {
    let replicas_are_done = Bounds { shards: 2, done: &[4, 3, 1], ..Bounds::CALM };
    check("two shards, the witness and the replicas done", replicas_are_done);
}

/// `make model`.
#[test]
#[ignore = "minutes"]
fn a_write_is_kept_although_the_owner_ends_at_any_moment_of_a_step() {
    let dies = Bounds { crashes: 1, victims: &[0], leader: 2, writes: 1, ..Bounds::SMALL };
    check(
        "from where a keeper is recorded, a write, and a crash of the owner",
        Bounds { begins: Moment::Kept, ..dies },
    );
    check("the owner dies, and who is out has more than its keeper", Bounds::AHEAD);
}

#[test]
fn rules_of_a_roll_that_are_broken_are_found_out() {
    for broken in Broken::ALL {
        let model = RollModel::new(Bounds::to_find(broken), Some(broken));
        // Breadth first: whatever is near is found first, though the path that is kept may be a longer one.
        let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let found = checker.discoveries().into_iter().find(|(what, _)| *what != "the roll ends");
        let states = checker.unique_state_count();
        match found {
            Some((what, _)) => println!("{broken:?}: {what}, within {states} states"),
            None => panic!("{broken:?} is not found out in {states} states"),
        }
    }
}
