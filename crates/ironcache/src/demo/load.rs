//! A writing and reading load through an unmodified cluster client.
//!
//! ```text
//!   per shard:  ticker ─► writer: SET w:<shard>:<n>  ─► acknowledged ─► Ledger ◄─┐
//!               ticker ─► reader: GET of one of them ─► compared ────────────────┘
//! ```
//! Open loop: an operation is sent when it is due, not when the one before has been answered, so a
//! stall shows in as many latencies as there were operations due meanwhile.
//!
//! *Invariant:* no retry, no redirect and no error handling of our own: what the client library
//! surfaces as an error is counted as one.

use super::keys::ShardMap;
use super::ledger::{Ledger, check, key_of, value_of};
use super::meter::ms;
use crate::upgrade::Gauge;
use anyhow::Context;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// A finer tick is beyond the runtime's timer; a coarser one makes bursts.
const TICK: Duration = Duration::from_millis(1);
/// Operations under way for each ticker. It is met only in an outage of seconds, whose gap shows anyway;
/// without it such an outage would eat the memory.
const UNDER_WAY_MAX: u32 = 20_000;
/// The last answers have to be there by then.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
pub struct LoadSpec {
    /// Writes a second for each shard, and as many reads.
    pub rate: u32,
    pub value_bytes: usize,
}

pub struct Load {
    ledgers: Vec<SharedLedger>,
    stop: watch::Sender<Running>,
    tasks: JoinSet<()>,
    pub started: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    Yes,
    No,
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
    /// Connects, and starts to write and read. `addrs` are the nodes' client addresses.
    pub async fn start(map: &ShardMap, addrs: &[String], spec: LoadSpec) -> anyhow::Result<Self> {
        let urls = addrs.iter().map(|addr| format!("redis://{addr}/"));
        let client = ClusterClient::new(urls).context("could not make a cluster client")?;
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

    /// How the clients fare, in words, whenever it is asked. To be dropped before [`Load::finish`].
    pub fn gauge(&self) -> Gauge {
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
    pub async fn finish(mut self) -> anyhow::Result<Vec<Ledger>> {
        self.stop.send_replace(Running::No);
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a task of the load panicked")?;
        }
        let take = |ledger: SharedLedger| {
            let mutex = Arc::try_unwrap(ledger.0).ok().context("an operation outlived the load")?;
            Ok(mutex.into_inner().expect("nothing panics while it holds a ledger"))
        };
        self.ledgers.into_iter().map(take).collect()
    }
}

async fn connect(client: &ClusterClient) -> anyhow::Result<ClusterConnection> {
    let connecting = tokio::time::timeout(DRAIN_TIMEOUT, client.get_async_connection());
    connecting
        .await
        .context("the cluster client took too long to connect")?
        .context("the cluster client could not connect")
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
    connection: ClusterConnection,
    mut keys: Keys,
    ledger: SharedLedger,
    spec: LoadSpec,
    running: watch::Receiver<Running>,
) {
    let own = ledger.clone();
    let ended_at = pace(spec.rate, running, move || {
        let (sequence, key) = keys.next();
        let (mut connection, ledger) = (connection.clone(), own.clone());
        async move {
            let begun = Instant::now();
            let answer = redis::cmd("SET")
                .arg(&key)
                .arg(value_of(&key, spec.value_bytes))
                .query_async(&mut connection)
                .await;
            match answer {
                Ok(()) => ledger.lock().acknowledge(sequence, begun, Instant::now()),
                Err(error) => ledger.lock().fail(format!("SET {key}: {error}")),
            }
        }
    });
    let ended_at = ended_at.await;
    ledger.lock().writes.end(ended_at);
}

async fn read(
    connection: ClusterConnection,
    writer: u16,
    ledger: SharedLedger,
    spec: LoadSpec,
    running: watch::Receiver<Running>,
) {
    let mut draw = 0x2545_f491_4f6c_dd1d_u64 ^ u64::from(writer);
    let own = ledger.clone();
    let ended_at = pace(spec.rate, running, move || {
        // xorshift64: which key is read has to vary, not to be secret.
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        let key = own.lock().pick(draw).map(|sequence| key_of(writer, sequence));
        let (mut connection, ledger) = (connection.clone(), own.clone());
        async move {
            let Some(key) = key else { return };
            let begun = Instant::now();
            let answer: Result<Option<Vec<u8>>, _> =
                redis::cmd("GET").arg(&key).query_async(&mut connection).await;
            let at = Instant::now();
            match answer {
                Ok(value) => {
                    let check = check(&key, spec.value_bytes, value.as_deref());
                    ledger.lock().read(&key, check, begun, at);
                }
                Err(error) => ledger.lock().fail(format!("GET {key}: {error}")),
            }
        }
    });
    let ended_at = ended_at.await;
    ledger.lock().reads.end(ended_at);
}

/// Starts `operation` `rate` times a second until told to stop; then waits for those under way. Gives
/// the time at which the last one was due.
async fn pace<F>(rate: u32, running: watch::Receiver<Running>, mut operation: impl FnMut() -> F) -> Instant
where
    F: Future<Output = ()> + Send + 'static,
{
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX as usize));
    let start = Instant::now();
    let mut begun = 0_u64;
    let mut ticker = tokio::time::interval(TICK);
    while *running.borrow() == Running::Yes {
        ticker.tick().await;
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while begun < due {
            begun += 1;
            // Full: the operation is passed over. See the constant.
            let Ok(permit) = under_way.clone().try_acquire_owned() else { continue };
            let operation = operation();
            tokio::spawn(async move {
                operation.await;
                drop(permit);
            });
        }
    }
    let ended_at = Instant::now();
    // The operations count what they meet; an answer that never comes is for the reading back to judge.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, under_way.acquire_many(UNDER_WAY_MAX)).await;
    ended_at
}
