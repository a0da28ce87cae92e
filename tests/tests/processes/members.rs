//! Who leaves the in-sync set, and who does not: size takes nobody out, time does, and soon.

use crate::PRODUCT;
use ironcache_api::ClusterStatus;
use ironcache_tests::{Cluster, Load, Signal, Spec, until};
use ironcache_types::{Epoch, Member, ShardId};
use redis::aio::MultiplexedConnection;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
const SHARD: ShardId = ShardId(0);
/// A debug build moves a hundred megabytes on a machine that others use too.
const ANSWER_MAX: Duration = Duration::from_secs(60);

fn set(status: &ClusterStatus) -> (Epoch, BTreeSet<Member>) {
    let shard = &status.control.shards[&SHARD];
    (shard.isr_epoch, shard.in_sync.clone())
}

async fn client(cluster: &Cluster, index: usize) -> MultiplexedConnection {
    let url = format!("redis://{}/", cluster.nodes[index].client_addr());
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_MAX));
    let client = redis::Client::open(url).expect("an address");
    client.get_multiplexed_async_connection_with_config(&config).await.expect("the node takes clients")
}

async fn write(client: &mut MultiplexedConnection, key: &str, bytes: usize) {
    let value = "x".repeat(bytes);
    redis::cmd("SET").arg(key).arg(value).query_async::<()>(client).await.expect("the write is acknowledged");
}

async fn length(client: &mut MultiplexedConnection, key: &str) -> usize {
    redis::cmd("STRLEN").arg(key).query_async(client).await.expect("the key is read")
}

/// Kills the primary, and answers a client of the replica, which then owns the shard.
async fn fail_over(cluster: &Cluster) -> MultiplexedConnection {
    let replica = cluster.ids().await[REPLICA];
    cluster.nodes[PRIMARY].signal_daemon(Signal::KILL).expect("the daemon runs");
    cluster
        .until_cluster("the replica owns the shard", |status| {
            let owner = status.control.shards[&SHARD].primary()?;
            (owner.node == replica).then_some(())
        })
        .await;
    client(cluster, REPLICA).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_above_the_lag_leave_the_set_as_it_is_and_outlive_their_primary() {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let mut primary = client(&cluster, PRIMARY).await;
    for n in 0..100 {
        write(&mut primary, &format!("small:{n}"), 10).await;
    }
    let before = set(&cluster.cluster().await.expect("the cluster answers"));
    for n in 0..10 {
        write(&mut primary, &format!("large:{n}"), 1_200_000).await;
    }
    let after = cluster.until_cluster("somebody answers", |status| Some(set(status))).await;
    assert_eq!(after, before, "nobody left the set, not even for a moment");

    // Each reply waited for the replica, and what came before it is there as well.
    let mut next = fail_over(&cluster).await;
    for n in 0..10 {
        assert_eq!(length(&mut next, &format!("large:{n}")).await, 1_200_000);
    }
    for n in 0..100 {
        assert_eq!(length(&mut next, &format!("small:{n}")).await, 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_above_the_backlog_costs_no_replica_its_place() {
    let mut spec = Spec::new(PRODUCT, 1, 1).in_sync();
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let mut primary = client(&cluster, PRIMARY).await;
    write(&mut primary, "before", 10).await;
    let before = set(&cluster.cluster().await.expect("the cluster answers"));
    let syncs = |info: String| info.lines().find(|line| line.starts_with("sync_full:")).map(str::to_owned);
    let info = redis::cmd("INFO").arg("stats").to_owned();
    let full_syncs = syncs(info.query_async(&mut primary).await.expect("INFO is answered"));
    assert!(full_syncs.is_some());

    write(&mut primary, "large", 100 << 20).await;
    write(&mut primary, "after", 10).await;
    assert_eq!(syncs(info.query_async(&mut primary).await.expect("INFO is answered")), full_syncs);
    let after = cluster.until_cluster("somebody answers", |status| Some(set(status))).await;
    assert_eq!(after, before, "nobody left the set, not even for a moment");

    let mut next = fail_over(&cluster).await;
    assert_eq!(length(&mut next, "large").await, 100 << 20);
    assert_eq!((length(&mut next, "before").await, length(&mut next, "after").await), (10, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_replica_holds_writes_only_briefly_and_comes_back_into_the_set() {
    /// Longer than any pause on a machine that merely stutters.
    const FREEZE: Duration = Duration::from_secs(2);
    /// By the timeout itself writes would be held this long.
    const TIMEOUT_MS: u64 = 4_000;
    let mut spec = Spec::new(PRODUCT, 1, 1)
        .in_sync()
        .with(&[("hang-timeout-ms", 60_000)])
        .setting("isr-timeout-ms", "4000");
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let load = Load::start(&cluster).await;
    let mut held = Vec::new();
    // Again and again: freezes teach the primary nothing.
    for _ in 0..3 {
        let mut primary = client(&cluster, PRIMARY).await;
        cluster.nodes[REPLICA].signal_daemon(Signal::STOP).expect("the daemon runs");
        let began = Instant::now();
        write(&mut primary, "while it is frozen", 10).await;
        held.push(began.elapsed());
        until("the frozen replica is out of the set", async || {
            let (_, members) = set(&cluster.cluster().await?);
            (members.len() == 1).then_some(())
        })
        .await;
        tokio::time::sleep(FREEZE.saturating_sub(began.elapsed())).await;
        cluster.nodes[REPLICA].signal_daemon(Signal::CONT).expect("the daemon is there");
        cluster.until_whole().await;
    }
    eprintln!("writes were held for {held:?}");
    // A tenth of the timeout, and what this machine stutters.
    let bound = Duration::from_millis(TIMEOUT_MS / 2);
    assert!(held.iter().all(|held| *held < bound), "{held:?}");
    load.finish(&cluster).await.assert_unseen();
}
