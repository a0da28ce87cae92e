//! Version 1 of every body.

use super::BodyError;
use crate::ask::{Answer as LiveAnswer, Ask as LiveAsk};
use crate::lives::Lives as LiveLives;
use crate::types::{self, PeerAddr, Proposed, Refusal, TypeConfig};
use ironcache_control::Applied;
use ironcache_formats::entry::EntryBytes;
use ironcache_types::{Epoch, Incarnation, Member, NodeId, PlanId};
use openraft::entry::RaftEntry;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse as RaftSnapshotResponse,
    TransferLeaderError, TransferLeaderRequest, VoteRequest as RaftVoteRequest,
    VoteResponse as RaftVoteResponse,
};
use openraft::{EntryPayload, vote::RaftLeaderId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Each ascending.
    pub configs: Vec<Vec<u64>>,
    pub nodes: BTreeMap<u64, String>,
}

impl From<&types::Membership> for Membership {
    fn from(membership: &types::Membership) -> Self {
        Membership {
            configs: membership.get_joint_config().iter().map(|ids| ids.iter().copied().collect()).collect(),
            nodes: membership.nodes().map(|(id, addr)| (*id, addr.0.clone())).collect(),
        }
    }
}

impl TryFrom<Membership> for types::Membership {
    type Error = BodyError;

    fn try_from(Membership { configs, nodes }: Membership) -> Result<Self, BodyError> {
        let nodes: BTreeMap<u64, PeerAddr> =
            nodes.into_iter().map(|(id, addr)| (id, PeerAddr(addr))).collect();
        let configs = configs.into_iter().map(|ids| ids.into_iter().collect()).collect();
        types::Membership::new(configs, nodes)
            .map_err(|error| BodyError::Membership { reason: error.to_string() })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    Blank,
    /// As the proposer sealed it.
    Entry(Vec<u8>),
    Membership(Membership),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub log_id: LogId,
    pub payload: Payload,
}

impl From<&types::Entry> for Entry {
    fn from(entry: &types::Entry) -> Self {
        let payload = match &entry.payload {
            EntryPayload::Blank => Payload::Blank,
            EntryPayload::Normal(entry) => Payload::Entry(entry.as_bytes().to_vec()),
            EntryPayload::Membership(membership) => Payload::Membership(membership.into()),
        };
        Entry { log_id: entry.log_id.into(), payload }
    }
}

impl Entry {
    /// The reverse of `From`. A method, because coherence has no room for a `TryFrom` here.
    pub(crate) fn into_raft(self) -> Result<types::Entry, BodyError> {
        let Entry { log_id, payload } = self;
        let payload = match payload {
            Payload::Blank => EntryPayload::Blank,
            Payload::Entry(bytes) => EntryPayload::Normal(EntryBytes::check(&bytes)?),
            Payload::Membership(membership) => EntryPayload::Membership(membership.try_into()?),
        };
        Ok(types::Entry::new(log_id.into(), payload))
    }
}

/// In front of the body of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcHeader {
    pub cluster: u128,
    pub from: u64,
    /// Whom the sender means: an address may have been taken over by another node.
    pub to: u64,
    pub lives: Lives,
    /// The newest life of the receiver that the sender has heard of; 0 for none. So a node whose log went back is told by
    /// whoever speaks to it first, however little its own log knows of the others.
    pub heard: u64,
}

/// The lives of a node, as it says itself: in front of the body of every answer, and in the header of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lives {
    pub remembered: u64,
    pub present: u64,
}

impl From<LiveLives> for Lives {
    fn from(LiveLives { remembered, present }: LiveLives) -> Self {
        Lives { remembered: remembered.0, present: present.0 }
    }
}

impl From<Lives> for LiveLives {
    fn from(Lives { remembered, present }: Lives) -> Self {
        LiveLives { remembered: Incarnation(remembered), present: Incarnation(present) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    type Error = BodyError;

    fn try_from(AppendRequest { vote, prev, entries, commit }: AppendRequest) -> Result<Self, BodyError> {
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
    type Error = BodyError;

    fn try_from(meta: SnapshotMeta) -> Result<Self, BodyError> {
        let SnapshotMeta { last_log, membership_log, membership } = meta;
        let membership = types::Membership::try_from(membership)?;
        Ok(types::SnapshotMeta {
            last_log_id: last_log.map(Into::into),
            last_membership: types::StoredMembership::new(membership_log.map(Into::into), membership),
        })
    }
}

/// The file `snapshot`: `data` is a sealed snapshot of `ironcache_formats`, kept apart so that it can be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    pub node: u64,
    pub meta: SnapshotMeta,
    pub data: Vec<u8>,
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

/// What a node asks the leader to do for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// An entry, as its proposer sealed it.
    Propose(Vec<u8>),
    ConfirmIndex,
    AddLearner {
        node: u64,
        addr: String,
    },
    /// Each ascending.
    ChangeMembership {
        voters: Vec<u64>,
        learners: Vec<u64>,
    },
    TransferLeader {
        to: u64,
    },
    Move {
        node: u64,
        incarnation: u64,
        addr: String,
    },
    Compare,
}

impl From<&LiveAsk> for Ask {
    fn from(ask: &LiveAsk) -> Self {
        match ask {
            LiveAsk::Propose(entry) => Ask::Propose(entry.as_bytes().to_vec()),
            LiveAsk::ConfirmIndex => Ask::ConfirmIndex,
            LiveAsk::AddLearner { node, addr } => Ask::AddLearner { node: node.0, addr: addr.0.clone() },
            LiveAsk::ChangeMembership { voters, learners } => Ask::ChangeMembership {
                voters: voters.iter().map(|id| id.0).collect(),
                learners: learners.iter().map(|id| id.0).collect(),
            },
            LiveAsk::TransferLeader { to } => Ask::TransferLeader { to: to.0 },
            LiveAsk::Move { member: Member { node, incarnation }, addr } => {
                Ask::Move { node: node.0, incarnation: incarnation.0, addr: addr.0.clone() }
            }
            LiveAsk::Compare => Ask::Compare,
        }
    }
}

impl TryFrom<Ask> for LiveAsk {
    type Error = BodyError;

    fn try_from(ask: Ask) -> Result<Self, BodyError> {
        Ok(match ask {
            Ask::Propose(bytes) => LiveAsk::Propose(EntryBytes::check(&bytes)?),
            Ask::ConfirmIndex => LiveAsk::ConfirmIndex,
            Ask::AddLearner { node, addr } => {
                LiveAsk::AddLearner { node: NodeId(node), addr: PeerAddr(addr) }
            }
            Ask::ChangeMembership { voters, learners } => LiveAsk::ChangeMembership {
                voters: voters.into_iter().map(NodeId).collect(),
                learners: learners.into_iter().map(NodeId).collect(),
            },
            Ask::TransferLeader { to } => LiveAsk::TransferLeader { to: NodeId(to) },
            Ask::Move { node, incarnation, addr } => LiveAsk::Move {
                member: Member { node: NodeId(node), incarnation: Incarnation(incarnation) },
                addr: PeerAddr(addr),
            },
            Ask::Compare => LiveAsk::Compare,
        })
    }
}

/// An [`Ask`], and how long the asker will wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardRequest {
    pub ask: Ask,
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Proposed {
        index: u64,
        outcome: Outcome,
    },
    Index(u64),
    Done,
    /// The leader's id and address, if it is known.
    NotLeader(Option<(u64, String)>),
    Retry(String),
    Refused {
        code: String,
        text: String,
    },
}

/// What the control state said to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Unchanged,
    Changed { epoch: u64 },
    PlanStarted { plan: u64 },
    Refused { code: String, text: String },
}

impl From<LiveAnswer> for Answer {
    fn from(answer: LiveAnswer) -> Self {
        match answer {
            LiveAnswer::Proposed(Proposed { index, outcome }) => Answer::Proposed {
                index,
                outcome: match outcome {
                    Ok(Applied::Unchanged) => Outcome::Unchanged,
                    Ok(Applied::Changed { epoch }) => Outcome::Changed { epoch: epoch.0 },
                    Ok(Applied::PlanStarted { plan }) => Outcome::PlanStarted { plan: plan.0 },
                    Err(Refusal { code, text }) => Outcome::Refused { code, text },
                },
            },
            LiveAnswer::Index(index) => Answer::Index(index),
            LiveAnswer::Done => Answer::Done,
            LiveAnswer::NotLeader(leader) => Answer::NotLeader(leader.map(|(id, addr)| (id.0, addr.0))),
            LiveAnswer::Retry(why) => Answer::Retry(why),
            LiveAnswer::Refused(Refusal { code, text }) => Answer::Refused { code, text },
        }
    }
}

impl From<Answer> for LiveAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Proposed { index, outcome } => LiveAnswer::Proposed(Proposed {
                index,
                outcome: match outcome {
                    Outcome::Unchanged => Ok(Applied::Unchanged),
                    Outcome::Changed { epoch } => Ok(Applied::Changed { epoch: Epoch(epoch) }),
                    Outcome::PlanStarted { plan } => Ok(Applied::PlanStarted { plan: PlanId(plan) }),
                    Outcome::Refused { code, text } => Err(Refusal { code, text }),
                },
            }),
            Answer::Index(index) => LiveAnswer::Index(index),
            Answer::Done => LiveAnswer::Done,
            Answer::NotLeader(leader) => {
                LiveAnswer::NotLeader(leader.map(|(id, addr)| (NodeId(id), PeerAddr(addr))))
            }
            Answer::Retry(why) => LiveAnswer::Retry(why),
            Answer::Refused { code, text } => LiveAnswer::Refused(Refusal { code, text }),
        }
    }
}
