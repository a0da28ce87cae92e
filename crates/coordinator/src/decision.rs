//! What to do now.

use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Recover};
use ironcache_types::{NodeId, Offset};
use std::collections::BTreeSet;
use std::fmt;

/// One act of the leader, or the reasons for none. A hold is a proposal too: `Command::Hold`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one a tick, and it is moved to raft at once")]
pub enum Decision {
    Propose(Command),
    /// Hand raft's leadership over; the next leader goes on.
    TransferLeader {
        to: NodeId,
    },
    /// Take a node into raft's group, without a vote.
    AddLearner {
        node: NodeId,
        peer_addr: String,
    },
    /// Make these the voters and the learners of raft's group, and nobody else a member.
    ChangeMembership {
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    },
    /// Nothing can be done before these clear. Never empty.
    Wait(Vec<WaitingOn>),
    /// No plan is active and every shard has its primary.
    Done,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Propose(command) => write_act(f, command),
            Decision::TransferLeader { to } => write!(f, "transfer raft's leadership to node {to}"),
            Decision::AddLearner { node, peer_addr } => {
                write!(f, "take node {node} at {peer_addr} into raft's group")
            }
            Decision::ChangeMembership { voters, learners } => {
                let ids = |set: &BTreeSet<NodeId>| {
                    set.iter().map(|node| format!("node {node}")).collect::<Vec<_>>().join(", ")
                };
                write!(f, "make raft's voters {}", ids(voters))?;
                match learners.is_empty() {
                    true => Ok(()),
                    false => write!(f, ", its learners {}", ids(learners)),
                }
            }
            Decision::Wait(reasons) => {
                f.write_str("wait: ")?;
                for (i, reason) in reasons.iter().enumerate() {
                    let separator = if i > 0 { "; " } else { "" };
                    write!(f, "{separator}{reason}")?;
                }
                Ok(())
            }
            Decision::Done => f.write_str("nothing to do"),
        }
    }
}

fn write_act(f: &mut fmt::Formatter<'_>, command: &Command) -> fmt::Result {
    match command {
        Command::BeginRolling { plan, .. } => write!(f, "begin the steps of plan {plan}"),
        Command::UpgradeSelf { member, .. } => write!(f, "upgrade node {}", member.node),
        Command::Confirm { member, .. } => write!(f, "confirm node {}", member.node),
        Command::BeginHandover { shard, from, to, .. } => {
            write!(f, "hand shard {shard} over from node {} to node {}", from.node, to.node)
        }
        Command::WantKeeper { shard, node: Some(node), .. } => {
            write!(f, "let node {node} keep the tail of shard {shard}")
        }
        Command::WantKeeper { shard, node: None, .. } => {
            write!(f, "let nobody keep the tail of shard {shard}")
        }
        Command::BeginRecovery { shard, to, .. } => {
            write!(f, "let the keeper of shard {shard} hand its tail over to node {}", to.node)
        }
        Command::Resume { plan } => write!(f, "resume plan {plan}"),
        Command::AbortHandover { shard, handover } => {
            write!(f, "abort handover {handover} of shard {shard}")
        }
        Command::Failover { shard, to, .. } => write!(f, "promote node {} in shard {shard}", to.node),
        Command::Recover(Recover { shard, to, at, .. }) if *at == Offset(0) => {
            write!(f, "go on in shard {shard} with node {}, which holds nothing", to.node)
        }
        Command::Recover(Recover { shard, to, at, .. }) => {
            write!(f, "go on in shard {shard} with what node {} holds, up to offset {at}", to.node)
        }
        Command::Hold { plan, reason, .. } => write!(f, "hold plan {plan}: {reason}"),
        Command::Finalize { plan, .. } => write!(f, "finalize plan {plan}"),
        Command::StartPlan { target, .. } => {
            write!(f, "start a plan to {}, as the policy admits it", target.version)
        }
        Command::BeginSoaking { plan, .. } => write!(f, "let plan {plan} soak"),
        Command::Soaked { plan, ms, .. } => write!(f, "note that plan {plan} has soaked for {ms} ms"),
        Command::Rollback { plan, reason, .. } => write!(f, "roll plan {plan} back: {reason}"),
        Command::TurnBack { plan, .. } => write!(f, "turn plan {plan} round"),
        Command::RemoveInSync { shard, member, .. } => {
            write!(f, "take node {} out of the in-sync set of shard {shard}", member.node)
        }
        Command::NodeLeft { node, .. } => write!(f, "let node {node} go"),
        Command::MembershipDone { .. } => f.write_str("the change of the nodes is done"),
        other => write!(f, "{other:?}"),
    }
}
