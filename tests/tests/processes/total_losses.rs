//! Shards that lose every member of their in-sync set: they serve again, with what is left.

use crate::PRODUCT;
use ironcache_api::{Losses, RecoveredBy};
use ironcache_tests::{Cluster, Signal, Spec, until};
use ironcache_types::ShardId;
use redis::aio::MultiplexedConnection;

const SHARD: ShardId = ShardId(0);
const KEYS: u64 = 1_000;

pub(crate) async fn connection(cluster: &Cluster, index: usize) -> MultiplexedConnection {
    let url = format!("redis://{}/", cluster.nodes[index].client_addr());
    until("the node takes a connection", async || {
        redis::Client::open(url.clone()).ok()?.get_multiplexed_async_connection().await.ok()
    })
    .await
}

async fn write(client: &mut MultiplexedConnection) {
    for n in 0..KEYS {
        let set = redis::cmd("SET").arg(format!("key:{n}")).arg(n).query_async::<()>(client).await;
        set.expect("the shard is served");
    }
}

/// Until the node executes a write, whatever it answered before.
pub(crate) async fn until_written(cluster: &Cluster, index: usize) -> MultiplexedConnection {
    until("the shard takes writes", async || {
        let mut client = connection(cluster, index).await;
        let set = redis::cmd("SET").arg("written-after").arg(1).query_async::<()>(&mut client).await;
        set.ok().map(|()| client)
    })
    .await
}

/// Once the shard has gone on with less for so many times.
pub(crate) async fn losses(cluster: &Cluster, recoveries: u64) -> Losses {
    cluster
        .until_cluster("the loss is in the log", |status| {
            let losses = &status.control.shards[&SHARD].losses;
            (losses.recoveries >= recoveries).then(|| losses.clone())
        })
        .await
}

/// The machines of all nodes lose power at once, and are back.
pub(crate) fn kill_all(cluster: &mut Cluster) {
    // A daemon whose launcher goes first stops in order.
    for (signal, daemon) in [(Signal::STOP, None), (Signal::KILL, Some(Signal::KILL))] {
        for node in &cluster.nodes {
            daemon.map(|signal| node.signal_daemon(signal));
            node.signal_launcher(signal);
        }
    }
    for node in &mut cluster.nodes {
        node.ended();
        node.start_again();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_of_which_every_process_was_killed_serves_again_by_itself() {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    write(&mut connection(&cluster, 0).await).await;
    for round in 1..=2 {
        kill_all(&mut cluster);
        let known = losses(&cluster, round).await;
        assert_eq!(known.recoveries, round, "{known:?}");
        assert_eq!(known.newest.last().map(|recovery| &recovery.by), Some(&RecoveredBy::Policy));
        cluster.until_whole().await;
        let owner = cluster.until_cluster("it is served", |s| s.control.shards[&SHARD].primary()).await;
        let owner = cluster.index_of(owner.node).await;
        let mut client = until_written(&cluster, owner).await;
        let info = redis::cmd("INFO").arg("persistence").query_async::<String>(&mut client).await.unwrap();
        assert!(info.contains(&format!("shard_recoveries:{round}\r\n")), "{info}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_whose_daemon_is_killed_serves_again() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0)).await;
    write(&mut connection(&cluster, 0).await).await;
    cluster.nodes[0].signal_daemon(Signal::KILL).expect("the daemon runs");
    losses(&cluster, 1).await;
    until_written(&cluster, 0).await;
}

/// The replica's machine is lost a moment before the others are stopped in order: it is a member of the set for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_owner_of_a_stopped_cluster_has_every_key_although_its_replica_never_returns() {
    let mut spec = Spec::new(PRODUCT, 1, 1).setting("isr-timeout-ms", "600000");
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    write(&mut connection(&cluster, 0).await).await;
    cluster.nodes[1].signal_launcher(Signal::KILL);
    cluster.nodes[1].ended();
    for index in [0, 2] {
        assert!(cluster.nodes[index].stop().success(), "node {index}");
    }
    for index in [2, 0] {
        cluster.nodes[index].start_again();
    }
    let mut client = until_written(&cluster, 0).await;
    assert_eq!(losses(&cluster, 0).await, Losses::default(), "nothing is lost");
    let keys = redis::cmd("DBSIZE").query_async::<u64>(&mut client).await.unwrap();
    assert_eq!(keys, KEYS + 1);
    let last = format!("key:{}", KEYS - 1);
    assert_eq!(redis::cmd("GET").arg(last).query_async::<u64>(&mut client).await.unwrap(), KEYS - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_wants_to_be_asked_accepts_the_loss() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0).setting("on-total-loss", "wait")).await;
    write(&mut connection(&cluster, 0).await).await;
    let refused = cluster.cli(&["cluster", "recover", "--shard", "0", "--accept-loss", "--json"]);
    assert_eq!(refused.status.code(), Some(3), "it is served: {refused:?}");
    cluster.nodes[0].signal_daemon(Signal::KILL).expect("the daemon runs");
    let told = until("the node says what would be lost", async || {
        let told = cluster.cli(&["cluster", "recover", "--shard", "0", "--json"]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        (told.status.code() == Some(3) && text.contains("loss_not_accepted")).then_some(text)
    })
    .await;
    assert!(told.contains("--accept-loss"), "{told}");
    let status = until("the node leads", async || cluster.cluster().await).await;
    assert_eq!(status.control.shards[&SHARD].primary(), None, "nothing was done");
    let done = cluster.cli(&["cluster", "recover", "--shard", "0", "--accept-loss"]);
    assert!(done.status.success(), "{done:?}");
    let known = losses(&cluster, 1).await;
    assert_eq!(known.newest.iter().map(|r| r.by.clone()).collect::<Vec<_>>(), [RecoveredBy::Operator]);
    until_written(&cluster, 0).await;
}
