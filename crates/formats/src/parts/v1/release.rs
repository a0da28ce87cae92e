//! What a node runs, and what can be staged.

use super::{LevelRange, ProtocolRange};
use crate::BadField;
use crate::parts::version;
use ironcache_control as live;
use ironcache_types as types;
use ironcache_types::Digest;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    pub version: String,
    pub digest: [u8; 32],
}

impl From<&types::Release> for Release {
    fn from(types::Release { version, digest }: &types::Release) -> Self {
        Release { version: version.to_string(), digest: digest.0 }
    }
}

impl TryFrom<Release> for types::Release {
    type Error = BadField;

    fn try_from(release: Release) -> Result<Self, BadField> {
        Ok(types::Release { version: version(&release.version)?, digest: Digest(release.digest) })
    }
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

impl From<&live::ReleaseInfo> for ReleaseInfo {
    fn from(info: &live::ReleaseInfo) -> Self {
        let live::ReleaseInfo { release, size_bytes, min_from, levels, launcher_protocol, hold } = info;
        ReleaseInfo {
            release: release.into(),
            size_bytes: *size_bytes,
            min_from: min_from.as_ref().map(ToString::to_string),
            levels: (*levels).into(),
            launcher_protocol: (*launcher_protocol).into(),
            hold: match hold {
                live::StageHold::None => StageHold::None,
                live::StageHold::Held => StageHold::Held,
            },
        }
    }
}

impl TryFrom<ReleaseInfo> for live::ReleaseInfo {
    type Error = BadField;

    fn try_from(info: ReleaseInfo) -> Result<Self, BadField> {
        let ReleaseInfo { release, size_bytes, min_from, levels, launcher_protocol, hold } = info;
        Ok(live::ReleaseInfo {
            release: release.try_into()?,
            size_bytes,
            min_from: min_from.as_deref().map(version).transpose()?,
            levels: levels.into(),
            launcher_protocol: launcher_protocol.into(),
            hold: match hold {
                StageHold::None => live::StageHold::None,
                StageHold::Held => live::StageHold::Held,
            },
        })
    }
}
