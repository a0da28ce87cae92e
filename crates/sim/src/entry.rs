//! What is in the log: a command, and its bytes as its proposer sealed them at the level that it had applied (I20).
//!
//! *Invariant:* a process applies the bytes, not the command: by the decoder of the entry's level, and the rules of its
//! state's.

use crate::scenario::levels;
use ironcache_control::{Applied, Command, ControlState, LogId, Rejection};
use ironcache_formats::entry::{self, EntryBytes, EntryError};
use ironcache_types::{Level, Release, RequestId};

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub command: Command,
    /// Of the leader that appended it.
    pub term: u64,
    /// Whose outcome somebody waits for; 0: nobody's.
    pub request: u64,
    /// The log takes it once: its outcome is told, and acted upon.
    pub settles: bool,
    bytes: EntryBytes,
}

impl Entry {
    /// Sealed by who has applied `state`.
    pub(crate) fn seal(command: Command, state: &ControlState) -> Self {
        let level = state.cluster_level.max(Level::FIRST);
        let bytes = entry::seal(&command, RequestId(0), level).unwrap_or_else(|error| {
            panic!("nobody proposes what its own level does not have: {command:?}: {error}")
        });
        Entry { command, term: 0, request: 0, settles: false, bytes }
    }

    /// Applies the entry at `index` as a process of `release` does. The outer error is a violation.
    pub(crate) fn apply(
        &self,
        index: u64,
        state: &mut ControlState,
        release: &Release,
    ) -> Result<Result<Applied, Rejection>, String> {
        let level = state.cluster_level.max(Level::FIRST);
        let outcome = match entry::open(&self.bytes, level) {
            Ok((_, command)) => state.apply(LogId { term: self.term, index }, &command),
            Err(EntryError::NotYet { level, state }) => Err(Rejection::NotYet { level, state }),
            Err(error) => return Err(format!("entry {index} cannot be read at level {level}: {error}")),
        };
        let admits = levels(release);
        if state.cluster_id.is_some() && !admits.admits(state.cluster_level) {
            let level = state.cluster_level;
            return Err(format!(
                "I7: {release} admits levels {admits}, and applies entry {index} at level {level}"
            ));
        }
        Ok(outcome)
    }
}
