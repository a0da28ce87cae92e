//! Whole nodes: raft, HTTP, the data plane with its replication, leases and checkpoints, and clients with a ledger. One
//! shard in mode `in-sync`, on three nodes, or on two beside a witness.
//!
//! Failures are drawn as far as the promise covers them: a host may die, without power or killed, while another member of
//! the committed in-sync set lives, or a keeper and the member whose tail it keeps; what the network does is free.
//!
//! The `roll` play is the same with an operator who rolls the cluster from one release to another and back all the time.

mod client;
mod host;
mod launcher;
mod release;
mod roll;
mod world;

use crate::dice::Dice;
use crate::faults::{Cut, Fault, Faults, Hosts};
use crate::{entropy, trace};
use ironcache_store::simulated;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use world::World;

const NODES: u64 = 3;
const CLIENTS: u64 = 2;
/// Until the cluster is founded and every data node is in sync, with nothing wrong yet.
const FOUNDED_MAX_MS: u64 = 30_000;
/// For so long things go wrong.
const FAULTS_MS: u64 = 12_000;
/// With rolls: some plans long, each of which waits for what goes wrong meanwhile.
const ROLLS_MS: u64 = 25_000;
/// Far more than failovers and full syncs take: what is not whole then never is.
const WHOLE_MAX_MS: u64 = 60_000;

/// Are there plans?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rolls {
    No,
    BackAndForth,
}

/// Plays one seed: what it came to, or what was violated.
pub(crate) fn run(seed: u64, rolls: Rolls, log: bool) -> Result<String, String> {
    let mut dice = Dice::new(seed ^ 0x6e6f_6465);
    let data_nodes = if dice.one_in(2) { NODES } else { NODES - 1 };
    let mut builder = turmoil::Builder::new();
    builder
        .epoch(UNIX_EPOCH + entropy::EPOCH)
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(600))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(dice.between(2, 8)))
        .tcp_capacity(4096)
        .enable_random_order();
    if dice.one_in(2) {
        // A power cut may leave a part of what was being written.
        builder.fs().block_size([64, 512, 4096][dice.between(0, 3) as usize]);
    }
    simulated::set_disk_ms_max([10, 40, 150][dice.between(0, 3) as usize]);
    let mut sim = builder.build();
    let world = Rc::new(World::new(NODES, data_nodes, CLIENTS));
    let names: Vec<String> = (1..=NODES).map(host::name).collect();
    for (id, name) in (1..=NODES).zip(&names) {
        let world = Rc::clone(&world);
        sim.host(name.as_str(), move || host::run(Rc::clone(&world), id));
    }
    let of_operator = Rc::clone(&world);
    sim.host("operator", move || host::operate(Rc::clone(&of_operator), rolls));
    for client in 0..CLIENTS {
        let world = Rc::clone(&world);
        sim.host(format!("c{client}"), move || client::run(Rc::clone(&world), client));
    }
    let mut faults = Faults::new(seed, names.clone(), Cut::Holds);
    let mut now_ms = 0;
    let mut step = |faults: &mut Faults, wrong: Wrong| -> Result<u64, String> {
        if wrong == Wrong::Faults {
            faults.at(now_ms, &mut sim, &Nodes(&world), |line| trace::note(line, log));
        }
        if wrong == Wrong::NothingMore {
            faults.heal(&mut sim, |line| trace::note(line, log));
        }
        for id in world.take_ended() {
            trace::note(&format!("{now_ms} ms: the launcher of n{id} starts the next daemon"), log);
            world.note_dead(id);
            sim.bounce(names[id as usize - 1].as_str());
        }
        world.look();
        entropy::now_is(sim.elapsed());
        sim.step().map_err(|error| format!("at {now_ms} ms: {error}"))?;
        now_ms += 1;
        match world.violation() {
            Some(violation) => Err(format!("at {now_ms} ms: {violation}; {}", world.shows())),
            None => Ok(now_ms),
        }
    };
    while !(world.is_founded() && world.is_whole() && world.acknowledged() > 0) {
        if step(&mut faults, Wrong::Nothing)? > FOUNDED_MAX_MS {
            return Err(format!("the cluster is not founded: {}", world.shows()));
        }
    }
    let began_ms = step(&mut faults, Wrong::Nothing)?;
    let faults_ms = match rolls {
        Rolls::No => FAULTS_MS,
        Rolls::BackAndForth => ROLLS_MS,
    };
    while step(&mut faults, Wrong::Faults)? < began_ms + faults_ms {}
    world.note_calm();
    let healed_ms = step(&mut faults, Wrong::NothingMore)?;
    while !(world.is_whole() && world.has_rolled()) {
        if step(&mut faults, Wrong::Nothing)? > healed_ms + WHOLE_MAX_MS {
            let what =
                if world.has_rolled() { "the shard does not become whole" } else { "the plan does not end" };
            return Err(format!("{what}: {}", world.shows()));
        }
    }
    world.check_releases()?;
    world.stop_working();
    while !world.all_read() {
        if step(&mut faults, Wrong::Nothing)? > healed_ms + 2 * WHOLE_MAX_MS {
            return Err(format!("the clients do not read in the end: {}", world.shows()));
        }
    }
    let count = faults.count;
    // Its hosts would say goodbye to each other.
    std::mem::forget(sim);
    Ok(format!("nodes={data_nodes}+{} faults={count} {}", NODES - data_nodes, world.summary()))
}

struct Nodes<'a>(&'a World);

impl Hosts for Nodes<'_> {
    fn rare(&self, host: usize) -> Fault {
        Fault::Stop { host }
    }

    fn may_fail(&self, host: usize) -> bool {
        self.0.may_fail(host as u64 + 1)
    }

    fn failed(&self, host: usize) {
        self.0.note_failed(host as u64 + 1);
    }

    fn stop(&self, host: usize) {
        self.0.stop(host as u64 + 1);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Faults,
    /// What is wrong is mended.
    NothingMore,
}
