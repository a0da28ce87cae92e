//! How a node is configured, and the founding of the cluster.

use super::world::World;
use super::{Rolls, launcher, roll};
use ironcache_api::{AckMode, CreateCluster, CreateNode, CreateShard, NodeStatus};
use ironcache_host::http::{Client, Plain, Waits};
use ironcache_node::Config;
use ironcache_types::{ShardId, SlotSet};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

pub(crate) const CLIENT_PORT: u16 = 6_379;
const PEER_PORT: u16 = 16_379;
const HTTP_PORT: u16 = 26_379;
const SHARD: ShardId = ShardId(0);

/// A trial that has no answer by then ends inconclusive: long for a step between faults, and short beside a play.
const CONFIRM_TIMEOUT_MS: u64 = 8_000;

pub(crate) fn http_url(id: u64, path: &str) -> String {
    format!("http://{}:{HTTP_PORT}{path}", name(id))
}

pub(crate) fn name(id: u64) -> String {
    format!("n{id}")
}

/// Runs launcher and daemon until the host loses its power, or the process is killed, or ends by itself.
pub(crate) async fn run(world: Rc<World>, id: u64) -> turmoil::Result {
    let config = Config {
        data_dir: PathBuf::from(format!("/{}", name(id))),
        bind: "0.0.0.0".to_owned(),
        announce_host: name(id),
        port: CLIENT_PORT,
        peer_port: PEER_PORT,
        http_port: HTTP_PORT,
        confirm_timeout_ms: CONFIRM_TIMEOUT_MS,
        // Keys are drawn from the machine's randomness, which no seed repeats: they are tested over real sockets.
        insecure: true,
        ..Config::default()
    };
    let config = config.resolve().map_err(|error| error.to_string())?;
    let watching = Rc::clone(&world);
    let shown = Box::new(move |me, view: &ironcache_raft::AppliedView| watching.applied(id, me, view));
    launcher::run(world, id, config, shown).await
}

/// Founds the cluster as an operator does, trying again until it is, and rolls it if told to.
pub(crate) async fn operate(world: Rc<World>, rolls: Rolls) -> turmoil::Result {
    found(&world).await?;
    match rolls {
        Rolls::No => world.note_rolled(),
        Rolls::BackAndForth => roll::back_and_forth(world).await?,
    }
    std::future::pending().await
}

async fn found(world: &World) -> turmoil::Result {
    let waits = Waits { call: Some(Duration::from_secs(5)), ..Waits::default() };
    let client = Client::new(std::sync::Arc::new(Plain), waits);
    let mut nodes = Vec::new();
    for id in 1..=world.nodes() {
        let http_addr = format!("{}:{HTTP_PORT}", name(id));
        let status: NodeStatus = loop {
            let asked = client.get(format!("http://{http_addr}/status")).send().await;
            match asked {
                Ok(answer) => break answer.json().await?,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        let shard = (id <= world.data_nodes()).then_some(SHARD);
        nodes.push(CreateNode { http_addr, node: status.node, voter: true, shard });
    }
    let data = nodes.iter().filter(|node| node.shard.is_some()).map(|node| node.node).collect();
    let set = [("heartbeat-ms", "50"), ("election-min-ms", "150"), ("election-max-ms", "300")];
    let create = CreateCluster {
        nodes,
        shards: vec![CreateShard { id: SHARD, slots: SlotSet::part(0, 1), nodes: data }],
        mode: AckMode::InSync,
        set: set
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        security: None,
    };
    loop {
        let url = http_url(1, "/v1/cluster/create");
        match client.post(url).json(&create).send().await {
            Ok(answer) if answer.status().is_success() => break,
            Ok(answer) => tracing::warn!(answer = answer.text().await?, "not founded yet"),
            Err(error) => tracing::warn!(error = ironcache_types::chain(&error), "not founded yet"),
        }
        sleep(Duration::from_millis(50)).await;
    }
    world.note_founded();
    Ok(())
}
