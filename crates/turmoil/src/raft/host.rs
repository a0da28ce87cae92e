//! One life of one raft node: what the daemon does with raft, without the daemon.

use super::world::World;
use crate::serve::serve;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http_body_util::BodyExt;
use ironcache_control::{
    Command, InitCluster, NodeRole, NodeSpec, Policy, RaftTimers, ReleaseInfo, ShardSpec, StageHold,
};
use ironcache_formats::wire::{self, Kind};
use ironcache_raft::bodies::v1;
use ironcache_raft::{Admission, PeerAddr, RaftNode, RaftOptions, Role, Timers};
use ironcache_store::simulated::random_below;
use ironcache_types::{
    ClusterId, Digest, Incarnation, Level, LevelRange, Member, NodeId, Release, ShardId, SlotSet, Version,
    WireRange,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::sleep;

const CLUSTER: ClusterId = ClusterId(0xc1);
const PORT: u16 = 7_000;
/// A quick cluster: more elections in the time that a seed has.
const TIMERS: RaftTimers = RaftTimers { heartbeat_ms: 50, election_min_ms: 150, election_max_ms: 300 };

pub(crate) fn name(id: u64) -> String {
    format!("n{id}")
}

fn peer_addr(id: u64) -> String {
    format!("{}:{PORT}", name(id))
}

/// Opens the node and works with it until the host loses its power, or the process is killed.
pub(crate) async fn run(world: Rc<World>, id: u64) -> turmoil::Result {
    let life = world.begin_life(id);
    let me = Member { node: NodeId(id), incarnation: life };
    let options = RaftOptions {
        timers: Timers::Own(TIMERS),
        is_member: world.is_member(id),
        snapshot_every: 40,
        ..RaftOptions::new(me, PathBuf::from(format!("/{}/raft", name(id))))
    };
    let node = match RaftNode::open(options).await {
        Ok(node) => node,
        Err(error) => {
            world.violate(format!("node {id} does not start: {}", ironcache_types::chain(&error)));
            return std::future::pending().await;
        }
    };
    let router = node.router().layer(from_fn_with_state(Shared(id), hear_votes));
    spawn_local(serve(PORT, router));
    spawn_local(observe(Rc::clone(&world), me, node.clone()));
    spawn_local(watch_leadership(Rc::clone(&world), id, node.clone()));
    if id == 1 && !world.is_founded() {
        spawn_local(found(Rc::clone(&world), node.clone()));
    }
    propose(&world, me, &node).await;
    std::future::pending().await
}

/// Whose votes are heard.
#[derive(Clone, Copy)]
struct Shared(u64);

/// Reads what is asked for votes and answered, as it comes and goes.
async fn hear_votes(State(Shared(id)): State<Shared>, request: Request, next: Next) -> Response {
    if request.uri().path() != "/raft/vote" {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Response::new(Body::from("broken off")) };
    let body = body.to_bytes();
    let asked = read::<v1::RpcHeader, v1::VoteRequest>(Kind::VoteRequest, &body);
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else { return Response::new(Body::from("broken off")) };
    let body = body.to_bytes();
    if let Some((_, asked)) = asked {
        // Whoever asks has voted for itself.
        World::voted(asked.vote.node, asked.vote.term, asked.vote.node);
        let answered = read::<v1::Lives, v1::VoteResponse>(Kind::VoteResponse, &body);
        if answered.is_some_and(|(_, answer)| answer.granted) {
            World::granted(id, asked.vote.term, asked.vote.node);
        }
    }
    Response::from_parts(parts, Body::from(body))
}

fn read<H, B>(kind: Kind, bytes: &Bytes) -> Option<(H, B)>
where
    (H, B): serde::de::DeserializeOwned,
{
    wire::open(kind, bytes).ok()?.body().ok()
}

/// Tells every state that this node shows.
async fn observe(world: Rc<World>, me: Member, node: RaftNode) {
    let mut views = node.applied();
    loop {
        let view = views.borrow_and_update().clone();
        world.applied(me, &view);
        if views.changed().await.is_err() {
            return;
        }
    }
}

async fn watch_leadership(world: Rc<World>, id: u64, node: RaftNode) {
    let mut changes = node.view_changes();
    loop {
        let now = *changes.borrow_and_update();
        if now.is_leader {
            world.leads(id, now.term);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Founds the cluster, trying again until it is.
async fn found(world: Rc<World>, node: RaftNode) {
    let members: BTreeMap<NodeId, (PeerAddr, Role)> =
        world.ids().map(|id| (NodeId(id), (PeerAddr(peer_addr(id)), Role::Voter))).collect();
    while let Err(error) = node.initialize(CLUSTER, Level::FIRST, members.clone()).await {
        tracing::info!(%error, "not founded yet");
        sleep(Duration::from_millis(50)).await;
    }
    let nodes = world.ids().map(|id| spec(id, world.life(id))).collect();
    let shard =
        ShardSpec { id: ShardId(0), slots: SlotSet::part(0, 1), nodes: world.ids().map(NodeId).collect() };
    let policy = Policy { timers: TIMERS, ..Policy::default() };
    let init = InitCluster {
        cluster_id: CLUSTER,
        nodes,
        shards: vec![shard],
        policy,
        security: ironcache_control::NewSecurity::Insecure,
    };
    while let Err(error) = node.propose(Command::InitCluster(init.clone())).await {
        tracing::info!(%error, "not created yet");
    }
    world.note_founded();
}

/// Registers this life once it is admitted, then proposes one release after the other, each with a digest of its own.
async fn propose(world: &World, me: Member, node: &RaftNode) {
    let mut admission = node.admission();
    if admission.wait_for(|now| *now == Admission::Admitted).await.is_err() {
        return;
    }
    world.note_admitted(me.node.0);
    while !world.is_founded() {
        sleep(Duration::from_millis(10)).await;
    }
    let spec = spec(me.node.0, me.incarnation);
    let register = Command::RegisterNode {
        member: me,
        client_addr: spec.client_addr,
        peer_addr: spec.peer_addr,
        http_addr: spec.http_addr,
        tls_port: spec.tls_port,
        release: spec.release,
        levels: spec.levels,
        launcher_protocol: spec.launcher_protocol,
        machine: spec.machine,
    };
    while node.propose(register.clone()).await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    while world.proposes() {
        let number = world.next_release();
        let info = release_info(number);
        if let Ok(proposed) = node.propose(Command::RegisterRelease { info }).await {
            match proposed.outcome {
                Ok(_) => world.acknowledged(number, proposed.index),
                Err(refusal) => world.violate(format!("release {number} is refused: {refusal}")),
            }
        }
        sleep(Duration::from_millis(random_below(60))).await;
    }
}

fn spec(id: u64, incarnation: Incarnation) -> NodeSpec {
    NodeSpec {
        member: Member { node: NodeId(id), incarnation },
        client_addr: format!("{}:6379", name(id)),
        peer_addr: peer_addr(id),
        http_addr: format!("{}:7070", name(id)),
        tls_port: None,
        role: NodeRole::Data,
        voter: true,
        shard: Some(ShardId(0)),
        release: Release { version: Version::new(0, 1, 0), digest: Digest([7; 32]) },
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        machine: ironcache_types::MachineId(u128::from(id)),
    }
}

pub(crate) fn digest_of(number: u64) -> Digest {
    let mut bytes = [0xd1; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Digest(bytes)
}

pub(crate) fn version_of(number: u64) -> Version {
    Version::new(0, 2, number)
}

fn release_info(number: u64) -> ReleaseInfo {
    ReleaseInfo {
        release: Release { version: version_of(number), digest: digest_of(number) },
        size_bytes: 1,
        min_from: None,
        levels: LevelRange::new(1, 1),
        launcher_protocol: WireRange::CURRENT,
        hold: StageHold::None,
    }
}
