//! `POST /v1/join/…`: the first contact, with a node that belongs to no cluster yet.
//!
//! ```text
//!   holder of the code                     new node
//!     ├─ TLS, both keys ──────────────────────┤
//!     ├─ prove: HMAC(code, this connection) ─►│  else refused: `other_code`
//!     │◄─ HMAC(code, this connection) ────────┤
//!     ├─ bind: cluster, every member's key ──►│  durable; from here on they are obeyed, and this key is admin
//! ```
//! *Invariant:* a node is bound by nobody but who has proved its join code on the same connection.
//! *Invariant:* a node that has joined a raft group is never bound anew: who it obeys is what it was told before.
//! *Invariant:* nothing is read of whoever asks where no code is obeyed, nor of a binding by whoever has proved none
//! (`doors::http`).

use super::body::JsonBody;
use super::error::HttpError;
use crate::app::App;
use crate::doors::{Binding, Caller};
use axum::extract::State;
use axum::{Extension, Json};
use ironcache_api::{Done, JoinBind, JoinProve, JoinProved};
use ironcache_host::exec::spawn_blocking;
use ironcache_identity::{JoinCode, Proof, Side};
use ironcache_types::{Digest, KeyHash, chain};
use std::sync::Arc;

pub(super) async fn prove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    JsonBody(JoinProve { proof }): JsonBody<JoinProve>,
) -> Result<Json<JoinProved>, HttpError> {
    let code = code(&app)?;
    let Some(session) = caller.session().filter(|session| session.peer.is_some()) else {
        return Err(HttpError::denied("no_key", "a join code is proved by TLS, with a key".to_owned()));
    };
    if !code.is_proved_by(&Proof(proof.0), Side::Caller, session) {
        let detail =
            "the join code is another one: it stands in this node's output, or in its `join-code-file`";
        return Err(HttpError::denied("other_code", detail.to_owned()));
    }
    caller.meet();
    let Proof(proof) = code.prove(Side::Called, session);
    Ok(Json(JoinProved { node: app.me.node, proof: Digest(proof) }))
}

pub(super) async fn bind(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    JsonBody(JoinBind { cluster, nodes }): JsonBody<JoinBind>,
) -> Result<Json<Done>, HttpError> {
    let key = met(&app, &caller)?;
    if nodes.get(&app.me.node) != Some(&app.doors.tls.hash()) {
        let detail = format!("this is node {} with key {}", app.me.node, app.doors.tls.hash());
        return Err(HttpError::refused("other_node", detail));
    }
    let asked = Binding { cluster, nodes, admin: key };
    let is_bound_so = app.doors.binding().is_some_and(|binding| *binding == asked);
    if !is_bound_so {
        if app.raft.cluster().is_some() {
            return Err(not_pristine());
        }
        let doors = Arc::clone(&app.doors);
        let bound = spawn_blocking(move || doors.bind(asked)).await;
        bound
            .map_err(|error| HttpError::Internal(error.to_string()))?
            .map_err(|error| HttpError::Internal(chain(&error)))?;
        tracing::info!(%cluster, "this node was bound by the holder of its join code");
    }
    Ok(Json(Done { done: format!("node {} obeys the members of cluster {cluster}", app.me.node) }))
}

/// The key that this connection proved beside the code.
fn met(app: &App, caller: &Caller) -> Result<KeyHash, HttpError> {
    code(app)?;
    caller.key().filter(|_| caller.has_met()).ok_or_else(|| {
        let detail = "the join code has to be proved first, on this connection (/v1/join/prove)";
        HttpError::denied("no_code", detail.to_owned())
    })
}

fn code(app: &App) -> Result<&JoinCode, HttpError> {
    app.doors.code().ok_or_else(not_pristine)
}

fn not_pristine() -> HttpError {
    let detail = "this node belongs to a cluster, or obeys no join code; start it with an empty data directory, and without \
                  `insecure`";
    HttpError::refused("not_pristine", detail.to_owned())
}
