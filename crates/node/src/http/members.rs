//! `POST /v1/cluster/nodes/…`: nodes that join, leave, and come in another's place.
//!
//! ```text
//!   add · replace   ask the node who it is ─► is it new, and reached where the others will look? ─► AddNode
//!   add, of one that leaves          it stays what it is
//!   remove          do those that stay make a majority? ─► RemoveNode
//! ```
//! What follows is the leader's, whoever that is: this only begins it.
//!
//! *Invariant:* health is looked at here, counts and roles by the log.

use super::asked::Asker;
use super::body::JsonBody;
use super::convert;
use super::create::fetch_status;
use super::error::HttpError;
use super::forward::require_cluster;
use crate::app::App;
use crate::doors::KeyDial;
use crate::moved::{There, who_is_at};
use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use ironcache_api::{AddNode, Admitted, Done, NodeStatus, RemoveNode, ReplaceNode};
use ironcache_control::{Command, ControlState, NodeRole, NodeSpec, Rejection, Security};
use ironcache_host::http::{Client, Dial, Waits};
use ironcache_spine::LAUNCHER_PROTOCOL;
use ironcache_types::{Incarnation, Member, NodeId, ShardId};
use std::sync::Arc;

pub(super) async fn add(
    State(app): State<Arc<App>>,
    asker: Asker,
    JsonBody(AddNode { http_addr, node, shard, learner, admitted }): JsonBody<AddNode>,
) -> Result<Json<Done>, HttpError> {
    require_cluster(&app)?;
    let state = &app.raft.catch_up().await?.state;
    // One that is leaving keeps the vote that it has.
    let present = state.nodes.get(&node).filter(|_| state.is_leaving(node)).map(|leaves| leaves.voter);
    let voter = present.unwrap_or(!learner && state.voters().count() < ControlState::VOTERS_MAX);
    let place = Place { shard, voter, replaces: None };
    join(&app, asker, state, &http_addr, node, place, admitted).await
}

pub(super) async fn replace(
    State(app): State<Arc<App>>,
    asker: Asker,
    JsonBody(ReplaceNode { old, http_addr, node, admitted }): JsonBody<ReplaceNode>,
) -> Result<Json<Done>, HttpError> {
    require_cluster(&app)?;
    let state = &app.raft.catch_up().await?.state;
    let Some(before) = state.nodes.get(&old) else {
        let gone = state.removed.contains(&old);
        let (removed, unknown) = (Rejection::Removed { node: old }, Rejection::UnknownNode { node: old });
        return Err(if gone { removed } else { unknown }.into());
    };
    let place = Place { shard: before.shard, voter: before.voter, replaces: Some(old) };
    join(&app, asker, state, &http_addr, node, place, admitted).await
}

/// What a new node is to be.
struct Place {
    shard: Option<ShardId>,
    voter: bool,
    replaces: Option<NodeId>,
}

async fn join(
    app: &App,
    asker: Asker,
    state: &ControlState,
    http_addr: &str,
    node: NodeId,
    place: Place,
    admitted: Option<Admitted>,
) -> Result<Json<Done>, HttpError> {
    let dial = dial(app, state, node, admitted)?;
    let client = Client::new(Arc::clone(&dial), Waits::default());
    let status = fetch_status(&client, http_addr, Some(node)).await?;
    check(app, state, &status, http_addr, node, &dial).await?;
    let note = timers_differ(state, &status);
    let Place { shard, voter, replaces } = place;
    let spec = spec(status, shard, voter);
    // Refused before anything is in the log, where it can be.
    if !state.nodes.contains_key(&node) {
        state.check_join(&spec, replaces)?;
    }
    let command = Command::AddNode { spec, replaces, admitted: admitted.map(convert::log_admitted) };
    app.raft.propose(asker.asks(command)).await?.outcome?;
    if state.is_leaving(node) {
        let done = format!("node {node} was leaving, and stays what it is");
        return Ok(Json(Done { done }));
    }
    let what = match shard {
        Some(shard) => format!("a replica of shard {shard}"),
        None => "a witness".to_owned(),
    };
    let vote = if voter { "with a vote" } else { "without a vote" };
    let instead = replaces.map_or_else(String::new, |old| format!(", in the place of node {old}"));
    let voters = state.voters().count() + usize::from(voter && replaces.is_none());
    let even = if voter { even(voters) } else { String::new() };
    let done = format!(
        "node {node} joins as {what}, {vote}{instead}; `ironcache cluster status` shows how it goes on{even}{note}"
    );
    Ok(Json(Done { done }))
}

/// How the node that joins is reached: where there are keys, by the one that it proved when it was met.
fn dial(
    app: &App,
    state: &ControlState,
    node: NodeId,
    admitted: Option<Admitted>,
) -> Result<Arc<dyn Dial>, HttpError> {
    match (&state.security, admitted) {
        // One that is a member already is asked as one.
        (Security::Keys(keys), _) if keys.nodes.contains_key(&node) => Ok(app.doors.clone()),
        (Security::Keys(_), Some(Admitted { key, code: _ })) => {
            let keepalive = app.doors.keepalive.clone();
            Ok(Arc::new(KeyDial { tls: app.doors.tls.clone(), key, keepalive }))
        }
        (Security::Keys(_), None) => Err(Rejection::NotAdmitted { node }.into()),
        (Security::Insecure, _) => Ok(app.doors.clone()),
    }
}

fn spec(status: NodeStatus, shard: Option<ShardId>, voter: bool) -> NodeSpec {
    NodeSpec {
        // No life yet: it registers one itself, once that is in its own log. Named here and not remembered there, it would
        // look like one whose log went back if it were killed in between.
        member: Member { node: status.node, incarnation: Incarnation(0) },
        client_addr: status.client_addr,
        peer_addr: status.peer_addr,
        http_addr: status.http_addr,
        tls_port: status.tls_port,
        role: if shard.is_some() { NodeRole::Data } else { NodeRole::Witness },
        voter,
        shard,
        release: status.release,
        levels: status.levels,
        launcher_protocol: status.launcher_protocol.unwrap_or(LAUNCHER_PROTOCOL),
        machine: status.machine,
    }
}

/// Is it the node that was meant, is it new, and do the others find it where it says that it is?
async fn check(
    app: &App,
    state: &ControlState,
    status: &NodeStatus,
    http_addr: &str,
    node: NodeId,
    dial: &Arc<dyn Dial>,
) -> Result<(), HttpError> {
    if state.security == Security::Insecure && !status.insecure {
        let detail = format!("node {node} does not permit an insecure cluster: start it with `insecure yes`");
        return Err(HttpError::refused("not_permitted", detail));
    }
    if status.node != node {
        let detail = format!("the node at {http_addr} is {}, and {node} was expected there", status.node);
        return Err(HttpError::refused("other_node", detail));
    }
    let mine = app.raft.cluster();
    let elsewhere = status.raft.cluster.is_some() && status.raft.cluster != mine;
    // Asked again, it may have begun to join.
    let joins = state.nodes.contains_key(&node) && !elsewhere;
    if elsewhere || !(status.pristine || joins) {
        let detail = format!(
            "node {node} at {http_addr} belongs to a cluster already, or did once; start it with an empty data directory \
             to use it here"
        );
        return Err(HttpError::refused("not_pristine", detail));
    }
    let there = who_is_at(dial, &status.peer_addr, node).await;
    if matches!(there, There::Node(there) if there.node == node) {
        return Ok(());
    }
    let detail = format!(
        "node {node} says that the others find it at {}, and it does not answer there: check its `announce-host` and its \
         peer port",
        status.peer_addr
    );
    Err(HttpError::refused("peer_unreachable", detail))
}

fn timers_differ(state: &ControlState, status: &NodeStatus) -> String {
    let cluster = convert::timers(state.policy.timers);
    match status.timers {
        Some(timers) if timers != cluster => {
            "; it runs by other raft timers than the cluster's: given none of its own, it takes them up at its next start"
                .to_owned()
        }
        Some(_) | None => String::new(),
    }
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    asker: Asker,
    JsonBody(RemoveNode { node }): JsonBody<RemoveNode>,
) -> Result<Json<Done>, HttpError> {
    require_cluster(&app)?;
    let state = &app.raft.catch_up().await?.state;
    let votes = state.nodes.get(&node).is_some_and(|leaves| leaves.voter);
    if state.nodes.contains_key(&node) && !state.is_leaving(node) {
        state.check_leave(node)?;
    }
    if votes {
        the_rest_is_a_majority(&app, state, node).await?;
    }
    app.raft.propose(asker.asks(Command::RemoveNode { node })).await?.outcome?;
    let even = if votes { even(state.voters().count() - 1) } else { String::new() };
    let done = match state.removed.contains(&node) {
        true => format!("node {node} left for good before"),
        false => format!("node {node} leaves; `ironcache cluster status` shows how it goes on{even}"),
    };
    Ok(Json(Done { done }))
}

async fn the_rest_is_a_majority(app: &App, state: &ControlState, leaves: NodeId) -> Result<(), HttpError> {
    let rest: Vec<_> = state.voters().filter(|node| node.id != leaves).collect();
    let answers = rest.iter().map(async |node| {
        let status = fetch_status(&app.client, &node.http_addr, Some(node.id)).await;
        status.is_ok_and(|status| status.node == node.id)
    });
    let answering = join_all(answers).await.into_iter().filter(|answers| *answers).count();
    let needed = rest.len() / 2 + 1;
    if answering >= needed {
        return Ok(());
    }
    let detail = format!(
        "{answering} of the {} voters that would be left answer, and {needed} are a majority: start those that do not \
         answer, or take the lost ones away first",
        rest.len()
    );
    Err(HttpError::refused("voters_unreachable", detail))
}

/// A remark, where one voter more would cost nothing.
fn even(voters: usize) -> String {
    match voters.is_multiple_of(2) {
        false => String::new(),
        true => format!(
            "; {voters} nodes vote then, and of them no more may fail than of {}: one voter more, or one less, serves better",
            voters - 1
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_of_voters_is_remarked_on() {
        assert_eq!(even(3), "");
        assert!(even(4).contains("4 nodes vote then, and of them no more may fail than of 3"));
        assert!(even(2).contains("of 1"));
    }
}
