//! `POST /v1/cluster/zone`, of the feature `next`.

use super::asked::Asker;
use super::body::JsonBody;
use super::error::HttpError;
use super::forward::require_cluster;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use ironcache_api::{Done, SetZone};
use ironcache_control::Command;
use std::sync::Arc;

pub(super) async fn set_zone(
    State(app): State<Arc<App>>,
    asker: Asker,
    JsonBody(SetZone { node, zone }): JsonBody<SetZone>,
) -> Result<Json<Done>, HttpError> {
    require_cluster(&app)?;
    let done = format!("node {node} stands in zone {zone}");
    app.raft.propose(asker.asks(Command::SetZone { node, zone })).await?.outcome?;
    Ok(Json(Done { done }))
}
