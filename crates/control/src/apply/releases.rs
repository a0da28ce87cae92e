//! Which releases there are, and who holds them.

use super::Result;
use crate::rejection::{Applied, Rejection};
use crate::state::{ControlState, Quarantine, ReleaseInfo};
use ironcache_types::{Digest, NodeId};

impl ControlState {
    pub(super) fn register_release(&mut self, info: &ReleaseInfo) -> Result {
        let release = &info.release;
        if let Some(known) = self.release_by_version(&release.version)
            && known.release.digest != release.digest
        {
            return Err(Rejection::VersionTaken {
                version: release.version.clone(),
                digest: known.release.digest.short(),
            });
        }
        self.refuse_quarantined(release.digest)?;
        if self.releases.get(&release.digest) == Some(info) {
            return Ok(Applied::Unchanged);
        }
        self.releases.insert(release.digest, info.clone());
        self.changed()
    }

    pub(super) fn report_staged(&mut self, id: NodeId, digest: Digest) -> Result {
        let node = self.nodes.get_mut(&id).ok_or(Rejection::UnknownNode { node: id })?;
        if !node.staged.insert(digest) {
            return Ok(Applied::Unchanged);
        }
        self.changed()
    }

    pub(super) fn refuse_quarantined(&self, digest: Digest) -> Result<()> {
        match self.quarantined.get(&digest) {
            None => Ok(()),
            Some(Quarantine { version, node, reason }) => {
                Err(Rejection::Quarantined { version: version.clone(), node: *node, reason: reason.clone() })
            }
        }
    }
}
