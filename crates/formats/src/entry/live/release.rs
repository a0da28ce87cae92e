//! Which releases there are, and who holds them.

use crate::BadField;
use crate::entry::v1::release::{AllowRelease, RegisterRelease, ReportStaged};
use ironcache_control::Command;
use ironcache_types::{Digest, NodeId};

impl TryFrom<RegisterRelease> for Command {
    type Error = BadField;

    fn try_from(RegisterRelease { info }: RegisterRelease) -> Result<Self, BadField> {
        Ok(Command::RegisterRelease { info: info.try_into()? })
    }
}

impl From<ReportStaged> for Command {
    fn from(ReportStaged { node, digest }: ReportStaged) -> Self {
        Command::ReportStaged { node: NodeId(node), digest: Digest(digest) }
    }
}

impl From<AllowRelease> for Command {
    fn from(AllowRelease { digest }: AllowRelease) -> Self {
        Command::AllowRelease { digest: Digest(digest) }
    }
}
