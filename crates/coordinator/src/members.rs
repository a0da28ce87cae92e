//! Nodes that join and leave: raft's group is made what the log says, and the log told when it is.
//!
//! ```text
//!   Joining   no member of raft ─► a learner ─► caught up ─► a voter (another's vote goes in the same change) ─► done
//!   Leaving   leads raft ─► somebody else does · owns its shard ─► hands it over · in its set ─► taken out ─► left
//!   Left      a member of raft ─► none ─► done
//! ```
//!
//! *Invariant:* nothing is remembered between two looks: the change in the log and raft's group say where it stands.
//! *Invariant:* raft's voters are changed only to a group of which a majority answers.

use crate::decision::Decision;
use crate::observation::RaftGroup;
use crate::transfer;
use crate::view::{View, note};
use crate::waiting_on::{OutStage, WaitingOn};
use ironcache_control::{Command, MembershipChange, MembershipStage, Node, Phase, Reason, Shard};
use ironcache_types::NodeId;
use std::collections::BTreeSet;

/// Copies of a shard that stay in its set when a member is taken out of it, where the shard has so many other nodes,
/// whether or not those answer. More, and one dead replica of many keeps a machine from being taken away; fewer, and one
/// failure takes the dataset along.
const COPIES_MIN: usize = 2;

pub(crate) fn next(
    view: View<'_>,
    change: MembershipChange,
    waiting: &mut Vec<WaitingOn>,
) -> Option<Decision> {
    let decided = if gives_up_leading(view, change) {
        somebody_else_leads(view)
    } else {
        match change.stage {
            MembershipStage::Joining { voter, replaces } => joining(view, change, voter, replaces),
            MembershipStage::Leaving => leaving(view, change),
            MembershipStage::Left => group(view, change, voters(view).collect()),
        }
    };
    match decided {
        Ok(decision) => Some(decision),
        Err(reason) => {
            note(waiting, reason);
            None
        }
    }
}

/// A leader that takes its own vote away leaves the others to find out; one that hands leadership over does not.
fn gives_up_leading(view: View<'_>, change: MembershipChange) -> bool {
    let leader = view.obs.leader;
    match change.stage {
        MembershipStage::Joining { voter, replaces } => {
            voter && replaces == Some(leader) && view.obs.raft.contains(change.node)
        }
        MembershipStage::Leaving | MembershipStage::Left => change.node == leader,
    }
}

fn somebody_else_leads(view: View<'_>) -> Result<Decision, WaitingOn> {
    let to = transfer::from_a_leader_that_leaves(view);
    let to = to.ok_or(WaitingOn::NoOtherLeader { leader: view.obs.leader })?;
    Ok(Decision::TransferLeader { to })
}

fn joining(
    view: View<'_>,
    change: MembershipChange,
    voter: bool,
    replaces: Option<NodeId>,
) -> Result<Decision, WaitingOn> {
    let max_ms = view.bars.seen_ms_max;
    let silent = WaitingOn::Unreachable { node: change.node, seen_ms_ago: None, max_ms };
    let node = view.state.nodes.get(&change.node).ok_or(silent)?;
    if !view.obs.raft.contains(node.id) {
        return Ok(Decision::AddLearner { node: node.id, peer_addr: node.peer_addr.clone() });
    }
    let answer = view.answer(node)?;
    view.caught_up(node.id, answer)?;
    let mut wanted: BTreeSet<NodeId> = voters(view).filter(|id| !voter || Some(*id) != replaces).collect();
    if voter {
        wanted.insert(node.id);
    }
    group(view, change, wanted)
}

fn leaving(view: View<'_>, change: MembershipChange) -> Result<Decision, WaitingOn> {
    let left = Decision::Propose(Command::NodeLeft { change: change.epoch, node: change.node });
    let Some(node) = view.state.nodes.get(&change.node) else { return Ok(left) };
    // Afterwards it could not be taken back.
    majority_answers(view, &voters(view).filter(|id| *id != node.id).collect())?;
    if let Some(waits) = is_out(view, node) {
        return Err(waits);
    }
    let Some(shard) = view.state.shard_of_node(node.id) else { return Ok(left) };
    if let Some(handover) = shard.handover {
        let age_ms = view.obs.timers.handover_age_ms.get(&shard.id).copied().unwrap_or(0);
        let timeout_ms = view.state.policy.handover_timeout_ms;
        return Err(WaitingOn::HandoverInFlight {
            shard: shard.id,
            to: handover.to.node,
            age_ms,
            timeout_ms,
        });
    }
    let Some(primary) = shard.primary() else { return Err(view.no_primary(shard)) };
    if primary.node == node.id {
        // It has become the primary since.
        return hand_over(view, shard, node);
    }
    let member = node.member();
    if !shard.in_sync.contains(&member) {
        return Ok(left);
    }
    view.primary(shard)?;
    let others = || view.nodes_of(shard).filter(|n| n.id != node.id);
    let kept = others().filter(|n| shard.in_sync.contains(&n.member())).count();
    // One that answers gets its copy, and is waited for: the one in whose place it comes, say, stays so long.
    let missing = others()
        .find(|n| !shard.in_sync.contains(&n.member()) && (kept < COPIES_MIN || view.answer(n).is_ok()));
    match missing {
        Some(missing) => Err(WaitingOn::NotInSync { shard: shard.id, node: missing.id }),
        None => Ok(Decision::Propose(Command::RemoveInSync {
            shard: shard.id,
            isr_epoch: shard.isr_epoch,
            primary,
            member,
            reason: Reason::new("leaving", "the node is leaving the cluster"),
        })),
    }
}

/// A node that is out for a step goes only while its plan stands still for its sake, or has been ended without it.
fn is_out(view: View<'_>, node: &Node) -> Option<WaitingOn> {
    let plan = view.state.plan.as_ref()?;
    node.out.as_ref()?;
    if matches!(&plan.phase, Phase::Held { reason } if reason.node() == Some(node.id)) {
        return None;
    }
    let out_for_ms = view.obs.timers.out_for_ms.get(&node.id).copied().unwrap_or(0);
    let max_ms = plan.options.step_timeout_ms;
    Some(WaitingOn::NodeOut { node: node.id, out_for_ms, max_ms, stage: OutStage::Silent })
}

fn hand_over(view: View<'_>, shard: &Shard, node: &Node) -> Result<Decision, WaitingOn> {
    let not_before_ms = view.obs.timers.handover_not_before_ms.get(&shard.id).copied().unwrap_or(0);
    if let Some(remaining_ms) = not_before_ms.checked_sub(view.obs.now_ms).filter(|ms| *ms > 0) {
        return Err(WaitingOn::HandoverBackoff { shard: shard.id, remaining_ms });
    }
    let mut waits = WaitingOn::NotInSync { shard: shard.id, node: node.id };
    for other in view.nodes_of(shard).filter(|n| n.id != node.id) {
        match view.in_service(other) {
            Ok(_) if shard.in_sync.contains(&other.member()) => {
                return Ok(Decision::Propose(Command::BeginHandover {
                    shard: shard.id,
                    shard_epoch: shard.epoch,
                    from: node.member(),
                    to: other.member(),
                    plan: None,
                }));
            }
            Ok(_) => waits = WaitingOn::NotInSync { shard: shard.id, node: other.id },
            Err(reason) => waits = reason,
        }
    }
    Err(waits)
}

/// Raft's group with `wanted` as its voters and all other nodes of the log as learners; once it is that, the change is
/// done.
fn group(view: View<'_>, change: MembershipChange, wanted: BTreeSet<NodeId>) -> Result<Decision, WaitingOn> {
    let learners: BTreeSet<NodeId> =
        view.state.nodes.keys().copied().filter(|id| !wanted.contains(id)).collect();
    let RaftGroup { voters: present, is_joint, learners: present_learners } = &view.obs.raft;
    if !is_joint && *present == wanted && *present_learners == learners {
        return Ok(Decision::Propose(Command::MembershipDone { change: change.epoch }));
    }
    majority_answers(view, &wanted)?;
    Ok(Decision::ChangeMembership { voters: wanted, learners })
}

fn majority_answers(view: View<'_>, voters: &BTreeSet<NodeId>) -> Result<(), WaitingOn> {
    let answers = |id: &&NodeId| view.state.nodes.get(id).is_some_and(|node| view.answer(node).is_ok());
    let (reachable, needed) = (voters.iter().filter(answers).count(), voters.len() / 2 + 1);
    match reachable < needed {
        true => Err(WaitingOn::Voters { reachable, voters: voters.len(), needed }),
        false => Ok(()),
    }
}

/// By the log, without the one that is leaving or joining.
fn voters(view: View<'_>) -> impl Iterator<Item = NodeId> {
    view.state.voters().map(|node| node.id)
}
