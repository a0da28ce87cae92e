//! What holds over arbitrary sequences of commands: fitting ones, strange ones, stale ones, repeated ones.
//! `apply` itself checks the invariants I1 to I8 and I18 after each accepted command in these builds, and
//! panics on a violation.

use crate::generate::{Draw, draw};
use crate::setup::Cluster;
use ironcache_control::{Applied, Command, Outcome, Rejection};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;

fn sequences() -> impl Strategy<Value = Vec<Draw>> {
    prop::collection::vec(draw(), 1..250)
}

/// Entries of a log, and what each did.
type Log = Vec<(Command, Result<Applied, Rejection>)>;

fn play(draws: &[Draw]) -> (Cluster, Log) {
    let mut cluster = Cluster::new();
    let (mut log, mut commands) = (Vec::new(), Vec::new());
    for draw in draws {
        let command = draw.command(&cluster.state, &commands);
        let result = cluster.apply(&command);
        commands.push(command.clone());
        log.push((command, result));
    }
    (cluster, log)
}

proptest! {
    #![proptest_config(Config { cases: 400, ..Config::default() })]

    #[test]
    fn a_refused_command_changes_nothing_and_a_repeated_one_nothing_more(draws in sequences()) {
        let mut cluster = Cluster::new();
        let mut log = Vec::new();
        for draw in &draws {
            let command = draw.command(&cluster.state, &log);
            let before = cluster.state.clone();
            match cluster.apply(&command) {
                Ok(Applied::Changed { epoch }) => prop_assert_eq!(epoch, cluster.state.epoch),
                Ok(Applied::PlanStarted { plan }) => prop_assert_eq!(plan, cluster.state.last_plan),
                Ok(Applied::Unchanged) => prop_assert_eq!(&cluster.state, &before),
                Err(Rejection::Invariant(violation)) => prop_assert!(false, "{violation}: {command:?}"),
                Err(_) => prop_assert_eq!(&cluster.state, &before),
            }
            let after = cluster.state.clone();
            let again = cluster.apply(&command);
            prop_assert!(matches!(again, Ok(Applied::Unchanged) | Err(_)), "{:?} of {:?}", again, command);
            prop_assert_eq!(&cluster.state, &after);
            log.push(command);
        }
    }

    #[test]
    fn the_same_log_gives_the_same_state(draws in sequences()) {
        let (cluster, log) = play(&draws);
        let mut replayed = Cluster::new();
        for (command, result) in &log {
            prop_assert_eq!(&replayed.apply(command), result);
        }
        prop_assert_eq!(&replayed.state, &cluster.state);
    }
}

/// The draws are worth something: they finish plans, fail steps, lose primaries, and meet most refusals.
#[test]
fn the_draws_reach_far() {
    let mut runner = TestRunner::deterministic();
    let (mut finalized, mut quarantined, mut failovers, mut rejoined, mut recovered, mut codes) =
        (0, 0, 0, 0, 0, BTreeSet::new());
    for _ in 0..200 {
        let draws = sequences().new_tree(&mut runner).unwrap().current();
        let (cluster, log) = play(&draws);
        finalized += cluster.state.history.iter().filter(|h| h.outcome == Outcome::Finalized).count();
        quarantined += cluster.state.quarantined.len();
        for (command, result) in log {
            match result {
                Ok(_) => {
                    failovers += usize::from(matches!(command, Command::Failover { .. }));
                    recovered += usize::from(matches!(command, Command::Recover(_)));
                    rejoined += usize::from(matches!(command, Command::Rejoin { .. }));
                }
                Err(rejection) => {
                    codes.insert(rejection.code());
                }
            }
        }
    }
    let reached = (finalized, quarantined, failovers, rejoined, recovered, codes.len());
    assert!(finalized >= 20 && quarantined >= 10 && failovers >= 20, "{reached:?}");
    assert!(rejoined >= 10 && recovered >= 10 && codes.len() >= 25, "{reached:?}");
}
