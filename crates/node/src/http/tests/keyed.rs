//! A cluster with keys, as members, operators and strangers meet it: over real sockets, through both ports.

use super::support::{Answer, TestNode, layout};
use crate::data::{REPLICATION_PATH, REPLICATION_UPGRADE};
use bytes::BytesMut;
use hyper::Method;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper_util::rt::TokioIo;
use ironcache_api::{
    AddOperator, ApiError, Believes, ClusterStatus, CreateKeys, Done, JoinBind, JoinProve, JoinProved,
    OperatorRole, Operators, RevokeOperator,
};
use ironcache_control::{Command, Credential, Origin, Security};
use ironcache_identity::{Expect, JoinCode, PrivateKey, Session, Side, Tls};
use ironcache_replication::{Hello, LINK_VERSIONS, LinkVersion, Message, Purpose, Refuse, decode, encode};
use ironcache_types::{ClusterId, Digest, Epoch, KeyHash, LEVELS, Member, NodeId, ShardId};
use reqwest::StatusCode;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

const CLUSTER: ClusterId = ClusterId(0x77);
/// Far more than it takes.
const BOUND: Duration = Duration::from_secs(30);

/// One connection by TLS, and what is asked on it.
pub(super) struct Talk {
    sender: hyper::client::conn::http1::SendRequest<String>,
    session: Session,
    pub(super) local: std::net::SocketAddr,
    connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Talk {
    pub(super) async fn open(tls: &Tls, addr: &str) -> Talk {
        let stream = TcpStream::connect(addr).await.unwrap();
        let local = stream.local_addr().unwrap();
        let secured = tls.connect(stream, Expect::Anybody).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(secured.stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        Talk { sender, session: secured.session, local, connection }
    }

    async fn say(&mut self, method: Method, path: &str, body: String) -> Answer {
        self.say_with(method, path, body, &[]).await
    }

    async fn say_with(
        &mut self,
        method: Method,
        path: &str,
        body: String,
        headers: &[(&str, &str)],
    ) -> Answer {
        let request = hyper::Request::builder().method(method).uri(path).header(HOST, "127.0.0.1");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.sender.ready().await.unwrap();
        let answer = self.sender.send_request(request.body(body).unwrap()).await.unwrap();
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
        let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 1 << 20).await.unwrap();
        Answer { status, text: String::from_utf8_lossy(&body).into_owned() }
    }

    async fn post(&mut self, path: &str, body: &impl serde::Serialize) -> Answer {
        self.say(Method::POST, path, serde_json::to_string(body).unwrap()).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.say(Method::GET, path, String::new()).await
    }

    /// `None`: the connection was closed.
    async fn try_get(&mut self, path: &str) -> Option<Answer> {
        let request = hyper::Request::builder().uri(path).header(HOST, "127.0.0.1");
        let sender = &mut self.sender;
        let answered = async {
            sender.ready().await.ok()?;
            let answer = sender.send_request(request.body(String::new()).unwrap()).await.ok()?;
            let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
            let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 1 << 20).await.ok()?;
            Some(Answer { status, text: String::from_utf8_lossy(&body).into_owned() })
        };
        let answered = tokio::time::timeout(BOUND, answered).await;
        answered.unwrap_or_else(|_| panic!("no answer to {path}; the connection: {:?}", self.connection))
    }

    async fn prove(&mut self, code: &JoinCode) -> Answer {
        let proof = Digest(code.prove(Side::Caller, &self.session).0);
        self.post("/v1/join/prove", &JoinProve { proof }).await
    }
}

fn key() -> Tls {
    Tls::new(&PrivateKey::generate().unwrap()).unwrap()
}

pub(super) fn http(node: &TestNode) -> String {
    node.app.config.http_addr()
}

fn code(answer: &Answer) -> String {
    serde_json::from_str::<ApiError>(&answer.text).expect(&answer.text).refused.expect("a named refusal").code
}

fn pins(nodes: &[TestNode]) -> BTreeMap<NodeId, KeyHash> {
    nodes.iter().map(|node| (node.id(), node.app.doors.tls.hash())).collect()
}

/// The admin's key has met each node, and told it the keys of all.
async fn bind(nodes: &[TestNode], admin: &Tls) {
    for node in nodes {
        let mut talk = Talk::open(admin, &http(node)).await;
        let code = node.app.doors.code().expect("it is new").clone();
        let proved: JoinProved = talk.prove(&code).await.read();
        let proof = ironcache_identity::Proof(proved.proof.0);
        assert!(code.is_proved_by(&proof, Side::Called, &talk.session));
        assert_eq!((proved.node, talk.session.peer), (node.id(), Some(node.app.doors.tls.hash())));
        let bind = JoinBind { cluster: CLUSTER, nodes: pins(nodes) };
        talk.post("/v1/join/bind", &bind).await.read::<Done>();
    }
}

async fn create(nodes: &[TestNode], admin: &Tls) {
    bind(nodes, admin).await;
    let codes = nodes.iter().map(|node| node.app.doors.code().expect("it is new").digest()).collect();
    let keys = CreateKeys { cluster: CLUSTER, admin: "ada".to_owned(), nodes: pins(nodes), codes };
    let mut request = layout(nodes);
    request.security = Some(keys);
    let mut talk = Talk::open(admin, &http(&nodes[0])).await;
    talk.post("/v1/cluster/create", &request).await.read::<Done>();
}

async fn new(count: u64) -> Vec<TestNode> {
    let mut nodes = Vec::new();
    for id in 1..=count {
        nodes.push(TestNode::start_locked(id).await);
    }
    nodes
}

/// Of nodes with keys, all of them in sync, and its admin.
pub(super) async fn founded(count: u64) -> (Vec<TestNode>, Tls) {
    found(new(count).await).await
}

async fn found(nodes: Vec<TestNode>) -> (Vec<TestNode>, Tls) {
    let (count, admin) = (nodes.len() as u64, key());
    create(&nodes, &admin).await;
    for node in &nodes {
        let mut views = node.app.raft.applied();
        let all = views
            .wait_for(|view| view.state.shards.values().any(|shard| shard.in_sync.len() as u64 == count));
        tokio::time::timeout(BOUND, all).await.expect("in sync in time").unwrap();
    }
    (nodes, admin)
}

async fn plain(node: &TestNode, addr: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = node.http_client().post(format!("http://{addr}{path}")).body("{}");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    Answer { status: response.status(), text: response.text().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_keys_is_founded_and_replicates_over_links_that_prove_them() {
    let (nodes, admin) = founded(3).await;
    for node in &nodes {
        let state = node.app.raft.catch_up().await.unwrap().state.clone();
        let Security::Keys(keys) = &state.security else { panic!("it has keys") };
        assert_eq!(keys.nodes, pins(&nodes));
        assert_eq!(keys.operators.keys().collect::<Vec<_>>(), [&admin.hash()]);
        // What only the leader knows is asked of it by a member's key.
        let mut talk = Talk::open(&admin, &http(node)).await;
        let status: ClusterStatus = talk.get("/v1/cluster").await.read();
        assert_eq!(status.control.pins, pins(&nodes));
    }
    assert!(nodes.iter().all(|node| node.app.doors.code().is_none()), "no code is obeyed any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_proves_no_key_is_refused_by_name_on_both_ports() {
    let (nodes, _admin) = founded(1).await;
    let (node, stranger) = (&nodes[0], key());
    let before = node.app.raft.applied().borrow().index;
    let (http, peer) = (http(node), node.app.config.peer_addr());
    let page = [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
    let rebound = [("host", "evil.example:26379"), ("sec-fetch-site", "same-origin")];
    let orders = [
        "/v1/releases",
        "/v1/upgrade/plan",
        "/v1/policy",
        "/v1/cluster/create",
        "/v1/cluster/recover",
        "/v1/cluster/nodes/add",
        "/v1/cluster/nodes/remove",
        "/v1/operators/add",
    ];
    let rpcs = [
        "/raft/forward",
        "/raft/append",
        "/raft/vote",
        "/raft/prevote",
        "/raft/snapshot",
        "/raft/transfer",
        "/node/lease",
        "/node/odd",
    ];
    for (addr, paths) in [(&http, orders), (&peer, rpcs)] {
        for path in paths {
            assert_eq!(code(&plain(node, addr, path, &page).await), "cross_site", "{path}");
            assert_eq!(code(&plain(node, addr, path, &rebound).await), "foreign_host", "{path}");
            let nobody = plain(node, addr, path, &[]).await;
            assert_eq!(
                (nobody.status, code(&nobody).as_str()),
                (StatusCode::UNAUTHORIZED, "no_key"),
                "{path}"
            );
            let mut talk = Talk::open(&stranger, addr).await;
            let unknown = talk.say(Method::POST, path, "{}".to_owned()).await;
            let named = (unknown.status, code(&unknown));
            assert_eq!(named, (StatusCode::UNAUTHORIZED, "unknown_key".to_owned()), "{path}");
        }
    }
    for path in ["/node/report", "/node/pins", REPLICATION_PATH, "/artifacts/00"] {
        let unknown = Talk::open(&stranger, &peer).await.get(path).await;
        assert_eq!(code(&unknown), "unknown_key", "{path}");
    }
    // Probes hold no key; whoever asks on the machine itself needs none to look.
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        let response = node.http_client().get(format!("http://{http}{path}")).send().await.unwrap();
        assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(node.app.raft.applied().borrow().index, before, "nothing has come of it");
    // And each is counted, at the port where it was.
    let counts = |by_code: BTreeMap<String, u64>| {
        ["cross_site", "foreign_host", "no_key", "unknown_key"].map(|code| by_code[code])
    };
    assert_eq!(counts(node.app.refused.by_code()), [8, 8, 8, 8]);
    assert_eq!(counts(node.app.refused_peers.by_code()), [8, 8, 8, 12]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_what_its_role_says_and_nothing_on_the_peer_port() {
    let (nodes, admin) = founded(1).await;
    let (node, viewer) = (&nodes[0], key());
    let mut asks = Talk::open(&admin, &http(node)).await;
    let add = AddOperator { key: viewer.hash(), name: "eve".to_owned(), role: OperatorRole::Viewer };
    asks.post("/v1/operators/add", &add).await.read::<Done>();
    let mut looks = Talk::open(&viewer, &http(node)).await;
    let operators: Operators = looks.get("/v1/operators").await.read();
    assert_eq!(operators.operators.iter().map(|of| &*of.name).collect::<Vec<_>>(), ["ada", "eve"]);
    let not = looks.post("/v1/operators/revoke", &RevokeOperator { key: admin.hash() }).await;
    assert_eq!((not.status, code(&not).as_str()), (StatusCode::FORBIDDEN, "not_allowed"));
    let last = asks.post("/v1/operators/revoke", &RevokeOperator { key: admin.hash() }).await;
    assert_eq!(code(&last), "last_admin");
    let peer = node.app.config.peer_addr();
    assert_eq!(code(&Talk::open(&admin, &peer).await.get("/node/report").await), "not_a_member");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_holds_a_nodes_key_may_let_an_operator_in() {
    let (nodes, _lost) = founded(1).await;
    let again = key();
    let mut as_node = Talk::open(&nodes[0].app.doors.tls, &http(&nodes[0])).await;
    let add = AddOperator { key: again.hash(), name: "ada again".to_owned(), role: OperatorRole::Admin };
    as_node.post("/v1/operators/add", &add).await.read::<Done>();
    Talk::open(&again, &http(&nodes[0])).await.get("/v1/cluster").await.read::<ClusterStatus>();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_a_revoked_key_is_closed() {
    let (nodes, admin) = founded(1).await;
    let (node, viewer) = (&nodes[0], key());
    let mut asks = Talk::open(&admin, &http(node)).await;
    let add = AddOperator { key: viewer.hash(), name: "eve".to_owned(), role: OperatorRole::Viewer };
    asks.post("/v1/operators/add", &add).await.read::<Done>();
    let mut looks = Talk::open(&viewer, &http(node)).await;
    looks.get("/v1/cluster").await.read::<ClusterStatus>();
    asks.post("/v1/operators/revoke", &RevokeOperator { key: viewer.hash() }).await.read::<Done>();
    let closed = async {
        while !looks.sender.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, closed).await.expect("it is closed");
    assert_eq!(code(&Talk::open(&viewer, &http(node)).await.get("/v1/cluster").await), "unknown_key");
}

/// What a node answers to this hello on a link whose connection proves `tls`.
async fn hello(
    node: &TestNode,
    tls: &Tls,
    member: Member,
    purpose: Purpose,
) -> (String, TlsStream<TcpStream>) {
    let stream = TcpStream::connect(node.app.config.peer_addr()).await.unwrap();
    let mut link = tls.connect(stream, Expect::Anybody).await.unwrap().stream;
    let head = format!(
        "GET {REPLICATION_PATH} HTTP/1.1\r\n{HOST}: 127.0.0.1\r\n{CONNECTION}: upgrade\r\n{UPGRADE}: {REPLICATION_UPGRADE}\r\n\r\n"
    );
    link.write_all(head.as_bytes()).await.unwrap();
    let mut read = BytesMut::new();
    while !read.ends_with(b"\r\n\r\n") {
        assert_ne!(link.read_buf(&mut read).await.unwrap(), 0, "{read:?}");
    }
    assert!(read.starts_with(b"HTTP/1.1 101"), "{read:?}");
    let hello = Hello {
        versions: LINK_VERSIONS,
        cluster_id: CLUSTER,
        shard: ShardId(0),
        member,
        purpose,
        position: None,
        levels: LEVELS,
    };
    let mut said = Vec::new();
    encode(&Message::Hello(hello), LinkVersion::HANDSHAKE, &mut said).unwrap();
    link.write_all(&said).await.unwrap();
    let mut read = BytesMut::new();
    loop {
        match decode(&read, LinkVersion::HANDSHAKE).unwrap() {
            Some((Message::Refuse(Refuse { code, .. }), _)) => return (code.to_owned(), link),
            Some((Message::Accept(_), _)) => return ("accepted".to_owned(), link),
            Some((other, _)) => panic!("{other:?}"),
            None => assert_ne!(link.read_buf(&mut read).await.unwrap(), 0),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_says_hello_and_asks_for_a_lease_as_itself_alone() {
    let (nodes, _admin) = founded(3).await;
    let state = nodes[0].app.raft.applied().borrow().state.clone();
    let primary = state.shards[&ShardId(0)].primary().expect("it has one").node;
    let primary = nodes.iter().find(|node| node.id() == primary).unwrap();
    let [one, other] =
        [0, 1].map(|at| nodes.iter().filter(|node| node.id() != primary.id()).nth(at).unwrap());
    let (refused, _link) = hello(primary, &one.app.doors.tls, other.app.me, Purpose::Follow).await;
    assert_eq!(refused, "not_itself");
    let (accepted, _link) = hello(primary, &one.app.doors.tls, one.app.me, Purpose::Follow).await;
    assert_eq!(accepted, "accepted");
    let mut talk = Talk::open(&one.app.doors.tls, &primary.app.config.peer_addr()).await;
    let lease = crate::lease::AskLease { member: other.app.me, silence_ms: 0 };
    let request = hyper::Request::builder()
        .method(Method::POST)
        .uri(crate::lease::LEASE_PATH)
        .header(HOST, "127.0.0.1")
        .header("content-type", "application/json");
    let request = request.body(serde_json::to_string(&lease).unwrap()).unwrap();
    let answer = talk.sender.send_request(request).await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_obeys_nobody_but_the_holder_of_its_join_code() {
    let nodes = new(2).await;
    let (node, other, stranger) = (&nodes[0], &nodes[1], key());
    // Neither the code of another node nor one that is guessed.
    let mut talk = Talk::open(&stranger, &http(node)).await;
    for wrong in [other.app.doors.code().unwrap().clone(), JoinCode::draw().unwrap()] {
        let answer = talk.prove(&wrong).await;
        assert_eq!((answer.status, code(&answer).as_str()), (StatusCode::FORBIDDEN, "other_code"));
    }
    let theirs = JoinBind { cluster: ClusterId(9), nodes: pins(&nodes) };
    let unproved = talk.post("/v1/join/bind", &theirs).await;
    assert_eq!((unproved.status, code(&unproved).as_str()), (StatusCode::FORBIDDEN, "no_code"));
    // What was proved on one connection says nothing on another.
    let own = node.app.doors.code().unwrap().clone();
    talk.prove(&own).await.read::<JoinProved>();
    let elsewhere = Talk::open(&stranger, &http(node)).await.post("/v1/join/bind", &theirs).await;
    assert_eq!(code(&elsewhere), "no_code");
    // Nor is it founded, or taken into a group, without.
    let plainly = node.create(&layout(&nodes[..1])).await;
    assert_eq!(code(&plainly), "no_key");
    let appended = Talk::open(&stranger, &node.app.config.peer_addr())
        .await
        .say(Method::POST, "/raft/append", String::new())
        .await;
    assert_eq!(code(&appended), "unknown_key");
    assert!(node.app.doors.binding().is_none() && node.app.raft.cluster().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_bound_to_no_other_cluster_whoever_holds_its_old_code() {
    let nodes = new(1).await;
    let (old, admin) = (nodes[0].app.doors.code().unwrap().clone(), key());
    create(&nodes, &admin).await;
    let mut talk = Talk::open(&key(), &http(&nodes[0])).await;
    let answer = talk.prove(&old).await;
    assert_eq!((answer.status, code(&answer).as_str()), (StatusCode::CONFLICT, "not_pristine"));
    assert_eq!(nodes[0].app.doors.binding().unwrap().cluster, CLUSTER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_permit_it_is_in_no_insecure_cluster() {
    let (open, locked) = (TestNode::start(1).await, TestNode::start_locked(2).await);
    let nodes = [open, locked];
    assert_eq!(nodes[0].create(&layout(&nodes)).await.refused(), "not_permitted");
    assert!(nodes.iter().all(|node| node.app.raft.cluster().is_none()));
}

/// A new node that the admin has met, for the cluster of `nodes`; its code; and a connection of the admin's to the cluster.
async fn met(nodes: &[TestNode], admin: &Tls) -> (TestNode, JoinCode, Talk) {
    let joins = TestNode::start_locked(nodes.len() as u64 + 1).await;
    let join_code = joins.app.doors.code().unwrap().clone();
    let mut all = pins(nodes);
    all.insert(joins.id(), joins.app.doors.tls.hash());
    let mut talk = Talk::open(admin, &http(&joins)).await;
    talk.prove(&join_code).await.read::<JoinProved>();
    talk.post("/v1/join/bind", &JoinBind { cluster: CLUSTER, nodes: all }).await.read::<Done>();
    let asks = Talk::open(admin, &http(&nodes[0])).await;
    (joins, join_code, asks)
}

/// Has the log do what the leader's loop does, which does not run here: the stage of the change that is under way ends.
async fn next_stage(node: &TestNode, command: impl Fn(Epoch) -> Command) {
    let change = node.app.raft.catch_up().await.unwrap().state.membership.as_ref().unwrap().epoch;
    node.app.raft.propose(command(change)).await.unwrap().outcome.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_links_of_a_node_that_was_removed_are_closed() {
    let (nodes, admin) = founded(2).await;
    let (joins, join_code, mut asks) = met(&nodes, &admin).await;
    let add = ironcache_api::AddNode {
        http_addr: http(&joins),
        node: joins.id(),
        shard: Some(ShardId(0)),
        learner: false,
        admitted: Some(ironcache_api::Admitted { key: joins.app.doors.tls.hash(), code: join_code.digest() }),
    };
    asks.post("/v1/cluster/nodes/add", &add).await.read::<Done>();
    next_stage(&nodes[0], |change| Command::MembershipDone { change }).await;
    let state = nodes[0].app.raft.catch_up().await.unwrap().state.clone();
    let primary = state.shards[&ShardId(0)].primary().expect("it has one").node;
    let replica = nodes.iter().find(|node| node.id() != primary).unwrap();
    // This link waits for as long as its two ends want it: it ends for no other reason.
    let tls = &joins.app.doors.tls;
    // Its daemon, which would register its life, does not run here.
    let member = Member { node: joins.id(), incarnation: state.nodes[&joins.id()].incarnation };
    let (said, mut link) = hello(replica, tls, member, Purpose::NextSource).await;
    assert_eq!(said, "accepted");
    let mut asks_of_peer = Talk::open(tls, &replica.app.config.peer_addr()).await;
    assert_eq!(asks_of_peer.get("/node/report").await.status, StatusCode::OK);
    let (node, propose) = (joins.id(), async |command| {
        nodes[0].app.raft.propose(command).await.unwrap().outcome.unwrap();
    });
    propose(Command::RemoveNode { node }).await;
    next_stage(&nodes[0], |change| Command::NodeLeft { change, node }).await;
    next_stage(&nodes[0], |change| Command::MembershipDone { change }).await;
    let closed = async {
        let mut rest = Vec::new();
        // Closed by TLS, or without a word.
        let _ = link.read_to_end(&mut rest).await;
        while !asks_of_peer.sender.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, closed).await.expect("both are closed");
    assert_eq!(
        code(&Talk::open(tls, &replica.app.config.peer_addr()).await.get("/node/report").await),
        "removed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_met_joins_a_cluster_with_keys_and_its_code_is_used() {
    let (mut nodes, admin) = founded(1).await;
    let (joins, join_code, mut asks) = met(&nodes, &admin).await;
    let founding = nodes[0].app.raft.applied().borrow().state.clone();
    let Security::Keys(founding) = &founding.security else { panic!("it has keys") };
    let request = |admitted| ironcache_api::AddNode {
        http_addr: http(&joins),
        node: joins.id(),
        shard: Some(ShardId(0)),
        learner: false,
        admitted,
    };
    let unmet = asks.post("/v1/cluster/nodes/add", &request(None)).await;
    assert_eq!(code(&unmet), "not_admitted");
    let admitted = ironcache_api::Admitted { key: joins.app.doors.tls.hash(), code: join_code.digest() };
    asks.post("/v1/cluster/nodes/add", &request(Some(admitted))).await.read::<Done>();
    nodes.push(joins);
    // The leader's loop, which takes it into raft's group, does not run here: what the log says is what counts.
    let state = nodes[0].app.raft.catch_up().await.unwrap().state.clone();
    let Security::Keys(keys) = &state.security else { panic!("it has keys") };
    assert_eq!(keys.nodes, pins(&nodes));
    // That of the founding node is as used as its own.
    assert_eq!(founding.codes.len(), 1);
    assert_eq!(keys.codes.iter().copied().collect::<Vec<_>>(), [founding.codes[0], join_code.digest()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_an_operator_who_was_revoked_is_refused_by_whatever_way_it_comes() {
    let (nodes, admin) = founded(3).await;
    let leader = nodes[0].app.raft.view_changes().borrow().leader.expect("somebody leads");
    let [leads, follows] =
        [true, false].map(|leads| nodes.iter().find(|node| (node.id() == leader) == leads).unwrap());
    let bob = key();
    let mut asks = Talk::open(&admin, &http(leads)).await;
    let add = AddOperator { key: bob.hash(), name: "bob".to_owned(), role: OperatorRole::Operator };
    asks.post("/v1/operators/add", &add).await.read::<Done>();
    // As a node sends on what it was asked, for whom it was asked.
    let mut sends_on = Talk::open(&follows.app.doors.tls, &http(leads)).await;
    let (member, key) = (follows.id().to_string(), bob.hash().to_string());
    let headers = [("x-ironcache-forwarded", member.as_str()), ("x-ironcache-for", key.as_str())];
    let policy = |settle: u32| format!("{{\"set\":{{\"settle-ms\":\"{settle}\"}}}}");
    let order = sends_on.say_with(Method::POST, "/v1/policy", policy(4_000), &headers).await;
    assert_eq!(order.status, StatusCode::OK, "{}", order.text);
    asks.post("/v1/operators/revoke", &RevokeOperator { key: bob.hash() }).await.read::<Done>();
    let order = sends_on.say_with(Method::POST, "/v1/policy", policy(5_000), &headers).await;
    assert_eq!((order.status, code(&order).as_str()), (StatusCode::CONFLICT, "not_allowed"));
    // Nor as an entry that a follower proposes which has not heard of it.
    let present = follows.app.raft.catch_up().await.unwrap().state.clone();
    let command = Command::SetPolicy { seen: present.policy_epoch, policy: present.policy };
    let origin = Origin { by: Credential::Operator(bob.hash()), from: None, at_ms: 1 };
    let refused = follows.app.raft.propose(origin.asks(command)).await.unwrap().outcome.unwrap_err();
    assert_eq!(refused.code, "not_allowed");
}

/// What is answered to the head of a request whose body never comes.
async fn answer_to_head(addr: &str, path: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = BytesMut::new();
    let answered = async {
        while !read.windows(4).any(|four| four == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{read:?}");
        }
    };
    // Less than a body that does not come is waited for.
    tokio::time::timeout(Duration::from_secs(4), answered).await.expect("it is answered before a body comes");
    String::from_utf8_lossy(&read).lines().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_known_has_no_memory_of_a_node() {
    let (nodes, _admin) = founded(1).await;
    let new = TestNode::start_locked(9).await;
    let most = crate::http::JSON_BYTES_MAX;
    for (addr, path, status) in [
        // A member obeys no code, whoever asks; nor does a probe have a body.
        (http(&nodes[0]), "/v1/join/prove", 409),
        (http(&nodes[0]), "/v1/join/bind", 409),
        (http(&nodes[0]), "/v1/policy", 401),
        // A new node reads a proof, which is short, and a binding of whoever has proved the code.
        (http(&new), "/v1/join/prove", 413),
        (http(&new), "/v1/join/bind", 403),
        (http(&new), "/v1/cluster/create", 401),
    ] {
        let answer = answer_to_head(&addr, path, most).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    // And says no more back than it was sent.
    let sent = format!("{{\"proof\":\"{}\"}}", "\\\"".repeat(480));
    let answer = plain_body(&new, "/v1/join/prove", sent.clone()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.len() < sent.len(), "{}", answer.text);
}

async fn plain_body(node: &TestNode, path: &str, body: String) -> Answer {
    let response = node.http_client().post(format!("http://{}{path}", http(node))).body(body).send().await;
    let response = response.unwrap();
    Answer { status: response.status(), text: response.text().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_refused_though_its_browser_holds_an_operators_key() {
    let (nodes, admin) = founded(1).await;
    let mut browser = Talk::open(&admin, &http(&nodes[0])).await;
    for headers in [[("sec-fetch-site", "cross-site")], [("origin", "https://evil.example")]] {
        let order = browser.say_with(Method::POST, "/v1/upgrade/pause", String::new(), &headers).await;
        assert_eq!(order.status, StatusCode::FORBIDDEN, "{}", order.text);
        assert!(["cross_site", "foreign_origin"].contains(&code(&order).as_str()));
    }
    // What a node is called is of no matter to whoever knows its key.
    let order = browser.say_with(Method::GET, "/v1/cluster", String::new(), &[("x-any", "thing")]).await;
    assert_eq!(order.status, StatusCode::OK, "{}", order.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_says_whom_it_believes() {
    let (nodes, _admin) = founded(1).await;
    let (new, open) = (TestNode::start_locked(8).await, TestNode::start(9).await);
    for (node, believes) in [(&nodes[0], Believes::Keys), (&new, Believes::Locked), (&open, Believes::Open)] {
        assert_eq!(node.status().await.believes, Some(believes));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_revoked_reads_nothing_through_a_node_that_has_not_heard_of_it() {
    let (nodes, admin) = founded(3).await;
    let mut asks = Talk::open(&admin, &http(&nodes[0])).await;
    // Revoked and heard of a heartbeat later, each time: some of the nodes are behind at the moment of the question.
    for turn in 0..8 {
        let viewer = key();
        let add = AddOperator { key: viewer.hash(), name: format!("eve-{turn}"), role: OperatorRole::Viewer };
        asks.post("/v1/operators/add", &add).await.read::<Done>();
        let mut looks = Vec::new();
        for node in &nodes {
            let mut talk = Talk::open(&viewer, &http(node)).await;
            // Once, so that the node has heard of the key.
            node.app.raft.catch_up().await.unwrap();
            talk.get("/v1/operators").await.read::<Operators>();
            looks.push(talk);
        }
        asks.post("/v1/operators/revoke", &RevokeOperator { key: viewer.hash() }).await.read::<Done>();
        for (path, mut talk) in ["/v1/operators", "/v1/cluster", "/v1/policy"].into_iter().zip(looks) {
            // Its connection may be closed already.
            if let Some(answer) = talk.try_get(path).await {
                assert_eq!(code(&answer), "unknown_key", "{path}, turn {turn}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_no_leader_reaches_answers_no_operator_until_it_has_caught_up() {
    let nodes = vec![
        TestNode::start_locked(1).await,
        TestNode::start_locked(2).await,
        TestNode::start_locked_at_the_end_of_a_way(3).await,
    ];
    let (nodes, admin) = found(nodes).await;
    let (behind, viewer) = (&nodes[2], key());
    // Who leads reaches the others, and they it.
    assert_ne!(nodes[0].app.raft.view_changes().borrow().leader, Some(behind.id()));
    let mut asks = Talk::open(&admin, &http(&nodes[0])).await;
    let add = AddOperator { key: viewer.hash(), name: "eve".to_owned(), role: OperatorRole::Viewer };
    asks.post("/v1/operators/add", &add).await.read::<Done>();
    behind.app.raft.catch_up().await.unwrap();
    let mut looks = Talk::open(&viewer, &http(behind)).await;
    looks.get("/v1/operators").await.read::<Operators>();
    looks.get("/v1/cluster").await.read::<ClusterStatus>();
    behind.cut_off(true);
    asks.post("/v1/operators/revoke", &RevokeOperator { key: viewer.hash() }).await.read::<Done>();
    let names =
        |node: &TestNode| node.app.raft.applied().borrow().state.security.holder(viewer.hash()).is_some();
    assert!(names(behind) && !names(&nodes[0]), "it has not heard of it");
    // Of its own state it has nothing to say, and what the leader tells it, it does not pass on. Where it knows of no leader for a
    // moment, it is asked again.
    let give_up = Instant::now() + 2 * BOUND;
    for (path, is_told) in
        [("/v1/cluster", true), ("/v1/upgrade", true), ("/v1/operators", false), ("/v1/policy", false)]
    {
        loop {
            let answer = looks.get(path).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", answer.text);
            assert!(names(behind), "{path}: it was behind when it answered");
            let refused = serde_json::from_str::<ApiError>(&answer.text).unwrap().refused;
            if !is_told || refused.is_some_and(|refused| refused.code == "not_confirmed") {
                break;
            }
            assert!(Instant::now() < give_up, "{path}: {}", answer.text);
        }
    }
    behind.cut_off(false);
    let closed = async {
        while !looks.sender.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, closed).await.expect("it hears of it, and closes the connection");
    assert_eq!(code(&Talk::open(&viewer, &http(behind)).await.get("/v1/cluster").await), "unknown_key");
}
