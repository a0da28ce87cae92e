//! The primary's care for its in-sync set and its mode, and the keyspace's own clockwork.
//!
//! *Invariant:* only the primary proposes, each time with the `isr_epoch` that it saw; it requires a member
//! from the proposal on, and stops requiring one only after applying its removal.
//! *Invariant:* what writes by itself (expiry) stops while a handover holds commands back.

use super::DataNode;
use super::plane::{Leased, Plane, TICK_MS};
use super::role::{Asked, Role, SetChange};
use crate::clock::{unix_ms, wall_ms};
use ironcache_control::{AckMode, Command, Plan, Reason};
use ironcache_keyspace::{Effects, progress};
use ironcache_raft::Refusal;
use ironcache_replication::{Eligibility, Proposal, RaiseError, Requirement, Scope, Silence};
use ironcache_types::{Member, key_slot};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::Instant;

/// Often enough that a replica enters the set within a few of these; seldom enough to cost nothing.
const TICK: Duration = Duration::from_millis(TICK_MS);
/// A proposal without an outcome is made again after this.
const PROPOSE_AGAIN: Duration = Duration::from_millis(1_000);
/// A rejected one at the earliest after this: the entry that made it wrong has to be applied here first, and every
/// try is an entry of everybody's log.
const REJECTED_AGAIN: Duration = Duration::from_millis(100);
/// Longer than a proposal is pursued: whatever became of one that is older, nobody will tell.
const OUTCOME_MAX: Duration = Duration::from_millis(6_000);
/// Keys that one tick expires at most: a mass expiry is spread instead of stalling clients.
const EXPIRE_MAX: usize = 200;

/// Runs until the process ends.
pub(super) async fn run(node: Rc<DataNode>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        progress::tick();
        let leased = {
            let mut plane = node.plane.borrow_mut();
            plane.coarse_ms = unix_ms();
            plane.look_at_writes();
            plane.look_at_lease()
        };
        if leased == Leased::Changed {
            node.changed.notify_waiters();
        }
        expire(&node);
        tend(&node);
        if node.plane.borrow().parked > 0 {
            // What held commands back may have been a link that stands still.
            node.acked.notify_waiters();
        }
    }
}

pub(super) fn expire(node: &Rc<DataNode>) {
    let mut plane = node.plane.borrow_mut();
    if !plane.is_serving() || plane.is_backed_up() {
        return;
    }
    let now_ms = wall_ms();
    if plane.keyspace.next_deadline_ms().is_none_or(|at| at > now_ms) {
        return;
    }
    let plane = &mut *plane;
    let expired = plane.keyspace.expire_cycle(now_ms, EXPIRE_MAX, &mut plane.effects);
    if plane.effects.is_empty() {
        return;
    }
    plane.stats.expired += expired as u64;
    // One frame a key: each touches its own slot.
    let level = plane.effects.level();
    let effects = std::mem::replace(&mut plane.effects, Effects::at(level));
    for effect in effects.iter() {
        let scope = effect.key().map_or(Scope::All, |key| Scope::Slot(key_slot(key)));
        plane.effects.append(&effect);
        plane.commit(scope);
    }
    node.feed.notify_waiters();
}

pub(super) fn tend(node: &Rc<DataNode>) {
    let mut guard = node.plane.borrow_mut();
    let plane = &mut *guard;
    let now_ms = plane.clock_ms();
    plane.publish_start();
    plane.retain();
    let limits = plane.gate_limits();
    let Role::Primary(primary) = &mut plane.role else { return };
    primary.gate.set_limits(limits);
    if primary.handover.is_some() {
        return;
    }
    let candidates: Vec<Member> = primary
        .gate
        .followers()
        .filter(|f| f.attached && matches!(f.requirement, None | Some(Requirement::Awaited)))
        .map(|f| f.member)
        .collect();
    let silent = primary.gate.silent_members(now_ms);
    for member in candidates {
        consider(node, plane, member, now_ms);
    }
    ask_again(plane);
    for silent in silent {
        let Role::Primary(primary) = &mut plane.role else { return };
        match silent.requirement {
            Requirement::Awaited => primary.gate.stop_awaiting(silent.member),
            Requirement::Committed | Requirement::Proposed => {
                let reason = match silent.evidence {
                    Silence::Unheard { for_ms } => format!("unheard for {for_ms} ms"),
                    Silence::Stalled { for_ms, behind_bytes, behind_ops } => {
                        format!(
                            "{behind_bytes} bytes and {behind_ops} writes behind, unmoved for {for_ms} ms"
                        )
                    }
                    Silence::Outstanding { age_ms, behind_bytes, behind_ops } => {
                        format!("{behind_bytes} bytes and {behind_ops} writes behind for {age_ms} ms")
                    }
                };
                plane.remove_member(silent.member, reason);
            }
        }
    }
    tend_mode(node, plane);
    plane.settle_replies();
}

/// Proposes a replica that has kept up.
fn consider(node: &Rc<DataNode>, plane: &mut Plane, member: Member, now_ms: u64) {
    let state = std::sync::Arc::clone(&plane.view.state);
    let admissible = state.nodes.get(&member.node).is_some_and(|n| n.member() == member && n.out.is_none())
        && !state.is_leaving(member.node);
    let Some(shard) = state.shard_of_node(plane.me.node) else { return };
    let me = plane.me;
    let Role::Primary(primary) = &mut plane.role else { return };
    if primary.proposals.get(&member).is_some_and(|asked| asked.at.elapsed() < REJECTED_AGAIN) {
        return;
    }
    if !admissible || primary.gate.eligible(member, now_ms) != Eligibility::Eligible {
        return;
    }
    let Ok(proposal) = primary.gate.propose(member) else {
        // Under load it is always a round trip behind: let replies wait for it, and try on the next tick.
        if let Err(error) = primary.gate.await_member(member) {
            tracing::debug!(%error, "not awaited");
        }
        return;
    };
    let isr_epoch = shard.isr_epoch;
    primary.proposals.insert(member, Asked { what: SetChange::Add, at: Instant::now(), isr_epoch });
    let command = Command::AddInSync { shard: shard.id, isr_epoch, primary: me, member };
    let (rejected, rejection) = oneshot::channel();
    plane.propose(command, Some(rejected));
    spawn_local(undo_if_rejected(Rc::clone(node), member, proposal, rejection));
}

/// Proposes again what has gone unanswered for so long that its outcome is unknown. Whichever of the two is accepted,
/// the other is stale; so its rejection says nothing, and only the applied state ends the requirement.
pub(super) fn ask_again(plane: &mut Plane) {
    let state = std::sync::Arc::clone(&plane.view.state);
    let Some(shard) = state.shard_of_node(plane.me.node) else { return };
    let me = plane.me;
    let Role::Primary(primary) = &mut plane.role else { return };
    let mut again = Vec::new();
    for (member, asked) in &mut primary.proposals {
        let open = asked.what == SetChange::Add && asked.isr_epoch == shard.isr_epoch;
        if open && asked.at.elapsed() >= OUTCOME_MAX {
            asked.at = Instant::now();
            again.push((*member, asked.isr_epoch));
        }
    }
    for (member, isr_epoch) in again {
        tracing::warn!(shard = %shard.id, %member, "the outcome of a proposal is unknown; proposing it again");
        plane.propose(Command::AddInSync { shard: shard.id, isr_epoch, primary: me, member }, None);
    }
}

async fn undo_if_rejected(
    node: Rc<DataNode>,
    member: Member,
    proposal: Proposal,
    rejection: oneshot::Receiver<Refusal>,
) {
    // Dropped without a word: accepted, or unknown. Either way the member stays required.
    let Ok(rejection) = rejection.await else { return };
    tracing::debug!(%member, %rejection, "not taken into the in-sync set");
    let mut plane = node.plane.borrow_mut();
    if let Role::Primary(primary) = &mut plane.role {
        primary.gate.on_rejected(proposal);
        if let Some(asked) = primary.proposals.get_mut(&member) {
            asked.what = SetChange::Rejected;
        }
        plane.settle_replies();
    }
}

fn tend_mode(node: &Rc<DataNode>, plane: &mut Plane) {
    let state = std::sync::Arc::clone(&plane.view.state);
    let Some(shard) = state.shard_of_node(plane.me.node) else { return };
    // A node that is out, of an active plan or of one that ended: what is acknowledged has to be elsewhere.
    let out = shard.nodes.iter().any(|n| state.nodes.get(n).is_some_and(|n| n.out.is_some()));
    let held = out || state.plan.as_ref().is_some_and(Plan::holds_mode);
    let wanted = if held { AckMode::InSync } else { state.policy.steady_mode };
    let me = plane.me;
    let Role::Primary(primary) = &mut plane.role else { return };
    if primary.mode == wanted {
        primary.mode_proposed = None;
        if wanted == AckMode::Primary && primary.gate.stop_tightening().is_err() {
            tracing::debug!("a rise of the mode is still under way");
        }
        return;
    }
    if wanted == AckMode::InSync {
        primary.gate.tighten();
    }
    if primary.mode_proposed.is_some_and(|at| at.elapsed() < PROPOSE_AGAIN) {
        return;
    }
    let mut proposal = None;
    if wanted == AckMode::InSync {
        match primary.gate.propose_in_sync() {
            Ok(number) => proposal = Some(number),
            // Its outcome is unknown, and asking twice does no harm.
            Err(RaiseError::AlreadyProposed) => {}
            Err(RaiseError::NotTightened | RaiseError::LacksAcknowledged(_)) => return,
        }
    }
    primary.mode_proposed = Some(Instant::now());
    let command = Command::SetMode { shard: shard.id, isr_epoch: shard.isr_epoch, primary: me, mode: wanted };
    let (rejected, rejection) = oneshot::channel();
    plane.propose(command, Some(rejected));
    let node = Rc::clone(node);
    spawn_local(async move {
        let Ok(rejection) = rejection.await else { return };
        tracing::debug!(%rejection, "mode not set yet");
        if let Role::Primary(primary) = &mut node.plane.borrow_mut().role {
            // Earlier than without an answer, and not at once.
            primary.mode_proposed = Instant::now().checked_sub(PROPOSE_AGAIN - REJECTED_AGAIN);
            if let Some(proposal) = proposal {
                primary.gate.on_rejected(proposal);
                // Another proposal of the same may be on its way: nothing weaker is acknowledged in between.
                primary.gate.tighten();
            }
        }
    });
}

impl Plane {
    /// Has the log say where this ownership started, unless it does: a replica of an earlier epoch resumes only up to a
    /// known end. Level-triggered, because a proposal may go without an outcome.
    pub(crate) fn publish_start(&mut self) {
        let state = std::sync::Arc::clone(&self.view.state);
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(shard) = state.shards.get(&primary.shard) else { return };
        let epoch = primary.epoch;
        let lacks = shard.lineage.iter().any(|entry| entry.epoch == epoch && entry.start.is_none());
        if !lacks || primary.start_proposed.is_some_and(|at| at.elapsed() < PROPOSE_AGAIN) {
            return;
        }
        let Some(start) = primary.lineage.start_of(epoch) else { return };
        primary.start_proposed = Some(Instant::now());
        self.propose(Command::PrimaryReady { shard: shard.id, epoch, start }, None);
    }

    /// Has a member removed from the in-sync set; nothing changes before the removal is applied.
    pub(crate) fn remove_member(&mut self, member: Member, reason: String) {
        let state = std::sync::Arc::clone(&self.view.state);
        let Some(shard) = state.shard_of_node(self.me.node) else { return };
        let me = self.me;
        let Role::Primary(primary) = &mut self.role else { return };
        let asked = primary.proposals.get(&member).filter(|asked| asked.what == SetChange::Remove);
        if asked.is_some_and(|asked| asked.at.elapsed() < PROPOSE_AGAIN) || !shard.in_sync.contains(&member) {
            return;
        }
        let isr_epoch = shard.isr_epoch;
        primary.proposals.insert(member, Asked { what: SetChange::Remove, at: Instant::now(), isr_epoch });
        tracing::warn!(shard = %shard.id, %member, reason, "a member is to leave the in-sync set");
        let reason = Reason::new("silent", reason);
        let command = Command::RemoveInSync { shard: shard.id, isr_epoch, primary: me, member, reason };
        self.propose(command, None);
    }
}
