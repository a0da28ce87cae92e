//! What strangers and mistakes on the peer port get: a clear refusal, and no harm.

use crate::commands::init_cluster;
use crate::servers::{BOUND, CLUSTER, Server, options};
use ironcache_control::{AskedBy, Command, ControlState, Keys, Security};
use ironcache_formats::entry::{self, EntryBytes};
use ironcache_formats::levels::RANGE;
use ironcache_formats::snapshot as state_snapshot;
use ironcache_formats::wire::{self, Header, Kind};
use ironcache_raft::bodies::v1::{
    Answer, AppendRequest, AppendResponse, Ask, Entry, ForwardRequest, Lives, LogId, Membership, Outcome,
    Payload, RpcHeader, SnapshotMeta, SnapshotRequest, TransferRequest, Vote, VoteRequest,
};
use ironcache_raft::{Ended, MayJoin, Proved, RaftNode, RaftOptions, Role};
use ironcache_store::LevelFile;
use ironcache_types::{ClusterId, Digest, KeyHash, Level, NodeId, RequestId};
use serde::Serialize;

const LIVES: Lives = Lives { remembered: 1, present: 1 };
const HEADER: RpcHeader = RpcHeader { cluster: CLUSTER.0, from: 9, to: 1, lives: LIVES, heard: 0 };

pub(crate) fn header(cluster: ClusterId, from: u64, to: u64) -> RpcHeader {
    RpcHeader { cluster: cluster.0, from, to, lives: LIVES, heard: 0 }
}

/// The first level that this build does not admit.
pub(crate) fn later() -> Level {
    RANGE.max.next()
}

/// An entry of a release to come.
pub(crate) fn later_entry(level: Level) -> Vec<u8> {
    let sealed = entry::seal(&init_cluster(), RequestId(5), Level::FIRST).unwrap();
    let mut bytes = sealed.as_bytes().to_vec();
    bytes[0..2].copy_from_slice(&999_u16.to_le_bytes());
    bytes[4..6].copy_from_slice(&level.0.to_le_bytes());
    bytes[entry::HEADER_BYTES..].fill(0xff);
    let crc = crc32fast::hash(&[&bytes[..28], &bytes[entry::HEADER_BYTES..]].concat());
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    EntryBytes::check(&bytes).unwrap();
    bytes
}

async fn founded(dir: &tempfile::TempDir) -> Server {
    let server = Server::start(options(1, dir.path()), None).await;
    server
        .node
        .initialize(CLUSTER, Level::FIRST, [(server.id, (server.peer(), Role::Voter))].into())
        .await
        .unwrap();
    server
}

pub(crate) async fn post(server: &Server, path: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.post(format!("http://{}{path}", server.addr)).body(body).send().await.unwrap();
    (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
}

pub(crate) async fn refused(server: &Server, path: &str, body: Vec<u8>) -> (u16, String) {
    let (status, text) = post(server, path, body).await;
    (status, String::from_utf8(text).unwrap())
}

pub(crate) fn sealed(kind: Kind, header: RpcHeader, body: &impl Serialize) -> Vec<u8> {
    wire::seal(first(kind), &(header, body)).unwrap()
}

fn first(kind: Kind) -> Header {
    Header::at(kind, Level::FIRST).unwrap()
}

pub(crate) fn vote() -> VoteRequest {
    let vote = Vote { term: 900, node: 9, committed: false };
    VoteRequest { vote, last_log: None, leadership_transfer: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_gets_400_and_the_node_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = founded(&dir).await;
    let before = server.node.view();
    let good = sealed(Kind::VoteRequest, HEADER, &vote());
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let newer = Header { version: 9, level: Level(9), ..first(Kind::VoteRequest) };
    let newer = wire::seal(newer, &(HEADER, vote())).unwrap();
    let cut = later_entry(later())[..40].to_vec();
    let entries = vec![Entry { log_id: LogId { term: 900, index: 1 }, payload: Payload::Entry(cut) }];
    let vote_of = Vote { term: 900, node: 9, committed: true };
    let damaged = AppendRequest { vote: vote_of, prev: None, entries, commit: None };
    let damaged = sealed(Kind::AppendRequest, HEADER, &damaged);
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("/raft/vote", b"GET /livez HTTP/1.1\r\n\r\n".to_vec(), "not an ironcache envelope"),
        ("/raft/vote", vec![], "too few for an envelope"),
        ("/raft/vote", flipped, "the bytes were altered"),
        ("/raft/vote", newer, "vote RPC version 9, written at level 9, is not readable"),
        ("/raft/append", damaged, "a log entry is damaged"),
        ("/raft/append", good.clone(), "carries kind 3, expected AppendRequest"),
        ("/raft/vote", wire::seal(first(Kind::VoteRequest), &7_u8).unwrap(), "not readable as"),
    ];
    for (path, body, expected) in cases {
        let (status, text) = refused(&server, path, body).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(post(&server, "/raft/nothing", good).await.0, 404);
    let after = server.node.view();
    assert_eq!((after.term, after.last_log), (before.term, before.last_log));
    assert!(server.node.propose(init_cluster()).await.unwrap().outcome.is_ok());
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_cannot_be_read_is_refused_before_raft_sees_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = founded(&dir).await;
    let meta = SnapshotMeta {
        last_log: Some(LogId { term: 900, index: 900 }),
        membership_log: None,
        membership: Membership { configs: vec![vec![1]], nodes: [(1, "h:1".to_owned())].into() },
    };
    let vote = Vote { term: 900, node: 9, committed: true };
    let request = SnapshotRequest { vote, meta, data: vec![1, 2, 3] };
    let (status, text) =
        refused(&server, "/raft/snapshot", sealed(Kind::SnapshotRequest, HEADER, &request)).await;
    assert_eq!(status, 400, "{text}");
    assert!(server.node.propose(init_cluster()).await.unwrap().outcome.is_ok());
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_and_another_node_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = founded(&dir).await;
    let term = server.node.view().term;
    let other = RpcHeader { cluster: ClusterId(0xbad).0, ..HEADER };
    let (status, text) = refused(&server, "/raft/vote", sealed(Kind::VoteRequest, other, &vote())).await;
    assert_eq!(status, 409);
    assert!(
        text.contains(&CLUSTER.to_string()) && text.contains(&ClusterId(other.cluster).to_string()),
        "{text}"
    );
    let moved = RpcHeader { to: 2, ..HEADER };
    let (status, text) = refused(&server, "/raft/vote", sealed(Kind::VoteRequest, moved, &vote())).await;
    assert_eq!(status, 421, "{text}");
    assert_eq!(server.node.view().term, term);
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_joins_one_cluster_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(options(1, dir.path()), None).await;
    assert_eq!(server.node.cluster(), None);
    assert_eq!(post(&server, "/raft/prevote", sealed(Kind::PreVoteRequest, HEADER, &vote())).await.0, 200);
    assert_eq!(server.node.cluster(), Some(CLUSTER));
    let addr = server.kill().await;
    let server = Server::start(options(1, dir.path()), Some(addr)).await;
    assert_eq!(server.node.cluster(), Some(CLUSTER));
    let other = RpcHeader { cluster: ClusterId(0xbad).0, ..HEADER };
    assert_eq!(post(&server, "/raft/prevote", sealed(Kind::PreVoteRequest, other, &vote())).await.0, 409);
    server.kill().await;
}

/// As a node that somebody has bound.
#[derive(Debug)]
struct Bound;

impl MayJoin for Bound {
    fn may_join(&self, cluster: ClusterId) -> bool {
        cluster == CLUSTER
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_bound_joins_no_other_cluster_whoever_calls() {
    let dir = tempfile::tempdir().unwrap();
    let bound = RaftOptions { may_join: std::sync::Arc::new(Bound), ..options(1, dir.path()) };
    let server = Server::start(bound, None).await;
    let other = RpcHeader { cluster: ClusterId(0xbad).0, ..HEADER };
    assert_eq!(post(&server, "/raft/prevote", sealed(Kind::PreVoteRequest, other, &vote())).await.0, 409);
    assert_eq!(server.node.cluster(), None);
    assert_eq!(post(&server, "/raft/prevote", sealed(Kind::PreVoteRequest, HEADER, &vote())).await.0, 200);
    assert_eq!(server.node.cluster(), Some(CLUSTER));
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_that_is_sent_twice_is_applied_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = founded(&dir).await;
    let entry = entry::seal(&init_cluster(), RequestId(77), Level::FIRST).unwrap();
    let ask = Ask::Propose(entry.as_bytes().to_vec());
    let body = sealed(Kind::ForwardRequest, HEADER, &ForwardRequest { ask, timeout_ms: 5000 });
    let mut answers = Vec::new();
    for _ in 0..3 {
        let (status, bytes) = post(&server, "/raft/forward", body.clone()).await;
        assert_eq!(status, 200);
        let (_, answer): (Lives, Answer) = wire::open(Kind::ForwardResponse, &bytes).unwrap().body().unwrap();
        answers.push(answer);
    }
    let Answer::Proposed { index, outcome: Outcome::Changed { .. } } = answers[0] else {
        panic!("{answers:?}")
    };
    let again = Answer::Proposed { index, outcome: Outcome::Unchanged };
    assert_eq!(answers[1..], [again.clone(), again]);
    assert!(server.node.view().last_log.unwrap() >= 3, "the log holds all three");
    server.kill().await;
}

/// What a leader of a later release would send to a new node: its membership, and an entry of its level.
fn later_log(commit: Option<u64>) -> Vec<u8> {
    let members = Membership {
        configs: vec![vec![1, 9]],
        nodes: [(1, "h:1".to_owned()), (9, "h:9".to_owned())].into(),
    };
    let entries = vec![
        Entry { log_id: LogId { term: 5, index: 0 }, payload: Payload::Membership(members) },
        Entry { log_id: LogId { term: 5, index: 1 }, payload: Payload::Entry(later_entry(later())) },
    ];
    let commit = commit.map(|index| LogId { term: 5, index });
    let vote = Vote { term: 5, node: 9, committed: true };
    sealed(Kind::AppendRequest, HEADER, &AppendRequest { vote, prev: None, entries, commit })
}

async fn ended(server: &Server) -> Ended {
    tokio::time::timeout(BOUND, server.node.ended()).await.expect("it is told in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_later_level_is_stored_as_it_is_and_ends_the_node_when_it_is_to_be_applied() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(options(1, dir.path()), None).await;
    let (status, bytes) = post(&server, "/raft/append", later_log(None)).await;
    let (_, answer): (Lives, AppendResponse) =
        wire::open(Kind::AppendResponse, &bytes).unwrap().body().unwrap();
    assert_eq!((status, answer), (200, AppendResponse::Success), "it is not looked into");
    server.kill().await;

    let server = Server::start(options(1, dir.path()), None).await;
    assert_eq!(server.node.view().last_log, Some(1), "nor at a restart");
    assert_eq!(server.node.oldest_level(), later());
    post(&server, "/raft/append", later_log(Some(1))).await;
    assert_eq!(ended(&server).await, Ended::AboveLevel { level: later(), admits: RANGE });
    assert_eq!(server.node.applied().borrow().state.cluster_id, None);
    server.kill().await;
    // The commit index was stored with it: the next start meets the entry again, and changes nothing either.
    let error = RaftNode::open(options(1, dir.path())).await.err().expect("it cannot go on");
    assert_eq!(error.above_level(), Some(later()), "{error}");
    let level = LevelFile::new(&options(1, dir.path()).dir).read().unwrap();
    assert_eq!(level, Some(Level::FIRST), "what it joined at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaders_snapshot_of_a_later_level_ends_the_node_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = founded(&dir).await;
    server.node.propose(init_cluster()).await.unwrap();
    let meta = SnapshotMeta {
        last_log: Some(LogId { term: 900, index: 900 }),
        membership_log: None,
        membership: Membership { configs: vec![vec![1]], nodes: [(1, "h:1".to_owned())].into() },
    };
    let newer = Header { kind: Kind::Snapshot, version: 7, level: later() };
    let data = wire::seal(newer, &"of a later release").unwrap();
    let vote = Vote { term: 900, node: 9, committed: true };
    let request = SnapshotRequest { vote, meta, data };
    post(&server, "/raft/snapshot", sealed(Kind::SnapshotRequest, HEADER, &request)).await;
    assert_eq!(ended(&server).await, Ended::AboveLevel { level: later(), admits: RANGE });
    assert_eq!(server.node.applied().borrow().state.cluster_id, Some(CLUSTER));
    assert_eq!(LevelFile::new(&options(1, dir.path()).dir).read().unwrap(), Some(Level::FIRST));
    server.kill().await;
}

/// What a leader of this name would send in place of its log.
fn snapshot_of(state: &ControlState, leader: u64) -> Vec<u8> {
    let meta = SnapshotMeta {
        last_log: Some(LogId { term: 900, index: 900 }),
        membership_log: None,
        membership: Membership { configs: vec![vec![1]], nodes: [(1, "h:1".to_owned())].into() },
    };
    let data = state_snapshot::seal(state, []).unwrap();
    let vote = Vote { term: 900, node: leader, committed: true };
    sealed(Kind::SnapshotRequest, HEADER, &SnapshotRequest { vote, meta, data })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_snapshot_makes_another_cluster_of_a_founded_one_nor_changes_whom_it_believes() {
    let dir = tempfile::tempdir().unwrap();
    let server = founded(&dir).await;
    server.node.propose(init_cluster()).await.unwrap();
    let (before, applied) = (server.node.view(), server.node.applied().borrow().clone());
    let own = ControlState::clone(&applied.state);
    let other = ControlState { cluster_id: Some(ClusterId(0xbad)), ..own.clone() };
    let keyed = ControlState { security: Security::Keys(Keys::default()), ..own.clone() };
    for state in [ControlState::default(), other, keyed] {
        let (status, text) = refused(&server, "/raft/snapshot", snapshot_of(&state, 9)).await;
        assert_eq!(status, 409, "{text}");
    }
    let after = server.node.view();
    assert_eq!((after.term, after.last_log), (before.term, before.last_log), "raft has seen none of them");
    assert_eq!(server.node.applied().borrow().state, applied.state);
    // One of this very cluster is a leader's.
    assert_eq!(post(&server, "/raft/snapshot", snapshot_of(&own, 9)).await.0, 200);
    server.kill().await;
}

/// The same node, as whoever has proved the key of node 9 meets it.
async fn as_node_9(server: &Server) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = server.node.router().layer(axum::Extension(Proved(NodeId(9))));
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { id: server.id, node: server.node.clone(), addr, task }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_asks_and_registers_as_itself_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = founded(&dir).await;
    let door = as_node_9(&server).await;
    let foreign = header(CLUSTER, 8, 1);
    let before = server.node.view();
    for (path, body) in [
        ("/raft/vote", sealed(Kind::VoteRequest, foreign, &vote())),
        ("/raft/prevote", sealed(Kind::PreVoteRequest, foreign, &vote())),
        (
            "/raft/forward",
            sealed(
                Kind::ForwardRequest,
                foreign,
                &ForwardRequest { ask: Ask::ConfirmIndex, timeout_ms: 500 },
            ),
        ),
    ] {
        let (status, text) = refused(&door, path, body).await;
        assert_eq!(
            (status, text.as_str()),
            (401, "the key of node 0000000000000009 asks in the name of node 0000000000000008")
        );
    }
    // Under its own name, and in that of another: whom raft would obey, or elect.
    let vote_of = |committed| Vote { term: 900, node: 8, committed };
    let elects = VoteRequest { vote: vote_of(false), ..vote() };
    let entries = vec![Entry { log_id: LogId { term: 900, index: 7 }, payload: Payload::Blank }];
    let append = AppendRequest { vote: vote_of(true), prev: None, entries, commit: None };
    let transfer = TransferRequest { from_leader: vote_of(true), to: 1, last_log: None };
    for (path, body) in [
        ("/raft/append", sealed(Kind::AppendRequest, HEADER, &append)),
        ("/raft/vote", sealed(Kind::VoteRequest, HEADER, &elects)),
        ("/raft/prevote", sealed(Kind::PreVoteRequest, HEADER, &elects)),
        ("/raft/snapshot", snapshot_of(&ControlState::default(), 8)),
        ("/raft/transfer", sealed(Kind::TransferRequest, HEADER, &transfer)),
    ] {
        assert_eq!(refused(&door, path, body).await.0, 401, "{path}");
    }
    // And for another node.
    let by = AskedBy::Node(NodeId(8));
    let command = Command::RevokeOperator { by, key: KeyHash(Digest([1; 32])) };
    let entry = entry::seal(&command, RequestId(6), Level::FIRST).unwrap().as_bytes().to_vec();
    for ask in [Ask::Propose(entry), Ask::Move { node: 8, incarnation: 1, addr: "h:1".to_owned() }] {
        let body = sealed(Kind::ForwardRequest, HEADER, &ForwardRequest { ask, timeout_ms: 500 });
        assert_eq!(refused(&door, "/raft/forward", body).await.0, 401);
    }
    let own =
        sealed(Kind::ForwardRequest, HEADER, &ForwardRequest { ask: Ask::ConfirmIndex, timeout_ms: 5000 });
    assert_eq!(post(&door, "/raft/forward", own).await.0, 200);
    assert_eq!(server.node.view().term, before.term);
    door.task.abort();
    server.kill().await;
}
