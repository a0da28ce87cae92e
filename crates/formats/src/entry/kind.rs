//! The kinds of log entries.

use ironcache_control::Command;
use std::fmt;

/// The numbers are the format: they never change and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum EntryKind {
    InitCluster = 1,
    RegisterNode = 2,
    AddInSync = 3,
    RemoveInSync = 4,
    SetMode = 5,
    BeginHandover = 6,
    Promote = 7,
    AbortHandover = 8,
    ReportHandover = 9,
    Failover = 10,
    Reclaim = 11,
    PrimaryReady = 12,
    RegisterRelease = 13,
    ReportStaged = 14,
    StartPlan = 15,
    BeginRolling = 16,
    UpgradeSelf = 17,
    Confirm = 18,
    Confirmed = 19,
    StepFailed = 20,
    Hold = 21,
    Pause = 22,
    Resume = 23,
    Abort = 24,
    Finalize = 25,
    Rejoin = 26,
    BeginSoaking = 27,
    Rollback = 28,
    TurnBack = 29,
    ReportPreflight = 30,
    LevelReached = 31,
    SetPolicy = 32,
    AllowRelease = 33,
    Recover = 34,
    AddNode = 35,
    RemoveNode = 36,
    NodeLeft = 37,
    MembershipDone = 38,
    WantKeeper = 39,
    SetKeeper = 40,
    BeginRecovery = 41,
    AddOperator = 42,
    RevokeOperator = 43,
    Soaked = 44,
    ChangeUsers = 45,
    ChangeLibraries = 46,
    /// One above the newest kind, whichever that is: no release has it.
    #[cfg(feature = "next")]
    SetZone,
}

impl EntryKind {
    /// In the order of their numbers.
    pub const ALL: &[EntryKind] = &[
        EntryKind::InitCluster,
        EntryKind::RegisterNode,
        EntryKind::AddInSync,
        EntryKind::RemoveInSync,
        EntryKind::SetMode,
        EntryKind::BeginHandover,
        EntryKind::Promote,
        EntryKind::AbortHandover,
        EntryKind::ReportHandover,
        EntryKind::Failover,
        EntryKind::Reclaim,
        EntryKind::PrimaryReady,
        EntryKind::RegisterRelease,
        EntryKind::ReportStaged,
        EntryKind::StartPlan,
        EntryKind::BeginRolling,
        EntryKind::UpgradeSelf,
        EntryKind::Confirm,
        EntryKind::Confirmed,
        EntryKind::StepFailed,
        EntryKind::Hold,
        EntryKind::Pause,
        EntryKind::Resume,
        EntryKind::Abort,
        EntryKind::Finalize,
        EntryKind::Rejoin,
        EntryKind::BeginSoaking,
        EntryKind::Rollback,
        EntryKind::TurnBack,
        EntryKind::ReportPreflight,
        EntryKind::LevelReached,
        EntryKind::SetPolicy,
        EntryKind::AllowRelease,
        EntryKind::Recover,
        EntryKind::AddNode,
        EntryKind::RemoveNode,
        EntryKind::NodeLeft,
        EntryKind::MembershipDone,
        EntryKind::WantKeeper,
        EntryKind::SetKeeper,
        EntryKind::BeginRecovery,
        EntryKind::AddOperator,
        EntryKind::RevokeOperator,
        EntryKind::Soaked,
        EntryKind::ChangeUsers,
        EntryKind::ChangeLibraries,
        #[cfg(feature = "next")]
        EntryKind::SetZone,
    ];

    pub fn number(self) -> u16 {
        self as u16
    }

    /// `None` for the number of a kind that this release does not know.
    pub fn from_number(number: u16) -> Option<EntryKind> {
        EntryKind::ALL.iter().copied().find(|kind| kind.number() == number)
    }

    pub fn of(command: &Command) -> EntryKind {
        match command {
            Command::InitCluster(_) => EntryKind::InitCluster,
            Command::RegisterNode { .. } => EntryKind::RegisterNode,
            Command::AddInSync { .. } => EntryKind::AddInSync,
            Command::RemoveInSync { .. } => EntryKind::RemoveInSync,
            Command::SetMode { .. } => EntryKind::SetMode,
            Command::BeginHandover { .. } => EntryKind::BeginHandover,
            Command::Promote { .. } => EntryKind::Promote,
            Command::AbortHandover { .. } => EntryKind::AbortHandover,
            Command::ReportHandover { .. } => EntryKind::ReportHandover,
            Command::Failover { .. } => EntryKind::Failover,
            Command::Reclaim { .. } => EntryKind::Reclaim,
            Command::PrimaryReady { .. } => EntryKind::PrimaryReady,
            Command::RegisterRelease { .. } => EntryKind::RegisterRelease,
            Command::ReportStaged { .. } => EntryKind::ReportStaged,
            Command::StartPlan { .. } => EntryKind::StartPlan,
            Command::BeginRolling { .. } => EntryKind::BeginRolling,
            Command::UpgradeSelf { .. } => EntryKind::UpgradeSelf,
            Command::Confirm { .. } => EntryKind::Confirm,
            Command::Confirmed { .. } => EntryKind::Confirmed,
            Command::StepFailed { .. } => EntryKind::StepFailed,
            Command::Hold { .. } => EntryKind::Hold,
            Command::Pause { .. } => EntryKind::Pause,
            Command::Resume { .. } => EntryKind::Resume,
            Command::Abort { .. } => EntryKind::Abort,
            Command::Finalize { .. } => EntryKind::Finalize,
            Command::Rejoin { .. } => EntryKind::Rejoin,
            Command::BeginSoaking { .. } => EntryKind::BeginSoaking,
            Command::Soaked { .. } => EntryKind::Soaked,
            Command::ChangeUsers { .. } => EntryKind::ChangeUsers,
            Command::ChangeLibraries { .. } => EntryKind::ChangeLibraries,
            Command::Rollback { .. } => EntryKind::Rollback,
            Command::TurnBack { .. } => EntryKind::TurnBack,
            Command::ReportPreflight { .. } => EntryKind::ReportPreflight,
            Command::LevelReached { .. } => EntryKind::LevelReached,
            Command::SetPolicy { .. } => EntryKind::SetPolicy,
            Command::AllowRelease { .. } => EntryKind::AllowRelease,
            Command::Recover(_) => EntryKind::Recover,
            Command::AddNode { .. } => EntryKind::AddNode,
            Command::RemoveNode { .. } => EntryKind::RemoveNode,
            Command::NodeLeft { .. } => EntryKind::NodeLeft,
            Command::MembershipDone { .. } => EntryKind::MembershipDone,
            Command::WantKeeper { .. } => EntryKind::WantKeeper,
            Command::SetKeeper { .. } => EntryKind::SetKeeper,
            Command::BeginRecovery { .. } => EntryKind::BeginRecovery,
            Command::AddOperator { .. } => EntryKind::AddOperator,
            Command::RevokeOperator { .. } => EntryKind::RevokeOperator,
            #[cfg(feature = "next")]
            Command::SetZone { .. } => EntryKind::SetZone,
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_one_kind_for_good() {
        assert!(EntryKind::ALL.is_sorted_by(|a, b| a.number() < b.number()), "in order, each number once");
        for kind in EntryKind::ALL {
            assert_eq!(EntryKind::from_number(kind.number()), Some(*kind));
        }
        let last = EntryKind::ALL.iter().map(|kind| kind.number()).max().unwrap();
        assert_eq!(EntryKind::from_number(0), None);
        assert_eq!(EntryKind::from_number(last + 1), None);
    }
}
