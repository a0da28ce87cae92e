//! One seed, in this process.

use crate::args::Of;
use crate::{entropy, node, raft, trace};
use std::process::ExitCode;

/// Plays it, and says on the last line of the output what it came to.
pub(crate) fn play(of: Of, seed: u64, log: bool) -> ExitCode {
    entropy::begin(seed);
    trace::begin(log);
    let outcome = match of {
        Of::Raft => raft::run(seed, log),
        Of::Node => node::run(seed, node::Rolls::No, log),
        Of::Roll => node::run(seed, node::Rolls::BackAndForth, log),
    };
    let (hash, events) = trace::hash();
    match outcome {
        Ok(told) => {
            println!("{of} seed {seed} ok {told} events={events} trace={hash:016x}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            if !log {
                for line in trace::last_lines() {
                    println!("{line}");
                }
            }
            println!("{of} seed {seed} VIOLATED {violation} events={events} trace={hash:016x}");
            ExitCode::FAILURE
        }
    }
}
