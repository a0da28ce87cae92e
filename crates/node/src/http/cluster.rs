//! `GET /v1/cluster`: the control state, and what the leader last heard from each node.

use super::convert;
use super::error::HttpError;
use super::forward::{Answerer, Origin, find_leader};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ironcache_api::{ClusterStatus, NodeBrief};
use ironcache_coordinator::Bars;
use ironcache_raft::AppliedView;
use ironcache_types::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) async fn cluster(State(app): State<Arc<App>>, origin: Origin) -> Result<Response, HttpError> {
    match find_leader(&app, "/v1/cluster", origin).await? {
        Answerer::Here(view) => Ok(Json(of_leader(&app, &view).await?).into_response()),
        Answerer::There(response) => Ok(response),
    }
}

async fn of_leader(app: &App, view: &AppliedView) -> Result<ClusterStatus, HttpError> {
    let mut nodes = briefs(app);
    let own = NodeBrief {
        release: app.release.clone(),
        data: app.data.snapshot().await?.status,
        ready: app.readiness().await.is_ok(),
        seen_ms_ago: 0,
    };
    nodes.insert(app.me.node, own);
    Ok(ClusterStatus {
        leader: app.me.node,
        term: app.raft.view().term,
        control: convert::control(&view.state),
        nodes,
        waiting_on: app.lead().waiting_on.iter().map(convert::waiting_on).collect(),
        addresses: convert::addresses(&view.state),
    })
}

fn briefs(app: &App) -> BTreeMap<NodeId, NodeBrief> {
    let lead = app.lead();
    // An old answer is none: its node has stopped, hangs, or cannot be reached.
    let fresh = |seen: &crate::app::Seen| super::age_ms(seen.at) <= Bars::default().seen_ms_max;
    let brief = |seen: &crate::app::Seen| NodeBrief {
        release: seen.report.release.clone(),
        data: seen.report.data.clone(),
        ready: seen.report.ready,
        seen_ms_ago: super::age_ms(seen.at),
    };
    let answering = lead.reports.iter().filter(|(_, seen)| fresh(seen));
    answering.map(|(node, seen)| (*node, brief(seen))).collect()
}
