//! A shard with a memory limit, while it is written to without end.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Spec, until};
use redis::{Client, Connection, RedisResult};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const LIMIT: u64 = 24 << 20;
const BACKLOG: u64 = 2 << 20;
const VALUE_BYTES: usize = 700;
/// Three times what fits.
const KEYS: u64 = 90_000;
const BATCH: u64 = 200;
/// Batches that the new primary takes at least.
const AFTER: u64 = 50;
const GIVE_UP: Duration = Duration::from_secs(120);

/// Writes to whichever node takes it.
struct Writer {
    addrs: Vec<String>,
    at: usize,
    connection: Option<Connection>,
}

impl Writer {
    fn new(addrs: Vec<String>) -> Self {
        Writer { addrs, at: 0, connection: None }
    }

    fn write(&mut self, batch: u64) {
        let give_up = Instant::now() + GIVE_UP;
        while let Err(error) = self.try_once(batch) {
            assert!(Instant::now() < give_up, "nobody takes writes: {error}");
            // The other one may be primary by now.
            (self.at, self.connection) = ((self.at + 1) % self.addrs.len(), None);
            std::thread::yield_now();
        }
    }

    fn try_once(&mut self, batch: u64) -> RedisResult<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.addrs[self.at])?),
        };
        let value = "v".repeat(VALUE_BYTES);
        // Of one slot a key, and a pipeline of them.
        let mut pipe = redis::pipe();
        for i in 0..BATCH {
            pipe.cmd("SET").arg(format!("key:{}", batch * BATCH + i)).arg(&value).ignore();
        }
        pipe.query(connection)
    }
}

fn connect(addr: &str) -> RedisResult<Connection> {
    let connection = Client::open(format!("redis://{addr}/"))?.get_connection_with_timeout(GIVE_UP)?;
    connection.set_read_timeout(Some(GIVE_UP))?;
    Ok(connection)
}

fn info(addr: &str) -> RedisResult<BTreeMap<String, String>> {
    let text: String = redis::cmd("INFO").query(&mut connect(addr)?)?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect())
}

/// Who has just become primary says nothing before it has a lease.
async fn asked(addr: &str) -> BTreeMap<String, String> {
    until("it answers", async || info(addr).ok()).await
}

fn number(info: &BTreeMap<String, String>, field: &str) -> u64 {
    let text = info.get(field).unwrap_or_else(|| panic!("INFO has {field}: {info:#?}"));
    text.parse().unwrap_or_else(|_| panic!("{field} is a number: {text}"))
}

/// Every key and what it holds, as this node has it.
fn dataset(addr: &str) -> RedisResult<BTreeMap<String, String>> {
    let mut connection = connect(addr)?;
    redis::cmd("READONLY").exec(&mut connection)?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection)?;
    let mut pipe = redis::pipe();
    for key in &keys {
        pipe.cmd("GET").arg(key);
    }
    let values: Vec<Option<String>> = pipe.query(&mut connection)?;
    Ok(keys.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?))).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_stays_within_its_limit_and_hands_over_while_keys_go() {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("maxmemory", LIMIT), ("backlog-bytes", BACKLOG)]);
    spec.flags.push("--maxmemory-policy=allkeys-lru".to_owned());
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    cluster.until_whole().await;
    let addrs: Vec<String> = cluster.nodes[..2].iter().map(ironcache_tests::Node::client_addr).collect();
    let idle = number(&asked(&addrs[0]).await, "used_memory_rss");

    let begin = Writer::new(addrs.clone());
    let half = KEYS / BATCH / 2;
    let write = |mut writer: Writer, batches: std::ops::Range<u64>| {
        tokio::task::spawn_blocking(move || {
            batches.for_each(|batch| writer.write(batch));
            writer
        })
    };
    let writer = write(begin, 0..half).await.expect("it writes");
    let full = asked(&addrs[writer.at]).await;
    assert!(number(&full, "evicted_keys") > 1_000, "{full:#?}");
    // Keys go while this node hands over, and when the other one has taken over.
    let going = tokio::task::spawn_blocking(move || {
        let (mut writer, mut after) = (writer, 0);
        for batch in half.. {
            writer.write(batch);
            after += u64::from(writer.at == 1);
            if batch >= 2 * half && after >= AFTER {
                break;
            }
        }
        writer
    });
    assert!(cluster.nodes[0].stop().success());
    let writer = going.await.expect("it writes");
    assert_eq!(writer.at, 1, "the replica took over");
    cluster.nodes[0].start_again();
    let primary = asked(&addrs[1]).await;
    assert!(number(&primary, "evicted_keys") > 1_000, "{primary:#?}");
    let counted = number(&primary, "used_memory") - number(&primary, "mem_not_counted_for_evict");
    assert!(counted <= LIMIT + LIMIT / 50, "{counted} bytes are used, above {LIMIT}");
    let resident = number(&primary, "used_memory_rss");
    assert!(resident <= idle + BACKLOG + LIMIT + LIMIT / 2, "{resident} bytes are resident, and idle {idle}");

    let (at_primary, at_replica) = (addrs[1].clone(), addrs[0].clone());
    // The primary may have more to evict yet.
    let keys = until("the replica holds what the primary does", async || {
        let (whole, copy) = (dataset(&at_primary).ok()?, dataset(&at_replica).ok()?);
        (whole == copy).then_some(whole.len())
    })
    .await;
    assert!(keys > 10_000, "{keys} keys");
    let replica = asked(&at_replica).await;
    assert_eq!(number(&replica, "evicted_keys"), 0, "it evicts nothing itself");
}
