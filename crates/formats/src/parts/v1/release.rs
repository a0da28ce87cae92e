//! What a node runs, and what can be staged.

use super::{LevelRange, ProtocolRange};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    pub version: String,
    pub digest: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleaseInfo {
    pub release: Release,
    pub size_bytes: u64,
    pub min_from: Option<String>,
    pub levels: LevelRange,
    pub launcher_protocol: ProtocolRange,
    pub hold: StageHold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StageHold {
    None,
    Held,
}
