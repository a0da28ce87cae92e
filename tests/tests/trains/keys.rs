//! A key that only the next release knows stands in the way back, and says so.

use crate::train::all_run;
use crate::world::{End, next, restart, spec, until_level, until_rolled_back, until_soaking};
use crate::{NEXT, THIS};
use ironcache_api::{Phase, RollbackBlocker};
use ironcache_tests::{Cluster, until};
use ironcache_types::NodeId;

const KEY: &str = "next-zone";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_next_release_is_named_while_it_soaks_and_keeps_the_rollback_until_it_is_gone() {
    let next = next();
    let mut cluster = Cluster::start(&spec(1, 1)).await;
    let ids = cluster.ids().await;
    cluster.stage_file(&next).await;
    let plan = cluster.set_target(NEXT, Some(200)).await;
    until_soaking(&cluster).await;
    until_can_roll_back(&cluster, <[RollbackBlocker]>::is_empty).await;

    // The operator uses what is new, with the launcher of the old image still in the unit file.
    let index = 1;
    let flag = format!("--{KEY}=east");
    let image = std::path::PathBuf::from(crate::PRODUCT);
    let runs = cluster.status(index).await.expect("the node answers").release.digest;
    // Until then the old launcher is the node's, and knows no such flag.
    until("the launcher is that of the next release", async || {
        cluster.nodes[index].is_launched_by(&runs).then_some(())
    })
    .await;
    restart(&mut cluster, index, |node| node.change(&image, &[&flag])).await;
    all_run(&cluster, NEXT).await;
    until_can_roll_back(&cluster, |blockers| names_the_key(blockers, ids[index])).await;
    let shown = cluster.cli(&["cluster", "upgrade", "status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(KEY), "{shown}");

    // It is ordered all the same, and waits before the first node goes: the old binary is asked first.
    let output = cluster.cli(&["cluster", "upgrade", "rollback"]);
    assert!(output.status.success(), "{output:?}");
    until("the plan says what it waits for", async || {
        let shown = cluster.cli(&["cluster", "upgrade", "status"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        (shown.contains("goes back") && shown.contains(KEY)).then_some(())
    })
    .await;
    let upgrade = cluster.upgrade().await.expect("the cluster answers");
    let plan_now = upgrade.plan.expect("the plan is active");
    assert!(matches!(plan_now.phase, Phase::Staging), "{plan_now:#?}");
    all_run(&cluster, NEXT).await;

    restart(&mut cluster, index, |node| node.drop_flag(&flag)).await;
    until_rolled_back(&cluster, plan).await;
    all_run(&cluster, THIS).await;
    until_level(&cluster, End::this().level).await;
}

fn names_the_key(blockers: &[RollbackBlocker], at: NodeId) -> bool {
    blockers.iter().any(|blocker| match blocker {
        RollbackBlocker::Preflight { node, problem } => {
            *node == at && (problem.key.as_deref() == Some(KEY) || problem.text.contains(KEY))
        }
        _ => false,
    })
}

/// Waits for what stands in the way of a rollback.
async fn until_can_roll_back(cluster: &Cluster, wanted: impl Fn(&[RollbackBlocker]) -> bool) {
    cluster
        .until_upgrade("what blocks a rollback is as expected", |status| {
            let soaking = status.soaking.as_ref()?;
            assert_eq!(soaking.can_roll_back, soaking.blockers.is_empty());
            wanted(&soaking.blockers).then_some(())
        })
        .await;
}
