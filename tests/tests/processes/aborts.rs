//! Plans that are ended while a node is out, perhaps for good.

use crate::PRODUCT;
use crate::rolls::assert_all_run;
use ironcache_api::{Outcome, TrialPhase};
use ironcache_tests::{Cluster, Load, Signal, Spec, THIS, until};
use ironcache_types::{NodeId, PlanId};
use std::process::Output;

const REPLICA: usize = 1;
const TARGET: &str = ironcache_tests::NEXT;

fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Starts a plan, and waits until the replica is out for it.
async fn replica_is_out(cluster: &Cluster, replica: NodeId) -> PlanId {
    let plan = cluster.set_target(TARGET, None).await;
    cluster.until_cluster("the replica is out", |status| status.control.nodes[&replica].out.clone()).await;
    plan
}

/// As an operator ends a plan whose node does not come back.
fn give_up(cluster: &Cluster) {
    let refused = cluster.cli(&["cluster", "upgrade", "abort"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(said(&refused).contains("ironcache cluster upgrade pause"), "{refused:?}");
    for verb in ["pause", "abort"] {
        let output = cluster.cli(&["cluster", "upgrade", verb]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        if verb == "abort" {
            assert!(said(&output).contains("it rejoins by itself when it is started"), "{output:?}");
        }
    }
    let early = cluster.cli(&["cluster", "set-target-version", TARGET]);
    assert_eq!(early.status.code(), Some(3), "{early:?}");
    assert!(said(&early).contains("start it if it does not run"), "{early:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_ended_without_the_node_that_is_out_and_the_node_comes_back() {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]);
    spec.witnesses = 1;
    let mut cluster = Cluster::start(&spec).await;
    let replica = cluster.ids().await[REPLICA];
    let load = Load::start_plain(&cluster).await;
    cluster.stage(TARGET).await;

    // Its launcher was told to run the release, and does so after the plan is over: that trial goes back.
    cluster.nodes[REPLICA].signal_launcher(Signal::STOP);
    let plan = replica_is_out(&cluster, replica).await;
    until("the launcher was told", async || {
        cluster.nodes[REPLICA].log_text().contains("telling the launcher").then_some(())
    })
    .await;
    give_up(&cluster);
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Aborted);
    until("the node waits for what its launcher does", async || {
        cluster.nodes[REPLICA].log_text().contains("it may still").then_some(())
    })
    .await;
    let out = cluster.cluster().await.expect("it answers").control.nodes[&replica].out.clone();
    assert_eq!(out.map(|out| out.phase), Some(TrialPhase::SetAside));
    cluster.nodes[REPLICA].signal_launcher(Signal::CONT);
    until("the trial went back", async || {
        cluster.nodes[REPLICA]
            .log_text()
            .contains("the plan was aborted while this node was out")
            .then_some(())
    })
    .await;
    cluster.until_whole().await;
    assert_all_run(&cluster, THIS).await;

    // Now the whole node is gone, launcher and all, until somebody starts it again.
    cluster.nodes[REPLICA].signal_launcher(Signal::STOP);
    let plan = replica_is_out(&cluster, replica).await;
    cluster.nodes[REPLICA].signal_launcher(Signal::KILL);
    cluster.nodes[REPLICA].ended();
    give_up(&cluster);
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Aborted);
    load.until_more(20).await;
    cluster.nodes[REPLICA].start_again();
    cluster.until_whole().await;

    let plan = cluster.set_target(TARGET, None).await;
    assert_eq!(cluster.until_ended(plan).await.1, Outcome::Finalized);
    load.finish(&cluster).await.assert_unseen();
    assert_all_run(&cluster, TARGET).await;
}
