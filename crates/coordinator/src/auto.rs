//! A staged release that the policy admits starts a plan by itself.
//!
//! *Invariant:* what may start is `apply`'s to say (`check_plan_by_policy`); two leaders that propose the same start one
//! plan, as the second finds it active, ended and declined, or everybody on its target.

use crate::view::View;
use ironcache_control::{AutoRollout, Command, StartedBy};

/// The newest release that the policy may start now.
pub(crate) fn next(view: View<'_>, now_wall_ms: u64) -> Option<Command> {
    let state = view.state;
    // Asked on every look of every leader: most clusters are done here.
    if state.policy.auto_rollout == AutoRollout::Off {
        return None;
    }
    let known = state.releases.values().map(|info| &info.release.version);
    let admitted = known.filter_map(|version| state.check_plan_by_policy(version).ok());
    let target = admitted.max_by(|a, b| a.version.cmp(&b.version))?;
    Some(Command::StartPlan {
        target,
        options: state.policy.plan_options(),
        leader: view.obs.leader,
        started_by: StartedBy::Policy,
        at_ms: now_wall_ms,
    })
}
