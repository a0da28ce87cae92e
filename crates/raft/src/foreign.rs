//! What no snapshot may make of a state: one of another cluster, or one in which others are believed than before.
//!
//! A cluster has its id and its kind of security from its first entry on, for good: what says otherwise is none of this log,
//! whoever sends it.

use crate::machine::AppliedView;
use crate::types::LogId;
use ironcache_control::{ControlState, Security};
use ironcache_types::ClusterId;

/// Why a snapshot takes no state's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    #[error("it is of cluster {found:?}, and this node's log is of {ours}")]
    OtherCluster { found: Option<ClusterId>, ours: ClusterId },
    #[error("it makes an insecure cluster of one with keys, or the reverse; no cluster changes so")]
    OtherSecurity,
}

/// May a snapshot of `state`, which covers `last`, take the place of what was applied? An older one does not, in raft.
pub(crate) fn may_replace(
    state: &ControlState,
    last: Option<LogId>,
    applied: &AppliedView,
) -> Result<(), Foreign> {
    let is_newer = last.is_some_and(|last| last.index > applied.index);
    if is_newer { check(state, &applied.state) } else { Ok(()) }
}

/// Is `state` one of the log that `ours` was made of?
pub(crate) fn check(state: &ControlState, ours: &ControlState) -> Result<(), Foreign> {
    let Some(cluster) = ours.cluster_id else { return Ok(()) };
    if state.cluster_id != Some(cluster) {
        return Err(Foreign::OtherCluster { found: state.cluster_id, ours: cluster });
    }
    match (&state.security, &ours.security) {
        (Security::Insecure, Security::Insecure) | (Security::Keys(_), Security::Keys(_)) => Ok(()),
        (Security::Insecure, Security::Keys(_)) | (Security::Keys(_), Security::Insecure) => {
            Err(Foreign::OtherSecurity)
        }
    }
}
