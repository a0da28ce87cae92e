//! RPC between nodes: HTTP/1.1 on the peer port, bodies in the envelope of [`crate::wire`].
//!
//! Every request starts with an [`RpcHeader`](crate::wire::types::RpcHeader): a node of another cluster, or an
//! address that another node took over, is refused before raft hears of it.

pub(crate) mod client;
pub(crate) mod server;

use crate::wire::Kind;

/// One RPC: its path and what its two envelopes carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rpc {
    pub path: &'static str,
    pub request: Kind,
    pub response: Kind,
}

pub(crate) const APPEND: Rpc =
    Rpc { path: "/raft/append", request: Kind::AppendRequest, response: Kind::AppendResponse };
pub(crate) const VOTE: Rpc =
    Rpc { path: "/raft/vote", request: Kind::VoteRequest, response: Kind::VoteResponse };
pub(crate) const PRE_VOTE: Rpc =
    Rpc { path: "/raft/prevote", request: Kind::PreVoteRequest, response: Kind::PreVoteResponse };
pub(crate) const SNAPSHOT: Rpc =
    Rpc { path: "/raft/snapshot", request: Kind::SnapshotRequest, response: Kind::SnapshotResponse };
pub(crate) const TRANSFER: Rpc =
    Rpc { path: "/raft/transfer", request: Kind::TransferRequest, response: Kind::TransferResponse };
pub(crate) const FORWARD: Rpc =
    Rpc { path: "/raft/forward", request: Kind::ForwardRequest, response: Kind::ForwardResponse };
