//! `kill -9` of the daemon of a node that is out for upgrade, and of a primary without a plan; SIGTERM of a primary
//! during a plan.

use crate::PRODUCT;
use crate::rolls::{assert_all_run, assert_order};
use ironcache_api::{ClusterStatus, DataRole, Outcome, WaitingOn};
use ironcache_tests::{Cluster, Load, Signal, Spec, until, until_just};
use ironcache_types::ShardId;
use std::time::{Duration, Instant};

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
/// The launcher restarts the daemon, the log takes the roles of its old life away, the leader promotes the replica,
/// and the clients find out. Half a second on a quiet machine; this one is shared and the build is not optimised.
const OUTAGE_MAX: Duration = Duration::from_secs(15);
const TARGET: &str = ironcache_tests::NEXT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_while_it_is_out_comes_back_and_the_roll_goes_on() {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]);
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let replica = cluster.ids().await[REPLICA];
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    cluster.nodes[REPLICA].signal_launcher(Signal::STOP);
    let plan = cluster.set_target(TARGET, None).await;
    let is_out = |status: &ClusterStatus| status.control.nodes[&replica].out.clone();
    let step = cluster.until_cluster("the replica is out", is_out).await;

    // Before the activation: the launcher, when it goes on, finds its daemon dead.
    let old = cluster.nodes[REPLICA].signal_daemon(Signal::KILL).expect("the daemon runs");
    cluster.nodes[REPLICA].signal_launcher(Signal::CONT);
    let of_target = |status: &ironcache_api::NodeStatus| status.release.version.to_string() == TARGET;
    let second = until_just("the new binary runs", async || {
        let status = cluster.status(REPLICA).await?;
        of_target(&status).then_some(status.pid)
    })
    .await;
    assert_ne!(second, old.as_raw_nonzero().get() as u32);

    // In trial.
    cluster.nodes[REPLICA].signal_daemon(Signal::KILL).expect("the daemon runs");
    let (ended, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    assert_order(&ended);
    assert_eq!(ended.steps.iter().find(|s| s.node == replica).map(|s| s.epoch), Some(step.epoch));
    load.until_more(50).await;
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, TARGET).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_stopped_during_a_plan_hands_over_first() {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    let ids = cluster.ids().await;
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    // The plan's own handover waits for longer than this test takes.
    let plan = cluster.set_target(TARGET, Some(3_600_000)).await;
    cluster
        .until_upgrade("only the primary's node is left, and waits", |status| {
            let settles = |wait: &WaitingOn| {
                matches!(wait, WaitingOn::Settling { shard: ShardId(0), node, .. } if *node == ids[REPLICA])
            };
            status.waiting_on.iter().any(settles).then_some(())
        })
        .await;
    cluster.nodes[PRIMARY].stop();
    let owner = |status: &ClusterStatus| status.control.shards[&ShardId(0)].primary().map(|owner| owner.node);
    let now = cluster.until_cluster("the others answer", owner).await;
    assert_eq!(now, ids[REPLICA], "it handed over while it could");
    load.until_more(100).await;
    cluster.nodes[PRIMARY].start_again();
    let (ended, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    assert_order(&ended);
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_nothing_lost();
    assert_all_run(&cluster, TARGET).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_whose_primary_is_killed_goes_on_with_its_replica() {
    let mut spec = Spec::new(PRODUCT, 1, 1).in_sync();
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let ids = cluster.ids().await;
    let load = Load::start(&cluster).await;
    load.until_more(100).await;
    cluster.nodes[PRIMARY].signal_daemon(Signal::KILL).expect("the daemon runs");
    let killed = Instant::now();
    cluster
        .until_cluster("the replica owns the shard", |status| {
            let owner = status.control.shards[&ShardId(0)].primary()?;
            (owner.node == ids[REPLICA]).then_some(())
        })
        .await;
    load.until_more(1).await;
    let outage = killed.elapsed();
    assert!(outage < OUTAGE_MAX, "no write was acknowledged for {outage:?}");
    load.until_more(100).await;
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_nothing_lost();
    until("the killed node is a replica", async || {
        let status = cluster.status(PRIMARY).await?;
        (status.data.role == DataRole::Replica && status.data.in_sync).then_some(())
    })
    .await;
}

/// A machine may be away for days.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_is_told_of_once_in_the_log_of_the_leader() {
    let mut cluster = Cluster::start(&Spec::new(PRODUCT, 1, 1).with_leading_witnesses(1)).await;
    cluster.let_a_witness_lead().await;
    let gone = cluster.ids().await[REPLICA];
    cluster.lose(REPLICA);
    let leader = cluster.leader().await.0;
    // What the leader has not heard for some seconds it does not show: it has tried a few dozen times by then.
    cluster.until_cluster("the node is missing", |s| (!s.nodes.contains_key(&gone)).then_some(())).await;
    let log = cluster.nodes[leader].log_text();
    let of_it: Vec<&str> = log.lines().filter(|line| line.contains("does not hear the peer")).collect();
    assert!(of_it.iter().any(|line| line.contains(&gone.to_string())), "{log}");
    assert!(of_it.len() <= 3, "{of_it:#?}");
    let of_raft = log.lines().filter(|line| line.contains(" openraft::")).count();
    assert!(of_raft <= 10, "{log}");
}
