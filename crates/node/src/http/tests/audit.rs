//! Orders leave records, refused ones leave none and are counted.

use super::support::{TestNode, founded, layout};
use ironcache_api::{AuditTrail, Done, PolicyStatus};
use ironcache_types::{AuditRecord, verify_audit};
use reqwest::StatusCode;

async fn trail(node: &TestNode) -> AuditTrail {
    let trail = node.get("/v1/audit").await.read::<AuditTrail>();
    verify_audit(trail.anchor, &trail.records, trail.head).unwrap();
    trail
}

fn credential(record: &AuditRecord) -> &str {
    record.who.get("credential").map_or("", String::as_str)
}

fn acts(trail: &AuditTrail) -> Vec<&str> {
    trail.records.iter().map(|record| record.act.as_str()).filter(|act| *act != "release-staged").collect()
}

/// How often the node has refused with this code, by its metrics.
async fn refused(node: &TestNode, code: &str) -> u64 {
    let metrics = node.get("/metrics").await.text;
    let sample = format!("ironcache_attempts_refused_total{{code=\"{code}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&sample)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn an_order_is_in_the_chain_of_every_node_with_the_address_that_it_came_from() {
    let nodes = founded(3).await;
    let set = r#"{"set":{"max-parallel":"3","auto-rollout":"patch"}}"#;
    nodes[2].post("/v1/policy", set).await.read::<PolicyStatus>();
    let before_ms = crate::clock::unix_ms();
    for node in &nodes {
        let trail = trail(node).await;
        assert_eq!(acts(&trail), ["cluster-created", "policy-changed"]);
        for record in trail.records.iter().filter(|record| record.act != "release-staged") {
            assert_eq!(credential(record), "insecure");
            let from = record.from.as_deref().unwrap();
            assert!(from.starts_with("127.0.0.1:"), "{from}");
            assert!(record.at_ms <= before_ms && before_ms - record.at_ms < 600_000, "{record:?}");
        }
        let changed = &trail.records.last().unwrap().details;
        assert_eq!(changed.get("max-parallel").map(String::as_str), Some("8 -> 3"));
        assert_eq!(changed.get("auto-rollout").map(String::as_str), Some("off -> patch"));
        assert_eq!(changed.len(), 2, "{changed:?}");
    }
}

#[tokio::test]
async fn a_refused_attempt_is_counted_where_it_was_refused_and_is_not_in_the_log() {
    let nodes = founded(1).await;
    let before = trail(&nodes[0]).await;
    let index = nodes[0].app.raft.view().last_applied;
    for verb in ["pause", "resume", "abort", "finalize"] {
        assert_eq!(nodes[0].post(&format!("/v1/upgrade/{verb}"), "").await.refused(), "no_plan");
    }
    nodes[0].post("/v1/policy", "{").await.error(StatusCode::BAD_REQUEST);
    let url = format!("http://{}/v1/upgrade/pause", nodes[0].app.config.http_addr());
    let page = nodes[0].http_client().post(url).header("origin", "http://elsewhere.example");
    assert_eq!(page.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(nodes[0].get("/v1/no-such-path").await.status, StatusCode::NOT_FOUND);
    assert_eq!(refused(&nodes[0], "no_plan").await, 4);
    assert_eq!(refused(&nodes[0], "http_400").await, 1);
    assert_eq!(refused(&nodes[0], "foreign_origin").await, 1);
    assert_eq!(refused(&nodes[0], "http_404").await, 0, "nothing was ordered");
    assert_eq!(trail(&nodes[0]).await, before);
    assert_eq!(nodes[0].app.raft.view().last_applied, index, "nothing of it came into the log");
}

#[tokio::test]
async fn what_the_log_refuses_leaves_no_record_and_is_counted() {
    let nodes = founded(2).await;
    let before = trail(&nodes[0]).await;
    // The only primary: the log's own guardrail, and asked again as well.
    let order = |node: &TestNode| format!(r#"{{"node":"{}"}}"#, node.id());
    let code = nodes[0].post("/v1/cluster/nodes/remove", order(&nodes[0])).await.refused();
    assert_eq!(refused(&nodes[0], &code).await, 1);
    nodes[0].create(&layout(&nodes)).await.read::<Done>();
    assert_eq!(trail(&nodes[0]).await, before, "a founded cluster is not founded again");
}

#[tokio::test]
async fn a_pristine_node_has_no_chain() {
    let node = TestNode::start(1).await;
    assert_eq!(node.get("/v1/audit").await.refused(), "no_cluster");
}
