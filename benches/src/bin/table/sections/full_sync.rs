//! A replica that lost its memory gets everything from its primary, while clients are served.

use super::Name;
use crate::Bench;
use crate::client::Client;
use crate::iron::Playground;
use crate::process::wait_for;
use crate::redis::RedisServer;
use crate::row::{Figure, Row, Section, Unit};
use anyhow::{Context, Result};
use ironcache_benches::measure::Percentiles;
use ironcache_benches::workload::key;
use rustix::process::{Pid, Signal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SYNC_TIMEOUT: Duration = Duration::from_secs(300);
/// Between two questions of the client that watches the primary.
const PROBE_EVERY: Duration = Duration::from_millis(1);

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let keys = bench.scale.pick(1_000_000, 100_000);
    let ours = of_ironcache(bench, keys)?;
    let peer = of_redis(bench, keys)?;
    let row = |what: String, figure: fn(&Outcome) -> Figure| Row {
        what,
        ours: figure(&ours),
        peer: Some(figure(&peer)),
        command: Name::FullSync.command(),
    };
    let rows = vec![
        row(format!("full sync of {keys} keys of 100 B"), |s| {
            Figure::new(s.keys as f64 / s.sync.as_secs_f64(), Unit::PerSecond)
        }),
        row("from the kill to a replica with every key".to_owned(), |s| {
            Figure::new(s.away.as_secs_f64() * 1000.0, Unit::Milliseconds)
        }),
        row("a client's GET on the primary meanwhile, p99".to_owned(), |s| {
            Figure::new(s.probe.p99_ms, Unit::Milliseconds)
                .with_note(format!("p50 {:.2}, max {:.2}", s.probe.p50_ms, s.probe.max_ms))
        }),
    ];
    let about = "The replica's process is killed with SIGKILL and comes back empty. The sync counts from its first \
                 answer to the moment at which it has every key. Redis syncs without a disk and without its delay of \
                 five seconds; it forks for the snapshot, ironcache sends slot after slot."
        .to_owned();
    Ok(Section { title: "Full sync", about, rows })
}

/// What one side did.
struct Outcome {
    keys: usize,
    /// From the new process's first answer to the last key.
    sync: Duration,
    /// From the kill to the last key.
    away: Duration,
    probe: Percentiles,
}

fn of_ironcache(bench: &Bench, keys: usize) -> Result<Outcome> {
    let iron = Playground::start(bench, 1)?;
    let (primary, replica) = (iron.with_role("master")?, iron.with_role("slave")?);
    Client::connect(primary)?.fill(keys)?;
    wait_for_keys(replica, keys)?;
    sync(primary, replica, keys, || {
        // Its launcher starts the daemon again.
        let daemon = Client::connect(replica)?.pid()?;
        let daemon =
            i32::try_from(daemon).ok().and_then(Pid::from_raw).context("a process id is a positive i32")?;
        Ok(rustix::process::kill_process(daemon, Signal::KILL)?)
    })
}

fn of_redis(bench: &Bench, keys: usize) -> Result<Outcome> {
    let primary = RedisServer::start(bench)?;
    let mut replica = RedisServer::replica_of(bench, &primary)?;
    primary.client()?.fill(keys)?;
    wait_for_keys(&replica.addr, keys)?;
    let addr = replica.addr.clone();
    sync(&primary.addr, &addr, keys, || replica.restart())
}

fn sync(primary: &str, replica: &str, keys: usize, kill: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| probe(primary, keys, &done));
        let outcome = kill_and_wait(replica, keys, kill);
        done.store(true, Ordering::Relaxed);
        let times = probe.join().expect("the probe does not panic")?;
        let (sync, away) = outcome?;
        let probe = Percentiles::of(&times).context("the primary was not asked once")?;
        Ok(Outcome { keys, sync, away, probe })
    })
}

fn kill_and_wait(
    replica: &str,
    keys: usize,
    kill: impl FnOnce() -> Result<()>,
) -> Result<(Duration, Duration)> {
    let killed = Instant::now();
    kill()?;
    // A failed question is no error here: nobody may be there to answer it.
    wait_for("the replica's new process", SYNC_TIMEOUT, || Ok(keys_of(replica).ok()))?;
    let back = Instant::now();
    wait_for_keys(replica, keys)?;
    Ok((back.elapsed(), killed.elapsed()))
}

/// Waits until a node has so many keys. Redis answers `LOADING` while it has not.
fn wait_for_keys(addr: &str, keys: usize) -> Result<()> {
    wait_for("the replica's keys", SYNC_TIMEOUT, || {
        Ok(keys_of(addr).ok().filter(|held| *held == keys).map(|_| ()))
    })
}

fn keys_of(addr: &str) -> Result<usize> {
    Client::connect(addr)?.keys()
}

/// The times of a client's GETs, one every millisecond, until `done`.
fn probe(primary: &str, keys: usize, done: &AtomicBool) -> Result<Vec<Duration>> {
    let mut client = Client::connect(primary)?;
    let mut times = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let started = Instant::now();
        client.call(&[b"GET", &key(times.len() % keys)])?;
        times.push(started.elapsed());
        std::thread::sleep(PROBE_EVERY);
    }
    Ok(times)
}
