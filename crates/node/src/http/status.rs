//! `GET /status`: one node's own view, of whatever state it is in.

use super::convert;
use super::error::HttpError;
use crate::app::App;
use crate::launcher::LauncherView;
use axum::Json;
use axum::extract::State;
use ironcache_agent::LauncherPhase;
use ironcache_api::{LauncherStatus, NodeStatus, RaftStatus};
use ironcache_control::ControlState;
use ironcache_formats::state;
use ironcache_raft::{Admission, AppliedView, RaftNode};
use ironcache_types::{Digest, LEVELS, chain};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<NodeStatus>, HttpError> {
    Ok(Json(node_status(&app).await?))
}

/// Waits for nothing but this node's own threads: it answers without a leader and without a quorum.
pub(super) async fn node_status(app: &App) -> Result<NodeStatus, HttpError> {
    let shown = app.data.snapshot().await?;
    let not_ready = app.ready_with(&shown).err();
    let data = shown.status;
    let slots = slots(app).await?;
    let view = app.raft.applied().borrow().clone();
    let state = &view.state;
    let exists = state.cluster_id.is_some();
    Ok(NodeStatus {
        node: app.me.node,
        incarnation: app.me.incarnation,
        release: app.release.clone(),
        pid: crate::process::id(),
        client_addr: app.config.client_addr(),
        peer_addr: app.config.peer_addr(),
        http_addr: app.config.http_addr(),
        tls_port: app.config.announced_tls_port(),
        levels: LEVELS,
        launcher_protocol: Some(app.launcher_protocol()),
        machine: app.machine,
        timers: Some(convert::timers(app.raft.timers())),
        pristine: !exists,
        insecure: app.config.insecure,
        believes: Some(convert::believes(&app.doors.mode())),
        launcher: launcher(&app.launcher.borrow()),
        raft: raft(&app.raft, &view),
        data,
        staged: staged(app, state, &slots),
        state_hash: format!("{:016x}", state_hash(state)?),
        control: exists.then(|| convert::control(state)),
        not_ready,
    })
}

/// Of the control state alone, without the answers that the log remembers.
fn state_hash(state: &ControlState) -> Result<u64, HttpError> {
    state::hash(state, []).map_err(|error| HttpError::Internal(chain(&error)))
}

fn launcher(view: &LauncherView) -> LauncherStatus {
    let facts = &view.facts;
    let phase = match facts.phase {
        LauncherPhase::Absent => ironcache_api::LauncherPhase::Absent,
        LauncherPhase::Idle => ironcache_api::LauncherPhase::Idle,
        LauncherPhase::Trial { .. } => ironcache_api::LauncherPhase::Trial,
    };
    LauncherStatus {
        phase,
        degraded: facts.degraded.clone(),
        #[cfg(feature = "next")]
        pid: view.pid,
    }
}

/// `last_applied` is that of `applied`, so that it fits the state next to it.
fn raft(node: &RaftNode, applied: &AppliedView) -> RaftStatus {
    let view = node.view();
    RaftStatus {
        cluster: node.cluster(),
        leader: view.leader,
        is_leader: view.is_leader,
        term: view.term,
        voters: view.voters,
        learners: view.learners,
        last_log: view.last_log.unwrap_or(0),
        last_applied: applied.index,
        committed: view.committed.unwrap_or(0),
        went_back: match &*node.admission().borrow() {
            Admission::WentBack(why) => Some(why.to_string()),
            Admission::Comparing | Admission::New | Admission::Admitted => None,
        },
        admitted: *node.admission().borrow() == Admission::Admitted,
    }
}

async fn slots(app: &App) -> Result<BTreeSet<Digest>, HttpError> {
    let store = Arc::clone(&app.slots);
    let listed = ironcache_host::exec::spawn_blocking(move || store.list()).await;
    let listed = listed.map_err(|error| HttpError::Internal(error.to_string()))?;
    Ok(listed.map_err(|error| HttpError::Internal(chain(&error)))?.into_iter().collect())
}

/// What was verified on its way in, or is running, and still has its slot. Hashing every binary again for
/// each question would keep a core busy.
fn staged(app: &App, state: &ControlState, slots: &BTreeSet<Digest>) -> Vec<Digest> {
    let reported = state.nodes.get(&app.me.node).map(|node| &node.staged);
    let is_verified = |digest: &&Digest| {
        **digest == app.release.digest || reported.is_some_and(|staged| staged.contains(*digest))
    };
    slots.iter().filter(is_verified).copied().collect()
}
