//! What a node does as the leader itself, and never through another one: leases and what deposes depend on the term.
//!
//! *Invariant:* nothing here is forwarded. Who does not lead says so.

use crate::ask::{Answer, Ask};
use crate::leader::proposed;
use crate::node::{AskError, Inner, RaftNode, unexpected};
use crate::types::{Proposed, Refusal, TypeConfig};
use ironcache_control::Proposal;
use openraft::{RaftState, ServerState};
use std::time::Duration;

/// This node leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Led {
    pub term: u64,
    /// A commit index: whoever has applied it has seen everything that was committed before the question.
    pub index: u64,
}

/// This node does not lead, or reaches no majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead, or reaches no majority of the voters")]
pub struct NotLed;

impl RaftNode {
    /// Does this node lead? Both answers are confirmed by a quorum round that began after the call.
    ///
    /// # Errors
    /// It does not, or nobody can tell within `timeout`.
    pub async fn lead_confirmed(&self, timeout: Duration) -> Result<Led, NotLed> {
        let inner = self.inner();
        let confirm = async {
            let term = inner.term_led().await?;
            let Answer::Index(index) = inner.confirm_here().await else { return Err(NotLed) };
            // Whoever leads a term at two moments has led it all the time in between.
            if inner.term_led().await? == term { Ok(Led { term, index }) } else { Err(NotLed) }
        };
        tokio::time::timeout(timeout, confirm).await.unwrap_or(Err(NotLed))
    }

    /// Has `proposal` committed and applied if this node leads, and is the one that appends it.
    ///
    /// # Errors
    /// There is no outcome: it may have been appended, unless the answer says that it was refused.
    pub async fn propose_as_leader(&self, proposal: impl Into<Proposal>) -> Result<Proposed, AskError> {
        let entry = self.sealed(&proposal.into()).map_err(AskError::Refused)?;
        let (inner, after_ms) = (self.inner(), self.inner().options.ask_timeout_ms);
        // A leader without a majority may wait for ever for what it appended.
        match inner.answer(Ask::Propose(entry), inner.options.ask_timeout()).await {
            Answer::NotLeader(_) => Err(AskError::Refused(Refusal::new(NOT_LEADER, NotLed))),
            Answer::Retry(last) => Err(AskError::Unknown { after_ms, last }),
            Answer::Refused(refusal) => Err(AskError::Refused(refusal)),
            answer => proposed(answer).ok_or_else(|| unexpected("no proposal")),
        }
    }
}

/// The code of a proposal that only the leader itself may make.
const NOT_LEADER: &str = "not_leader";

impl Inner {
    /// From raft itself: its metrics may be a moment old.
    async fn term_led(&self) -> Result<u64, NotLed> {
        let leads = |state: &RaftState<TypeConfig>| {
            (state.server_state == ServerState::Leader).then(|| state.vote_ref().leader_id.term)
        };
        self.raft.with_raft_state(leads).await.ok().flatten().ok_or(NotLed)
    }
}
