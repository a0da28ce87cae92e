//! Users of the access control list.

use crate::entry::v2::ChangeUsers;
use ironcache_control::Command;
use ironcache_types::Epoch;

impl From<ChangeUsers> for Command {
    fn from(ChangeUsers { seen, by, set, deleted }: ChangeUsers) -> Self {
        Command::ChangeUsers { seen: Epoch(seen), by, set, deleted }
    }
}
