//! The lease: a data node asks the leader for it, and the leader answers.
//!
//! ```text
//!   data node, every quarter of a lease            leader
//!   ask: life, silence of the data thread  ─────►  quorum round: do I lead?  ── Grantor ── granted: read index
//!   data thread: Grant{asked + lease, index} ◄───
//! ```
//! *Invariant:* a lease is granted to the node whose key asks for it, where there are keys.
//! *Invariant:* nobody is asked for another one: who does not lead says so, and the node asks again.
//! *Invariant:* the time of a lease is the asker's, taken before the question leaves.

use crate::app::App;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use ironcache_control::ControlState;
use ironcache_raft::Proved;
use ironcache_shard::{Grant, NotGranted, Round};
use ironcache_spine::boottime_ms;
use ironcache_types::{Epoch, Member, NodeId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// On the peer port.
pub(crate) const LEASE_PATH: &str = "/node/lease";
/// After a question that found no leader: an election takes some hundred milliseconds, and a shard waits for its end.
const ASK_AGAIN: Duration = Duration::from_millis(25);

/// `POST /node/lease`, as JSON.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct AskLease {
    pub member: Member,
    /// For how long the data thread has not moved.
    pub silence_ms: u64,
}

/// The log index up to which it has to be applied before the lease counts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Leased {
    pub index: u64,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("no leader is known")]
    NoLeader,
    #[error("the leader is not reached")]
    Http(#[from] ironcache_host::http::Error),
    #[error("the leader grants no lease: {0}")]
    Refused(String),
}

/// Keeps this node's lease while it owns a shard. Runs until the process ends.
pub(crate) async fn keep(app: Arc<App>) {
    let mut views = app.raft.applied();
    let mut leaders = app.raft.view_changes();
    let mut told = false;
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        leaders.borrow_and_update();
        let lease_ms = view.state.policy.timers.lease_ms();
        let start = owned(&view.state, app.me);
        if start.is_none() {
            // Becoming an owner is an entry.
            if views.changed().await.is_err() {
                return;
            }
            continue;
        }
        let asked_ms = boottime_ms();
        // A question that is stuck is not waited for: the next one may find another leader.
        let patience = Duration::from_millis(lease_ms / 4);
        let pause = match tokio::time::timeout(patience, ask(&app)).await {
            Ok(Ok(Leased { index })) => {
                told = false;
                app.data.grant(Grant { until_ms: asked_ms + lease_ms, index });
                patience
            }
            Ok(Err(error)) => {
                if !std::mem::replace(&mut told, true) {
                    let error = ironcache_types::chain(&error);
                    tracing::warn!(error, "no lease is granted; without one this node answers no client");
                }
                ASK_AGAIN
            }
            Err(_) => Duration::ZERO,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The new leader is asked at once.
            changed = leaders.changed() => if changed.is_err() { return },
            // So is any for another start: deposed and promoted again, this life has no lease for that yet.
            ended = views.wait_for(|view| owned(&view.state, app.me) != start) => if ended.is_err() { return },
        }
    }
}

/// The epoch under which the log has this life own its shard.
fn owned(state: &ControlState, me: Member) -> Option<Epoch> {
    state.shard_of_node(me.node).filter(|shard| shard.is_primary(me)).map(|shard| shard.epoch)
}

async fn ask(app: &App) -> Result<Leased, AskError> {
    let asked = AskLease { member: app.me, silence_ms: app.data.silence_ms() };
    let leader = app.raft.view().leader.ok_or(AskError::NoLeader)?;
    if leader == app.me.node {
        return answer(app, asked).await.map_err(|refused| AskError::Refused(refused.to_string()));
    }
    let addr = address(app, leader).ok_or(AskError::NoLeader)?;
    let answer = app.client.post(format!("http://{addr}{LEASE_PATH}")).to(leader).json(&asked).send().await?;
    if !answer.status().is_success() {
        return Err(AskError::Refused(answer.text().await?.trim().to_owned()));
    }
    Ok(answer.json().await?)
}

fn address(app: &App, node: NodeId) -> Option<String> {
    app.raft.addresses().get(&node).map(|addr| addr.0.clone())
}

/// The leader's answer.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    by: Option<Extension<Proved>>,
    Json(asked): Json<AskLease>,
) -> Result<Json<Leased>, (StatusCode, String)> {
    if let Some(Extension(Proved(node))) = by.filter(|Extension(Proved(node))| *node != asked.member.node) {
        let why = format!("the key of node {node} asks for the lease of node {}\n", asked.member.node);
        return Err((StatusCode::UNAUTHORIZED, why));
    }
    let refused = |refused: NotGranted| (StatusCode::CONFLICT, format!("{refused}\n"));
    answer(&app, asked).await.map(Json).map_err(refused)
}

async fn answer(app: &App, asked: AskLease) -> Result<Leased, NotGranted> {
    let AskLease { member, silence_ms } = asked;
    let patience = Duration::from_millis(app.raft.timers().election_max_ms);
    let led = app.raft.lead_confirmed(patience).await.map_err(|_| NotGranted::NotLeading)?;
    let view = Arc::clone(&app.raft.applied().borrow());
    let hang_timeout_ms = app.config.hang_timeout_ms;
    let round = Round { term: led.term, index: led.index };
    let (mut grantor, now_ms) = (app.grantor(), boottime_ms());
    let index = grantor.grant(member, silence_ms, hang_timeout_ms, round, &view.state, now_ms)?;
    Ok(Leased { index })
}
