//! Which releases there are, and who holds them.

use crate::BadField;
use crate::parts::v1::ReleaseInfo;
use ironcache_control::Command;
use ironcache_types::{Digest, NodeId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegisterRelease {
    pub info: ReleaseInfo,
}

impl TryFrom<RegisterRelease> for Command {
    type Error = BadField;

    fn try_from(RegisterRelease { info }: RegisterRelease) -> Result<Self, BadField> {
        Ok(Command::RegisterRelease { info: info.try_into()? })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportStaged {
    pub node: u64,
    pub digest: [u8; 32],
}

impl From<ReportStaged> for Command {
    fn from(ReportStaged { node, digest }: ReportStaged) -> Self {
        Command::ReportStaged { node: NodeId(node), digest: Digest(digest) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AllowRelease {
    pub digest: [u8; 32],
}

impl From<AllowRelease> for Command {
    fn from(AllowRelease { digest }: AllowRelease) -> Self {
        Command::AllowRelease { digest: Digest(digest) }
    }
}
