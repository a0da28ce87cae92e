//! What a node runs, and what can be staged.

use crate::BadField;
use crate::parts::v1::release::{Release, ReleaseInfo, StageHold};
use crate::parts::version;
use ironcache_control as live;
use ironcache_types as types;
use ironcache_types::Digest;

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
