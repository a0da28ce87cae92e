//! After the cluster's level has risen: the node writes anew what it still holds of the level before, and says so.

use crate::action::Action;
use crate::facts::LocalFacts;
use ironcache_control::{Command, ControlState, Node};

pub(crate) fn next(state: &ControlState, facts: &LocalFacts, node: &Node) -> Action {
    let level = state.cluster_level;
    if node.oldest >= level {
        return Action::Nothing;
    }
    if facts.oldest < level {
        return Action::Compact;
    }
    Action::ReportLevelReached(Command::LevelReached { member: facts.me, oldest: level })
}
