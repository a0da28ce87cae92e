//! Snapshots beside the running node: what all nodes come back with that lost power at once.

use crate::PRODUCT;
use crate::last_copies::{fill, keys, limit_files, why_not_ready};
use crate::total_losses::{connection, kill_all, losses, until_written};
use ironcache_api::Losses;
use ironcache_tests::{Cluster, Spec, until};
use redis::aio::MultiplexedConnection;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

const KEYS: u64 = 1_000;

async fn write(client: &mut MultiplexedConnection, from: u64, to: u64) {
    for n in from..to {
        let set = redis::cmd("SET").arg(format!("key:{n}")).arg(n).query_async::<()>(client).await;
        set.expect("the shard is served");
    }
}

async fn persistence(cluster: &Cluster, index: usize) -> String {
    let mut client = connection(cluster, index).await;
    redis::cmd("INFO").arg("persistence").query_async(&mut client).await.expect("it is answered")
}

/// Until the node has written a snapshot of so many keys.
async fn until_snapshot(cluster: &Cluster, index: usize, keys: u64) {
    until("a snapshot is written", async || {
        let log = cluster.nodes[index].log_text();
        log.lines()
            .any(|l| l.contains("snapshot written") && l.contains(&format!("keys={keys} ")))
            .then_some(())
    })
    .await;
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_loss_of_power_a_shard_goes_on_with_its_snapshots_and_says_how_old_they_are() {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("snapshot-interval-s", 1)]);
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    let began_ms = unix_ms();
    let mut client = connection(&cluster, 0).await;
    write(&mut client, 0, KEYS).await;
    for index in [0, 1] {
        until_snapshot(&cluster, index, KEYS).await;
    }
    // Load, of which the next snapshots hold a part: power is lost at any moment of them.
    let load = tokio::spawn(async move {
        for n in KEYS.. {
            if redis::cmd("SET").arg(format!("key:{n}")).arg(n).query_async::<()>(&mut client).await.is_err()
            {
                break;
            }
        }
    });
    let more = async || keys(&cluster, 0).await > KEYS as usize + 2_000;
    until("the load is under way", async || more().await.then_some(())).await;
    kill_all(&mut cluster);
    let killed_ms = unix_ms();
    load.await.expect("it ends with its connection");
    let known = losses(&cluster, 1).await;
    let as_of_ms = known.newest.last().and_then(|newest| newest.as_of_ms).expect("it is of a snapshot");
    assert!((began_ms..=killed_ms).contains(&as_of_ms), "{began_ms} {as_of_ms} {killed_ms}");
    cluster.until_whole().await;
    let owner = cluster
        .until_cluster("it is served", |s| {
            s.control.shards.values().next().and_then(ironcache_api::Shard::primary)
        })
        .await;
    let owner = cluster.index_of(owner.node).await;
    let mut client = until_written(&cluster, owner).await;
    for n in 0..KEYS {
        let found = redis::cmd("GET").arg(format!("key:{n}")).query_async::<Option<u64>>(&mut client).await;
        assert_eq!(found.expect("it is served"), Some(n));
    }
    let info = persistence(&cluster, owner).await;
    assert!(info.contains(&format!("shard_recovered_as_of:{}\r\n", as_of_ms / 1000)), "{info}");
    let status = cluster.cli(&["cluster", "status"]);
    let status = String::from_utf8_lossy(&status.stdout);
    assert!(status.contains("the last time with a copy that was"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_the_older_snapshot_and_a_node_that_serves_and_says_so() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0).with(&[("snapshot-interval-s", 1)])).await;
    fill(&cluster, 20).await;
    until_snapshot(&cluster, 0, 20).await;
    let (path, tmp) =
        (cluster.nodes[0].data_dir.join("snapshot"), cluster.nodes[0].data_dir.join("snapshot.tmp"));
    let before = fs::metadata(&path).expect("it is there");
    let daemon = cluster.nodes[0].daemon_pid().expect("it runs");
    limit_files(daemon, Some(8 << 20));
    let mut client = connection(&cluster, 0).await;
    write(&mut client, 0, 10).await;
    until("it says that it cannot", async || {
        persistence(&cluster, 0).await.contains("rdb_last_bgsave_status:err").then_some(())
    })
    .await;
    write(&mut client, 10, 20).await;
    assert_eq!(why_not_ready(&cluster, 0).await, None, "it serves, and so it is ready");
    let after = fs::metadata(&path).expect("it is there still");
    assert_eq!((after.len(), after.modified().ok()), (before.len(), before.modified().ok()));
    limit_files(daemon, None);
    until_snapshot(&cluster, 0, 40).await;
    until("it says that it can", async || {
        persistence(&cluster, 0).await.contains("rdb_last_bgsave_status:ok").then_some(())
    })
    .await;
    assert!(!tmp.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_loses_nothing_that_came_after_the_snapshot() {
    let mut cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0).with(&[("snapshot-interval-s", 1)])).await;
    let mut client = connection(&cluster, 0).await;
    write(&mut client, 0, 10).await;
    until_snapshot(&cluster, 0, 10).await;
    write(&mut client, 10, KEYS).await;
    assert!(cluster.nodes[0].stop().success());
    cluster.nodes[0].start_again();
    until_written(&cluster, 0).await;
    assert_eq!(losses(&cluster, 0).await, Losses::default(), "nothing is lost");
    assert_eq!(keys(&cluster, 0).await as u64, KEYS + 1);
}
