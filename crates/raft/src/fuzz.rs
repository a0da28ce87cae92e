//! Fuzzing of what peers ask, and of the log file; see crate `ironcache-fuzz`.

use crate::ask::Ask;
use crate::bodies::v1::*;
use crate::types::{Membership as LiveMembership, TypeConfig};
use crate::wal::fuzz::{golden_log, reopened, reseal as reseal_log};
use ironcache_formats::wire::{self, HEADER_BYTES, Kind, MAGIC};
use ironcache_fuzz::{Campaign, of_golden};
use openraft::raft::AppendEntriesRequest;
use serde::de::DeserializeOwned;

/// Length and checksum of an envelope as a peer would send them.
pub(crate) fn reseal(bytes: &mut [u8]) {
    let Some(len) = bytes.len().checked_sub(HEADER_BYTES).and_then(|len| u32::try_from(len).ok()) else {
        return;
    };
    bytes[HEADER_BYTES - 8..HEADER_BYTES - 4].copy_from_slice(&len.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[MAGIC.len()..HEADER_BYTES - 4]);
    crc.update(&bytes[HEADER_BYTES..]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.finalize().to_le_bytes());
}

fn body<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, String> {
    let opened = wire::open(kind, bytes).map_err(|error| format!("{:?}", std::mem::discriminant(&error)))?;
    opened.body().map_err(|error| format!("{error:?}"))
}

#[test]
fn fuzz_bodies_of_requests_and_answers() {
    let goldens = [
        include_str!("../tests/golden/append_request.hex"),
        include_str!("../tests/golden/append_responses.hex"),
        include_str!("../tests/golden/vote_request.hex"),
        include_str!("../tests/golden/pre_vote_request.hex"),
        include_str!("../tests/golden/vote_response.hex"),
        include_str!("../tests/golden/snapshot_request.hex"),
        include_str!("../tests/golden/snapshot_response.hex"),
        include_str!("../tests/golden/snapshot_file.hex"),
        include_str!("../tests/golden/transfer_request.hex"),
        include_str!("../tests/golden/transfer_responses.hex"),
        include_str!("../tests/golden/forward_requests.hex"),
        include_str!("../tests/golden/forward_responses.hex"),
    ];
    // A golden file holds one of each message of its kind, one behind the other, and so do these bodies. What openraft and
    // the live types do with them is part of it.
    Campaign::of("bodies of raft").from(goldens.map(of_golden)).resealed(reseal).run(|bytes| {
        [
            body::<(RpcHeader, AppendRequest)>(Kind::AppendRequest, bytes).map(|(_, request)| {
                drop(AppendEntriesRequest::<TypeConfig>::try_from(request));
            }),
            body::<[(Lives, AppendResponse); 4]>(Kind::AppendResponse, bytes).map(drop),
            body::<(RpcHeader, VoteRequest)>(Kind::VoteRequest, bytes).map(drop),
            body::<(RpcHeader, VoteRequest)>(Kind::PreVoteRequest, bytes).map(drop),
            body::<(Lives, VoteResponse)>(Kind::VoteResponse, bytes).map(drop),
            body::<(RpcHeader, SnapshotRequest)>(Kind::SnapshotRequest, bytes).map(|(_, request)| {
                drop(crate::types::SnapshotMeta::try_from(request.meta));
            }),
            body::<(Lives, SnapshotResponse)>(Kind::SnapshotResponse, bytes).map(drop),
            body::<SnapshotFile>(Kind::SnapshotFile, bytes).map(drop),
            body::<(RpcHeader, TransferRequest)>(Kind::TransferRequest, bytes).map(drop),
            body::<[(Lives, TransferResponse); 3]>(Kind::TransferResponse, bytes).map(drop),
            body::<[(RpcHeader, ForwardRequest); 7]>(Kind::ForwardRequest, bytes).map(|requests| {
                requests.into_iter().for_each(|(_, request)| drop(Ask::try_from(request.ask)));
            }),
            body::<Vec<(Lives, Answer)>>(Kind::ForwardResponse, bytes).map(drop),
        ]
    });
}

#[test]
fn fuzz_memberships_are_refused_and_never_panic() {
    let member =
        Membership { configs: vec![vec![1, 2, 3], vec![1, 2]], nodes: [(1, "a:1".to_owned())].into() };
    let bytes = wire::encode(&member).expect("it is small");
    Campaign::of("memberships").from([bytes]).run(|bytes| {
        let membership = wire::decode::<Membership>(bytes).map_err(|error| format!("{error:?}"))?;
        LiveMembership::try_from(membership).map(drop).map_err(|error| format!("{error:?}"))
    });
}

#[test]
fn fuzz_log_files_are_cut_at_a_torn_end_or_refused_and_read_the_same_again() {
    Campaign::of("log files").from([golden_log()]).resealed(reseal_log).run(reopened);
}
