//! What to do now.

use crate::waiting_on::WaitingOn;
use ironcache_control::{Command, Recover};
use ironcache_types::{NodeId, Offset};
use std::fmt;

/// One act of the leader, or the reasons for none. A hold is a proposal too: `Command::Hold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Propose(Command),
    /// Hand raft's leadership over; the next leader goes on.
    TransferLeader {
        to: NodeId,
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
        Command::StartPlan { target, .. } => write!(f, "start a plan to {target}, as the policy admits it"),
        Command::BeginSoaking { plan, .. } => write!(f, "let plan {plan} soak"),
        Command::Rollback { plan, reason, .. } => write!(f, "roll plan {plan} back: {reason}"),
        Command::TurnBack { plan, .. } => write!(f, "turn plan {plan} round"),
        other => write!(f, "{other:?}"),
    }
}
