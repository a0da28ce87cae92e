//! What holds for the whole cluster: its settings, and the level that its nodes have reached.

use crate::entry::v1::policy::{LevelReached, SetPolicy};
use ironcache_control::Command;
use ironcache_types::{Epoch, Level};

impl From<SetPolicy> for Command {
    fn from(SetPolicy { seen, policy }: SetPolicy) -> Self {
        Command::SetPolicy { seen: Epoch(seen), policy: policy.into() }
    }
}

impl From<LevelReached> for Command {
    fn from(LevelReached { member, oldest }: LevelReached) -> Self {
        Command::LevelReached { member: member.into(), oldest: Level(oldest) }
    }
}
