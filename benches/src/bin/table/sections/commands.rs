//! Commands of every family through real sockets, beside redis-server: rates, and what of the processor each costs.

use crate::Bench;
use crate::client::Client;
use crate::iron::Playground;
use crate::process::cpu_ns;
use crate::redis::{Benchmark, Outcome, RedisServer};
use crate::row::{Figure, Row, Section, Unit};
use anyhow::{Context, Result};
use ironcache_benches::measure::median;

const KEYS: usize = 100_000;
const PIPELINES: [usize; 2] = [1, 16];

/// As redis-benchmark's own tests word them, where it has one. `__rand_int__` is one of [`KEYS`] numbers.
const TESTS: [(&str, &[&str]); 11] = [
    ("INCR", &["INCR", "counter:__rand_int__"]),
    ("LPUSH", &["LPUSH", "list", "data"]),
    ("RPOP", &["RPOP", "list"]),
    ("LRANGE_100", &["LRANGE", "hundred", "0", "99"]),
    ("SADD", &["SADD", "set", "element:__rand_int__"]),
    ("HSET", &["HSET", "hash", "element:__rand_int__", "data"]),
    ("ZADD", &["ZADD", "zset", "0", "element:__rand_int__"]),
    ("XADD", &["XADD", "stream", "MAXLEN", "~", "100000", "*", "field", "data"]),
    ("PUBLISH", &["PUBLISH", "channel:__rand_int__", "message"]),
    ("EVAL", &["EVAL", "return redis.call('set', KEYS[1], ARGV[1])", "1", "key:__rand_int__", "data"]),
    (
        "MGET of 10 keys of a slot",
        &["MGET", "{t}0", "{t}1", "{t}2", "{t}3", "{t}4", "{t}5", "{t}6", "{t}7", "{t}8", "{t}9"],
    ),
];

pub(super) fn measure(bench: &Bench) -> Result<Section> {
    let runs = bench.scale.pick(3, 1);
    let (iron, redis) = (Playground::start(bench, 0)?, RedisServer::start(bench)?);
    let launcher = *iron.launcher_pids.first().context("a playground has a node")?;
    let ours = Side { addr: iron.with_role("master")?.to_owned(), pid: launcher };
    let peer = Side { addr: redis.addr.clone(), pid: redis.pid() };
    for side in [&ours, &peer] {
        prepare(&side.addr)?;
    }
    let mut rows = Vec::new();
    for pipeline in PIPELINES {
        let requests = bench.scale.pick(100_000, 10_000) * if pipeline == 1 { 1 } else { 5 };
        for (name, words) in TESTS {
            let load = Benchmark { requests, pipeline, keys: KEYS, words };
            let (mut of_ours, mut of_peer) = (Vec::new(), Vec::new());
            for _ in 0..runs {
                of_ours.push(ours.run(load)?);
                of_peer.push(peer.run(load)?);
            }
            rows.push(Row {
                what: format!("{name}, pipeline {pipeline}"),
                ours: figure(&of_ours),
                peer: Some(figure(&of_peer)),
                command: load.command(),
            });
        }
    }
    let about = format!(
        "A primary alone and redis-benchmark, 50 connections, {KEYS} keys or elements. {runs} runs of each side in turns; \
         the median of the throughputs, of the p99 latencies, and of the time that all threads of the server had a \
         processor for, a command."
    );
    Ok(Section { title: "Commands", about, rows })
}

/// What is read is there.
fn prepare(addr: &str) -> Result<()> {
    let mut client = Client::connect(addr)?;
    for element in 0..100 {
        client.call(&[b"RPUSH", b"hundred", format!("element:{element}").as_bytes()])?;
    }
    for key in 0..10 {
        client.call(&[b"SET", format!("{{t}}{key}").as_bytes(), &[b'x'; 100]])?;
    }
    Ok(())
}

struct Side {
    addr: String,
    /// With the processes that it started.
    pid: u32,
}

struct Measured {
    outcome: Outcome,
    cpu_ns: f64,
}

impl Side {
    fn run(&self, load: Benchmark) -> Result<Measured> {
        let before = cpu_ns(self.pid)?;
        let outcome = load.run(&self.addr)?;
        Ok(Measured { outcome, cpu_ns: (cpu_ns(self.pid)? - before) as f64 / load.requests as f64 })
    }
}

fn figure(runs: &[Measured]) -> Figure {
    let typical = |of: fn(&Measured) -> f64| median(runs.iter().map(of).collect());
    let note =
        format!("p99 {:.2} ms, {:.0} ns", typical(|run| run.outcome.p99_ms), typical(|run| run.cpu_ns));
    Figure::new(typical(|run| run.outcome.per_second), Unit::PerSecond).with_note(note)
}
