//! Which releases there are, and who holds them.
//!
//! *Invariant (I6):* what is quarantined is never forgotten: its digest would be a release like any other.
//! *Invariant:* at most [`ControlState::RELEASES_MAX`] are known, and nobody holds, declined or quarantined one that is not:
//! what this makes of the state, and of each snapshot, has a bound.

use super::{Result, stale};
use crate::reason::Reason;
use crate::rejection::{Applied, Rejection};
use crate::state::{ControlState, Preflight, Quarantine, ReleaseInfo};
use ironcache_types::{Digest, Epoch, Member, NodeId, Release, Version, WireRange};
use std::collections::BTreeSet;

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
        if let Some(known) = self.releases.get(&release.digest)
            && known.release != *release
        {
            return Err(Rejection::DigestTaken {
                version: release.version.clone(),
                known: Box::new(known.release.version.clone()),
                digest: release.digest.short(),
            });
        }
        check_range(info.launcher_protocol)?;
        check_range(WireRange { min: info.levels.min.0, max: info.levels.max.0 })?;
        self.refuse_quarantined(release.digest)?;
        if self.releases.get(&release.digest) == Some(info) {
            return Ok(Applied::Unchanged);
        }
        if !self.releases.contains_key(&release.digest) && self.releases.len() >= Self::RELEASES_MAX {
            let oldest =
                self.oldest_of_no_use().ok_or(Rejection::TooManyReleases { max: Self::RELEASES_MAX })?;
            self.forget_release(oldest);
        }
        self.releases.insert(release.digest, info.clone());
        self.changed()
    }

    /// The lowest version that neither a node nor a plan needs, and that is not quarantined. What was declined stays known
    /// for as long as a policy could start it.
    fn oldest_of_no_use(&self) -> Option<Digest> {
        let plan = self.plan.iter().flat_map(|plan| [plan.origin.digest, plan.target.digest]);
        let unfinished = self.unfinished.iter().flat_map(|left| [left.origin.digest, left.target.digest]);
        let running = self.nodes.values().map(|node| node.release.digest);
        let out = self.nodes.values().filter_map(|node| node.out.as_ref()).map(|out| out.target.digest);
        let needed: BTreeSet<Digest> = plan.chain(unfinished).chain(running).chain(out).collect();
        let is_behind = |version: &Version| self.nodes.values().all(|node| *version <= node.release.version);
        let is_kept = |release: &Release| {
            needed.contains(&release.digest)
                || self.quarantined.contains_key(&release.digest)
                || (self.declined.contains_key(&release.digest) && !is_behind(&release.version))
        };
        let known = self.releases.values().map(|info| &info.release);
        known.filter(|release| !is_kept(release)).min_by_key(|r| &r.version).map(|r| r.digest)
    }

    fn forget_release(&mut self, digest: Digest) {
        self.releases.remove(&digest);
        self.declined.remove(&digest);
        for node in self.nodes.values_mut() {
            node.staged.remove(&digest);
        }
    }

    pub(super) fn report_staged(&mut self, id: NodeId, digest: Digest) -> Result {
        let node = self.nodes.get_mut(&id).ok_or(Rejection::UnknownNode { node: id })?;
        if !self.releases.contains_key(&digest) {
            return Err(Rejection::NoSuchRelease { digest });
        }
        if !node.staged.insert(digest) {
            return Ok(Applied::Unchanged);
        }
        self.changed()
    }

    pub(super) fn allow_release(&mut self, digest: Digest) -> Result {
        if self.declined.remove(&digest).is_none() {
            return match self.releases.get(&digest) {
                Some(info) => Err(Rejection::NotDeclined { version: info.release.version.clone() }),
                None => Ok(Applied::Unchanged),
            };
        }
        self.changed()
    }

    pub(super) fn report_preflight(
        &mut self,
        member: Member,
        digest: Digest,
        turn: Epoch,
        problem: Option<&Reason>,
    ) -> Result {
        let plan = self.plan.as_ref().ok_or(Rejection::NoPlan)?;
        if plan.turn != turn {
            return Err(stale(format!("the turn of plan {}", plan.id), turn, plan.turn));
        }
        let node = self.nodes.get_mut(&member.node).ok_or(Rejection::UnknownNode { node: member.node })?;
        if node.incarnation != member.incarnation {
            let (seen, current) = (member.incarnation, node.incarnation);
            return Err(Rejection::StaleIncarnation { node: member.node, seen, current });
        }
        let preflight = Some(Preflight { digest, turn, problem: problem.cloned() });
        if node.preflight == preflight {
            return Ok(Applied::Unchanged);
        }
        node.preflight = preflight;
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

/// Nobody reads versions of which the first is above the last.
pub(super) fn check_range(range: WireRange) -> Result<()> {
    if range.is_range() { Ok(()) } else { Err(Rejection::EmptyRange { range }) }
}
