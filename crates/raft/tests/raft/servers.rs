//! Real nodes in one process: real files, real HTTP on free loopback ports.

use axum::http::StatusCode;
use axum::routing::post;
use ironcache_control::RaftTimers;
use ironcache_raft::{Admission, PeerAddr, RaftNode, RaftOptions, Role, Timers};
use ironcache_types::{Incarnation, Level, Member, NodeId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use crate::commands::CLUSTER;
/// Far more than anything here takes; a test that waits this long has failed.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub id: NodeId,
    pub node: RaftNode,
    pub addr: SocketAddr,
    pub task: JoinHandle<()>,
}

/// The timers of tests: quick, and still several times what a loaded machine needs for a round trip.
pub(crate) fn options(id: u64, dir: &Path) -> RaftOptions {
    // Later than any life that a command of these tests registers.
    static LIVES: AtomicU64 = AtomicU64::new(1 << 32);
    let me = Member { node: NodeId(id), incarnation: Incarnation(LIVES.fetch_add(1, Ordering::Relaxed)) };
    RaftOptions {
        timers: Timers::Own(RaftTimers { heartbeat_ms: 60, election_min_ms: 300, election_max_ms: 600 }),
        ask_timeout_ms: 20_000,
        ..RaftOptions::new(me, dir.join(format!("node-{id}")))
    }
}

impl Server {
    /// Opens a node and serves its peer port; `addr` is kept over restarts.
    pub(crate) async fn start(options: RaftOptions, addr: Option<SocketAddr>) -> Server {
        let id = options.node;
        let node = RaftNode::open(options).await.unwrap();
        let listener = bind(addr).await;
        let addr = listener.local_addr().unwrap();
        let router = node.router();
        let task = tokio::spawn(async move {
            use axum::serve::ListenerExt;
            let listener = listener.tap_io(|stream| {
                let _ = stream.set_nodelay(true);
            });
            axum::serve(listener, router).await.unwrap();
        });
        Server { id, node, addr, task }
    }

    pub(crate) fn peer(&self) -> PeerAddr {
        PeerAddr(self.addr.to_string())
    }

    /// Ends the node as a killed process would seem to its peers: the port is closed at once.
    pub(crate) async fn kill(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.node.shutdown().await;
        self.addr
    }

    pub(crate) async fn applied(&self, index: u64) {
        let mut views = self.node.applied();
        tokio::time::timeout(BOUND, views.wait_for(|view| view.index >= index))
            .await
            .expect("applies")
            .unwrap();
    }
}

/// A port that was just closed may take a moment to be free again.
async fn bind(addr: Option<SocketAddr>) -> TcpListener {
    let addr = addr.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
    let started = std::time::Instant::now();
    loop {
        match TcpListener::bind(addr).await {
            Ok(listener) => return listener,
            Err(error) if started.elapsed() > BOUND => panic!("cannot bind {addr}: {error}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Three voters, initialized through the first.
pub(crate) async fn three(dir: &Path, change: impl Fn(&mut RaftOptions)) -> Vec<Server> {
    let mut servers = Vec::new();
    for id in 1..=3 {
        let mut options = options(id, dir);
        change(&mut options);
        servers.push(Server::start(options, None).await);
    }
    let members = servers.iter().map(|s| (s.id, (s.peer(), Role::Voter))).collect::<BTreeMap<_, _>>();
    servers[0].node.initialize(CLUSTER, Level::FIRST, members).await.unwrap();
    admitted(&servers).await;
    servers
}

/// Waits until the log of each says that its life was admitted. The lives that commands of these tests register are none
/// of these processes: a node that remembers no life would be one whose log went back.
pub(crate) async fn admitted(servers: &[Server]) {
    until(|| servers.iter().all(|server| *server.node.admission().borrow() == Admission::Admitted)).await;
}

/// Waits for a level that nothing announces.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < BOUND, "it never held");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for a leader that a quorum answers.
pub(crate) async fn leader(servers: &[Server]) -> NodeId {
    let mut leader = None;
    until(|| {
        let leads = |server: &&Server| {
            let view = server.node.view();
            view.is_leader && view.quorum_ack_ms.is_some_and(|ms| ms < 300)
        };
        leader = servers.iter().find(leads).map(|server| server.id);
        leader.is_some()
    })
    .await;
    leader.expect("until waits for it")
}

pub(crate) fn position(servers: &[Server], id: NodeId) -> usize {
    servers.iter().position(|s| s.id == id).unwrap()
}

/// A peer that counts pre-votes and votes, and answers neither.
pub(crate) struct Deaf {
    pub task: JoinHandle<()>,
}

impl Deaf {
    pub(crate) async fn start(addr: SocketAddr, asked: watch::Sender<(u32, u32)>) -> Deaf {
        let votes = asked.clone();
        let router = axum::Router::new()
            .route(
                "/raft/prevote",
                post(async move || {
                    asked.send_modify(|(pre_votes, _)| *pre_votes += 1);
                    StatusCode::SERVICE_UNAVAILABLE
                }),
            )
            .route(
                "/raft/vote",
                post(async move || {
                    votes.send_modify(|(_, votes)| *votes += 1);
                    StatusCode::SERVICE_UNAVAILABLE
                }),
            );
        let listener = bind(Some(addr)).await;
        Deaf { task: tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }) }
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.task.abort();
    }
}
