//! The HTTP port: health, metrics, status, and the administration of the cluster.
//!
//! ```text
//!   any client ─► router ─┬─ about this node ─────► App
//!                         ├─ reads ───────────────► raft.catch_up() ─► applied state
//!                         ├─ what the leader saw ─► here if it leads, else one hop to the leader
//!                         └─ orders ──────────────► raft.propose() ─► applied, refused, or unknown
//! ```
//!
//! *Invariant:* nothing is decided here: what may happen is refused or accepted by the log.
//! *Invariant:* an answer about the cluster shows at least what was acknowledged before the question.
//! *Invariant:* a request is forwarded at most once.
//! *Invariant:* in a cluster with keys nobody without a key of the right role is answered but for the open reads (`doors`).
//! *Invariant:* a browser's request that a foreign page made it send is refused before anything else (`strangers`).
//! *Invariant:* an order names who asked for it (`asked`); one that is refused is counted (`refused`).

mod asked;
mod audit;
mod body;
mod cluster;
mod convert;
mod create;
mod error;
mod forward;
mod health;
mod join;
mod level;
mod members;
#[cfg(feature = "next")]
mod next;
mod operators;
mod policy;
mod recover;
mod refused;
mod releases;
mod status;
#[cfg(test)]
mod tests;
mod upgrade;
mod upload;

pub(crate) use refused::{Refusals, RefusedAs, note_peers};

#[cfg(test)]
pub(crate) use body::MAX_BYTES as JSON_BYTES_MAX;
pub(crate) use body::shown;
pub(crate) use upload::{KEEP_FREE_BYTES, KEEP_FREE_SHARE};

use crate::app::App;
use crate::doorkeeper::{self, NotTaken};
use crate::doors;
use crate::strangers;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use error::HttpError;
use std::sync::Arc;
use tokio::time::Instant;

/// Every path of the HTTP port; `ironcache_api` has the table.
pub(crate) fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/status", get(status::status))
        .route("/v1/cluster", get(cluster::cluster))
        .route("/v1/audit", get(audit::audit))
        .route("/v1/cluster/create", post(create::create))
        .route("/v1/cluster/recover", post(recover::recover))
        .route("/v1/cluster/nodes/add", post(members::add))
        .route("/v1/cluster/nodes/replace", post(members::replace))
        .route("/v1/cluster/nodes/remove", post(members::remove))
        .route("/v1/join/prove", post(join::prove))
        .route("/v1/join/bind", post(join::bind))
        .route("/v1/operators", get(operators::list))
        .route("/v1/operators/add", post(operators::add))
        .route("/v1/operators/revoke", post(operators::revoke))
        .route("/v1/policy", get(policy::get).post(policy::change))
        .route("/v1/releases/allow", post(releases::allow))
        .route("/v1/upgrade", get(upgrade::status))
        .route("/v1/upgrade/plan", post(upgrade::plan))
        .route("/v1/upgrade/pause", post(upgrade::pause))
        .route("/v1/upgrade/resume", post(upgrade::resume))
        .route("/v1/upgrade/abort", post(upgrade::abort))
        .route("/v1/upgrade/rollback", post(upgrade::rollback))
        .route("/v1/upgrade/finalize", post(upgrade::finalize));
    #[cfg(feature = "next")]
    let routes = routes.route("/v1/cluster/zone", post(next::set_zone));
    // A binary is not held in memory and has a limit of its own.
    let streamed = Router::new()
        .route("/v1/releases", get(releases::list).post(releases::stage))
        .layer(from_fn(doorkeeper::streams));
    let taken = doorkeeper::Taken { max_bytes: body::MAX_BYTES, refuse: not_taken };
    let routes = routes.layer(from_fn_with_state(taken, doorkeeper::receive)).merge(streamed);
    with_errors(routes)
        .layer(DefaultBodyLimit::max(body::MAX_BYTES))
        .layer(from_fn_with_state(Arc::clone(&app), level::require))
        .layer(from_fn_with_state(Arc::clone(&app), doors::http))
        .layer(from_fn_with_state(Arc::clone(&app), strangers::refuse))
        .layer(from_fn_with_state(Arc::clone(&app), refused::note))
        .layer(from_fn_with_state(Arc::clone(&app), doors::identify))
        .with_state(app)
}

const _: () = assert!(
    ((doorkeeper::HTTP.large_kib as usize) << 10) + doorkeeper::FREE_BYTES >= body::MAX_BYTES,
    "the largest request has to fit into the budget"
);

pub(crate) fn not_taken(why: &NotTaken) -> Response {
    match why {
        NotTaken::TooLong { max_bytes } => HttpError::TooLarge { max_bytes: *max_bytes as u64 },
        NotTaken::BrokeOff { .. } => HttpError::BadRequest(why.to_string()),
        NotTaken::NoLength => HttpError::NoLength(why.to_string()),
        NotTaken::NoBudget | NotTaken::NoMemory { .. } | NotTaken::NoRoomToAnswer { .. } => {
            HttpError::Unavailable(why.to_string())
        }
    }
    .into_response()
}

/// Wrong paths and methods are answered like every other error.
fn with_errors<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(async |method: Method, uri: Uri| HttpError::NoSuchPath {
            method,
            path: uri.path().to_owned(),
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| HttpError::WrongMethod {
            method,
            path: uri.path().to_owned(),
        })
}

fn age_ms(at: Instant) -> u64 {
    u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)
}
