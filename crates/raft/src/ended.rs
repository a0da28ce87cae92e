//! Why raft ended on a node by itself.

use ironcache_types::{Level, LevelRange};

/// What the daemon acts on. Nothing was changed by the entry or snapshot that it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The log, or a snapshot, has reached a level that this release does not admit: another release has to run here.
    #[error(
        "the cluster is at level {level}, and this release admits levels {admits}: start a release that admits level \
         {level} (`ironcache cluster nodes` shows which one the others run)"
    )]
    AboveLevel { level: Level, admits: LevelRange },
    /// An entry that every node has to read cannot be read by this release. Nothing is guessed.
    #[error("entry {index} of the log is committed, and this release cannot apply it: {why}")]
    Unreadable { index: u64, why: String },
    /// The log cannot be written, say.
    #[error("{why}")]
    Raft { why: String },
}
