//! Releases whose binary exits at once, hangs, or never becomes ready.

use crate::rolls::assert_all_run;
use crate::{FAULTY, PRODUCT};
use ironcache_api::{HoldReason, Outcome, Phase, UpgradeStatus};
use ironcache_cli::text;
use ironcache_tests::{Cluster, Load, Spec, THIS, until};
use std::path::Path;
use std::process::Stdio;

const READY_MS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_does_not_work_is_rolled_back_held_and_never_run_again() {
    let mut spec =
        Spec::new(PRODUCT, 1, 1).with(&[("ready-timeout-ms", READY_MS), ("hang-timeout-ms", 4_000)]);
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let load = Load::start(&cluster).await;
    for (version, said) in [
        ("0.9.0-exits", "exited with code 3"),
        ("0.9.0-hangs", "hung: no heartbeat"),
        ("0.9.0-neverready", "was not ready after"),
    ] {
        let staged = cluster.stage_file(&cluster.release(Path::new(FAULTY), version)).await;
        let mut waiter = cluster.cli_command(&["cluster", "set-target-version", version, "--wait", "--json"]);
        let waiter =
            waiter.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary can be started");
        let begun = |status: &UpgradeStatus| {
            status.plan.as_ref().filter(|plan| plan.target.version.to_string() == version).map(|plan| plan.id)
        };
        let plan = cluster.until_upgrade("the plan has begun", begun).await;
        let (node, reason) = cluster
            .until_plan("the plan is held", |plan| match &plan.phase {
                Phase::Held { reason: HoldReason::StepFailed { node, reason } } => {
                    Some((*node, reason.reason.clone()))
                }
                _ => None,
            })
            .await;
        assert!(reason.contains(said), "{version}: {reason}");
        // How long it was waited for, not how long it may take: at least the limit.
        if let Some(waited_ms) = ms_after(&reason, "was not ready after ") {
            assert!(waited_ms >= READY_MS, "{version}: {reason}");
        }
        // What the leader waits for is told when it decides the next time, a moment after the plan is held.
        let waiting = cluster
            .until_upgrade("the hold is told", |status| {
                status.waiting_on.iter().map(text::waiting_on).find(|waiting| waiting.contains(said))
            })
            .await;
        assert!(waiting.contains("upgrade abort"), "{waiting}");
        let waited = waiter.wait_with_output().expect("it ends");
        assert_eq!(waited.status.code(), Some(1), "{waited:?}");
        let told: serde_json::Value = serde_json::from_slice(&waited.stdout).expect("one object on stdout");
        assert_eq!((&told["outcome"], &told["plan"]["id"]), (&"held".into(), &plan.0.into()), "{told}");
        assert_eq!(told["reason"]["step-failed"]["reason"], reason, "{told}");
        assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("upgrade abort")), "{told}");
        let status = cluster.cluster().await.expect("the cluster answers");
        assert_eq!(status.control.quarantined[&staged.release.digest].node, node);
        load.until_more(20).await;

        let resumed = cluster.cli(&["cluster", "upgrade", "resume"]);
        assert_eq!(resumed.status.code(), Some(3), "{resumed:?}");
        let aborted = cluster.cli(&["cluster", "upgrade", "abort"]);
        assert!(aborted.status.success(), "{aborted:?}");
        assert_eq!(cluster.until_ended(plan).await.1, Outcome::Aborted);
        let again = cluster.cli(&["cluster", "set-target-version", version, "--json"]);
        assert_eq!(again.status.code(), Some(3), "{again:?}");
        let refused: serde_json::Value = serde_json::from_slice(&again.stdout).expect("one object");
        assert_eq!(refused["refused"]["code"], "quarantined", "{refused}");
        cluster.until_whole().await;
        let slot = format!("slots/{}", staged.release.digest);
        until("no node keeps the quarantined binary", async || {
            cluster.nodes.iter().all(|node| !node.data_dir.join(&slot).exists()).then_some(())
        })
        .await;
    }
    let running = cluster.status(0).await.expect("the node answers").release.digest;
    for node in &cluster.nodes {
        assert!(node.data_dir.join(format!("slots/{running}")).exists(), "what runs stays");
    }
    assert_all_run(&cluster, THIS).await;
    load.finish(&cluster).await.assert_unseen();
}

/// The number that follows `words`.
fn ms_after(reason: &str, words: &str) -> Option<u64> {
    let (_, rest) = reason.split_once(words)?;
    rest.split(' ').next()?.parse().ok()
}
