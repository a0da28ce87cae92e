//! GET and SET through real sockets, beside redis-server.

use crate::Bench;
use crate::iron::Playground;
use crate::redis::{Load, Outcome, RedisServer, Via};
use crate::row::{Figure, Row, Section, Unit};
use anyhow::Result;
use ironcache_benches::measure::median;

/// Different keys; the SETs before the GETs leave most of them present.
const KEYS: usize = 100_000;
const PIPELINES: [usize; 2] = [1, 16];
const COMMANDS: [&str; 2] = ["SET", "GET"];

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let runs = bench.scale.pick(5, 1);
    let mut rows = alone(bench, runs)?;
    rows.extend(with_a_replica(bench, runs)?);
    let about = format!(
        "One primary and redis-benchmark, 50 connections, values of 100 bytes, {KEYS} keys; ironcache as a cluster of \
         one node, or of two with one in-sync replica (acknowledging as Redis does, before the replica has it). \
         {runs} runs of each side in turns; the median of the throughputs and of the p99 latencies."
    );
    Ok(Section { title: "Throughput", about, rows })
}

fn alone(bench: &Bench, runs: usize) -> Result<Vec<Row>> {
    let (iron, redis) = (Playground::start(bench, 0)?, RedisServer::start(bench)?);
    compare(bench, runs, Via::Plain, "", iron.with_role("master")?, &redis.addr)
}

fn with_a_replica(bench: &Bench, runs: usize) -> Result<Vec<Row>> {
    let (iron, redis) = (Playground::start(bench, 1)?, RedisServer::start(bench)?);
    let replica = RedisServer::replica_of(bench, &redis)?;
    replica.wait_in_sync()?;
    compare(bench, runs, Via::Plain, ", 1 replica", iron.with_role("master")?, &redis.addr)
}

/// A row for each pipeline depth and command.
pub(super) fn compare(
    bench: &Bench,
    runs: usize,
    via: Via,
    suffix: &str,
    ours: &str,
    peer: &str,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for pipeline in PIPELINES {
        let requests = bench.scale.pick(200_000, 20_000) * if pipeline == 1 { 1 } else { 5 };
        let load = Load { requests, pipeline, keys: KEYS, via };
        let (mut of_ours, mut of_peer) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            of_ours.push(load.run(ours)?);
            of_peer.push(load.run(peer)?);
        }
        for (index, command) in COMMANDS.into_iter().enumerate() {
            let typical = |runs: &[[Outcome; 2]]| figure(runs.iter().map(|run| run[index]));
            rows.push(Row {
                what: format!("{command}, pipeline {pipeline}{suffix}"),
                ours: typical(&of_ours),
                peer: Some(typical(&of_peer)),
                command: load.command(),
            });
        }
    }
    Ok(rows)
}

fn figure(outcomes: impl Iterator<Item = Outcome>) -> Figure {
    let (rates, tails) = outcomes.map(|outcome| (outcome.per_second, outcome.p99_ms)).unzip();
    Figure::new(median(rates), Unit::PerSecond).with_note(format!("p99 {:.2} ms", median(tails)))
}
