//! Three raft nodes with their logs and their HTTP, and nothing above: proposals are acknowledged, faults happen, and at
//! the end everything that was acknowledged is in every state.

mod host;
mod world;

use crate::dice::Dice;
use crate::faults::{Cut, Fault, Faults, Hosts};
use crate::{entropy, trace};
use ironcache_store::simulated;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use world::World;

/// Voters.
const NODES: u64 = 3;
/// Long enough to found the cluster and have every life admitted, with nothing wrong yet.
const FOUNDED_MAX_MS: u64 = 20_000;
/// For so long things go wrong: some fifteen faults.
const FAULTS_MS: u64 = 10_000;
/// Far more than elections and a snapshot take: what has not converged then never does.
const CONVERGED_MAX_MS: u64 = 30_000;

/// Plays one seed: what it came to, or what was violated.
pub(crate) fn run(seed: u64, log: bool) -> Result<String, String> {
    let mut dice = Dice::new(seed ^ 0x7261_6674);
    let mut builder = turmoil::Builder::new();
    builder
        .epoch(UNIX_EPOCH + entropy::EPOCH)
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(600))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(dice.between(2, 12)))
        .tcp_capacity(4096)
        .enable_random_order();
    if dice.one_in(2) {
        // A power cut may leave a part of what was being written.
        builder.fs().block_size([64, 512, 4096][dice.between(0, 3) as usize]);
    }
    simulated::set_disk_ms_max([10, 40, 150][dice.between(0, 3) as usize]);
    let mut sim = builder.build();
    let world = Rc::new(World::new(NODES));
    let names: Vec<String> = (1..=NODES).map(host::name).collect();
    for (id, name) in (1..=NODES).zip(&names) {
        let world = Rc::clone(&world);
        sim.host(name.as_str(), move || host::run(Rc::clone(&world), id));
    }
    let mut faults = Faults::new(seed, names, Cut::Loses);
    let mut now_ms = 0;
    let mut step = |faults: &mut Faults, wrong: Wrong| -> Result<u64, String> {
        if wrong == Wrong::Faults {
            faults.at(now_ms, &mut sim, &Voters, |line| trace::note(line, log));
            for id in World::take_voters() {
                faults.strike(id as usize - 1, now_ms, &mut sim, &Voters, |line| trace::note(line, log));
            }
        }
        if wrong == Wrong::NothingMore {
            faults.heal(&mut sim, |line| trace::note(line, log));
        }
        entropy::now_is(sim.elapsed());
        sim.step().map_err(|error| format!("at {now_ms} ms: {error}"))?;
        now_ms += 1;
        match world.violation() {
            Some(violation) => Err(format!("at {now_ms} ms: {violation}")),
            None => Ok(now_ms),
        }
    };
    while !world.all_admitted() {
        if step(&mut faults, Wrong::Nothing)? > FOUNDED_MAX_MS {
            return Err("the cluster is not founded".to_owned());
        }
    }
    let began_ms = step(&mut faults, Wrong::Nothing)?;
    while step(&mut faults, Wrong::Faults)? < began_ms + FAULTS_MS {}
    let healed_ms = step(&mut faults, Wrong::NothingMore)?;
    world.stop_proposing();
    while let Err(missing) = world.converged() {
        if step(&mut faults, Wrong::Nothing)? > healed_ms + CONVERGED_MAX_MS {
            return Err(format!("it does not converge: {missing}"));
        }
    }
    let count = faults.count;
    drop(step);
    // Its hosts would say goodbye to each other.
    std::mem::forget(sim);
    Ok(format!("faults={count} {}", world.summary()))
}

/// A log promises what was synced, whoever fails: nothing is spared.
struct Voters;

impl Hosts for Voters {
    fn rare(&self, _host: usize) -> Fault {
        Fault::PowerCutOfAll
    }

    fn may_fail(&self, _host: usize) -> bool {
        true
    }

    fn failed(&self, _host: usize) {}

    fn stop(&self, _host: usize) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Faults,
    /// What is wrong is mended.
    NothingMore,
}
