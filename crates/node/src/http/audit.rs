//! `GET /v1/audit`: the audit chain, for whoever verifies it.
//!
//! *Invariant:* nothing is verified here: a node that vouched for its own chain would prove nothing.

use super::error::HttpError;
use super::forward::require_cluster;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use ironcache_api::AuditTrail;
use ironcache_control::Audit;
use std::sync::Arc;

pub(super) async fn audit(State(app): State<Arc<App>>) -> Result<Json<AuditTrail>, HttpError> {
    require_cluster(&app)?;
    let view = app.raft.catch_up().await?;
    let Audit { anchor, head, records } = &view.state.audit;
    Ok(Json(AuditTrail { anchor: *anchor, head: *head, records: records.iter().cloned().collect() }))
}
