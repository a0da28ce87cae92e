//! One encoding of every type that is sent or persisted. A file here changes only with the envelope's
//! version; `UPDATE_EXPECT=1 cargo test -p ironcache-raft` writes them anew while a format is being made.

use crate::commands::register;
use expect_test::expect_file;
use ironcache_formats::entry;
use ironcache_formats::wire::{self, Header, Kind, WireError};
use ironcache_raft::bodies::v1::*;
use ironcache_types::{Level, RequestId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

const VOTE: Vote = Vote { term: 7, node: 0x1122_3344_5566_7788, committed: true };
const LIVES: Lives = Lives { remembered: 3 << 32 | 1, present: 3 << 32 | 70_000 };
const LOG: LogId = LogId { term: 7, index: 70_000 };

/// What is written today equals the file, and the file reads back as the same value.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    kind: Kind,
    value: &T,
    golden: &expect_test::ExpectFile,
) {
    let header = Header::at(kind, Level::FIRST).unwrap();
    golden.assert_eq(&wire::hex(&wire::seal(header, value).unwrap()));
    let bytes = wire::unhex(&golden.data());
    let opened = wire::open(kind, &bytes).unwrap();
    assert_eq!((opened.version, opened.level), (1, Level::FIRST));
    assert_eq!(opened.body::<T>().unwrap(), *value);
    damage(kind, &bytes);
    other_releases(header, value);
}

/// Every cut and every flipped bit is refused before a body is parsed.
fn damage(kind: Kind, good: &[u8]) {
    for at in 0..good.len() {
        assert!(wire::open(kind, &good[..at]).is_err(), "{kind:?}, length {at}");
        let mut bad = good.to_vec();
        bad[at] ^= 1 << (at % 8);
        assert!(wire::open(kind, &bad).is_err(), "{kind:?}, byte {at}");
    }
}

/// A version that is not known is named; a known one is read at any level, since entries may be of any.
fn other_releases<T: Serialize + DeserializeOwned + PartialEq + Debug>(header: Header, value: &T) {
    let later = Header { version: 999, level: Level(999), ..header };
    let error = wire::open(header.kind, &wire::seal(later, value).unwrap()).unwrap_err();
    assert!(matches!(error, WireError::Version { found: 999, level: Level(999), .. }), "{error}");
    let above = wire::seal(Header { level: Level(999), ..header }, value).unwrap();
    assert_eq!(wire::open(header.kind, &above).unwrap().body::<T>().unwrap(), *value);
}

fn header<T>(body: T) -> (RpcHeader, T) {
    (RpcHeader { cluster: 0xc0ffee, from: 1, to: u64::MAX, lives: LIVES, heard: 2 << 32 }, body)
}

fn answered<T>(body: T) -> (Lives, T) {
    (LIVES, body)
}

fn membership() -> Membership {
    Membership {
        configs: vec![vec![1, 2], vec![1, 2, 3]],
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

fn sealed() -> Vec<u8> {
    entry::seal(&register(2, 300), RequestId(5 << 64 | 6), Level::FIRST).unwrap().as_bytes().to_vec()
}

#[test]
fn append() {
    let entries = vec![
        Entry { log_id: LogId { term: 7, index: 1 }, payload: Payload::Blank },
        Entry { log_id: LogId { term: 7, index: 2 }, payload: Payload::Membership(membership()) },
        Entry { log_id: LogId { term: 7, index: 3 }, payload: Payload::Entry(sealed()) },
    ];
    let request = AppendRequest { vote: VOTE, prev: Some(LOG), entries, commit: None };
    check(Kind::AppendRequest, &header(request), &expect_file!["../golden/append_request.hex"]);
    let responses = [
        AppendResponse::Success,
        AppendResponse::Partial(Some(LOG)),
        AppendResponse::Conflict,
        AppendResponse::HigherVote(VOTE),
    ];
    check(Kind::AppendResponse, &responses.map(answered), &expect_file!["../golden/append_responses.hex"]);
}

#[test]
fn vote_and_pre_vote() {
    let request = VoteRequest { vote: VOTE, last_log: Some(LOG), leadership_transfer: true };
    check(Kind::VoteRequest, &header(request), &expect_file!["../golden/vote_request.hex"]);
    check(Kind::PreVoteRequest, &header(request), &expect_file!["../golden/pre_vote_request.hex"]);
    let response = VoteResponse { vote: VOTE, granted: false, last_log: None };
    check(Kind::VoteResponse, &answered(response), &expect_file!["../golden/vote_response.hex"]);
    check(Kind::PreVoteResponse, &answered(response), &expect_file!["../golden/pre_vote_response.hex"]);
}

#[test]
fn snapshot() {
    let data = vec![1, 2, 3];
    let request = SnapshotRequest { vote: VOTE, meta: meta(), data: data.clone() };
    check(Kind::SnapshotRequest, &header(request), &expect_file!["../golden/snapshot_request.hex"]);
    check(
        Kind::SnapshotResponse,
        &answered(SnapshotResponse { vote: VOTE }),
        &expect_file!["../golden/snapshot_response.hex"],
    );
    let file = SnapshotFile { node: 9, meta: meta(), data };
    check(Kind::SnapshotFile, &file, &expect_file!["../golden/snapshot_file.hex"]);
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
    check(
        Kind::TransferResponse,
        &responses.map(answered),
        &expect_file!["../golden/transfer_responses.hex"],
    );
}

#[test]
fn forward() {
    let asks = [
        Ask::Propose(sealed()),
        Ask::ConfirmIndex,
        Ask::AddLearner { node: 4, addr: "h:1".to_owned() },
        Ask::ChangeMembership { voters: vec![1, 2], learners: vec![3] },
        Ask::TransferLeader { to: 2 },
        Ask::Move { node: 4, incarnation: 1 << 32 | 7, addr: "h:4".to_owned() },
        Ask::Compare,
    ];
    let requests = asks.map(|ask| header(ForwardRequest { ask, timeout_ms: 1500 }));
    check(Kind::ForwardRequest, &requests, &expect_file!["../golden/forward_requests.hex"]);
    let refused = || ("no_plan".to_owned(), "no plan is active".to_owned());
    let outcomes = [
        Outcome::Unchanged,
        Outcome::Changed { epoch: 300 },
        Outcome::PlanStarted { plan: 3 },
        Outcome::Refused { code: refused().0, text: refused().1 },
    ];
    let proposed = outcomes.map(|outcome| Answer::Proposed { index: 9, outcome });
    let others = [
        Answer::Index(300),
        Answer::Done,
        Answer::NotLeader(Some((2, "h:2".to_owned()))),
        Answer::NotLeader(None),
        Answer::Retry("r".to_owned()),
        Answer::Refused { code: "raft_refused".to_owned(), text: "no".to_owned() },
    ];
    let answers: Vec<_> = proposed.into_iter().chain(others).map(answered).collect();
    check(Kind::ForwardResponse, &answers, &expect_file!["../golden/forward_responses.hex"]);
}
