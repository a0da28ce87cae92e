//! A writing and reading load through an unmodified cluster client.
//!
//! ```text
//!   per shard:  ticker ─► writer: SET w:<shard>:<n>  ─► acknowledged ─► Ledger ◄─┐
//!               ticker ─► reader: GET of one of them ─► compared ────────────────┘
//! ```
//! *Invariant:* no retry, no redirect and no error handling of our own: what the client library
//! surfaces as an error is counted as one.

use super::keys::ShardMap;
use super::ledger::{Ledger, check, key_of, value_of};
use super::meter::ms;
use super::pace::{DRAIN_TIMEOUT, Lane, Running, pace};
use crate::local::LocalCluster;
use crate::upgrade::Gauge;
use anyhow::Context;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{ProtocolVersion, TlsCertificates};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Connections for the writes of one shard, and as many for its reads. With the bound on what one has under
/// way, they carry 2,000 operations a second through a stall of 80 ms without any waiting in front of them.
const LANES: usize = 4;

#[derive(Clone, Copy, Debug)]
pub(super) struct LoadSpec {
    /// Writes a second for each shard, and as many reads.
    pub rate: u32,
    pub value_bytes: usize,
}

pub(super) struct Load {
    ledgers: Vec<SharedLedger>,
    stop: watch::Sender<Running>,
    tasks: JoinSet<()>,
    pub started: Instant,
}

#[derive(Clone)]
struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    // A std mutex: held for some pushes, never across an await.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().expect("nothing panics while it holds a ledger")
    }
}

impl Load {
    /// Connects, and starts to write and read.
    pub(super) async fn start(map: &ShardMap, client: ClusterClient, spec: LoadSpec) -> anyhow::Result<Self> {
        // Connections first: a client that is still connecting is no gap of the cluster.
        let mut connections = Vec::new();
        for _ in 0..map.len() {
            connections.push((connect(&client).await?, connect(&client).await?));
        }
        let (stop, running) = watch::channel(Running::Yes);
        let started = Instant::now();
        let mut load = Self { ledgers: Vec::new(), stop, tasks: JoinSet::new(), started };
        for (shard, (writing, reading)) in connections.into_iter().enumerate() {
            let writer = u16::try_from(shard).context("more shards than a cluster can have")?;
            let ledger = SharedLedger(Arc::new(Mutex::new(Ledger::new(writer, started))));
            let keys = Keys { map: map.clone(), shard, writer, next: 0 };
            load.tasks.spawn(write(writing, keys, ledger.clone(), spec, running.clone()));
            load.tasks.spawn(read(reading, writer, ledger.clone(), spec, running.clone()));
            load.ledgers.push(ledger);
        }
        Ok(load)
    }

    /// How the clients fare, in words, whenever it is asked.
    pub(super) fn gauge(&self) -> Gauge {
        let ledgers = self.ledgers.clone();
        Box::new(move || {
            let (mut writes, mut errors, mut gap) = (0, 0, Duration::ZERO);
            for ledger in &ledgers {
                let ledger = ledger.lock();
                writes += ledger.writes.count();
                errors += ledger.client_errors;
                gap = gap.max(ledger.writes.longest_gap());
            }
            format!("load: {writes} writes acknowledged, {errors} errors, longest gap {:.1} ms", ms(gap))
        })
    }

    /// Stops, waits for the last answers, and hands over the ledgers, one for each shard.
    pub(super) async fn finish(mut self) -> anyhow::Result<Vec<Ledger>> {
        self.stop.send_replace(Running::No);
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a task of the load panicked")?;
        }
        // An operation that hangs in the client library may hold its ledger for ever: it is taken out.
        let started = self.started;
        let take = |ledger: SharedLedger| {
            let mut ledger = std::mem::replace(&mut *ledger.lock(), Ledger::new(0, started));
            ledger.close();
            ledger
        };
        Ok(self.ledgers.into_iter().map(take).collect())
    }
}

/// A client of the cluster: by TLS, if it takes clients so.
///
/// It speaks RESP3, with which this library (redis 1.8) is told that a connection has ended and makes another beside its work.
/// By RESP2 it finds out at the next refresh of its map, in the middle of a handover, and makes those to all nodes that have
/// restarted then, while its commands wait: by TLS some milliseconds a node and client.
pub(super) fn client_of(cluster: &LocalCluster) -> anyhow::Result<ClusterClient> {
    let url = |scheme: &str, addr: &String| format!("{scheme}://{addr}/");
    let client = match cluster.tls() {
        None => ClusterClientBuilder::new(cluster.client_addrs().iter().map(|addr| url("redis", addr))),
        Some((addrs, certificate)) => {
            // It is signed by itself, or by somebody whose certificate stands behind it in the file.
            let trusted = std::fs::read(certificate)
                .with_context(|| format!("could not read {}", certificate.display()))?;
            let tls = TlsCertificates { client_tls: None, root_cert: Some(trusted) };
            ClusterClientBuilder::new(addrs.iter().map(|addr| url("rediss", addr))).certs(tls)
        }
    };
    client.use_protocol(ProtocolVersion::RESP3).build().context("could not make a cluster client")
}

async fn connect(client: &ClusterClient) -> anyhow::Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    for _ in 0..LANES {
        let connecting = tokio::time::timeout(DRAIN_TIMEOUT, client.get_async_connection());
        let connection = connecting.await.context("the cluster client took too long to connect")?;
        lanes.push(Lane::new(connection.context("the cluster client could not connect")?));
    }
    Ok(lanes)
}

/// Unique keys of one shard.
struct Keys {
    map: ShardMap,
    shard: usize,
    writer: u16,
    next: u64,
}

impl Keys {
    fn next(&mut self) -> (u64, String) {
        loop {
            let sequence = self.next;
            self.next += 1;
            let key = key_of(self.writer, sequence);
            if self.map.shard_of(&key) == self.shard {
                return (sequence, key);
            }
        }
    }
}

async fn write(
    lanes: Vec<Lane>,
    mut keys: Keys,
    ledger: SharedLedger,
    spec: LoadSpec,
    running: watch::Receiver<Running>,
) {
    let own = ledger.clone();
    let ended_at = pace(spec.rate, lanes, running, move |mut connection, due| {
        let (sequence, key) = keys.next();
        let ledger = own.clone();
        async move {
            let ticket = ledger.lock().begin("SET", &key, Instant::now());
            let value = value_of(&key, spec.value_bytes);
            let answer = redis::cmd("SET").arg(&key).arg(value).query_async(&mut connection).await;
            let at = Instant::now();
            let mut ledger = ledger.lock();
            ledger.returned(ticket);
            match answer {
                Ok(()) => ledger.acknowledge(sequence, due, at),
                Err(error) => ledger.fail(format!("SET {key}: {error}")),
            }
        }
    });
    let ended_at = ended_at.await;
    ledger.lock().writes.end(ended_at);
}

async fn read(
    lanes: Vec<Lane>,
    writer: u16,
    ledger: SharedLedger,
    spec: LoadSpec,
    running: watch::Receiver<Running>,
) {
    let mut draw = 0x2545_f491_4f6c_dd1d_u64 ^ u64::from(writer);
    let own = ledger.clone();
    let ended_at = pace(spec.rate, lanes, running, move |mut connection, due| {
        // xorshift64: which key is read has to vary, not to be secret.
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        let key = own.lock().pick(draw).map(|sequence| key_of(writer, sequence));
        let ledger = own.clone();
        async move {
            let Some(key) = key else { return };
            let ticket = ledger.lock().begin("GET", &key, Instant::now());
            let answer: Result<Option<Vec<u8>>, _> =
                redis::cmd("GET").arg(&key).query_async(&mut connection).await;
            let at = Instant::now();
            let mut ledger = ledger.lock();
            ledger.returned(ticket);
            match answer {
                Ok(value) => {
                    let check = check(&key, spec.value_bytes, value.as_deref());
                    ledger.read(&key, check, due, at);
                }
                Err(error) => ledger.fail(format!("GET {key}: {error}")),
            }
        }
    });
    let ended_at = ended_at.await;
    ledger.lock().reads.end(ended_at);
}
