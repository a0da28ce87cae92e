//! A primary that answers nobody any more is replaced, whether its process hangs or its machine is gone.

use crate::PRODUCT;
use ironcache_api::{ClusterStatus, DataRole};
use ironcache_tests::{Cluster, Load, Signal, Spec, until};
use ironcache_types::{NodeId, ShardId};

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
const SHARD: ShardId = ShardId(0);

/// Of quiet machines: a lease is 900 ms.
fn spec() -> Spec {
    let timers = [("heartbeat-ms", 50), ("election-min-ms", 150), ("election-max-ms", 300)];
    let mut spec = Spec::new(PRODUCT, 1, 1).in_sync().with(&timers).with(&[("hang-timeout-ms", 60_000)]);
    spec.witnesses = 1;
    spec
}

fn owned_by(node: NodeId) -> impl Fn(&ClusterStatus) -> Option<()> {
    move |status| (status.control.shards[&SHARD].primary()?.node == node).then_some(())
}

async fn connection(cluster: &Cluster, index: usize) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(format!("redis://{}/", cluster.nodes[index].client_addr()));
    client.expect("an address").get_multiplexed_async_connection().await.expect("it accepts clients")
}

async fn follows(cluster: &Cluster, index: usize) {
    until("the old primary is a replica in sync", async || {
        let data = cluster.status(index).await?.data;
        (data.role == DataRole::Replica && data.in_sync).then_some(())
    })
    .await;
}

/// The log goes on calling it the primary, and it wakes up believing so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_deposed_once_its_lease_is_over_and_wakes_up_as_a_replica() {
    let cluster = Cluster::start(&spec()).await;
    let ids = cluster.ids().await;
    let load = Load::start_plain(&cluster).await;
    load.until_more(100).await;
    let epoch = cluster.cluster().await.expect("the cluster answers").control.shards[&SHARD].epoch;
    let daemon = cluster.nodes[PRIMARY].signal_daemon(Signal::STOP).expect("the daemon runs");
    cluster.until_cluster("the replica owns the shard", owned_by(ids[REPLICA])).await;
    // Who comes anew is served; the others hang on a connection to the one that sleeps.
    let mut client = connection(&cluster, REPLICA).await;
    let set = redis::cmd("SET").arg("written-meanwhile").arg("1").query_async::<()>(&mut client).await;
    assert_eq!(set, Ok(()));
    cluster.nodes[PRIMARY].signal_daemon(Signal::CONT);
    load.until_more(100).await;
    let get = redis::cmd("GET").arg("written-meanwhile").query_async::<String>(&mut client).await;
    assert_eq!(get.as_deref(), Ok("1"));
    follows(&cluster, PRIMARY).await;
    assert_eq!(cluster.nodes[PRIMARY].daemon_pid(), Some(daemon), "nobody killed it");
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_nothing_lost();
    let after = cluster.cluster().await.expect("the cluster answers").control.shards[&SHARD].epoch;
    assert!(after > epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_gone_loses_its_shard_to_its_replica() {
    let mut cluster = Cluster::start(&spec()).await;
    let ids = cluster.ids().await;
    let load = Load::start_plain(&cluster).await;
    load.until_more(100).await;
    cluster.nodes[PRIMARY].signal_launcher(Signal::KILL);
    cluster.nodes[PRIMARY].ended();
    cluster.until_cluster("the replica owns the shard", owned_by(ids[REPLICA])).await;
    load.until_more(100).await;
    cluster.nodes[PRIMARY].start_again();
    follows(&cluster, PRIMARY).await;
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_nothing_lost();
}

/// Without a quorum nobody can tell whether another primary serves: so this one does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_without_a_majority_answers_no_client_and_goes_on_when_it_has_one() {
    let mut cluster = Cluster::start(&spec()).await;
    let load = Load::start_plain(&cluster).await;
    load.until_more(50).await;
    let witness = cluster.nodes.len() - 1;
    for gone in [REPLICA, witness] {
        cluster.nodes[gone].signal_launcher(Signal::KILL);
        cluster.nodes[gone].ended();
    }
    until("the primary is not ready", async || {
        let answer = reqwest::get(format!("http://{}/readyz", cluster.nodes[PRIMARY].http_addr())).await;
        (answer.ok()?.status() == 503).then_some(())
    })
    .await;
    let before = load.acknowledged();
    let mut client = connection(&cluster, PRIMARY).await;
    let read = redis::cmd("GET").arg("some-key").query_async::<Option<String>>(&mut client).await;
    assert!(read.is_err(), "it may be stale: {read:?}");
    assert_eq!(load.acknowledged(), before);
    for back in [REPLICA, witness] {
        cluster.nodes[back].start_again();
    }
    load.until_more(50).await;
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_nothing_lost();
}
