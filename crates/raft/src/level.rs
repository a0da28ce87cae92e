//! The level that this node writes at, in its file and in memory.
//!
//! *Invariant:* the file says a level durably before anything of it is sealed on this node; it never falls.

use ironcache_store::{LevelError, LevelFile};
use ironcache_types::{Level, LevelRange};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct NodeLevel {
    file: LevelFile,
    /// What this release admits.
    admits: LevelRange,
    now: Arc<AtomicU16>,
}

#[derive(Debug, thiserror::Error)]
pub enum RaiseError {
    #[error("level {level} is asked for, and this release admits levels {admits}")]
    NotAdmitted { level: Level, admits: LevelRange },
    #[error(transparent)]
    File(#[from] LevelError),
}

impl NodeLevel {
    /// A node that has applied nothing yet: it was told its level when it joined, or has none.
    pub(crate) fn new(file: LevelFile, admits: LevelRange) -> Result<Self, LevelError> {
        let known = file.admit(admits)?.unwrap_or(admits.min);
        Ok(NodeLevel { file, admits, now: Arc::new(AtomicU16::new(known.0)) })
    }

    pub(crate) fn admits(&self) -> LevelRange {
        self.admits
    }

    /// What this node seals at.
    pub(crate) fn now(&self) -> Level {
        Level(self.now.load(Ordering::Acquire))
    }

    /// Returns once the file says `level` or more. Blocks for a write and its fsync, once a level.
    pub(crate) fn make_durable(&self, level: Level) -> Result<(), RaiseError> {
        if !self.admits.admits(level) {
            return Err(RaiseError::NotAdmitted { level, admits: self.admits });
        }
        Ok(self.file.raise(level)?)
    }

    /// From here on this node seals at `level`, which is durable.
    pub(crate) fn begin(&self, level: Level) {
        self.now.store(level.0, Ordering::Release);
    }
}
