//! One replica a shard: while it is out for its step, a keeper holds what only the primary has besides.

use crate::PRODUCT;
use crate::rolls::{assert_all_run, assert_order};
use ironcache_api::{ClusterStatus, HoldReason, Outcome, Phase};
use ironcache_tests::{Cluster, Load, Signal, Spec, until, until_just};
use ironcache_types::{Digest, NodeId, PlanId, ShardId};

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
const SHARD: ShardId = ShardId(0);
const TARGET: &str = ironcache_tests::NEXT;
/// A daemon that a test halts is not to be taken for one that hangs.
const HALTED_MS: u64 = 120_000;

fn spec(witnesses: u16) -> Spec {
    let mut spec =
        Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", HALTED_MS), ("ready-timeout-ms", HALTED_MS)]);
    spec.witnesses = witnesses;
    spec
}

/// The keeper that the log records, and that counts.
fn keeper(status: &ClusterStatus) -> Option<NodeId> {
    status.control.shards[&SHARD].keeper.as_ref().map(|keeper| keeper.member.node)
}

fn kept_files(cluster: &Cluster, index: usize) -> usize {
    std::fs::read_dir(cluster.nodes[index].data_dir.join("keeper")).map_or(0, Iterator::count)
}

/// Begins a roll, and halts the replica's new daemon as soon as it runs, so that it stays out: its pid.
async fn hold_the_replica_out(cluster: &Cluster, target: Digest) -> PlanId {
    let plan = cluster.set_target(TARGET, None).await;
    until_just("the replica's new daemon runs", async || {
        let node = &cluster.nodes[REPLICA];
        if !node.runs(&target) {
            return None;
        }
        node.signal_daemon(Signal::STOP).map(drop)
    })
    .await;
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_with_one_replica_has_a_keeper_and_nothing_of_it_is_left_after() {
    let cluster = Cluster::start(&spec(1)).await;
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    let plan = cluster.set_target(TARGET, None).await;
    let kept = cluster.until_cluster("a keeper is recorded", keeper).await;
    let witness = cluster.index_of(kept).await;
    assert!(![PRIMARY, REPLICA].contains(&witness), "node {kept} is of the shard");
    let (ended, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    assert_order(&ended);
    load.until_more(50).await;
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, TARGET).await;
    cluster.until_cluster("no keeper is left", |status| keeper(status).is_none().then_some(())).await;
    assert!(cluster.nodes[witness].log_text().contains("keeping the tail"), "it kept something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_for_good_while_its_replica_is_out_loses_nothing() {
    let mut cluster = Cluster::start(&spec(1)).await;
    let ids = cluster.ids().await;
    // Clients that ask the others when the node that they knew is gone for good.
    let load = Load::start_plain(&cluster).await;
    let target = cluster.stage(TARGET).await.release.digest;
    hold_the_replica_out(&cluster, target).await;
    // These are with the primary and the keeper, and nowhere else.
    load.until_more(200).await;
    let witness = 2;
    assert_eq!(kept_files(&cluster, witness), 1);
    cluster.nodes[PRIMARY].signal_launcher(Signal::KILL);
    cluster.nodes[PRIMARY].ended();
    cluster.nodes[REPLICA].signal_daemon(Signal::CONT).expect("the daemon was halted");
    cluster
        .until_cluster("the replica owns the shard", |status| {
            let owner = status.control.shards[&SHARD].primary()?;
            (owner.node == ids[REPLICA]).then_some(())
        })
        .await;
    load.until_more(50).await;
    let losses = cluster.cluster().await.expect("it answers").control.shards[&SHARD].losses.recoveries;
    assert_eq!(losses, 0, "a recovery through a keeper is none with a loss");
    load.finish(&cluster).await.assert_nothing_lost();
    assert!(
        cluster.nodes[witness].log_text().contains("is sent what was kept"),
        "that is where it came from"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_dies_exposes_the_shard_until_another_one_keeps() {
    let mut cluster = Cluster::start(&spec(3)).await;
    let load = Load::start(&cluster).await;
    let target = cluster.stage(TARGET).await.release.digest;
    let plan = hold_the_replica_out(&cluster, target).await;
    let first = cluster.until_cluster("a keeper is recorded", keeper).await;
    let first_index = cluster.index_of(first).await;
    cluster.nodes[first_index].signal_launcher(Signal::KILL);
    cluster.nodes[first_index].ended();
    cluster
        .until_plan("the plan is held: the shard was exposed", |plan| {
            let is_exposed = |reason: &HoldReason| matches!(reason, HoldReason::Exposed { shard: SHARD });
            matches!(&plan.phase, Phase::Held { reason } if is_exposed(reason)).then_some(())
        })
        .await;
    load.until_more(20).await;
    let second = cluster
        .until_cluster("another node keeps", |status| {
            let is_exposed = status.control.shards[&SHARD].exposed;
            keeper(status).filter(|node| *node != first && !is_exposed)
        })
        .await;
    load.until_more(20).await;
    assert_ne!(second, first);
    cluster.nodes[first_index].start_again();
    cluster.until_answers(first_index).await;
    cluster.nodes[REPLICA].signal_daemon(Signal::CONT).expect("the daemon was halted");
    let resumed = until("the plan goes on", async || {
        let output = cluster.cli(&["cluster", "upgrade", "resume"]);
        output.status.success().then_some(output)
    });
    resumed.await;
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Finalized);
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_nothing_lost();
    assert_all_run(&cluster, TARGET).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_whose_process_dies_goes_on_with_its_file() {
    let cluster = Cluster::start(&spec(1)).await;
    let load = Load::start(&cluster).await;
    let target = cluster.stage(TARGET).await.release.digest;
    let plan = hold_the_replica_out(&cluster, target).await;
    let life = |status: &ClusterStatus| {
        let keeper = status.control.shards[&SHARD].keeper.as_ref()?;
        Some((keeper.member, keeper.from))
    };
    let (first, from) = cluster.until_cluster("a keeper is recorded", life).await;
    load.until_more(50).await;
    let witness = cluster.index_of(first.node).await;
    // The replica is halted: of three voters two are needed for every entry.
    cluster.nodes[witness].signal_daemon(Signal::KILL).expect("the daemon runs");
    let (_, again) = cluster
        .until_cluster("its next life is recorded", |status| life(status).filter(|(life, _)| *life != first))
        .await;
    assert_eq!(again, from, "the tail begins where it began");
    load.until_more(50).await;
    cluster.nodes[REPLICA].signal_daemon(Signal::CONT).expect("the daemon was halted");
    let is_held = |status: &ironcache_api::UpgradeStatus| {
        let plan = status.plan.as_ref()?;
        matches!(plan.phase, Phase::Held { .. }).then_some(())
    };
    if cluster.upgrade().await.as_ref().and_then(is_held).is_some() {
        // It was dropped, and exposed the shard, before it was back.
        let output = cluster.cli(&["cluster", "upgrade", "resume"]);
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Finalized);
    load.finish(&cluster).await.assert_nothing_lost();
}
