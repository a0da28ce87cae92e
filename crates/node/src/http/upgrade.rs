//! `/v1/upgrade`: where a roll stands, and what an operator may say to it.
//!
//! *Invariant:* an order names the plan that was active when it came; the log decides whether it still is.

use super::age_ms;
use super::body::JsonBody;
use super::error::HttpError;
use super::forward::{Answerer, Origin, find_leader, no_leader, require_cluster, wait_for_leader};
use crate::api::{Done, PlanAnswer, PlanRequest, UpgradeNode, UpgradeStatus};
use crate::app::App;
use crate::clock::unix_ms;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ironcache_control::{
    Applied, Command, ControlState, Node, NodeRole, Plan, PlanOptions, Policy, Rejection, StartedBy,
    StepState, TrialPhase,
};
use ironcache_coordinator::{Bars, Rehearsal, preview};
use ironcache_raft::AppliedView;
use ironcache_types::{NodeId, PlanId};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn status(State(app): State<Arc<App>>, origin: Origin) -> Result<Response, HttpError> {
    match find_leader(&app, "/v1/upgrade", origin).await? {
        Answerer::Here(view) => Ok(Json(of_leader(&app, &view)).into_response()),
        Answerer::There(response) => Ok(response),
    }
}

fn of_leader(app: &App, view: &AppliedView) -> UpgradeStatus {
    let (waiting_on, reachable) = {
        let lead = app.lead();
        let fresh = |seen: &crate::app::Seen| age_ms(seen.at) <= Bars::default().seen_ms_max;
        let answering = lead.reports.iter().filter(|(_, seen)| fresh(seen)).map(|(node, _)| *node);
        (lead.waiting_on.clone(), answering.chain([app.me.node]).collect::<BTreeSet<_>>())
    };
    let state = &view.state;
    UpgradeStatus {
        leader: app.me.node,
        plan: state.plan.clone(),
        waiting_on,
        history: state.history.iter().cloned().collect(),
        nodes: state.nodes.values().map(|node| upgrade_node(state, node, app.me.node, &reachable)).collect(),
    }
}

fn upgrade_node(
    state: &ControlState,
    node: &Node,
    leader: NodeId,
    reachable: &BTreeSet<NodeId>,
) -> UpgradeNode {
    let role = match node.role {
        NodeRole::Witness => "witness",
        NodeRole::Data if state.is_primary_node(node.id) => "primary",
        NodeRole::Data => "replica",
    };
    // Between plans, the last one is what people still look at.
    let plan = state.plan.as_ref().or_else(|| state.history.back().map(|entry| &entry.plan));
    UpgradeNode {
        node: node.id,
        client_addr: node.client_addr.clone(),
        shard: node.shard,
        role: role.to_owned(),
        leader: node.id == leader,
        release: node.release.clone(),
        step: step(node, plan).to_owned(),
        in_sync: state.shard_of_node(node.id).is_some_and(|shard| shard.in_sync.contains(&node.member())),
        reachable: reachable.contains(&node.id),
    }
}

/// How far `node` is on its way to the target of `plan`.
fn step(node: &Node, plan: Option<&Plan>) -> &'static str {
    let Some(plan) = plan else { return "idle" };
    let target = plan.target.digest;
    if let Some(out) = &node.out {
        return match out.phase {
            TrialPhase::Told if node.release.digest != out.target.digest => "out",
            TrialPhase::Told | TrialPhase::Confirming { .. } => "trial",
            TrialPhase::SetAside => "out",
        };
    }
    if node.release.digest == target {
        return "confirmed";
    }
    match plan.steps.iter().rev().find(|step| step.node == node.id).map(|step| &step.state) {
        Some(StepState::Failed { .. } | StepState::Inconclusive { .. } | StepState::SetAside) => "failed",
        Some(StepState::Out | StepState::Confirmed) | None if node.staged.contains(&target) => "staged",
        Some(StepState::Out | StepState::Confirmed) | None => "waiting",
    }
}

pub(super) async fn plan(
    State(app): State<Arc<App>>,
    JsonBody(request): JsonBody<PlanRequest>,
) -> Result<Json<PlanAnswer>, HttpError> {
    require_cluster(&app)?;
    let options = options(&request, &app.raft.applied().borrow().state.policy)?;
    let PlanRequest { target, dry_run, max_parallel: _, settle_ms: _ } = request;
    wait_for_leader(&app).await;
    let leader = app.raft.view().leader.ok_or_else(no_leader)?;
    let view = app.raft.catch_up().await?;
    let steps = preview(&view.state, leader, &target, options)?;
    let rehearsed = Rehearsal::begin(&view.state, leader, &target, options)?.state.plan;
    let expected = rehearsed.ok_or_else(|| {
        HttpError::Internal("our bug: a plan was accepted in rehearsal and is not there".to_owned())
    })?;
    let answer =
        |plan| PlanAnswer { plan, from: expected.origin.version.clone(), target: expected.target, steps };
    if dry_run {
        return Ok(Json(answer(None)));
    }
    let command =
        Command::StartPlan { target, options, leader, started_by: StartedBy::Operator, at_ms: unix_ms() };
    match app.raft.propose(command).await?.outcome? {
        Applied::PlanStarted { plan } => Ok(Json(answer(Some(plan)))),
        // Sent again under the name of an attempt whose answer was lost: the plan is the newest one.
        Applied::Unchanged => Ok(Json(answer(Some(app.raft.catch_up().await?.state.last_plan)))),
        other @ Applied::Changed { .. } => {
            Err(HttpError::Internal(format!("our bug: the log answered the start of a plan with {other:?}")))
        }
    }
}

/// What the policy says, but for what the request says otherwise.
fn options(request: &PlanRequest, policy: &Policy) -> Result<PlanOptions, HttpError> {
    let PlanRequest { target: _, dry_run: _, max_parallel, settle_ms } = request;
    let default = policy.plan_options();
    let max_parallel = max_parallel.unwrap_or(default.max_parallel);
    if max_parallel == 0 {
        return Err(HttpError::BadRequest(
            "max_parallel is 0, so no node could ever go; at least 1 is needed".to_owned(),
        ));
    }
    let settle_ms = settle_ms.unwrap_or(default.settle_ms);
    Ok(PlanOptions { max_parallel, settle_ms, ..default })
}

pub(super) async fn pause(State(app): State<Arc<App>>) -> Result<Json<Done>, HttpError> {
    order(&app, "is paused: no further step begins", |plan| Command::Pause { plan }).await
}

pub(super) async fn resume(State(app): State<Arc<App>>) -> Result<Json<Done>, HttpError> {
    order(&app, "goes on", |plan| Command::Resume { plan }).await
}

pub(super) async fn abort(State(app): State<Arc<App>>) -> Result<Json<Done>, HttpError> {
    let at_ms = unix_ms();
    let done =
        order(&app, "is aborted: every node stays on what it runs", |plan| Command::Abort { plan, at_ms });
    let Json(Done { mut done }) = done.await?;
    let view = app.raft.catch_up().await?;
    for node in view.state.nodes.values().filter(|node| node.out.is_some()) {
        done.push_str(&format!(
            "; node {} is out, and in no in-sync set before it is back: it rejoins by itself when it is started",
            node.id
        ));
    }
    Ok(Json(Done { done }))
}

async fn order(
    app: &App,
    done: &str,
    command: impl FnOnce(PlanId) -> Command,
) -> Result<Json<Done>, HttpError> {
    require_cluster(app)?;
    let view = app.raft.catch_up().await?;
    let plan = view.state.plan.as_ref().ok_or(Rejection::NoPlan)?;
    app.raft.propose(command(plan.id)).await?.outcome?;
    Ok(Json(Done { done: format!("plan {} to {} {done}", plan.id, plan.target.version) }))
}
