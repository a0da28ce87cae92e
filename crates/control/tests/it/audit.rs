//! The audit chain: what leaves a record, what it says, and that the chain outlives its oldest records.

use crate::generate::{Draw, draw};
use crate::setup::{Cluster, S1, admin, info, key, new};
use ironcache_control::{
    Applied, Audit, AutoRollout, Command, Credential, OperatorRole, Origin, Reason, StageHold,
};
use ironcache_types::{AuditBroken, AuditLink, AuditRecord, NodeId, Release, Version, verify_kept};
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::sync::Arc;

fn records(cluster: &Cluster) -> Vec<AuditRecord> {
    cluster.state.audit.records.iter().cloned().collect()
}

/// One line a record: who, from where, what.
fn lines(cluster: &Cluster, from: usize) -> String {
    let line = |record: &AuditRecord| {
        let AuditRecord { seq, at_ms, epoch, log_index, who, from, act, details, previous: _ } = record;
        let words = |words: &std::collections::BTreeMap<String, String>| {
            words.iter().map(|(key, value)| format!("{key}={}", short(value))).collect::<Vec<_>>().join(" ")
        };
        let from = from.as_deref().unwrap_or("-");
        format!("{seq} at {at_ms} e{epoch} i{log_index} [{}] {from}: {act} {}", words(who), words(details))
    };
    cluster.state.audit.records.iter().skip(from).map(line).collect::<Vec<_>>().join("\n")
}

fn short(value: &str) -> &str {
    if value.len() == 64 { &value[..6] } else { value }
}

/// Applies `command` as somebody's.
fn asked(cluster: &mut Cluster, by: Credential, from: Option<&str>, command: &Command) -> Applied {
    cluster.log_index += 1;
    let at_ms = 1_000 * cluster.log_index;
    let origin = Origin { by, from: from.map(str::to_owned), at_ms };
    match cluster.state.apply_of(cluster.log_index, command, Some(&origin)) {
        Ok(applied) => applied,
        Err(rejection) => panic!("{command:?}: {rejection}"),
    }
}

#[test]
fn a_record_says_who_did_what_from_where_and_when() {
    let mut cluster = Cluster::rolling();
    let before = records(&cluster).len();
    let (ada, away) = (Credential::Operator(key(100)), Some("10.0.0.7:40123"));
    let pause = cluster.pause();
    asked(&mut cluster, Credential::Insecure, away, &pause);
    let resume = cluster.resume();
    asked(&mut cluster, Credential::Node(NodeId(2)), None, &resume);
    let back = cluster.roll_back();
    asked(&mut cluster, Credential::Policy, None, &back);
    let change = cluster.set_policy(|policy| {
        policy.auto_rollout = AutoRollout::Patch;
        policy.max_parallel = 3;
    });
    asked(&mut cluster, ada, away, &change);
    expect_test::expect![[r#"
        5 at 29000 e10 i29 [credential=insecure] 10.0.0.7:40123: plan-paused plan=1
        6 at 30000 e11 i30 [credential=node node=0000000000000002] -: plan-resumed plan=1
        7 at 31000 e12 i31 [credential=policy] -: plan-rolled-back code=operator plan=1 reason=latency doubled
        8 at 32000 e13 i32 [credential=operator key=646464] 10.0.0.7:40123: policy-changed auto-rollout=off -> patch max-parallel=8 -> 3"#]].assert_eq(&lines(&cluster, before));
}

#[test]
fn an_operator_is_named_as_the_cluster_knew_them_when_they_asked() {
    let mut cluster = Cluster::with_keys();
    let before = records(&cluster).len();
    let (ada, away) = (Credential::Operator(key(100)), Some("[::1]:40123"));
    let role = OperatorRole::Admin;
    let bob = Command::AddOperator { by: admin(), key: key(101), name: "bob".to_owned(), role };
    asked(&mut cluster, ada, away, &bob);
    asked(&mut cluster, ada, away, &Command::RevokeOperator { by: admin(), key: key(100) });
    asked(&mut cluster, Credential::Operator(key(101)), away, &Command::RegisterRelease { info: held() });
    expect_test::expect![[r#"
        4 at 4000 e3 i4 [credential=operator key=646464 name=ada] [::1]:40123: operator-added key=656565 name=bob role=admin
        5 at 5000 e4 i5 [credential=operator key=646464 name=ada] [::1]:40123: operator-revoked key=646464 name=ada
        6 at 6000 e4 i6 [credential=operator key=656565 name=bob] [::1]:40123: release-staged digest=050505 hold=held version=1.5.0"#]].assert_eq(&lines(&cluster, before));
    let name_in = |at: usize| records(&cluster)[before + at].who.get("name").cloned();
    assert_eq!(name_in(1).as_deref(), Some("ada"), "who revokes themself is still named");
    let (records_before, mut after) = (records(&cluster), cluster.state.clone());
    let origin = Origin { by: ada, from: None, at_ms: 1 };
    let refused = after.apply_of(99, &Command::AllowRelease { digest: held().release.digest }, Some(&origin));
    assert_eq!(refused.unwrap_err().code(), "not_allowed", "who is revoked orders nothing any more");
    assert_eq!(after.audit.records.iter().cloned().collect::<Vec<_>>(), records_before);
}

fn held() -> ironcache_control::ReleaseInfo {
    let release = Release { version: Version::new(1, 5, 0), digest: ironcache_types::Digest([5; 32]) };
    let mut info = info(release);
    info.hold = StageHold::Held;
    info
}

/// Every kind of record, by the commands that leave it.
#[test]
fn what_people_order_leaves_a_record_each() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.pause());
    cluster.ok(&cluster.abort());
    cluster.ok(&Command::AllowRelease { digest: new().digest });
    let mut acts: Vec<_> = records(&cluster).into_iter().map(|record| record.act).collect();

    let mut cluster = Cluster::soaking();
    cluster.ok(&cluster.finalize());
    cluster.ok(&cluster.add_node(7, Some(S1)));
    cluster.ok(&Command::MembershipDone { change: cluster.state.membership.unwrap().epoch });
    cluster.ok(&Command::RemoveNode { node: NodeId(7) });
    acts.extend(records(&cluster).into_iter().map(|record| record.act));
    expect_test::expect![[r#"
        cluster-created
        release-staged
        release-staged
        plan-started
        plan-paused
        plan-aborted
        release-allowed
        cluster-created
        release-staged
        release-staged
        plan-started
        plan-finalized
        node-added
        node-removed"#]]
    .assert_eq(&acts.join("\n"));
}

#[test]
fn what_changes_nothing_leaves_no_record() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.pause());
    let before = cluster.state.audit.clone();
    assert_eq!(cluster.ok(&cluster.pause()), Applied::Unchanged);
    cluster.refused(&Command::AllowRelease { digest: new().digest }, "not_declined");
    assert_eq!(cluster.state.audit, before);
}

#[test]
fn a_long_text_is_cut_so_that_no_order_fills_a_snapshot() {
    let mut cluster = Cluster::rolling();
    let (plan, plan_epoch) = cluster.state.plan.as_ref().map(|plan| (plan.id, plan.epoch)).unwrap();
    let reason = Reason::new("operator", "ä".repeat(1 << 20));
    let from = "x".repeat(1 << 20);
    let back = Command::Rollback { plan, plan_epoch, reason };
    asked(&mut cluster, Credential::Insecure, Some(&from), &back);
    let record = records(&cluster).pop().unwrap();
    assert_eq!(record.details["reason"], "ä".repeat(Audit::TEXT_BYTES_MAX / 2));
    assert_eq!(record.from.unwrap().len(), Audit::TEXT_BYTES_MAX);
}

/// Changes the policy to and fro.
fn order(cluster: &mut Cluster) {
    let next = cluster.state.policy.settle_ms + 1;
    cluster.ok(&cluster.set_policy(|policy| policy.settle_ms = next));
}

#[test]
fn the_oldest_go_and_their_hash_stays_so_that_what_was_kept_still_proves_the_rest() {
    let mut cluster = Cluster::in_sync();
    let mut heads = vec![cluster.state.audit.head];
    for _ in 0..Audit::RECORDS_MAX + 5 {
        order(&mut cluster);
        heads.push(cluster.state.audit.head);
    }
    let audit = &cluster.state.audit;
    assert_eq!(audit.records.len(), Audit::RECORDS_MAX);
    assert_eq!(audit.verify(), Ok(()));
    assert_eq!(audit.anchor.seq, audit.head.seq - Audit::RECORDS_MAX as u64);
    for kept in heads {
        let proved = verify_kept(audit.anchor, audit.records.iter(), kept);
        match kept.seq < audit.anchor.seq {
            true => assert!(matches!(proved, Err(AuditBroken::Dropped { .. })), "{kept}"),
            false => assert_eq!(proved, Ok(()), "{kept}"),
        }
    }
}

#[test]
fn a_changed_lost_or_moved_record_breaks_the_chain_and_so_does_another_head() {
    let mut cluster = Cluster::in_sync();
    for _ in 0..4 {
        order(&mut cluster);
    }
    let good = &cluster.state.audit;
    assert_eq!(good.verify(), Ok(()));
    let spoiled = |spoil: &dyn Fn(&mut Audit)| {
        let mut audit = good.clone();
        spoil(&mut audit);
        audit.verify()
    };
    for at in 0..good.records.len() {
        let bit = |audit: &mut Audit| Arc::make_mut(&mut audit.records)[at].at_ms ^= 1;
        assert!(spoiled(&bit).is_err(), "a bit of record {at}");
        let gone = |audit: &mut Audit| drop(Arc::make_mut(&mut audit.records).remove(at));
        assert!(spoiled(&gone).is_err(), "without record {at}");
    }
    for at in 1..good.records.len() {
        let swapped = |audit: &mut Audit| Arc::make_mut(&mut audit.records).swap(at - 1, at);
        assert!(spoiled(&swapped).is_err(), "records {at} and before it");
    }
    let head = |audit: &mut Audit| audit.head = AuditLink::NONE;
    assert!(spoiled(&head).is_err());
}

proptest! {
    #![proptest_config(Config { cases: 60, failure_persistence: None, ..Config::default() })]

    /// Whatever comes: the chain holds, and an accepted change is either in it once or of a kind that is not audited.
    #[test]
    fn every_audited_change_is_one_record_and_nothing_else_is(draws in prop::collection::vec(draw(), 1..150)) {
        let mut cluster = Cluster::new();
        let mut log: Vec<Command> = Vec::new();
        for draw in draws {
            let draw: Draw = draw;
            let command = draw.command(&cluster.state, &log);
            let before = cluster.state.audit.head.seq;
            let outcome = cluster.apply(&command);
            let grown = cluster.state.audit.head.seq - before;
            let expected = match outcome {
                Ok(Applied::Changed { .. } | Applied::PlanStarted { .. }) => u64::from(is_audited(&command)),
                Ok(Applied::Unchanged) | Err(_) => 0,
            };
            prop_assert_eq!(grown, expected, "{:?}", command);
            log.push(command);
        }
        prop_assert_eq!(cluster.state.audit.verify(), Ok(()));
    }
}

/// By another list than the one that is tested.
fn is_audited(command: &Command) -> bool {
    matches!(
        command,
        Command::InitCluster(_)
            | Command::RegisterRelease { .. }
            | Command::AllowRelease { .. }
            | Command::StartPlan { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::Abort { .. }
            | Command::Rollback { .. }
            | Command::Finalize { .. }
            | Command::Recover(_)
            | Command::AddNode { .. }
            | Command::RemoveNode { .. }
            | Command::SetPolicy { .. }
            | Command::AddOperator { .. }
            | Command::RevokeOperator { .. }
            | Command::ChangeUsers { .. }
            | Command::ChangeLibraries { .. }
    )
}
