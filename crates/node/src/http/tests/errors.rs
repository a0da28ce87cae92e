//! Bad requests: each is answered in JSON, with a status that says whose fault it is.

use super::support::{TestNode, layout};
use ironcache_api::AckMode;
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn a_wrong_path_is_told_the_paths_there_are() {
    let node = TestNode::start(1).await;
    let error = node.get("/v2/nothing?x=1").await.error(StatusCode::NOT_FOUND);
    assert!(error.starts_with("nothing answers GET /v2/nothing; there are"), "{error}");
    assert!(error.contains("/v1/upgrade/plan"), "{error}");
}

#[tokio::test]
async fn a_wrong_method_is_told_so() {
    let node = TestNode::start(1).await;
    let error = node.send(Method::DELETE, "/v1/cluster", "").await.error(StatusCode::METHOD_NOT_ALLOWED);
    assert!(error.starts_with("/v1/cluster is not for DELETE"), "{error}");
}

#[tokio::test]
async fn a_body_that_is_not_what_is_expected_is_a_bad_request() {
    let node = TestNode::start(1).await;
    for body in ["", "{", "[1]", r#"{"target":"1.x","dry_run":true}"#, r#"{"dry_run":true}"#] {
        let error = node.post("/v1/upgrade/plan", body).await.error(StatusCode::BAD_REQUEST);
        assert!(error.starts_with("the body is not the JSON that is expected here"), "{error}");
    }
}

#[tokio::test]
async fn what_a_request_asks_beyond_what_is_known_is_a_bad_request() {
    let node = TestNode::start(1).await;
    let more = r#"{"target":"1.1.0","dry_run":true,"max_parallel":null,"settle_ms":null,"canary":true}"#;
    let error = node.post("/v1/upgrade/plan", more).await.error(StatusCode::BAD_REQUEST);
    assert!(error.contains("unknown field `canary`"), "{error}");
    let mut request = layout(std::slice::from_ref(&node));
    request.mode = AckMode::Unknown("quorum".to_owned());
    let error = node.create(&request).await.error(StatusCode::BAD_REQUEST);
    assert_eq!(error, "mode \"quorum\" is not known here: primary or in-sync is expected");
    assert!(node.status().await.raft.cluster.is_none());
}

#[tokio::test]
async fn a_body_without_end_is_not_kept_in_memory() {
    let node = TestNode::start(1).await;
    let body = vec![b' '; super::super::body::MAX_BYTES + 1];
    let error = node.post("/v1/upgrade/plan", body).await.error(StatusCode::PAYLOAD_TOO_LARGE);
    assert!(error.contains("8388608 bytes"), "{error}");
}
