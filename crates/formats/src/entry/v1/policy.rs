//! What holds for the whole cluster: its settings, and the level that its nodes have reached.

use crate::parts::v1::{Member, Policy};
use ironcache_control::Command;
use ironcache_types::{Epoch, Level};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetPolicy {
    pub seen: u64,
    pub policy: Policy,
}

impl From<SetPolicy> for Command {
    fn from(SetPolicy { seen, policy }: SetPolicy) -> Self {
        Command::SetPolicy { seen: Epoch(seen), policy: policy.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LevelReached {
    pub member: Member,
    pub oldest: u16,
}

impl From<LevelReached> for Command {
    fn from(LevelReached { member, oldest }: LevelReached) -> Self {
        Command::LevelReached { member: member.into(), oldest: Level(oldest) }
    }
}
