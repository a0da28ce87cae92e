//! Who leads raft while the present leader's node is upgraded.

use crate::disagreement;
use crate::view::View;
use ironcache_control::Plan;
use ironcache_types::NodeId;

/// A voter that answers and has caught up: on the target rather than not (its own turn is over), a replica
/// or witness rather than a primary, then the least behind, then the first.
pub(crate) fn choose(view: View<'_>, plan: &Plan) -> Option<NodeId> {
    best(view, Some(plan))
}

/// A leader whose own state differs from the majority's gives its leadership up, plan or none.
pub(crate) fn away_from_an_odd_leader(view: View<'_>) -> Option<NodeId> {
    disagreement::odd(view).filter(|odd| odd.node == view.obs.leader)?;
    best(view, view.state.plan.as_ref())
}

/// Somebody else leads while the leader's own node is taken away for good.
pub(crate) fn from_a_leader_that_leaves(view: View<'_>) -> Option<NodeId> {
    best(view, view.state.plan.as_ref())
}

fn best(view: View<'_>, plan: Option<&Plan>) -> Option<NodeId> {
    let odd = disagreement::odd(view).map(|odd| odd.node);
    view.voters_in_service()
        .filter(|n| n.id != view.obs.leader && Some(n.id) != odd && view.in_service(n).is_ok())
        .min_by_key(|n| {
            let lag_entries = view.obs.nodes.get(&n.id).map_or(u64::MAX, |o| o.raft_lag_entries);
            let on_target = plan.is_some_and(|plan| view.is_on(n.id, plan.target.digest));
            (!on_target, view.state.is_primary_node(n.id), lag_entries, n.id)
        })
        .map(|n| n.id)
}
