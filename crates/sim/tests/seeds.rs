//! `cargo test -p ironcache-sim` plays 120 seeds. `IRONCACHE_SIM_SEED=n` repeats one, and
//! `IRONCACHE_SIM_SEEDS=n` plays the first n.

use ironcache_sim::{Summary, run};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Plays one seed; a panic in what is tried is a failure of that seed too.
fn play(seed: u64) -> Result<Summary, String> {
    match catch_unwind(AssertUnwindSafe(|| run(seed))) {
        Ok(Ok(summary)) => Ok(summary),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(format!("seed {seed} panicked: {}", text.unwrap_or_else(|| "see above".to_owned())))
        }
    }
}

#[test]
fn every_seed_keeps_the_invariants_and_converges() {
    let seeds = match number("IRONCACHE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("IRONCACHE_SIM_SEEDS").unwrap_or(120),
    };
    let mut failures = Vec::new();
    let mut played = Vec::new();
    for seed in seeds {
        match play(seed) {
            Ok(summary) => played.push(summary),
            Err(failure) => failures.push(failure),
        }
    }
    let of = failures.len() + played.len();
    let first = failures.first().map_or("", String::as_str);
    assert!(failures.is_empty(), "{} of {of} seeds failed; the first: {first}", failures.len());
    let (kills, acknowledged): (u64, usize) =
        played.iter().fold((0, 0), |(k, a), s| (k + s.kills, a + s.acknowledged));
    println!("{of} seeds: {kills} kills, {acknowledged} acknowledged writes, none lost");
}

#[test]
fn a_seed_is_repeated_bit_for_bit() {
    let twice = [7, 7].map(|seed| format!("{:?}", play(seed)));
    assert_eq!(twice[0], twice[1]);
}
