//! Which slots stay on the disk.
//!
//! *Invariant:* nothing is judged while anything is under way: a step, a trial, a download, or a launcher that
//! lost its state. What is kept then is a floor that no later state of the log takes back.

use crate::action::Action;
use crate::facts::{LauncherPhase, LocalFacts};
use crate::next::next;
use ironcache_control::ControlState;
use ironcache_types::Digest;
use std::collections::BTreeSet;

/// The digests whose slots stay, or `None` while that is not to be judged: what runs, what the launcher may go back
/// to, the active plan's target, and every artifact that this node told the log it holds, unless it is quarantined.
pub fn kept_slots(state: &ControlState, facts: &LocalFacts) -> Option<BTreeSet<Digest>> {
    let node = state.nodes.get(&facts.me.node)?;
    let at_rest = match facts.launcher.phase {
        LauncherPhase::Idle => facts.launcher.degraded.is_none() && facts.fetching.is_none(),
        // Without a launcher nobody knows what it would go back to.
        LauncherPhase::Trial { .. } | LauncherPhase::Absent => false,
    };
    if !at_rest || node.out.is_some() || next(state, facts) != Action::Nothing {
        return None;
    }
    let mut kept = BTreeSet::from([facts.running.digest]);
    kept.extend(&facts.launcher.needs);
    kept.extend(state.plan.as_ref().map(|plan| plan.target.digest));
    kept.extend(node.staged.iter().filter(|digest| !state.quarantined.contains_key(*digest)));
    Some(kept)
}
