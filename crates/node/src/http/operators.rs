//! `/v1/operators`: whose keys may operate the cluster.
//!
//! *Invariant:* the entry names who asked, as this node has seen it proved; the log looks at that one's role again.

use super::asked::Asker;
use super::body::JsonBody;
use super::convert;
use super::error::HttpError;
use super::forward::require_cluster;
use crate::app::App;
use crate::doors::Who;
use axum::extract::State;
use axum::{Extension, Json};
use ironcache_api::{AddOperator, Done, Operators, RevokeOperator};
use ironcache_control::{AskedBy, Command};
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Operators>, HttpError> {
    require_cluster(&app)?;
    let view = app.raft.catch_up().await?;
    Ok(Json(Operators { operators: convert::operators(&view.state.security) }))
}

pub(super) async fn add(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    asker: Asker,
    JsonBody(AddOperator { key, name, role }): JsonBody<AddOperator>,
) -> Result<Json<Done>, HttpError> {
    require_cluster(&app)?;
    let Some(role) = convert::log_role(&role) else {
        let detail = format!("the role is one of viewer, operator and admin, and not {role}");
        return Err(HttpError::BadRequest(detail));
    };
    let by = asked_by(&app, &who);
    let done = format!("{name} may operate the cluster as {}", role.word());
    app.raft.propose(asker.asks(Command::AddOperator { by, key, name, role })).await?.outcome?;
    Ok(Json(Done { done }))
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    asker: Asker,
    JsonBody(RevokeOperator { key }): JsonBody<RevokeOperator>,
) -> Result<Json<Done>, HttpError> {
    require_cluster(&app)?;
    let by = asked_by(&app, &who);
    app.raft.propose(asker.asks(Command::RevokeOperator { by, key })).await?.outcome?;
    Ok(Json(Done { done: format!("the key {key} opens nothing any more") }))
}

fn asked_by(app: &App, who: &Who) -> AskedBy {
    match who {
        Who::Operator { key, .. } => AskedBy::Operator(*key),
        Who::Member(node) => AskedBy::Node(*node),
        // An insecure cluster has no operators, which the log says.
        Who::Open | Who::Nobody | Who::Unknown(_) | Who::Met(_) => AskedBy::Node(app.me.node),
    }
}
