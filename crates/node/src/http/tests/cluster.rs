//! A founded cluster, asked through every node.

use super::super::convert;
use super::support::{TestNode, founded, layout};
use crate::app::UPLOADS_MAX;
use futures_util::future::join_all;
use ironcache_api::{
    ClusterStatus, Done, NodeStep, Outcome, Phase, PlanAnswer, PlanRequest, PolicyStatus, ServingRole,
    StagedRelease, UpgradeStatus,
};
use ironcache_types::{Digest, LEVELS, LevelRange, PlanId, Stamp, Version, WireRange};
use reqwest::StatusCode;
use std::time::Duration;

/// Far more than it takes.
const BOUND: Duration = Duration::from_secs(30);

/// Something with a stamp, as a binary has one.
fn binary(version: &str, fill: u8) -> Vec<u8> {
    let mut bytes = vec![fill; 300_000];
    bytes.extend(Stamp::of_build(version, LEVELS, WireRange::CURRENT, None).0);
    bytes
}

fn plan(target: &str, dry_run: bool) -> String {
    format!(r#"{{"target":"{target}","dry_run":{dry_run},"max_parallel":null,"settle_ms":5}}"#)
}

#[tokio::test]
async fn creating_again_is_done_already_and_another_layout_is_refused() {
    let nodes = founded(2).await;
    let again = nodes[0].create(&layout(&nodes)).await.read::<Done>();
    assert!(again.done.ends_with("of 2 nodes and 1 shard is founded"), "{}", again.done);
    assert_eq!(nodes[0].create(&layout(&nodes[..1])).await.refused(), "cluster_exists");
    let stranger = [TestNode::start(9).await, TestNode::start(8).await];
    let mut request = layout(&stranger);
    request.nodes[1] = layout(&nodes).nodes.remove(0);
    request.shards[0].nodes[1] = nodes[0].id();
    assert_eq!(stranger[0].create(&request).await.refused(), "not_pristine");
    assert!(stranger[0].status().await.raft.cluster.is_none());
}

#[tokio::test]
async fn every_node_answers_what_only_the_leader_knows() {
    let nodes = founded(4).await;
    for node in &nodes {
        let status = node.get("/v1/cluster").await.read::<ClusterStatus>();
        assert_eq!(status.control.nodes.len(), 4);
        assert!(status.nodes.contains_key(&status.leader));
        let upgrade = node.get("/v1/upgrade").await.read::<UpgradeStatus>();
        assert_eq!(upgrade.leader, status.leader);
        let leads = upgrade.nodes.iter().filter(|n| n.leader).map(|n| n.node).collect::<Vec<_>>();
        assert_eq!(leads, [status.leader]);
        assert_eq!(upgrade.nodes.iter().filter(|n| n.role == ServingRole::Primary).count(), 1);
    }
    let own = nodes[0].status().await;
    let control = own.control.expect("the founder has applied the founding");
    assert_eq!((own.raft.voters.len(), own.raft.learners.len()), (3, 1));
    let applied = nodes[0].app.raft.applied().borrow().clone();
    assert_eq!(control, convert::control(&applied.state), "the view survives JSON as it is");
}

#[tokio::test]
async fn a_verb_of_a_level_to_come_is_not_yet_on_every_node_whether_it_knows_the_path_or_not() {
    let nodes = founded(2).await;
    for node in &nodes {
        for path in ["/v1/upgrade/pause", "/v1/cluster/of-a-later-release"] {
            let answer = node.post_since("9", path, "").await;
            assert_eq!(answer.refused(), "not_yet", "{path}");
        }
        assert_eq!(node.post_since("1", "/v1/upgrade/pause", "").await.refused(), "no_plan");
        let odd = node.post_since("one", "/v1/upgrade/pause", "").await;
        assert!(odd.error(StatusCode::BAD_REQUEST).contains("a level is expected"), "{odd:?}");
    }
    let pristine = TestNode::start(9).await;
    assert_eq!(pristine.post_since("9", "/v1/upgrade/pause", "").await.refused(), "no_cluster");
}

/// The integers in `json` that a reader which takes numbers for doubles would round.
fn rounded(json: &serde_json::Value) -> Vec<String> {
    use serde_json::Value;
    const EXACT_MAX: u64 = 1 << 53;
    match json {
        Value::Number(number) if number.as_u64().is_some_and(|n| n <= EXACT_MAX) => Vec::new(),
        Value::Number(number) => vec![number.to_string()],
        Value::Array(values) => values.iter().flat_map(rounded).collect(),
        Value::Object(fields) => fields.values().flat_map(rounded).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => Vec::new(),
    }
}

#[tokio::test]
async fn no_number_in_an_answer_is_too_large_for_javascript() {
    let nodes = [TestNode::start(u64::MAX).await, TestNode::start(u64::MAX - 1).await];
    nodes[0].create(&layout(&nodes)).await.read::<Done>();
    for path in ["/status", "/v1/cluster", "/v1/upgrade"] {
        let answer = nodes[0].get(path).await.read::<serde_json::Value>();
        assert_eq!(rounded(&answer), Vec::<String>::new(), "{path}: {answer}");
    }
    let status = nodes[0].get("/status").await.read::<serde_json::Value>();
    assert_eq!(status["node"], "ffffffffffffffff");
    assert_eq!(status["incarnation"], "fffffffffffffff9");
    assert_eq!(status["control"]["cluster_id"], status["raft"]["cluster"]);
}

#[tokio::test]
async fn a_release_is_staged_once_and_its_version_is_taken() {
    let nodes = founded(1).await;
    let node = &nodes[0];
    let stage = |bytes| node.post("/v1/releases", bytes);
    let staged = stage(binary("1.1.0", 7)).await.read::<StagedRelease>();
    assert_eq!((staged.release.version.clone(), staged.held_by, staged.nodes), (Version::new(1, 1, 0), 1, 1));
    assert_eq!(staged.size_bytes, binary("1.1.0", 7).len() as u64);
    assert_eq!(stage(binary("1.1.0", 7)).await.read::<StagedRelease>().release, staged.release);
    assert_eq!(stage(binary("1.1.0", 8)).await.refused(), "version_taken");
    let listed = node.get("/v1/releases").await.read::<Vec<StagedRelease>>();
    assert!(matches!(&listed[..], [only] if only.release == staged.release), "{listed:?}");
    assert_eq!(node.status().await.staged, [staged.release.digest]);
    assert_eq!(node.half_received(), 0);
}

/// Whichever node it is staged at, a release is recorded with what its own manifest says.
#[tokio::test]
async fn a_release_has_its_own_ranges_and_a_hold_only_if_asked_for() {
    let nodes = founded(1).await;
    let (levels, protocol) = (LevelRange::new(1, 9), WireRange { min: 1, max: 4 });
    let mut bytes = vec![7; 3_000];
    bytes.extend(Stamp::of_build("1.2.0", levels, protocol, Some("0.9.0")).0);
    let staged = nodes[0].post("/v1/releases?hold=1", bytes.clone()).await.read::<StagedRelease>();
    assert_eq!((staged.levels, staged.min_from.clone()), (Some(levels), Some(Version::new(0, 9, 0))));
    assert!(staged.hold);
    let recorded = nodes[0].app.raft.applied().borrow().state.releases[&staged.release.digest].clone();
    assert_eq!((recorded.levels, recorded.launcher_protocol), (levels, protocol));
    let again = nodes[0].post("/v1/releases", bytes).await.read::<StagedRelease>();
    assert!(!again.hold, "staged again without it, the release is free");
    nodes[0].post("/v1/releases?hold=yes", "x").await.error(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_policy_is_shown_changed_and_refused_by_name() {
    let nodes = founded(1).await;
    let shown = nodes[0].get("/v1/policy").await.read::<PolicyStatus>();
    assert_eq!(shown.get("auto-rollout").map(|s| s.value.to_string()), Some("off".to_owned()));
    let change = |text: &str| nodes[0].post("/v1/policy", text.to_owned());
    let changed = change(r#"{"set":{"auto-rollout":"patch","settle-ms":"70"}}"#).await.read::<PolicyStatus>();
    assert!(changed.epoch > shown.epoch);
    assert_eq!(changed.get("settle-ms").map(|s| s.value.to_string()), Some("70".to_owned()));
    for bad in [
        r#"{"set":{"settle-ms":"soon"}}"#,
        r#"{"set":{"settle":"70"}}"#,
        r#"{"set":{"heartbeat-ms":"70"}}"#,
        r#"{"set":{"min-in-sync":"9"}}"#,
    ] {
        assert_eq!(change(bad).await.refused(), "bad_setting", "{bad}");
    }
    let seen = format!(r#"{{"set":{{"settle-ms":"71"}},"seen":{}}}"#, shown.epoch.0);
    assert_eq!(change(&seen).await.refused(), "stale_epoch");
}

#[tokio::test]
async fn what_is_no_binary_is_a_bad_request_and_leaves_nothing() {
    let nodes = founded(1).await;
    let error = nodes[0].post("/v1/releases", "#!/bin/sh\n").await.error(StatusCode::BAD_REQUEST);
    assert!(error.contains("no version stamp"), "{error}");
    let error = nodes[0].post("/v1/releases", "").await.error(StatusCode::BAD_REQUEST);
    assert!(error.contains("empty"), "{error}");
    assert_eq!(nodes[0].half_received(), 0);
    assert!(nodes[0].get("/v1/releases").await.read::<Vec<StagedRelease>>().is_empty());
}

#[tokio::test]
async fn binaries_that_come_in_at_once_have_a_bound_and_who_is_beyond_it_is_told() {
    let nodes = founded(1).await;
    let node = &nodes[0];
    let mut coming = Vec::new();
    for _ in 0..UPLOADS_MAX {
        let (sends, body) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
        let pieces = futures_util::stream::unfold(body, async |mut body| Some((body.recv().await?, body)));
        let body = reqwest::Body::wrap_stream(pieces);
        let url = format!("http://{}/v1/releases", node.app.config.http_addr());
        let asked = node.http_client().post(url).body(body).send();
        coming.push((sends, tokio::spawn(asked)));
    }
    let all_come = async {
        while node.half_received() < UPLOADS_MAX {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, all_come).await.expect("each has its file");
    let refused: Vec<_> = join_all((0..4).map(|_| node.post("/v1/releases", "x"))).await;
    for answer in &refused {
        assert_eq!(answer.refused(), "uploads");
    }
    assert_eq!(node.half_received(), UPLOADS_MAX);
    // One gives up, another one sends no binary: their places are others'.
    let (sends, asked) = coming.pop().unwrap();
    drop(sends);
    assert_eq!(asked.await.unwrap().unwrap().status(), StatusCode::BAD_REQUEST, "it is empty");
    node.post("/v1/releases", binary("1.2.0", 7)).await.read::<StagedRelease>();
    for (sends, asked) in coming {
        sends.send(Ok(vec![7; 10_000])).await.unwrap();
        drop(sends);
        assert_eq!(asked.await.unwrap().unwrap().status(), StatusCode::BAD_REQUEST, "it has no stamp");
    }
    assert_eq!(node.half_received(), 0);
}

#[tokio::test]
async fn a_plan_is_previewed_started_paused_resumed_and_aborted_through_any_node() {
    let nodes = founded(3).await;
    nodes[2].post("/v1/releases", binary("1.1.0", 7)).await.read::<StagedRelease>();
    let preview = nodes[1].post("/v1/upgrade/plan", plan("1.1.0", true)).await.read::<PlanAnswer>();
    assert_eq!((preview.plan, preview.from), (None, Version::new(1, 0, 0)));
    assert!(preview.steps.iter().any(|step| step.starts_with("upgrade node")), "{:?}", preview.steps);
    assert!(nodes[0].get("/v1/upgrade").await.read::<UpgradeStatus>().plan.is_none());
    assert_eq!(nodes[1].post("/v1/upgrade/pause", "").await.refused(), "no_plan");

    // Whoever has looked names what was seen: another binary under that version is refused.
    let of = |digest: Digest| {
        let (target, digest) = (preview.target.version.clone(), Some(digest));
        let request = PlanRequest { target, digest, dry_run: false, max_parallel: None, settle_ms: Some(5) };
        serde_json::to_string(&request).unwrap()
    };
    assert_eq!(nodes[1].post("/v1/upgrade/plan", of(Digest([9; 32]))).await.refused(), "other_digest");
    let seen = of(preview.target.digest);
    let started = nodes[1].post("/v1/upgrade/plan", seen).await.read::<PlanAnswer>();
    assert_eq!((started.plan, started.steps), (Some(PlanId(1)), preview.steps));
    assert_eq!(nodes[2].post("/v1/upgrade/plan", plan("1.1.0", false)).await.refused(), "plan_active");
    let shown = nodes[2].get("/v1/upgrade").await.read::<UpgradeStatus>();
    assert_eq!(shown.plan.unwrap().options.settle_ms, 5);
    let step = |id| shown.nodes.iter().find(|n| n.node == id).unwrap().step.clone();
    assert_eq!(
        nodes.iter().map(|n| step(n.id())).collect::<Vec<_>>(),
        [NodeStep::Waiting, NodeStep::Waiting, NodeStep::Staged]
    );

    for (path, phase) in [("pause", Phase::Paused), ("resume", Phase::Staging)] {
        nodes[2].post(&format!("/v1/upgrade/{path}"), "").await.read::<Done>();
        let shown = nodes[1].get("/v1/upgrade").await.read::<UpgradeStatus>();
        assert_eq!(shown.plan.unwrap().phase, phase);
    }
    nodes[0].post("/v1/upgrade/abort", "").await.read::<Done>();
    let shown = nodes[1].get("/v1/upgrade").await.read::<UpgradeStatus>();
    assert!(shown.plan.is_none());
    assert_eq!(shown.history[0].outcome, Outcome::Aborted);
}

#[tokio::test]
async fn a_plan_that_cannot_be_is_refused_with_its_reason() {
    let nodes = founded(1).await;
    let refused = |body: String| async { nodes[0].post("/v1/upgrade/plan", body).await.refused() };
    assert_eq!(refused(plan("1.1.0", true)).await, "unknown_release");
    assert_eq!(refused(plan("1.0.0", false)).await, "same_version");
    nodes[0].post("/v1/releases", binary("1.1.0", 7)).await.read::<StagedRelease>();
    assert_eq!(refused(plan("1.1.0", false)).await, "single_node");
    let zero = r#"{"target":"1.1.0","dry_run":true,"max_parallel":0,"settle_ms":null}"#;
    nodes[0].post("/v1/upgrade/plan", zero).await.error(StatusCode::BAD_REQUEST);
}
