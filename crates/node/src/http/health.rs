//! Is it alive, is it ready, and its numbers: what supervisors, load balancers and scrapers ask.

use super::error::HttpError;
use crate::app::App;
use crate::metrics;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The process answers; nothing else is said.
pub(super) async fn livez() -> &'static str {
    "ok"
}

/// 200 while the node is what the applied state says it is and does for its clients what that means, else 503 with what is
/// missing.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    match app.readiness().await {
        Ok(()) => "ok".into_response(),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing).into_response(),
    }
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, HttpError> {
    let text = metrics::render(&app).await.map_err(|error| HttpError::Internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
