//! A node without a launcher: raft, data plane, peer port and HTTP port.

use crate::app::{App, Parts};
use crate::config::Config;
use crate::data::{self, DataOptions, ToControl};
use crate::doors::Doors;
use crate::keeper::{self, KeeperOptions};
use crate::{doorkeeper, http, peer};
use ironcache_api::{AckMode, ApiError, CreateCluster, CreateNode, CreateShard, LEVEL_HEADER, NodeStatus};
use ironcache_raft::{RaftNode, RaftOptions};
use ironcache_spine::{DataDir, SlotStore};
use ironcache_types::{Digest, Incarnation, LEVELS, Member, NodeId, Release, ShardId, SlotSet, Version};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub(super) struct TestNode {
    pub app: Arc<App>,
    client: reqwest::Client,
    dir: TempDir,
    /// Is the way cut by which peers reach it? They come straight where there is none.
    way: Option<watch::Sender<bool>>,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.app.data.stop();
    }
}

impl TestNode {
    /// One that permits an insecure cluster.
    pub(super) async fn start(id: u64) -> Self {
        Self::start_with(id, None, |config| config.insecure = true).await
    }

    /// One that obeys nobody but who proves its join code.
    pub(super) async fn start_locked(id: u64) -> Self {
        Self::start_with(id, None, |_| {}).await
    }

    /// The same, and peers reach it by a way that can be cut.
    pub(super) async fn start_locked_at_the_end_of_a_way(id: u64) -> Self {
        Self::start_with(id, Some(listener().await), |_| {}).await
    }

    async fn start_with(id: u64, front: Option<TcpListener>, set: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Large, as a drawn one may be: a number of its size would be rounded by some readers of JSON.
        let me = Member { node: NodeId(id), incarnation: Incarnation(u64::MAX - 6) };
        let [clients, peers, http] = [listener().await, listener().await, listener().await];
        let mut config = Config {
            data_dir: dir.path().to_owned(),
            announce_host: "127.0.0.1".to_owned(),
            port: port(&clients),
            peer_port: port(front.as_ref().unwrap_or(&peers)),
            http_port: port(&http),
            ..Config::default()
        };
        set(&mut config);
        let config = Arc::new(config);
        let way = front.map(|front| {
            let (way, is_cut) = watch::channel(false);
            tokio::spawn(lead_to(front, peers.local_addr().unwrap(), is_cut));
            way
        });
        let doors = Arc::new(Doors::of(&config).unwrap());
        let options = RaftOptions {
            dial: doors.clone(),
            may_join: doors.clone(),
            ..RaftOptions::new(me, dir.path().join("raft"))
        };
        let raft = RaftNode::open(options).await.unwrap();
        doors.attach(raft.applied());
        tokio::spawn(Arc::clone(&doors).watch());
        let version = Version::new(1, 0, 0);
        let (to_control, mut proposals) = mpsc::unbounded_channel::<ToControl>();
        let (data, _thread) = data::start(DataOptions {
            config: Arc::clone(&config),
            me,
            cluster: raft.cluster(),
            version: version.clone(),
            levels: LEVELS,
            listeners: vec![(crate::data::Door::Plain, clients.into_std().unwrap())],
            launcher: watch::channel(Default::default()).1,
            views: raft.applied(),
            to_control,
            contact: raft.contact(),
            outbox: crate::messages::pair().0,
            doors: Arc::clone(&doors),
            random: id,
        })
        .unwrap();
        let keeper = keeper::start(KeeperOptions {
            me,
            cluster: raft.cluster(),
            data_dir: dir.path().to_owned(),
            reserve_bytes: 0,
            levels: LEVELS,
            views: raft.applied(),
            doors: Arc::clone(&doors),
        });
        data.grant(ironcache_shard::Grant { until_ms: u64::MAX, index: 0 });
        let proposer = raft.clone();
        tokio::spawn(async move {
            while let Some(proposal) = proposals.recv().await {
                proposer.propose(proposal.command).await.unwrap();
            }
        });
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let app = Arc::new(App::new(Parts {
            wants: crate::ground::Wants::of(&config),
            config,
            me,
            release: Release { version, digest: Digest([1; 32]) },
            raft,
            data,
            keeper: keeper.unwrap(),
            slots: Arc::new(SlotStore::open(&DataDir::new(dir.path())).unwrap()),
            launcher: watch::channel(Default::default()).1,
            log_is_current: watch::channel(true).1,
            client: ironcache_host::http::Client::new(doors.clone(), Default::default()),
            doors: Arc::clone(&doors),
        }));
        tokio::spawn(crate::doors::follow(Arc::clone(&app)));
        let port = |name, bound: tokio::net::TcpListener, limits, refuse, refused: &Arc<http::Refusals>| {
            let (doors, refused) = (Arc::clone(&doors), Arc::clone(refused));
            let options = doorkeeper::Options { name, limits, refuse, doors, refused };
            doorkeeper::Port::open(bound.into_std().unwrap(), &options).unwrap()
        };
        let peers = port(
            "peer door",
            peers,
            doorkeeper::PEER,
            peer::not_taken as doorkeeper::Refuse,
            &app.refused_peers,
        );
        tokio::spawn(peers.serve(peer::router(&app)));
        let callers =
            port("http door", http, doorkeeper::HTTP, http::not_taken as doorkeeper::Refuse, &app.refused);
        tokio::spawn(callers.serve(http::router(Arc::clone(&app))));
        Self { app, client, dir, way }
    }

    pub(super) fn id(&self) -> NodeId {
        self.app.me.node
    }

    /// From now on nobody reaches its peer port, or everybody does again. It reaches whomever it calls.
    pub(super) fn cut_off(&self, is_cut: bool) {
        self.way.as_ref().expect("peers come by a way").send_replace(is_cut);
    }

    pub(super) fn http_client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Files in the directory where binaries come in.
    pub(super) fn half_received(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("staged")).unwrap().count()
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let url = format!("http://{}{path}", self.app.config.http_addr());
        let response = self.client.request(method, url).body(body).send().await.unwrap();
        Answer { status: response.status(), text: response.text().await.unwrap() }
    }

    /// A `POST` that says since which level its verb exists.
    pub(super) async fn post_since(&self, level: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let url = format!("http://{}{path}", self.app.config.http_addr());
        let asked = self.client.post(url).header(LEVEL_HEADER, level).body(body);
        let response = asked.send().await.unwrap();
        Answer { status: response.status(), text: response.text().await.unwrap() }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(Method::POST, path, body).await
    }

    pub(super) async fn create(&self, request: &CreateCluster) -> Answer {
        self.post("/v1/cluster/create", serde_json::to_vec(request).unwrap()).await
    }

    pub(super) async fn status(&self) -> NodeStatus {
        self.get("/status").await.read()
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub text: String,
}

impl Answer {
    pub(super) fn read<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    /// The text of an error of this status.
    #[track_caller]
    pub(super) fn error(&self, status: StatusCode) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str::<ApiError>(&self.text).unwrap().error
    }

    /// The stable word of a guardrail's answer.
    #[track_caller]
    pub(super) fn refused(&self) -> String {
        assert_eq!(self.status, StatusCode::CONFLICT, "{}", self.text);
        serde_json::from_str::<ApiError>(&self.text).unwrap().refused.unwrap().code
    }
}

/// A cluster of `count` nodes, everybody in sync.
pub(super) async fn founded(count: u64) -> Vec<TestNode> {
    let mut nodes = Vec::new();
    for id in 1..=count {
        nodes.push(TestNode::start(id).await);
    }
    nodes[0].create(&layout(&nodes)).await.read::<ironcache_api::Done>();
    // What a plan does first depends on who is in sync.
    let mut views = nodes[0].app.raft.applied();
    let all = views.wait_for(|view| view.state.shards.values().all(|s| s.in_sync.len() as u64 == count));
    tokio::time::timeout(std::time::Duration::from_secs(30), all).await.expect("in sync in time").unwrap();
    nodes
}

/// One shard over all of `nodes`, of which all but the last vote if they are an even number.
pub(super) fn layout(nodes: &[TestNode]) -> CreateCluster {
    let voters = nodes.len() - usize::from(nodes.len().is_multiple_of(2));
    let shard = ShardId(0);
    CreateCluster {
        set: std::collections::BTreeMap::new(),
        security: None,
        nodes: nodes
            .iter()
            .enumerate()
            .map(|(at, node)| CreateNode {
                http_addr: node.app.config.http_addr(),
                node: node.id(),
                voter: at < voters,
                shard: Some(shard),
            })
            .collect(),
        shards: vec![CreateShard {
            id: shard,
            slots: SlotSet::part(0, 1),
            nodes: nodes.iter().map(TestNode::id).collect(),
        }],
        mode: AckMode::Primary,
    }
}

/// Whoever comes to `front` is led to `addr`, while the way is not cut; those who are on it then lose it.
async fn lead_to(front: TcpListener, addr: std::net::SocketAddr, is_cut: watch::Receiver<bool>) {
    while let Ok((mut from, _)) = front.accept().await {
        let mut cut = is_cut.clone();
        tokio::spawn(async move {
            if *cut.borrow() {
                return;
            }
            from.set_nodelay(true).unwrap();
            let Ok(mut to) = tokio::net::TcpStream::connect(addr).await else { return };
            to.set_nodelay(true).unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                _ = cut.wait_for(|is| *is) => {}
            }
        });
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}
