//! Libraries of functions.

use crate::entry::v2::ChangeLibraries;
use ironcache_control::Command;
use ironcache_types::Epoch;

impl From<ChangeLibraries> for Command {
    fn from(ChangeLibraries { seen, by, set, deleted }: ChangeLibraries) -> Self {
        Command::ChangeLibraries { seen: Epoch(seen), by, set, deleted }
    }
}
