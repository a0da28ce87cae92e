//! What every accepted command must keep: compares the state before with the state after.
//!
//! *Invariant:* this file shares no code with `apply`: it is the second opinion.

use crate::membership::MembershipStage;
use crate::plan::{Direction, Phase, StartedBy};
use crate::security::{OperatorRole, Security};
use crate::shard::{HandoverVia, KeeperBase, Ownership, Shard};
use crate::state::{ControlState, TrialPhase};

/// An invariant of the log that a command would have broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {detail}")]
pub struct Violation {
    /// `"I1"` … as the architecture numbers them.
    pub invariant: String,
    pub detail: String,
}

fn broken(invariant: &str, detail: String) -> Result<(), Violation> {
    Err(Violation { invariant: invariant.to_owned(), detail })
}

pub(crate) fn check(before: &ControlState, after: &ControlState) -> Result<(), Violation> {
    if after.epoch < before.epoch {
        return broken("I1", format!("the counter falls from {} to {}", before.epoch, after.epoch));
    }
    for (id, shard) in &after.shards {
        if let Some(old) = before.shards.get(id) {
            check_shard(before, old, shard)?;
        }
        check_in_sync(after, shard)?;
        check_keeper(before, after, shard)?;
    }
    check_audit(before, after)?;
    check_members(before, after)?;
    check_keys(before, after)?;
    check_level(before, after)?;
    check_started(before, after)?;
    check_out(before, after)?;
    check_plan(before, after)
}

/// The chain grows by one record at a time, chained to the newest, and loses but its oldest, which become the anchor (I25).
fn check_audit(before: &ControlState, after: &ControlState) -> Result<(), Violation> {
    let (old, new) = (&before.audit, &after.audit);
    if old == new {
        return Ok(());
    }
    let Some(record) = new.records.back().filter(|record| record.link() == new.head) else {
        return broken("I25", "the newest record of the audit chain is not its head".to_owned());
    };
    if record.seq != old.head.seq + 1 || record.previous != old.head.hash {
        return broken("I25", format!("record {} is not chained to the newest, {}", record.seq, old.head));
    }
    if new.head.seq - new.anchor.seq != new.records.len() as u64 {
        return broken("I25", format!("the audit chain has a gap after its anchor, {}", new.anchor));
    }
    let is_kept = new.anchor == old.anchor
        || old.records.iter().any(|dropped| dropped.seq == new.anchor.seq && dropped.link() == new.anchor);
    if !is_kept {
        return broken("I25", format!("the audit chain's anchor, {}, was no record of it", new.anchor));
    }
    Ok(())
}

/// Who leaves had no role, and never comes back; no step begins while anybody comes or goes (I4).
fn check_members(before: &ControlState, after: &ControlState) -> Result<(), Violation> {
    for (id, shard) in &after.shards {
        if let Some(node) = shard.nodes.iter().find(|n| !after.nodes.contains_key(n)) {
            return broken("I2", format!("node {node} of shard {id} is no node"));
        }
    }
    for gone in before.nodes.keys().filter(|id| !after.nodes.contains_key(id)) {
        let ends = |shard: &Shard| shard.handover.is_some_and(|h| h.from.node == *gone || h.to.node == *gone);
        let is_owner = |shard: &Shard| shard.primary().is_some_and(|p| p.node == *gone);
        let has_role =
            |shard: &&Shard| is_owner(shard) || ends(shard) || shard.in_sync.iter().any(|m| m.node == *gone);
        if let Some(shard) = before.shards.values().find(has_role) {
            return broken("I3", format!("node {gone} leaves with a role in shard {}", shard.id));
        }
        let keeps = |shard: &&Shard| shard.keeper.is_some_and(|keeper| keeper.member.node == *gone);
        if let Some(shard) = before.shards.values().find(keeps) {
            return broken("I22", format!("node {gone} leaves with the tail of shard {}", shard.id));
        }
    }
    if let Some(back) = after.removed.iter().find(|id| after.nodes.contains_key(id)) {
        return broken("I1", format!("node {back} left for good, and is a member"));
    }
    let goes_out = |id: &ironcache_types::NodeId| before.nodes.get(id).is_some_and(|old| old.out.is_none());
    let out = after.nodes.iter().find(|(id, n)| n.out.is_some() && goes_out(id));
    match (out, before.membership) {
        (Some((node, _)), Some(change)) => {
            broken("I4", format!("node {node} goes out while node {} {}", change.node, change.stage.word()))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

/// A cluster with keys knows exactly its nodes by them, each for good, and has an admin; one without knows nobody, and none
/// becomes the other (I24).
fn check_keys(before: &ControlState, after: &ControlState) -> Result<(), Violation> {
    let keys = match (&before.security, &after.security) {
        (Security::Insecure, Security::Insecure) => return Ok(()),
        (Security::Insecure, Security::Keys(keys)) if before.cluster_id.is_none() => keys,
        (Security::Keys(_), Security::Keys(keys)) => keys,
        (Security::Insecure, Security::Keys(_)) | (Security::Keys(_), Security::Insecure) => {
            return broken("I24", "a cluster changes whether it has keys".to_owned());
        }
    };
    let goes = after.membership.filter(|change| change.stage == MembershipStage::Left).map(|c| c.node);
    let known: std::collections::BTreeSet<_> = after.nodes.keys().copied().chain(goes).collect();
    if !known.iter().eq(keys.nodes.keys()) {
        return broken("I24", "the nodes that have keys are not those of the cluster".to_owned());
    }
    let distinct: std::collections::BTreeSet<_> = keys.nodes.values().chain(keys.operators.keys()).collect();
    if distinct.len() != keys.nodes.len() + keys.operators.len() {
        return broken("I24", "a key has two holders".to_owned());
    }
    if keys.operators.values().all(|operator| operator.role != OperatorRole::Admin) {
        return broken("I24", "no admin is left".to_owned());
    }
    if let Security::Keys(old) = &before.security
        && let Some((node, _)) =
            old.nodes.iter().find(|(node, key)| keys.nodes.get(node).is_some_and(|new| new != *key))
    {
        return broken("I24", format!("node {node} has another key than before"));
    }
    Ok(())
}

/// The level never falls, rises only as a plan ends, and is one that every node admits (I7).
fn check_level(before: &ControlState, after: &ControlState) -> Result<(), Violation> {
    let (old, new) = (before.cluster_level, after.cluster_level);
    if new < old {
        return broken("I7", format!("the cluster level falls from {old} to {new}"));
    }
    if before.cluster_id.is_some() && new > old && (before.plan.is_none() || after.plan.is_some()) {
        return broken("I7", format!("the cluster level rises to {new} without a finalize"));
    }
    for (id, node) in &after.nodes {
        if new > old && !node.levels.admits(new) {
            return broken(
                "I7",
                format!("node {id} admits levels {}, and the cluster is at {new}", node.levels),
            );
        }
        #[cfg(feature = "next")]
        if node.zone.is_some() != (new >= ironcache_types::NEXT) {
            return broken("I20", format!("node {id} stands in zone {:?} at level {new}", node.zone));
        }
        if node.oldest > new {
            return broken(
                "I20",
                format!("node {id} holds nothing below level {}, above {new}", node.oldest),
            );
        }
    }
    Ok(())
}

/// No plan starts, or turns, towards a release that does not read what is there; no policy starts one that was declined.
fn check_started(before: &ControlState, after: &ControlState) -> Result<(), Violation> {
    let Some(plan) = &after.plan else { return Ok(()) };
    if before.plan.as_ref().is_some_and(|old| old.turn == plan.turn) {
        return Ok(());
    }
    let digest = plan.target.digest;
    if after.releases.get(&digest).is_none_or(|info| !info.levels.admits(after.cluster_level)) {
        return broken(
            "I7",
            format!("plan {} goes to a release that does not read the cluster's level", plan.id),
        );
    }
    if plan.started_by == StartedBy::Policy && plan.direction == Direction::Forward {
        if before.declined.contains_key(&digest) || before.quarantined.contains_key(&digest) {
            return broken(
                "I6",
                format!("the policy starts a release that was declined, in plan {}", plan.id),
            );
        }
        if before.plan.is_some() {
            return broken("I8", format!("the policy starts plan {} while another is active", plan.id));
        }
    }
    Ok(())
}

fn check_shard(before: &ControlState, old: &Shard, new: &Shard) -> Result<(), Violation> {
    let id = new.id;
    if new.epoch < old.epoch || new.isr_epoch < old.isr_epoch {
        return broken("I1", format!("an epoch of shard {id} falls"));
    }
    if new.epoch != old.epoch && new.epoch <= before.epoch {
        return broken("I1", format!("shard {id} takes ownership epoch {} again", new.epoch));
    }
    let set_changed = old.in_sync != new.in_sync || old.mode != new.mode || old.keeper != new.keeper;
    if set_changed && new.isr_epoch <= before.epoch {
        return broken("I1", format!("the in-sync set of shard {id} changes without a fresh epoch"));
    }
    if let Ownership::Serving(owner) = new.ownership
        && old.primary() != Some(owner)
    {
        if new.epoch == old.epoch {
            return broken("I2", format!("shard {id} gets a second primary at epoch {}", new.epoch));
        }
        if new.keeper.is_some() || new.handover.is_some() {
            return broken("I3", format!("{owner} begins in shard {id} with what its predecessor had begun"));
        }
        let reclaims = matches!(old.ownership, Ownership::Recovering { last, .. } if last.node == owner.node);
        let has_all = old.in_sync.contains(&owner) || reclaims || takes_the_tail(old, new);
        if !has_all && !recovers(old, new) {
            return broken("I3", format!("{owner} becomes primary of shard {id} without being in sync"));
        }
    }
    if new.losses != old.losses && !recovers(old, new) {
        return broken("I3", format!("shard {id} records a loss that no start of a primary brought"));
    }
    check_lineage(new)
}

/// Did the shard begin anew with what one node held, and say what it gave up?
fn recovers(old: &Shard, new: &Shard) -> bool {
    let (Some(owner), Some(newest)) = (new.primary(), new.losses.newest.last()) else { return false };
    let counted = new.losses.recoveries == old.losses.recoveries.saturating_add(1);
    let kept_by = old.keeper.iter().map(|keeper| &keeper.member);
    let gone = newest.given_up.iter().all(|m| old.in_sync.contains(m) || kept_by.clone().any(|k| k == m));
    let named = old.in_sync.iter().chain(kept_by.clone()).all(|member| newest.given_up.contains(member));
    let said = newest.epoch == new.epoch && newest.to == owner && gone && named;
    counted && said && new.in_sync.iter().eq([&owner])
}

/// Did the keeper on record hand the whole tail over to the new owner, which has what lies before it?
fn takes_the_tail(old: &Shard, new: &Shard) -> bool {
    let (Some(owner), Some(flight), Some(keeper)) = (new.primary(), old.handover, old.keeper) else {
        return false;
    };
    let start = new.lineage.last().and_then(|newest| newest.start);
    let is_of_the_keeper = flight.via == HandoverVia::Keeper
        && flight.from == keeper.member
        && keeper.epoch == old.epoch
        && flight.to == owner;
    is_of_the_keeper && start.is_some_and(|start| start >= keeper.from) && new.in_sync.iter().eq([&owner])
}

fn is_out(state: &ControlState, node: ironcache_types::NodeId) -> bool {
    state.nodes.get(&node).is_some_and(|n| n.out.is_some())
}

/// Who keeps the tail may, and is there; and no shard has a node out while one process alone knows what it acknowledges,
/// unless it says so and its plan stands still (I22).
fn check_keeper(before: &ControlState, after: &ControlState, shard: &Shard) -> Result<(), Violation> {
    let id = shard.id;
    if let Some(keeper) = &shard.keeper {
        let member = keeper.member;
        let Some(node) = after.nodes.get(&member.node) else {
            return broken("I22", format!("{member}, the keeper of shard {id}, is no node"));
        };
        if shard.nodes.contains(&member.node) || node.out.is_some() {
            return broken("I22", format!("{member} keeps shard {id}, and is of it, or is out"));
        }
        if keeper.epoch != shard.epoch {
            return broken("I22", format!("{member} keeps shard {id} for an earlier owner"));
        }
    }
    let is_kept = shard.keeper.is_some() || shard.in_sync.len() >= shard.nodes.len().min(2);
    let has_left = shard.nodes.iter().any(|node| is_out(after, *node));
    if has_left && !is_kept {
        let moves = after.plan.as_ref().is_some_and(|p| matches!(p.phase, Phase::Staging | Phase::Rolling));
        if !shard.exposed || moves {
            return broken(
                "I22",
                format!("one process knows what shard {id} acknowledges, and nobody says so"),
            );
        }
    }
    let old = before.shards.get(&id);
    let own = shard.keeper.is_some_and(|keeper| keeper.base == KeeperBase::Own);
    let is_whole = shard.in_sync.len() >= shard.nodes.len().min(2);
    let is_continued = is_whole || own || (has_left && shard.keeper.is_some());
    if old.is_some_and(|old| old.exposed) && !shard.exposed && !is_continued {
        return broken("I22", format!("shard {id} is exposed no more, and nothing has changed"));
    }
    let goes_out = |node: &&ironcache_types::NodeId| is_out(after, **node) && !is_out(before, **node);
    let (Some(leaver), Some(old)) = (shard.nodes.iter().find(goes_out), old) else { return Ok(()) };
    let base_from = after.nodes.get(leaver).and_then(|node| node.out.as_ref()).and_then(|out| out.base_from);
    let was_member = old.in_sync.iter().any(|member| member.node == *leaver);
    match &shard.keeper {
        Some(keeper) if base_from != Some(keeper.from) => {
            broken("I22", format!("the tail that is kept for node {leaver} is not where it begins"))
        }
        Some(keeper) if !was_member && keeper.base == KeeperBase::Leaver && shard.in_sync.len() < 2 => {
            broken("I22", format!("node {leaver} leaves shard {id} without what lies before the tail"))
        }
        None if shard.in_sync.len() < 2 => {
            broken("I22", format!("node {leaver} leaves shard {id} with one copy, and nobody keeps the tail"))
        }
        Some(_) | None => Ok(()),
    }
}

/// The newest start is the present one; epochs rise, and starts never fall (I15).
fn check_lineage(shard: &Shard) -> Result<(), Violation> {
    let id = shard.id;
    if shard.lineage.last().is_none_or(|newest| newest.epoch != shard.epoch) {
        return broken("I15", format!("the lineage of shard {id} does not end with epoch {}", shard.epoch));
    }
    if shard.lineage.len() > Shard::LINEAGE_MAX {
        return broken("I15", format!("the lineage of shard {id} is too long"));
    }
    if shard.lineage.windows(2).any(|two| two[0].epoch >= two[1].epoch) {
        return broken("I15", format!("the epochs in the lineage of shard {id} do not rise"));
    }
    let starts: Vec<_> = shard.lineage.iter().filter_map(|entry| entry.start).collect();
    if starts.is_sorted() {
        Ok(())
    } else {
        broken("I15", format!("a start of shard {id} falls: {starts:?}"))
    }
}

fn check_in_sync(after: &ControlState, shard: &Shard) -> Result<(), Violation> {
    let id = shard.id;
    if let Some(owner) = shard.primary()
        && !shard.in_sync.contains(&owner)
    {
        return broken("I2", format!("the primary {owner} of shard {id} is not in its in-sync set"));
    }
    for member in &shard.in_sync {
        match after.nodes.get(&member.node) {
            None => return broken("I3", format!("{member} in sync in shard {id} is no node")),
            Some(node) if node.incarnation != member.incarnation => {
                return broken(
                    "I3",
                    format!("{member} in sync in shard {id} is an earlier life of its node"),
                );
            }
            Some(node) if node.out.is_some() => {
                return broken("I18", format!("{member} is out and in sync in shard {id}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_out(before: &ControlState, after: &ControlState) -> Result<(), Violation> {
    for (id, shard) in &after.shards {
        let out = shard.nodes.iter().filter(|n| after.nodes.get(n).is_some_and(|n| n.out.is_some())).count();
        if out > 1 {
            return broken("I4", format!("{out} nodes of shard {id} are out"));
        }
        if let Some(owner) = shard.primary()
            && after.nodes.get(&owner.node).is_some_and(|n| n.out.is_some())
        {
            return broken("I5", format!("the primary of shard {id} is out"));
        }
    }
    let voters = after.nodes.values().filter(|n| n.voter).count();
    let left = after.nodes.values().filter(|n| n.voter && n.out.is_none()).count();
    let taken = after.nodes.iter().any(|(id, n)| {
        n.out.is_some() && n.voter && before.nodes.get(id).is_some_and(|old| old.out.is_none())
    });
    if taken && left < voters / 2 + 1 {
        return broken("I4", format!("{left} of {voters} voters are left"));
    }
    Ok(())
}

fn check_plan(before: &ControlState, after: &ControlState) -> Result<(), Violation> {
    for (id, node) in &after.nodes {
        let Some(out) = &node.out else { continue };
        let old = before.nodes.get(id).and_then(|n| n.out.as_ref());
        match (&after.plan, out.phase) {
            (Some(_), TrialPhase::Told | TrialPhase::Confirming { .. }) | (None, TrialPhase::SetAside) => {}
            (Some(plan), TrialPhase::SetAside) => {
                return broken("I4", format!("plan {} is active while node {id} is set aside", plan.id));
            }
            (None, TrialPhase::Told | TrialPhase::Confirming { .. }) => {
                return broken("I5", format!("node {id} is out without a plan"));
            }
        }
        if old.is_some_and(|old| old.phase == TrialPhase::SetAside && old != out) {
            return broken("I8", format!("step {} of node {id} was set aside, and goes on", out.epoch));
        }
        if out.phase == TrialPhase::SetAside {
            if old.is_none_or(|old| old.epoch != out.epoch) {
                return broken("I8", format!("node {id} is set aside for a step that it was not out for"));
            }
            continue;
        }
        let is_new = before.nodes.get(id).is_none_or(|old| old.out.as_ref() != Some(out));
        if !is_new {
            continue;
        }
        let same_step =
            before.nodes.get(id).and_then(|n| n.out.as_ref()).is_some_and(|o| o.epoch == out.epoch);
        if !same_step && out.epoch <= before.epoch {
            return broken("I8", format!("node {id} is given step {} again", out.epoch));
        }
        if after.quarantined.contains_key(&out.target.digest) && !same_step {
            return broken("I6", format!("node {id} is told to run a quarantined release"));
        }
        let Some(plan) = &after.plan else {
            return broken("I5", format!("node {id} is out without a plan"));
        };
        if same_step {
            continue;
        }
        for (shard, primary) in &plan.start_primaries {
            let waits = |n: &&ironcache_types::NodeId| {
                **n != *id && after.nodes.get(n).is_some_and(|n| n.release.digest != plan.target.digest)
            };
            if primary == id
                && let Some(other) = after.shards.get(shard).and_then(|s| s.nodes.iter().find(waits))
            {
                return broken(
                    "I5",
                    format!("the plan-start primary {id} of shard {shard} goes before {other}"),
                );
            }
        }
    }
    Ok(())
}
