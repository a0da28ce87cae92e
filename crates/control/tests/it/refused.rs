//! Every reason to refuse, met once: by its code, with nothing changed.

use crate::setup::{Cluster, S0, S1, info, layout, new, old};
use ironcache_control::{
    AckMode, Command, ControlState, NoRollback, NodeRole, PlanOptions, Reason, Rejection, StartedBy,
};
use ironcache_types::{
    ClusterId, Digest, Epoch, Incarnation, Level, LevelRange, Member, NodeId, PlanId, Release, ShardId,
    Version, WireRange,
};

const GHOST: Member = Member { node: NodeId(99), incarnation: Incarnation(1) };

#[test]
fn everything_before_the_cluster_exists() {
    let mut state = ControlState::default();
    let refused = state.apply(1, &Command::Resume { plan: PlanId(1) }).unwrap_err();
    assert_eq!(refused.code(), "no_cluster");
    assert_eq!(state, ControlState::default());
}

#[test]
fn a_second_cluster_but_not_the_same_one_again() {
    let mut cluster = Cluster::new();
    cluster.ok(&Command::InitCluster(layout()));
    let other = ironcache_control::InitCluster { cluster_id: ClusterId(8), ..layout() };
    cluster.refused(&Command::InitCluster(other), "cluster_exists");
}

#[test]
fn layouts_that_are_no_cluster() {
    type Spoil = fn(&mut ironcache_control::InitCluster);
    let spoils: [Spoil; 14] = [
        |init| init.nodes.clear(),
        |init| init.nodes[1] = init.nodes[0].clone(),
        |init| init.nodes.iter_mut().for_each(|n| n.voter = false),
        |init| init.shards[0].nodes.clear(),
        |init| init.shards[0].slots = init.shards[1].slots.clone(),
        |init| init.shards[0].slots.0[0].end = 20_000,
        |init| init.nodes[5].role = NodeRole::Data,
        |init| init.shards[1].nodes.push(NodeId(99)),
        |init| init.shards[0].id = S1,
        |init| init.shards[0].nodes.push(NodeId(1)),
        |init| init.shards[1].nodes.push(NodeId(1)),
        |init| init.nodes[0].levels = LevelRange::new(2, 1),
        |init| init.nodes[0].launcher_protocol = WireRange { min: 3, max: 2 },
        |init| init.nodes[0].shard = Some(ShardId(9)),
    ];
    for (i, spoil) in spoils.iter().enumerate() {
        let mut init = layout();
        spoil(&mut init);
        let refused = ControlState::default().apply(1, &Command::InitCluster(init)).unwrap_err();
        assert_eq!(refused.code(), "bad_layout", "layout {i}");
    }
}

#[test]
fn nodes_and_shards_that_do_not_exist() {
    let mut cluster = Cluster::rolling();
    let mut registers = cluster.restart(1, old());
    if let Command::RegisterNode { member, .. } = &mut registers {
        *member = GHOST;
    }
    cluster.refused(&registers, "unknown_node");
    cluster.refused(&Command::ReportStaged { node: GHOST.node, digest: new().digest }, "unknown_node");
    let shard = ShardId(9);
    cluster.refused(&Command::AbortHandover { shard, handover: Epoch(1) }, "unknown_shard");
}

#[test]
fn an_earlier_life_of_a_node() {
    let mut cluster = Cluster::rolling();
    let (registers, joins, goes) =
        (cluster.restart(5, old()), cluster.add_in_sync(S0, 5), cluster.take_out(5));
    cluster.ok(&registers);
    cluster.ok(&cluster.restart(5, old()));
    cluster.refused(&registers, "stale_incarnation");
    cluster.refused(&goes, "stale_incarnation");
    let Command::AddInSync { shard, primary, member, .. } = joins else { unreachable!("an AddInSync") };
    let isr_epoch = cluster.state.shards[&S0].isr_epoch;
    cluster.refused(&Command::AddInSync { shard, isr_epoch, primary, member }, "stale_incarnation");
}

#[test]
fn stale_epochs() {
    let mut cluster = Cluster::new();
    let late = [cluster.add_in_sync(S0, 5), cluster.set_mode(S0, AckMode::InSync)];
    cluster.ok(&cluster.add_in_sync(S0, 3));
    for command in &late {
        cluster.refused(command, "stale_epoch");
    }
    let late = cluster.remove_in_sync(S0, 3);
    cluster.ok(&cluster.add_in_sync(S0, 5));
    cluster.refused(&late, "stale_epoch");
    let late = cluster.hand_over(S0, 3);
    cluster.ok(&cluster.hand_over(S0, 5));
    cluster.ok(&cluster.promote(S0));
    cluster.refused(&late, "stale_epoch");
    let unknown = Command::PrimaryReady { shard: S0, epoch: Epoch(999), start: ironcache_types::Offset(1) };
    cluster.refused(&unknown, "stale_epoch");
}

#[test]
fn stale_failovers_and_plans() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.restart(1, old()));
    let (late, late_too) = (cluster.fail_over(S0, 3), cluster.reclaim(S0, 1));
    cluster.ok(&cluster.fail_over(S0, 5));
    cluster.refused(&late, "stale_epoch");
    cluster.refused(&late_too, "stale_epoch");
    let mut cluster = Cluster::staged();
    let late = [cluster.begin_rolling(), cluster.hold(), cluster.finalize(), cluster.take_out(3)];
    cluster.ok(&cluster.pause());
    for command in &late {
        cluster.refused(command, "stale_epoch");
    }
}

#[test]
fn set_changes_by_somebody_else_than_the_primary() {
    let mut cluster = Cluster::new();
    let Command::AddInSync { shard, isr_epoch, member, .. } = cluster.add_in_sync(S0, 3) else {
        unreachable!("an AddInSync")
    };
    cluster.refused(&Command::AddInSync { shard, isr_epoch, primary: member, member }, "not_primary");
    let mut cluster = Cluster::in_sync();
    let Command::BeginHandover { shard, shard_epoch, to, plan, .. } = cluster.hand_over(S0, 3) else {
        unreachable!("a BeginHandover")
    };
    let from = cluster.member(5);
    cluster.refused(&Command::BeginHandover { shard, shard_epoch, from, to, plan }, "not_primary");
}

#[test]
fn the_primary_in_the_part_of_a_replica() {
    let mut cluster = Cluster::rolling();
    cluster.refused(&cluster.remove_in_sync(S0, 1), "is_primary");
    cluster.refused(&cluster.take_out(1), "is_primary");
    let mut cluster = Cluster::in_sync();
    cluster.refused(&cluster.hand_over(S0, 1), "is_primary");
}

#[test]
fn promotions_of_members_that_are_not_in_sync() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.remove_in_sync(S0, 5));
    cluster.refused(&cluster.hand_over(S0, 5), "not_in_sync");
    cluster.ok(&cluster.hand_over(S0, 3));
    let Command::Promote { shard, handover, offset, in_sync, .. } = cluster.promote(S0) else {
        unreachable!("a Promote")
    };
    let to = cluster.member(5);
    cluster.refused(&Command::Promote { shard, handover, to, offset, in_sync }, "not_in_sync");
    cluster.ok(&cluster.restart(1, old()));
    cluster.refused(&cluster.fail_over(S0, 5), "not_in_sync");
    cluster.refused(&cluster.fail_over(S0, 1), "not_in_sync");
}

#[test]
fn a_promotion_of_another_member_than_the_candidate() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.hand_over(S0, 3));
    let Command::Promote { shard, handover, offset, in_sync, .. } = cluster.promote(S0) else {
        unreachable!("a Promote")
    };
    let to = cluster.member(5);
    assert!(cluster.state.shards[&S0].in_sync.contains(&to), "it is in sync, and met no fence");
    cluster.refused(&Command::Promote { shard, handover, to, offset, in_sync }, "not_in_sync");
}

#[test]
fn a_reclaim_by_another_node_than_the_last_owner() {
    let mut cluster = Cluster::new();
    cluster.ok(&cluster.restart(1, old()));
    cluster.refused(&cluster.reclaim(S0, 3), "not_in_sync");
}

#[test]
fn acts_that_need_a_primary_or_need_none() {
    let mut cluster = Cluster::in_sync();
    // Its owner is deposed only by an entry of the leader that waited for the end of its lease.
    let Command::Failover { shard, shard_epoch, isr_epoch, to, term: _ } = cluster.fail_over(S0, 3) else {
        unreachable!()
    };
    let depose = |isr_epoch, to, term| Command::Failover { shard, shard_epoch, isr_epoch, to, term };
    cluster.refused(&depose(isr_epoch, to, 1), "other_term");
    cluster.refused(&depose(isr_epoch.next(), to, 0), "stale_epoch");
    cluster.refused(&depose(isr_epoch, cluster.primary(S0), 0), "is_primary");
    cluster.refused(&cluster.reclaim(S0, 1), "still_serving");
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.restart(1, old()));
    cluster.refused(&cluster.take_out(3), "recovering");
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.restart(1, old()));
    cluster.refused(&cluster.start_plan(), "recovering");
}

#[test]
fn a_node_that_is_out_joins_no_set() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.take_out(3));
    cluster.refused(&cluster.add_in_sync(S0, 3), "node_out");
    cluster.refused(&cluster.abort(), "step_in_flight");
    cluster.refused(&cluster.take_out(5), "shard_has_node_out");
}

/// The proposal may be one that was made while everybody was in sync.
#[test]
fn a_step_that_would_leave_the_primary_alone_with_two_replicas() {
    let mut cluster = Cluster::rolling();
    let late = cluster.take_out(5);
    cluster.ok(&cluster.take_out(3));
    cluster.ok(&cluster.restart(3, new()));
    cluster.ok(&cluster.confirm(3));
    cluster.ok(&cluster.confirmed(3));
    cluster.refused(&late, "not_in_sync");
    cluster.ok(&cluster.add_in_sync(S0, 3));
    cluster.ok(&late);
}

#[test]
fn everything_about_a_node_that_was_set_aside_but_its_own_word() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.take_out(3));
    cluster.refused(&cluster.rejoin(3), "step_in_flight");
    cluster.ok(&cluster.restart(3, new()));
    cluster.ok(&cluster.confirm(3));
    cluster.refused(&cluster.rejoin(3), "step_in_flight");
    let late = [cluster.confirm(3), cluster.confirmed(3), cluster.failed(3, true), cluster.take_out(3)];
    cluster.ok(&cluster.hold());
    cluster.ok(&cluster.abort());
    for command in &late {
        cluster.refused(command, "no_plan");
    }
    cluster.refused(&cluster.add_in_sync(S0, 3), "node_out");
    cluster.refused(&cluster.start_plan(), "node_out");
    // Another life of it, on whatever binary, is still not its own word.
    let earlier = cluster.rejoin(3);
    cluster.ok(&cluster.restart(3, old()));
    cluster.refused(&earlier, "stale_incarnation");
    cluster.refused(&cluster.add_in_sync(S0, 3), "node_out");
    let member = cluster.member(3);
    cluster.refused(&Command::Rejoin { step: Epoch(1), member }, "no_such_step");
    let word = cluster.rejoin(3);
    cluster.ok(&word);
    cluster.refused(&word, "no_such_step");
    cluster.ok(&cluster.add_in_sync(S0, 3));
    cluster.ok(&cluster.start_plan());
    for command in &late {
        cluster.refused(command, "other_plan");
    }
}

#[test]
fn anything_beside_a_handover_of_the_same_shard() {
    let mut cluster = Cluster::upgraded(&[3, 5]);
    cluster.ok(&cluster.hand_over(S0, 3));
    cluster.refused(&cluster.hand_over(S0, 5), "handover_in_flight");
    cluster.refused(&cluster.remove_in_sync(S0, 5), "handover_in_flight");
    cluster.go(4);
    let stale = Command::AbortHandover { shard: S0, handover: Epoch(1) };
    cluster.refused(&stale, "no_such_handover");
    let promote = cluster.promote(S0);
    let handover = cluster.state.shards[&S0].handover.unwrap().epoch;
    let abort = Command::AbortHandover { shard: S0, handover };
    cluster.ok(&abort);
    cluster.refused(&promote, "no_such_handover");
    // Nor does the next attempt know what was said of this one.
    cluster.ok(&cluster.hand_over(S0, 3));
    cluster.refused(&promote, "no_such_handover");
    cluster.refused(&abort, "no_such_handover");
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.restart(2, old()));
    cluster.ok(&cluster.fail_over(S1, 4));
    cluster.ok(&cluster.add_in_sync(S1, 2));
    cluster.ok(&cluster.hand_over(S1, 2));
    cluster.refused(&cluster.take_out(2), "handover_in_flight");
}

#[test]
fn a_member_of_another_shard() {
    let mut cluster = Cluster::new();
    cluster.refused(&cluster.add_in_sync(S0, 4), "not_a_replica");
    cluster.refused(&cluster.add_in_sync(S0, 6), "not_a_replica");
}

#[test]
fn steps_while_a_write_needs_only_its_primary() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.start_plan());
    cluster.refused(&cluster.begin_rolling(), "not_staged");
    for node in 1..=6 {
        cluster.ok(&Command::ReportStaged { node: NodeId(node), digest: new().digest });
        cluster.refused(&cluster.begin_rolling(), if node < 6 { "not_staged" } else { "not_preflighted" });
    }
    for node in 1..=6 {
        cluster.ok(&cluster.preflight(node));
    }
    cluster.refused(&cluster.begin_rolling(), "mode_too_weak");
    let mut cluster = Cluster::rolling();
    cluster.refused(&cluster.set_mode(S0, AckMode::Primary), "during_plan");
    cluster.state.shards.get_mut(&S0).unwrap().mode = AckMode::Primary;
    cluster.refused(&cluster.take_out(3), "mode_too_weak");
}

#[test]
fn a_voter_below_the_majority() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.take_out(3));
    cluster.go(4);
    cluster.refused(&cluster.take_out(6), "no_quorum_to_spare");
}

#[test]
fn plans_of_clusters_that_cannot_be_upgraded() {
    let without = |keep: &[u64]| {
        let mut cluster = Cluster::in_sync();
        cluster.state.nodes.retain(|id, _| keep.contains(&id.0));
        for shard in cluster.state.shards.values_mut() {
            shard.nodes.retain(|id| keep.contains(&id.0));
            shard.in_sync.retain(|m| keep.contains(&m.node.0));
        }
        cluster.state.shards.retain(|_, shard| !shard.nodes.is_empty());
        cluster
    };
    let mut single = without(&[1]);
    single.refused(&single.start_plan(), "single_node");
    let mut pair = without(&[1, 3]);
    pair.refused(&pair.start_plan(), "no_quorum_to_spare");
    let mut bare = without(&[1, 2, 3, 6]);
    bare.refused(&bare.start_plan(), "no_replica");
}

#[test]
fn targets_that_cannot_be() {
    let mut cluster = Cluster::new();
    let to = |target: Release| Command::StartPlan {
        target,
        options: PlanOptions::default(),
        leader: NodeId(1),
        started_by: StartedBy::Operator,
        at_ms: 0,
    };
    let release =
        |minor, digest| Release { version: Version::new(2, minor, 0), digest: Digest([digest; 32]) };
    cluster.refused(&to(release(9, 9)), "unknown_release");
    cluster.refused(&to(old()), "same_version");
    let mut far = info(release(0, 20));
    far.min_from = Some(Version::new(1, 9, 0));
    cluster.ok(&Command::RegisterRelease { info: far });
    cluster.refused(&to(release(0, 20)), "too_old");
    let mut strange = info(release(1, 21));
    strange.levels = LevelRange::new(7, 8);
    cluster.ok(&Command::RegisterRelease { info: strange });
    cluster.refused(&to(release(1, 21)), "cannot_read");
    let mut later = info(release(3, 23));
    later.launcher_protocol = WireRange { min: 7, max: 8 };
    cluster.ok(&Command::RegisterRelease { info: later });
    cluster.refused(&to(release(3, 23)), "launcher_too_old");
    cluster.refused(&Command::RegisterRelease { info: info(release(1, 22)) }, "version_taken");
}

#[test]
fn a_second_plan_and_commands_of_none_or_another() {
    let mut cluster = Cluster::new();
    cluster.refused(&Command::Pause { plan: PlanId(1) }, "no_plan");
    cluster.ok(&cluster.start_plan());
    cluster.refused(&cluster.start_plan(), "plan_active");
    cluster.refused(&Command::Pause { plan: PlanId(8) }, "other_plan");
}

#[test]
fn acts_out_of_phase() {
    let mut cluster = Cluster::staged();
    cluster.refused(&cluster.take_out(3), "wrong_phase");
    cluster.refused(&cluster.finalize(), "wrong_phase");
    cluster.refused(&cluster.hand_over(S0, 3), "wrong_phase");
    cluster.ok(&cluster.begin_rolling());
    cluster.refused(&cluster.begin_rolling(), "wrong_phase");
    cluster.ok(&cluster.hold());
    cluster.refused(&cluster.pause(), "wrong_phase");
}

#[test]
fn steps_of_nodes_that_do_not_need_or_hold_the_target() {
    let mut cluster = Cluster::upgraded(&[3]);
    cluster.refused(&cluster.take_out(3), "already_on_target");
    cluster.state.nodes.get_mut(&NodeId(5)).unwrap().staged.clear();
    cluster.refused(&cluster.take_out(5), "not_staged");
}

#[test]
fn the_plan_start_primary_before_its_replicas() {
    let mut cluster = Cluster::upgraded(&[3]);
    cluster.ok(&cluster.hand_over(S0, 3));
    cluster.ok(&cluster.promote(S0));
    cluster.refused(&cluster.take_out(1), "primary_goes_last");
}

#[test]
fn a_plans_handover_to_a_node_that_is_not_on_the_target() {
    let mut cluster = Cluster::upgraded(&[3]);
    cluster.refused(&cluster.hand_over(S0, 5), "not_on_target");
    // Nor may a plan-start primary take its role back once somebody of its shard has been upgraded.
    cluster.ok(&cluster.hand_over(S0, 3));
    cluster.ok(&cluster.promote(S0));
    cluster.refused(&cluster.hand_over(S0, 1), "not_on_target");
    cluster.refused(&cluster.soak(), "not_on_target");
}

#[test]
fn a_handover_of_an_ended_plan() {
    let mut cluster = Cluster::in_sync();
    cluster.ok(&cluster.start_plan());
    let of_the_plan = cluster.hand_over(S0, 3);
    cluster.ok(&cluster.abort());
    cluster.refused(&of_the_plan, "other_plan");
}

#[test]
fn verdicts_on_steps_that_are_not() {
    let mut cluster = Cluster::rolling();
    cluster.ok(&cluster.take_out(3));
    cluster.refused(&cluster.confirm(3), "not_on_target");
    cluster.ok(&cluster.restart(3, new()));
    cluster.refused(&cluster.confirmed(3), "trial_not_accepted");
    cluster.refused(&cluster.failed(3, true), "still_on_target");
    let Command::Confirm { plan, member, digest, .. } = cluster.confirm(3) else { unreachable!("a Confirm") };
    let step = Epoch(1);
    cluster.refused(&Command::Confirm { plan, step, member, digest }, "no_such_step");
    let failed = {
        cluster.ok(&cluster.restart(3, old()));
        cluster.failed(3, false)
    };
    cluster.ok(&failed);
    let Command::StepFailed { plan, step, member, reason, at_ms, .. } = failed else {
        unreachable!("a StepFailed")
    };
    // The other verdict on the same step comes too late.
    let other = Command::StepFailed { plan, step, member, reason, quarantine: true, at_ms };
    cluster.refused(&other, "no_such_step");
}

#[test]
fn everything_with_a_quarantined_release() {
    let mut cluster = Cluster::rolling();
    for node in [3, 4] {
        cluster.go(node);
    }
    cluster.ok(&cluster.restart(3, old()));
    cluster.ok(&cluster.restart(4, new()));
    cluster.ok(&cluster.failed(3, true));
    cluster.refused(&cluster.confirm(4), "quarantined");
    cluster.refused(&cluster.resume(), "quarantined");
    cluster.refused(&Command::RegisterRelease { info: info(new()) }, "quarantined");
    cluster.ok(&cluster.restart(4, old()));
    cluster.ok(&cluster.failed(4, false));
    cluster.ok(&cluster.abort());
    cluster.refused(&cluster.start_plan(), "quarantined");
    // Even a plan that rolls on by some error of ours takes nobody out for it.
    let mut cluster = Cluster::rolling();
    let reason = Reason::new("exit", "exit status 7");
    let quarantine = ironcache_control::Quarantine { version: new().version, node: NodeId(3), reason };
    cluster.state.quarantined.insert(new().digest, quarantine);
    cluster.refused(&cluster.take_out(3), "quarantined");
}

#[test]
fn more_nodes_out_than_the_plan_allows() {
    let mut cluster = Cluster::rolling();
    cluster.state.plan.as_mut().unwrap().options.max_parallel = 1;
    cluster.ok(&cluster.take_out(3));
    cluster.refused(&cluster.take_out(4), "too_many_out");
}

/// What an operator may be told by a verb of the command line.
#[test]
fn every_refusal_of_an_operator_is_in_the_runbook_and_says_what_to_do() {
    let (plan, node, shard, version) = (PlanId(1), NodeId(3), S0, new().version);
    let text = || "why".to_owned();
    let refusals = [
        (Rejection::NoCluster, "ironcache cluster create"),
        (Rejection::ClusterExists, "empty data directories"),
        (Rejection::BadLayout { detail: text() }, "correct it"),
        (
            Rejection::OtherDigest {
                version: version.clone(),
                asked: "aaaa".to_owned(),
                known: "bbbb".to_owned(),
            },
            "ironcache release list",
        ),
        (Rejection::UnknownRelease { version: version.clone() }, "ironcache release stage FILE"),
        (Rejection::SameVersion { version: version.clone() }, "nothing to do"),
        (
            Rejection::VersionTaken { version: version.clone(), digest: text() },
            "give the new binary a new version",
        ),
        (Rejection::TooManyReleases { max: 32 }, "ironcache release allow"),
        (
            Rejection::Quarantined { version: version.clone(), node, reason: Reason::new("exit", "why") },
            "stage a mended binary",
        ),
        (
            Rejection::TooOld {
                version: version.clone(),
                min_from: Box::new(version.clone()),
                node,
                runs: Box::new(old().version),
            },
            "go through a release in between",
        ),
        (
            Rejection::CannotRead {
                version: version.clone(),
                admits: LevelRange::new(1, 2),
                level: Level(3),
            },
            "stage a release that admits level 3",
        ),
        (
            Rejection::LauncherTooOld {
                version: version.clone(),
                speaks: WireRange { min: 2, max: 2 },
                node,
                launcher: WireRange::CURRENT,
            },
            "go through a release in between",
        ),
        (Rejection::Soaking { plan, target: version.clone() }, "finalize or roll back first"),
        (
            Rejection::Unfinished { origin: Box::new(version.clone()), target: Box::new(version.clone()) },
            "ironcache cluster set-target-version 1.4.0",
        ),
        (
            Rejection::Declined { version: version.clone(), plan, reason: Reason::new("aborted", "") },
            "ironcache release allow 1.4.0",
        ),
        (Rejection::NotDeclined { version: version.clone() }, "nothing to allow"),
        (Rejection::GoesBack, "goes back"),
        (
            Rejection::NoRollback { why: NoRollback::OriginUnknown { version: version.clone() } },
            "release stage",
        ),
        (Rejection::BadSetting { key: text(), value: text(), why: "at least 1".to_owned() }, "at least 1"),
        (
            Rejection::PreflightFailed { node, reason: Reason::new("bad_setting", "why") },
            "mend its configuration",
        ),
        (Rejection::HashDiffers { node, log_index: 64 }, "upgrade rollback"),
        (Rejection::MinInSync { shard, left: 1, min_in_sync: 2 }, "policy set min-in-sync 1"),
        (Rejection::SingleNode, "ironcache cluster add-node HOST:PORT --witness"),
        (Rejection::NoReplica { shard }, "ironcache cluster add-node HOST:PORT --shard 0"),
        (Rejection::NoQuorumToSpare { voters: 2, left: 1, majority: 2 }, "ironcache cluster add-node"),
        (Rejection::Recovering { shard }, "start the node that owned it last"),
        (Rejection::NodeOut { node }, "start it"),
        (Rejection::PlanActive { plan, target: version, phase: text() }, "upgrade abort"),
        (Rejection::StepInFlight { node }, "upgrade pause"),
        (Rejection::NoPlan, "upgrade history"),
        (Rejection::OtherPlan { plan }, "upgrade status"),
        (Rejection::WrongPhase { phase: text(), wanted: text() }, "`resume`"),
        (Rejection::DuringPlan { what: text() }, "upgrade abort"),
        (Rejection::Removed { node }, "empty data directory"),
        (
            Rejection::CannotJoin {
                node,
                version: new().version,
                admits: LevelRange::new(1, 2),
                level: Level(3),
            },
            "start it with a release that admits level 3",
        ),
        (Rejection::AlreadyMember { node }, "already"),
        (Rejection::UnknownNode { node }, "ironcache cluster nodes"),
        (Rejection::UnknownShard { shard }, "ironcache cluster status"),
        (Rejection::MembershipPending { node, stage: "is joining" }, "ironcache cluster status"),
        (Rejection::TooManyVoters { voters: 7, max: 7 }, "--learner"),
        (Rejection::AddressTaken { node, other: node }, "ironcache cluster replace-node"),
        (Rejection::IsPrimary { shard, member: GHOST }, "hands over by itself"),
        (Rejection::HandoverInFlight { shard, handover: Epoch(1) }, "ask again"),
    ];
    let runbook = include_str!("../../../../docs/upgrade.md");
    for (refusal, advice) in refusals {
        assert!(refusal.to_string().contains(advice), "{refusal}");
        assert!(runbook.contains(&format!("| `{}` |", refusal.code())), "{} is missing", refusal.code());
    }
}

#[test]
fn a_bar_of_members_in_sync_that_a_shard_cannot_reach_from_the_start() {
    let mut init = layout();
    init.policy.min_in_sync = 3;
    let refused = ControlState::default().apply(1, &Command::InitCluster(init)).unwrap_err();
    assert_eq!(refused.code(), "bad_setting");
}

#[test]
fn a_process_that_says_that_it_runs_another_release_than_before() {
    let mut cluster = Cluster::new();
    let mut registers = cluster.restart(3, new());
    if let Command::RegisterNode { member, .. } = &mut registers {
        *member = cluster.member(3);
    }
    cluster.refused(&registers, "other_release");
}

#[test]
fn releases_and_processes_that_read_nothing() {
    let mut cluster = Cluster::new();
    let mut registers = cluster.restart(3, old());
    if let Command::RegisterNode { launcher_protocol, .. } = &mut registers {
        *launcher_protocol = WireRange { min: 2, max: 1 };
    }
    cluster.refused(&registers, "empty_range");
    let release = Release { version: Version::new(1, 5, 0), digest: Digest([5; 32]) };
    let nothing = ironcache_control::ReleaseInfo { levels: LevelRange::new(2, 1), ..info(release.clone()) };
    cluster.refused(&Command::RegisterRelease { info: nothing }, "empty_range");
    let launcher_protocol = WireRange { min: 2, max: 1 };
    let nothing = ironcache_control::ReleaseInfo { launcher_protocol, ..info(release) };
    cluster.refused(&Command::RegisterRelease { info: nothing }, "empty_range");
}

/// Forgotten, as one of more than are remembered, and staged anew, between the look at it and the order.
#[test]
fn a_version_that_means_another_binary_by_now() {
    let mut cluster = Cluster::in_sync();
    let seen = cluster.start_plan();
    cluster.state.releases.remove(&new().digest);
    cluster.refused(&seen, "unknown_release");
    let other = Release { digest: Digest([77; 32]), ..new() };
    cluster.ok(&Command::RegisterRelease { info: info(other.clone()) });
    assert_eq!(cluster.state.check_plan(&new().version), Ok(other));
    cluster.refused(&seen, "other_digest");
}

#[test]
fn one_binary_under_two_versions() {
    let mut cluster = Cluster::new();
    let again = Release { version: Version::new(1, 5, 0), ..new() };
    cluster.refused(&Command::RegisterRelease { info: info(again) }, "digest_taken");
}

#[test]
fn a_plan_that_a_stranger_leads() {
    let mut cluster = Cluster::staged();
    cluster.ok(&cluster.abort());
    let Command::StartPlan { target, options, started_by, at_ms, .. } = cluster.start_plan() else {
        unreachable!("a StartPlan")
    };
    let leader = GHOST.node;
    cluster.refused(&Command::StartPlan { target, options, leader, started_by, at_ms }, "unknown_node");
}
