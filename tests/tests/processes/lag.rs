//! A replica that does not keep up is not promoted.

use crate::PRODUCT;
use crate::rolls::{assert_all_run, assert_order};
use ironcache_api::{Outcome, WaitingOn};
use ironcache_tests::{Cluster, Load, Signal, Spec};
use ironcache_types::ShardId;

const REPLICA: usize = 1;
const TARGET: &str = ironcache_tests::NEXT;
const SHARD: ShardId = ShardId(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_halted_is_not_promoted_and_the_plan_says_what_it_waits_for() {
    let mut spec =
        Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]).setting("isr-timeout-ms", "1000");
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let ids = cluster.ids().await;
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    // Longer than a silent member stays in the set: no handover begins before it has left.
    let plan = cluster.set_target(TARGET, Some(5_000)).await;
    let replica = ids[REPLICA];
    cluster
        .until_cluster("the replica runs the target and is in sync", |status| {
            let node = &status.control.nodes[&replica];
            let joined = node.out.is_none() && node.release.version.to_string() == TARGET;
            (joined && status.control.shards[&SHARD].in_sync.contains(&node.member())).then_some(())
        })
        .await;
    cluster.nodes[REPLICA].signal_daemon(Signal::STOP);

    cluster
        .until_cluster("the silent member is out of the set", |status| {
            let shard = &status.control.shards[&SHARD];
            (shard.in_sync.len() == 1).then_some(())
        })
        .await;
    load.until_more(100).await;
    let max_ms = cluster
        .until_upgrade("the plan waits for the replica, with numbers", |status| {
            status.waiting_on.iter().find_map(|wait| match wait {
                WaitingOn::Unreachable { node, seen_ms_ago: Some(_), max_ms } if *node == replica => {
                    Some(*max_ms)
                }
                _ => None,
            })
        })
        .await;
    assert_eq!(max_ms, 3_000);
    let status = cluster.cluster().await.expect("the cluster answers");
    assert_eq!(status.control.shards[&SHARD].primary().map(|owner| owner.node), Some(ids[0]));
    assert!(status.control.plan.is_some_and(|plan| plan.handovers.is_empty()));

    cluster.nodes[REPLICA].signal_daemon(Signal::CONT);
    let (plan, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    assert_order(&plan);
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, TARGET).await;
}
