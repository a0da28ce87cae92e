//! Real nodes in a simulated world: one seed a process, the same seed the same run, bit for bit.
//!
//! ```text
//!  seed ─► dice ─► faults: power cuts, kills, partitions, links that hold ──► turmoil: network, disks, time of every host
//!                                                                                │
//!         World: ledger, votes, state hashes ◄── what is acknowledged and seen ──┤ raft, its log, HTTP: as released
//!         trace: every message and log line, hashed ◄────────────────────────────┘
//! ```
//! `make turmoil SEEDS=500` plays seeds; `ironcache-turmoil --seed 7 --log` shows one. What stands in for what is in
//! docs/adr/0030.
//!
//! *Invariant:* nothing here decides by what differs from run to run: no real clock, no real randomness, one thread.

#[cfg(turmoil)]
mod args;
#[cfg(turmoil)]
mod dice;
#[cfg(turmoil)]
mod entropy;
#[cfg(turmoil)]
mod faults;
#[cfg(turmoil)]
mod node;
#[cfg(turmoil)]
mod play;
#[cfg(turmoil)]
mod raft;
#[cfg(turmoil)]
mod seeds;
#[cfg(turmoil)]
mod serve;
#[cfg(turmoil)]
mod trace;

#[cfg(turmoil)]
fn main() -> std::process::ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(args::What::One { of, seed, log }) => play::play(of, seed, log),
        Ok(args::What::Many(many)) => seeds::play(&many),
        Err(wrong) => {
            eprintln!("{wrong}\n{}", args::USAGE);
            std::process::ExitCode::from(2)
        }
    }
}

#[cfg(not(turmoil))]
fn main() -> std::process::ExitCode {
    eprintln!("this build has no simulated world: `make turmoil` makes one that has");
    std::process::ExitCode::from(2)
}
