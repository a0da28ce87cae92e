//! The structs that are persisted and sent. Field order and variant order are the format: they only
//! grow, under a new envelope version. `tests/golden` holds one encoding of each.

use crate::types::{self, PeerAddr, Proposed};
use ironcache_control::Command;
use ironcache_types::{ClusterId, Member, NodeId, RequestId};
use openraft::entry::RaftEntry;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse as RaftSnapshotResponse,
    TransferLeaderError, TransferLeaderRequest, VoteRequest as RaftVoteRequest,
    VoteResponse as RaftVoteResponse,
};
use openraft::{EntryPayload, vote::RaftLeaderId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use types::TypeConfig;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogId {
    pub term: u64,
    pub index: u64,
}

impl From<types::LogId> for LogId {
    fn from(id: types::LogId) -> Self {
        LogId { term: id.leader_id.term, index: id.index }
    }
}

impl From<LogId> for types::LogId {
    fn from(LogId { term, index }: LogId) -> Self {
        types::LogId::new_term_index(term, index)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    pub term: u64,
    pub node: u64,
    pub committed: bool,
}

impl From<types::Vote> for Vote {
    fn from(vote: types::Vote) -> Self {
        Vote { term: vote.leader_id.term, node: *vote.leader_id.node_id(), committed: vote.committed }
    }
}

impl From<Vote> for types::Vote {
    fn from(Vote { term, node, committed }: Vote) -> Self {
        if committed { types::Vote::new_committed(term, node) } else { types::Vote::new(term, node) }
    }
}

/// Voter sets (two of them during a change) and every member's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub configs: Vec<BTreeSet<u64>>,
    pub nodes: BTreeMap<u64, String>,
}

impl From<&types::Membership> for Membership {
    fn from(membership: &types::Membership) -> Self {
        Membership {
            configs: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(id, addr)| (*id, addr.0.clone())).collect(),
        }
    }
}

/// A membership that names a voter without an address, or an empty voter set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the membership is not usable: {reason}")]
pub struct MembershipError {
    pub reason: String,
}

impl TryFrom<Membership> for types::Membership {
    type Error = MembershipError;

    fn try_from(Membership { configs, nodes }: Membership) -> Result<Self, MembershipError> {
        let nodes: BTreeMap<u64, PeerAddr> =
            nodes.into_iter().map(|(id, addr)| (id, PeerAddr(addr))).collect();
        types::Membership::new(configs, nodes).map_err(|error| MembershipError { reason: error.to_string() })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Payload {
    Blank,
    Command { id: RequestId, command: Command },
    Membership(Membership),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub log_id: LogId,
    pub payload: Payload,
}

impl From<&types::Entry> for Entry {
    fn from(entry: &types::Entry) -> Self {
        let payload = match &entry.payload {
            EntryPayload::Blank => Payload::Blank,
            EntryPayload::Normal(types::Request { id, command }) => {
                Payload::Command { id: *id, command: command.clone() }
            }
            EntryPayload::Membership(membership) => Payload::Membership(membership.into()),
        };
        Entry { log_id: entry.log_id.into(), payload }
    }
}

impl Entry {
    /// The reverse of `From`. A method, because coherence has no room for a `TryFrom` here.
    pub(crate) fn into_raft(self) -> Result<types::Entry, MembershipError> {
        let Entry { log_id, payload } = self;
        let payload = match payload {
            Payload::Blank => EntryPayload::Blank,
            Payload::Command { id, command } => EntryPayload::Normal(types::Request { id, command }),
            Payload::Membership(membership) => EntryPayload::Membership(membership.try_into()?),
        };
        Ok(types::Entry::new(log_id.into(), payload))
    }
}

/// In front of the body of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcHeader {
    pub cluster: ClusterId,
    pub from: NodeId,
    /// Whom the sender means: an address may have been taken over by another node.
    pub to: NodeId,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppendRequest {
    pub vote: Vote,
    pub prev: Option<LogId>,
    pub entries: Vec<Entry>,
    pub commit: Option<LogId>,
}

impl From<&AppendEntriesRequest<TypeConfig>> for AppendRequest {
    fn from(request: &AppendEntriesRequest<TypeConfig>) -> Self {
        let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = request;
        AppendRequest {
            vote: (*vote).into(),
            prev: prev_log_id.map(Into::into),
            entries: entries.iter().map(Into::into).collect(),
            commit: leader_commit.map(Into::into),
        }
    }
}

impl TryFrom<AppendRequest> for AppendEntriesRequest<TypeConfig> {
    type Error = MembershipError;

    fn try_from(
        AppendRequest { vote, prev, entries, commit }: AppendRequest,
    ) -> Result<Self, MembershipError> {
        Ok(AppendEntriesRequest {
            vote: vote.into(),
            prev_log_id: prev.map(Into::into),
            entries: entries.into_iter().map(Entry::into_raft).collect::<Result<_, _>>()?,
            leader_commit: commit.map(Into::into),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppendResponse {
    Success,
    Partial(Option<LogId>),
    Conflict,
    HigherVote(Vote),
}

impl From<AppendEntriesResponse<TypeConfig>> for AppendResponse {
    fn from(response: AppendEntriesResponse<TypeConfig>) -> Self {
        match response {
            AppendEntriesResponse::Success => AppendResponse::Success,
            AppendEntriesResponse::PartialSuccess(upto) => AppendResponse::Partial(upto.map(Into::into)),
            AppendEntriesResponse::Conflict => AppendResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote) => AppendResponse::HigherVote(vote.into()),
        }
    }
}

impl From<AppendResponse> for AppendEntriesResponse<TypeConfig> {
    fn from(response: AppendResponse) -> Self {
        match response {
            AppendResponse::Success => AppendEntriesResponse::Success,
            AppendResponse::Partial(upto) => AppendEntriesResponse::PartialSuccess(upto.map(Into::into)),
            AppendResponse::Conflict => AppendEntriesResponse::Conflict,
            AppendResponse::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote.into()),
        }
    }
}

/// A vote or a pre-vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRequest {
    pub vote: Vote,
    pub last_log: Option<LogId>,
    /// The leader itself asked for this election, so a lease does not forbid it.
    pub leadership_transfer: bool,
}

impl From<RaftVoteRequest<TypeConfig>> for VoteRequest {
    fn from(request: RaftVoteRequest<TypeConfig>) -> Self {
        let RaftVoteRequest { vote, last_log_id, leadership_transfer } = request;
        VoteRequest { vote: vote.into(), last_log: last_log_id.map(Into::into), leadership_transfer }
    }
}

impl From<VoteRequest> for RaftVoteRequest<TypeConfig> {
    fn from(VoteRequest { vote, last_log, leadership_transfer }: VoteRequest) -> Self {
        let mut request = RaftVoteRequest::new(vote.into(), last_log.map(Into::into));
        request.leadership_transfer = leadership_transfer;
        request
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteResponse {
    pub vote: Vote,
    pub granted: bool,
    pub last_log: Option<LogId>,
}

impl From<RaftVoteResponse<TypeConfig>> for VoteResponse {
    fn from(response: RaftVoteResponse<TypeConfig>) -> Self {
        let RaftVoteResponse { vote, vote_granted, last_log_id } = response;
        VoteResponse { vote: vote.into(), granted: vote_granted, last_log: last_log_id.map(Into::into) }
    }
}

impl From<VoteResponse> for RaftVoteResponse<TypeConfig> {
    fn from(VoteResponse { vote, granted, last_log }: VoteResponse) -> Self {
        RaftVoteResponse { vote: vote.into(), vote_granted: granted, last_log_id: last_log.map(Into::into) }
    }
}

/// What a snapshot covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    pub last_log: Option<LogId>,
    pub membership_log: Option<LogId>,
    pub membership: Membership,
}

impl From<&types::SnapshotMeta> for SnapshotMeta {
    fn from(meta: &types::SnapshotMeta) -> Self {
        SnapshotMeta {
            last_log: meta.last_log_id.map(Into::into),
            membership_log: meta.last_membership.log_id().map(Into::into),
            membership: meta.last_membership.membership().into(),
        }
    }
}

impl TryFrom<SnapshotMeta> for types::SnapshotMeta {
    type Error = MembershipError;

    fn try_from(meta: SnapshotMeta) -> Result<Self, MembershipError> {
        let SnapshotMeta { last_log, membership_log, membership } = meta;
        let membership = types::Membership::try_from(membership)?;
        Ok(types::SnapshotMeta {
            last_log_id: last_log.map(Into::into),
            last_membership: types::StoredMembership::new(membership_log.map(Into::into), membership),
        })
    }
}

/// The file `snapshot`: `data` is a sealed [`MachineState`], kept apart so that it can be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    pub node: NodeId,
    pub meta: SnapshotMeta,
    pub data: Vec<u8>,
}

/// The replicated state: the control state, and the answers to recent requests in log order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineState {
    pub control: ironcache_control::ControlState,
    pub answers: Vec<(RequestId, Proposed)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRequest {
    pub vote: Vote,
    pub meta: SnapshotMeta,
    pub data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotResponse {
    pub vote: Vote,
}

impl From<RaftSnapshotResponse<TypeConfig>> for SnapshotResponse {
    fn from(response: RaftSnapshotResponse<TypeConfig>) -> Self {
        SnapshotResponse { vote: response.vote.into() }
    }
}

impl From<SnapshotResponse> for RaftSnapshotResponse<TypeConfig> {
    fn from(SnapshotResponse { vote }: SnapshotResponse) -> Self {
        RaftSnapshotResponse::new(vote.into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRequest {
    pub from_leader: Vote,
    pub to: u64,
    pub last_log: Option<LogId>,
}

impl From<TransferLeaderRequest<TypeConfig>> for TransferRequest {
    fn from(request: TransferLeaderRequest<TypeConfig>) -> Self {
        TransferRequest {
            from_leader: (*request.from_leader()).into(),
            to: *request.to_node_id(),
            last_log: request.last_log_id().copied().map(Into::into),
        }
    }
}

impl From<TransferRequest> for TransferLeaderRequest<TypeConfig> {
    fn from(TransferRequest { from_leader, to, last_log }: TransferRequest) -> Self {
        TransferLeaderRequest::new(from_leader.into(), to, last_log.map(Into::into))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferResponse {
    Accepted,
    VoteChanged { expected: Vote, actual: Vote },
    LogNotFlushed { expected: Option<LogId>, actual: Option<LogId> },
}

impl From<Result<(), TransferLeaderError<TypeConfig>>> for TransferResponse {
    fn from(response: Result<(), TransferLeaderError<TypeConfig>>) -> Self {
        match response {
            Ok(()) => TransferResponse::Accepted,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                TransferResponse::VoteChanged { expected: expected.into(), actual: actual.into() }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => TransferResponse::LogNotFlushed {
                expected: expected.map(Into::into),
                actual: actual.map(Into::into),
            },
        }
    }
}

impl From<TransferResponse> for Result<(), TransferLeaderError<TypeConfig>> {
    fn from(response: TransferResponse) -> Self {
        match response {
            TransferResponse::Accepted => Ok(()),
            TransferResponse::VoteChanged { expected, actual } => {
                Err(TransferLeaderError::VoteChanged { expected: expected.into(), actual: actual.into() })
            }
            TransferResponse::LogNotFlushed { expected, actual } => Err(TransferLeaderError::LogNotFlushed {
                expected: expected.map(Into::into),
                actual: actual.map(Into::into),
            }),
        }
    }
}

/// What a node asks the leader to do for it. Each may be sent again without harm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    Propose {
        id: RequestId,
        command: Command,
    },
    /// A commit index that the leader confirms with a quorum round begun after the question.
    ConfirmIndex,
    AddLearner {
        node: NodeId,
        addr: PeerAddr,
    },
    ChangeMembership {
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    },
    TransferLeader {
        to: NodeId,
    },
    /// This life of a member listens at `addr` from now on.
    Move {
        member: Member,
        addr: PeerAddr,
    },
}

/// An [`Ask`], and how long the asker will wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForwardRequest {
    pub ask: Ask,
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Proposed(Proposed),
    Index(u64),
    Done,
    /// Not the leader: ask this one, if it is known.
    NotLeader(Option<(NodeId, PeerAddr)>),
    /// The outcome is not known, or the leader could not do it now: ask again.
    Retry(String),
    /// Asking again changes nothing.
    Refused(String),
}
