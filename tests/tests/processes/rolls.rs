//! A whole roll, with clients that write.

use crate::PRODUCT;
use ironcache_api::{LauncherPhase, Outcome, Plan, StepRole, StepState};
use ironcache_tests::{AFTER, Cluster, Load, NEXT, Node, Spec, THIS};
use ironcache_types::Version;
use std::path::Path;

/// Replicas and witnesses before the shard's old primary, each step confirmed.
pub(crate) fn assert_order(plan: &Plan) {
    for step in &plan.steps {
        assert!(matches!(step.state, StepState::Confirmed), "{step:?}");
    }
    for (shard, old) in &plan.start_primaries {
        let of_shard: Vec<_> = plan.steps.iter().filter(|step| step.shard == Some(*shard)).collect();
        assert_eq!(of_shard.last().map(|step| step.node), Some(*old), "{:#?}", plan.steps);
        assert_eq!(of_shard.last().map(|step| &step.role), Some(&StepRole::Primary));
        assert!(plan.handovers.iter().any(|h| h.shard == *shard && h.from == *old), "{:#?}", plan.handovers);
    }
}

/// Every process runs `version`, as it says itself.
pub(crate) async fn assert_all_run(cluster: &Cluster, version: &str) {
    let version: Version = version.parse().unwrap();
    for index in 0..cluster.nodes.len() {
        let status = cluster.status(index).await.expect("every node answers");
        assert_eq!(status.release.version, version, "node {index}");
        assert_eq!(status.launcher.phase, LauncherPhase::Idle, "node {index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_loses_nothing() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 3, 1)).await;
    let load = Load::start(&cluster).await;
    cluster.stage(NEXT).await;
    let plan = cluster.set_target(NEXT, None).await;
    let (plan, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    assert_eq!(plan.steps.len(), 6);
    assert_order(&plan);
    load.until_more(50).await;
    let balance = load.finish(&cluster).await;
    balance.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, NEXT).await;
}

/// What the log says is held is held, also where a node has no other reason to keep it: it runs the release after next,
/// and would go back to the one before that. On the way, everybody's clock stays the one that its launcher began with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staged_release_is_still_there_after_two_rolls_away_from_it() {
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec).await;
    let clocks = clocks(&cluster);
    cluster.stage(NEXT).await;
    cluster.stage(AFTER).await;
    let first = cluster.stage_file(Path::new(PRODUCT)).await.release;
    for version in [NEXT, AFTER, THIS] {
        let plan = cluster.set_target(version, Some(200)).await;
        assert_eq!(cluster.until_ended(plan).await.1, Outcome::Finalized, "to {version}");
        cluster.until_whole().await;
        assert_all_run(&cluster, version).await;
    }
    assert_eq!(cluster.status(0).await.expect("the node answers").release, first);
    assert_eq!(self::clocks(&cluster), clocks);
    let history = cluster.upgrade().await.expect("the cluster answers").history;
    assert_eq!(history.len(), 3);
    for entry in &history {
        assert!(entry.ended_at_ms >= entry.plan.started_at_ms, "{entry:#?}");
    }
}

/// By what each daemon dates the log: as its launcher handed it on.
fn clocks(cluster: &Cluster) -> Vec<String> {
    let of = |node: &Node| {
        let daemon = node.daemon_pid()?.as_raw_nonzero();
        let environment = std::fs::read_to_string(format!("/proc/{daemon}/environ")).ok()?;
        environment.split('\0').find_map(|v| v.strip_prefix("IRONCACHE_CLOCK_OFFSET_MS=")).map(str::to_owned)
    };
    cluster.nodes.iter().map(|node| of(node).expect("its launcher handed it on")).collect()
}

/// What all the others rest on: a ledger that misses a loss would let everything pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_write_is_seen() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 0)).await;
    let load = Load::start(&cluster).await;
    let client = redis::Client::open(format!("redis://{}/", cluster.nodes[0].client_addr())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    redis::cmd("SET").arg("w:0:0").arg("something else").exec_async(&mut connection).await.unwrap();
    load.until_more(50).await;
    let balance = load.finish(&cluster).await;
    assert!(balance.lost > 0 && balance.wrong > 0, "{balance:?}");
}
