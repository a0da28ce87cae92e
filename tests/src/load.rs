//! A load through an unmodified cluster client, and its balance.
//!
//! *Invariant:* a write is in the ledger if and only if it was acknowledged; keys are unique, and a value
//! follows from its key.

use crate::cluster::Cluster;
use crate::node::Node;
use crate::plain::{Addrs, Plain};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncCommands, Cmd, FromRedisValue, RedisError, TlsCertificates};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Each writes, reads something of its own back, and waits a moment.
const WRITERS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(20);
/// Above the longest outage that a test makes on purpose; a loaded machine is no error of the cluster's.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
const READ_BACK_TRIES: u32 = 20;
const SAMPLES_MAX: usize = 5;

#[derive(Debug, Default)]
struct Ledger {
    writer: u64,
    acknowledged: Vec<u64>,
    errors: u64,
    wrong_reads: u64,
    samples: Vec<String>,
}

/// What became of the writes.
#[derive(Debug, Default)]
pub struct Balance {
    pub acknowledged: u64,
    pub lost: u64,
    pub wrong: u64,
    /// Operations that the client library gave back as failed.
    pub errors: u64,
    pub samples: Vec<String>,
}

impl Balance {
    /// # Panics
    /// If an acknowledged write is gone or was altered, or if there was none.
    pub fn assert_nothing_lost(&self) {
        assert!(self.acknowledged > 0, "nothing was acknowledged: {self:?}");
        assert_eq!((self.lost, self.wrong), (0, 0), "{self:?}");
    }

    /// # Panics
    /// As [`Balance::assert_nothing_lost`], and if a client saw an error.
    pub fn assert_unseen(&self) {
        self.assert_nothing_lost();
        assert_eq!(self.errors, 0, "{self:?}");
    }
}

/// What a writer writes with.
enum Writer {
    Cluster(ClusterConnection),
    Plain(Plain),
}

impl Writer {
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Writer::Cluster(connection) => command.query_async(connection).await,
            Writer::Plain(plain) => plain.ask(command).await,
        }
    }
}

pub struct Load {
    acknowledged: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    writers: JoinSet<Ledger>,
    /// What the plain clients ask when the one they knew does not answer.
    addrs: Addrs,
}

impl Load {
    pub async fn start(cluster: &Cluster) -> Self {
        Self::start_by(client(cluster)).await
    }

    /// [`Load::start`] with clients that come by TLS, and are shown the certificates of `ca`.
    pub async fn start_tls(cluster: &Cluster, ca: Vec<u8>) -> Self {
        let urls =
            cluster.nodes.iter().map(|node: &Node| format!("rediss://127.0.0.1:{}/", node.ports.tls()));
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca) };
        let builder = ClusterClient::builder(urls).certs(certificates);
        let builder = builder.response_timeout(RESPONSE_TIMEOUT).connection_timeout(Duration::from_secs(5));
        Self::start_by(builder.build().expect("addresses of ours make a client")).await
    }

    async fn start_by(client: ClusterClient) -> Self {
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            let connection = client.get_async_connection().await.expect("a cluster client can connect");
            writers.push(Writer::Cluster(connection));
        }
        Self::start_with(writers).await
    }

    /// [`Load::start`] with clients that follow `MOVED` and nothing else: see the module `plain`.
    pub async fn start_plain(cluster: &Cluster) -> Self {
        let addrs = Addrs::new(cluster.nodes.iter().map(Node::client_addr).collect::<Vec<_>>().into());
        let writer = |_| Writer::Plain(Plain::new(addrs.clone(), RESPONSE_TIMEOUT));
        let writers = (0..WRITERS).map(writer).collect();
        Self { addrs: addrs.clone(), ..Self::start_with(writers).await }
    }

    /// Tells the plain clients where a node is now, as the map of a cluster client would.
    pub fn is_at(&self, addr: String) {
        self.addrs.lock().expect("nothing panics while it holds it").push(addr);
    }

    async fn start_with(writers: Vec<Writer>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for (number, writer) in (0..).zip(writers) {
            tasks.spawn(write(number, writer, acknowledged.clone(), stopped.clone()));
        }
        let load = Self { acknowledged, stop, writers: tasks, addrs: Addrs::default() };
        load.until_more(10 * WRITERS).await;
        load
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits for `count` further writes to be acknowledged.
    pub async fn until_more(&self, count: u64) {
        let wanted = self.acknowledged() + count;
        crate::until("writes are acknowledged", async || (self.acknowledged() >= wanted).then_some(())).await;
    }

    /// Stops writing, and reads everything back.
    pub async fn finish(mut self, cluster: &Cluster) -> Balance {
        self.stop.send_replace(true);
        let mut balance = Balance::default();
        let mut connection =
            client(cluster).get_async_connection().await.expect("a cluster client can connect");
        while let Some(ledger) = self.writers.join_next().await {
            let ledger = ledger.expect("a writer does not panic");
            balance.acknowledged += ledger.acknowledged.len() as u64;
            balance.errors += ledger.errors;
            balance.wrong += ledger.wrong_reads;
            balance.samples.extend(ledger.samples);
            for sequence in ledger.acknowledged {
                let key = key(ledger.writer, sequence);
                match read_back(&mut connection, &key).await {
                    None => balance.lost += 1,
                    Some(value) if value == value_of(&key) => {}
                    Some(_) => balance.wrong += 1,
                }
            }
        }
        balance
    }
}

fn client(cluster: &Cluster) -> ClusterClient {
    let urls = cluster.nodes.iter().map(|node: &Node| format!("redis://{}/", node.client_addr()));
    let builder = ClusterClient::builder(urls);
    let builder = builder.response_timeout(RESPONSE_TIMEOUT).connection_timeout(Duration::from_secs(5));
    builder.build().expect("addresses of ours make a client")
}

async fn write(
    writer: u64,
    mut client: Writer,
    count: Arc<AtomicU64>,
    stopped: watch::Receiver<bool>,
) -> Ledger {
    let mut ledger = Ledger { writer, ..Ledger::default() };
    let mut sequence = 0;
    while !*stopped.borrow() {
        let own = key(writer, sequence);
        match client.ask::<()>(redis::cmd("SET").arg(&own).arg(value_of(&own))).await {
            Ok(()) => {
                ledger.acknowledged.push(sequence);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => ledger.error(format!("SET {own}: {error}")),
        }
        sequence += 1;
        let earlier = ledger.acknowledged.get((sequence as usize * 7) % ledger.acknowledged.len().max(1));
        if let Some(earlier) = earlier.map(|sequence| key(writer, *sequence)) {
            match client.ask::<Option<String>>(redis::cmd("GET").arg(&earlier)).await {
                Ok(Some(value)) if value == value_of(&earlier) => {}
                Ok(other) => {
                    ledger.wrong_reads += 1;
                    ledger.sample(format!("GET {earlier} during the load: {other:?}"));
                }
                Err(error) => ledger.error(format!("GET {earlier}: {error}")),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    ledger
}

impl Ledger {
    fn error(&mut self, what: String) {
        self.errors += 1;
        self.sample(what);
    }

    fn sample(&mut self, what: String) {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(what);
        }
    }
}

/// An error while reading back is no loss: the key is asked for again.
async fn read_back(connection: &mut ClusterConnection, key: &str) -> Option<String> {
    let mut last = None;
    for _ in 0..READ_BACK_TRIES {
        match connection.get(key).await {
            Ok(value) => return value,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("{key} cannot be read back: {last:?}");
}

fn key(writer: u64, sequence: u64) -> String {
    format!("w:{writer}:{sequence}")
}

fn value_of(key: &str) -> String {
    format!("the value of {key}")
}
