//! `/v1/upgrade`: where a roll stands, and what an operator may say to it.
//!
//! *Invariant:* an order names the plan that was active when it came; the log decides whether it still is.

use super::age_ms;
use super::asked::Asker;
use super::body::JsonBody;
use super::convert;
use super::error::HttpError;
use super::forward::{Answerer, Origin, find_leader, no_leader, require_cluster, wait_for_leader};
use crate::app::App;
use crate::clock::unix_ms;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ironcache_api::{
    Done, NodeStep, PlanAnswer, PlanRequest, RollbackBlocker, RollbackRequest, ServingRole, Soaking,
    UpgradeNode, UpgradeStatus,
};
use ironcache_control::{
    Applied, Command, ControlState, FinalizeAfter, Node, NodeRole, Phase, Plan, PlanOptions, Policy, Reason,
    Rejection, StartedBy, StepState, TrialPhase,
};
use ironcache_coordinator::{Bars, Rehearsal, level_after, preview};
use ironcache_raft::AppliedView;
use ironcache_types::{NodeId, Release};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn status(State(app): State<Arc<App>>, origin: Origin) -> Result<Response, HttpError> {
    match find_leader(&app, "/v1/upgrade", origin).await? {
        Answerer::Here(view) => Ok(Json(of_leader(&app, &view)).into_response()),
        Answerer::There(response) => Ok(response),
    }
}

fn of_leader(app: &App, view: &AppliedView) -> UpgradeStatus {
    let (waiting_on, counted_ms, reachable) = {
        let lead = app.lead();
        let fresh = |seen: &crate::app::Seen| age_ms(seen.at) <= Bars::default().seen_ms_max;
        let answering = lead.reports.iter().filter(|(_, seen)| fresh(seen)).map(|(node, _)| *node);
        let reachable = answering.chain([app.me.node]).collect::<BTreeSet<_>>();
        (lead.waiting_on.clone(), lead.soaked_ms, reachable)
    };
    let state = &view.state;
    UpgradeStatus {
        leader: app.me.node,
        now_ms: Some(unix_ms()),
        plan: state.plan.as_ref().map(convert::plan),
        waiting_on: waiting_on.iter().map(convert::waiting_on).collect(),
        soaking: state.plan.as_ref().and_then(|plan| soaking(state, plan, counted_ms)),
        addresses: convert::addresses(state),
        history: state.history.iter().map(convert::history_entry).collect(),
        nodes: state.nodes.values().map(|node| upgrade_node(state, node, app.me.node, &reachable)).collect(),
    }
}

/// What would follow a plan that soaks, and what stands in the way of going back. `counted_ms` is what the leader has counted:
/// the log's count, and what has passed since that was committed.
fn soaking(state: &ControlState, plan: &Plan, counted_ms: Option<u64>) -> Option<Soaking> {
    let Phase::Soaking { since_ms, soaked_ms } = plan.phase else { return None };
    let blockers = rollback_blockers(state, plan);
    Some(Soaking {
        since_ms,
        soaked_ms: soaked_ms.max(counted_ms.unwrap_or(0)),
        finalize_after_s: match plan.options.finalize_after {
            FinalizeAfter::Never => None,
            FinalizeAfter::Seconds(seconds) => Some(seconds),
        },
        level: state.cluster_level,
        finalizes_to: level_after(state),
        can_roll_back: blockers.is_empty(),
        blockers,
    })
}

fn rollback_blockers(state: &ControlState, plan: &Plan) -> Vec<RollbackBlocker> {
    let back_to = plan.before();
    let admits = state.releases.get(&back_to.digest).map(|info| info.levels);
    let raised = admits
        .filter(|admits| !admits.admits(state.cluster_level))
        .map(|admits| RollbackBlocker::LevelRaised { level: state.cluster_level, reads_up_to: admits.max });
    let goes = state.nodes.values().filter(|node| node.release.digest != back_to.digest);
    raised.into_iter().chain(goes.filter_map(|node| node_blocker(node, plan, back_to))).collect()
}

fn node_blocker(node: &Node, plan: &Plan, back_to: &Release) -> Option<RollbackBlocker> {
    if !node.staged.contains(&back_to.digest) {
        return Some(RollbackBlocker::NotHeld { node: node.id });
    }
    match &node.preflight {
        Some(tried) if tried.digest == back_to.digest && tried.turn == plan.turn => {
            let problem = convert::problem(tried.problem.as_ref()?);
            Some(RollbackBlocker::Preflight { node: node.id, problem })
        }
        Some(_) | None => Some(RollbackBlocker::NotChecked { node: node.id }),
    }
}

fn upgrade_node(
    state: &ControlState,
    node: &Node,
    leader: NodeId,
    reachable: &BTreeSet<NodeId>,
) -> UpgradeNode {
    let role = match node.role {
        NodeRole::Witness => ServingRole::Witness,
        NodeRole::Data if state.is_primary_node(node.id) => ServingRole::Primary,
        NodeRole::Data => ServingRole::Replica,
    };
    // Between plans, the last one is what people still look at.
    let plan = state.plan.as_ref().or_else(|| state.history.back().map(|entry| &entry.plan));
    UpgradeNode {
        node: node.id,
        client_addr: node.client_addr.clone(),
        shard: node.shard,
        role,
        leader: node.id == leader,
        release: node.release.clone(),
        step: step(node, plan),
        in_sync: state.shard_of_node(node.id).is_some_and(|shard| shard.in_sync.contains(&node.member())),
        reachable: reachable.contains(&node.id),
    }
}

/// How far `node` is on its way to the target of `plan`.
fn step(node: &Node, plan: Option<&Plan>) -> NodeStep {
    let Some(plan) = plan else { return NodeStep::Idle };
    let target = plan.target.digest;
    if let Some(out) = &node.out {
        return match out.phase {
            TrialPhase::Told if node.release.digest != out.target.digest => NodeStep::Out,
            TrialPhase::Told | TrialPhase::Confirming { .. } => NodeStep::Trial,
            TrialPhase::SetAside => NodeStep::Out,
        };
    }
    if node.release.digest == target {
        return NodeStep::Confirmed;
    }
    match plan.steps.iter().rev().find(|step| step.node == node.id).map(|step| &step.state) {
        Some(StepState::Failed { .. } | StepState::Inconclusive { .. } | StepState::SetAside) => {
            NodeStep::Failed
        }
        Some(StepState::Out | StepState::Confirmed) | None if node.staged.contains(&target) => {
            NodeStep::Staged
        }
        Some(StepState::Out | StepState::Confirmed) | None => NodeStep::Waiting,
    }
}

pub(super) async fn plan(
    State(app): State<Arc<App>>,
    asker: Asker,
    JsonBody(request): JsonBody<PlanRequest>,
) -> Result<Json<PlanAnswer>, HttpError> {
    require_cluster(&app)?;
    let options = options(&request, &app.raft.applied().borrow().state.policy)?;
    let PlanRequest { target, digest, dry_run, max_parallel: _, settle_ms: _ } = request;
    wait_for_leader(&app).await;
    let leader = app.raft.view().leader.ok_or_else(no_leader)?;
    let view = app.raft.catch_up().await?;
    let steps = preview(&view.state, leader, &target, options)?;
    // Whoever said a version only is shown what it means now, and that is what the log is asked for.
    let release = view.state.check_plan(&target)?;
    if let Some(asked) = digest.filter(|asked| *asked != release.digest) {
        let (asked, known) = (asked.short(), release.digest.short());
        return Err(Rejection::OtherDigest { version: target, asked, known }.into());
    }
    let rehearsed = Rehearsal::begin(&view.state, leader, &target, options)?.state.plan;
    let expected = rehearsed.ok_or_else(|| {
        HttpError::Internal("our bug: a plan was accepted in rehearsal and is not there".to_owned())
    })?;
    let answer =
        |plan| PlanAnswer { plan, from: expected.origin.version.clone(), target: expected.target, steps };
    if dry_run {
        return Ok(Json(answer(None)));
    }
    let (started_by, at_ms) = (StartedBy::Operator, unix_ms());
    let command = Command::StartPlan { target: release, options, leader, started_by, at_ms };
    match app.raft.propose(asker.asks(command)).await?.outcome? {
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
    let PlanRequest { target: _, digest: _, dry_run: _, max_parallel, settle_ms } = request;
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

pub(super) async fn pause(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<Done>, HttpError> {
    order(&app, asker, "is paused: no further step begins", |_, plan| Command::Pause { plan: plan.id }).await
}

pub(super) async fn resume(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<Done>, HttpError> {
    order(&app, asker, "goes on", |_, plan| Command::Resume { plan: plan.id }).await
}

pub(super) async fn abort(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<Done>, HttpError> {
    let at_ms = unix_ms();
    let done = order(&app, asker, "is aborted: every node stays on what it runs", |_, plan| Command::Abort {
        plan: plan.id,
        at_ms,
    });
    let Json(Done { mut done }) = done.await?;
    let view = app.raft.catch_up().await?;
    if let Some(left) = &view.state.unfinished {
        let (target, origin) = (&left.target.version, &left.origin.version);
        done.push_str(&format!("; the next target is {target}, to go on, or {origin}, to go back"));
    }
    for node in view.state.nodes.values().filter(|node| node.out.is_some()) {
        done.push_str(&format!(
            "; node {} is out, and in no in-sync set before it is back: it rejoins by itself when it is started",
            node.id
        ));
    }
    Ok(Json(Done { done }))
}

pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    asker: Asker,
    JsonBody(request): JsonBody<RollbackRequest>,
) -> Result<Json<Done>, HttpError> {
    let RollbackRequest { reason } = request;
    let reason = Reason::new("operator", reason.unwrap_or_else(|| "by command".to_owned()));
    order(&app, asker, "goes back: what was upgraded returns, primaries last", |_, plan| Command::Rollback {
        plan: plan.id,
        plan_epoch: plan.epoch,
        reason,
    })
    .await
}

pub(super) async fn finalize(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<Done>, HttpError> {
    let at_ms = unix_ms();
    order(&app, asker, "is final", |state, plan| Command::Finalize {
        plan: plan.id,
        plan_epoch: plan.epoch,
        level: level_after(state),
        at_ms,
    })
    .await
}

async fn order(
    app: &App,
    asker: Asker,
    done: &str,
    command: impl FnOnce(&ControlState, &Plan) -> Command,
) -> Result<Json<Done>, HttpError> {
    require_cluster(app)?;
    let view = app.raft.catch_up().await?;
    let plan = view.state.plan.as_ref().ok_or(Rejection::NoPlan)?;
    app.raft.propose(asker.asks(command(&view.state, plan))).await?.outcome?;
    Ok(Json(Done { done: format!("plan {} to {} {done}", plan.id, plan.target.version) }))
}
