//! RPC between nodes: HTTP/1.1 on the peer port, bodies in the envelope of [`ironcache_formats::wire`].
//!
//! Every request starts with an [`RpcHeader`](crate::bodies::v1::RpcHeader): a node of another cluster, or an
//! address that another node took over, is refused before raft hears of it.
//!
//! The header says which lives the sender's directory knows of, and so does the front of every answer: each side counts
//! nothing of a node whose log went back (see [`crate::lives`]).
//!
//! A request is written in its kind's version at the sender's level, and answered in the version that it came in. One in
//! a version that the receiver does not read is refused by name.

pub(crate) mod client;
pub(crate) mod server;

use ironcache_formats::wire::Kind;

/// The HTTP header of a refusal for a log that went back: the later life that was registered.
pub(crate) const REGISTERED_LIFE: &str = "ironcache-registered-life";

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
