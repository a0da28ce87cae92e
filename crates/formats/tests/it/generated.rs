//! What no example thinks of: logs that clusters would write, through bytes and back.

use crate::generate::{Draw, draw};
use crate::setup::Cluster;
use ironcache_control::Command;
use ironcache_formats::levels::RANGE;
use ironcache_formats::state::{self, Answer};
use ironcache_formats::{entry, snapshot};
use ironcache_types::RequestId;
use proptest::prelude::*;
use proptest::test_runner::Config;

fn sequences() -> impl Strategy<Value = Vec<Draw>> {
    prop::collection::vec(draw(), 1..200)
}

/// A log, the cluster that it made, and what it answered.
fn play(draws: &[Draw]) -> (Vec<Command>, Cluster, Vec<Answer>) {
    let mut cluster = Cluster::new();
    let (mut log, mut answers) = (Vec::new(), Vec::new());
    for (at, draw) in draws.iter().enumerate() {
        let command = draw.command(&cluster.state, &log);
        let refused = cluster.apply(&command).err().map(|rejection| rejection.code().to_owned());
        answers.push(Answer { request: RequestId(at as u128), index: cluster.log_index, refused });
        log.push(command);
    }
    (log, cluster, answers)
}

proptest! {
    #![proptest_config(Config { cases: 100, ..Config::default() })]

    #[test]
    fn nothing_of_a_state_is_lost_in_its_bytes(draws in sequences()) {
        let (_, Cluster { state, .. }, answers) = play(&draws);
        let level = state::level_of(&state);
        let bytes = state::write(&state, &answers, level).unwrap();
        let (read, kept) = state::read(&bytes, level).unwrap();
        prop_assert_eq!((&read, &kept), (&state, &answers));
        prop_assert_eq!(state::hash(&read, &kept).unwrap(), state::hash(&state, &answers).unwrap());
        let sealed = snapshot::seal(&state, &answers).unwrap();
        let opened = snapshot::open(&sealed, RANGE).unwrap();
        prop_assert_eq!((opened.state, opened.answers, opened.hash), (read, kept, state::hash_of(&bytes)));
    }

    #[test]
    fn a_log_of_entries_makes_the_state_that_its_commands_make(draws in sequences()) {
        let (log, Cluster { state, .. }, answers) = play(&draws);
        let mut replayed = Cluster::new();
        for (command, answer) in log.iter().zip(&answers) {
            let level = state::level_of(&replayed.state);
            let entry = entry::seal(command, answer.request, level).unwrap();
            let (request, opened) = entry::open(&entry, level).unwrap();
            prop_assert_eq!((request, &opened), (answer.request, command));
            let refused = replayed.apply(&opened).err().map(|rejection| rejection.code().to_owned());
            prop_assert_eq!(&refused, &answer.refused);
        }
        prop_assert_eq!(
            state::hash(&replayed.state, &answers).unwrap(),
            state::hash(&state, &answers).unwrap()
        );
    }
}
