//! Libraries of functions, which every node of the cluster offers: since level 2.
//!
//! *Invariant:* here a library is bytes: its name, and its code. Nothing of it is read by `apply`: a release may know what
//! another one does not, and what was loaded stays.

use ironcache_types::{Epoch, Level};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    /// Of the last change; 0 before the first.
    pub epoch: Epoch,
    /// The code of each, by name. Shared: `apply` copies the state for each entry, and few are about libraries.
    pub by_name: Arc<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Libraries {
    /// Below it there are none.
    pub const SINCE: Level = Level(2);

    /// Fewer, and the services of a large company find no place; more, and a node that starts is long about executing the
    /// code of all of them.
    pub const COUNT_MAX: usize = 512;

    /// Names and code of all of them: as much as every snapshot bears beside the rest, and every change copies. A library
    /// takes some KiB.
    pub const BYTES_MAX: usize = 1 << 20;

    /// What they take.
    pub fn bytes(&self) -> usize {
        self.by_name.iter().map(|(name, code)| name.len() + code.len()).sum()
    }
}
