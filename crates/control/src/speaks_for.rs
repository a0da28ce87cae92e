//! In whose name a command is said: what a node tells of itself, nobody else may.
//!
//! *Invariant:* a member is trusted for what it proposes for the cluster, whoever leads; and for itself alone in what only it
//! can know: that it runs, what it holds, how its step went.

use crate::command::Command;
use crate::security::AskedBy;
use ironcache_types::NodeId;

impl Command {
    /// The node that has to propose it itself; `None`: any member may.
    pub fn speaks_for(&self) -> Option<NodeId> {
        match self {
            Command::RegisterNode { member, .. }
            | Command::Reclaim { member, .. }
            | Command::Rejoin { member, .. }
            | Command::Confirmed { member, .. }
            | Command::StepFailed { member, .. }
            | Command::ReportPreflight { member, .. }
            | Command::LevelReached { member, .. } => Some(member.node),
            Command::ReportStaged { node, .. } => Some(*node),
            Command::AddOperator { by: AskedBy::Node(node), .. }
            | Command::RevokeOperator { by: AskedBy::Node(node), .. } => Some(*node),
            Command::AddOperator { by: AskedBy::Operator(_), .. }
            | Command::RevokeOperator { by: AskedBy::Operator(_), .. }
            | Command::InitCluster(_)
            | Command::AddInSync { .. }
            | Command::RemoveInSync { .. }
            | Command::SetMode { .. }
            | Command::WantKeeper { .. }
            | Command::SetKeeper { .. }
            | Command::BeginHandover { .. }
            | Command::BeginRecovery { .. }
            | Command::Promote { .. }
            | Command::AbortHandover { .. }
            | Command::ReportHandover { .. }
            | Command::Failover { .. }
            | Command::Recover(_)
            | Command::PrimaryReady { .. }
            | Command::RegisterRelease { .. }
            | Command::StartPlan { .. }
            | Command::BeginRolling { .. }
            | Command::UpgradeSelf { .. }
            | Command::Confirm { .. }
            | Command::Hold { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::Abort { .. }
            | Command::Finalize { .. }
            | Command::BeginSoaking { .. }
            | Command::Soaked { .. }
            | Command::Rollback { .. }
            | Command::TurnBack { .. }
            | Command::SetPolicy { .. }
            | Command::AllowRelease { .. }
            | Command::AddNode { .. }
            | Command::RemoveNode { .. }
            | Command::NodeLeft { .. }
            | Command::MembershipDone { .. }
            | Command::ChangeUsers { .. }
            | Command::ChangeLibraries { .. } => None,
            #[cfg(feature = "next")]
            Command::SetZone { .. } => None,
        }
    }
}
