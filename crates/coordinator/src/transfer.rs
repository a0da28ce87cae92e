//! Who leads raft while the present leader's node is upgraded.

use crate::view::View;
use ironcache_control::Plan;
use ironcache_types::NodeId;

/// A voter that answers and has caught up: on the target rather than not (its own turn is over), a replica
/// or witness rather than a primary, then the least behind, then the first.
pub(crate) fn choose(view: View<'_>, plan: &Plan) -> Option<NodeId> {
    view.voters_in_service()
        .filter(|n| n.id != view.obs.leader && view.in_service(n).is_ok())
        .min_by_key(|n| {
            let lag_entries = view.obs.nodes.get(&n.id).map_or(u64::MAX, |o| o.raft_lag_entries);
            let on_target = view.is_on(n.id, plan.target.digest);
            (!on_target, view.state.is_primary_node(n.id), lag_entries, n.id)
        })
        .map(|n| n.id)
}
