//! Nodes that join, leave, and come in another's place, while clients write.

use crate::PRODUCT;
use ironcache_api::{HoldReason, Outcome, Phase, Shard};
use ironcache_tests::{Cluster, Load, NEXT, Node, Signal, Spec, until};
use std::process::Output;

const REPLICA: usize = 1;
const WITNESS: usize = 2;

fn trio() -> Spec {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    spec
}

/// What the command says, which has to be done.
#[track_caller]
fn told(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The code of the refusal.
#[track_caller]
fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_str(&said).expect("a refusal is JSON");
    json["refused"]["code"].as_str().expect("it has a code").to_owned()
}

async fn voters(cluster: &Cluster) -> usize {
    cluster.until_cluster("somebody leads", |status| Some(status.control.voters().count())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_is_lost_comes_back_as_a_new_one_by_two_commands() {
    let mut cluster = Cluster::start(&trio()).await;
    let load = Load::start(&cluster).await;
    let old = cluster.ids().await[REPLICA].to_string();
    cluster.lose(REPLICA);
    load.until_more(40).await;
    // The one command starts a new node where the old one was, the other takes it in.
    cluster.nodes[REPLICA].start_again();
    cluster.until_answers(REPLICA).await;
    let addr = cluster.nodes[REPLICA].client_addr();
    let said = told(&cluster.cli(&["cluster", "replace-node", &old, &addr, "--wait"]));
    assert!(said.contains(&format!("in the place of node {old}")), "{said}");
    cluster.until_whole().await;
    assert_eq!(voters(&cluster).await, 3);
    load.until_more(40).await;
    // The new one is worth as much as the old one was: it takes over.
    assert!(cluster.nodes[0].stop().success());
    load.until_more(40).await;
    cluster.nodes[0].start_again();
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_unseen();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_gets_one_more_replica_and_a_live_one_is_exchanged() {
    let mut cluster = Cluster::start(&trio()).await;
    let load = Load::start(&cluster).await;
    let third = cluster.start_another().await;
    let addr = cluster.nodes[third].http_addr();
    let said = told(&cluster.cli(&["cluster", "add-node", &addr, "--wait"]));
    assert!(said.contains("4 nodes vote then"), "{said}");
    cluster.until_whole().await;
    assert_eq!(voters(&cluster).await, 4);
    load.until_more(40).await;
    // It is a member; so it is no new one, and the primary does not just go.
    assert_eq!(refused(&cluster.cli(&["cluster", "add-node", &addr, "--json"])), "already_member");
    let primary = cluster.nodes[0].client_addr();
    assert_eq!(refused(&cluster.cli(&["cluster", "remove-node", &primary, "--json"])), "is_primary");
    let fourth = cluster.start_another().await;
    let (old, addr) = (cluster.nodes[REPLICA].client_addr(), cluster.nodes[fourth].client_addr());
    told(&cluster.cli(&["cluster", "replace-node", &old, &addr, "--wait"]));
    until("the one that left says so", async || {
        cluster.readyz(REPLICA).await.filter(|said| said.contains("was removed from the cluster"))
    })
    .await;
    assert_eq!(cluster.nodes[REPLICA].stop().code(), Some(0));
    cluster.nodes.remove(REPLICA);
    cluster.until_whole().await;
    load.until_more(40).await;
    load.finish(&cluster).await.assert_unseen();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_leaves_and_another_one_joins() {
    let mut cluster = Cluster::start(&trio()).await;
    let load = Load::start(&cluster).await;
    let witness = cluster.nodes[WITNESS].client_addr();
    let said = told(&cluster.cli(&["cluster", "remove-node", &witness, "--wait"]));
    assert!(said.contains("2 nodes vote then"), "{said}");
    let next = cluster.start_another().await;
    let addr = cluster.nodes[next].client_addr();
    told(&cluster.cli(&["cluster", "add-node", &addr, "--witness", "--wait"]));
    cluster.nodes.remove(WITNESS);
    cluster.until_whole().await;
    assert_eq!(voters(&cluster).await, 3);
    // The new witness is a majority with either of the others.
    cluster.nodes[REPLICA].signal_launcher(Signal::KILL);
    cluster.nodes[REPLICA].ended();
    load.until_more(40).await;
    // With one more away nobody could agree on anything.
    assert_eq!(refused(&cluster.cli(&["cluster", "remove-node", &addr, "--json"])), "voters_unreachable");
    cluster.nodes[REPLICA].start_again();
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_unseen();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_grows_to_three_that_can_upgrade_themselves() {
    let mut cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0)).await;
    let load = Load::start(&cluster).await;
    for more in [&["--wait"][..], &["--wait", "--witness"]] {
        let next = cluster.start_another().await;
        let addr = cluster.nodes[next].client_addr();
        told(&cluster.cli(&[&["cluster", "add-node", &addr], more].concat()));
        cluster.until_whole().await;
    }
    assert_eq!(voters(&cluster).await, 3);
    cluster.stage(NEXT).await;
    let plan = cluster.set_target(NEXT, None).await;
    let (_, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    load.finish(&cluster).await.assert_unseen();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_begun_is_ended_by_whoever_leads_next() {
    let mut cluster = Cluster::start(&Spec::new(PRODUCT, 1, 1).with_leading_witnesses(1)).await;
    cluster.let_a_witness_lead().await;
    let load = Load::start(&cluster).await;
    let next = cluster.start_another().await;
    let (leader, status) = cluster.leader().await;
    let (old, addr) = (cluster.nodes[REPLICA].client_addr(), cluster.nodes[next].client_addr());
    told(&cluster.cli(&["cluster", "replace-node", &old, &addr]));
    cluster.kill_this_leader(leader, &status).await;
    let new = cluster.ids().await[next];
    cluster
        .until_cluster("the new one is a voter and in sync, the old one gone", |status| {
            let control = &status.control;
            let node = control.nodes.get(&new).filter(|node| node.voter)?;
            let in_sync = control.shards.values().any(|shard| shard.in_sync.contains(&node.member()));
            (in_sync && control.nodes.len() == 3 && control.membership.is_none()).then_some(())
        })
        .await;
    cluster.nodes.remove(REPLICA);
    cluster.until_whole().await;
    assert_eq!(voters(&cluster).await, 3);
    load.finish(&cluster).await.assert_unseen();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_whose_machine_is_lost_is_replaced_like_any_other_node() {
    let mut cluster = Cluster::start(&trio().in_sync()).await;
    let load = Load::start(&cluster).await;
    let old = cluster.ids().await[0];
    cluster.lose(0);
    cluster
        .until_cluster("the replica has taken over", |status| {
            let is_other = |shard: &Shard| shard.primary().is_some_and(|primary| primary.node != old);
            status.control.shards.values().all(is_other).then_some(())
        })
        .await;
    load.until_more(40).await;
    cluster.nodes[0].start_again();
    cluster.until_answers(0).await;
    let addr = cluster.nodes[0].client_addr();
    // The first of all addresses is that of the new node, which knows of no cluster.
    let (old, seed) = (old.to_string(), cluster.nodes[REPLICA].client_addr());
    told(&cluster.cli(&["cluster", "replace-node", &old, &addr, "--wait", "--seed", &seed]));
    cluster.until_whole().await;
    assert_eq!(voters(&cluster).await, 3);
    load.until_more(40).await;
    load.finish(&cluster).await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_lost_in_its_step_is_replaced_and_the_plan_goes_on() {
    let spec = trio().setting("settle-ms", "100").setting("step-timeout-s", "2");
    let mut cluster = Cluster::start(&spec).await;
    let load = Load::start(&cluster).await;
    let old = cluster.ids().await[REPLICA];
    cluster.stage(NEXT).await;
    // Its launcher does not act on the order; then the machine is gone.
    cluster.nodes[REPLICA].signal_launcher(Signal::STOP);
    let plan = cluster.set_target(NEXT, None).await;
    cluster
        .until_cluster("the replica is out", |status| status.control.nodes[&old].out.as_ref().map(|_| ()))
        .await;
    cluster.lose(REPLICA);
    let witness = cluster.nodes[WITNESS].client_addr();
    assert_eq!(refused(&cluster.cli(&["cluster", "remove-node", &witness, "--json"])), "during_plan");
    cluster
        .until_plan("the plan is held on the lost node", |plan| {
            let held = HoldReason::StepTimedOut { node: old, waited_ms: 0 };
            let Phase::Held { reason } = &plan.phase else { return None };
            (std::mem::discriminant(reason) == std::mem::discriminant(&held)).then_some(())
        })
        .await;
    cluster.nodes[REPLICA].start_again();
    cluster.until_answers(REPLICA).await;
    let addr = cluster.nodes[REPLICA].client_addr();
    told(&cluster.cli(&["cluster", "replace-node", &old.to_string(), &addr, "--wait"]));
    told(&cluster.cli(&["cluster", "upgrade", "resume"]));
    let (_, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_unseen();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_a_node_that_left_does_not_come_back() {
    let mut cluster = Cluster::start(&trio()).await;
    let load = Load::start(&cluster).await;
    let id = cluster.ids().await[REPLICA];
    // It dies, and does not see how it is let go.
    cluster.nodes[REPLICA].signal_launcher(Signal::KILL);
    cluster.nodes[REPLICA].ended();
    let next = cluster.start_another().await;
    let addr = cluster.nodes[next].client_addr();
    told(&cluster.cli(&["cluster", "replace-node", &id.to_string(), &addr, "--wait"]));
    let mut returned: Node = cluster.nodes.remove(REPLICA);
    cluster.until_whole().await;
    returned.start_again();
    cluster.nodes.push(returned);
    let at = cluster.nodes.len() - 1;
    let said = until("the process says why it has no place", async || {
        cluster.readyz(at).await.filter(|said| said.contains("was removed from the cluster"))
    })
    .await;
    assert!(said.contains("empty its data directory"), "{said}");
    let left = cluster.nodes.pop();
    load.until_more(40).await;
    let status = cluster.cluster().await.expect("somebody leads");
    assert!(!status.control.nodes.contains_key(&id) && status.control.removed == [id]);
    let addr = left.as_ref().expect("it was just there").client_addr();
    assert_eq!(refused(&cluster.cli(&["cluster", "add-node", &addr, "--json"])), "not_pristine");
    drop(left);
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_unseen();
}
