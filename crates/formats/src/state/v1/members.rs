//! The change of the nodes that is under way.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembershipChange {
    pub epoch: u64,
    pub node: u64,
    pub stage: MembershipStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MembershipStage {
    Joining { voter: bool, replaces: Option<u64> },
    Leaving,
    Left,
}
