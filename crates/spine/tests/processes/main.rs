//! Launcher and daemons as real processes.
//!
//! This executable plays every part: the tests, the launcher (`run-launcher`) and the daemon
//! (`server-daemon`). It carries a version stamp of its own; a "release" is a copy with another
//! version written into it, and the version says how that release behaves (see [`daemon`]).

/// Tests by name.
macro_rules! cases {
    ($($name:ident)*) => { &[$((stringify!($name), $name)),*] };
}

mod cases;
mod daemon;
mod deadlines;
mod handover;
mod node;
mod preflight;

use ironcache_types::{LEVELS, Manifest, Stamp, Version};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[used]
#[unsafe(link_section = ".ironcache_stamp")]
static STAMP: Stamp = Stamp::of_build("0.1.0", LEVELS, ironcache_spine::LAUNCHER_PROTOCOL, None);

/// The version that was stamped into this executable.
fn own_version() -> Version {
    own_manifest().version
}

fn own_manifest() -> Manifest {
    // SAFETY: reads a static of ours; volatile, for a packager may have rewritten it in the file.
    unsafe { std::ptr::read_volatile(&raw const STAMP) }.manifest().unwrap()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(ironcache_spine::DAEMON_VERB) => daemon::main(),
        Some(ironcache_spine::PREFLIGHT_VERB) => preflight::main(&args[1..]),
        Some(node::LAUNCHER_VERB) => node::launcher_main(&args[1..]),
        _ => run_tests(&args),
    }
}

fn all_cases() -> impl Iterator<Item = &'static (&'static str, fn())> {
    cases::ALL.iter().chain(deadlines::ALL).chain(handover::ALL).chain(preflight::ALL)
}

/// As `cargo test` does it: names that contain one of the arguments, all without any.
fn run_tests(args: &[String]) {
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    if args.iter().any(|arg| arg == "--list") {
        all_cases().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let mut failed = Vec::new();
    for (name, case) in all_cases() {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let began = std::time::Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(case)).is_ok();
        if passed {
            println!("test {name} ... ok ({} ms)", began.elapsed().as_millis());
        } else {
            // As cargo's own tests say it: whoever breaks a guard looks for this line.
            println!("test {name} ... FAILED");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
        std::process::exit(1);
    }
}
