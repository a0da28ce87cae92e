//! Requests that say since which level of the cluster their verb exists.
//!
//! *Invariant:* below that level the verb is `not_yet` on every node, also on one whose release does not know the path.

use super::body::shown;
use super::error::HttpError;
use super::forward::require_cluster;
use crate::app::App;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ironcache_api::LEVEL_HEADER;
use ironcache_control::Rejection;
use ironcache_types::Level;
use std::sync::Arc;

/// Lets a request through that says nothing, or a level that the cluster has reached.
pub(super) async fn require(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let refused = match asked(request.headers()) {
        Ok(None) => None,
        Ok(Some(level)) => reached(&app, level).await.err(),
        Err(error) => Some(error),
    };
    match refused {
        None => next.run(request).await,
        Some(error) => error.into_response(),
    }
}

fn asked(headers: &HeaderMap) -> Result<Option<Level>, HttpError> {
    let Some(said) = headers.get(LEVEL_HEADER) else { return Ok(None) };
    let level = said.to_str().ok().and_then(|text| text.parse().ok()).map(Level);
    level.map(Some).ok_or_else(|| {
        let said = shown(&String::from_utf8_lossy(said.as_bytes()));
        HttpError::BadRequest(format!("the header {LEVEL_HEADER} is {said:?}; a level is expected"))
    })
}

async fn reached(app: &App, level: Level) -> Result<(), HttpError> {
    if app.raft.level() >= level {
        return Ok(());
    }
    require_cluster(app)?;
    // Another node may have seen the raise a moment earlier, and have told whoever asks.
    let state = app.raft.catch_up().await?.state.cluster_level;
    if state >= level { Ok(()) } else { Err(Rejection::NotYet { level, state }.into()) }
}
