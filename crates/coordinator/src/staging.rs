//! What has to be true before the first step: the artifact is everywhere and would start there, and no write is
//! acknowledged by its primary alone.

use crate::view::{View, note};
use crate::waiting_on::WaitingOn;
use ironcache_control::{AckMode, Plan};

pub(crate) fn gates(view: View<'_>, plan: &Plan, waiting: &mut Vec<WaitingOn>) {
    let digest = plan.target.digest;
    let nodes = view.state.nodes.len();
    let holds =
        |node: &&ironcache_control::Node| node.staged.contains(&digest) || node.release.digest == digest;
    let held_by = view.state.nodes.values().filter(holds).count();
    for node in view.state.nodes.values().filter(|n| !holds(n)) {
        note(waiting, WaitingOn::Artifact { node: node.id, held_by, nodes });
    }
    for node in view.state.nodes.values().filter(|n| n.release.digest != digest) {
        if let Err(reason) = view.can_upgrade(node) {
            note(waiting, reason);
        }
    }
    for node in view.state.nodes.values().filter(|n| n.release.digest != digest) {
        match &node.preflight {
            Some(preflight) if preflight.digest == digest && preflight.turn == plan.turn => {
                if let Some(reason) = &preflight.problem {
                    note(waiting, WaitingOn::PreflightFailed { node: node.id, reason: reason.clone() });
                }
            }
            // One that does not hold the artifact is named for that.
            Some(_) | None if holds(&node) => note(waiting, WaitingOn::Preflight { node: node.id }),
            Some(_) | None => {}
        }
    }
    for shard in view.state.shards.values() {
        if shard.mode != AckMode::InSync {
            note(waiting, WaitingOn::WeakMode { shard: shard.id });
        }
        if shard.exposed {
            note(waiting, WaitingOn::Exposed { shard: shard.id });
        }
        if let Err(reason) = view.primary(shard) {
            note(waiting, reason);
        }
    }
}
