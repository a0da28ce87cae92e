//! Who may do what with the data: the users of the access control list, since level 2.
//!
//! *Invariant:* here a user is bytes: its name, and its rules as who proposed them has them. Nothing of them is read by
//! `apply`, so that what a rule means may differ between two releases, and what was set may not.

use ironcache_types::{Epoch, Level};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// Of the last change; 0 before the first.
    pub epoch: Epoch,
    /// The rules of each, by name. `default` is among them only if somebody has set it. Shared: `apply` copies the state for
    /// each entry, and few are about users.
    pub by_name: Arc<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Users {
    /// Below it there are none.
    pub const SINCE: Level = Level(2);

    /// Fewer, and a user for each service of a large company finds no place; more are in every snapshot, and a node reads the
    /// rules of all of them after each change.
    pub const COUNT_MAX: usize = 4_096;

    /// Names and rules of all of them: as much as every snapshot bears beside the rest, and every change copies. A user takes
    /// some hundred bytes.
    pub const BYTES_MAX: usize = 1 << 20;

    /// What they take.
    pub fn bytes(&self) -> usize {
        self.by_name.iter().map(|(name, rules)| name.len() + rules.len()).sum()
    }
}
