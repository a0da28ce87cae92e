//! Small models in every test run; the large ones by `make model`.

use ironcache_model::roll::{Bounds, RollModel};
use stateright::{Checker, Model};
use std::time::Instant;

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
    check("a roll", Bounds::CALM);
}
