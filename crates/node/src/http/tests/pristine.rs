//! Nodes that belong to no cluster yet, and what keeps them from one.

use super::support::{TestNode, layout};
use ironcache_api::LauncherPhase;
use ironcache_types::NodeId;
use reqwest::StatusCode;

#[tokio::test]
async fn a_pristine_node_lives_is_not_ready_and_says_so() {
    let node = TestNode::start(1).await;
    assert_eq!(node.get("/livez").await.text, "ok");
    let ready = node.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text.contains("no cluster yet"), "{}", ready.text);
    let status = node.status().await;
    assert!(status.pristine && status.control.is_none() && status.raft.cluster.is_none());
    assert_eq!((status.node, status.launcher.phase), (NodeId(1), LauncherPhase::Absent));
    assert!(node.get("/metrics").await.text.contains("ironcache_node_ready 0\n"));
}

#[tokio::test]
async fn what_needs_a_cluster_is_refused_at_once() {
    let node = TestNode::start(1).await;
    for path in ["/v1/cluster", "/v1/upgrade", "/v1/releases"] {
        assert_eq!(node.get(path).await.refused(), "no_cluster", "{path}");
    }
    for path in ["/v1/upgrade/pause", "/v1/upgrade/resume", "/v1/upgrade/abort", "/v1/releases"] {
        assert_eq!(node.post(path, "body").await.refused(), "no_cluster", "{path}");
    }
    let plan = r#"{"target":"1.1.0","dry_run":true,"max_parallel":null,"settle_ms":null}"#;
    assert_eq!(node.post("/v1/upgrade/plan", plan).await.refused(), "no_cluster");
}

#[tokio::test]
async fn a_creation_with_a_node_that_does_not_answer_changes_nothing() {
    let nodes = [TestNode::start(1).await, TestNode::start(2).await];
    let mut request = layout(&nodes);
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    request.nodes[1].http_addr = gone.to_string();
    let error = nodes[0].create(&request).await.error(StatusCode::SERVICE_UNAVAILABLE);
    assert!(error.contains(&gone.to_string()) && error.contains("nothing was done"), "{error}");
    assert!(nodes[0].status().await.raft.cluster.is_none());
}

#[tokio::test]
async fn a_creation_with_another_node_than_expected_changes_nothing() {
    let nodes = [TestNode::start(1).await, TestNode::start(2).await];
    let mut request = layout(&nodes);
    request.nodes[1].node = NodeId(3);
    request.shards[0].nodes[1] = NodeId(3);
    assert_eq!(nodes[0].create(&request).await.refused(), "other_node");
    assert!(nodes[0].status().await.raft.cluster.is_none());
}

#[tokio::test]
async fn a_layout_that_the_log_would_refuse_leaves_no_raft_group() {
    let nodes = [TestNode::start(1).await];
    let mut request = layout(&nodes);
    request.shards[0].slots.0[0].end -= 1;
    assert_eq!(nodes[0].create(&request).await.refused(), "bad_layout");
    assert!(nodes[0].status().await.raft.cluster.is_none());
}

#[tokio::test]
async fn a_creation_through_a_node_that_would_not_vote_is_a_bad_request() {
    let nodes = [TestNode::start(1).await, TestNode::start(2).await];
    let request = layout(&nodes);
    let error = nodes[1].create(&request).await.error(StatusCode::BAD_REQUEST);
    assert!(error.contains("not among the voters"), "{error}");
    assert!(nodes[1].status().await.raft.cluster.is_none());
}
