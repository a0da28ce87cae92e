//! What a page in somebody's browser can have sent to a node: refused on both ports, and nothing has happened.

use super::support::{Answer, TestNode, layout};
use ironcache_api::{ApiError, Done};
use reqwest::StatusCode;

/// A request of `headers`, sent to a port as it is.
async fn send(node: &TestNode, addr: String, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = node.http_client().post(format!("http://{addr}{path}")).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    Answer { status: response.status(), text: response.text().await.unwrap() }
}

fn code(answer: &Answer) -> String {
    serde_json::from_str::<ApiError>(&answer.text).expect(&answer.text).refused.expect("a named refusal").code
}

#[tokio::test]
async fn a_page_of_another_site_orders_nothing() {
    let node = TestNode::start(1).await;
    node.create(&layout(std::slice::from_ref(&node))).await.read::<Done>();
    let before = node.status().await.state_hash;
    type Headers = [(&'static str, &'static str)];
    let page: [(&Headers, StatusCode, &str); 3] = [
        (
            &[("origin", "http://evil.example"), ("content-type", "text/plain")],
            StatusCode::FORBIDDEN,
            "foreign_origin",
        ),
        (
            &[("sec-fetch-site", "cross-site"), ("content-type", "text/plain")],
            StatusCode::FORBIDDEN,
            "cross_site",
        ),
        // The name of the page was made to resolve to the node: its browser takes it for the page's own site.
        (
            &[
                ("host", "evil.example:26379"),
                ("origin", "http://evil.example:26379"),
                ("sec-fetch-site", "same-origin"),
            ],
            StatusCode::MISDIRECTED_REQUEST,
            "foreign_host",
        ),
    ];
    let orders = [
        "/v1/releases",
        "/v1/policy",
        "/v1/upgrade/plan",
        "/v1/cluster/create",
        "/v1/cluster/nodes/remove",
        "/v1/no-such-path",
    ];
    for (headers, status, named) in page {
        for path in orders {
            let answer = send(&node, node.app.config.http_addr(), path, headers, "{}").await;
            assert_eq!((answer.status, code(&answer).as_str()), (status, named), "{path}");
        }
        for path in ["/raft/forward", "/raft/snapshot", "/raft/append", "/node/lease", "/replication"] {
            let answer = send(&node, node.app.config.peer_addr(), path, headers, "{}").await;
            assert_eq!((answer.status, code(&answer).as_str()), (status, named), "{path}");
        }
    }
    assert_eq!(node.status().await.state_hash, before);
}

#[tokio::test]
async fn a_request_without_a_browsers_marks_is_served() {
    let node = TestNode::start(1).await;
    let host = node.app.config.http_addr();
    for name in ["localhost:1", "127.0.0.1", &host] {
        let answer = send(&node, host.clone(), "/v1/upgrade/plan", &[("host", name)], "{").await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{name}: the body is what is wrong: {}",
            answer.text
        );
    }
}
