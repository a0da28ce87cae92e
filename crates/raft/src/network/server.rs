//! The answering side: an axum router for the peer port.
//!
//! *Invariant:* where keys are proved, a request counts only under the key of the node in whose name it is: of its header, of
//! the vote that raft obeys, and of what is proposed (each body says so, as [`InTheNameOf`]).
//! *Invariant:* no snapshot makes a state that was founded one of another cluster, or one in which others are believed.
//! *Invariant:* bytes that are not a valid request of this cluster for this node never reach raft.

use super::{APPEND, FORWARD, PRE_VOTE, REGISTERED_LIFE, Rpc, SNAPSHOT, TRANSFER, VOTE};
use crate::ask::Ask;
use crate::bodies::{BodyError, v1};
use crate::foreign::{Foreign, may_replace};
use crate::identity::IdentityError;
use crate::lives::WentBack;
use crate::node::Inner;
use crate::types::SnapshotMeta;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use ironcache_formats::entry;
use ironcache_formats::snapshot::{self as state_snapshot, OpenError};
use ironcache_formats::wire::{self, BODY_BYTES_MAX, HEADER_BYTES, Header, WireError};
use ironcache_types::{NodeId, chain};
use openraft::raft::AppendEntriesResponse;
use openraft::storage::Snapshot;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

type Node = State<Arc<Inner>>;

/// Whose key the connection of a request proved, as an extension of it; without one nobody's was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved(pub NodeId);

type By = Option<Extension<Proved>>;

/// The answer to a node that left for good, whatever it asks.
pub(crate) const REMOVED_STATUS: StatusCode = StatusCode::FORBIDDEN;

/// No request is larger: a snapshot is the largest.
pub const REQUEST_BYTES_MAX: usize = HEADER_BYTES + BODY_BYTES_MAX;

/// Why a request was not served. The body of the answer says it in plain text.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the request is not readable")]
    Wire(#[from] WireError),
    #[error("the request is not usable")]
    Body(#[from] BodyError),
    #[error("the snapshot is not usable")]
    Snapshot(#[from] OpenError),
    #[error("the snapshot is none of this node's cluster")]
    Foreign(#[from] Foreign),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the key of node {proved} asks in the name of node {said}")]
    NotItself { proved: NodeId, said: NodeId },
    /// The log says so, and raft's group has let the asker go.
    #[error("node {0} was removed from this cluster")]
    Removed(NodeId),
    #[error("raft has stopped on this node: {0}")]
    Stopped(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Refusal::Wire(_) | Refusal::Body(_) | Refusal::Snapshot(_) => StatusCode::BAD_REQUEST,
            Refusal::Identity(
                IdentityError::OtherCluster { .. }
                | IdentityError::OtherBinding { .. }
                | IdentityError::Level(_),
            )
            | Refusal::Foreign(_) => StatusCode::CONFLICT,
            Refusal::NotItself { .. } => StatusCode::UNAUTHORIZED,
            Refusal::Removed(_) => REMOVED_STATUS,
            Refusal::Identity(IdentityError::OtherNode { .. }) => StatusCode::MISDIRECTED_REQUEST,
            Refusal::Identity(IdentityError::WentBack(WentBack { registered, .. })) => {
                let life = [(REGISTERED_LIFE, registered.0.to_string())];
                return (StatusCode::GONE, life, chain(&self)).into_response();
            }
            Refusal::Identity(
                IdentityError::Io(_)
                | IdentityError::MyLogWentBack
                | IdentityError::NotAdmitted
                | IdentityError::NotDurable(_),
            )
            | Refusal::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, chain(&self)).into_response()
    }
}

pub(crate) fn router(node: Arc<Inner>) -> Router {
    Router::new()
        .route(APPEND.path, post(append))
        .route(VOTE.path, post(vote))
        .route(PRE_VOTE.path, post(pre_vote))
        .route(SNAPSHOT.path, post(snapshot))
        .route(TRANSFER.path, post(transfer))
        .route(FORWARD.path, post(forward))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(node)
}

async fn append(State(node): Node, by: By, body: Bytes) -> Result<Vec<u8>, Refusal> {
    serve(&node, APPEND, by, &body, async |request: v1::AppendRequest| {
        let answer = node.raft.append_entries(request.try_into()?).await.map_err(stopped)?;
        match &answer {
            AppendEntriesResponse::Success
            | AppendEntriesResponse::PartialSuccess(_)
            | AppendEntriesResponse::Conflict => node.contact.heard(),
            // Whoever sent it leads no more.
            AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(v1::AppendResponse::from(answer))
    })
    .await
}

async fn vote(State(node): Node, by: By, body: Bytes) -> Result<Vec<u8>, Refusal> {
    serve(&node, VOTE, by, &body, async |request: v1::VoteRequest| {
        node.identity.may_vote()?;
        let answer = node.raft.vote(request.into()).await.map_err(stopped)?;
        Ok(v1::VoteResponse::from(answer))
    })
    .await
}

async fn pre_vote(State(node): Node, by: By, body: Bytes) -> Result<Vec<u8>, Refusal> {
    serve(&node, PRE_VOTE, by, &body, async |request: v1::VoteRequest| {
        node.identity.may_vote()?;
        let answer = node.raft.pre_vote(request.into()).await.map_err(stopped)?;
        Ok(v1::VoteResponse::from(answer))
    })
    .await
}

async fn snapshot(State(node): Node, by: By, body: Bytes) -> Result<Vec<u8>, Refusal> {
    serve(&node, SNAPSHOT, by, &body, async |request: v1::SnapshotRequest| {
        let v1::SnapshotRequest { vote, meta, data } = request;
        // Opened here as well, so that a damaged one is refused instead of ending raft. One above this release's levels
        // goes on: if raft takes its sender for the leader, it ends this node by name.
        let meta = SnapshotMeta::try_from(meta)?;
        match state_snapshot::open(&data, node.options.admits) {
            Ok(opened) => may_replace(&opened.state, meta.last_log_id, &node.views.borrow())?,
            Err(OpenError::AboveLevel { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let snapshot = Snapshot { meta, snapshot: Arc::new(data) };
        let answer = node.raft.install_full_snapshot(vote.into(), snapshot).await.map_err(stopped)?;
        node.contact.heard();
        Ok(v1::SnapshotResponse::from(answer))
    })
    .await
}

async fn transfer(State(node): Node, by: By, body: Bytes) -> Result<Vec<u8>, Refusal> {
    serve(&node, TRANSFER, by, &body, async |request: v1::TransferRequest| {
        node.identity.may_vote()?;
        let answer = node.raft.handle_transfer_leader(request.into()).await.map_err(stopped)?;
        Ok(v1::TransferResponse::from(answer))
    })
    .await
}

async fn forward(State(node): Node, by: By, body: Bytes) -> Result<Vec<u8>, Refusal> {
    serve(&node, FORWARD, by, &body, async |request: v1::ForwardRequest| {
        let v1::ForwardRequest { ask, timeout_ms } = request;
        // Never longer than this node itself would wait.
        let timeout = Duration::from_millis(timeout_ms).min(node.options.ask_timeout());
        let ask = Ask::try_from(ask)?;
        if let Some(speaks_for) = node.speaks_for(&ask) {
            only_as_itself(by, speaks_for)?;
        }
        Ok(v1::Answer::from(node.answer(ask, timeout).await))
    })
    .await
}

/// A member is trusted for what it proposes, and only as itself.
fn only_as_itself(by: By, said: NodeId) -> Result<(), Refusal> {
    match by {
        Some(Extension(Proved(proved))) if proved != said => Err(Refusal::NotItself { proved, said }),
        Some(_) | None => Ok(()),
    }
}

/// Whom a request makes raft obey, or elect: the header says who sends it, and raft looks at this.
trait InTheNameOf {
    /// `None`: nobody in particular. What is forwarded is looked at when it is read ([`Inner::speaks_for`]).
    fn in_the_name_of(&self) -> Option<NodeId>;
}

impl InTheNameOf for v1::AppendRequest {
    fn in_the_name_of(&self) -> Option<NodeId> {
        Some(NodeId(self.vote.node))
    }
}

impl InTheNameOf for v1::VoteRequest {
    fn in_the_name_of(&self) -> Option<NodeId> {
        Some(NodeId(self.vote.node))
    }
}

impl InTheNameOf for v1::SnapshotRequest {
    fn in_the_name_of(&self) -> Option<NodeId> {
        Some(NodeId(self.vote.node))
    }
}

impl InTheNameOf for v1::TransferRequest {
    fn in_the_name_of(&self) -> Option<NodeId> {
        Some(NodeId(self.from_leader.node))
    }
}

impl InTheNameOf for v1::ForwardRequest {
    fn in_the_name_of(&self) -> Option<NodeId> {
        None
    }
}

impl Inner {
    /// The node in whose name something is asked: it tells of itself, or has moved. `None`: any member may ask for it.
    fn speaks_for(&self, ask: &Ask) -> Option<NodeId> {
        match ask {
            Ask::Move { member, addr: _ } => Some(member.node),
            // What cannot be read is refused, or stops whoever applies it: that says so better.
            Ask::Propose(entry) => entry::open(entry, self.identity.level()).ok()?.1.speaks_for(),
            Ask::ConfirmIndex
            | Ask::AddLearner { .. }
            | Ask::ChangeMembership { .. }
            | Ask::TransferLeader { .. }
            | Ask::Compare => None,
        }
    }
}

/// Checks and parses a request, has it answered, and seals the answer in the version that was asked in.
async fn serve<Q: InTheNameOf + DeserializeOwned, A: Serialize>(
    node: &Inner,
    rpc: Rpc,
    by: By,
    body: &[u8],
    answer: impl AsyncFnOnce(Q) -> Result<A, Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let opened = wire::open(rpc.request, body)?;
    // Every RPC is at version 1 so far.
    let (header, request): (v1::RpcHeader, Q) = opened.body()?;
    let from = NodeId(header.from);
    only_as_itself(by, from)?;
    if let Some(said) = request.in_the_name_of() {
        only_as_itself(by, said)?;
    }
    node.identity.admit(header, opened.level).await?;
    if node.has_let_go(from) {
        return Err(Refusal::Removed(from));
    }
    let answer = answer(request).await?;
    let header = Header { kind: rpc.response, version: opened.version, level: node.identity.level() };
    Ok(wire::seal(header, &(v1::Lives::from(node.identity.lives()), answer))?)
}

fn stopped(error: impl std::fmt::Display) -> Refusal {
    Refusal::Stopped(error.to_string())
}
