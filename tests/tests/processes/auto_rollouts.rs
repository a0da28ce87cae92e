//! Plans that nobody asked for: what starts one, and what does not.

use crate::PRODUCT;
use crate::leader_deaths::{self, is_confirming, out};
use crate::rollbacks::{done, said, until_soaking};
use crate::rolls::{assert_all_run, assert_order};
use ironcache_api::{ClusterStatus, Outcome, Phase, Plan, StartedBy, TrialPhase};
use ironcache_tests::{AFTER, Cluster, FAR, FARTHER, Load, Signal, Spec};
use ironcache_types::PlanId;

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
const PATCH: &str = ironcache_tests::PATCH;
const MINOR: &str = ironcache_tests::NEXT;

fn spec() -> Spec {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    spec
}

async fn last_plan(cluster: &Cluster) -> PlanId {
    cluster.until_cluster("somebody leads", |status| Some(status.control.last_plan)).await
}

/// The leader looks at what it could start whenever the log grows: so a release that it may not start is handed over, and
/// held by everybody. Nodes fetch the newest one before it is asked for, so `version` is newer than any before.
async fn let_the_leader_look(cluster: &Cluster, version: &str) {
    let staged = cluster.stage_on_hold(version).await;
    cluster.until_held_by_all(staged.release.digest).await;
}

/// Waits for the plan that begins by itself.
async fn started_by_policy(cluster: &Cluster, version: &str) -> Plan {
    let by_policy = |status: &ironcache_api::UpgradeStatus| {
        let ended = status.history.iter().map(|entry| &entry.plan);
        let plan = ended.chain(&status.plan).find(|plan| plan.target.version.to_string() == version)?;
        assert_eq!(plan.started_by, StartedBy::Policy, "{plan:#?}");
        Some(plan.clone())
    };
    cluster.until_upgrade("a plan begins by itself", by_policy).await
}

/// Whoever leads proposes; whoever leads after it finds the plan, active or ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staged_patch_is_rolled_out_once_whoever_dies_leading() {
    let cluster = leader_deaths::cluster(&[("auto-rollout", "patch")]).await;
    let replica = cluster.ids().await[REPLICA];
    let load = Load::start(&cluster).await;

    // Not everybody holds it: nothing starts, under this leader or the next.
    cluster.nodes[REPLICA].signal_daemon(Signal::STOP);
    let staged = cluster.stage(PATCH).await;
    let next = cluster.kill_leader().await;
    assert!(!next.control.nodes[&replica].staged.contains(&staged.release.digest));
    assert_eq!(next.control.last_plan, PlanId(0));
    cluster.nodes[REPLICA].signal_launcher(Signal::STOP);
    cluster.nodes[REPLICA].signal_daemon(Signal::CONT);

    let plan = started_by_policy(&cluster, PATCH).await;
    let (step, phase) = cluster.until_cluster("the replica is out", |status| out(status, replica)).await;
    assert_eq!(phase, TrialPhase::Told);
    cluster.kill_leader().await;
    cluster.nodes[REPLICA].signal_launcher(Signal::CONT);
    assert_eq!(leader_deaths::hold_in_trial(&cluster, REPLICA, replica, PATCH).await, step);
    let next = cluster.kill_leader().await;
    assert!(out(&next, replica).is_some_and(|(now, phase)| now == step && is_confirming(&phase)));
    cluster.nodes[REPLICA].signal_launcher(Signal::CONT);
    let (ended, outcome) = cluster.until_ended(plan.id).await;
    assert_eq!((outcome, ended.started_by.clone()), (Outcome::Finalized, StartedBy::Policy));
    assert_order(&ended);
    let told = done(&cluster, &["cluster", "upgrade", "history"]);
    assert!(told.contains("started by policy"), "{told}");

    // A newer minor release is not what the policy admits; after that it is.
    let minor = cluster.stage(MINOR).await;
    cluster.until_held_by_all(minor.release.digest).await;
    let_the_leader_look(&cluster, FAR).await;
    cluster.let_a_witness_lead().await;
    cluster.kill_leader().await;
    assert_eq!(last_plan(&cluster).await, plan.id);
    cluster.set_policy("auto-rollout", "minor").await;
    let second = started_by_policy(&cluster, MINOR).await;
    assert_eq!(second.id, PlanId(plan.id.0 + 1));
    assert_eq!(cluster.until_ended(second.id).await.1, Outcome::Finalized);
    load.until_more(50).await;
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, MINOR).await;
    assert_eq!(last_plan(&cluster).await, second.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_on_hold_or_declined_starts_only_when_an_operator_says_so() {
    let spec = spec().setting("auto-rollout", "minor").setting("finalize-after-s", "never");
    let cluster = Cluster::start(&spec).await;
    let load = Load::start(&cluster).await;
    let file = cluster.release(std::path::Path::new(PRODUCT), MINOR);
    let file = file.to_str().expect("a plain path");
    let staged = done(&cluster, &["release", "stage", file, "--hold"]);
    assert!(staged.contains("on hold"), "{staged}");
    let releases = cluster.client().releases().await.expect("the cluster answers");
    let staged = releases.iter().find(|staged| staged.release.version.to_string() == MINOR);
    cluster.until_held_by_all(staged.expect("it was staged").release.digest).await;
    let_the_leader_look(&cluster, FAR).await;
    assert_eq!(last_plan(&cluster).await, PlanId(0));

    // Staged anew without the word, it starts; taken back, it does not start again.
    done(&cluster, &["release", "stage", file]);
    let plan = started_by_policy(&cluster, MINOR).await;
    until_soaking(&cluster, plan.id).await;
    done(&cluster, &["cluster", "upgrade", "rollback", "--reason", "evenings are slow"]);
    assert_eq!(cluster.until_ended(plan.id).await.1, Outcome::RolledBack);
    cluster.until_whole().await;
    let_the_leader_look(&cluster, FARTHER).await;
    assert_eq!(last_plan(&cluster).await, plan.id);
    let list = done(&cluster, &["release", "list"]);
    assert!(list.contains("declined since plan 1: evenings are slow"), "{list}");

    done(&cluster, &["release", "allow", MINOR]);
    let second = cluster.until_cluster("it starts again", |status| status.control.plan.clone()).await;
    assert_eq!((second.id, &second.started_by), (PlanId(2), &StartedBy::Policy));
    until_soaking(&cluster, second.id).await;
    done(&cluster, &["cluster", "upgrade", "finalize"]);
    assert_eq!(cluster.until_ended(second.id).await.1, Outcome::Finalized);
    let twice = cluster.cli(&["release", "allow", MINOR, "--json"]);
    assert_eq!((twice.status.code(), said(&twice).contains("not_declined")), (Some(3), true), "{twice:?}");
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, MINOR).await;
}

/// The policy's plan cannot take its first step as long as one configuration is bad.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_plan_takes_the_place_of_one_that_the_policy_has_only_begun() {
    let cluster = Cluster::start(&spec().setting("auto-rollout", "minor")).await;
    let load = Load::start(&cluster).await;
    std::fs::write(&cluster.nodes[PRIMARY].config, "zone = 1\n").expect("a file can be written");
    let held = cluster.stage_on_hold(AFTER).await.release.digest;
    cluster.until_held_by_all(held).await;
    cluster.stage(MINOR).await;
    let first = started_by_policy(&cluster, MINOR).await;
    let staging = |status: &ClusterStatus| {
        let plan = status.control.plan.as_ref()?;
        assert_eq!((plan.id, &plan.phase), (first.id, &Phase::Staging));
        Some(())
    };
    cluster.until_cluster("it has not begun", staging).await;
    let second = cluster.set_target(AFTER, None).await;
    assert_eq!(cluster.until_ended(first.id).await.1, Outcome::Superseded);
    // Against an operator's plan nobody wins, and nothing else starts beside it.
    let third = cluster.cli(&["cluster", "set-target-version", MINOR]);
    assert_eq!((third.status.code(), said(&third).contains("plan_active")), (Some(3), true), "{third:?}");

    std::fs::write(&cluster.nodes[PRIMARY].config, "").expect("a file can be written");
    let (ended, outcome) = cluster.until_ended(second).await;
    assert_eq!((outcome, &ended.started_by), (Outcome::Finalized, &StartedBy::Operator));
    assert_order(&ended);
    // The other one is older than what runs now.
    let_the_leader_look(&cluster, FAR).await;
    assert_eq!(last_plan(&cluster).await, second);
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, AFTER).await;
}
