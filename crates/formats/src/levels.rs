//! The one table: the version of each format at each level.
//!
//! A release reads *and writes* every level of [`RANGE`]. The range is what the artifact's manifest states, what a node
//! registers, and what the file `level` is held against. `ironcache-types` says it, once; a level may as well bring no new
//! version of any format, but commands and effects alone.
//!
//! To change a format at the newest level, give its row one pair more. A row whose first pair is above the lowest level is
//! new at that one: below it, a command of that kind is refused (`not_yet`). The feature `next`, this release's invented
//! future, adds its pairs here, each under `#[cfg(feature = "next")]`.
//!
//! Not in it is what no level chooses. A level *is* a set of opcodes for effects (`ironcache-keyspace`); the ends of a
//! link agree on its version when it opens (`ironcache-replication`), as launcher and daemon do (`ironcache-spine`, which
//! also frames the launcher's own file); reports and answers over HTTP are JSON that only gains fields; an operator's
//! credentials file (`ironcache-identity`) is of a person with any release's command line, and says its format itself.
//!
//! *Invariant:* no format says elsewhere which version a level has.
//! *Invariant:* no row speaks of a level that this build does not admit.

use crate::entry::EntryKind;
#[cfg(feature = "next")]
use ironcache_types::NEXT;
use ironcache_types::{LEVELS, Level, LevelRange};
use std::fmt;

/// Everything that is persisted or sent, and has versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The body of one kind of log entry.
    Entry(EntryKind),
    /// Who asked for what an entry says: ahead of its body, if its flags say so.
    Origin,
    /// The control state and the remembered answers: what is hashed.
    State,
    /// What is around a state that is kept or sent.
    Snapshot,
    /// The file `snapshot` of the raft directory.
    SnapshotFile,
    /// A request and its answer: one version for both.
    Rpc(Rpc),
    /// The records of the raft log.
    Wal,
    /// The head and the sections of a dataset's file; what lies in them is of a level of its own.
    Checkpoint,
    /// The head of a keeper's file; the frames after it are of the levels at which they were written.
    KeeperFile,
    /// `node.json`: who the node is, and how often it has started.
    NodeFile,
    /// `binding.json`: whom a node obeys that was met and has no log yet.
    BindingFile,
}

/// What one node asks another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    Append,
    Vote,
    PreVote,
    Snapshot,
    Transfer,
    Forward,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Entry(kind) => return write!(f, "entry {kind}"),
            Format::Origin => "origin of an entry",
            Format::State => "control state",
            Format::Snapshot => "snapshot",
            Format::SnapshotFile => "snapshot file",
            Format::Rpc(Rpc::Append) => "append RPC",
            Format::Rpc(Rpc::Vote) => "vote RPC",
            Format::Rpc(Rpc::PreVote) => "pre-vote RPC",
            Format::Rpc(Rpc::Snapshot) => "snapshot RPC",
            Format::Rpc(Rpc::Transfer) => "transfer RPC",
            Format::Rpc(Rpc::Forward) => "forward RPC",
            Format::Wal => "raft log",
            Format::Checkpoint => "checkpoint",
            Format::KeeperFile => "keeper's file",
            Format::NodeFile => "node.json",
            Format::BindingFile => "binding.json",
        })
    }
}

/// From `level` on, a format is at `version`.
struct Since {
    level: u16,
    version: u16,
}

const fn since(level: u16, version: u16) -> Since {
    Since { level, version }
}

/// Ascending in each row.
const TABLE: &[(Format, &[Since])] = &[
    (Format::Entry(EntryKind::InitCluster), &[since(1, 1)]),
    (
        Format::Entry(EntryKind::RegisterNode),
        &[
            since(1, 1),
            #[cfg(feature = "next")]
            since(NEXT.0, 2),
        ],
    ),
    (Format::Entry(EntryKind::AddInSync), &[since(1, 1)]),
    (Format::Entry(EntryKind::RemoveInSync), &[since(1, 1)]),
    (Format::Entry(EntryKind::SetMode), &[since(1, 1)]),
    (Format::Entry(EntryKind::BeginHandover), &[since(1, 1)]),
    (Format::Entry(EntryKind::Promote), &[since(1, 1)]),
    (Format::Entry(EntryKind::AbortHandover), &[since(1, 1)]),
    (Format::Entry(EntryKind::ReportHandover), &[since(1, 1)]),
    (Format::Entry(EntryKind::Failover), &[since(1, 1)]),
    (Format::Entry(EntryKind::Reclaim), &[since(1, 1)]),
    (Format::Entry(EntryKind::PrimaryReady), &[since(1, 1)]),
    (Format::Entry(EntryKind::RegisterRelease), &[since(1, 1)]),
    (Format::Entry(EntryKind::ReportStaged), &[since(1, 1)]),
    (Format::Entry(EntryKind::StartPlan), &[since(1, 1)]),
    (Format::Entry(EntryKind::BeginRolling), &[since(1, 1)]),
    (Format::Entry(EntryKind::UpgradeSelf), &[since(1, 1)]),
    (Format::Entry(EntryKind::Confirm), &[since(1, 1)]),
    (Format::Entry(EntryKind::Confirmed), &[since(1, 1)]),
    (Format::Entry(EntryKind::StepFailed), &[since(1, 1)]),
    (Format::Entry(EntryKind::Hold), &[since(1, 1)]),
    (Format::Entry(EntryKind::Pause), &[since(1, 1)]),
    (Format::Entry(EntryKind::Resume), &[since(1, 1)]),
    (Format::Entry(EntryKind::Abort), &[since(1, 1)]),
    (Format::Entry(EntryKind::Finalize), &[since(1, 1)]),
    (Format::Entry(EntryKind::Rejoin), &[since(1, 1)]),
    (Format::Entry(EntryKind::BeginSoaking), &[since(1, 1)]),
    (Format::Entry(EntryKind::Rollback), &[since(1, 1)]),
    (Format::Entry(EntryKind::TurnBack), &[since(1, 1)]),
    (Format::Entry(EntryKind::ReportPreflight), &[since(1, 1)]),
    (Format::Entry(EntryKind::LevelReached), &[since(1, 1)]),
    (Format::Entry(EntryKind::SetPolicy), &[since(1, 1)]),
    (Format::Entry(EntryKind::AllowRelease), &[since(1, 1)]),
    (Format::Entry(EntryKind::Recover), &[since(1, 1)]),
    (Format::Entry(EntryKind::AddNode), &[since(1, 1)]),
    (Format::Entry(EntryKind::RemoveNode), &[since(1, 1)]),
    (Format::Entry(EntryKind::NodeLeft), &[since(1, 1)]),
    (Format::Entry(EntryKind::MembershipDone), &[since(1, 1)]),
    (Format::Entry(EntryKind::WantKeeper), &[since(1, 1)]),
    (Format::Entry(EntryKind::SetKeeper), &[since(1, 1)]),
    (Format::Entry(EntryKind::BeginRecovery), &[since(1, 1)]),
    (Format::Entry(EntryKind::AddOperator), &[since(1, 1)]),
    (Format::Entry(EntryKind::RevokeOperator), &[since(1, 1)]),
    (Format::Entry(EntryKind::Soaked), &[since(1, 1)]),
    (Format::Entry(EntryKind::ChangeUsers), &[since(2, 1)]),
    (Format::Entry(EntryKind::ChangeLibraries), &[since(2, 1)]),
    #[cfg(feature = "next")]
    (Format::Entry(EntryKind::SetZone), &[since(NEXT.0, 1)]),
    (Format::Origin, &[since(1, 1)]),
    (
        Format::State,
        &[
            since(1, 1),
            since(2, 2),
            #[cfg(feature = "next")]
            since(NEXT.0, 3),
        ],
    ),
    (Format::Snapshot, &[since(1, 1)]),
    (Format::SnapshotFile, &[since(1, 1)]),
    (Format::Rpc(Rpc::Append), &[since(1, 1)]),
    (Format::Rpc(Rpc::Vote), &[since(1, 1)]),
    (Format::Rpc(Rpc::PreVote), &[since(1, 1)]),
    (Format::Rpc(Rpc::Snapshot), &[since(1, 1)]),
    (Format::Rpc(Rpc::Transfer), &[since(1, 1)]),
    (Format::Rpc(Rpc::Forward), &[since(1, 1)]),
    (Format::Wal, &[since(1, 1)]),
    (Format::Checkpoint, &[since(1, 1)]),
    (Format::KeeperFile, &[since(1, 1)]),
    (Format::NodeFile, &[since(1, 1)]),
    (Format::BindingFile, &[since(1, 1)]),
];

/// The levels that this build admits: it reads and writes at each.
pub const RANGE: LevelRange = LEVELS;

const _: () = check_table();

/// A row that does not ascend, skips a version, or speaks of a level above the newest, does not compile.
const fn check_table() {
    let mut row = 0;
    while row < TABLE.len() {
        let pairs = TABLE[row].1;
        assert!(!pairs.is_empty(), "a row says when its format begins");
        let mut at = 0;
        while at < pairs.len() {
            let Since { level, version } = pairs[at];
            assert!(at == 0 || (level > pairs[at - 1].level && version == pairs[at - 1].version + 1));
            assert!(
                level <= RANGE.max.0,
                "`NEWEST` in types/src/level.rs is below a level that the table speaks of"
            );
            at += 1;
        }
        row += 1;
    }
}

/// The version of `format` at `level`. `None`: this build does not admit the level, or the format came later.
pub fn version_at(format: Format, level: Level) -> Option<u16> {
    if !RANGE.admits(level) {
        return None;
    }
    row(format).iter().rev().find(|since| since.level <= level.0).map(|since| since.version)
}

/// The versions of `format` that this build reads, oldest and newest.
pub fn versions_read(format: Format) -> Option<(u16, u16)> {
    let row = row(format);
    Some((row.first()?.version, row.last()?.version))
}

fn row(format: Format) -> &'static [Since] {
    TABLE.iter().find(|(of, _)| *of == format).map_or(&[], |(_, row)| *row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: [Format; 15] = [
        Format::Origin,
        Format::State,
        Format::Snapshot,
        Format::SnapshotFile,
        Format::Rpc(Rpc::Append),
        Format::Rpc(Rpc::Vote),
        Format::Rpc(Rpc::PreVote),
        Format::Rpc(Rpc::Snapshot),
        Format::Rpc(Rpc::Transfer),
        Format::Rpc(Rpc::Forward),
        Format::Wal,
        Format::Checkpoint,
        Format::KeeperFile,
        Format::NodeFile,
        Format::BindingFile,
    ];

    #[test]
    fn every_format_has_one_row_and_a_version_at_the_newest_level() {
        let all = EntryKind::ALL.iter().map(|kind| Format::Entry(*kind)).chain(OTHERS);
        for format in all {
            assert_eq!(TABLE.iter().filter(|(of, _)| *of == format).count(), 1, "{format}");
            let newest = version_at(format, RANGE.max).unwrap();
            assert_eq!(versions_read(format).unwrap().1, newest, "{format}");
        }
        assert_eq!(TABLE.len(), EntryKind::ALL.len() + OTHERS.len());
    }

    #[test]
    fn a_level_outside_the_range_has_no_versions() {
        assert_eq!(version_at(Format::State, Level(0)), None);
        assert_eq!(version_at(Format::State, RANGE.max.next()), None);
    }
}
