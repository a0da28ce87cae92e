//! Ordered stops (SIGTERM to the launcher) and starts again.

use crate::PRODUCT;
use ironcache_tests::{Cluster, Load, Spec, until};
use ironcache_types::{Member, NodeId, ShardId};
use std::time::{Duration, Instant};

const SHARD: ShardId = ShardId(0);
/// The race that this is about was lost once or twice in eight.
const BOUNCES: usize = 8;
/// A handover takes some tens of milliseconds. Far below the time that the node is kept away.
const OUTAGE_MAX: Duration = Duration::from_secs(10);

async fn primary(cluster: &Cluster) -> NodeId {
    cluster
        .until_cluster("the shard is served", |status| {
            status.control.shards[&SHARD].primary().map(|owner| owner.node)
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_stopped_in_order_hands_over_each_time_while_another_node_leads() {
    let mut cluster = Cluster::start(&Spec::new(PRODUCT, 1, 1).with_leading_witnesses(1)).await;
    cluster.let_a_witness_lead().await;
    let ids = cluster.ids().await;
    let load = Load::start_plain(&cluster).await;
    for bounce in 0..BOUNCES {
        let old = primary(&cluster).await;
        let stopped = ids.iter().position(|id| *id == old).expect("it is one of ours");
        let asked = Instant::now();
        assert!(cluster.nodes[stopped].stop().success(), "bounce {bounce}");

        // It has ended, and stays away until others serve in its place.
        let left = cluster.cluster().await.expect("the witness leads, and answers");
        let owner = left.control.shards[&SHARD].primary().map(|owner| owner.node);
        assert!(owner.is_some_and(|owner| owner != old), "bounce {bounce}: {:#?}", left.control.shards);
        load.until_more(20).await;
        let outage = asked.elapsed();
        assert!(outage < OUTAGE_MAX, "bounce {bounce}: writes went on after {outage:?}");
        cluster.nodes[stopped].start_again();
        let back = until("the new process answers", async || cluster.status(stopped).await).await;
        cluster
            .until_cluster("the new process is in sync", |status| {
                let member = Member { node: back.node, incarnation: back.incarnation };
                status.control.shards[&SHARD].in_sync.contains(&member).then_some(())
            })
            .await;
    }
    load.finish(&cluster).await.assert_unseen();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_stopped_is_shown_as_silent_and_not_as_it_was() {
    let mut spec = Spec::new(PRODUCT, 1, 0);
    spec.witnesses = 2;
    let mut cluster = Cluster::start(&spec).await;
    let id = cluster.ids().await[0].to_string();
    let states = |cluster: &Cluster| -> Vec<String> {
        let output = cluster.cli(&["cluster", "nodes"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.contains(&id)).map(str::to_owned).collect()
    };
    assert!(states(&cluster)[0].contains(" ok "), "{:?}", states(&cluster));
    assert!(cluster.nodes[0].stop().success());
    cluster.until_cluster("a witness leads", |status| (status.leader.to_string() != id).then_some(())).await;
    until("the node is shown as silent", async || states(&cluster)[0].contains(" silent ").then_some(()))
        .await;
}
