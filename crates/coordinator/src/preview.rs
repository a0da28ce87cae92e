//! `--dry-run`: what a plan would do, in order, for people.

use crate::decision::Decision;
use crate::rehearsal::rehearse;
use ironcache_control::{Command, ControlState, PlanOptions, Rejection, Shard};
use ironcache_types::{NodeId, Version};

/// The steps of a plan to `target` if every node does its part at once. The same `decide` that runs the
/// plan is asked, so the order is the real one as long as nothing fails and raft's leader stays.
///
/// # Errors
/// The guardrail that refuses the plan.
pub fn preview(
    state: &ControlState,
    leader: NodeId,
    target: &Version,
    options: PlanOptions,
) -> Result<Vec<String>, Rejection> {
    let release = state.check_plan(target)?;
    let rehearsal = rehearse(state, leader, target, options)?;
    let mut steps = vec![
        format!("every node fetches {release}, verifies it and tries it against its configuration"),
        "every shard acknowledges writes in mode in-sync".to_owned(),
    ];
    steps.extend(rehearsal.acts.iter().filter_map(|act| line(state, &rehearsal.state, act)));
    Ok(steps)
}

fn line(before: &ControlState, after: &ControlState, act: &Decision) -> Option<String> {
    match act {
        Decision::Propose(Command::WantKeeper { shard, node, .. }) => {
            let shard = before.shards.get(shard)?;
            Some(keeps(after, shard, (*node)?))
        }
        Decision::Propose(Command::UpgradeSelf { member, .. }) => {
            let node = member.node;
            let was = match before.shard_of_node(node) {
                None => "witness".to_owned(),
                Some(shard) => role(shard, node),
            };
            Some(format!("upgrade node {node} ({was})"))
        }
        Decision::Propose(Command::Confirm { .. } | Command::BeginRolling { .. }) => None,
        Decision::Propose(_)
        | Decision::TransferLeader { .. }
        | Decision::AddLearner { .. }
        | Decision::ChangeMembership { .. }
        | Decision::Wait(_) => Some(act.to_string()),
        Decision::Done => None,
    }
}

/// On the primary's own machine a keeper covers the loss of a process, and of nothing more. Whoever of the shard the
/// primary is by then: the nodes stand where they stand.
fn keeps(state: &ControlState, shard: &Shard, keeper: NodeId) -> String {
    let id = shard.id;
    let machine = state.nodes.get(&keeper).map(|node| node.machine).unwrap_or_default();
    let beside = |node: &&NodeId| state.nodes.get(node).is_some_and(|node| node.machine.is_same(machine));
    match shard.nodes.iter().find(beside) {
        None => format!("node {keeper} keeps what shard {id} acknowledges until two members hold it"),
        Some(beside) => format!(
            "node {keeper} keeps what shard {id} acknowledges until two members hold it; it is on the machine of node \
             {beside}, so that only the loss of a process is covered"
        ),
    }
}

fn role(shard: &Shard, node: NodeId) -> String {
    let role = if shard.primary().is_some_and(|p| p.node == node) { "old primary" } else { "replica" };
    format!("{role} of shard {}", shard.id)
}
