//! What holds for the whole cluster: its settings, and the level that its nodes have reached.

use crate::parts::v1::{Member, Policy};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetPolicy {
    pub seen: u64,
    pub policy: Policy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LevelReached {
    pub member: Member,
    pub oldest: u16,
}
