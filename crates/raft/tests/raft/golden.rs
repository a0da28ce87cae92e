//! One encoding of every type that is sent or persisted. A file here changes only with the envelope's
//! version; `UPDATE_EXPECT=1 cargo test -p ironcache-raft` writes them anew while a format is being made.

use crate::commands::{init_cluster, register};
use expect_test::expect_file;
use ironcache_control::{Applied, ControlState, Rejection};
use ironcache_raft::wire::types::*;
use ironcache_raft::wire::{self, Kind};
use ironcache_raft::{PeerAddr, Proposed};
use ironcache_types::{ClusterId, Epoch, Incarnation, Member, NodeId, RequestId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

const VOTE: Vote = Vote { term: 7, node: 0x1122_3344_5566_7788, committed: true };
const LOG: LogId = LogId { term: 7, index: 70_000 };

/// What is written today equals the file, and the file reads back as the same value.
fn check<T: Serialize + DeserializeOwned + Debug>(kind: Kind, value: &T, golden: &expect_test::ExpectFile) {
    golden.assert_eq(&wire::hex(&wire::seal(kind, value).unwrap()));
    let read: T = wire::open(kind, &wire::unhex(&golden.data())).unwrap();
    assert_eq!(format!("{read:?}"), format!("{value:?}"));
}

fn header<T>(body: T) -> (RpcHeader, T) {
    (RpcHeader { cluster: ClusterId(0xc0ffee), from: NodeId(1), to: NodeId(u64::MAX) }, body)
}

fn membership() -> Membership {
    Membership {
        configs: vec![[1, 2].into(), [1, 2, 3].into()],
        nodes: (1..=4).map(|id| (id, format!("host-{id}:1700{id}"))).collect(),
    }
}

fn meta() -> SnapshotMeta {
    SnapshotMeta {
        last_log: Some(LOG),
        membership_log: Some(LogId { term: 1, index: 3 }),
        membership: membership(),
    }
}

#[test]
fn append() {
    let entries = vec![
        Entry { log_id: LogId { term: 7, index: 1 }, payload: Payload::Blank },
        Entry { log_id: LogId { term: 7, index: 2 }, payload: Payload::Membership(membership()) },
        Entry {
            log_id: LogId { term: 7, index: 3 },
            payload: Payload::Command { id: RequestId(5 << 64 | 6), command: register(2, 300) },
        },
    ];
    let request = AppendRequest { vote: VOTE, prev: Some(LOG), entries, commit: None };
    check(Kind::AppendRequest, &header(request), &expect_file!["../golden/append_request.hex"]);
    let responses = [
        AppendResponse::Success,
        AppendResponse::Partial(Some(LOG)),
        AppendResponse::Conflict,
        AppendResponse::HigherVote(VOTE),
    ];
    check(Kind::AppendResponse, &responses, &expect_file!["../golden/append_responses.hex"]);
}

#[test]
fn vote_and_pre_vote() {
    let request = VoteRequest { vote: VOTE, last_log: Some(LOG), leadership_transfer: true };
    check(Kind::VoteRequest, &header(request), &expect_file!["../golden/vote_request.hex"]);
    check(Kind::PreVoteRequest, &header(request), &expect_file!["../golden/pre_vote_request.hex"]);
    let response = VoteResponse { vote: VOTE, granted: false, last_log: None };
    check(Kind::VoteResponse, &response, &expect_file!["../golden/vote_response.hex"]);
    check(Kind::PreVoteResponse, &response, &expect_file!["../golden/pre_vote_response.hex"]);
}

#[test]
fn snapshot() {
    let data = vec![1, 2, 3];
    let request = SnapshotRequest { vote: VOTE, meta: meta(), data: data.clone() };
    check(Kind::SnapshotRequest, &header(request), &expect_file!["../golden/snapshot_request.hex"]);
    check(
        Kind::SnapshotResponse,
        &SnapshotResponse { vote: VOTE },
        &expect_file!["../golden/snapshot_response.hex"],
    );
    let file = SnapshotFile { node: NodeId(9), meta: meta(), data };
    check(Kind::SnapshotFile, &file, &expect_file!["../golden/snapshot_file.hex"]);
}

#[test]
fn machine_state() {
    let mut control = ControlState::default();
    control.apply(1, &init_cluster()).unwrap();
    let answers = vec![
        (RequestId(1), Proposed { index: 1, outcome: Ok(Applied::Changed { epoch: Epoch(1) }) }),
        (RequestId(2), Proposed { index: 2, outcome: Err(Rejection::UnknownNode { node: NodeId(3) }) }),
    ];
    check(
        Kind::MachineState,
        &MachineState { control, answers },
        &expect_file!["../golden/machine_state.hex"],
    );
}

#[test]
fn transfer() {
    let request = TransferRequest { from_leader: VOTE, to: 2, last_log: Some(LOG) };
    check(Kind::TransferRequest, &header(request), &expect_file!["../golden/transfer_request.hex"]);
    let responses = [
        TransferResponse::Accepted,
        TransferResponse::VoteChanged { expected: VOTE, actual: Vote { term: 8, ..VOTE } },
        TransferResponse::LogNotFlushed { expected: Some(LOG), actual: None },
    ];
    check(Kind::TransferResponse, &responses, &expect_file!["../golden/transfer_responses.hex"]);
}

#[test]
fn forward() {
    let asks = [
        Ask::Propose { id: RequestId(5), command: init_cluster() },
        Ask::ConfirmIndex,
        Ask::AddLearner { node: NodeId(4), addr: PeerAddr("h:1".to_owned()) },
        Ask::ChangeMembership { voters: [NodeId(1), NodeId(2)].into(), learners: [NodeId(3)].into() },
        Ask::TransferLeader { to: NodeId(2) },
        Ask::Move {
            member: Member { node: NodeId(4), incarnation: Incarnation(1 << 32 | 7) },
            addr: PeerAddr("h:4".to_owned()),
        },
    ];
    let requests = asks.map(|ask| header(ForwardRequest { ask, timeout_ms: 1500 }));
    check(Kind::ForwardRequest, &requests, &expect_file!["../golden/forward_requests.hex"]);
    let answers = [
        Answer::Proposed(Proposed { index: 9, outcome: Ok(Applied::Unchanged) }),
        Answer::Index(300),
        Answer::Done,
        Answer::NotLeader(Some((NodeId(2), PeerAddr("h:2".to_owned())))),
        Answer::NotLeader(None),
        Answer::Retry("r".to_owned()),
        Answer::Refused("no".to_owned()),
    ];
    check(Kind::ForwardResponse, &answers, &expect_file!["../golden/forward_responses.hex"]);
}
