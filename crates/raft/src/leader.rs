//! What a node does when another one, or itself, takes it for the leader.
//!
//! *Invariant:* an answer never guesses: what may or may not have happened is [`Answer::Retry`], and every
//! [`Ask`] may be sent again.

use crate::ask::{Answer, Ask};
use crate::bodies::v1;
use crate::network::FORWARD;
use crate::node::Inner;
use crate::types::{PeerAddr, Proposed, RAFT_REFUSED, Refusal, Response, TypeConfig, node_id};
use ironcache_formats::entry::{EntryBytes, NOT_YET};
use ironcache_types::{Member, NodeId};
use openraft::errors::{
    ChangeMembershipError, ClientWriteError, ForwardToLeader, LinearizableReadError, RaftError,
};
use openraft::{ChangeMembers, RaftState, ReadPolicy};
use std::collections::BTreeSet;
use std::time::Duration;

impl Inner {
    /// Answers as the leader, or says who leads. Takes at most `timeout`.
    pub(crate) async fn answer(&self, ask: Ask, timeout: Duration) -> Answer {
        let work = async {
            match ask {
                Ask::Propose(entry) => self.propose_here(entry).await,
                Ask::ConfirmIndex => self.confirm_here().await,
                Ask::AddLearner { node, addr } => self.add_learner_here(node, addr).await,
                Ask::ChangeMembership { voters, learners } => self.change_here(&voters, &learners).await,
                Ask::TransferLeader { to } => self.transfer_here(to).await,
                Ask::Move { member, addr } => self.move_here(member, addr).await,
                // They were compared before the question was opened.
                Ask::Compare => Answer::Done,
            }
        };
        match tokio::time::timeout(timeout, work).await {
            Ok(answer) => answer,
            Err(_) => Answer::Retry(format!("no outcome within {} ms", timeout.as_millis())),
        }
    }

    /// An entry above the level that this node has applied is refused before it is in the log. There it would be refused
    /// as well; here it costs nothing.
    async fn propose_here(&self, entry: EntryBytes) -> Answer {
        let (level, mine) = (entry.header().level, self.identity.level());
        if level > mine {
            let text = format!("{entry} is above level {mine}, the cluster's: finalize the upgrade first");
            return Answer::Refused(Refusal::new(NOT_YET, text));
        }
        match self.raft.client_write(entry).await {
            Ok(written) => match written.data {
                Response::Command(proposed) => Answer::Proposed(proposed),
                Response::Internal => {
                    Answer::Retry("the log answered a command as if it were none".to_owned())
                }
            },
            Err(error) => write_failed(error),
        }
    }

    pub(crate) async fn confirm_here(&self) -> Answer {
        match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _applied)) => Answer::Index(read.index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => not_leader(to),
            Err(error) => Answer::Retry(error.to_string()),
        }
    }

    async fn add_learner_here(&self, node: NodeId, addr: PeerAddr) -> Answer {
        match self.raft.add_learner(node.0, addr, false).await {
            Ok(_) => Answer::Done,
            Err(error) => write_failed(error),
        }
    }

    async fn change_here(&self, voters: &BTreeSet<NodeId>, learners: &BTreeSet<NodeId>) -> Answer {
        // From raft itself: its metrics may be a moment old.
        let effective =
            |state: &RaftState<TypeConfig>| state.membership_state.effective().membership().clone();
        let known = match self.raft.with_raft_state(effective).await {
            Ok(membership) => membership,
            Err(error) => return Answer::Retry(error.to_string()),
        };
        if let Some(id) = voters.iter().chain(learners).find(|id| known.get_node(&id.0).is_none()) {
            return refused(format!("node {id} is not known: add it as a learner first"));
        }
        // Voters that stop voting stay learners (`true`), so that removing a node is always a second, explicit step.
        let change = ChangeMembers::ReplaceAllVoters(voters.iter().map(|id| id.0).collect());
        let are_voters =
            known.get_joint_config().len() == 1 && known.voter_ids().eq(voters.iter().map(|id| id.0));
        let changed = match are_voters {
            // Nothing to agree on but who is no member any more.
            true => known,
            false => match self.raft.change_membership(change, true).await {
                Ok(written) => written.membership.unwrap_or(known),
                Err(error) => return write_failed(error),
            },
        };
        let stays = |id: &u64| voters.contains(&NodeId(*id)) || learners.contains(&NodeId(*id));
        let gone: BTreeSet<u64> = changed.nodes().map(|(id, _)| *id).filter(|id| !stays(id)).collect();
        if gone.is_empty() {
            return Answer::Done;
        }
        match self.raft.change_membership(ChangeMembers::RemoveNodes(gone), true).await {
            Ok(_) => Answer::Done,
            Err(error) => write_failed(error),
        }
    }

    /// Writes a member's new address into the membership. Who may be reached there is checked by every request, which
    /// names its node; so a wrong address can keep a node away, and nothing worse.
    async fn move_here(&self, member: Member, addr: PeerAddr) -> Answer {
        if !self.view().is_leader {
            return Answer::NotLeader(self.leader_addr());
        }
        let registered = self.registered(member.node);
        if registered.is_some_and(|newest| newest > member.incarnation) {
            return refused(format!(
                "a later process of node {} has registered; this one must not move it",
                member.node
            ));
        }
        let known = move |state: &RaftState<TypeConfig>| {
            state.membership_state.effective().membership().get_node(&member.node.0).cloned()
        };
        let known = match self.raft.with_raft_state(known).await {
            Ok(Some(now)) if now == addr => return Answer::Done,
            Ok(Some(now)) => now,
            Ok(None) => return refused(format!("node {} is not a member", member.node)),
            Err(error) => return Answer::Retry(error.to_string()),
        };
        if self.answers_at(member.node, &known).await {
            return refused(format!(
                "node {} answers at {known}: was its data directory copied? Stop that process to move it, or start a \
                 new node with an empty directory",
                member.node
            ));
        }
        // Voters stay who they are, so this is one entry and no joint membership.
        let moved = ChangeMembers::SetNodes([(member.node.0, addr)].into());
        match self.raft.change_membership(moved, true).await {
            Ok(_) => Answer::Done,
            Err(error) => write_failed(error),
        }
    }

    /// Is there a process at `addr` that takes itself for `node`? This one is not asked: it is the one that moved.
    async fn answers_at(&self, node: NodeId, addr: &PeerAddr) -> bool {
        let timeout = Duration::from_millis(self.options.rpc_timeout_ms);
        let ask = v1::ForwardRequest { ask: v1::Ask::ConfirmIndex, timeout_ms: 0 };
        node != self.options.node
            && self.peers.call::<_, v1::Answer>(node, addr, FORWARD, &ask, timeout).await.is_ok()
    }

    /// Asks `to` to take over, and waits until it leads **and** an entry of its term is committed.
    async fn transfer_here(&self, to: NodeId) -> Answer {
        let now = self.view();
        if !now.is_leader {
            return Answer::NotLeader(self.leader_addr());
        }
        if to == self.options.node {
            return Answer::Done;
        }
        if !now.voters.contains(&to) {
            return refused(format!("node {to} does not vote, so it cannot lead"));
        }
        if let Err(error) = self.raft.trigger().transfer_leader(to.0).await {
            return Answer::Retry(error.to_string());
        }
        let wait = self.raft.wait(Some(self.election_max() * 2));
        let moved = wait.metrics(
            |metrics| {
                let term = metrics.vote.leader_id.term;
                let committed = metrics.cluster_committed.is_some_and(|id| id.leader_id.term == term);
                term > now.term && metrics.current_leader.is_some() && committed
            },
            "a new leader has committed an entry of its term",
        );
        match moved.await {
            Ok(metrics) if metrics.current_leader == Some(to.0) => Answer::Done,
            Ok(metrics) => {
                let leader = metrics.current_leader.map(node_id);
                Answer::Retry(
                    leader.map_or_else(String::new, |id| format!("node {id} won the election instead")),
                )
            }
            Err(error) => Answer::Retry(error.to_string()),
        }
    }
}

fn refused(why: impl std::fmt::Display) -> Answer {
    Answer::Refused(Refusal::new(RAFT_REFUSED, why))
}

fn write_failed(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Answer {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => not_leader(to),
        RaftError::APIError(error @ ClientWriteError::LogEntryDiscarded(_)) => {
            Answer::Retry(error.to_string())
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => {
                Answer::Retry(error.to_string())
            }
            ChangeMembershipError::EmptyMembership(_)
            | ChangeMembershipError::LearnerNotFound(_)
            | ChangeMembershipError::UnsupportedMembershipTransition(_)
            | ChangeMembershipError::NodeMetadataChanged(_) => refused(error),
        },
        RaftError::APIError(error @ ClientWriteError::PreconditionFailed(_)) => {
            Answer::Retry(error.to_string())
        }
        RaftError::Fatal(error) => Answer::Retry(error.to_string()),
    }
}

fn not_leader(to: ForwardToLeader<TypeConfig>) -> Answer {
    Answer::NotLeader(to.leader_id.map(node_id).zip(to.leader_node))
}

/// The answer to a proposal, for the caller.
pub(crate) fn proposed(answer: Answer) -> Option<Proposed> {
    match answer {
        Answer::Proposed(proposed) => Some(proposed),
        Answer::Index(_) | Answer::Done | Answer::NotLeader(_) | Answer::Retry(_) | Answer::Refused(_) => {
            None
        }
    }
}
