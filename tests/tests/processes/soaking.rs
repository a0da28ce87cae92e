//! Upgraded and not final: what ends it, and what the releases say of a configuration that one of them cannot read.

use crate::PRODUCT;
use crate::leader_deaths::hold_in_trial;
use crate::rollbacks::{done, said, until_soaking};
use crate::rolls::assert_all_run;
use ironcache_api::{
    ClusterStatus, HistoryEntry, Outcome, Phase, RollbackBlocker, Soaking, UpgradeStatus, WaitingOn,
};
use ironcache_tests::{Cluster, Load, Signal, Spec, until};
use ironcache_types::{NodeId, PlanId};

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
const ORIGIN: &str = ironcache_tests::THIS;
const TARGET: &str = ironcache_tests::NEXT;
const AFTER: &str = ironcache_tests::AFTER;

/// On which node which key keeps the release from starting.
fn stumbles_over(wait: &WaitingOn) -> Option<(NodeId, &str)> {
    match wait {
        WaitingOn::PreflightFailed { node, problem } => Some((*node, problem.key.as_deref()?)),
        _ => None,
    }
}

fn spec() -> Spec {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]);
    spec.witnesses = 1;
    spec.setting("finalize-after-s", "never")
}

async fn until_soaks<T>(cluster: &Cluster, what: &str, look: impl Fn(&Soaking) -> Option<T>) -> T {
    cluster.until_upgrade(what, |status| look(status.soaking.as_ref()?)).await
}

async fn entry(cluster: &Cluster, plan: PlanId) -> HistoryEntry {
    let of_plan = |status: &UpgradeStatus| status.history.iter().find(|e| e.plan.id == plan).cloned();
    cluster.until_upgrade("the plan has ended", of_plan).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_becomes_final_by_command_or_after_its_time() {
    let cluster = Cluster::start(&spec()).await;
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    cluster.stage(AFTER).await;
    let early = cluster.cli(&["cluster", "upgrade", "finalize"]);
    assert_eq!((early.status.code(), said(&early).contains("no_plan")), (Some(3), true), "{early:?}");

    // Who waits for the roll waits for no soak.
    let waited = done(&cluster, &["cluster", "set-target-version", TARGET, "--wait"]);
    assert!(waited.contains("finalizes only by command"), "{waited}");
    let next = cluster.cli(&["cluster", "set-target-version", AFTER, "--json"]);
    assert_eq!(next.status.code(), Some(3), "{next:?}");
    assert!(said(&next).contains("\"soaking\"") && said(&next).contains("finalize"), "{next:?}");
    let abort = cluster.cli(&["cluster", "upgrade", "abort", "--json"]);
    assert_eq!((abort.status.code(), said(&abort).contains("\"soaking\"")), (Some(3), true), "{abort:?}");
    done(&cluster, &["cluster", "upgrade", "finalize"]);
    assert_eq!(entry(&cluster, PlanId(1)).await.outcome, Outcome::Finalized);

    // A plan keeps what it was started with.
    cluster.set_policy("finalize-after-s", "2").await;
    let plan = cluster.set_target(AFTER, None).await;
    until_soaking(&cluster, plan).await;
    cluster.set_policy("finalize-after-s", "never").await;
    let soaking = until_soaks(&cluster, "it soaks", |soaking| Some(soaking.clone())).await;
    assert_eq!(soaking.finalize_after_s, Some(2));
    let ended = entry(&cluster, plan).await;
    assert_eq!(ended.outcome, Outcome::Finalized);
    let soaked_ms = ended.ended_at_ms - soaking.since_ms;
    assert!(soaked_ms >= 2_000, "{soaked_ms}");
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, AFTER).await;
}

/// The twin's configuration is the old release's too: so the file is spoilt after its node has gone, and before the last
/// one has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_would_not_start_is_named_with_its_key_before_a_step_either_way() {
    let cluster = Cluster::start(&spec()).await;
    let ids = cluster.ids().await;
    let load = Load::start(&cluster).await;
    let spoil = |index: usize, text: &str| {
        std::fs::write(&cluster.nodes[index].config, text).expect("a file can be written");
    };

    // Forward: nothing is begun while it would not start everywhere; it clears by itself.
    spoil(REPLICA, "# ours\nzone = \"a\"\n");
    let digest = cluster.stage(TARGET).await.release.digest;
    let plan = cluster.set_target(TARGET, None).await;
    let named = |status: &UpgradeStatus| {
        let (node, key) = status.waiting_on.iter().find_map(stumbles_over)?;
        assert_eq!((node, key), (ids[REPLICA], "zone"));
        let plan = status.plan.as_ref().expect("it waits");
        assert_eq!((&plan.phase, &plan.steps[..]), (&Phase::Staging, &[][..]));
        Some(())
    };
    cluster.until_upgrade("the key is named", named).await;
    let status = done(&cluster, &["cluster", "upgrade", "status"]);
    assert!(status.contains("zone") && status.contains("line 2"), "{status}");
    cluster.nodes[PRIMARY].signal_launcher(Signal::STOP);
    spoil(REPLICA, "");
    let is_out = |status: &ClusterStatus| status.control.nodes[&ids[PRIMARY]].out.as_ref().map(|_| ());
    cluster.until_cluster("the old primary, which goes last, is out", is_out).await;

    // Soaking: the old release would not start any more.
    // What neither launcher reads, in the instant between the two, would end the node.
    let replica = &cluster.nodes[REPLICA];
    let took_over = async || replica.log_text().contains("the launcher took over").then_some(());
    until("the replica's launcher, which reads the file too, is the new one", took_over).await;
    assert!(replica.is_launched_by(&digest));
    spoil(REPLICA, "zone = \"a\"\n");
    cluster.nodes[PRIMARY].signal_launcher(Signal::CONT);
    until_soaking(&cluster, plan).await;
    until_soaks(&cluster, "what blocks the rollback is named", |soaking| {
        assert!(!soaking.can_roll_back, "{soaking:?}");
        match &soaking.blockers[..] {
            [RollbackBlocker::Preflight { node, problem }] => {
                assert_eq!((*node, problem.key.as_deref()), (ids[REPLICA], Some("zone")));
                Some(())
            }
            // Some have not been asked yet.
            _ => None,
        }
    })
    .await;
    let status = done(&cluster, &["cluster", "upgrade", "status"]);
    let blocked = format!("rollback to {ORIGIN} is blocked:");
    assert!(status.contains(&blocked) && status.contains("zone"), "{status}");

    spoil(REPLICA, "");
    let possible = |soaking: &Soaking| soaking.can_roll_back.then_some(());
    until_soaks(&cluster, "nothing blocks the rollback", possible).await;
    done(&cluster, &["cluster", "upgrade", "rollback"]);
    assert_eq!(entry(&cluster, plan).await.outcome, Outcome::RolledBack);
    cluster.until_whole().await;
    load.finish(&cluster).await.assert_unseen();
    assert_all_run(&cluster, ORIGIN).await;
}

/// Of twins neither could read the file: whichever launcher met it would end, and its node with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launcher_makes_way_for_the_next_one_only_while_it_could_come_back() {
    let cluster = Cluster::start(&spec()).await;
    let replica = cluster.ids().await[REPLICA];
    let node = &cluster.nodes[REPLICA];
    let digest = cluster.stage(TARGET).await.release.digest;
    let plan = cluster.set_target(TARGET, None).await;
    hold_in_trial(&cluster, REPLICA, replica, TARGET).await;
    std::fs::write(&node.config, "zone = 1\n").expect("a file can be written");
    node.signal_launcher(Signal::CONT);
    until_soaking(&cluster, plan).await;
    until("it says why it stays", async || {
        node.log_text().contains("would not let this launcher start again").then_some(())
    })
    .await;
    assert!(!node.is_launched_by(&digest));
    std::fs::write(&node.config, "").expect("a file can be written");
    until("it has made way", async || node.is_launched_by(&digest).then_some(())).await;
    cluster.until_whole().await;
}
