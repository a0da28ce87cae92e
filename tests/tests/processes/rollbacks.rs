//! Everybody goes back: after a step that failed, by command, and with the leader killed at every kind of step.

use crate::PRODUCT;
use crate::leader_deaths::{self, PATIENT, Way};
use crate::rolls::{assert_all_run, assert_order};
use ironcache_api::{Direction, Outcome, Phase, Plan, StepRecord, StepState, UpgradeStatus};
use ironcache_tests::{Cluster, Load, Signal, Spec, until, until_just};
use ironcache_types::{Digest, PlanId};
use std::process::Output;

const PRIMARY: usize = 0;
const REPLICA: usize = 1;
/// The first of them, in a cluster that witnesses lead.
const WITNESSES: usize = 2;
const ORIGIN: &str = ironcache_tests::THIS;
const TARGET: &str = ironcache_tests::NEXT;

pub(crate) fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A command of the product that is done.
pub(crate) fn done(cluster: &Cluster, args: &[&str]) -> String {
    let output = cluster.cli(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    said(&output)
}

pub(crate) async fn until_soaking(cluster: &Cluster, plan: PlanId) {
    let soaks = |seen: &Plan| (seen.id == plan && matches!(seen.phase, Phase::Soaking { .. })).then_some(());
    cluster.until_plan("every node runs the target", soaks).await;
}

/// Every node's step back was confirmed, and the primaries of the moment at which the plan turned went last.
fn assert_order_back(plan: &Plan, going_back: usize) {
    let back = plan.steps[plan.steps.len() - going_back..].to_vec();
    assert_order(&Plan { steps: back, ..plan.clone() });
}

/// Waits for the plan's end: it went back, and says why.
async fn until_rolled_back(cluster: &Cluster, plan: PlanId) -> (Plan, String) {
    let (ended, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::RolledBack, "{ended:#?}");
    assert_eq!(ended.target.version.to_string(), ORIGIN);
    let Direction::Back { reason } = &ended.direction else { panic!("{ended:#?}") };
    let reason = reason.reason.clone();
    (ended, reason)
}

async fn nothing_was_lost(cluster: &Cluster, load: Load) {
    cluster.until_whole().await;
    load.until_more(50).await;
    load.finish(cluster).await.assert_unseen();
    assert_all_run(cluster, ORIGIN).await;
}

/// As a release does that cannot live on this one node: whatever is started of it there dies at once, until the node
/// has given it up.
async fn crash_on(cluster: &Cluster, index: usize, witness: usize, digest: Digest) {
    until_just("the node has given the release up", async || {
        if cluster.nodes[index].runs(&digest) {
            cluster.nodes[index].signal_daemon(Signal::KILL);
        }
        let status = cluster.status(witness).await?;
        status.control?.quarantined.contains_key(&digest).then_some(())
    })
    .await;
}

/// The release lives on two of three nodes, one of which has become primary, and crashes on the third.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_fails_takes_everybody_back() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 1, 2).setting("on-failure", "rollback")).await;
    let ids = cluster.ids().await;
    let load = Load::start(&cluster).await;
    let digest = cluster.stage(TARGET).await.release.digest;
    let plan = cluster.set_target(TARGET, None).await;
    crash_on(&cluster, PRIMARY, REPLICA, digest).await;

    let (ended, reason) = until_rolled_back(&cluster, plan).await;
    assert!(reason.contains(&ids[PRIMARY].to_string()), "{reason}");
    let failed: Vec<_> =
        ended.steps.iter().filter(|s| matches!(s.state, StepState::Failed { .. })).map(|s| s.node).collect();
    assert_eq!(failed, [ids[PRIMARY]]);
    // Two had been upgraded, two went back; of those the one that had become primary went last.
    assert_eq!(ended.steps.len(), 5, "{:#?}", ended.steps);
    assert_order_back(&ended, 2);
    let control = cluster.cluster().await.expect("the cluster answers").control;
    assert_eq!(control.quarantined[&digest].node, ids[PRIMARY]);
    assert_eq!(control.declined[&digest].plan, plan);
    assert_eq!(control.unfinished, None);
    nothing_was_lost(&cluster, load).await;

    let again = cluster.cli(&["cluster", "set-target-version", TARGET]);
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    assert!(said(&again).contains("quarantined"), "{again:?}");
    let history = done(&cluster, &["cluster", "upgrade", "history"]);
    assert!(history.contains(&format!("{TARGET} back to {ORIGIN}: rolled back after")), "{history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_takes_everybody_back_from_a_release_that_all_run() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 2, 2).setting("finalize-after-s", "never")).await;
    let load = Load::start(&cluster).await;
    let digest = cluster.stage(TARGET).await.release.digest;
    let plan = cluster.set_target(TARGET, None).await;
    until_soaking(&cluster, plan).await;
    assert_all_run(&cluster, TARGET).await;

    let possible = |status: &UpgradeStatus| status.soaking.as_ref()?.can_roll_back.then_some(());
    cluster.until_upgrade("every node has tried the old release", possible).await;
    let status = done(&cluster, &["cluster", "upgrade", "status"]);
    let back = format!("`ironcache cluster upgrade rollback` goes back to {ORIGIN}");
    assert!(status.contains(&back), "{status}");
    load.until_more(50).await;
    done(&cluster, &["cluster", "upgrade", "rollback", "--reason", "evenings are slow"]);

    let (ended, reason) = until_rolled_back(&cluster, plan).await;
    assert_eq!(reason, "evenings are slow");
    assert_eq!(ended.steps.len(), 12, "{:#?}", ended.steps);
    assert_order_back(&ended, 6);
    let control = cluster.cluster().await.expect("the cluster answers").control;
    assert_eq!(control.declined[&digest].reason.reason, "evenings are slow");
    assert!(control.quarantined.is_empty() && control.unfinished.is_none(), "{control:#?}");
    nothing_was_lost(&cluster, load).await;
}

const BACK: Way = Way { replica: PRIMARY, primary: REPLICA, version: ORIGIN };

/// The rollback is ordered while the replica's trial is accepted and not yet final: the plan turns when it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_goes_on_back_where_the_last_one_died_turning_or_with_a_replica_out() {
    let cluster = leader_deaths::cluster(&[("finalize-after-s", "never")]).await;
    let replica = cluster.ids().await[REPLICA];
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    let plan = cluster.set_target(TARGET, None).await;
    leader_deaths::hold_in_trial(&cluster, REPLICA, replica, TARGET).await;
    done(&cluster, &["cluster", "upgrade", "rollback"]);
    let next = cluster.kill_leader().await;
    let turning = next.control.plan.expect("the plan is in the log");
    assert_eq!((turning.id, &turning.phase), (plan, &Phase::TurningBack));

    // It turns, and waits in staging for a witness that has been upgraded, and is halted before it can try the old
    // release.
    let ids = cluster.ids().await;
    let (leader, _) = cluster.leader().await;
    let halted = cluster
        .until_cluster("another witness has been upgraded", |status| {
            (WITNESSES..ids.len()).filter(|index| *index != leader).find(|index| {
                let node = &status.control.nodes[&ids[*index]];
                node.out.is_none() && node.release.version.to_string() == TARGET
            })
        })
        .await;
    cluster.nodes[halted].signal_daemon(Signal::STOP);
    cluster.nodes[REPLICA].signal_launcher(Signal::CONT);
    let turned = |plan: &Plan| matches!(plan.direction, Direction::Back { .. }).then_some(());
    cluster.until_plan("the plan has turned", turned).await;
    let next = cluster.kill_leader().await;
    let turned = next.control.plan.expect("the plan is in the log");
    assert_eq!((turned.id, &turned.phase), (plan, &Phase::Staging));
    assert_eq!(turned.target.version.to_string(), ORIGIN);
    cluster.nodes[REPLICA].signal_launcher(Signal::STOP);
    cluster.nodes[halted].signal_daemon(Signal::CONT);

    let first = Way { replica: REPLICA, primary: PRIMARY, version: ORIGIN };
    first.kill_leaders_of_the_first_step(&cluster).await;
    let (ended, reason) = until_rolled_back(&cluster, plan).await;
    assert_eq!(reason, "by command");
    // Another witness may have been on a trial that nobody had accepted when the rollback was ordered: it gave that up.
    let went_well = |step: &StepRecord| match &step.state {
        StepState::Confirmed => true,
        StepState::Inconclusive { reason } => reason.code.as_deref() == Some("abandoned"),
        _ => false,
    };
    assert!(ended.steps.iter().all(went_well), "{:#?}", ended.steps);
    let back = ended.steps.iter().rfind(|step| step.node == replica);
    assert!(back.is_some_and(|step| matches!(step.state, StepState::Confirmed)), "{:#?}", ended.steps);
    nothing_was_lost(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_goes_on_back_where_the_last_one_died_handing_over_or_at_the_last_steps() {
    let set = [PATIENT, &[("finalize-after-s", "never")]].concat();
    let cluster = leader_deaths::cluster(&set).await;
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    let plan = cluster.set_target(TARGET, Some(1_500)).await;
    until_soaking(&cluster, plan).await;
    cluster.let_a_witness_lead().await;
    done(&cluster, &["cluster", "upgrade", "rollback"]);
    BACK.kill_leaders_from_the_handover_on(&cluster, plan).await;
    let (ended, _) = until_rolled_back(&cluster, plan).await;
    assert_order_back(&ended, 5);
    nothing_was_lost(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_goes_back_cannot_be_turned_again() {
    let mut spec = Spec::new(PRODUCT, 1, 1).setting("finalize-after-s", "never");
    spec.witnesses = 1;
    let cluster = Cluster::start(&spec.with(&[("hang-timeout-ms", 60_000)])).await;
    let load = Load::start(&cluster).await;
    cluster.stage(TARGET).await;
    let none = cluster.cli(&["cluster", "upgrade", "rollback"]);
    assert_eq!((none.status.code(), said(&none).contains("no_plan")), (Some(3), true), "{none:?}");
    let plan = cluster.set_target(TARGET, None).await;
    until_soaking(&cluster, plan).await;
    cluster.nodes[PRIMARY].signal_launcher(Signal::STOP);
    done(&cluster, &["cluster", "upgrade", "rollback"]);
    cluster
        .until_plan("the plan goes back", |plan| {
            (matches!(plan.direction, Direction::Back { .. }) && plan.phase == Phase::Rolling).then_some(())
        })
        .await;
    for (verb, code) in [("rollback", "goes_back"), ("finalize", "not_on_target")] {
        let output = cluster.cli(&["cluster", "upgrade", verb, "--json"]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(said(&output).contains(code), "{verb}: {output:?}");
    }
    cluster.nodes[PRIMARY].signal_launcher(Signal::CONT);
    until_rolled_back(&cluster, plan).await;
    until("nobody is asked to go anywhere", async || {
        let status = cluster.upgrade().await?;
        (status.plan.is_none() && status.waiting_on.is_empty()).then_some(())
    })
    .await;
    nothing_was_lost(&cluster, load).await;
}
