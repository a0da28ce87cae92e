//! Questions that only the leader can answer: it watches the others.
//!
//! *Invariant:* what was forwarded is not forwarded again. Two nodes may each take the other for the leader.

use super::asked::{ASKED_FOR, ASKED_FROM, Asker};
use super::error::HttpError;
use crate::app::App;
use crate::doors::Who;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use ironcache_raft::{AppliedView, LeaderView};
use ironcache_types::{KeyHash, NodeId, chain};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

const FORWARDED: HeaderName = HeaderName::from_static("x-ironcache-forwarded");

/// Above what the leader itself waits for a quorum; a leader that hangs must not hold its questioners.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(8);

/// Has another node sent this request on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Client,
    Forwarded,
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Origin::of(&parts.headers, parts.extensions.get()))
    }
}

impl Origin {
    /// An operator sends nothing on.
    pub(super) fn of(headers: &HeaderMap, who: Option<&Who>) -> Self {
        let by_a_node = matches!(who, None | Some(Who::Open | Who::Member(_)));
        if by_a_node && headers.contains_key(FORWARDED) { Origin::Forwarded } else { Origin::Client }
    }
}

/// Who answers.
pub(super) enum Answerer {
    /// This node leads; a quorum confirmed it after the question came.
    Here(Arc<AppliedView>),
    /// The leader did.
    There(Response),
}

/// What is asked of the leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    path: &'static str,
    /// Of an order: its body, JSON.
    order: Option<&'a [u8]>,
    /// Who asks, by their address.
    from: Option<&'a str>,
    /// And by their key, as this node has seen it proved.
    operator: Option<KeyHash>,
}

impl From<&'static str> for Question<'_> {
    fn from(path: &'static str) -> Self {
        Question { path, order: None, from: None, operator: None }
    }
}

impl<'a> Question<'a> {
    /// An order that the leader may be sent twice, if another one leads meanwhile: the log has to refuse the second.
    pub(super) fn order(path: &'static str, body: &'a [u8], asker: &'a Asker) -> Self {
        Question { path, order: Some(body), from: asker.address(), operator: asker.operator() }
    }
}

/// Finds who can answer: this node, with its state, or the leader, with its answer.
pub(super) async fn find_leader(
    app: &App,
    question: impl Into<Question<'_>>,
    origin: Origin,
) -> Result<Answerer, HttpError> {
    let question = question.into();
    require_cluster(app)?;
    loop {
        wait_for_leader(app).await;
        if let Next::Ask(leader) = next(app.me.node, leader_view(app), origin)? {
            tokio::select! {
                answer = forward(app, leader, question) => return answer.map(Answerer::There),
                () = other_leader_than(app, leader) => continue,
            }
        }
        let view = app.raft.catch_up().await?;
        // It may have lost the lead while it caught up; then what it last saw of the others is old.
        if next(app.me.node, leader_view(app), origin)? == Next::Here {
            return Ok(Answerer::Here(view));
        }
    }
}

/// Waits until another node leads: one that hangs is not worth waiting for.
async fn other_leader_than(app: &App, leader: NodeId) {
    let mut leadership = app.raft.view_changes();
    let is_other = |view: &LeaderView| view.leader.is_some_and(|now| now != leader);
    let stopped = leadership.wait_for(is_other).await.is_err();
    if stopped {
        // Raft has stopped: nothing will be learned any more.
        std::future::pending::<()>().await;
    }
}

fn leader_view(app: &App) -> LeaderView {
    *app.raft.view_changes().borrow()
}

/// # Errors
/// If this node has heard of no cluster: its log would never answer.
pub(super) fn require_cluster(app: &App) -> Result<(), HttpError> {
    match app.raft.cluster() {
        Some(_) => Ok(()),
        None => Err(ironcache_control::Rejection::NoCluster.into()),
    }
}

/// Sits out an election, if one is under way.
pub(super) async fn wait_for_leader(app: &App) {
    let mut leader = app.raft.view_changes();
    let patience = Duration::from_millis(2 * app.raft.timers().election_max_ms);
    let known = leader.wait_for(|view| view.leader.is_some());
    // Without one, the caller says so.
    let _ = tokio::time::timeout(patience, known).await;
}

pub(super) fn no_leader() -> HttpError {
    HttpError::Unavailable(
        "no leader: an election is under way, or fewer than a majority of the voters are up; ask again"
            .to_owned(),
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Here,
    Ask(NodeId),
}

fn next(me: NodeId, view: LeaderView, origin: Origin) -> Result<Next, HttpError> {
    match (view.leader, origin) {
        (Some(leader), Origin::Client | Origin::Forwarded) if leader == me => Ok(Next::Here),
        (Some(leader), Origin::Client) => Ok(Next::Ask(leader)),
        (Some(_), Origin::Forwarded) | (None, Origin::Client | Origin::Forwarded) => Err(no_leader()),
    }
}

async fn forward(app: &App, leader: NodeId, question: Question<'_>) -> Result<Response, HttpError> {
    let addr = {
        let view = app.raft.applied().borrow().clone();
        view.state.nodes.get(&leader).map(|node| node.http_addr.clone())
    };
    let addr = addr.ok_or_else(|| {
        HttpError::Unavailable(format!(
            "node {leader} leads, and this node has not applied its address yet; ask again"
        ))
    })?;
    relay(&app.client, &addr, leader, question, app.me.node).await
}

/// Asks `addr` in the name of `by`: status and body as they come.
async fn relay(
    client: &ironcache_host::http::Client,
    addr: &str,
    leader: NodeId,
    Question { path, order, from, operator }: Question<'_>,
    by: NodeId,
) -> Result<Response, HttpError> {
    let failed = |error: ironcache_host::http::Error| {
        HttpError::Unavailable(format!("the leader at {addr} does not answer: {}", chain(&error)))
    };
    let url = format!("http://{addr}{path}");
    let call = match order {
        None => client.get(url),
        Some(body) => {
            client.post(url).header(header::CONTENT_TYPE.as_str(), "application/json").body(body.to_vec())
        }
    };
    let call = match from {
        None => call,
        Some(from) => call.header(ASKED_FROM.as_str(), from),
    };
    let call = match operator {
        None => call,
        Some(key) => call.header(ASKED_FOR.as_str(), key.to_string()),
    };
    let call = call.to(leader).header(FORWARDED, by.to_string());
    let asked = call.timeout(FORWARD_TIMEOUT).send().await.map_err(failed)?;
    let (status, kind) = (asked.status(), asked.headers().get(header::CONTENT_TYPE).cloned());
    let body = asked.bytes().await.map_err(failed)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn led_by(leader: Option<NodeId>) -> LeaderView {
        LeaderView { leader, is_leader: leader == Some(ME), term: 3 }
    }

    #[test]
    fn the_leader_answers_itself_whoever_asks() {
        for origin in [Origin::Client, Origin::Forwarded] {
            assert_eq!(next(ME, led_by(Some(ME)), origin).unwrap(), Next::Here);
        }
    }

    #[test]
    fn a_follower_asks_the_leader_once_and_a_forwarded_question_ends() {
        assert_eq!(next(ME, led_by(Some(OTHER)), Origin::Client).unwrap(), Next::Ask(OTHER));
        let ended = next(ME, led_by(Some(OTHER)), Origin::Forwarded).unwrap_err();
        assert!(matches!(&ended, HttpError::Unavailable(why) if why.starts_with("no leader")), "{ended}");
        assert!(matches!(next(ME, led_by(None), Origin::Client), Err(HttpError::Unavailable(_))));
    }

    fn client() -> ironcache_host::http::Client {
        ironcache_host::http::Client::new(Arc::new(ironcache_host::http::Plain), Default::default())
    }

    #[tokio::test]
    async fn status_and_body_are_relayed_and_the_hop_is_marked() {
        let routes = Router::new()
            .route("/v1/upgrade", get(async |origin: Origin| (StatusCode::CONFLICT, format!("{origin:?}"))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let response = relay(&client(), &addr, OTHER, "/v1/upgrade".into(), ME).await.unwrap();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(&body[..], b"Forwarded");
    }

    #[tokio::test]
    async fn a_leader_that_is_gone_is_unavailable_and_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = relay(&client(), &addr, OTHER, "/v1/upgrade".into(), ME).await.unwrap_err();
        assert!(error.to_string().contains(&addr), "{error}");
        assert!(matches!(error, HttpError::Unavailable(_)));
    }
}
