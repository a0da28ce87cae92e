//! The peer port: raft, artifacts, reports, and the door to replication.
//!
//! *Invariant:* in a cluster with keys nobody but a member is answered here, and only as itself (`doors`).

use crate::app::{App, NodeReport};
use crate::data::{HELLO_TIMEOUT, LinkSocket, REPLICATION_PATH, REPLICATION_UPGRADE};
use crate::doorkeeper::{self, NotTaken, Visit, turned};
use crate::doors::{self, Caller, Revocation, Wire};
use crate::http::note_peers;
use crate::messages::{self, MESSAGES_PATH};
use crate::{lease, odd, strangers};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use ironcache_host::net::leave_runtime;
use ironcache_raft::Proved;
use ironcache_replication::{LinkVersion, Message, decode};
use ironcache_types::{Digest, NodeId, ShardId};
use std::io::SeekFrom;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

pub(crate) fn router(app: &Arc<App>) -> Router {
    let taken = doorkeeper::Taken { max_bytes: ironcache_raft::REQUEST_BYTES_MAX, refuse: not_taken };
    Router::new()
        .route(REPLICATION_PATH, get(replication))
        .route("/node/report", get(report))
        .route(odd::ODD_PATH, post(odd::said))
        .route(odd::SNAPSHOT_PATH, get(odd::snapshot))
        .route(lease::LEASE_PATH, post(lease::post))
        .route(MESSAGES_PATH, post(messages::post).layer(DefaultBodyLimit::max(messages::BODY_BYTES_MAX)))
        .route(doors::PINS_PATH, get(doors::pins))
        .route("/artifacts/{digest}", get(artifact))
        .with_state(Arc::clone(app))
        .merge(app.raft.router())
        .layer(from_fn_with_state(taken, doorkeeper::receive))
        .layer(from_fn_with_state(Arc::clone(app), doors::peer))
        // Outside of everything else: of a stranger no body is read.
        .layer(from_fn_with_state(Arc::clone(app), strangers::refuse))
        .layer(from_fn_with_state(Arc::clone(app), note_peers))
        .layer(from_fn_with_state(Arc::clone(app), doors::identify))
}

const _: () = assert!(
    ((doorkeeper::PEER.large_kib as usize) << 10) + doorkeeper::FREE_BYTES
        >= ironcache_raft::REQUEST_BYTES_MAX,
    "the largest request has to fit into the budget"
);

pub(crate) fn not_taken(why: &NotTaken) -> Response {
    let status = match why {
        NotTaken::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        NotTaken::BrokeOff { .. } => StatusCode::BAD_REQUEST,
        NotTaken::NoLength => StatusCode::LENGTH_REQUIRED,
        NotTaken::NoBudget | NotTaken::NoRoomToAnswer { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{why}\n")).into_response()
}

async fn replication(State(app): State<Arc<App>>, mut request: Request) -> Response {
    let asked = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    if asked != Some(REPLICATION_UPGRADE) {
        let text = format!("ask for `Upgrade: {REPLICATION_UPGRADE}` here\n");
        return (StatusCode::UPGRADE_REQUIRED, text).into_response();
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let visit = request.extensions_mut().remove::<Visit>();
    let key = request.extensions().get::<Caller>().and_then(Caller::key);
    let proved = request.extensions().get::<Proved>().map(|Proved(node)| *node);
    let link = Proof { proved, revocation: app.doors.revocation_of_member(key.filter(|_| proved.is_some())) };
    tokio::spawn(async move {
        let told = visit.clone();
        let handing_over = async {
            match upgrade.await {
                Ok(upgraded) => hand_over(upgraded, &app, visit, link).await,
                Err(error) => tracing::debug!(%error, "a replication link was lost before it began"),
            }
        };
        tokio::select! {
            biased;
            () = handing_over => {}
            why = turned(told.as_ref()) => tracing::debug!(%why, "a connection was closed before it said hello"),
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, REPLICATION_UPGRADE)];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Whose key was proved on a link's connection, and until when that counts.
struct Proof {
    proved: Option<NodeId>,
    revocation: Revocation,
}

/// Takes the socket out of this runtime, for the data thread's or the keeper's: who says hello says for which shard.
async fn hand_over(upgraded: hyper::upgrade::Upgraded, app: &App, visit: Option<Visit>, proof: Proof) {
    let Ok(parts) = upgraded.downcast::<TokioIo<Wire>>() else {
        return tracing::warn!("a replication link came by a connection of another kind");
    };
    let (mut stream, mut read) = (parts.io.into_inner(), parts.read_buf.to_vec());
    // Whatever it is, the thread that it goes to reads it again, and refuses it by name. Nothing is nobody's.
    let Ok(asked) = tokio::time::timeout(HELLO_TIMEOUT, asked_shard(&mut stream, &mut read)).await else {
        return tracing::debug!("a replication link was opened, and nobody said hello");
    };
    let is_kept = asked.is_some_and(|shard| {
        let view = app.raft.applied().borrow().clone();
        let mine = view.state.shard_of_node(app.me.node).map(|shard| shard.id);
        mine != Some(shard)
            && view
                .state
                .shards
                .get(&shard)
                .is_some_and(|shard| shard.keeper.is_some_and(|keeper| keeper.member.node == app.me.node))
    });
    let (stream, session) = stream.into_parts();
    match leave_runtime(stream) {
        Ok(stream) => {
            let Proof { proved, revocation } = proof;
            let socket =
                LinkSocket { stream, session: session.map(Box::new), proved, revocation, read, visit };
            if is_kept {
                app.keeper.link(socket);
            } else if let Err(error) = app.data.link(socket) {
                tracing::debug!(%error, "a replication link came too late");
            }
        }
        Err(error) => tracing::warn!(%error, "a replication link cannot be handed over"),
    }
}

/// The shard that a hello names; what was read for it is left in `read`.
async fn asked_shard(stream: &mut Wire, read: &mut Vec<u8>) -> Option<ShardId> {
    loop {
        match decode(read, LinkVersion::HANDSHAKE) {
            Ok(Some((Message::Hello(hello), _))) => return Some(hello.shard),
            Ok(Some(_)) | Err(_) => return None,
            Ok(None) => {}
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

async fn report(State(app): State<Arc<App>>) -> Result<Json<NodeReport>, (StatusCode, String)> {
    match app.report().await {
        Ok(report) => Ok(Json(report)),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
    }
}

/// A release's binary, by digest, from `Range: bytes=N-` on. Whoever asks verifies what came.
async fn artifact(State(app): State<Arc<App>>, Path(digest): Path<String>, headers: HeaderMap) -> Response {
    let Ok(digest) = digest.parse::<Digest>() else {
        return (StatusCode::BAD_REQUEST, format!("{digest:?} is not a sha256 digest\n")).into_response();
    };
    let path = app.config.data_dir.join("slots").join(digest.to_string()).join("ironcache");
    let Ok(mut file) = ironcache_host::fs::File::open(&path).await else {
        return (StatusCode::NOT_FOUND, format!("this node does not hold {digest}\n")).into_response();
    };
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let from = range.and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok());
    let from = from.unwrap_or(0);
    if let Err(error) = file.seek(SeekFrom::Start(from)).await {
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response();
    }
    let chunks = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut chunk = Vec::with_capacity(256 << 10);
        match (&mut file).take(256 << 10).read_to_end(&mut chunk).await? {
            0 => Ok::<_, std::io::Error>(None),
            _ => Ok(Some((chunk, file))),
        }
    });
    let status = if from > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    (status, Body::from_stream(chunks)).into_response()
}
