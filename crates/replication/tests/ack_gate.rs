//! The gate, case by case. (`ack_gate_model.rs` tries it as a whole.)

use ironcache_replication::*;
use ironcache_types::{Epoch, Incarnation, Member, NodeId, Offset};
use std::collections::BTreeSet;

const SOURCE: Source = Source { epoch: Epoch(4), incarnation: Incarnation(1) };
const LIMITS: GateLimits = GateLimits { isr_timeout_ms: 1000, hold_ms: 300, settle_ms: 500, near_ms: 100 };
const WEAK: AckMode = AckMode::Primary { max_lag_bytes: 100, max_lag_ops: 3 };

fn member(node: u64) -> Member {
    Member { node: NodeId(node), incarnation: Incarnation(node) }
}

fn set(nodes: &[u64]) -> BTreeSet<Member> {
    nodes.iter().map(|&node| member(node)).collect()
}

/// A gate at offset 1000 with attached members that have applied it all.
fn gate(mode: AckMode, nodes: &[u64]) -> (AckGate, Vec<Link>) {
    let mut gate = AckGate::new(SOURCE, Offset(1000), mode, &set(nodes), LIMITS, 0);
    let links = nodes.iter().map(|&node| attach(&mut gate, node)).collect::<Vec<_>>();
    for &link in &links {
        ack(&mut gate, link, 1000, 0).unwrap();
    }
    (gate, links)
}

fn attach(gate: &mut AckGate, node: u64) -> Link {
    gate.attach(member(node), SyncMode::Partial { from: Offset(1000) }, 0).unwrap()
}

fn ack(gate: &mut AckGate, link: Link, applied: u64, now_ms: u64) -> Result<AckStep, AckError> {
    gate.on_ack(link, Ack { source: SOURCE, applied: Offset(applied) }, now_ms)
}

#[test]
fn in_sync_waits_for_the_slowest_member() {
    let (mut gate, links) = gate(AckMode::InSync, &[1, 2]);
    gate.on_frame(Offset(1100), 0);
    assert_eq!(ack(&mut gate, links[0], 1100, 1), Ok(AckStep::Advanced));
    assert_eq!(gate.may_acknowledge(Offset(1100)), Gate::WaitFor { member: member(2), behind_bytes: 100 });
    assert_eq!(ack(&mut gate, links[1], 1050, 1), Ok(AckStep::Released { acknowledged: Offset(1050) }));
    assert_eq!(gate.may_acknowledge(Offset(1050)), Gate::Open);
    assert_eq!(ack(&mut gate, links[1], 1050, 2), Ok(AckStep::Unchanged));
    assert_eq!((gate.holders(Offset(1100), |_| true), gate.holders(Offset(1050), |_| true)), (1, 2));
    assert_eq!(
        gate.holders(Offset(1050), |holder| holder != member(1)),
        1,
        "one that is no replica does not count"
    );
}

#[test]
fn a_set_of_one_acknowledges_at_once() {
    let (mut gate, _) = gate(AckMode::InSync, &[]);
    gate.on_frame(Offset(1100), 0);
    assert_eq!((gate.acknowledged(), gate.may_acknowledge(Offset(1100))), (Offset(1100), Gate::Open));
}

#[test]
fn in_mode_primary_a_member_beyond_the_lag_is_waited_for() {
    let (mut by_bytes, links) = gate(WEAK, &[1]);
    by_bytes.on_frame(Offset(1100), 0);
    assert_eq!(by_bytes.may_acknowledge(Offset(1100)), Gate::Open);
    by_bytes.on_frame(Offset(1101), 0);
    let wait = Gate::WaitFor { member: member(1), behind_bytes: 101 };
    assert_eq!(by_bytes.may_acknowledge(Offset(1101)), wait);
    ack(&mut by_bytes, links[0], 1001, 1).unwrap();
    assert_eq!(by_bytes.may_acknowledge(Offset(1101)), Gate::Open);

    let (mut by_ops, links) = gate(WEAK, &[1]);
    (1..=4).for_each(|i| by_ops.on_frame(Offset(1000 + i), 0));
    // The fourth reply waits, and not the third: it says nothing of the fourth.
    assert_eq!(by_ops.may_acknowledge(Offset(1003)), Gate::Open);
    assert_eq!(by_ops.may_acknowledge(Offset(1004)), Gate::WaitFor { member: member(1), behind_bytes: 4 });
    ack(&mut by_ops, links[0], 1001, 1).unwrap();
    assert_eq!(by_ops.may_acknowledge(Offset(1004)), Gate::Open);
}

#[test]
fn one_write_above_every_bound_makes_nobody_leave_and_its_reply_waits() {
    let (mut gate, links) = gate(WEAK, &[1, 2]);
    gate.on_frame(Offset(100_000_000), 10);
    for now_ms in (10..1_000).step_by(10) {
        assert!(matches!(gate.may_acknowledge(Offset(100_000_000)), Gate::WaitFor { .. }));
        // One receives it still, the other applies it.
        let progress = |moved| Progress { received_bytes: moved, ticks: 0 };
        gate.on_progress(links[0], progress(now_ms), now_ms).unwrap();
        gate.on_progress(links[1], Progress { received_bytes: 5, ticks: now_ms }, now_ms).unwrap();
        assert_eq!(gate.silent_members(now_ms), [], "at {now_ms}");
    }
    for link in links {
        ack(&mut gate, link, 100_000_000, 1_000).unwrap();
    }
    assert_eq!(gate.may_acknowledge(Offset(100_000_000)), Gate::Open);
    // Nothing but an applied removal opens it without the member.
    gate.on_frame(Offset(200_000_000), 1_000);
    gate.set_committed(&set(&[1, 2]), 1_000);
    assert!(matches!(gate.may_acknowledge(Offset(200_000_000)), Gate::WaitFor { .. }));
    gate.set_committed(&set(&[]), 1_000);
    assert_eq!(gate.may_acknowledge(Offset(200_000_000)), Gate::Open);
}

#[test]
fn a_new_primary_knows_nothing_of_its_members() {
    let (mut gate, links) = gate(WEAK, &[1]);
    let next = Source { epoch: Epoch(5), incarnation: Incarnation(1) };
    gate.reset(next, Offset(1000), &set(&[1]), 10);
    gate.on_frame(Offset(1010), 10);
    assert_eq!(gate.may_acknowledge(Offset(1010)), Gate::WaitFor { member: member(1), behind_bytes: 1010 });
    assert_eq!(
        ack(&mut gate, links[0], 1000, 11),
        Err(AckError::OtherSource { expected: next, got: SOURCE })
    );
    let old_link = gate.on_ack(links[0], Ack { source: next, applied: Offset(1000) }, 11);
    assert_eq!(old_link, Err(AckError::StaleLink { member: member(1) }));
    let link = attach(&mut gate, 1);
    gate.on_ack(link, Ack { source: next, applied: Offset(1000) }, 11).unwrap();
    assert_eq!(gate.may_acknowledge(Offset(1010)), Gate::Open);
}

#[test]
fn an_impossible_acknowledgement_is_refused() {
    let (mut gate, links) = gate(AckMode::InSync, &[1]);
    let other = Source { epoch: Epoch(3), ..SOURCE };
    let of_other = gate.on_ack(links[0], Ack { source: other, applied: Offset(1000) }, 0);
    assert_eq!(of_other, Err(AckError::OtherSource { expected: SOURCE, got: other }));
    assert!(matches!(ack(&mut gate, links[0], 1001, 0), Err(AckError::PastEnd { .. })));
    assert!(matches!(ack(&mut gate, links[0], 999, 0), Err(AckError::Backwards { .. })));
}

#[test]
fn a_member_is_proposed_only_while_it_holds_what_was_acknowledged_and_is_required_from_then_on() {
    let (mut gate, _) = gate(AckMode::InSync, &[]);
    assert_eq!(gate.propose(member(2)), Err(ProposeError::NotAttached { member: member(2) }));
    let link = attach(&mut gate, 2);
    gate.on_frame(Offset(1100), 0);
    assert_eq!(gate.acknowledged(), Offset(1100));
    ack(&mut gate, link, 1090, 0).unwrap();
    assert_eq!(
        gate.propose(member(2)),
        Err(ProposeError::NotCaughtUp { member: member(2), behind_bytes: 10 })
    );
    ack(&mut gate, link, 1100, 0).unwrap();
    let proposal = gate.propose(member(2)).unwrap();
    gate.on_frame(Offset(1200), 1);
    assert_eq!(gate.acknowledged(), Offset(1100));
    assert_eq!(gate.propose(member(2)), Err(ProposeError::AlreadyRequired { member: member(2) }));
    // Other changes of the set are applied: the proposal's own outcome is still unknown.
    gate.set_committed(&set(&[3]), 1);
    gate.set_committed(&set(&[]), 1);
    gate.detach(link);
    assert_eq!(gate.acknowledged(), Offset(1100));
    gate.on_rejected(proposal);
    assert_eq!(gate.acknowledged(), Offset(1200));
}

#[test]
fn a_late_rejection_does_not_undo_a_newer_proposal() {
    let (mut gate, _) = gate(WEAK, &[]);
    let attach_caught_up = |gate: &mut AckGate| {
        let link = attach(gate, 2);
        gate.on_ack(link, Ack { source: gate.source(), applied: Offset(1000) }, 0).unwrap();
    };
    attach_caught_up(&mut gate);
    gate.tighten();
    let (first, first_rise) = (gate.propose(member(2)).unwrap(), gate.propose_in_sync().unwrap());
    gate.on_rejected(first);
    let second = gate.propose(member(2)).unwrap();
    gate.on_rejected(first);
    assert_eq!(gate.eligible(member(2), 0), Eligibility::AlreadyRequired);
    let next = Source { epoch: Epoch(8), ..SOURCE };
    gate.reset(next, Offset(1000), &set(&[]), 0);
    attach_caught_up(&mut gate);
    gate.tighten();
    let (_, rise) = (gate.propose(member(2)).unwrap(), gate.propose_in_sync().unwrap());
    for late in [first, second, first_rise] {
        gate.on_rejected(late);
    }
    assert_eq!(gate.eligible(member(2), 0), Eligibility::AlreadyRequired);
    assert_eq!(gate.effective_mode(), AckMode::InSync);
    assert_eq!(gate.stop_tightening(), Err(RaiseError::AlreadyProposed));
    gate.on_rejected(rise);
    assert_eq!(gate.effective_mode(), WEAK);
}

#[test]
fn awaiting_lets_a_replica_catch_up_under_constant_writing() {
    let (mut gate, _) = gate(WEAK, &[]);
    let link = attach(&mut gate, 2);
    // Each write is acknowledged before the replica could have applied it.
    for i in 1..=5 {
        gate.on_frame(Offset(1000 + 10 * i), i);
        assert_eq!(gate.may_acknowledge(Offset(1000 + 10 * i)), Gate::Open);
        ack(&mut gate, link, 1000 + 10 * (i - 1), i).unwrap();
        assert!(gate.propose(member(2)).is_err());
    }
    gate.await_member(member(2)).unwrap();
    gate.on_frame(Offset(1060), 6);
    assert_eq!(gate.may_acknowledge(Offset(1060)), Gate::WaitFor { member: member(2), behind_bytes: 20 });
    ack(&mut gate, link, 1050, 7).unwrap();
    gate.propose(member(2)).unwrap();
    assert_eq!(gate.may_acknowledge(Offset(1060)), Gate::Open);
}

#[test]
fn an_awaited_replica_that_stalls_is_dropped_at_once_and_one_that_leaves_by_itself() {
    let (mut gate, _) = gate(WEAK, &[]);
    let link = attach(&mut gate, 2);
    ack(&mut gate, link, 1000, 0).unwrap();
    gate.await_member(member(2)).unwrap();
    gate.on_frame(Offset(1010), 10);
    assert_eq!(gate.silent_members(110), []);
    let evidence = Silence::Outstanding { age_ms: 101, behind_bytes: 10, behind_ops: 1 };
    let requirement = Requirement::Awaited;
    assert_eq!(gate.silent_members(111), [Silent { member: member(2), requirement, evidence }]);
    gate.detach(link);
    assert_eq!(gate.may_acknowledge(Offset(1010)), Gate::Open);
}

#[test]
fn a_required_member_is_not_synced_in_full() {
    let (mut gate, _) = gate(AckMode::InSync, &[1]);
    assert_eq!(gate.attach(member(1), SyncMode::Full, 0), Err(AttachError { member: member(1) }));
    let link = attach(&mut gate, 2);
    ack(&mut gate, link, 1000, 0).unwrap();
    gate.propose(member(2)).unwrap();
    assert_eq!(gate.attach(member(2), SyncMode::Full, 0), Err(AttachError { member: member(2) }));
}

#[test]
fn a_full_sync_forgets_what_the_replica_had_applied() {
    let (mut gate, _) = gate(AckMode::InSync, &[]);
    let old = attach(&mut gate, 2);
    ack(&mut gate, old, 1000, 0).unwrap();
    let link = gate.attach(member(2), SyncMode::Full, 0).unwrap();
    assert_eq!(ack(&mut gate, old, 1000, 0), Err(AckError::StaleLink { member: member(2) }));
    assert!(matches!(gate.propose(member(2)), Err(ProposeError::NotCaughtUp { .. })));
    ack(&mut gate, link, 1000, 0).unwrap();
    gate.propose(member(2)).unwrap();
}

/// Whom the gate names at each tick from here on, the first time that it names somebody.
fn first_named(
    gate: &mut AckGate,
    from_ms: u64,
    mut at_tick: impl FnMut(&mut AckGate, u64),
) -> (u64, Vec<Silent>) {
    for now_ms in (from_ms..from_ms + 60_000).step_by(10) {
        at_tick(gate, now_ms);
        let silent = gate.silent_members(now_ms);
        if !silent.is_empty() {
            return (now_ms, silent);
        }
    }
    (0, Vec::new())
}

fn committed(node: u64, evidence: Silence) -> Silent {
    Silent { member: member(node), requirement: Requirement::Committed, evidence }
}

#[test]
fn a_member_that_holds_nobody_back_has_the_whole_timeout_and_one_that_does_has_less() {
    for mode in [AckMode::InSync, WEAK] {
        let (mut idle, _) = gate(mode, &[1]);
        let unheard = |for_ms| vec![committed(1, Silence::Unheard { for_ms })];
        assert_eq!(first_named(&mut idle, 10, |_, _| {}), (1_000, unheard(1_000)));
        let (mut waited_for, _) = gate(mode, &[1]);
        waited_for.on_frame(Offset(1_101), 10);
        assert_eq!(first_named(&mut waited_for, 10, |_, _| {}), (300, unheard(300)));
    }
    let (mut trails, _) = gate(WEAK, &[1]);
    trails.on_frame(Offset(1_050), 10);
    assert_eq!(first_named(&mut trails, 10, |_, _| {}).0, 1_000, "within the lag nobody waits");
}

#[test]
fn a_member_that_is_heard_and_owes_something_has_to_move() {
    let (mut gate, links) = gate(AckMode::InSync, &[1, 2]);
    gate.on_frame(Offset(1100), 200);
    ack(&mut gate, links[0], 1100, 200).unwrap();
    let named = first_named(&mut gate, 210, |gate, now_ms| {
        ack(gate, links[0], 1100, now_ms).unwrap();
        ack(gate, links[1], 1000, now_ms).unwrap();
        // What it says does not grow.
        gate.on_progress(links[1], Progress { received_bytes: 1, ticks: 1 }, now_ms).unwrap();
    });
    let evidence = Silence::Stalled { for_ms: 300, behind_bytes: 100, behind_ops: 1 };
    assert_eq!(named, (510, vec![committed(2, evidence)]), "the first thing it said was progress");
}

#[test]
fn one_that_moves_now_and_then_has_ten_seconds_of_standing_still() {
    let (mut gate, links) = gate(AckMode::InSync, &[1]);
    gate.on_frame(Offset(1100), 0);
    let named = first_named(&mut gate, 10, |gate, now_ms| {
        // Every 250 ms, of which 50 count as standing still.
        let progress = Progress { received_bytes: now_ms / 250, ticks: 0 };
        gate.on_progress(links[0], progress, now_ms).unwrap();
    });
    let (at_ms, silent) = named;
    assert!(matches!(silent[..], [Silent { evidence: Silence::Outstanding { .. }, .. }]), "{silent:?}");
    assert!((40_000..60_000).contains(&at_ms), "{at_ms}");
    let (mut gate, links) = self::gate(AckMode::InSync, &[1]);
    gate.on_frame(Offset(1100), 0);
    let named = first_named(&mut gate, 10, |gate, now_ms| {
        let progress = Progress { received_bytes: now_ms / 50, ticks: 0 };
        gate.on_progress(links[0], progress, now_ms).unwrap();
    });
    assert_eq!(named, (0, vec![]), "one that always moves has all the time that it needs");
}

#[test]
fn a_member_that_never_appears_is_silent_though_nothing_is_written() {
    let mut gate = AckGate::new(SOURCE, Offset(0), WEAK, &set(&[1]), LIMITS, 50);
    assert_eq!(gate.silent_members(1049), []);
    assert_eq!(gate.silent_members(1050).len(), 1);
}

#[test]
fn what_members_hold_is_the_least_that_one_of_them_said() {
    let (mut gate, links) = gate(WEAK, &[1, 2]);
    gate.on_frame(Offset(1100), 0);
    ack(&mut gate, links[0], 1100, 0).unwrap();
    assert_eq!(gate.held_by_members(), Some(Offset(1000)));
    gate.detach(links[1]);
    assert_eq!(gate.held_by_members(), Some(Offset(1000)), "it may come back and go on there");
    gate.set_committed(&set(&[1, 3]), 0);
    assert_eq!(gate.held_by_members(), Some(Offset(0)), "nothing is known of it");
    gate.set_committed(&set(&[]), 0);
    assert_eq!(gate.held_by_members(), None);
}

#[test]
fn entry_takes_settling_and_a_hiccup_begins_it_anew() {
    let (mut gate, _) = gate(AckMode::InSync, &[1]);
    assert_eq!(gate.eligible(member(1), 0), Eligibility::AlreadyRequired);
    assert_eq!(gate.eligible(member(2), 0), Eligibility::NotAttached);
    let link = attach(&mut gate, 2);
    assert!(matches!(gate.eligible(member(2), 0), Eligibility::Behind { .. }));
    ack(&mut gate, link, 1000, 0).unwrap();
    assert_eq!(gate.eligible(member(2), 499), Eligibility::Settling { remaining_ms: 1 });
    assert_eq!(gate.eligible(member(2), 500), Eligibility::Eligible);
    // 101 ms behind, for a moment that only the acknowledgement tells of.
    gate.on_frame(Offset(1100), 600);
    ack(&mut gate, link, 1100, 701).unwrap();
    assert_eq!(gate.eligible(member(2), 800), Eligibility::Settling { remaining_ms: 401 });
    assert_eq!(gate.eligible(member(2), 1201), Eligibility::Eligible);
}

#[test]
fn a_replica_that_resumes_far_behind_is_not_taken_for_one_that_keeps_up() {
    let (mut gate, links) = gate(AckMode::InSync, &[1]);
    for i in 1..=1000 {
        gate.on_frame(Offset(1000 + i), i * 5);
        ack(&mut gate, links[0], 1000 + i, i * 5).unwrap();
    }
    let late = gate.attach(member(2), SyncMode::Partial { from: Offset(1001) }, 5000).unwrap();
    ack(&mut gate, late, 1001, 5000).unwrap();
    assert!(matches!(gate.eligible(member(2), 9000), Eligibility::Behind { behind_bytes: 999, .. }));
    let view = gate.followers().find(|view| view.member == member(2)).unwrap();
    assert_eq!((view.behind_bytes, view.requirement, view.attached), (999, None, true));
    assert!(view.behind_ops >= 999);
}

#[test]
fn a_rise_of_the_mode_stops_weaker_acknowledgements_first() {
    let (mut gate, links) = gate(WEAK, &[1]);
    gate.on_frame(Offset(1050), 0);
    assert_eq!(gate.may_acknowledge(Offset(1050)), Gate::Open);
    gate.tighten();
    gate.on_frame(Offset(1060), 0);
    assert!(matches!(gate.may_acknowledge(Offset(1060)), Gate::WaitFor { .. }));
    let lacks = LacksAcknowledged { member: member(1), behind_bytes: 50 };
    assert_eq!(gate.propose_in_sync(), Err(RaiseError::LacksAcknowledged(lacks)));
    // Looking at the same applied state again loosens nothing.
    gate.set_mode(WEAK);
    assert_eq!(gate.effective_mode(), AckMode::InSync);
    ack(&mut gate, links[0], 1050, 1).unwrap();
    gate.propose_in_sync().unwrap();
    assert_eq!(gate.propose_in_sync(), Err(RaiseError::AlreadyProposed));
    gate.tighten();
    assert_eq!(gate.propose_in_sync(), Err(RaiseError::AlreadyProposed));
    gate.set_mode(AckMode::InSync);
    assert_eq!(gate.propose_in_sync(), Err(RaiseError::NotTightened));
    gate.set_mode(WEAK);
    assert_eq!(gate.effective_mode(), WEAK);
    gate.tighten();
    gate.stop_tightening().unwrap();
    assert_eq!(gate.effective_mode(), WEAK);
}
