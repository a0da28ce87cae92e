//! What role an operator needs to have something proposed.
//!
//! *Invariant:* whose order an entry is, is looked at where it is applied: what an operator asked of a node that had not
//! heard of its revocation yet is refused by the log, by whatever way it came.

use crate::command::Command;
use crate::security::OperatorRole;

impl Command {
    /// The least role of an operator in whose name it is proposed. What no operator asks for needs the greatest: nobody gains
    /// anything by naming one.
    pub fn role(&self) -> OperatorRole {
        match self {
            Command::RegisterRelease { .. }
            | Command::AllowRelease { .. }
            | Command::SetPolicy { .. }
            | Command::StartPlan { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::Abort { .. }
            | Command::Rollback { .. }
            | Command::TurnBack { .. }
            | Command::Finalize { .. } => OperatorRole::Operator,
            Command::InitCluster(_)
            | Command::Recover(_)
            | Command::AddNode { .. }
            | Command::RemoveNode { .. }
            | Command::AddOperator { .. }
            | Command::RevokeOperator { .. }
            | Command::ChangeUsers { .. }
            | Command::ChangeLibraries { .. }
            | Command::RegisterNode { .. }
            | Command::Reclaim { .. }
            | Command::Rejoin { .. }
            | Command::Confirm { .. }
            | Command::Confirmed { .. }
            | Command::StepFailed { .. }
            | Command::ReportPreflight { .. }
            | Command::ReportStaged { .. }
            | Command::LevelReached { .. }
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
            | Command::PrimaryReady { .. }
            | Command::BeginRolling { .. }
            | Command::UpgradeSelf { .. }
            | Command::Hold { .. }
            | Command::BeginSoaking { .. }
            | Command::Soaked { .. }
            | Command::NodeLeft { .. }
            | Command::MembershipDone { .. } => OperatorRole::Admin,
            #[cfg(feature = "next")]
            Command::SetZone { .. } => OperatorRole::Admin,
        }
    }
}
