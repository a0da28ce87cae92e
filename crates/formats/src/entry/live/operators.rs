//! Operators that come and go.

use crate::entry::v1::operators::{AddOperator, RevokeOperator};
use ironcache_control::Command;
use ironcache_types::{Digest, KeyHash};

impl From<AddOperator> for Command {
    fn from(AddOperator { by, key, name, role }: AddOperator) -> Self {
        Command::AddOperator { by: by.into(), key: KeyHash(Digest(key)), name, role: role.into() }
    }
}

impl From<RevokeOperator> for Command {
    fn from(RevokeOperator { by, key }: RevokeOperator) -> Self {
        Command::RevokeOperator { by: by.into(), key: KeyHash(Digest(key)) }
    }
}
