//! `POST /v1/cluster/create`: nodes that know nothing of each other become one cluster.
//!
//! ```text
//!   ask every node who it is ─► rehearse the layout ─► found the raft group ─► InitCluster
//! ```
//!
//! With keys, each node was met first: whoever holds its join code has told it the keys of all (`join`). Without, each node has
//! to permit that.
//!
//! *Invariant:* the first entry says by what members are known: no cluster is ever open for a moment.
//! *Invariant:* nothing is changed anywhere before every node has answered and the layout was accepted.
//! *Invariant:* asked again, with the same layout, it goes on where it broke off, under the same cluster id.

use super::asked::Asker;
use super::body::JsonBody;
use super::convert;
use super::error::HttpError;
use super::status::node_status;
use crate::app::App;
use crate::doors::Who;
use crate::policy;
use axum::extract::State;
use axum::{Extension, Json};
use futures_util::future::{join_all, try_join_all};
use ironcache_api::{CreateCluster, CreateKeys, CreateNode, Done, NodeStatus};
use ironcache_control::{
    AckMode, Command, ControlState, InitCluster, NewOperator, NewSecurity, NodeRole, NodeSpec, Policy,
    RaftTimers, Rejection, Security, ShardSpec,
};
use ironcache_raft::{InitializeNodeError, PeerAddr, Role};
use ironcache_spine::LAUNCHER_PROTOCOL;
use ironcache_types::{ClusterId, Level, NodeId, chain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A node that is up answers at once; one that does not within this is better looked at first.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the answer waits for the slowest node to learn of the cluster. It will, whether or not it does
/// so in time; but who asks it before is told that it belongs to none.
const SPREAD_MAX: Duration = Duration::from_secs(3);
/// A majority of nodes that are up compares within some rounds of 50 ms; a machine that does ten other things takes longer.
const ADMITTED_MAX: Duration = Duration::from_secs(10);
const SPREAD_POLL: Duration = Duration::from_millis(10);

pub(super) async fn create(
    State(app): State<Arc<App>>,
    who: Option<Extension<Who>>,
    asker: Asker,
    JsonBody(request): JsonBody<CreateCluster>,
) -> Result<Json<Done>, HttpError> {
    let present = app.raft.applied().borrow().clone();
    if present.state.cluster_id.is_some() {
        return founded(&present.state, &request);
    }
    let (cluster, security) = match &request.security {
        Some(keys) => with_keys(&app, who.as_ref().map(|Extension(who)| who), keys)?,
        None => (app.raft.cluster().map_or_else(|| random_id().map(ClusterId), Ok)?, NewSecurity::Insecure),
    };
    let statuses = try_join_all(request.nodes.iter().map(|node| ask(&app, node, cluster))).await?;
    permitted(&app, &security, &statuses)?;
    let init = init_cluster(cluster, &request, &statuses, security)?;
    let note = others_run_by(init.policy.timers, &statuses);
    // A layout that the log would refuse must not leave a raft group behind.
    ControlState::default().apply(0, &Command::InitCluster(init.clone()))?;
    found_group(&app, cluster, &init).await?;
    all_admitted(&app, &request, &init).await?;
    app.raft.propose(asker.asks(Command::InitCluster(init))).await?.outcome?;
    let view = app.raft.catch_up().await?;
    let Json(mut done) = founded(&view.state, &request)?;
    done.done.push_str(&note.unwrap_or_default());
    let spread = join_all(request.nodes.iter().map(|node| has_learned(&app.client, node)));
    if tokio::time::timeout(SPREAD_MAX, spread).await.is_err() {
        tracing::warn!("the cluster is founded, and not every node has learned of it yet");
    }
    Ok(Json(done))
}

/// What a cluster with keys begins with: what this node was told when it was met, and the key of whoever met it.
fn with_keys(app: &App, who: Option<&Who>, keys: &CreateKeys) -> Result<(ClusterId, NewSecurity), HttpError> {
    let CreateKeys { cluster, admin: name, nodes, codes } = keys;
    let Some(binding) = app.doors.binding() else {
        let detail = "this node was not met yet: prove its join code, and tell it whom to obey (`ironcache cluster create` \
                      does both)";
        return Err(HttpError::refused("not_bound", detail.to_owned()));
    };
    let Some(Who::Operator { key, .. }) = who else {
        let detail = "the operator who met the nodes creates the cluster, and is its first admin";
        return Err(HttpError::refused("not_bound", detail.to_owned()));
    };
    if (binding.cluster, &binding.nodes) != (*cluster, nodes)
        || app.raft.cluster().is_some_and(|mine| mine != *cluster)
    {
        let detail =
            format!("this node was bound to cluster {}, of other nodes or another id", binding.cluster);
        return Err(HttpError::refused("other_binding", detail));
    }
    let admin = NewOperator { key: *key, name: name.clone() };
    Ok((*cluster, NewSecurity::Keys { nodes: nodes.clone(), admin, codes: codes.clone() }))
}

/// An insecure cluster is of nodes that each permit it.
fn permitted(app: &App, security: &NewSecurity, statuses: &[NodeStatus]) -> Result<(), HttpError> {
    let against = match security {
        NewSecurity::Keys { .. } => return Ok(()),
        NewSecurity::Insecure => statuses.iter().find(|status| !status.insecure).map(|status| status.node),
    };
    let bound = app.doors.binding().map(|_| app.me.node);
    match against.or(bound) {
        None => Ok(()),
        Some(node) => {
            let detail = format!(
                "node {node} does not permit an insecure cluster: start each node with `insecure yes`, or create one with keys"
            );
            Err(HttpError::refused("not_permitted", detail))
        }
    }
}

/// Waits until every life that the cluster is to be founded with is in its own node's log, durably. Named by the first entry
/// and not remembered by its node, it would look like one whose log went back as soon as the node is restarted.
async fn all_admitted(app: &App, request: &CreateCluster, init: &InitCluster) -> Result<(), HttpError> {
    let each = request.nodes.iter().zip(&init.nodes).map(|(asked, spec)| is_admitted(app, asked, spec));
    let Ok(admitted) = tokio::time::timeout(ADMITTED_MAX, try_join_all(each)).await else {
        let detail = "not every node of the new cluster has had its log compared in time; ask again with the same layout";
        return Err(HttpError::Unavailable(detail.to_owned()));
    };
    admitted.map(drop)
}

async fn is_admitted(app: &App, asked: &CreateNode, spec: &NodeSpec) -> Result<(), HttpError> {
    loop {
        let status = match asked.node == app.me.node {
            true => node_status(app).await?,
            false => fetch_status(&app.client, &asked.http_addr, Some(asked.node)).await?,
        };
        if status.incarnation != spec.member.incarnation {
            let detail = format!(
                "node {} was restarted while the cluster was founded; ask again with the same layout",
                asked.node
            );
            return Err(HttpError::Unavailable(detail));
        }
        if status.raft.admitted {
            return Ok(());
        }
        tokio::time::sleep(SPREAD_POLL).await;
    }
}

/// Returns when the node shows the cluster.
async fn has_learned(client: &ironcache_host::http::Client, node: &CreateNode) {
    while !fetch_status(client, &node.http_addr, Some(node.node))
        .await
        .is_ok_and(|status| status.control.is_some())
    {
        tokio::time::sleep(SPREAD_POLL).await;
    }
}

fn random_id() -> Result<u128, HttpError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| HttpError::Internal(format!("the kernel gives no random bytes: {error}")))?;
    Ok(u128::from_le_bytes(bytes))
}

/// What `node` says of itself, if it can be founded with.
async fn ask(app: &App, node: &CreateNode, cluster: ClusterId) -> Result<NodeStatus, HttpError> {
    let CreateNode { http_addr, node: id, voter: _, shard: _ } = node;
    let status = match *id == app.me.node {
        true => node_status(app).await?,
        false => fetch_status(&app.client, http_addr, Some(*id)).await?,
    };
    check(&status, node, cluster)?;
    Ok(status)
}

pub(super) async fn fetch_status(
    client: &ironcache_host::http::Client,
    addr: &str,
    node: Option<NodeId>,
) -> Result<NodeStatus, HttpError> {
    let failed = |error: ironcache_host::http::Error| {
        HttpError::Unavailable(format!(
            "the node at {addr} does not answer ({}): start it, or check its address; nothing was done",
            chain(&error)
        ))
    };
    let call = client.get(format!("http://{addr}/status")).timeout(STATUS_TIMEOUT);
    let call = if let Some(node) = node { call.to(node) } else { call };
    let answer =
        call.send().await.and_then(ironcache_host::http::Response::error_for_status).map_err(failed)?;
    let body = answer.bytes().await.map_err(failed)?;
    serde_json::from_slice(&body).map_err(|error| {
        HttpError::BadRequest(format!("what answers at {addr} is no node of this kind: {error}"))
    })
}

fn check(status: &NodeStatus, asked: &CreateNode, cluster: ClusterId) -> Result<(), HttpError> {
    let CreateNode { http_addr, node, voter: _, shard: _ } = asked;
    if status.node != *node {
        let detail = format!("the node at {http_addr} is {}, and {node} was expected there", status.node);
        return Err(HttpError::refused("other_node", detail));
    }
    let joined = status.raft.cluster.is_some_and(|other| other != cluster);
    if !status.pristine || joined {
        let detail = format!(
            "node {node} at {http_addr} belongs to a cluster already; start it with an empty data directory to \
             use it here"
        );
        return Err(HttpError::refused("not_pristine", detail));
    }
    Ok(())
}

fn init_cluster(
    cluster: ClusterId,
    request: &CreateCluster,
    statuses: &[NodeStatus],
    security: NewSecurity,
) -> Result<InitCluster, HttpError> {
    let CreateCluster { nodes, shards, mode, set, security: _ } = request;
    let policy = policy_of(convert::log_ack_mode(mode)?, set, statuses)?;
    let spec = |(asked, status): (&CreateNode, &NodeStatus)| NodeSpec {
        member: ironcache_types::Member { node: status.node, incarnation: status.incarnation },
        client_addr: status.client_addr.clone(),
        peer_addr: status.peer_addr.clone(),
        http_addr: status.http_addr.clone(),
        tls_port: status.tls_port,
        role: if asked.shard.is_some() { NodeRole::Data } else { NodeRole::Witness },
        voter: asked.voter,
        shard: asked.shard,
        release: status.release.clone(),
        levels: status.levels,
        launcher_protocol: status.launcher_protocol.unwrap_or(LAUNCHER_PROTOCOL),
        machine: status.machine,
    };
    Ok(InitCluster {
        cluster_id: cluster,
        nodes: nodes.iter().zip(statuses).map(spec).collect(),
        shards: shards
            .iter()
            .map(|s| ShardSpec { id: s.id, slots: s.slots.clone(), nodes: s.nodes.clone() })
            .collect(),
        policy,
        security,
    })
}

/// What is asked for, with the timers that the first node runs by.
fn policy_of(
    steady_mode: AckMode,
    set: &BTreeMap<String, String>,
    statuses: &[NodeStatus],
) -> Result<Policy, HttpError> {
    let mut policy = Policy { steady_mode, ..Policy::default() };
    if let Some(timers) = statuses.first().and_then(|status| status.timers) {
        policy.timers = convert::log_timers(timers);
    }
    Ok(policy::at_create(&policy, set.iter().map(|(key, text)| (key.as_str(), text.as_str())))?)
}

/// Not refused: a node that asks for elections later, or never, is a means to choose who leads.
fn others_run_by(timers: RaftTimers, statuses: &[NodeStatus]) -> Option<String> {
    let cluster = convert::timers(timers);
    let differ = |status: &&NodeStatus| status.timers.is_some_and(|timers| timers != cluster);
    let others: Vec<&str> = statuses.iter().filter(differ).map(|status| &*status.client_addr).collect();
    (!others.is_empty()).then(|| {
        format!(
            "; {} run by other raft timers than the cluster's: a node that was given none of its own takes them up at \
             its next start",
            others.join(", ")
        )
    })
}

/// What every node of the new cluster admits, and the control state will say.
fn founding_level(init: &InitCluster) -> Level {
    init.nodes.iter().map(|node| node.levels.max).min().unwrap_or(Level::FIRST)
}

/// Makes the raft group of `init`, or completes what an earlier attempt began.
async fn found_group(app: &App, cluster: ClusterId, init: &InitCluster) -> Result<(), HttpError> {
    let role = |node: &NodeSpec| if node.voter { Role::Voter } else { Role::Learner };
    let members: BTreeMap<NodeId, (PeerAddr, Role)> =
        init.nodes.iter().map(|n| (n.member.node, (PeerAddr(n.peer_addr.clone()), role(n)))).collect();
    let level = founding_level(init);
    app.raft.initialize(cluster, level, members).await.map_err(|error| match &error {
        InitializeNodeError::NotAVoter { .. } => HttpError::BadRequest(error.to_string()),
        InitializeNodeError::Identity(_) => HttpError::refused("not_pristine", chain(&error)),
        InitializeNodeError::Raft(_) => HttpError::Internal(error.to_string()),
        InitializeNodeError::Learners(_) => HttpError::Unavailable(chain(&error)),
    })?;
    // The first attempt chose the voters; the control state must not name others.
    let asked: BTreeSet<NodeId> = init.nodes.iter().filter(|n| n.voter).map(|n| n.member.node).collect();
    if asked.into_iter().eq(app.raft.view().voters) {
        return Ok(());
    }
    let detail = "an earlier attempt has begun a cluster with other voters; ask again with the layout of that attempt, \
                  or start every node with an empty data directory";
    Err(HttpError::refused("not_pristine", detail.to_owned()))
}

/// The cluster exists. Is it the one that was asked for?
fn founded(state: &ControlState, request: &CreateCluster) -> Result<Json<Done>, HttpError> {
    if !matches(state, request) {
        let (code, text) = (Rejection::ClusterExists.code(), Rejection::ClusterExists);
        let detail = format!("{text}, with another layout; start every node with an empty data directory");
        return Err(HttpError::refused(code, detail));
    }
    let id = state.cluster_id.unwrap_or_default();
    let (nodes, shards) = (state.nodes.len(), state.shards.len());
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (nodes, shards) = (plural(nodes, "node"), plural(shards, "shard"));
    Ok(Json(Done { done: format!("cluster {id} of {nodes} and {shards} is founded") }))
}

fn matches(state: &ControlState, request: &CreateCluster) -> bool {
    let CreateCluster { nodes, shards, mode, set: _, security } = request;
    let node_fits = |asked: &CreateNode| {
        state.nodes.get(&asked.node).is_some_and(|n| n.voter == asked.voter && n.shard == asked.shard)
    };
    let shard_fits = |asked: &ironcache_api::CreateShard| {
        state.shards.get(&asked.id).is_some_and(|s| s.slots == asked.slots && s.nodes == asked.nodes)
    };
    nodes.len() == state.nodes.len()
        && security.is_some() == matches!(state.security, Security::Keys(_))
        && convert::log_ack_mode(mode).is_ok_and(|mode| state.policy.steady_mode == mode)
        && shards.len() == state.shards.len()
        && nodes.iter().all(node_fits)
        && shards.iter().all(shard_fits)
}
