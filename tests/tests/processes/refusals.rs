//! What the cluster refuses: exit code 3, a code for scripts, and advice for people.

use crate::PRODUCT;
use ironcache_api::Outcome;
use ironcache_tests::{Cluster, Signal, Spec, THIS};
use std::process::Output;

const TARGET: &str = ironcache_tests::NEXT;

fn refusal(output: &Output) -> serde_json::Value {
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let mut answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object on stdout");
    let refused = answer["refused"].take();
    let detail = refused["detail"].as_str().expect("a refusal says why").to_owned();
    assert!(String::from_utf8_lossy(&output.stderr).contains(&detail), "{output:?}");
    refused
}

fn set_target(cluster: &Cluster, version: &str) -> Output {
    cluster.cli(&["cluster", "set-target-version", version, "--json"])
}

async fn a_staged_roll_is_refused(spec: &Spec, code: &str, advice: &str) {
    let cluster = Cluster::start(spec).await;
    cluster.stage(TARGET).await;
    for arguments in [&[][..], &["--dry-run"]] {
        let output = cluster.cli(&[&["cluster", "set-target-version", TARGET, "--json"], arguments].concat());
        let refused = refusal(&output);
        assert_eq!(refused["code"], code, "{refused}");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains(advice)), "{refused}");
    }
    assert_eq!(cluster.upgrade().await.expect("the cluster answers").plan, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_is_not_rolled() {
    let spec = Spec::new(PRODUCT, 1, 0);
    a_staged_roll_is_refused(&spec, "single_node", "add a replica and a witness").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_have_no_quorum_to_spare() {
    let spec = Spec::new(PRODUCT, 1, 1);
    a_staged_roll_is_refused(&spec, "no_quorum_to_spare", "add-node HOST:PORT --witness").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_without_replicas_are_not_rolled() {
    a_staged_roll_is_refused(&Spec::new(PRODUCT, 3, 0), "no_replica", "add-node HOST:PORT --shard 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_operators_at_once_one_gets_a_plan_and_unsuitable_targets_are_refused() {
    let mut spec = Spec::new(PRODUCT, 1, 1).with(&[("hang-timeout-ms", 60_000)]);
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let unknown = refusal(&set_target(&cluster, "7.7.7"));
    assert_eq!(unknown["code"], "unknown_release", "{unknown}");
    assert!(unknown["detail"].as_str().is_some_and(|detail| detail.contains("release stage")), "{unknown}");
    assert_eq!(refusal(&set_target(&cluster, THIS))["code"], "same_version");
    let nothing = cluster.cli(&["cluster", "upgrade", "abort", "--json"]);
    assert_eq!(refusal(&nothing)["code"], "no_plan");

    // Another binary under a version that is known already.
    cluster.stage(TARGET).await;
    let other = cluster.dir().join("other");
    let mut bytes = std::fs::read(cluster.dir().join(format!("release-{TARGET}"))).expect("it was just made");
    bytes.extend_from_slice(b"another build");
    std::fs::write(&other, bytes).expect("a file can be written");
    let taken = cluster.cli(&["release", "stage", other.to_str().expect("a plain path"), "--json"]);
    assert_eq!(refusal(&taken)["code"], "version_taken");

    // The plan stays active: the launcher of the node that goes first is halted.
    cluster.nodes[1].signal_launcher(Signal::STOP);
    let start = || {
        let mut command = cluster.cli_command(&["cluster", "set-target-version", TARGET, "--json"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().expect("the binary can be started")
    };
    let both = [start(), start()].map(|child| child.wait_with_output().expect("it ends"));
    let accepted: Vec<_> = both.iter().filter(|output| output.status.success()).collect();
    let refused: Vec<_> = both.iter().filter(|output| !output.status.success()).collect();
    assert_eq!((accepted.len(), refused.len()), (1, 1), "{both:?}");
    let refused = refusal(refused[0]);
    assert_eq!(refused["code"], "plan_active", "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains("upgrade abort")), "{refused}");
    let answer: serde_json::Value = serde_json::from_slice(&accepted[0].stdout).expect("one object");
    assert_eq!(answer["plan"], 1, "{answer}");

    cluster.nodes[1].signal_launcher(Signal::CONT);
    assert_eq!(cluster.until_ended(ironcache_types::PlanId(1)).await.1, Outcome::Finalized);
    assert_eq!(refusal(&set_target(&cluster, TARGET))["code"], "same_version");
}
